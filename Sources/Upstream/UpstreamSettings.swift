public import HTTP
public import HTTP1
public import TLS

/// One group of servers as the pool needs it.
public struct UpstreamSettings: Sendable {
    /// What is spoken to the servers.
    public enum Wire: Sendable {
        case http1
        /// By prior knowledge without TLS, by ALPN with it.
        case http2
        /// What ALPN chooses; HTTP/1.1 without TLS.
        case auto

        var alpn: [String] {
            switch self {
            case .http1: ["http/1.1"]
            case .http2: ["h2"]
            case .auto: ["h2", "http/1.1"]
            }
        }
    }

    public struct Server: Sendable, Equatable {
        public var secure: Bool
        /// Speaks HTTP/2 by prior knowledge, whatever the group does.
        public var http2 = false
        /// `host` is a name of SRV records, which tell hosts and ports.
        public var isService = false
        /// A Unix socket; host and port are for names only.
        public var path: String?
        /// A name or a numeric address.
        public var host: String
        public var port: UInt16
        /// Its share of the requests, compared with the other servers'. At least 1.
        public var weight: Int

        public init(secure: Bool, host: String, port: UInt16, weight: Int = 1) {
            self.secure = secure
            self.host = host
            self.port = port
            self.weight = max(weight, 1)
        }

        /// The same server, whatever its weight.
        func isSame(as other: Server) -> Bool {
            var twin = other
            twin.weight = weight
            return self == twin
        }
    }

    public var name: String
    public var servers: [Server]
    /// How a server is picked.
    public enum Balance: Sendable {
        case roundRobin
        /// The one of two random servers with fewer running requests.
        case leastRequests
        case random
        /// By `exchange.balanceKey` (`Rendezvous`); at random where an exchange has none.
        case hash
    }
    public var balance = Balance.roundRobin
    /// Name of the cookie by which a client stays with its server; its value's hash is `exchange.balanceKey`.
    public var sticky: String?
    /// The cookie's values are made with it: without it nobody can tell which addresses they stand for.
    public var stickyKey: [UInt8] = []
    /// What else its Set-Cookie says, from `; Path=` on.
    public var stickyAttributes = ""
    public var retry = RetryPolicy()
    public var health: HealthSettings?
    public var ejection = EjectionSettings()
    /// Milliseconds in which a server that came back grows to its full share; 0 is at once.
    public var slowStart: UInt64 = 0
    /// With fewer percent of the servers in service, health is not looked at; 0: only when there is none.
    public var panicPercent = 0
    /// Milliseconds: to connect (waiting for a free connection, name and TLS included), from the request sent to the
    /// first byte, between two reads or writes.
    public var connectTimeout: UInt64 = 1_000
    public var firstByteTimeout: UInt64 = 30_000
    public var idleTimeout: UInt64 = 60_000
    /// Milliseconds without a byte of the origin in a tunnel whose client has ended its side.
    public var halfClosedTimeout: UInt64 = 10_000
    /// For the whole exchange; 0 is no limit.
    public var totalTimeout: UInt64 = 0
    /// Exchanges that one server serves at a time; further ones are refused (503). 0 is no limit.
    public var maximumRequests = 0
    /// Connections to one server at a time; further exchanges wait.
    public var maximumConnections = 1_024
    /// Exchanges that may wait for a connection to one server; further ones are refused (503).
    public var maximumWaiting = 1_024
    /// How large the head of an answer may be.
    public var heads = HeadLimits()
    /// Interim answers to one request.
    public var interims = 16
    /// Bytes of an answer held before the origin is made to wait.
    public var responseBuffer = 256 << 10
    /// Exchanges at once on one HTTP/2 connection.
    public var maximumStreams = 100
    public var wire = Wire.http1
    /// Each connection begins with a PROXY header and serves one exchange.
    public var proxyProtocol: ProxyHeader.Version?
    /// Idle connections kept to one server.
    public var keepAlive = 64
    /// Connections to one server that are opened ahead of need. At most `keepAlive`.
    public var warm = 0
    /// Milliseconds after which an idle connection is closed; most origins wait longer.
    public var keepAliveTime: UInt64 = 55_000
    public var tls = ClientOptions()
    /// Sent as SNI and checked; nil is the server's host.
    public var serverName: String?

    public init(name: String, servers: [Server]) {
        self.name = name
        self.servers = servers
    }

    /// Some server may speak HTTP/2, where streams are refused in passing.
    var mayMultiplex: Bool { wire != .http1 || servers.contains(where: \.http2) }

    func wire(of server: Server) -> Wire {
        if server.http2 { return .http2 }
        return wire == .auto && !server.secure ? .http1 : wire
    }

    /// A connection made for `other` may serve requests of this group on a server of the same address.
    func connectsLike(_ other: UpstreamSettings) -> Bool {
        name == other.name && serverName == other.serverName && tls.verifiesPeer == other.tls.verifiesPeer
            && tls.minimumVersion == other.tls.minimumVersion && wire == other.wire
            && tls.trustedCertificates == other.tls.trustedCertificates && tls.certificate == other.tls.certificate
            && proxyProtocol == other.proxyProtocol
    }
}
