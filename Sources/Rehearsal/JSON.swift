import Rules

/// A JSON document (RFC 8259), members in the order in which they stand.
public indirect enum JSON: Sendable {
    case null
    case boolean(Bool)
    /// As it was written.
    case number(String)
    case string(String)
    case array([JSON])
    case object([(name: String, value: JSON)])

    /// nil: the text is not JSON, or is nested deeper than 64 levels.
    public init?(_ text: String) {
        var reader = JSONReader(Array(text.utf8))
        guard let value = reader.document() else { return nil }
        self = value
    }

    public subscript(_ name: String) -> JSON? {
        if case .object(let members) = self { return members.first { $0.name == name }?.value }
        return nil
    }
    public var array: [JSON] {
        if case .array(let elements) = self { return elements }
        return []
    }
    public var members: [(name: String, value: JSON)] {
        if case .object(let members) = self { return members }
        return []
    }
    /// The text of a string or a number.
    public var text: String? {
        switch self {
        case .string(let text), .number(let text): text
        case .boolean(let flag): flag ? "true" : "false"
        default: nil
        }
    }

    /// Whether two documents say the same; the order of members does not matter.
    /// - Parameter partial: objects of `other` may have further members.
    public func matches(_ other: JSON, partial: Bool = false) -> Bool {
        switch (self, other) {
        case (.null, .null): return true
        case (.boolean(let a), .boolean(let b)): return a == b
        case (.number(let a), .number(let b)): return a == b || Double(a) == Double(b)
        case (.string(let a), .string(let b)): return a == b
        case (.array(let a), .array(let b)): return a.count == b.count && zip(a, b).allSatisfy { $0.matches($1, partial: partial) }
        case (.object(let a), .object(let b)):
            guard partial || a.count == b.count else { return false }
            return a.allSatisfy { member in other[member.name].map { member.value.matches($0, partial: partial) } ?? false }
        default: return false
        }
    }

    // MARK: Writing

    /// On one line.
    public var compact: String {
        switch self {
        case .null: "null"
        case .boolean(let flag): flag ? "true" : "false"
        case .number(let text): text
        case .string(let text): JSON.quoted(text)
        case .array(let elements): "[" + elements.map(\.compact).joined(separator: ",") + "]"
        case .object(let members): "{" + members.map { JSON.quoted($0.name) + ":" + $0.value.compact }.joined(separator: ",") + "}"
        }
    }

    /// Indented, a member a line.
    public var pretty: String { pretty("") }

    private func pretty(_ margin: String) -> String {
        let inner = margin + "  "
        switch self {
        case .array(let elements) where !elements.isEmpty:
            return "[\n" + elements.map { inner + $0.pretty(inner) }.joined(separator: ",\n") + "\n\(margin)]"
        case .object(let members) where !members.isEmpty:
            return "{\n" + members.map { "\(inner)\(JSON.quoted($0.name)): \($0.value.pretty(inner))" }.joined(separator: ",\n") + "\n\(margin)}"
        default: return compact
        }
    }

    static func quoted(_ text: String) -> String { JSONText.quoted(text) }
}

extension JSON {
    public init(_ text: String?, orNull: Void = ()) { self = text.map { .string($0) } ?? .null }
    public static func integer(_ number: Int) -> JSON { .number(String(number)) }
    public static func strings(_ texts: [String]) -> JSON { .array(texts.map { .string($0) }) }
}

private struct JSONReader {
    private let bytes: [UInt8]
    private var index = 0
    private var depth = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() -> JSON? {
        guard let value = value() else { return nil }
        skipSpace()
        return index == bytes.count ? value : nil
    }

    private mutating func skipSpace() {
        while index < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[index]) { index += 1 }
    }

    private mutating func take(_ byte: Character) -> Bool {
        skipSpace()
        guard index < bytes.count, bytes[index] == byte.asciiValue else { return false }
        index += 1
        return true
    }

    private mutating func take(word: String) -> Bool {
        guard bytes[index...].starts(with: word.utf8) else { return false }
        index += word.utf8.count
        return true
    }

    private mutating func value() -> JSON? {
        skipSpace()
        guard index < bytes.count, depth < 64 else { return nil }
        depth += 1
        defer { depth -= 1 }
        switch bytes[index] {
        case UInt8(ascii: "{"): return object()
        case UInt8(ascii: "["): return array()
        case UInt8(ascii: "\""): return string().map { .string($0) }
        case UInt8(ascii: "t"): return take(word: "true") ? .boolean(true) : nil
        case UInt8(ascii: "f"): return take(word: "false") ? .boolean(false) : nil
        case UInt8(ascii: "n"): return take(word: "null") ? .null : nil
        default: return number()
        }
    }

    private mutating func object() -> JSON? {
        index += 1
        var members: [(name: String, value: JSON)] = []
        if take("}") { return .object([]) }
        repeat {
            skipSpace()
            guard index < bytes.count, bytes[index] == UInt8(ascii: "\""), let name = string(), take(":"), let value = value() else { return nil }
            members.append((name, value))
        } while take(",")
        return take("}") ? .object(members) : nil
    }

    private mutating func array() -> JSON? {
        index += 1
        var elements: [JSON] = []
        if take("]") { return .array([]) }
        repeat {
            guard let value = value() else { return nil }
            elements.append(value)
        } while take(",")
        return take("]") ? .array(elements) : nil
    }

    private mutating func number() -> JSON? {
        let start = index
        while index < bytes.count, bytes[index] &- 48 < 10 || "+-.eE".utf8.contains(bytes[index]) { index += 1 }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        return Double(text) == nil || text.hasPrefix("+") ? nil : .number(text)
    }

    private mutating func string() -> String? {
        index += 1
        var out: [UInt8] = []
        while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
            guard bytes[index] >= 0x20 else { return nil }
            if bytes[index] == UInt8(ascii: "\\") {
                guard escape(&out) else { return nil }
            } else {
                out.append(bytes[index])
                index += 1
            }
        }
        guard index < bytes.count else { return nil }
        index += 1
        return String(decoding: out, as: UTF8.self)
    }

    private mutating func escape(_ out: inout [UInt8]) -> Bool {
        guard index + 1 < bytes.count else { return false }
        let letter = bytes[index + 1]
        index += 2
        let plain: [UInt8: UInt8] = [0x22: 0x22, 0x5c: 0x5c, 0x2f: 0x2f, 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9]
        if let byte = plain[letter] {
            out.append(byte)
            return true
        }
        guard letter == UInt8(ascii: "u"), var code = unit() else { return false }
        if 0xD800..<0xDC00 ~= code, index + 1 < bytes.count, bytes[index] == 0x5c, bytes[index + 1] == 0x75 {
            index += 2
            guard let low = unit(), 0xDC00..<0xE000 ~= low else { return false }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        out += String(Unicode.Scalar(code).map { Character($0) } ?? "\u{FFFD}").utf8
        return true
    }

    private mutating func unit() -> UInt32? {
        guard index + 4 <= bytes.count else { return nil }
        defer { index += 4 }
        return UInt32(String(decoding: bytes[index..<index + 4], as: UTF8.self), radix: 16)
    }
}
