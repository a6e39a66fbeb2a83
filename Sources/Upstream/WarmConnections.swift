import HTTP
import Reactor
import Telemetry

/// Connections that are opened ahead of need (`warm`), so that a burst finds them with name, TCP and TLS behind them.
extension Server {
    /// Milliseconds before connections are opened again that the server closed unused.
    private static let warmPause: UInt64 = 1_000

    /// Opens what is missing. A server that is left out is left alone.
    func keepWarm(_ now: UInt64) {
        guard settings.warm > 0, now >= nextWarmUp, health.isAvailable(now), hasAddresses(now) else { return }
        // One connection that serves many exchanges at once is enough.
        let wanted = speaksHTTP2 ? 1 : settings.warm
        let ready = idle.count + warmUps.count + multiplexed.count(where: \.hasRoom)
        if speaksHTTP2, dialing > 0 { return }
        let missing = min(wanted - ready, settings.maximumConnections - open - waiting.count)
        for _ in 0..<max(missing, 0) {
            let warmUp = WarmUp(self)
            warmUps.append(warmUp)
            context.metrics.add(.upstreamWarmUps)
            connect(warmUp, toAddress: 0)
        }
    }

    /// The server closed an idle connection that had never been used.
    func closedUnused() {
        if settings.warm > 0 { nextWarmUp = context.reactor.now + Server.warmPause }
    }

    fileprivate func warmUpEnded(_ warmUp: WarmUp) { warmUps.removeAll { $0 === warmUp } }

    func stopWarmingUp() {
        for warmUp in warmUps { warmUp.cancelOrigin() }
        warmUps.removeAll()
    }
}

/// Asks for a connection and leaves it to whoever comes.
final class WarmUp: ForwardedExchange {
    private unowned let server: Server

    init(_ server: Server) {
        self.server = server
        super.init()
        isProbe = true
        onlyConnects = true
        leavesConnection = true
        times = ExchangeTimes(server.settings)
        connectBy = server.context.reactor.now + times.connect
        requestBodyEnded = true
    }

    override func originResponded() { server.warmUpEnded(self) }
    override func originFailed(_ error: GatewayError) { server.warmUpEnded(self) }
}
