/// Where the code of a bundled module came from: the source map that a bundler wrote at its end (`--sourcemap=inline`).
/// Read only when something failed.
struct SourceMap {
    private struct Segment {
        let column: Int
        let source: Int
        let line: Int
        let sourceColumn: Int
    }

    private let sources: [String]
    /// By line of the module, in the order of columns.
    private let lines: [[Segment]]

    private static let mark = "//# sourceMappingURL=data:application/json"

    /// nil when the module has no map, or one that is not understood.
    init?(of text: String, at path: String) {
        guard let comment = text.split(separator: "\n").last(where: { $0.hasPrefix(Self.mark) }), let comma = comment.firstIndex(of: ","),
            comment[..<comma].hasSuffix(";base64"), let bytes = Self.base64(comment[comment.index(after: comma)...]),
            case .object(let map)? = SmallJSON.read(bytes), case .array(let names)? = map["sources"], case .string(let mappings)? = map["mappings"]
        else { return nil }
        var root = ""
        if case .string(let given)? = map["sourceRoot"] { root = given.hasSuffix("/") || given.isEmpty ? given : given + "/" }
        sources = names.map { name in
            guard case .string(let text) = name else { return path }
            return Self.joined(root + text, to: path)
        }
        guard let lines = Self.decode(mappings, sources: names.count) else { return nil }
        self.lines = lines
    }

    /// The place that a place of the module stands for; nil when the map does not know it. Lines and columns from 1.
    func original(line: Int, column: Int) -> (file: String, line: Int, column: Int)? {
        guard lines.indices.contains(line - 1), let segment = lines[line - 1].last(where: { $0.column <= max(column - 1, 0) }) else { return nil }
        return (sources[segment.source], segment.line + 1, segment.sourceColumn + 1)
    }

    /// `../src/a.ts` beside `hooks/a.js` is `src/a.ts`.
    private static func joined(_ name: String, to path: String) -> String {
        guard !name.hasPrefix("/"), !name.contains("://") else { return name }
        var parts = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().map(String.init)
        for part in name.split(separator: "/") where part != "." {
            if part == "..", let last = parts.last, last != "..", !last.isEmpty { parts.removeLast() } else { parts.append(String(part)) }
        }
        return parts.joined(separator: "/")
    }

    // MARK: Mappings: lines by ";", segments by ",", numbers in base64 VLQ, each the difference to the one before

    private static func decode(_ text: String, sources: Int) -> [[Segment]]? {
        var lines: [[Segment]] = [[]]
        var (source, line, sourceColumn) = (0, 0, 0)
        var column = 0
        var fields: [Int] = []
        var number = 0, shift = 0

        func close() -> Bool {
            defer { fields.removeAll(keepingCapacity: true) }
            guard let first = fields.first else { return true }
            column &+= first
            guard fields.count >= 4 else { return column >= 0 }
            source &+= fields[1]
            line &+= fields[2]
            sourceColumn &+= fields[3]
            guard column >= 0, (0..<sources).contains(source), line >= 0, sourceColumn >= 0 else { return false }
            lines[lines.count - 1].append(Segment(column: column, source: source, line: line, sourceColumn: sourceColumn))
            return true
        }

        for character in text.utf8 {
            switch character {
            case UInt8(ascii: ","): guard close() else { return nil }
            case UInt8(ascii: ";"):
                guard close() else { return nil }
                lines.append([])
                column = 0
            default:
                guard let digit = digit(character), shift <= 30 else { return nil }
                number |= (digit & 31) << shift
                shift += 5
                guard digit & 32 == 0 else { continue }
                fields.append(number & 1 == 0 ? number >> 1 : -(number >> 1))
                (number, shift) = (0, 0)
            }
        }
        return close() ? lines : nil
    }

    private static func digit(_ character: UInt8) -> Int? {
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): Int(character) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): Int(character) - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(character) + 4
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }

    private static func base64(_ text: Substring) -> [UInt8]? {
        var out: [UInt8] = []
        var bits = 0, have = 0
        for character in text.utf8 where character != UInt8(ascii: "=") && character != 13 {
            guard let value = digit(character) else { return nil }
            bits = (bits << 6 | value) & 0xffff
            have += 6
            if have >= 8 {
                have -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> have))
            }
        }
        return out
    }
}

/// Just enough JSON for a source map.
enum SmallJSON {
    case object([String: SmallJSON])
    case array([SmallJSON])
    case string(String)
    /// A number, true, false or null: nobody asks which.
    case other

    static func read(_ bytes: [UInt8]) -> SmallJSON? {
        var reader = Reader(bytes: bytes)
        return reader.value(depth: 0)
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0

        mutating func skip() { while at < bytes.count, [32, 9, 10, 13].contains(bytes[at]) { at += 1 } }

        mutating func eat(_ character: UInt8) -> Bool {
            skip()
            guard at < bytes.count, bytes[at] == character else { return false }
            at += 1
            return true
        }

        mutating func value(depth: Int) -> SmallJSON? {
            skip()
            guard at < bytes.count, depth < 32 else { return nil }
            switch bytes[at] {
            case UInt8(ascii: "{"): return object(depth)
            case UInt8(ascii: "["): return array(depth)
            case UInt8(ascii: "\""): return string().map { .string($0) }
            default:
                let start = at
                while at < bytes.count, !",]} \n\r\t".utf8.contains(bytes[at]) { at += 1 }
                return at > start ? .other : nil
            }
        }

        mutating func object(_ depth: Int) -> SmallJSON? {
            guard eat(UInt8(ascii: "{")) else { return nil }
            var members: [String: SmallJSON] = [:]
            if eat(UInt8(ascii: "}")) { return .object(members) }
            repeat {
                skip()
                guard let name = string(), eat(UInt8(ascii: ":")), let member = value(depth: depth + 1) else { return nil }
                members[name] = member
            } while eat(UInt8(ascii: ","))
            return eat(UInt8(ascii: "}")) ? .object(members) : nil
        }

        mutating func array(_ depth: Int) -> SmallJSON? {
            guard eat(UInt8(ascii: "[")) else { return nil }
            var elements: [SmallJSON] = []
            if eat(UInt8(ascii: "]")) { return .array(elements) }
            repeat {
                guard let element = value(depth: depth + 1) else { return nil }
                elements.append(element)
            } while eat(UInt8(ascii: ","))
            return eat(UInt8(ascii: "]")) ? .array(elements) : nil
        }

        mutating func string() -> String? {
            guard at < bytes.count, bytes[at] == UInt8(ascii: "\"") else { return nil }
            at += 1
            var out: [UInt8] = []
            while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
                if bytes[at] == UInt8(ascii: "\\"), at + 1 < bytes.count {
                    at += 1
                    // Paths and mappings need no more; other escapes stay as their letter.
                    out.append(bytes[at])
                } else {
                    out.append(bytes[at])
                }
                at += 1
            }
            guard at < bytes.count else { return nil }
            at += 1
            return String(decoding: out, as: UTF8.self)
        }
    }
}
