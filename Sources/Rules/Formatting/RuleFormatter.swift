/// Brings a rule file into one form: two spaces a level, no trailing blanks, at most one empty line, one end of file.
/// Comments, quotes, order and the breaks between lines stay as they are.
///
/// It works on lines, and what it makes is read again: should the two not say the same, only blanks are taken away, and
/// should even that change something, the text stays as it was.
public enum RuleFormatter {
    /// - Returns: the formatted text; nil when the file is not YAML that the loader could read.
    public static func format(_ bytes: [UInt8]) -> String? {
        guard let (text, before) = read(bytes) else { return nil }
        for candidate in [reindent(text), tidy(text)] {
            if let (_, after) = read(Array(candidate.utf8)), same(before, after) { return candidate }
        }
        return text
    }

    private static func read(_ bytes: [UInt8]) -> (String, YAMLNode)? {
        var profile = YAMLProfile(file: 0)
        guard let text = profile.text(of: bytes), let node = profile.read(text), profile.problems.isEmpty else { return nil }
        return (text, node)
    }

    /// The same values in the same order, quoted in the same way where that matters.
    private static func same(_ a: YAMLNode, _ b: YAMLNode) -> Bool {
        switch (a.content, b.content) {
        case (.scalar(let first, let one), .scalar(let second, let two)): first == second && (one == .plain) == (two == .plain)
        case (.sequence(let first), .sequence(let second)): first.count == second.count && zip(first, second).allSatisfy { same($0, $1) }
        case (.mapping(let first), .mapping(let second)):
            first.count == second.count && zip(first, second).allSatisfy { same($0.key, $1.key) && same($0.value, $1.value) }
        default: false
        }
    }

    // MARK: Lines

    static func reindent(_ text: String) -> String {
        var walker = LineWalker()
        return finish(split(text).map { walker.place($0) }, isText: walker.textLines)
    }

    static func tidy(_ text: String) -> String {
        var walker = LineWalker()
        let lines = split(text)
        for line in lines { _ = walker.place(line) }
        return finish(lines.enumerated().map { walker.textLines.contains($0.offset) ? $0.element : trimmed($0.element) }, isText: walker.textLines)
    }

    private static func split(_ text: String) -> [String] { text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) } }

    static func trimmed(_ line: String) -> String {
        var end = line.endIndex
        while end > line.startIndex, line[line.index(before: end)] == " " { end = line.index(before: end) }
        return String(line[..<end])
    }

    /// Takes empty lines away: at the beginning, at the end, and more than one after the other.
    private static func finish(_ lines: [String], isText: Set<Int>) -> String {
        var out: [String] = []
        var lastWasEmpty = true
        for (number, line) in lines.enumerated() {
            let isEmpty = line.isEmpty && !isText.contains(number)
            if isEmpty, lastWasEmpty { continue }
            out.append(line)
            lastWasEmpty = isEmpty
        }
        while out.last == "" { out.removeLast() }
        return out.joined(separator: "\n") + "\n"
    }
}

/// Goes through the lines of a file and says where each belongs.
private struct LineWalker {
    /// A level of nesting: where it stood and where it stands now.
    private struct Level {
        var raw: Int
        var new: Int
        var isSequence: Bool
    }

    /// Numbers of the lines inside block scalars: every blank of them counts.
    private(set) var textLines: Set<Int> = []
    private var number = -1
    private var levels: [Level] = []
    /// Inside a block scalar: the indentation of the line that began it.
    private var block: (raw: Int, new: Int, shift: Int?)?
    /// Inside a flow collection, a quoted scalar or a plain scalar of several lines.
    private var flow = FlowState()
    private var shift = 0
    /// Comments wait for the line that they stand before.
    private var lastShift = 0

    mutating func place(_ line: String) -> String {
        number += 1
        let raw = line.prefix { $0 == " " }.count
        let content = line.dropFirst(raw)
        if let block, content.isEmpty || raw > block.raw { return text(line, raw, block) }
        block = nil
        guard !content.isEmpty else { return "" }
        if flow.isOpen {
            flow.read(content)
            return moved(RuleFormatter.trimmed(line), raw, shift)
        }
        if content.hasPrefix("#") { return comment(content, raw) }
        return statement(RuleFormatter.trimmed(String(content)), raw)
    }

    private func moved(_ line: String, _ raw: Int, _ shift: Int) -> String {
        String(repeating: " ", count: max(0, raw + shift)) + line.dropFirst(raw)
    }

