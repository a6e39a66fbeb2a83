/// One certificate with its key, as bytes: the files may be gone when a worker loads them.
public struct CertificateSource: Sendable, Equatable {
    /// PEM: the leaf first, then the chain.
    public var certificate: [UInt8]
    /// PEM, not encrypted.
    public var key: [UInt8]
    /// What messages call the two, usually their paths.
    public var certificateName: String
    public var keyName: String
    /// An OCSP response (RFC 6960, DER) that is stapled to the certificate while it is current.
    public var staple: [UInt8]?
    public var stapleName = "OCSP response"
    /// What is asked of the clients of this certificate's names; nil: what the listener asks.
    public var clients: ClientVerification?
    /// nil: the listener's.
    public var minimumVersion: TLSVersion?

    public init(certificate: [UInt8], key: [UInt8], certificateName: String, keyName: String) {
        self.certificate = certificate
        self.key = key
        self.certificateName = certificateName
        self.keyName = keyName
    }
}

/// Whether clients show a certificate, and who must have signed it.
public struct ClientVerification: Sendable, Equatable {
    public enum Mode: Sendable {
        /// It is asked for; without a good one the request is served and rules see that.
        case optional
        /// Without a good one there is no connection.
        case required
    }
    public var mode: Mode
    /// PEM certificates.
    public var authorities: [UInt8]
    /// What messages call them.
    public var authoritiesName: String
    /// PEM revocation lists, one of each authority in a client's chain; nil: nobody asks whether a certificate was taken back.
    public var revocations: [UInt8]?
    public var revocationsName = "revocation lists"

    public init(mode: Mode, authorities: [UInt8], authoritiesName: String) {
        self.mode = mode
        self.authorities = authorities
        self.authoritiesName = authoritiesName
    }
}

public enum TLSVersion: Sendable {
    case tls12, tls13
}

/// 80 bytes that session tickets are sealed with: name (16), AES-256 key (32), HMAC key (32).
/// All workers get the same keys, so a session resumes on whichever worker the client meets.
public struct TicketKey: Sendable {
    public static let byteCount = 80
    public let bytes: [UInt8]

    /// Nil when there are not exactly 80 bytes.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == TicketKey.byteCount else { return nil }
        self.bytes = bytes
    }
}

/// How a listener speaks TLS.
public struct ServerOptions: Sendable {
    public var minimumVersion = TLSVersion.tls12
    /// Protocols offered, best first; the first of these that the client knows is taken.
    public var alpn = ["h2", "http/1.1"]
    /// The first seals new tickets, all open old ones. Empty: keys of this process only.
    public var ticketKeys: [TicketKey] = []
    /// Refuse a server name that no certificate covers (alert `unrecognized_name`) instead of
    /// answering with the first certificate.
    public var rejectsUnknownNames = false
    /// For names whose certificate says nothing else; nil: no certificate is asked for.
    public var clients: ClientVerification?
    /// OpenSSL's lists (`openssl-ciphers(1)`); nil: this room's choice.
    public var ciphers: String?
    public var suites: String?
    public var curves: String?
    /// Let the kernel make records where it can.
    public var usesKernel = true
    /// Make records of TLS 1.3 here where the kernel does not; otherwise OpenSSL makes them.
    public var makesRecords = true
    /// A larger ClientHello is refused.
    public var helloBytes = 16 << 10
    /// Clients may go on with a session of before; otherwise every connection shakes hands in full.
    public var resumesSessions = true

    public init() {}
}

/// How TLS to an origin is spoken.
public struct ClientOptions: Sendable {
    public var minimumVersion = TLSVersion.tls12
    public var alpn = ["http/1.1"]
    /// PEM certificates to trust instead of the system's store.
    public var trustedCertificates: [UInt8]?
    /// What messages call `trustedCertificates`.
    public var trustedName = "trusted certificates"
    /// Shown to servers that ask for a certificate.
    public var certificate: CertificateSource?
    /// False accepts any certificate: for tests and closed networks only.
    public var verifiesPeer = true

    public init() {}
}

/// A certificate, key or trust store that cannot be used.
public struct TLSConfigurationError: Error, Sendable, CustomStringConvertible {
    /// The file (or other name) the trouble is in.
    public var file: String
    public var problem: String
    public var remedy: String

    public init(file: String, problem: String, remedy: String) {
        self.file = file
        self.problem = problem
        self.remedy = remedy
    }

    public var description: String { "\(file): \(problem). \(remedy)" }
}

/// Something about a certificate that works but should be looked at.
public struct CertificateWarning: Sendable, CustomStringConvertible {
    public var file: String
    public var text: String
    public var description: String { "\(file): \(text)" }
}
