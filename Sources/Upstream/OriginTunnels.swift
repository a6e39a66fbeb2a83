import HTTP
import HTTP1

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
