import Patterns

/// Something an index can ask of a request: that a field has this value, or begins like this.
struct IndexKey: Hashable {
    struct Source: Hashable {
        var field: FieldUse
        var lowercase: Bool

        static func == (a: Source, b: Source) -> Bool {
            a.field.id == b.field.id && a.field.name == b.field.name && a.lowercase == b.lowercase
        }

        func hash(into hasher: inout Hasher) {
            hasher.combine(field.id)
            hasher.combine(field.name)
            hasher.combine(lowercase)
        }
    }
    var source: Source
    var isPrefix = false
    var text: [UInt8]

    /// How likely a request has it, roughly: keys that most requests have are of little use.
    var weight: Int {
        switch source.field.id {
        case .method, .scheme, .httpVersion, .site, .tlsVersion: 64
        default: isPrefix ? (text.count > 4 ? 2 : 16) : 1
        }
    }
}

/// Finds what every request that meets a condition must have.
enum IndexPlan {
    /// Most keys that stand for one rule.
    static let mostKeys = 64
    /// Most ways to choose from.
    static let mostOptions = 8

    /// Sets of keys; whoever meets the condition has at least one key of each set. No set: nothing is known. An empty
    /// set: nobody meets it.
    static func options(_ condition: Condition) -> [[IndexKey]] {
        switch condition {
        case .constant(let value): value ? [] : [[]]
        case .not(let inner): negated(inner)
        case .and(let parts): Array(parts.flatMap { options($0) }.prefix(mostOptions))
        case .or(let parts): either(parts.map { options($0) })
        case .flag, .exists: []
        case .compare(let comparison): keys(comparison).map { [$0] } ?? []
        }
    }

    /// A comparison that is false because its value is missing is true under `not`: nothing follows from it.
    private static func negated(_ condition: Condition) -> [[IndexKey]] {
        switch condition {
        case .constant(let value): value ? [[]] : []
        case .not(let inner): options(inner)
        case .or(let parts): Array(parts.flatMap { negated($0) }.prefix(mostOptions))
        case .and(let parts): either(parts.map { negated($0) })
        case .flag, .exists, .compare: []
        }
    }

    /// One set of each part, together.
    private static func either(_ parts: [[[IndexKey]]]) -> [[IndexKey]] {
        var union: [IndexKey] = []
        for options in parts {
            guard let best = options.min(by: { weight($0) < weight($1) }) else { return [] }
            union += best
        }
        return union.count > mostKeys ? [] : [union]
    }

    private static func weight(_ keys: [IndexKey]) -> Int { keys.reduce(0) { max($0, $1.weight) } }

    private static func keys(_ comparison: Comparison) -> [IndexKey]? {
        // `any()` looks at further fields of the name, `len()` at no text at all.
        guard !comparison.any, comparison.transform != .length else { return nil }
        let source = IndexKey.Source(field: comparison.left, lowercase: comparison.transform == .lowercase)
        let isHost = Compiler.isHost(comparison.left.id)
        func key(_ bytes: [UInt8], isPrefix: Bool = false) -> IndexKey {
            IndexKey(source: source, isPrefix: isPrefix, text: isHost ? bytes.map { $0 &- 65 < 26 ? $0 | 0x20 : $0 } : bytes)
        }
        switch (comparison.operation, comparison.right) {
        case (.equal, .text(let text)): return [key(text)]
        case (.startsWith, .text(let text)): return text.isEmpty ? nil : [key(text, isPrefix: true)]
        case (.like, .text(let text)):
            let head = Array(text.prefix { $0 != UInt8(ascii: "*") })
            if head.count == text.count { return [key(text)] }
            return head.isEmpty ? nil : [key(head, isPrefix: true)]
        case (.isIn, .texts(let texts)): return texts.count > mostKeys ? nil : texts.map { key($0) }
        case (.matches, .pattern(let pattern)):
            // Hosts are matched without case.
            let prefix = isHost ? [] : PatternLiterals(of: pattern).prefix
            return prefix.isEmpty ? nil : [key(prefix, isPrefix: true)]
        case (.equal, .integer(let number)): return [key(Array("\(number)".utf8))]
        case (.isIn, .integers(let ranges)):
            guard ranges.reduce(0, { $0 + min($1.count, mostKeys + 1) }) <= mostKeys else { return nil }
            return ranges.flatMap { $0.map { key(Array("\($0)".utf8)) } }
        default: return nil
        }
    }
}
