/// What a configuration says of the admin address, besides where it is.
extension ConfigurationBundle {
    /// How the admin address speaks TLS.
    public struct AdminTLS: Sendable, Equatable {
        /// PEM files.
        public var certificate: File
        public var key: File
        /// Who signs the certificates of callers; nil: none is asked for.
        public var authorities: File?
        /// Only with authorities.
        public var revocations: File?
        /// Without a good certificate there is no connection.
        public var isRequired: Bool
        public var needsTLS13: Bool

        public init(certificate: File, key: File, authorities: File?, revocations: File? = nil, isRequired: Bool, needsTLS13: Bool) {
            self.certificate = certificate
            self.key = key
            self.authorities = authorities
            self.revocations = authorities == nil ? nil : revocations
            self.isRequired = isRequired
            self.needsTLS13 = needsTLS13
        }

        var files: [File] { [certificate, key] + [authorities, revocations].compactMap { $0 } }
    }

    /// A certificate that has a role: all that is given of it has to fit.
    public struct AdminClient: Sendable, Hashable {
        public var name: String
        /// "read", "operate" or "admin".
        public var role: String
        /// RFC 2253; empty: any.
        public var subject = ""
        /// `DNS:`, `URI:` or `email:` and a name; empty: any.
        public var alternativeName = ""
        /// SHA-256, hexadecimal, lower case; empty: any.
        public var fingerprint = ""

        public init(name: String, role: String) {
            self.name = name
            self.role = role
        }
    }

    /// Paths of everything this configuration was read from.
    public var paths: [String] { [mainFile] + files.map(\.path) + (adminTLS?.files.map(\.path) ?? []) }

    func writeAdmin(_ writer: inout PacketWriter) {
        writer.list(adminTLS.map { [$0] } ?? []) { writer, tls in
            writer.list(tls.files) { writer, file in
                writer.string(file.path)
                writer.data(file.bytes)
            }
            writer.number(tls.isRequired ? 1 : 0)
            writer.number(tls.needsTLS13 ? 1 : 0)
        }
        writer.list(adminClients) { writer, client in
            for text in [client.name, client.role, client.subject, client.alternativeName, client.fingerprint] { writer.string(text) }
        }
    }

    static func readAdmin(_ reader: inout PacketReader) throws(PacketError) -> (AdminTLS?, [AdminClient]) {
        let tls = try reader.list { (reader) throws(PacketError) in
            let at = reader.offset
            let files = try reader.list { (reader) throws(PacketError) in File(path: try reader.string(), bytes: try reader.data()) }
            let (isRequired, needsTLS13) = (try reader.number() != 0, try reader.number() != 0)
            guard files.count >= 2 else { throw PacketError(what: "the admin address has no key", offset: at) }
            return AdminTLS(
                certificate: files[0], key: files[1], authorities: files.count > 2 ? files[2] : nil,
                revocations: files.count > 3 ? files[3] : nil, isRequired: isRequired, needsTLS13: needsTLS13)
        }
        let clients = try reader.list { (reader) throws(PacketError) in
            var client = AdminClient(name: try reader.string(), role: try reader.string())
            client.subject = try reader.string()
            client.alternativeName = try reader.string()
            client.fingerprint = try reader.string()
            return client
        }
        return (tls.first, clients)
    }
}
