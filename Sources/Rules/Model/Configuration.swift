/// One checked configuration: everything the rule files say, every reference resolved to an index.
///
/// Plain values; build a `Generation` from it to evaluate requests.
public struct Configuration: Sendable {
    /// The rule files, as they were named on the command line or by `include`.
    public var files: [String] = []
    public var listeners: [Listener] = []
    public var admin: Admin?
    public var accessLog = AccessLog()
    /// nil: no live request is explained.
    public var debug: Debug?
    public var drain = Drain()
    /// nil: nothing is traced.
    public var tracing: Tracing?
    /// The top-level `limits:`, over the defaults. Every listener carries its own merged copy.
    public var limits = Limits()
    public var forwarding = Forwarding()
    /// DNS servers to ask, `address:port`; none: the system's.
    public var resolvers: [String] = []
    public var upstreams: [Upstream] = []
    public var functions: [Function] = []
    public var namespaces: [KeyValueNamespace] = []
    public var secrets: [Secret] = []
    public var egress = Egress()
    public var lists: [NamedList] = []
    public var sites: [Site] = []
    /// Everything with a stable name, in the order of the files.
    public var parts: [ConfigurationPart] = []

    public init() {}

    /// `rules.yaml:38:13`
    public func describe(_ position: SourcePosition) -> String {
        let file = files.indices.contains(Int(position.file)) ? files[Int(position.file)] : "(default)"
        return "\(file):\(position.line):\(position.column)"
    }
}

/// A file named by the configuration: `path` is what the `FileProvider` was asked for.
public struct FileReference: Sendable, Equatable {
    public var path: String
    public var position: SourcePosition
}

/// Where to listen or connect.
public enum Endpoint: Sendable, Hashable {
    /// `host` is a numeric IPv4 or IPv6 address without brackets.
    case tcp(host: String, port: UInt16)
    case unix(path: String)
}

/// Protocols a listener speaks.
public struct Protocols: OptionSet, Sendable, Hashable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    public static let http1 = Protocols(rawValue: 1)
    public static let http2 = Protocols(rawValue: 2)
}

public struct Listener: Sendable {
    public var name: String
    public var address: Endpoint
    /// nil: plaintext.
    public var tls: ListenerTLS?
    /// Default: http1 and http2 with TLS, http1 without.
    public var protocols: Protocols
    /// Peers that say who their client is by the PROXY protocol; they must.
    public var proxyProtocol: [AddressRange] = []
    /// A client that ended its side of an HTTP/1.1 connection gets its answer all the same.
    public var servesHalfClosed = false
    public var limits: Limits
    public var position: SourcePosition
}

public enum TLSVersion: String, Sendable, CaseIterable {
    case tls12 = "1.2"
    case tls13 = "1.3"
}

public struct ListenerTLS: Sendable {
    /// At least one. The first answers clients that send no known name.
    public var certificates: [CertificateFiles]
    public var minimumVersion: TLSVersion = .tls12
    /// OpenSSL's lists; nil: the gateway's choice.
    public var ciphers: String?
    public var suites: String?
    public var curves: String?
    /// What is asked of clients; nil: nothing.
    public var clients: ClientCertificates?
    /// A name that no certificate covers ends the handshake.
    public var refusesUnknownNames = false
    /// The kernel may make records.
    public var usesKernel = true
    /// Records that the kernel does not make are made by the gateway, where it can; otherwise by OpenSSL.
    public var makesRecords = true
    /// Requests for hosts that the connection's certificate does not cover get 421.
    public var refusesOtherNames = true
}

public struct CertificateFiles: Sendable {
    public var certificate: FileReference
    public var key: FileReference
    /// OCSP response to staple.
    public var staple: FileReference?
    /// For the names of this certificate; nil: the listener's.
    public var minimumVersion: TLSVersion?
    public var clients: ClientCertificates?
}

extension ListenerTLS {
    /// Every file that is named.
    public var files: [FileReference] {
        let clients = ([clients] + certificates.map(\.clients)).compactMap { $0 }
        return certificates.flatMap { [$0.certificate, $0.key] } + certificates.compactMap(\.staple)
            + clients.map(\.authorities) + clients.compactMap(\.revocations)
    }
}

/// Certificates of clients.
public struct ClientCertificates: Sendable {
    public var authorities: FileReference
    /// Lists of certificates that their authorities have taken back.
    public var revocations: FileReference?
    /// Without a good one there is no connection.
    public var isRequired: Bool
}

public struct Admin: Sendable {
    /// Who has what is in the file may ask for what the role allows.
    public struct Token: Sendable {
        public var name: String
        public var role: String
        public var file: FileReference
    }

    /// A certificate and what it allows: all that is given of it has to fit.
    public struct Client: Sendable {
        public var name: String
        public var role: String
        /// RFC 2253.
        public var subject: String?
        /// With its kind: `DNS:`, `URI:` or `email:`.
        public var alternativeName: String?
        /// 64 hexadecimal digits, lower case.
        public var fingerprint: String?
    }

