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
    }

    public var name: String
    public var servers: [Server]
    /// Fewest running requests of two random servers instead of one after the other.
    public var leastRequests = false
    /// Any server, each as likely as its weight says.
    public var random = false
    /// Milliseconds: to connect (waiting for a free connection, name and TLS included), from the request sent to the
    /// first byte, between two reads or writes.
    public var connectTimeout: UInt64 = 1_000
    public var firstByteTimeout: UInt64 = 30_000
    public var idleTimeout: UInt64 = 60_000
    /// Connections to one server at a time; further exchanges wait.
    public var maximumConnections = 1_024
    /// Exchanges that may wait for a connection to one server; further ones are refused (503).
    public var maximumWaiting = 1_024
    /// Exchanges at once on one HTTP/2 connection.
    public var maximumStreams = 100
    public var wire = Wire.http1
    /// Idle connections kept to one server.
    public var keepAlive = 64
    /// Milliseconds after which an idle connection is closed; most origins wait longer.
    public var keepAliveTime: UInt64 = 55_000
    public var tls = ClientOptions()
    /// Sent as SNI and checked; nil is the server's host.
    public var serverName: String?

    public init(name: String, servers: [Server]) {
        self.name = name
        self.servers = servers
    }

    func wire(of server: Server) -> Wire {
        if server.http2 { return .http2 }
        return wire == .auto && !server.secure ? .http1 : wire
    }

    /// A connection made for `other` may serve requests of this group on a server of the same address.
    func connectsLike(_ other: UpstreamSettings) -> Bool {
        name == other.name && serverName == other.serverName && tls.verifiesPeer == other.tls.verifiesPeer
            && tls.minimumVersion == other.tls.minimumVersion && wire == other.wire
            && tls.trustedCertificates == other.tls.trustedCertificates
    }
}
