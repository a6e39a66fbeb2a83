public import Buffers
import HTTP
public import Reactor
public import TLS
public import Telemetry

/// What all connections of one set work with.
final class OriginContext {
    let reactor: Reactor
    let pool: SlabPool
    let metrics: Metrics
    let resolver: Resolver?
    var isRetired = false
    var random = ServerRandom()
    /// Streams of HTTP/2 connections that wait to be used again.
    var idleStreams: [MultiplexedStream] = []
    /// Plays the origins in a rehearsal; nil: they are real.
    let stage: OriginStage?
    /// What other workers know of the servers; nil: there are none.
    let board: HealthBoard?
    /// Which addresses may be connected to; nil: all.
    var addresses: AddressPolicy?
    /// Where a decoder puts the trailers it finds, between two calls empty.
    var trailers = Head()

    init(reactor: Reactor, pool: SlabPool, metrics: Metrics, resolver: Resolver?, stage: OriginStage?, board: HealthBoard?) {
        self.stage = stage
        self.board = board
        self.reactor = reactor
        self.pool = pool
        self.metrics = metrics
        self.resolver = resolver
    }
}

/// The origins of one configuration generation: picks a server, reuses or makes a connection.
public final class UpstreamSet {
    let groups: [ServerGroup]
    let context: OriginContext

    /// - Parameter resolver: nil fails every server that is not a numeric address.
    /// - Parameter stage: plays the servers; nothing is connected to.
    /// - Parameter board: where workers share what they know of servers.
    /// - Throws: when a trust store cannot be used.
    public init(
        settings: [UpstreamSettings], reactor: Reactor, pool: SlabPool, metrics: Metrics, resolver: Resolver?,
        stage: OriginStage? = nil, board: HealthBoard? = nil
    ) throws(TLSConfigurationError) {
        context = OriginContext(reactor: reactor, pool: pool, metrics: metrics, resolver: resolver, stage: stage, board: board)
        var made: [ServerGroup] = []
        for setting in settings { made.append(try ServerGroup(setting, context)) }
        groups = made
    }

    /// Sends `exchange.request` to one of the group's servers. The outcome comes through the exchange's events.
    /// - Parameter upstream: an index into the settings this set was made of.
    public func open(_ exchange: ForwardedExchange, upstream: Int) {
        precondition(groups.indices.contains(upstream), "an upstream that the settings do not have")
        exchange.originUpstream = upstream
        let group = groups[upstream]
        exchange.beginAttempts(group, context.reactor)
        group.open(exchange)
    }

    /// Nothing new comes: idle connections close, running exchanges finish.
    public func retire() {
        context.isRetired = true
        for group in groups {
            for server in group.servers {
                server.stopChecks()
                server.stopWarmingUp()
                server.closeIdle()
            }
        }
    }

    /// Begins active health checks, and opens what is to be open ahead of need. Call it after `adoptIdle`.
    public func start() {
        for group in groups { for server in group.servers { server.startChecks() } }
        tick()
    }

    /// Learns what other workers found out, and makes up for connections that are to be open ahead of need. Call it some
    /// times a second.
    public func tick() {
        guard !context.isRetired, context.stage == nil else { return }
        let now = context.reactor.now
        for group in groups {
            for server in group.servers {
                server.learn(now)
                server.followName(now)
                server.keepWarm(now)
            }
        }
    }

    /// What Set-Cookie has to say so that the client stays with the server that answers it now; nil when it need not.
    public func stickyCookie(for exchange: ForwardedExchange) -> String? {
        let origin = exchange.origin
        guard groups.indices.contains(origin.upstream) else { return nil }
        let group = groups[origin.upstream]
        guard let name = group.settings.sticky, group.servers.indices.contains(origin.server) else { return nil }
        let server = group.servers[origin.server]
        guard exchange.balanceKey != server.cookieKey else { return nil }
        return "\(name)=\(server.cookieText)\(group.settings.stickyAttributes)"
    }

    /// Takes over what an older set learnt of servers that stay, whatever else of their upstream changes.
    private func inheritHealth(_ group: ServerGroup, _ before: ServerGroup) {
        for server in group.servers {
            server.inheritHealth(of: before.servers.first { $0.address.isSame(as: server.address) })
        }
        group.budget = before.budget
    }

    /// Takes over the health of servers, and the idle connections of an older set, where upstream, server and TLS
    /// settings are the same. Call it before the older set is retired, which closes the others.
    public func adoptIdle(from older: UpstreamSet) {
        guard older.context.reactor === context.reactor, older.context.pool === context.pool else { return }
        for group in groups {
            guard let before = older.groups.first(where: { $0.settings.name == group.settings.name }) else { continue }
            inheritHealth(group, before)
            guard group.settings.connectsLike(before.settings) else { continue }
            for server in group.servers {
                if let twin = before.servers.first(where: { $0.address.isSame(as: server.address) }) { server.adoptIdle(of: twin) }
            }
        }
    }

    /// Connections now open, idle ones included.
    public var connectionCount: Int { groups.reduce(0) { $0 + $1.servers.reduce(0) { $0 + $1.open } } }
}
