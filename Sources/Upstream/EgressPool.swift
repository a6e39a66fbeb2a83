public import Buffers
import HTTP
public import Reactor
public import TLS
public import Telemetry

/// A server that a hook names by URL.
public struct EgressTarget: Sendable, Hashable {
    public var secure: Bool
    /// In lower case; an IPv6 address without brackets.
    public var host: String
    public var port: UInt16

    public init(secure: Bool, host: String, port: UInt16) {
        self.secure = secure
        self.host = host
        self.port = port
    }
}

/// How servers outside are spoken to.
public struct EgressSettings: Sendable {
    public var addresses = AddressPolicy()
    public var tls = ClientOptions()
    public var connectTimeout: UInt64 = 2_000
    public var firstByteTimeout: UInt64 = 30_000
    public var idleTimeout: UInt64 = 30_000

    public init() {}
}

/// Servers that no rule file lists one by one: a pool for each, made when it is first asked for. Every address is
/// checked when it is connected to.
public final class EgressPool {
    /// Servers with connections of their own at the same time; the one used least lately makes room.
    public static let mostServers = 256
    /// Connections to one of them, and requests that wait for one.
    static let mostConnections = 64, mostWaiting = 256

    private let settings: EgressSettings
    private let context: OriginContext
    private var groups: [EgressTarget: (group: ServerGroup, used: UInt64)] = [:]
    private var uses: UInt64 = 0

    /// - Parameters:
    ///   - resolver: nil fails every server that is not a numeric address.
    ///   - stage: plays the servers; nothing is connected to.
    public init(
        _ settings: EgressSettings, reactor: Reactor, pool: SlabPool, metrics: Metrics, resolver: Resolver?, stage: OriginStage? = nil
    ) {
        self.settings = settings
        context = OriginContext(reactor: reactor, pool: pool, metrics: metrics, resolver: resolver, stage: stage, board: nil)
        context.addresses = settings.addresses
    }

    /// Sends `exchange.request` there. The outcome comes through the exchange's events.
    /// - Throws: when the trust store cannot be used.
    public func open(_ exchange: ForwardedExchange, to target: EgressTarget) throws(TLSConfigurationError) {
        let group = try group(target)
        exchange.origin.upstream = -1
        exchange.beginAttempts(group, context.reactor)
        group.open(exchange)
    }

    private func group(_ target: EgressTarget) throws(TLSConfigurationError) -> ServerGroup {
        uses += 1
        if let kept = groups[target]?.group {
            groups[target]?.used = uses
            return kept
        }
        if groups.count >= Self.mostServers, let oldest = groups.min(by: { $0.value.used < $1.value.used }) {
            for server in oldest.value.group.servers { server.closeIdle() }
            groups[oldest.key] = nil
        }
        var upstream = UpstreamSettings(name: target.host, servers: [.init(secure: target.secure, host: target.host, port: target.port)])
        upstream.tls = settings.tls
        upstream.wire = .auto
        upstream.connectTimeout = settings.connectTimeout
        upstream.firstByteTimeout = settings.firstByteTimeout
        upstream.idleTimeout = settings.idleTimeout
        upstream.maximumConnections = Self.mostConnections
        upstream.maximumWaiting = Self.mostWaiting
        upstream.keepAlive = context.stage == nil ? 8 : 0
        upstream.retry.tries = 1
        let made = try ServerGroup(upstream, context)
        groups[target] = (made, uses)
        return made
    }

    /// Nothing new comes: idle connections close, running requests finish.
    public func retire() {
        context.isRetired = true
        for entry in groups.values { for server in entry.group.servers { server.closeIdle() } }
    }
}
