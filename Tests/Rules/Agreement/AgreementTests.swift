import Foundation
import HTTP
import Rules
import Testing

/// The engine with its index, the engine asking every rule, and a naive interpreter come to the same end.
@Suite struct AgreementTests {
    /// Requests for one rule file.
    static let requestsOfFile = 25

    /// `SLUICE_AGREEMENT_CASES=1000000 swift test --filter AgreementTests` runs more; `SLUICE_AGREEMENT_SEED` elsewhere.
    @Test func `the indexed engine does what a naive interpreter does`() throws {
        let environment = ProcessInfo.processInfo.environment
        let cases = environment["SLUICE_AGREEMENT_CASES"].flatMap { Int($0) } ?? 5_000
        let seed = environment["SLUICE_AGREEMENT_SEED"].flatMap { UInt64($0) } ?? 1
        var done = 0
        var file = seed &* 1_000_003
        var matches = 0
        while done < cases {
            file += 1
            let (failure, matched) = try check(seed: file)
            matches += matched
            if let failure {
                Issue.record("seed \(file) of SLUICE_AGREEMENT_SEED=\(seed):\n\(failure)")
                return
            }
            done += Self.requestsOfFile
            if done % 50_000 < Self.requestsOfFile { print("agreement: \(done) cases") }
        }
        // Rules that nothing meets would agree about nothing.
        #expect(matches > cases)
    }

    /// - Returns: what was different, and how many rules matched.
    private func check(seed: UInt64) throws -> (failure: String?, matched: Int) {
        var random = RandomRules(seed: seed)
        let text = random.file()
        let loaded = load(text)
        let configuration = try #require(loaded.configuration, "seed \(seed)\n\(loaded.diagnostics.text)\n\(text)")
        let generation = Generation(configuration)
        var matched = 0
        for _ in 0..<Self.requestsOfFile {
            let request = random.request()
            var naive = NaiveInterpreter(configuration, request)
            let exchanges = [request.exchange, request.exchange]
            let runners = [Runner(generation), Runner(generation, asksEveryRule: true)]
            for phase in [Phase.request, .response] {
                let wanted = naive.run(phase)
                for index in 0...1 {
                    let got = runners[index].run(phase, exchanges[index])
                    if got != wanted { return ("\(phase), every rule: \(index == 1)\nwanted \(wanted)\ngot    \(got)\n\(request)\n\(text)", matched) }
                }
                matched += exchanges[0].matchedRules.count
                if !wanted.contains(" done ") { break }
            }
        }
        return (nil, matched)
    }

    /// Holds a runner, which cannot be in an array.
    private final class Runner {
        private var runner = RuleRunner()
        private let generation: Generation
        private var hasSite: Bool?

        init(_ generation: Generation, asksEveryRule: Bool = false) {
            self.generation = generation
            runner.asksEveryRule = asksEveryRule
        }

        func run(_ phase: Phase, _ exchange: Exchange) -> String {
            if hasSite == nil { hasSite = runner.begin(generation, exchange) }
            guard hasSite == true else { return "no site" }
            let before = exchange.matchedRules.count
            runner.enter(phase, exchange)
            let end = switch runner.next(exchange) {
            case .done: "done"
            case .drop: "drop"
            case .respond: "respond"
            default: "unknown"
            }
            let matched = exchange.matchedRules[before...].map { generation.ruleID($0) }
            return exchange.outcome(Array(matched), end, variables: RandomRules.variables)
        }
    }
}
