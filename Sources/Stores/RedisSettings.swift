public import TLS

/// Where a Redis is and how it is spoken to.
public struct RedisSettings: Sendable, Equatable {
    /// A name or a numeric address.
    public var host: String
    public var port: UInt16
    /// A Unix socket, in the place of host and port.
    public var path: String?
    /// nil: without TLS.
    public var tls: ClientOptions?
    public var database = 0
    public var user = ""
    /// Never shown.
    public var password = ""
    /// Milliseconds for one request, and for a connection to come about.
    public var timeout: UInt64 = 500

    public init(host: String, port: UInt16 = 6379) {
        self.host = host
        self.port = port
    }

    /// For messages.
    public var name: String { path.map { "unix:\($0)" } ?? (host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)") }

    public static func == (a: RedisSettings, b: RedisSettings) -> Bool {
        a.host == b.host && a.port == b.port && a.path == b.path && a.database == b.database && a.user == b.user && a.password == b.password
            && a.timeout == b.timeout && (a.tls == nil) == (b.tls == nil) && a.tls?.trustedCertificates == b.tls?.trustedCertificates
    }

    /// What is said before anything else.
    var greeting: [RESPCommand] {
        var commands: [RESPCommand] = []
        if !password.isEmpty {
            let words = user.isEmpty ? ["AUTH", password] : ["AUTH", user, password]
            commands.append(RESPCommand(words.map { Array($0.utf8) }))
        }
        if database != 0 { commands.append(RESPCommand("SELECT", Array("\(database)".utf8))) }
        return commands
    }
}
