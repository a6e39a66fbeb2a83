/// What functions are granted beside upstreams: namespaces, secrets, plain texts.

/// A key-value namespace.
public struct KeyValueNamespace: Sendable, Equatable {
    public enum Place: Sendable, Equatable {
        /// A folder on this machine; nil: one of the gateway's own, by the namespace's name.
        case disk(path: String?)
        case redis(RedisPlace)
    }
    public var name: String
    public var place: Place
    /// Bytes that its file may have.
    public var size = 64 << 20
    /// Bytes of one value.
    public var largestValue = 1 << 20
    public var position: SourcePosition
}

/// A Redis, and what is this namespace's there.
public struct RedisPlace: Sendable, Equatable {
    public var host = ""
    public var port: UInt16 = 6379
    /// A Unix socket in the place of host and port.
    public var path: String?
    public var isSecure = false
    public var database = 0
    /// What its keys begin with.
    public var prefix = ""
    /// Milliseconds for one request.
    public var timeout = 500
    public var user = ""
    /// Index into `Configuration.secrets`.
    public var password: Int?
    public var authorities: FileReference?
}

/// A text that never stands in a rule file and is never shown.
public struct Secret: Sendable, Equatable {
    public enum Source: Sendable, Equatable {
        case file(FileReference)
        /// The systemd credential of its name, else the variable of the environment.
        case byName
        /// A variable of the gateway's environment.
        case environment(String)
        /// A systemd credential.
        case credential(String)
    }
    public var name: String
    public var source: Source
    /// What `sluice test` has in its place.
    public var testValue: String
    public var position: SourcePosition

    /// The key of its value in the bundle that workers get.
    public var bundlePath: String { "secret:\(name)" }
    /// Bytes at most.
    public static let largest = 64 << 10
}

extension Function {
    /// `env.NAME` of a namespace.
    public struct StoreBinding: Sendable, Equatable {
        public var name: String
        /// Index into `Configuration.namespaces`.
        public var namespace: Int
    }
}