    public var address: Endpoint
    public var tokens: [Token] = []
    /// Its certificate, and whose certificates are asked for; nil: plain HTTP.
    public var tls: CertificateFiles?
    public var clients: [Client] = []
    public var position: SourcePosition
}

/// Explaining live requests.
public struct Debug: Sendable {
    public var key: FileReference
}

/// Spans of requests for a collector that takes OTLP over HTTP.
public struct Tracing: Sendable, Equatable {
    /// The collector: index into `Configuration.upstreams`.
    public var upstream: Int
    public var path = "/v1/traces"
    /// Share of the requests, in percent, that are traced when no trusted proxy decided.
    public var sample = 10
    public var service = "sluice"
    /// Sent with each batch: names and values, in order.
    public var headers: [Header] = []

    public struct Header: Sendable, Equatable {
        public var name: String
        public var value: String
    }
}

/// How long what runs may go on, in milliseconds, by why it has to end.
public struct Drain: Sendable, Equatable {
    /// Under the configuration it began with, after a reload; nil: as long as it likes.
    public var reload: Int?
    /// In the old process, after an upgrade.
    public var upgrade = 30_000
    /// After SIGTERM.
    public var stop = 30_000
}

public struct AccessLog: Sendable {
    public enum Destination: Sendable, Equatable {
        case stdout
        case off
        case file(String)
        /// RFC 5424 datagrams, to a local socket or over UDP (`address:port`).
        case syslog(path: String)
        case syslogUDP(String)
        /// The journal of systemd, by its own protocol.
        case journal
    }
    public var destination: Destination = .stdout
    public var format: LogFormat = .json
    /// Share of the lines that are written, in percent. Failures are always written.
    public var sample = 100
    /// Request headers that JSON lines carry; lower case.
    public var headers: [String] = []
    /// Headers whose values are not written, whoever asks for them; lower case.
    public var hiddenHeaders = AccessLog.secretHeaders
    /// Query parameters whose values are not written.
    public var hiddenParameters: [String] = []
    /// Their values give access to something.
    public static let secretHeaders = ["authorization", "cookie", "proxy-authorization", "set-cookie"]
    public var position: SourcePosition = .none

    public init() {}
}

/// A set of values that expressions test with `in $name`.
public struct NamedList: Sendable {
    public enum Values: Sendable {
        case addresses([AddressRange])
        case strings([String])
    }
    public var name: String
    public var values: Values
    public var position: SourcePosition
}

/// A hook function: one JavaScript module.
public struct Function: Sendable {
    /// What happens to the exchange when the hook fails.
    public enum OnError: Sendable, Equatable {
        /// Answer 503 (or the status that `on_error: {deny: 403}` gives).
        case deny(status: UInt16)
        /// Go on as if the hook had not been there.
        case `continue`
        /// Answer with this status.
        case respond(status: UInt16)
        /// Request phase: send the request to this upstream (its index) as it was, past the other rules.
        case fallback(upstream: Int)
    }
    public var name: String
    public var module: FileReference
    /// The main file and the relative imports that a simple scan finds.
    public var moduleFiles: [String]
    public var limits = FunctionLimits()
    public var onError: OnError = .respond(status: 500)
    /// Indices into `Configuration.upstreams` that `env.NAME.fetch()` may use.
    public var upstreams: [Int] = []
    public var stores: [StoreBinding] = []
    /// Indices into `Configuration.secrets`. Values never pass through the rule files.
    public var secrets: [Int] = []
    /// Secrets that it may use as keys, and never sees.
    public var keys: [KeyBinding] = []
    /// Hosts outside that `fetch(url)` may ask.
    public var egress: [EgressGrant] = []
    public var schedules: [Schedule] = []
    /// Indices into `Configuration.lists`.
    public var lists: [Int] = []
    /// Runs of one schedule may overlap.
    public var mayOverlap = false
    /// Plain texts in `env`.
    public var variables: [String: String] = [:]
    /// Written by somebody who must not hurt anybody else: runs in a process of its tenant.
    public var untrusted = false
    /// It may compile and run WebAssembly, in a process of its own.
    public var webAssembly = false
    /// Functions of one tenant share a process; empty: a tenant of its own.
    public var tenant = ""
    public var lane = Lane.auto
    public var isolation = Isolation.worker
    /// nil: the newest behaviour.
    public var compat: CompatDate?
    /// It protects something: its failures deny.
    public var security = false
    public var position: SourcePosition

    /// What its calls share.
    public enum Isolation: String, Sendable, CaseIterable {
        /// The module's variables, on one worker.
        case worker
        /// Nothing.
        case request
    }

    /// Where a function runs.
    public enum Lane: String, Sendable, CaseIterable {
        /// In the worker, until it is slow or costs one its life; untrusted: in a cordon.
        case auto
        /// In the worker whatever happens.
        case inline
        /// In a process of its own.
        case cordon
    }
}

/// Budget of one hook call. Times in milliseconds, sizes in bytes.
public struct FunctionLimits: Sendable, Equatable {
    public var cpu = 50
    public var wall = 10_000
    public var memory = 64 << 20
    public var subrequests = 50
    public var logBytes = 64 << 10
    /// Processor time of what runs beside the requests.
    public var crypto = 5_000
}
