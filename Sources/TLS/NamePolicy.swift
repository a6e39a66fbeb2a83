import COpenSSL

/// How the names that share certificates are served: what they demand of clients, and how old a TLS may be.
struct NamePolicy {
    private let clients: ClientVerification?
    private let minimumTLS13: Bool
    private let options: ServerOptions

    /// - Throws: when certificates of one name (an ECDSA and an RSA one) want different things.
    init(_ sources: [CertificateSource], _ options: ServerOptions) throws(TLSConfigurationError) {
        self.options = options
        clients = sources[0].clients ?? options.clients
        minimumTLS13 = (sources[0].minimumVersion ?? options.minimumVersion) == .tls13
        for other in sources.dropFirst() {
            guard (other.clients ?? options.clients) == clients, (other.minimumVersion ?? options.minimumVersion == .tls13 ? .tls13 : .tls12) == (minimumTLS13 ? TLSVersion.tls13 : .tls12)
            else {
                throw TLSConfigurationError(
                    file: other.certificateName,
                    problem: "it answers for the same name as \(sources[0].certificateName), with other demands on clients or another minimum version",
                    remedy: "Give both certificates the same `client` and `min_version`")
            }
        }
    }

    /// What is wrong with the revocation lists' dates, or nil.
    /// - Throws: when they cannot be read.
    static func look(at clients: ClientVerification?) throws(TLSConfigurationError) -> CertificateWarning? {
        guard let clients, let lists = clients.revocations else { return nil }
        var until: Int64 = 0
        // SAFETY: the array is alive for the call.
        guard unsafe lists.withUnsafeBufferPointer({ unsafe sluice_revocations_until($0.baseAddress, $0.count, &until) }) == 1 else {
            throw TLSConfigurationError(
                file: clients.revocationsName, problem: "it holds no revocation list, or a damaged one",
                remedy: "Put lists in PEM form there (`-----BEGIN X509 CRL-----`): `openssl crl -inform der -in FILE -out FILE.pem`")
        }
        guard until <= 0 else { return nil }
        return CertificateWarning(file: clients.revocationsName, text: "a list in it is too old: no client's certificate is good until there is a new one")
    }

    func configure(_ context: OpaquePointer, _ shared: UnsafeMutablePointer<sluice_server>) throws(TLSConfigurationError) {
        var authorities: [OpaquePointer?] = unsafe []
        if let clients {
            let found = unsafe try CertificateReader(bytes: clients.authorities, file: clients.authoritiesName).certificates()
            unsafe authorities = found.map { unsafe Optional($0) }
        }
        // SAFETY: each was read by `CertificateReader`, which gives ownership away; the context takes references of its own.
        defer { for unsafe authority in unsafe authorities { unsafe X509_free(authority) } }
        let revocations = clients?.revocations ?? []
        let refused = unsafe withTexts { ciphers, suites, curves in
            unsafe authorities.withUnsafeBufferPointer { list in
                var policy = unsafe sluice_policy(
                    minimum_tls13: minimumTLS13 ? 1 : 0, kernel: options.usesKernel && KernelTLS.isAvailable ? 1 : 0, ciphers: ciphers, suites: suites, groups: curves, verify: verify,
                    authorities: list.baseAddress, authority_count: list.count, revocations: nil, revocations_length: revocations.count, no_tickets: options.resumesSessions ? 0 : 1)
                // SAFETY: everything the policy points to is alive for the call, and copied by it.
                return unsafe revocations.withUnsafeBufferPointer { lists in
                    if clients?.revocations != nil { unsafe policy.revocations = lists.baseAddress }
                    return unsafe sluice_server_configure(context, shared, &policy).map { unsafe String(cString: $0) }
                }
            }
        }
        if let refused { throw refusal(refused) }
    }

    private var verify: Int32 {
        switch clients?.mode {
        case nil: 0
        case .optional: 1
        case .required: 2
        }
    }

    /// The lists as C strings, nil where none is given.
    private func withTexts<Result>(
        _ body: (UnsafePointer<CChar>?, UnsafePointer<CChar>?, UnsafePointer<CChar>?) -> Result
    ) -> Result {
        // SAFETY: the strings are alive while `body` runs.
        unsafe (options.ciphers ?? "").withCString { ciphers in
            unsafe (options.suites ?? "").withCString { suites in
                unsafe (options.curves ?? "").withCString { curves in
                    unsafe body(
                        options.ciphers == nil ? nil : ciphers, options.suites == nil ? nil : suites,
                        options.curves == nil ? nil : curves)
                }
            }
        }
    }

    private func refusal(_ what: String) -> TLSConfigurationError {
        let file = what == "client authorities" ? clients?.authoritiesName ?? "TLS" : "TLS"
        return TLSConfigurationError(
            file: file, problem: "OpenSSL does not accept the \(what): \(OpenSSLError.take().text)",
            remedy: "See `openssl ciphers -v` for ciphers and suites, `openssl ecparam -list_curves` for curves")
    }
}
