public import HTTP

/// A group of servers that answer the same requests.
public struct Upstream: Sendable {
    public enum Balance: String, Sendable, CaseIterable {
        case roundRobin = "round_robin"
        case leastRequests = "least_requests"
        case random
        /// By the value of `balanceKey`.
        case hash
    }
    /// What is spoken to the servers.
    public enum Wire: String, Sendable, CaseIterable {
        case http1, http2, auto
    }
    /// Version of the PROXY protocol.
    public enum ProxyVersion: String, Sendable, CaseIterable {
        case v1, v2
    }
    public var name: String
    /// At least one.
    public var servers: [Server]
    public var balance: Balance = .roundRobin
    public var wire: Wire = .http1
    public var proxyProtocol: ProxyVersion?
    /// Requests at once on one HTTP/2 connection.
    public var maximumStreams = 100
    public var timeouts = UpstreamTimeouts()
    public var limits = UpstreamLimits()
    /// Used for servers with `https`.
    public var tls = UpstreamTLS()
    /// Connections to one server from one worker.
    public var maximumConnections = 1_024
    /// Idle connections kept to one server by one worker.
    public var keepAlive = 64
    /// Connections to one server that one worker opens ahead of need.
    public var warm = 0
    /// Requests that may wait for a connection, and that may be served at once (0: no limit), per server and worker.
    public var maximumWaiting = 1_024
    public var maximumRequests = 0
    /// The value that decides on the server: for `.hash`, and the cookie's for `sticky`.
    public var balanceKey: Template?
    public var sticky: StickyCookie?
    public var retry = RetryPolicy()
    public var health: HealthCheck?
    public var ejection = Ejection()
    /// Milliseconds.
    public var slowStart = 0
    public var panicPercent = 0
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
    public var weight = 1
    /// `srv+http://name`: the name of SRV records.
    public var isService = false
    /// `unix:/path`: host and port are for names only.
    public var path: String?
    public var position: SourcePosition

    public init(secure: Bool, host: String, port: UInt16, position: SourcePosition = .none) {
        self.secure = secure
        self.host = host
        self.port = port
        self.position = position
    }
}

/// How much a server may send. Bytes.
public struct UpstreamLimits: Sendable, Equatable {
    public var headerBytes = 64 << 10
    public var headerField = 8 << 10
    public var headerFields = 100
    /// Interim answers to one request.
    public var interims = 16
    /// Of an answer, held for a slow client.
    public var buffer = 256 << 10

    public init() {}
}

/// Milliseconds.
public struct UpstreamTimeouts: Sendable, Equatable {
    public var connect = 1_000
    public var firstByte = 30_000
    public var idle = 60_000
    /// Of a tunnel whose client has ended its side.
    public var halfClosed = 10_000
    /// 0: no limit.
    public var total = 0

    public init() {}
}

public struct UpstreamTLS: Sendable {
    /// Check the server's certificate and name. On unless the operator says otherwise.
    public var verify = true
    /// PEM file of trusted authorities; nil is the system's.
    public var authorities: FileReference?
    /// Shown to servers that ask for one.
    public var certificate: CertificateFiles?
    public var minimumVersion: TLSVersion = .tls12
    /// Name to send and check; nil is the server's host.
    public var serverName: String?
}

/// Active health check of each server.
public struct HealthCheck: Sendable, Equatable {
    public enum Kind: String, Sendable { case http, tcp, grpc }
    public var kind = Kind.http
    public var path = "/"
    /// nil is the server's.
    public var host: String?
    public var statuses = [200...299]
    /// For gRPC; empty is the server as a whole.
    public var service = ""
    /// Milliseconds.
    public var every = 2_000
    public var timeout = 1_000
    public var failAfter = 3
    public var passAfter = 2

    public init() {}
}

/// When a server is left out for what its own answers show.
public struct Ejection: Sendable, Equatable {
    public var failures = 5
    /// Milliseconds.
    public var time = 10_000
    public var maximumPercent = 50
    /// Of gRPC calls that an origin answered with 200, these are failures too: what maps to 503 and 504.
    public var grpcStatuses = GRPCStatusSet(GRPCStatus.deadlineExceeded, GRPCStatus.unavailable)

    public init() {}
}

/// The cookie by which a client stays with its server.
public struct StickyCookie: Sendable, Equatable {
    public var name: String
    /// From `; Path=` on.
    public var attributes: String
}