    /// A line of a block scalar: moved with the first one, otherwise as it is.
    private mutating func text(_ line: String, _ raw: Int, _ begun: (raw: Int, new: Int, shift: Int?)) -> String {
        textLines.insert(number)
        guard !line.allSatisfy({ $0 == " " }) else { return begun.shift == nil ? "" : line.count > raw ? line : "" }
        let shift = begun.shift ?? begun.new + 2 - raw
        block = (begun.raw, begun.new, shift)
        return moved(line, raw, shift)
    }

    /// A comment belongs to the level that it stands at, or to the innermost that is open.
    private func comment(_ content: Substring, _ raw: Int) -> String {
        let text = RuleFormatter.trimmed(String(content))
        let spaced = text.count > 1 && text.dropFirst().first != " " && text.dropFirst().first != "#" && text.dropFirst().first != "!"
            ? "# " + text.dropFirst() : text
        let level = levels.last { $0.raw <= raw }
        let new = level.map { raw == $0.raw ? $0.new : $0.new + 2 } ?? raw
        return String(repeating: " ", count: new) + spaced
    }

    private mutating func statement(_ content: String, _ raw: Int) -> String {
        let isDash = content == "-" || content.hasPrefix("- ")
        while let last = levels.last, last.raw > raw || last.raw == raw && last.isSequence && !isDash { levels.removeLast() }
        if let last = levels.last {
            if last.raw < raw || isDash && !last.isSequence { levels.append(Level(raw: raw, new: last.new + 2, isSequence: isDash)) }
        } else {
            levels.append(Level(raw: raw, new: 0, isSequence: isDash))
        }
        let new = levels[levels.count - 1].new
        shift = new - raw
        let (out, innerRaw, innerNew) = dashes(content, raw, new)
        flow = FlowState()
        flow.read(out.dropFirst(0))
        if !flow.isOpen, Self.beginsBlock(out) { block = (innerRaw, innerNew, nil) }
        return String(repeating: " ", count: new) + out
    }

    /// `-   a` becomes `- a`; what follows a dash is a level of its own.
    private mutating func dashes(_ content: String, _ raw: Int, _ new: Int) -> (text: String, raw: Int, new: Int) {
        var out = ""
        var rest = content[...]
        var (rawColumn, newColumn) = (raw, new)
        var isFirst = true
        while rest.hasPrefix("- ") {
            if !isFirst { levels.append(Level(raw: rawColumn, new: newColumn, isSequence: true)) }
            isFirst = false
            let blanks = rest.dropFirst().prefix { $0 == " " }.count
            out += "- "
            rawColumn += 1 + blanks
            newColumn += 2
            rest = rest.dropFirst(1 + blanks)
        }
        if !isFirst { levels.append(Level(raw: rawColumn, new: newColumn, isSequence: false)) }
        // The text of `- key: |` is deeper than the key, that of `- |` deeper than the dash.
        let isKey = rest.contains(": ")
        return (out + rest, isKey ? rawColumn : raw, isKey ? newColumn : new)
    }

    /// `key: |`, `- >-`: what follows is text. One with its own indentation (`|2`) is left to the check.
    private static func beginsBlock(_ line: String) -> Bool {
        var text = line[...]
        if let comment = text.firstRange(of: " #") { text = text[..<comment.lowerBound] }
        while text.last == " " { text = text.dropLast() }
        guard let word = text.split(separator: " ").last, let first = word.first, first == "|" || first == ">" else { return false }
        let before = text.dropLast(word.count)
        return word.dropFirst().allSatisfy { "+-".contains($0) } && (before.isEmpty || before.hasSuffix(": ") || before.hasSuffix("- "))
    }
}

/// Whether a line ends inside a flow collection or a quoted scalar.
private struct FlowState {
    private var depth = 0
    private var quote: Character?

    var isOpen: Bool { depth > 0 || quote != nil }

    mutating func read(_ line: Substring) {
        var before: Character = " "
        var skip = false
        for character in line {
            if skip {
                skip = false
            } else if let open = quote {
                if open == "\"", character == "\\" { skip = true } else if character == open { quote = nil }
            } else if character == "#", before == " " {
                return
            } else if character == "\"" || character == "'", depth > 0 ? " ,[{:".contains(before) : before == " " || before == "\u{0}" {
                quote = character
            } else if "[{".contains(character), depth > 0 || " ".contains(before) {
                depth += 1
            } else if "]}".contains(character), depth > 0 {
                depth -= 1
            }
            before = character
        }
    }
}
