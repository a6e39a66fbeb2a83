import Foundation
import Yams

/// Reads the strict YAML profile: the structure comes from Yams, what a value means from our schema.
///
/// Yams itself expands aliases while it composes and hashes keys with all that is below them, so a few
/// hundred bytes can ask for ever. Here aliases are hidden from it (`*name` becomes a plain scalar that no
/// file may contain) and resolved afterwards, counted.
struct YAMLProfile {
    static let maximumBytes = 8 << 20
    static let maximumScalarBytes = 64 << 10
    static let maximumDepth = 32
    static let maximumAliasedNodes = 10_000
    /// Bytes that are read again and again to find every repeated key.
    static let maximumReadAgain = 1 << 20
    /// Stands for the `*` of an alias while Yams composes.
    private static let aliasMark: Unicode.Scalar = "\u{E000}"
    /// Makes a repeated key different, so that one run can report every repetition.
    private static let repeatMark: Unicode.Scalar = "\u{E001}"

    struct Problem {
        var code: DiagnosticCode
        var message: String
        var line: Int
        var column: Int
        var length = 1
        var label = ""
    }

    /// Yams's `Mark` cannot be made outside of it. 1-based; columns in Unicode scalars.
    struct Place {
        var line: Int
        var column: Int

        init(_ mark: Mark?) {
            line = mark?.line ?? 1
            column = mark?.column ?? 1
        }
    }

    private let file: Int
    private(set) var problems: [Problem] = []
    private var anchors: [String: YAMLNode] = [:]
    private var aliased = 0

    init(file: Int) { self.file = file }

