import Buffers
import HTTP
import Rules

/// A request that has something of everything.
public func sampleExchange() -> Exchange {
    let exchange = Exchange()
    exchange.request.setMethod(Array("POST".utf8).span)
    exchange.request.authority = exchange.request.arena.append("Shop.example.com:8443")
    let target = exchange.request.arena.append("/a/b.css?q=x%20y&z")
    exchange.request.path = target.prefix(8)
    exchange.request.query = target.dropFirst(9)
    exchange.request.hasQuery = true
    exchange.request.body = .known(42)
    for (name, value) in [("cookie", "sid=1; beta=2"), ("x-one", "AbC"), ("x-one", "second"), ("content-type", "text/html")] {
        exchange.request.add(name: Array(name.utf8).span, value: Array(value.utf8).span)
    }
    exchange.client.address = IPAddress("10.1.2.3") ?? .unspecified
    exchange.client.port = 4711
    exchange.keepOriginal()
    exchange.response.status = 404
    exchange.response.add(name: Array("server".utf8).span, value: Array("origin".utf8).span)
    exchange.origin.called = true
    exchange.origin.status = 404
    exchange.vars.set(Array("v".utf8).span, Array("value".utf8).span)
    return exchange
}

/// Ids of the request rules that match.
public func matchedRules(_ generation: Generation, asksEveryRule: Bool) -> [Int32] {
    let exchange = sampleExchange()
    var runner = RuleRunner()
    runner.asksEveryRule = asksEveryRule
    guard runner.begin(generation, exchange) else { return [-1] }
    runner.enter(.request, exchange)
    while true {
        switch runner.next(exchange) {
        case .done, .respond, .drop: return exchange.matchedRules
        default: continue
        }
    }
}
