import Buffers
import Patterns

/// Whether one condition follows from another, for any request. Only simple cases are proved; "no" means "not proved".
struct Implication {
    /// Comparisons of one question: conditions of rules are small, hostile ones are not.
    private var budget = 2_000

    /// Whether every request that meets `p` meets `q`.
    static func holds(_ p: Condition, _ q: Condition) -> Bool {
        var prover = Implication()
        return prover.prove(p, q)
    }

    private mutating func prove(_ p: Condition, _ q: Condition) -> Bool {
        budget -= 1
        guard budget > 0 else { return false }
        switch (p, q) {
        case (_, .constant(true)), (.constant(false), _): return true
        case (.or(let parts), _): return parts.allSatisfy { prove($0, q) }
        case (_, .and(let parts)): return parts.allSatisfy { prove(p, $0) }
        case (_, .or(let parts)) where parts.contains(where: { prove(p, $0) }): return true
        case (.and(let parts), _): return parts.contains { prove($0, q) }
        case (.not(let a), .not(let b)): return prove(b, a)
        case (.flag(let a), .flag(let b)), (.flag(let a), .exists(let b)), (.exists(let a), .exists(let b)): return Self.same(a, b)
        // A comparison of a missing value is false.
        case (.compare(let a), .exists(let b)): return Self.same(a.left, b)
        case (.compare(let a), .compare(let b)): return Self.follows(a, b)
        default: return false
        }
    }

    private static func same(_ a: FieldUse, _ b: FieldUse) -> Bool { a.id == b.id && a.name == b.name }

    private static func follows(_ p: Comparison, _ q: Comparison) -> Bool {
        guard same(p.left, q.left), p.transform == q.transform, !p.any || q.any else { return false }
        if p.transform == .length || p.left.type == .integer { return integers(p, q) }
        switch p.left.type {
        case .address: return addresses(p, q)
        case .text: return texts(p, q)
        default: return false
        }
    }

    // MARK: Texts

    private static func texts(_ p: Comparison, _ q: Comparison) -> Bool {
        if case .field(let a, let aTransform) = p.right, case .field(let b, let bTransform) = q.right {
            return p.operation == q.operation && same(a, b) && aTransform == bTransform
        }
        if case .pattern(let a) = p.right {
            guard case .pattern(let b) = q.right else { return begins(with: literals(p, a).prefix, q) }
            return a == b
        }
        let folds = Compiler.isHost(p.left.id)
        func fold(_ text: [UInt8]) -> [UInt8] { folds ? text.map { lowercased($0) } : text }
        switch (p.operation, p.right) {
        case (.equal, .text(let value)): return meets(fold(value), q, fold)
        case (.isIn, .texts(let values)): return !values.isEmpty && values.allSatisfy { meets(fold($0), q, fold) }
        case (.startsWith, .text(let value)): return begins(with: fold(value), q, fold)
        case (.like, .text(let value)):
            if q.operation == .like, case .text(let other) = q.right, fold(other) == fold(value) { return true }
            let head = Array(value.prefix { $0 != UInt8(ascii: "*") })
            return head.count == value.count ? meets(fold(value), q, fold) : begins(with: fold(head), q, fold)
        case (.endsWith, .text(let value)):
            guard case .text(let other) = q.right else { return false }
            return q.operation == .endsWith && fold(value).suffix(other.count).elementsEqual(fold(other))
                || q.operation == .contains && holds(fold(value), fold(other))
        case (.contains, .text(let value)):
            guard case .text(let other) = q.right else { return false }
            return q.operation == .contains && holds(fold(value), fold(other))
        case (.notEqual, .text(let value)):
            guard case .text(let other) = q.right else { return false }
            return q.operation == .notEqual && fold(value) == fold(other)
        default: return false
        }
    }

    private static func literals(_ comparison: Comparison, _ pattern: String) -> PatternLiterals {
        Compiler.isHost(comparison.left.id) ? PatternLiterals(of: "") : PatternLiterals(of: pattern)
    }

    /// Whether this very text meets `q`.
    private static func meets(_ value: [UInt8], _ q: Comparison, _ fold: ([UInt8]) -> [UInt8]) -> Bool {
        switch (q.operation, q.right) {
        case (.equal, .text(let other)): return value == fold(other)
        case (.notEqual, .text(let other)): return value != fold(other)
        case (.startsWith, .text(let other)): return value.starts(with: fold(other))
        case (.endsWith, .text(let other)): return value.count >= other.count && value.suffix(other.count).elementsEqual(fold(other))
        case (.contains, .text(let other)): return holds(value, fold(other))
        case (.like, .text(let other)): return RuleRunner.like(value.span, fold(other).span)
        case (.isIn, .texts(let others)): return others.contains { fold($0) == value }
        case (.matches, .pattern(let text)):
            guard let pattern = try? Pattern(text, ignoringCase: Compiler.isHost(q.left.id)) else { return false }
            return pattern.matches(value.span)
        default: return false
        }
    }

    /// Whether every text that begins with `head` meets `q`.
    private static func begins(with head: [UInt8], _ q: Comparison, _ fold: ([UInt8]) -> [UInt8] = { $0 }) -> Bool {
        guard case .text(let other) = q.right else { return false }
        switch q.operation {
        case .startsWith: return head.starts(with: fold(other))
        case .contains: return holds(head, fold(other))
        case .like:
            let before = other.prefix { $0 != UInt8(ascii: "*") }
            return before.count == other.count - 1 && head.starts(with: fold(Array(before)))
        default: return false
        }
    }

    private static func holds(_ text: [UInt8], _ part: [UInt8]) -> Bool { text.span.firstRange(of: part.span) != nil }

    // MARK: Numbers

    private static func integers(_ p: Comparison, _ q: Comparison) -> Bool {
        guard let inner = ranges(p), let outer = ranges(q), !inner.isEmpty else { return false }
        return inner.allSatisfy { range in outer.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound } }
    }

    private static func ranges(_ comparison: Comparison) -> [ClosedRange<Int>]? {
        switch (comparison.operation, comparison.right) {
        case (.isIn, .integers(let ranges)): ranges
        case (.equal, .integer(let number)): [number...number]
        case (.less, .integer(let number)): number > .min ? [Int.min...number - 1] : nil
        case (.lessOrEqual, .integer(let number)): [Int.min...number]
        case (.greater, .integer(let number)): number < .max ? [number + 1...Int.max] : nil
        case (.greaterOrEqual, .integer(let number)): [number...Int.max]
        case (.notEqual, .integer(let number)): number > .min && number < .max ? [Int.min...number - 1, number + 1...Int.max] : nil
        default: nil
        }
    }

    // MARK: Addresses

    private static func addresses(_ p: Comparison, _ q: Comparison) -> Bool {
        guard let inner = networks(p), let outer = networks(q), !inner.isEmpty else { return false }
        return inner.allSatisfy { range in outer.contains { contains($0, range) } }
    }

    private static func networks(_ comparison: Comparison) -> [AddressRange]? {
        switch (comparison.operation, comparison.right) {
        case (.isIn, .addresses(let ranges)): ranges
        case (.equal, .address(let address)): [AddressRange(network: address, prefix: address.isV6 ? 128 : 32)]
        default: nil
        }
    }

    private static func contains(_ outer: AddressRange, _ inner: AddressRange) -> Bool {
        outer.network.isV6 == inner.network.isV6 && outer.prefix <= inner.prefix && AddressSet([outer]).contains(inner.network)
    }
}
