import HTTP
import HTTP1
import Telemetry

/// CONNECT: the origin is no HTTP server, its connection is the tunnel.
extension OriginConnection {
    /// The connection stands: the client hears 200, and from then on both sides are raw bytes.
    func openTunnel(_ exchange: ForwardedExchange) {
        unsent = false
        state = .tunnel
        keepsAlive = false
        exchange.requestBodyEnded = false
        exchange.response.reset()
        exchange.response.status = 200
        expect(within: times.idle)
        exchange.originUpgraded()
        if self.exchange === exchange { resumeSoon() }
    }
}

/// A tunnel whose client has ended its side, and whose origin knows it.
extension OriginStream {
    /// What is left is the origin's to say, which it may be long about but not silent: nobody else ends such a tunnel, and a worker
    /// that drains waits for it.
    func clientEndedTunnel() {
        guard !isHalfClosed else { return }
        isHalfClosed = true
        times.idle = min(times.idle, times.halfClosed)
        expect(within: times.idle)
    }

    /// What a tunnel that was silent for too long counts as.
    var tunnelTimeout: Counter { isHalfClosed ? .timeoutsHalfClosed : .timeoutsUpstreamIdle }
}
