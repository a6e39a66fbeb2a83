import Buffers
import HTTP
import Rules

/// The cost of the request phase, in nanoseconds of processor time for each request.
final class Evaluation {
    private let generation: Generation
    private let exchanges: [Exchange]
    private var runner = RuleRunner()

    init(_ set: RuleSet, sites: Int = 1, requests: Int = 1_000) {
        let loaded = RuleFile.load("rules.yaml", provider: FileBundle(["rules.yaml": set.text(sites: sites)]))
        guard let configuration = loaded.configuration else { fail("the rules do not load:\n\(loaded.diagnostics.text)") }
        generation = Generation(configuration)
        exchanges = set.requests(requests, sites: sites).map { $0.exchange() }
    }

    /// Runs the phase for every request, `passes` times.
    /// - Parameter withRules: false runs all but the rules: what measuring itself costs.
    /// - Returns: nanoseconds a request.
    func cost(passes: Int, withRules: Bool) -> Double {
        let begin = Clock.processor()
        var matched = 0
        for _ in 0..<passes {
            for exchange in exchanges {
                let mark = exchange.request.arena.count
                if withRules { evaluate(exchange) }
                matched += exchange.matchedRules.count
                exchange.matchedRules.removeAll(keepingCapacity: true)
                exchange.request.path = exchange.original.path
                exchange.request.arena.truncate(to: mark)
                exchange.response.reset()
                exchange.vars.removeAll()
            }
        }
        let spent = Clock.processor() - begin
        if withRules, generation.ruleCount > 0, matched == 0 { fail("no request met a rule") }
        return Double(spent) / Double(passes * exchanges.count)
    }

    private func evaluate(_ exchange: Exchange) {
        guard runner.begin(generation, exchange) else { fail("a request met no site") }
        runner.enter(.request, exchange)
        if case .run = runner.next(exchange) { fail("a rule asked for a hook") }
    }
}

extension Request {
    func exchange() -> Exchange {
        let exchange = Exchange()
        exchange.request.setMethod(Array(method.utf8).span)
        exchange.request.authority = exchange.request.arena.append(host)
        exchange.request.path = exchange.request.arena.append(path)
        for (name, value) in [
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
            ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), ("accept-language", "en-GB,en;q=0.5"),
            ("accept-encoding", "gzip, deflate, br, zstd"),
        ] {
            exchange.request.add(name: Array(name.utf8).span, value: Array(value.utf8).span)
        }
        if let header { exchange.request.add(name: Array(header.name.utf8).span, value: Array(header.value.utf8).span) }
        exchange.client.address = IPAddress("192.0.2.7") ?? .unspecified
        exchange.requestID = RequestID(high: 1, low: 2)
        exchange.keepOriginal()
        return exchange
    }
}
