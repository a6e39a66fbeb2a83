import Buffers
import HTTP
import Testing

@Suite struct ExchangeResetTests {
    /// Every value that rules, hooks and logs can ask for.
    private func values(_ exchange: Exchange) -> [String] {
        ["\(exchange.original)", "\(exchange.origin)", "\(exchange.requestID)", "\(exchange.site)", "\(exchange.upstream)",
         "\(String(describing: exchange.retry))", "\(exchange.attemptTimes)", "\(String(describing: exchange.balanceKey))",
         "\(exchange.bodyLimit)", "\(String(describing: exchange.error))", exchange.failedHook, "\(exchange.started)", "\(exchange.startedWall)"]
    }

    @Test func whatIsResetIsLikeNewButForItsClient() {
        let exchange = Exchange()
        var original = OriginalTarget()
        original.path = ByteRange(start: 1, count: 2)
        exchange.original = original
        var client = ClientInfo()
        client.port = 4711
        exchange.client = client
        var origin = OriginInfo()
        origin.attempts = 2
        exchange.origin = origin
        exchange.requestID = RequestID(high: 1, low: 2)
        exchange.site = 3
        exchange.upstream = 4
        exchange.retry = RetryPolicy()
        var times = AttemptTimes()
        times.total = 5
        exchange.attemptTimes = times
        exchange.balanceKey = 6
        exchange.bodyLimit = 7
        exchange.error = GatewayError(.overloaded, in: .requestHead, note: "a note")
        exchange.failedHook = "a hook"
        exchange.started = 8
        exchange.startedWall = 9
        let fresh = values(Exchange())
        for (old, new) in zip(values(exchange), fresh) { #expect(old != new) }
        exchange.reset()
        #expect(values(exchange) == fresh)
        #expect(exchange.client.port == 4711)
    }
}
