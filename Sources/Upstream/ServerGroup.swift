import HTTP
import Reactor
import TLS

/// How the servers of a group are spoken to over TLS.
struct TLSContexts {
    let usual: ClientContext
    /// An upgrade (WebSocket) needs HTTP/1.1, whatever the rest may speak.
    let upgrades: ClientContext

    init(_ settings: UpstreamSettings) throws(TLSConfigurationError) {
        var options = settings.tls
        options.alpn = settings.wire.alpn
        usual = try ClientContext(options)
        guard settings.wire == .auto else {
            upgrades = usual
            return
        }
        options.alpn = UpstreamSettings.Wire.http1.alpn
        upgrades = try ClientContext(options)
    }
}

/// Servers that answer the same requests, and the choice between them.
final class ServerGroup {
    let settings: UpstreamSettings
    let servers: [Server]
    private let context: OriginContext
    /// xorshift64: a choice between servers needs no secrets, and no system call.
    private var random: UInt64

    init(_ settings: UpstreamSettings, _ context: OriginContext) throws(TLSConfigurationError) {
        self.settings = settings
        self.context = context
        random = UInt64.random(in: 1 ... .max)
        let tls = settings.servers.contains { $0.secure } ? try TLSContexts(settings) : nil
        var made: [Server] = []
        for (index, address) in settings.servers.enumerated() {
            made.append(Server(index, address, settings, address.secure ? tls : nil, context))
        }
        servers = made
        for server in servers { server.group = self }
    }

    /// - Precondition: a group has servers; the configuration is refused otherwise.
    func open(_ exchange: ForwardedExchange) {
        guard let server = pick(excluding: nil) else { preconditionFailure("an upstream without servers") }
        exchange.origin.server = server.index
        server.serve(exchange)
    }

    /// Sends the exchange to a server other than `failed`; false when there is none.
    func openElsewhere(_ exchange: ForwardedExchange, than failed: Server) -> Bool {
        guard let server = pick(excluding: failed) else { return false }
        exchange.origin.server = server.index
        server.serve(exchange)
        return true
    }

    /// A server that is not passed over; when all are, one of them anyway.
    func pick(excluding failed: Server?) -> Server? {
        if servers.count == 1 { return servers[0] === failed ? nil : servers[0] }
        let now = context.reactor.now
        return choose(now, failed) ?? choose(.max, failed)
    }

    private func choose(_ now: UInt64, _ failed: Server?) -> Server? {
        if settings.random { return drawn(now, failed) }
        guard settings.leastRequests else { return nextInTurn(now, failed) }
        // The power of two choices: nearly as even as looking at all, without their herding.
        guard let first = drawn(now, failed) else { return nil }
        guard let second = drawn(now, failed) else { return first }
        return first.busy * second.address.weight <= second.busy * first.address.weight ? first : second
    }

    /// Smooth weighted round robin: weights 3 and 1 give a a b a, not a a a b.
    private func nextInTurn(_ now: UInt64, _ failed: Server?) -> Server? {
        var best: Server?
        var total = 0
        for server in servers where server !== failed && server.ejectedUntil <= now {
            server.turnCredit += server.address.weight
            total += server.address.weight
            if best.map({ server.turnCredit > $0.turnCredit }) ?? true { best = server }
        }
        best?.turnCredit -= total
        return best
    }

    private func drawn(_ now: UInt64, _ failed: Server?) -> Server? {
        var total = 0
        for server in servers where server !== failed && server.ejectedUntil <= now { total += server.address.weight }
        guard total > 0 else { return nil }
        var left = Int(truncatingIfNeeded: nextRandom() % UInt64(total))
        for server in servers where server !== failed && server.ejectedUntil <= now {
            left -= server.address.weight
            if left < 0 { return server }
        }
        return nil
    }

    private func nextRandom() -> UInt64 {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return random
    }
}
