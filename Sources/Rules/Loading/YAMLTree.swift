/// A value of a rule file with its place. Scalars are text: the schema decides what they mean.
struct YAMLNode {
    enum Style { case plain, singleQuoted, doubleQuoted, literal, folded }
    enum Content {
        case scalar(String, Style)
        case sequence([YAMLNode])
        case mapping([(key: YAMLNode, value: YAMLNode)])
    }
    var content: Content
    var position: SourcePosition
    /// Nodes in this tree, itself included, with every alias counted as what it stands for.
    var size: Int

    var scalar: String? {
        if case .scalar(let text, _) = content { return text }
        return nil
    }

    /// "a map", "a list", "a single value": for messages.
    var kind: String {
        switch content {
        case .scalar(let text, .plain) where text.isEmpty: "nothing"
        case .scalar: "a single value"
        case .sequence: "a list"
        case .mapping: "a map"
        }
    }
}

/// One file that was read: its text by lines, for diagnostics.
final class SourceFile {
    let name: String
    let index: Int
    /// Without line ends. Made when the first diagnostic needs it.
    private(set) lazy var lines: [Substring] = text.utf8.split(separator: 10, omittingEmptySubsequences: false)
        .map { Substring($0) }
    private let text: String

    init(name: String, index: Int, text: String) {
        self.name = name
        self.index = index
        self.text = text
    }

    /// Bytes in a 1-based line.
    func length(ofLine number: Int) -> Int { lines.indices.contains(number - 1) ? lines[number - 1].utf8.count : 0 }

    /// The text of a 1-based line.
    func line(_ number: Int) -> String {
        lines.indices.contains(number - 1) ? String(lines[number - 1]) : ""
    }
}

/// Finds where in the file a character of a scalar stands: quotes, escapes and folded lines shift it.
/// Used only to place carets, so it may give up and point at the scalar's beginning.
struct ScalarMap {
    /// Place of each scalar of the value; one more for its end.
    private var places: [(line: Int, column: Int)] = []
    private let start: SourcePosition

    init(_ node: YAMLNode, in file: SourceFile) {
        start = node.position
        guard case .scalar(let value, let style) = node.content else { return }
        var cursor = RawCursor(file: file, line: Int(start.line), column: Int(start.column))
        switch style {
        case .singleQuoted, .doubleQuoted: cursor.advance()
        case .literal, .folded: cursor.nextLine()
        case .plain: break
        }
        walk(value, cursor)
    }

    private mutating func walk(_ value: String, _ start: RawCursor) {
        var cursor = start
        for wanted in value.unicodeScalars {
            let isBreak = wanted == " " || wanted == "\n"
            while let raw = cursor.current, raw != wanted {
                if isBreak, raw == "\n" { break }
                guard raw == " " || raw == "\n" || raw == "\\" || raw == "'" else { return }
                cursor.advance()
            }
            guard cursor.current != nil else { return }
            if !isBreak, wanted == "'" || wanted == "\\", cursor.next == wanted, cursor.current == wanted {
                places.append(cursor.place)  // `''` and `\\` stand for one character
                cursor.advance()
                cursor.advance()
                continue
            }
            places.append(cursor.place)
            cursor.advance()
        }
        places.append(cursor.place)
    }

    /// The place of `range` of the value's scalars. `length` never runs over the end of a line.
    func position(_ range: Range<Int>) -> SourcePosition {
        guard range.lowerBound < places.count else {
            return SourcePosition(file: Int(start.file), line: Int(start.line), column: Int(start.column))
        }
        let first = places[range.lowerBound]
        var length = 1
        if range.upperBound < places.count, range.upperBound > range.lowerBound {
            let last = places[range.upperBound - 1]
            if last.line == first.line { length = last.column - first.column + 1 }
        }
        return SourcePosition(file: Int(start.file), line: first.line, column: first.column, length: length)
    }
}

/// Steps through a file's scalars.
private struct RawCursor {
    let file: SourceFile
    var line: Int
    var scalars: [Unicode.Scalar]
    var offset: Int

    init(file: SourceFile, line: Int, column: Int) {
        self.file = file
        self.line = line
        scalars = Array(file.line(line).unicodeScalars)
        offset = column - 1
    }

    var place: (line: Int, column: Int) { (line, offset + 1) }
    /// `\n` at the end of a line, nil after the last.
    var current: Unicode.Scalar? {
        if offset < scalars.count { return scalars[offset] }
        return line <= file.lines.count ? "\n" : nil
    }
    var next: Unicode.Scalar? { offset + 1 < scalars.count ? scalars[offset + 1] : nil }

    mutating func advance() {
        if offset < scalars.count { offset += 1 } else { nextLine() }
    }

    mutating func nextLine() {
        line += 1
        offset = 0
        scalars = Array(file.line(line).unicodeScalars)
    }
}
