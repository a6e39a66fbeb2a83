public import TLS

/// One group of servers as the pool needs it.
public struct UpstreamSettings: Sendable {
    public struct Server: Sendable {
        public var secure: Bool
        /// A name or a numeric address.
        public var host: String
        public var port: UInt16

        public init(secure: Bool, host: String, port: UInt16) {
            self.secure = secure
            self.host = host
            self.port = port
        }
    }

    public var name: String
    public var servers: [Server]
    /// Fewest running requests of two random servers instead of one after the other.
    public var leastRequests = false
    /// Milliseconds: to connect (TLS included), from the request sent to the first byte, between two reads.
    public var connectTimeout: UInt64 = 1_000
    public var firstByteTimeout: UInt64 = 30_000
    public var idleTimeout: UInt64 = 60_000
    /// Connections to one server at a time; further exchanges wait.
    public var maximumConnections = 1_024
    /// Idle connections kept to one server.
    public var keepAlive = 64
    public var tls = ClientOptions()
    /// Sent as SNI and checked; nil is the server's host.
    public var serverName: String?

    public init(name: String, servers: [Server]) {
        self.name = name
        self.servers = servers
    }
}
