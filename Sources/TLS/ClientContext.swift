import COpenSSL

/// How one group of origins is spoken to: whom to trust, what to offer, which sessions to resume.
@safe public final class ClientContext {
    let room = RecordRoom()
    let verifiesPeer: Bool
    let context: OpaquePointer
    private let alpn: [UInt8]
    /// The newest session by server name.
    // SAFETY: each is owned by the dictionary, see `keep`.
    private var sessions: [String: OpaquePointer] = unsafe [:]
    private static let keptSessions = 256

    public init(_ options: ClientOptions = ClientOptions()) throws(TLSConfigurationError) {
        // SAFETY: owned by this object, freed in deinit.
        guard let context = unsafe sluice_context_new(0) else { throw outOfMemory() }
        unsafe self.context = context
        verifiesPeer = options.verifiesPeer
        alpn = options.alpn.flatMap { [UInt8(clamping: $0.utf8.count)] + Array($0.utf8.prefix(255)) }
        unsafe sluice_client_configure(context, options.minimumVersion == .tls13 ? 1 : 0, keepSession)
        unsafe SSL_CTX_set_verify(context, options.verifiesPeer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nil)
        if options.verifiesPeer { try trust(options) }
        if let own = options.certificate { unsafe try LoadedCertificate(own).use(in: context) }
    }

    deinit {
        // SAFETY: connections hold this object, so no session uses these any more.
        forgetSessions()
        unsafe SSL_CTX_free(context)
    }

    private func trust(_ options: ClientOptions) throws(TLSConfigurationError) {
        guard let pem = options.trustedCertificates else {
            // SAFETY: the context is alive. The store's directory is read when a chain is checked.
            if unsafe SSL_CTX_set_default_verify_paths(context) == 1 { return }
            throw TLSConfigurationError(
                file: "system certificates", problem: "cannot be used: \(OpenSSLError.take().text)",
                remedy: "Install `ca-certificates` or name a file of trusted certificates")
        }
        let certificates = unsafe try CertificateReader(bytes: pem, file: options.trustedName).certificates()
        let store = unsafe SSL_CTX_get_cert_store(context)
        for unsafe certificate in unsafe certificates {
            // SAFETY: the store takes its own reference; ours ends here.
            _ = unsafe X509_STORE_add_cert(store, certificate)
            unsafe X509_free(certificate)
        }
        ERR_clear_error()
    }

    /// A session towards `serverName`, resuming the last one with it when there is one.
    func makeSession(serverName: String) -> OpaquePointer? {
        // SAFETY: the context is alive; OpenSSL copies names and takes references.
        guard let session = unsafe SSL_new(context) else { return nil }
        unsafe SSL_set_connect_state(session)
        if !alpn.isEmpty { unsafe SSL_set_alpn_protos(session, alpn, UInt32(alpn.count)) }
        guard unsafe sluice_client_name(session, serverName, verifiesPeer ? 1 : 0) == 1 else {
            unsafe SSL_free(session)
            return nil
        }
        if let known = unsafe sessions[serverName] { unsafe SSL_set_session(session, known) }
        return unsafe session
    }

    /// Keeps a session for later connections; takes over the caller's reference.
    fileprivate func keep(_ session: OpaquePointer, for serverName: String) {
        // SAFETY: the dictionary owns one reference on each session in it.
        if unsafe sessions[serverName] == nil, unsafe sessions.count >= ClientContext.keptSessions { forgetSessions() }
        if let old = unsafe sessions.updateValue(session, forKey: serverName) { unsafe SSL_SESSION_free(old) }
    }

    private func forgetSessions() {
        // SAFETY: see `keep`.
        for unsafe session in unsafe sessions.values { unsafe SSL_SESSION_free(session) }
        unsafe sessions.removeAll()
    }
}

// SAFETY: called by OpenSSL inside a call on the session, whose transport stored itself as
// application data and is alive then.
private let keepSession: @convention(c) (OpaquePointer?, OpaquePointer?) -> Int32 = { session, new in
    guard let new = unsafe new, let owner = unsafe SSL_get_ex_data(session, 0) else { return 0 }
    let transport = unsafe Unmanaged<TLSTransport>.fromOpaque(owner).takeUnretainedValue()
    guard let (context, name) = transport.sessionKeeper else { return 0 }
    unsafe context.keep(new, for: name)
    return 1
}
