/// Everything a configuration consists of, as one block of bytes: rule files, hook modules,
/// certificates and keys, and what the supervisor needs to know of them.
///
/// The supervisor reads the files once and hands the same sealed bytes to all workers, so no worker
/// can see a file that changed meanwhile, and workers need no access to the file system.
public struct ConfigurationBundle: Sendable, Equatable {
    public struct Listener: Sendable, Hashable {
        /// The name the rule file gives it.
        public var name: String
        /// Numeric IPv4 or IPv6 address, without brackets.
        public var address: String
        /// 0 takes a free port from the kernel.
        public var port: UInt16

        public init(name: String, address: String, port: UInt16) {
            self.name = name
            self.address = address
            self.port = port
        }

        /// "127.0.0.1:80" or "[::1]:80".
        public var endpoint: String { address.contains(":") ? "[\(address)]:\(port)" : "\(address):\(port)" }
    }

    /// A hook function, with a fingerprint of all it is made of: a fenced function is tried again
    /// when its fingerprint changes.
    public struct Function: Sendable, Hashable {
        public var name: String
        public var fingerprint: UInt64

        public init(name: String, fingerprint: UInt64) {
            self.name = name
            self.fingerprint = fingerprint
        }
    }

    /// Something with a stable name and a digest of what its author wrote: what a reload changes is told by these.
    public struct Part: Sendable, Hashable {
        public static let rule = "rule"
        /// "rule", "upstream" and the like.
        public var kind: String
        public var name: String
        public var digest: UInt64
        /// Parts of one group are compared in their order as well; empty where order does not matter.
        public var group: String

        public init(kind: String, name: String, digest: UInt64, group: String = "") {
            self.kind = kind
            self.name = name
            self.digest = digest
            self.group = group
        }
    }

    public struct File: Sendable, Equatable {
        /// As the configuration's loader asks for it.
        public var path: String
        public var bytes: [UInt8]

        public init(path: String, bytes: [UInt8]) {
            self.path = path
            self.bytes = bytes
        }
    }

    /// How long requests and connections may go on, in milliseconds, by why they have to end.
    public struct DrainTimes: Sendable, Hashable {
        public var upgrade: UInt64 = 30_000
        public var stop: UInt64 = 30_000

        public init() {}
    }

    /// A bearer token of the admin address, from a file that the configuration names.
    public struct AdminToken: Sendable, Hashable {
        public var name: String
        /// "read", "operate" or "admin".
        public var role: String
        public var secret: String

        public init(name: String, role: String, secret: String) {
            self.name = name
            self.role = role
            self.secret = secret
        }
    }

    /// Path of the rule file that was named on the command line.
    public var mainFile: String
    public var listeners: [Listener]
    /// "127.0.0.1:9901"; "off" for none; nil when the configuration does not say.
    public var admin: String?
    /// For the supervisor only: workers get a bundle without them.
    public var adminTokens: [AdminToken] = []
    public var adminTLS: AdminTLS?
    public var adminClients: [AdminClient] = []
    public var drain = DrainTimes()
    public var functions: [Function]
    public var parts: [Part]
    public var files: [File]
    /// Those of its files that end by themselves, for the supervisor.
    public var endings: [Ending] = []

    public init(
        mainFile: String, listeners: [Listener], admin: String? = nil, functions: [Function] = [],
        parts: [Part] = [], files: [File] = []
    ) {
        self.mainFile = mainFile
        self.listeners = listeners
        self.admin = admin
        self.functions = functions
        self.parts = parts
        self.files = files
    }

    /// What workers get: they have no business with the admin address.
    public var forWorkers: ConfigurationBundle {
        guard !adminTokens.isEmpty || adminTLS != nil || !adminClients.isEmpty else { return self }
        var copy = self
        copy.adminTokens = []
        copy.adminTLS = nil
        copy.adminClients = []
        return copy
    }

    public func file(_ path: String) -> [UInt8]? { files.first { $0.path == path }?.bytes }

    // MARK: Bytes

    private static let magic: UInt64 = 0x31_656c_646e_7542_53  // "SBundle1", as a number

    /// magic, body, fingerprint of all before it.
    public func encoded() -> [UInt8] {
        var writer = PacketWriter()
        writer.number(ConfigurationBundle.magic)
        writer.string(mainFile)
        writer.list(listeners) { writer, listener in
            writer.string(listener.name)
            writer.string(listener.address)
            writer.number(UInt64(listener.port))
        }
        writer.list(admin.map { [$0] } ?? []) { $0.string($1) }
        writer.list(adminTokens) { writer, token in
            writer.string(token.name)
            writer.string(token.role)
            writer.string(token.secret)
        }
        writeAdmin(&writer)
        writer.number(drain.upgrade)
        writer.number(drain.stop)
        writer.list(functions) { writer, function in
            writer.string(function.name)
            writer.number(function.fingerprint)
        }
        writer.list(parts) { writer, part in
            writer.string(part.kind)
            writer.string(part.name)
            writer.number(part.digest)
            writer.string(part.group)
        }
        writer.list(files) { writer, file in
            writer.string(file.path)
            writer.data(file.bytes)
        }
        writeEndings(&writer)
        var fingerprint = Fingerprint()
        fingerprint.add(writer.bytes)
        writer.number(fingerprint.value)
        return writer.bytes
    }

    public init(decoding bytes: [UInt8]) throws(PacketError) {
        guard bytes.count >= 16 else { throw PacketError(what: "configuration bundle ends early", offset: bytes.count) }
        var fingerprint = Fingerprint()
        fingerprint.add(bytes.dropLast(8))
        var trailer = PacketReader(Array(bytes.suffix(8)))
        guard try trailer.number() == fingerprint.value else {
            throw PacketError(what: "configuration bundle is damaged", offset: bytes.count - 8)
        }
        var reader = PacketReader(Array(bytes.dropLast(8)))
        guard try reader.number() == ConfigurationBundle.magic else {
            throw PacketError(what: "not a configuration bundle", offset: 0)
        }
        mainFile = try reader.string()
        listeners = try reader.list { (reader) throws(PacketError) in
            let name = try reader.string()
            let address = try reader.string()
            let at = reader.offset
            guard let port = UInt16(exactly: try reader.number()) else {
                throw PacketError(what: "port out of range", offset: at)
            }
            return Listener(name: name, address: address, port: port)
        }
        admin = try reader.list { (reader) throws(PacketError) in try reader.string() }.first
        adminTokens = try reader.list { (reader) throws(PacketError) in
            AdminToken(name: try reader.string(), role: try reader.string(), secret: try reader.string())
        }
        (adminTLS, adminClients) = try ConfigurationBundle.readAdmin(&reader)
        drain.upgrade = try reader.number()
        drain.stop = try reader.number()
        functions = try reader.list { (reader) throws(PacketError) in
            Function(name: try reader.string(), fingerprint: try reader.number())
        }
        parts = try reader.list { (reader) throws(PacketError) in
            Part(kind: try reader.string(), name: try reader.string(), digest: try reader.number(), group: try reader.string())
        }
        files = try reader.list { (reader) throws(PacketError) in
            File(path: try reader.string(), bytes: try reader.data())
        }
        endings = try ConfigurationBundle.readEndings(&reader)
        try reader.expectEnd()
    }
}
