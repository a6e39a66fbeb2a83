/// The certificates of a listener, ready to shake hands with. One per worker and configuration.
public final class ServerContext {
    /// Certificates that are expired, not yet valid or about to expire.
    public private(set) var warnings: [CertificateWarning] = []

    /// - Throws: the first certificate or key that cannot be used.
    public init(_ certificates: [CertificateSource], options: ServerOptions = ServerOptions()) throws(TLSConfigurationError) {
    }

    /// Which certificates answer for a name: equal numbers mean the same ones; nil means that none
    /// covers it. A request whose host gives another number than the connection's server name gets a 421.
    /// - Parameter name: any case, no port.
    public func certificateIndex(for name: String) -> Int? { nil }

    /// Replaces the ticket keys, for instance after a rotation.
    public func setTicketKeys(_ keys: [TicketKey]) {}
}
