import Buffers

/// Choosing for each rule of a phase what to find it by.
extension Compiler {
    /// Below this many rules asking each is cheaper than asking an index.
    static let fewestIndexed = 12
    /// Fields that one index asks for at most, and rules that make asking for a field worth it.
    static let mostSources = 8
    static let fewestOfSource = 4

    /// - Parameter slots: where the compiled rules are.
    /// - Returns: the index's number, or -1 when there is none.
    mutating func index(_ rules: [Rule], at slots: Slots) -> Int32 {
        guard rules.count >= Self.fewestIndexed else { return -1 }
        let options = rules.map { $0.condition.map { IndexPlan.options($0.root) } ?? [] }
        var frequency: [IndexKey: Int] = [:]
        for key in options.joined().joined() { frequency[key, default: 0] += 1 }

        var uses: [IndexKey.Source: Int] = [:]
        for each in options {
            for source in Set((Self.choice(each, frequency, nil) ?? []).map(\.source)) { uses[source, default: 0] += 1 }
        }
        let worthwhile = uses.filter { $0.value >= Self.fewestOfSource }.sorted { ($1.value, $0.key.field.written) < ($0.value, $1.key.field.written) }
        let sources = worthwhile.prefix(Self.mostSources).map(\.key)
        guard !sources.isEmpty else { return -1 }

        let allowed = Set(sources)
        var entries: [IndexKey.Source: [IndexKey: [Int32]]] = [:]
        var rest: [Int32] = []
        for (offset, each) in options.enumerated() {
            let rule = slots.start + Int32(offset)
            guard let keys = Self.choice(each, frequency, allowed) else {
                rest.append(rule)
                continue
            }
            for key in Set(keys) { entries[key.source, default: [:]][key, default: []].append(rule) }
        }
        return add(sources, entries, rest)
    }

    /// The keys that the fewest requests are likely to have.
    private static func choice(
        _ options: [[IndexKey]], _ frequency: [IndexKey: Int], _ allowed: Set<IndexKey.Source>?
    ) -> [IndexKey]? {
        func cost(_ keys: [IndexKey]) -> Int { keys.reduce(0) { max($0, $1.weight * (frequency[$1] ?? 1)) } }
        let possible = options.filter { keys in allowed.map { allowed in keys.allSatisfy { allowed.contains($0.source) } } ?? true }
        return possible.min { cost($0) < cost($1) }
    }

    private mutating func add(
        _ sources: [IndexKey.Source], _ entries: [IndexKey.Source: [IndexKey: [Int32]]], _ rest: [Int32]
    ) -> Int32 {
        let start = program.indexSources.count
        var fields = FieldMask.none
        for source in sources {
            guard let keys = entries[source] else { continue }
            var byText: [[UInt8]: RadixForest.Entry] = [:]
            for (key, rules) in keys {
                if key.isPrefix {
                    byText[key.text, default: .init(text: key.text)].prefix = rules
                } else {
                    byText[key.text, default: .init(text: key.text)].exact = rules
                }
            }
            let sorted = byText.values.sorted { $0.text.lexicographicallyPrecedes($1.text) }
            fields.insert(source.field.id)
            program.indexSources.append(IndexSource(
                field: slot(source.field), lowercase: source.lowercase, root: program.forest.plant(sorted)))
        }
        program.indexes.append(RuleIndex(
            sources: Slots(start, program.indexSources.count), rest: program.forest.list(rest), fields: fields))
        return Int32(program.indexes.count - 1)
    }
}
