public import Reactor
import TLS

/// TLS of the admin address. It is the supervisor's own: workers have neither its key nor anything to do with it.
public enum AdminEncryption {
    /// Why the admin address cannot speak TLS with what a configuration gives; nil when it can, or has none.
    public static func refusal(_ bundle: ConfigurationBundle) -> String? {
        do {
            _ = try context(bundle)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// nil: plain HTTP.
    static func context(_ bundle: ConfigurationBundle) throws(TLSConfigurationError) -> ServerContext? {
        guard let tls = bundle.adminTLS else { return nil }
        var options = ServerOptions()
        options.alpn = ["http/1.1"]
        options.minimumVersion = tls.needsTLS13 ? .tls13 : .tls12
        options.usesKernel = false
        // A certificate that has expired, or that a reload no longer trusts, is out with the next connection.
        options.resumesSessions = false
        options.clients = tls.authorities.map {
            ClientVerification(mode: tls.isRequired ? .required : .optional, authorities: $0.bytes, authoritiesName: $0.path)
        }
        if let lists = tls.revocations {
            options.clients?.revocations = lists.bytes
            options.clients?.revocationsName = lists.path
        }
        let source = CertificateSource(
            certificate: tls.certificate.bytes, key: tls.key.bytes, certificateName: tls.certificate.path, keyName: tls.key.path)
        return try ServerContext([source], options: options)
    }
}

/// What a caller of the admin address showed, and how it reached us.
struct AdminCertificate: Equatable {
    var subject: String
    /// With their kind, as `TLSTransport.peerNames` has them.
    var alternativeNames: [String] = []
    /// SHA-256, hexadecimal, lower case.
    var fingerprint: String
    /// Signed by one of the authorities, and valid.
    var isVerified: Bool

    /// How logs and refusals call it.
    var name: String { "certificate \(subject) (sha256 \(fingerprint.prefix(16)))" }

    /// All that the configuration gives of a certificate is so in this one.
    func fits(_ client: ConfigurationBundle.AdminClient) -> Bool {
        guard !client.subject.isEmpty || !client.alternativeName.isEmpty || !client.fingerprint.isEmpty else { return false }
        return (client.subject.isEmpty || client.subject == subject)
            && (client.fingerprint.isEmpty || client.fingerprint == fingerprint)
            && (client.alternativeName.isEmpty || alternativeNames.contains { Self.folded($0) == Self.folded(client.alternativeName) })
    }

    /// DNS names have no case.
    private static func folded(_ name: String) -> String { name.hasPrefix("DNS:") ? "DNS:" + name.dropFirst(4).lowercased() : name }
}

extension AdminCertificate {
    /// nil when the peer showed none.
    init?(_ info: TLSConnectionInfo, _ transport: TLSTransport) {
        guard let peer = info.peer else { return nil }
        self.init(subject: peer.subject, alternativeNames: transport.peerNames(), fingerprint: peer.fingerprint, isVerified: peer.isVerified)
    }
}
