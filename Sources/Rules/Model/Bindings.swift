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
    /// `env.NAME` of a key, made of a secret when the function is loaded.
    public struct KeyBinding: Sendable, Equatable {
        public enum Format: String, Sendable, CaseIterable { case raw, base64, pem, jwk }
        public var name: String
        /// Index into `Configuration.secrets`.
        public var secret: Int
        public var format = Format.raw
        /// As Web Crypto names it.
        public var algorithm: String
        /// Empty: none.
        public var hash = "", curve = ""
        public var usages: [String] = []

        public static let algorithms = [
            "HMAC", "AES-CBC", "AES-CTR", "AES-GCM", "AES-KW", "PBKDF2", "HKDF", "RSASSA-PKCS1-v1_5", "RSA-PSS", "RSA-OAEP", "ECDSA", "ECDH",
            "Ed25519", "Ed448", "X25519", "X448",
        ]
        public static let hashes = ["SHA-1", "SHA-256", "SHA-384", "SHA-512"]
        public static let curves = ["P-256", "P-384", "P-521"]
        public static let allUsages = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"]
    }

    /// `env.NAME` of a namespace.
    public struct StoreBinding: Sendable, Equatable {
        public var name: String
        /// Index into `Configuration.namespaces`.
        public var namespace: Int
    }
}

/// How hooks reach hosts outside.
public struct Egress: Sendable, Equatable {
    /// Networks that are not public and may be connected to all the same.
    public var allowed: [AddressRange] = []
    public var authorities: FileReference?
    /// Milliseconds.
    public var connect = 2_000
    public var firstByte = 30_000
    public var idle = 30_000
}

/// A host that a function may ask by URL.
public struct EgressGrant: Sendable, Equatable {
    public var isSecure: Bool
    /// Never `any`.
    public var host: HostPattern
    public var port: UInt16

    /// - Parameter name: in lower case, an IPv6 address without brackets.
    public func allows(isSecure: Bool, _ name: String, _ port: UInt16) -> Bool {
        isSecure == self.isSecure && port == self.port && matches(name)
    }

    /// Whatever scheme and port.
    func matches(_ name: String) -> Bool {
        switch host {
        case .exact(let exact): name == exact
        case .wildcard(let domain): name.hasSuffix(".\(domain)") && name.utf8.count > domain.utf8.count + 1
        case .any: false
        }
    }
}
