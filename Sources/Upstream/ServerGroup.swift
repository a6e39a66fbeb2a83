import HTTP
import Reactor
import TLS
import Telemetry

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
    /// Of the settings, for each request: the settings as a whole are dear to copy.
    let times: ExchangeTimes
    let mayMultiplex: Bool
    let servers: [Server]
    let context: OriginContext
    var budget = RetryBudget()
    private let owners: Rendezvous?

    init(_ settings: UpstreamSettings, _ context: OriginContext) throws(TLSConfigurationError) {
        self.settings = settings
        times = ExchangeTimes(settings)
        mayMultiplex = settings.mayMultiplex
        self.context = context
        let tls = context.stage == nil && settings.servers.contains { $0.secure } ? try TLSContexts(settings) : nil
        var made: [Server] = []
        for (index, address) in settings.servers.enumerated() {
            made.append(Server(index, address, settings, address.secure ? tls : nil, context))
        }
        servers = made
        owners = settings.balance == .hash ? Rendezvous(made.map { ($0.name, $0.address.weight) }) : nil
        for server in servers { server.group = self }
    }

    /// - Precondition: a group has servers; the configuration is refused otherwise.
    func open(_ exchange: ForwardedExchange) {
        guard let server = pick(exchange, excluding: nil) else { preconditionFailure("an upstream without servers") }
        budget.earn((exchange.retry ?? settings.retry).budget)
        exchange.originServer = server.index
        server.serve(exchange)
    }

    /// A server that serves; when none does (or too few for the others' load), one of them all the same.
    func pick(_ exchange: ForwardedExchange, excluding failed: Server?) -> Server? {
        if servers.count == 1 { return servers[0] === failed ? nil : servers[0] }
        let now = context.reactor.now
        if settings.panicPercent > 0, isPanic(now) {
            context.metrics.add(.upstreamPanics)
            return choose(exchange, .max, failed)
        }
        return choose(exchange, now, failed) ?? choose(exchange, .max, failed)
    }

    private func isPanic(_ now: UInt64) -> Bool {
        servers.count { $0.health.isAvailable(now) } * 100 < settings.panicPercent * servers.count
    }

    /// - Parameter now: `.max` looks at nobody's health.
    private func choose(_ exchange: ForwardedExchange, _ now: UInt64, _ failed: Server?) -> Server? {
        if let kept = keptServer(exchange, now, failed) { return kept }
        switch settings.balance {
        case .random: return drawn(now, failed)
        case .roundRobin: return nextInTurn(now, failed)
        case .leastRequests: return lessBusy(now, failed)
        case .hash:
            guard let key = exchange.balanceKey, let owners else { return drawn(now, failed) }
            return owners.server(for: key) { isUsable(servers[$0], now, failed) }.map { servers[$0] }
        }
    }

    /// The server that the client's cookie names.
    private func keptServer(_ exchange: ForwardedExchange, _ now: UInt64, _ failed: Server?) -> Server? {
        guard settings.sticky != nil, let key = exchange.balanceKey else { return nil }
        return servers.first { $0.cookieKey == key && isUsable($0, now, failed) }
    }

    private func isUsable(_ server: Server, _ now: UInt64, _ failed: Server?) -> Bool {
        server !== failed && (now == .max || server.health.isAvailable(now))
    }

    /// The power of two choices: nearly as even as looking at all, without their herding.
    private func lessBusy(_ now: UInt64, _ failed: Server?) -> Server? {
        guard let first = drawn(now, failed) else { return nil }
        guard let second = drawn(now, failed) else { return first }
        return first.load * share(second, now) <= second.load * share(first, now) ? first : second
    }

    /// Smooth weighted round robin: weights 3 and 1 give a a b a, not a a a b.
    private func nextInTurn(_ now: UInt64, _ failed: Server?) -> Server? {
        var best: Server?
        var total = 0
        for server in servers where isUsable(server, now, failed) {
            let share = share(server, now)
            server.turnCredit += share
            total += share
            if best.map({ server.turnCredit > $0.turnCredit }) ?? true { best = server }
        }
        best?.turnCredit -= total
        return best
    }

    private func drawn(_ now: UInt64, _ failed: Server?) -> Server? {
        var total = 0
        for server in servers where isUsable(server, now, failed) { total += share(server, now) }
        guard total > 0 else { return nil }
        var left = Int(truncatingIfNeeded: context.random.next() % UInt64(total))
        for server in servers where isUsable(server, now, failed) {
            left -= share(server, now)
            if left < 0 { return server }
        }
        return nil
    }

    /// A server's part of the requests. One that has just come back gets a tenth, and more by and by (slow start).
    private func share(_ server: Server, _ now: UInt64) -> Int {
        guard settings.slowStart > 0, server.health.upSince > 0, now != .max else { return server.address.weight * 100 }
        let age = now > server.health.upSince ? now - server.health.upSince : 0
        guard age < settings.slowStart else { return server.address.weight * 100 }
        return max(server.address.weight * max(10, Int(age * 100 / settings.slowStart)), 1)
    }
}

/// xorshift64: a choice between servers needs no secrets, and no system call.
struct ServerRandom {
    private var state = UInt64.random(in: 1 ... .max)

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
