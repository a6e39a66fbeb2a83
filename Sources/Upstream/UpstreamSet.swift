public import Buffers
import HTTP
public import Reactor
public import TLS
public import Telemetry

/// The origins of one configuration generation: picks a server, reuses or makes a connection.
public final class UpstreamSet {
    private let groups: [ServerGroup]
    let reactor: Reactor
    let pool: SlabPool
    let metrics: Metrics
    let resolver: Resolver?
    private(set) var isRetired = false

    /// - Throws: when a trust store cannot be used.
    public init(
        settings: [UpstreamSettings], reactor: Reactor, pool: SlabPool, metrics: Metrics, resolver: Resolver?
    ) throws(TLSConfigurationError) {
        self.reactor = reactor
        self.pool = pool
        self.metrics = metrics
        self.resolver = resolver
        var made: [ServerGroup] = []
        for setting in settings { made.append(try ServerGroup(setting)) }
        groups = made
        for group in groups { for server in group.servers { server.set = self } }
    }

    /// Sends `exchange.request` to one of the group's servers. The outcome comes through the exchange.
    public func open(_ exchange: ForwardedExchange, upstream: Int) {
        guard groups.indices.contains(upstream) else {
            return exchange.originFailed(GatewayError(.noServer, in: .connect, note: "no such upstream"))
        }
        exchange.origin.upstream = upstream
        open(exchange, groups[upstream], excluding: nil)
    }

    func open(_ exchange: ForwardedExchange, _ group: ServerGroup, excluding failed: Server?) {
        guard let server = group.pick(now: reactor.now, excluding: failed) else {
            return exchange.originFailed(
                GatewayError(.noServer, in: .connect, retrySafe: true, note: "upstream \(group.settings.name): no server is usable"))
        }
        exchange.origin.server = server.index
        server.serve(exchange)
    }

    /// Nothing new comes: idle connections close, running exchanges finish.
    public func retire() {
        isRetired = true
        for group in groups { for server in group.servers { server.closeIdle() } }
    }

    /// Connections now open, idle ones included.
    public var connectionCount: Int { groups.reduce(0) { $0 + $1.servers.reduce(0) { $0 + $1.open } } }
}

/// Servers that answer the same requests.
final class ServerGroup {
    let settings: UpstreamSettings
    let servers: [Server]
    private var next = 0
    private var random = SystemRandomNumberGenerator()

    init(_ settings: UpstreamSettings) throws(TLSConfigurationError) {
        self.settings = settings
        let context = settings.servers.contains { $0.secure } ? try ClientContext(settings.tls) : nil
        var made: [Server] = []
        for (index, server) in settings.servers.enumerated() { made.append(Server(index, server, settings, context)) }
        servers = made
        for server in servers { server.group = self }
    }

    /// The next usable server; when all are ejected, the next one anyway.
    func pick(now: UInt64, excluding failed: Server?) -> Server? {
        if servers.count == 1 { return failed == nil ? servers[0] : nil }
        if settings.leastRequests, failed == nil { return pickLeast(now) }
        for pass in 0..<2 {
            for _ in servers.indices {
                let server = servers[next]
                next = (next + 1) % servers.count
                if server !== failed, pass == 1 || server.ejectedUntil <= now { return server }
            }
        }
        return nil
    }

    private func pickLeast(_ now: UInt64) -> Server {
        let a = servers[Int.random(in: 0..<servers.count, using: &random)]
        let b = servers[Int.random(in: 0..<servers.count, using: &random)]
        if a.ejectedUntil > now, b.ejectedUntil <= now { return b }
        if b.ejectedUntil > now, a.ejectedUntil <= now { return a }
        return a.busy <= b.busy ? a : b
    }
}
