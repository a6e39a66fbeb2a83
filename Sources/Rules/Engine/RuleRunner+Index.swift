import Buffers
import HTTP

/// Asking the index.
extension RuleRunner {
    /// Finds all rules from `first` on that the exchange as it is now can meet.
    mutating func findCandidates(_ index: RuleIndex, from first: Int32, _ generation: Generation, _ exchange: Exchange) {
        var found = candidates
        candidates = Candidates()
        found.removeAll()
        found.add(index.rest, of: generation.program.forest.postings, from: first)
        for source in index.sources.indices {
            scratch.removeAll()
            let field = generation.program.indexSources[source].field
            let transform: Comparison.Transform = generation.program.indexSources[source].lowercase ? .lowercase : .none
            guard let value = transformed(field, transform, generation, exchange) else { continue }
            let root = generation.program.indexSources[source].root
            withBytes(value, generation, exchange) { text in
                generation.program.forest.walk(text, from: root) {
                    found.add($0, of: generation.program.forest.postings, from: first)
                }
            }
        }
        candidates = found
    }
}
