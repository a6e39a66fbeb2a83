/// A group of servers that answer the same requests.
public struct Upstream: Sendable {
    public enum Balance: String, Sendable, CaseIterable {
        case roundRobin = "round_robin"
        case leastRequests = "least_requests"
        case random
    }
    /// What is spoken to the servers.
    public enum Wire: String, Sendable, CaseIterable {
        case http1, http2, auto
    }
    public var name: String
    /// At least one.
    public var servers: [Server]
    public var balance: Balance = .roundRobin
    public var wire: Wire = .http1
    /// Requests at once on one HTTP/2 connection.
    public var maximumStreams = 100
    public var timeouts = UpstreamTimeouts()
    /// Used for servers with `https`.
    public var tls = UpstreamTLS()
    /// Connections to one server from one worker.
    public var maximumConnections = 1_024
    /// Idle connections kept to one server by one worker.
    public var keepAlive = 64
    public var health: HealthCheck?
    public var position: SourcePosition

    public init(name: String, servers: [Server], position: SourcePosition = .none) {
        self.name = name
        self.servers = servers
        self.position = position
    }
}

public struct Server: Sendable, Equatable {
    public var secure: Bool
    /// `h2c://`: HTTP/2 by prior knowledge.
    public var http2 = false
    /// A name or a numeric address without brackets.
    public var host: String
    public var port: UInt16
    public var position: SourcePosition

    public init(secure: Bool, host: String, port: UInt16, position: SourcePosition = .none) {
        self.secure = secure
        self.host = host
        self.port = port
        self.position = position
    }
}

/// Milliseconds.
public struct UpstreamTimeouts: Sendable, Equatable {
    public var connect = 1_000
    public var firstByte = 30_000
    public var idle = 60_000

    public init() {}
}

public struct UpstreamTLS: Sendable {
    /// Check the server's certificate and name. On unless the operator says otherwise.
    public var verify = true
    /// PEM file of trusted authorities; nil is the system's.
    public var authorities: FileReference?
    /// Name to send and check; nil is the server's host.
    public var serverName: String?
}

/// Active health check: read and checked, not yet run.
public struct HealthCheck: Sendable, Equatable {
    public var path: String
    public var every = 2_000
    public var failAfter = 3
    public var passAfter = 2

    public init(path: String, every: Int = 2_000, failAfter: Int = 3, passAfter: Int = 2) {
        self.path = path
        self.every = every
        self.failAfter = failAfter
        self.passAfter = passAfter
    }
}
