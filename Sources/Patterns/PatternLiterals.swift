/// Bytes that every text with a match has: cheap to look for before the pattern itself runs, and what an index
/// over many patterns is made of.
///
/// Only what is certain is said. A pattern it does not fully understand has no literals.
public struct PatternLiterals: Sendable, Equatable {
    /// What the text begins with; empty unless the pattern begins with `^` or `\A` and literal text.
    public var prefix: [UInt8] = []
    /// The longest run that stands somewhere in the text.
    public var required: [UInt8] = []

    /// - Parameter pattern: one that `Pattern` takes, matched with case.
    public init(of pattern: String) {
        var scanner = LiteralScanner(pattern: Array(pattern.utf8))
        guard scanner.scan() else { return }
        prefix = scanner.prefix
        required = scanner.longest
    }
}

/// Reads a pattern outside of its groups and classes.
private struct LiteralScanner {
    let pattern: [UInt8]
    private(set) var prefix: [UInt8] = []
    private(set) var longest: [UInt8] = []
    private var run: [UInt8] = []
    private var index = 0
    /// What is read now still stands right after the anchor.
    private var isPrefix = false

    init(pattern: [UInt8]) { self.pattern = pattern }

    private func byte(_ ahead: Int = 0) -> UInt8 { index + ahead < pattern.count ? pattern[index + ahead] : 0 }

    /// - Returns: false when nothing is certain.
    mutating func scan() -> Bool {
        if byte() == UInt8(ascii: "^") {
            isPrefix = true
            index = 1
        } else if byte() == UInt8(ascii: "\\"), byte(1) == UInt8(ascii: "A") {
            isPrefix = true
            index = 2
        }
        while index < pattern.count {
            guard step() else { return false }
        }
        endRun()
        return true
    }

    private mutating func step() -> Bool {
        let current = byte()
        switch current {
        case UInt8(ascii: "|"): return false
        case UInt8(ascii: "("): return skipGroup()
        case UInt8(ascii: "["): return skipClass()
        case UInt8(ascii: "\\"): return escape()
        case UInt8(ascii: "."), UInt8(ascii: "^"), UInt8(ascii: "$"): endRun()
        case UInt8(ascii: "+"): endRun()
        case UInt8(ascii: "*"), UInt8(ascii: "?"):
            _ = run.popLast()
            endRun()
        case UInt8(ascii: "{"): return repetition()
        default: run.append(current)
        }
        index += 1
        return true
    }

    private mutating func endRun() {
        if isPrefix { prefix = run }
        isPrefix = false
        if run.count > longest.count { longest = run }
        run = []
    }

    /// `{2}`, `{2,}`, `{2,5}` after a literal; anything else with a brace is left to the engine.
    private mutating func repetition() -> Bool {
        _ = run.popLast()
        endRun()
        index += 1
        while index < pattern.count, byte() &- 48 < 10 || byte() == UInt8(ascii: ",") { index += 1 }
        guard byte() == UInt8(ascii: "}"), pattern[index - 1] != UInt8(ascii: "{") else { return false }
        index += 1
        return true
    }

    private mutating func escape() -> Bool {
        let next = byte(1)
        let isWordByte = next &- 48 < 10 || (next | 0x20) &- 97 < 26 || next >= 0x80 || next == 0
        if !isWordByte {
            run.append(next)
        } else {
            // Escapes of two characters that stand for a class, a place or a control character.
            guard "dDsSwWbBzaftnrv".utf8.contains(next) else { return false }
            endRun()
        }
        index += 2
        return true
    }

    /// From `(` to after its `)`. Flags (`(?i)`) would change what stands after them.
    private mutating func skipGroup() -> Bool {
        if byte(1) == UInt8(ascii: "?"), ![UInt8(ascii: "P"), UInt8(ascii: "<"), UInt8(ascii: ":")].contains(byte(2)) { return false }
        endRun()
        var depth = 0
        while index < pattern.count {
            switch byte() {
            case UInt8(ascii: "("): depth += 1
            case UInt8(ascii: ")"): depth -= 1
            case UInt8(ascii: "\\"):
                if byte(1) == UInt8(ascii: "Q") { return false }
                index += 1
            case UInt8(ascii: "["):
                guard skipClass() else { return false }
                continue
            default: break
            }
            index += 1
            if depth == 0 { return true }
        }
        return false
    }

    /// From `[` to after its `]`.
    private mutating func skipClass() -> Bool {
        endRun()
        index += 1
        if byte() == UInt8(ascii: "^") { index += 1 }
        // A bracket right after the opening is a member.
        if byte() == UInt8(ascii: "]") { index += 1 }
        while index < pattern.count, byte() != UInt8(ascii: "]") {
            if byte() == UInt8(ascii: "["), byte(1) == UInt8(ascii: ":") {
                index += 2
                while index < pattern.count, byte() != UInt8(ascii: ":") { index += 1 }
                guard byte(1) == UInt8(ascii: "]") else { return false }
                index += 2
            } else {
                index += byte() == UInt8(ascii: "\\") ? 2 : 1
            }
        }
        index += 1
        return index <= pattern.count
    }
}
