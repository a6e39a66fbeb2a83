import Buffers

/// Finds rules that no request reaches: an earlier rule ends the phase for all that they would match.
struct UnreachableFinder {
    /// Earlier rules without a key that are compared with every later one, and questions asked in all.
    private static let mostLoose = 64
    private static let mostQuestions = 200_000

    private let rules: [Rule]
    private var forest = RadixForest()
    private var roots: [IndexKey.Source: Int32] = [:]
    private var loose: [Int32] = []
    private var questions = 0

    init(_ rules: [Rule]) {
        self.rules = rules
        var entries: [IndexKey.Source: [[UInt8]: RadixForest.Entry]] = [:]
        for (index, rule) in rules.enumerated() where Lint.isFinal(rule) {
            guard let condition = rule.condition?.root else { continue }
            guard let keys = IndexPlan.options(condition).min(by: { $0.count < $1.count }), !keys.isEmpty else {
                if loose.count < Self.mostLoose { loose.append(Int32(index)) }
                continue
            }
            for key in Set(keys) {
                if key.isPrefix {
                    entries[key.source, default: [:]][key.text, default: .init(text: key.text)].prefix.append(Int32(index))
                } else {
                    entries[key.source, default: [:]][key.text, default: .init(text: key.text)].exact.append(Int32(index))
                }
            }
        }
        for (source, byText) in entries {
            roots[source] = forest.plant(byText.values.sorted { $0.text.lexicographicallyPrecedes($1.text) })
        }
    }

    /// Pairs of a rule that is never reached and the rule that stands before it.
    mutating func find() -> [(rule: Int, wall: Int)] {
        guard !roots.isEmpty || !loose.isEmpty else { return [] }
        var found: [(rule: Int, wall: Int)] = []
        // The last rule that changes a field, for each bit of a mask.
        var last: [(mask: FieldMask, rule: Int)] = []
        for (index, rule) in rules.enumerated() {
            if let condition = rule.condition?.root, let wall = wall(before: index, condition, last) { found.append((index, wall)) }
            guard !rule.shadow else { continue }
            let changes = rule.actions.reduce(FieldMask.none) { $0.union($1.kind.changes) }
            guard changes.meets(.all) else { continue }
            last.removeAll { changes.covers($0.mask) }
            last.append((changes, index))
        }
        return found
    }

    private mutating func wall(before index: Int, _ condition: Condition, _ last: [(mask: FieldMask, rule: Int)]) -> Int? {
        var candidates = loose
        for key in IndexPlan.options(condition).joined() {
            guard let root = roots[key.source] else { continue }
            forest.walk(key.text.span, from: root) { candidates += forest.postings[$0.indices] }
        }
        for candidate in Set(candidates).sorted() where candidate < index {
            guard questions < Self.mostQuestions, let wall = rules[Int(candidate)].condition?.root else { return nil }
            questions += 1
            // What the earlier rule saw must be what this one sees.
            let fields = wall.fields
            guard !last.contains(where: { $0.rule > candidate && $0.mask.meets(fields) }) else { continue }
            if Implication.holds(condition, wall) { return Int(candidate) }
        }
        return nil
    }
}

extension Condition {
    /// Everything it asks for.
    var fields: FieldMask {
        switch self {
        case .constant: .none
        case .and(let parts), .or(let parts): parts.reduce(.none) { $0.union($1.fields) }
        case .not(let inner): inner.fields
        case .flag(let use), .exists(let use): FieldMask(use.id)
        case .compare(let comparison):
            if case .field(let other, _) = comparison.right { FieldMask(comparison.left.id, other.id) } else { FieldMask(comparison.left.id) }
        }
    }
}