    /// The bytes as text, or nil with a problem noted: size, encoding, characters.
    mutating func text(of bytes: [UInt8]) -> String? {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            // Only a line feed ends a line here; Unicode has more ideas.
            let good = String(decoding: bytes, as: UTF8.self).unicodeScalars.prefix { $0 != "\u{FFFD}" }
            let last = good.lastIndex(of: "\n").map { good.index(after: $0) } ?? good.startIndex
            problems.append(Problem(
                code: .notUTF8, message: "the file is not valid UTF-8", line: good.count { $0 == "\n" } + 1,
                column: good[last...].count + 1))
            return nil
        }
        guard checkCharacters(bytes), checkDensity(bytes), checkAliases(bytes) else { return nil }
        return bytes.contains(0x0d) ? text.replacing("\r\n", with: "\n") : text
    }

    /// Control characters, tabs, and the marks this reader needs for itself.
    private mutating func checkCharacters(_ bytes: [UInt8]) -> Bool {
        var line = 1
        // Scalars of the line before `counted`, so that many findings in one long line do not read it again and again.
        var scalars = 0
        var counted = 0
        let span = bytes.span
        for index in span.indices {
            let byte = span[index]
            if byte == 0x0a {
                line += 1
                counted = index + 1
                scalars = 0
            }
            let isMark = byte == 0xEE && index + 2 < span.count && span[index + 1] == 0x80 && span[index + 2] <= 0x81
            let isControl = byte < 0x20 && byte != 0x0a && !(byte == 0x0d && index + 1 < span.count && span[index + 1] == 0x0a)
            guard isControl || isMark || byte == 0x7f else { continue }
            for byte in bytes[counted..<index] where byte & 0xC0 != 0x80 { scalars += 1 }
            counted = index
            let column = scalars + 1
            let what = byte == 9 ? "tab" : "control character"
            problems.append(Problem(
                code: .forbiddenCharacter, message: "a \(what) is not allowed in a rule file", line: line, column: column,
                label: byte == 9 ? "use spaces" : "remove it"))
            if problems.count >= 20 { return false }
        }
        return problems.isEmpty
    }

    /// A large file of almost nothing but punctuation is not a rule file, and costs far more than its size.
    private mutating func checkDensity(_ bytes: [UInt8]) -> Bool {
        guard bytes.count > 32 << 10 else { return true }
        var punctuation = 0
        var letters = 0
        for byte in bytes {
            switch byte {
            case UInt8(ascii: ","), UInt8(ascii: "["), UInt8(ascii: "{"), UInt8(ascii: ":"), UInt8(ascii: "?"), UInt8(ascii: "-"): punctuation += 1
            case 0x20, 0x0a, 0x0d: break
            default: letters += 1
            }
        }
        guard punctuation > 16 << 10, letters < punctuation * 2 else { return true }
        problems.append(Problem(
            code: .tooLarge, message: "the file is large and has hardly any text in it; it is not a rule file", line: 1, column: 1))
        return false
    }

    /// Each alias is one value at least, so too many of them are refused before anybody looks at one.
    private mutating func checkAliases(_ bytes: [UInt8]) -> Bool {
        var count = 0
        var line = 1
        var before = UInt8(ascii: "\n")
        for byte in bytes {
            if byte == UInt8(ascii: "*"), Self.mayBegin(after: before) { count += 1 }
            guard count <= Self.maximumAliasedNodes else {
                problems.append(Problem(
                    code: .aliasLimit, message: "aliases expand to more than \(Self.maximumAliasedNodes) values", line: line, column: 1))
                return false
            }
            if byte == 0x0a { line += 1 }
            before = byte
        }
        return true
    }

    /// Whether a value may begin after this byte.
    private static func mayBegin(after before: UInt8) -> Bool {
        switch before {
        case 0x20, 0x0a, UInt8(ascii: "["), UInt8(ascii: "{"), UInt8(ascii: ","): true
        default: false
        }
    }

    /// The file's one document; nil when there is none or it cannot be used (problems say why).
    mutating func read(_ text: String) -> YAMLNode? {
        var hidden = Self.hideAliases(text)
        // Every repeated key means reading again: many of them in a small file, one in a large file.
        let readings = max(1, min(32, Self.maximumReadAgain / max(1, hidden.utf8.count)))
        for reading in 1...readings {
            do {
                let parser = try Parser(yaml: hidden, resolver: .basic)
                guard let root = try parser.singleRoot() else { return nil }
                // Anchors are weak in the nodes; the parser keeps them alive.
                return withExtendedLifetime(parser) { convert(root, depth: 0) }
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                guard let marked = markRepetition(of: keys, from: Place(context.mark), in: hidden, marks: reading), reading < readings else { return nil }
                hidden = marked
            } catch {
                note(error)
                return nil
            }
        }
        return nil
    }

    // MARK: Before composing

    private static func hideAliases(_ text: String) -> String {
        guard text.utf8.contains(UInt8(ascii: "*")) else { return text }
        var out: [UInt8] = []
        out.reserveCapacity(text.utf8.count + 1024)
        var before = UInt8(ascii: "\n")
        for byte in text.utf8 {
            if byte == UInt8(ascii: "*"), mayBegin(after: before) {
                out.append(contentsOf: String(aliasMark).utf8)
            } else {
                out.append(byte)
            }
            before = byte
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func showAliases(_ text: String) -> String {
        // Both marks begin with the byte EE in UTF-8.
        guard text.utf8.contains(0xEE) else { return text }
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars where scalar != repeatMark { out.append(scalar == aliasMark ? "*" : scalar) }
        return String(out)
    }

    /// Notes the second use of a key and makes it different, so that reading can go on.
    /// - Parameter marks: how many to add, another number each time, or the marked keys would repeat each other.
    private mutating func markRepetition(of keys: [String], from mark: Place, in text: String, marks: Int) -> String? {
        let key = keys.first ?? ""
        let shown = Self.showAliases(key)
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard let place = Self.secondUse(of: key, after: mark, in: lines) else {
            problems.append(Problem(
                code: .duplicateKey, message: "the key `\(shown)` is used twice in one map", line: mark.line,
                column: mark.column, length: shown.unicodeScalars.count))
            return nil
        }
        problems.append(Problem(
            code: .duplicateKey, message: "the key `\(shown)` is used twice in one map", line: place.line,
            column: place.column, length: shown.unicodeScalars.count, label: "first used in line \(mark.line)"))
        var scalars = Array(lines[place.line - 1].unicodeScalars)
        scalars.insert(contentsOf: Array(repeating: Self.repeatMark, count: marks), at: min(scalars.count, place.column - 1 + key.unicodeScalars.count))
        lines[place.line - 1] = String(String.UnicodeScalarView(scalars))
        return lines.joined(separator: "\n")
    }

    private static func secondUse(of key: String, after mark: Place, in lines: [String]) -> (line: Int, column: Int)? {
        let wanted = Array(key.unicodeScalars)
        guard !wanted.isEmpty, mark.line >= 1, mark.line <= lines.count else { return nil }
        func isKey(_ line: [Unicode.Scalar], at index: Int) -> Bool {
            guard index >= 0, index + wanted.count < line.count, Array(line[index..<index + wanted.count]) == wanted else { return false }
            let after = line[(index + wanted.count)...].drop { $0 == " " }
            return after.first == ":"
        }
        let first = Array(lines[mark.line - 1].unicodeScalars)
        for index in stride(from: mark.column - 1 + wanted.count, to: first.count, by: 1) {
            let opens = index > 0 && (first[index - 1] == " " || first[index - 1] == ",")
            if opens, isKey(first, at: index) { return (mark.line, index + 1) }
        }
        for number in (mark.line + 1)..<(max(lines.count, mark.line) + 1) {
            let line = Array(lines[number - 1].unicodeScalars)
            if isKey(line, at: mark.column - 1), line[..<(mark.column - 1)].allSatisfy({ $0 == " " }) {
                return (number, mark.column)
            }
        }
        return nil
    }

    private mutating func note(_ error: any Error) {
        guard let error = error as? YamlError else {
            problems.append(Problem(code: .syntax, message: "the file cannot be read as YAML", line: 1, column: 1))
            return
        }
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
            let clear = problem.hasPrefix("but found another document") ? "only one YAML document is allowed in a file" : Self.showAliases(problem)
            problems.append(Problem(code: .syntax, message: "not valid YAML: \(clear)", line: mark.line, column: mark.column))
        case .reader(let problem, let offset, _, _):
            problems.append(Problem(code: .syntax, message: "not valid YAML: \(problem)", line: 1, column: (offset ?? 0) + 1))
        default:
            problems.append(Problem(code: .tooDeep, message: "the file cannot be read as YAML: nested too deeply", line: 1, column: 1))
        }
    }

    // MARK: After composing

    private mutating func convert(_ node: Node, depth: Int) -> YAMLNode {
        let mark = Place(node.mark)
        guard depth <= Self.maximumDepth else {
            if problems.last?.code != .tooDeep {
                problem(.tooDeep, "maps and lists are nested deeper than \(Self.maximumDepth) levels", mark)
            }
            return empty(mark)
        }
        let converted: YAMLNode
        switch node {
        case .scalar(let scalar): converted = convert(scalar, mark)
        case .sequence(let sequence):
            refuseTag(sequence.tag, mark)
            var elements: [YAMLNode] = []
            var size = 1
            for element in sequence {
                elements.append(convert(element, depth: depth + 1))
                size += elements.last?.size ?? 0
            }
            converted = YAMLNode(content: .sequence(elements), position: position(mark, 1), size: size)
        case .mapping(let mapping): converted = convert(mapping, mark, depth: depth)
        case .alias: converted = empty(mark)  // Hidden before composing, so Yams never makes one.
        }
        if let anchor = node.anchor { anchors[Self.showAliases(anchor.rawValue)] = converted }
        return converted
    }

    private mutating func convert(_ mapping: Node.Mapping, _ mark: Place, depth: Int) -> YAMLNode {
        refuseTag(mapping.tag, mark)
        var pairs: [(key: YAMLNode, value: YAMLNode)] = []
        var size = 1
        for (key, value) in mapping {
            let keyMark = key.mark.map { Place($0) } ?? mark
            guard let text = key.scalar?.string, !text.unicodeScalars.starts(with: [Self.aliasMark]) else {
                problem(.badAlias, "a key must be text", keyMark)
                continue
            }
            if text == "<<" {
                problem(.badAlias, "merge keys (`<<`) are not used here", keyMark)
                continue
            }
            pairs.append((convert(key, depth: depth + 1), convert(value, depth: depth + 1)))
            size += 1 + (pairs.last?.value.size ?? 0)
        }
        return YAMLNode(content: .mapping(pairs), position: position(mark, 1), size: size)
    }

    private mutating func convert(_ scalar: Node.Scalar, _ mark: Place) -> YAMLNode {
        let raw = scalar.string
        if scalar.style == .plain, raw.unicodeScalars.first == Self.aliasMark { return expand(raw, mark) }
        refuseTag(scalar.tag, mark)
        let text = Self.showAliases(raw)
        if text.utf8.count > Self.maximumScalarBytes {
            problem(.tooLarge, "a value is larger than \(Units.describe(bytes: Self.maximumScalarBytes))", mark)
            return empty(mark)
        }
        let style: YAMLNode.Style =
            switch scalar.style {
            case .singleQuoted: .singleQuoted
            case .doubleQuoted: .doubleQuoted
            case .literal: .literal
            case .folded: .folded
            default: .plain
            }
        let quotes = style == .singleQuoted || style == .doubleQuoted ? 2 : 0
        let length = style == .literal || style == .folded ? 1 : text.unicodeScalars.count + quotes
        return YAMLNode(content: .scalar(text, style), position: position(mark, length), size: 1)
    }

    private mutating func expand(_ raw: String, _ mark: Place) -> YAMLNode {
        let name = String(Self.showAliases(raw).dropFirst())
        guard var target = anchors[name] else {
            problem(.badAlias, "the alias `*\(name)` names no anchor before it", mark, length: name.unicodeScalars.count + 1)
            return empty(mark)
        }
        let before = aliased
        aliased += target.size
        if aliased > Self.maximumAliasedNodes {
            if before <= Self.maximumAliasedNodes {
                problem(.aliasLimit, "aliases expand to more than \(Self.maximumAliasedNodes) values", mark, length: name.unicodeScalars.count + 1)
            }
            target = empty(mark)
        }
        return target
    }

    private mutating func refuseTag(_ tag: Tag, _ mark: Place) {
        let text = "\(tag)"
        // What Yams itself gives to values that carry no tag.
        let own = ["", "!", "?", "tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"]
        guard !own.contains(text) else { return }
        problem(.tag, "the tag `\(text)` has no meaning in a rule file", mark)
    }

    private func position(_ mark: Place, _ length: Int) -> SourcePosition {
        SourcePosition(file: file, line: mark.line, column: mark.column, length: length)
    }

    private func empty(_ mark: Place) -> YAMLNode {
        YAMLNode(content: .scalar("", .plain), position: position(mark, 1), size: 1)
    }

    private mutating func problem(_ code: DiagnosticCode, _ message: String, _ mark: Place, length: Int = 1) {
        guard problems.count < 100 else { return }
        problems.append(Problem(code: code, message: message, line: mark.line, column: mark.column, length: length))
    }
}
