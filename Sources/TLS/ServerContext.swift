import COpenSSL

/// The certificates of a listener, ready to shake hands with. One per worker and configuration.
@safe public final class ServerContext {
    /// Certificates that are expired, not yet valid or about to expire, and OCSP responses that are too old.
    public private(set) var warnings: [CertificateWarning]

    let room = RecordRoom()
    private let certificates: [LoadedCertificate]
    let shared: UnsafeMutablePointer<sluice_server>
    /// One per set of certificates that answer together.
    // SAFETY: owned by this object, freed in deinit.
    private var contexts: [OpaquePointer] = unsafe []
    private var exact: [String: Int] = [:]
    /// By the part after `*.`.
    private var wildcards: [String: Int] = [:]
    private let rejectsUnknownNames: Bool
    /// A larger ClientHello is refused.
    let helloBytes: Int
    let makesRecords: Bool

    /// - Throws: the first certificate or key that cannot be used.
    public init(_ sources: [CertificateSource], options: ServerOptions = ServerOptions()) throws(TLSConfigurationError) {
        var loaded: [LoadedCertificate] = []
        for source in sources { loaded.append(try LoadedCertificate(source)) }
        certificates = loaded
        warnings = loaded.compactMap { $0.dateWarning() }
        rejectsUnknownNames = options.rejectsUnknownNames
        helloBytes = options.helloBytes
        makesRecords = options.makesRecords
        // SAFETY: freed in deinit, after the contexts that refer to it.
        unsafe shared = .allocate(capacity: 1)
        unsafe shared.initialize(to: sluice_server())
        unsafe shared.pointee.owner = Unmanaged.passUnretained(self).toOpaque()
        unsafe shared.pointee.choose = chooseCertificate
        store(alpn: options.alpn)
        setTicketKeys(options.ticketKeys)
        guard !loaded.isEmpty else {
            throw TLSConfigurationError(
                file: "TLS listener", problem: "has no certificate", remedy: "Name at least one certificate and key")
        }
        for clients in [options.clients] + sources.map(\.clients) {
            if let warning = try NamePolicy.look(at: clients) { warnings.append(warning) }
        }
        try buildContexts(options)
        for certificate in loaded {
            // SAFETY: the list is freed in deinit.
            if let warning = unsafe try certificate.staple(to: shared) { warnings.append(warning) }
        }
    }

    deinit {
        // SAFETY: connections hold this object, so no session uses these any more.
        for unsafe context in unsafe contexts { unsafe SSL_CTX_free(context) }
        unsafe sluice_staples_free(shared)
        unsafe shared.deallocate()
    }

    // MARK: Names

    /// Which certificates answer for a name: equal numbers mean the same ones; nil means that none
    /// covers it. A request whose host gives another number than the connection's server name gets a 421.
    /// - Parameter name: any case, no port.
    public func certificateIndex(for name: String) -> Int? {
        var name = name.lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        if let index = exact[name] { return index }
        guard !wildcards.isEmpty, let dot = name.firstIndex(of: "."), dot != name.startIndex else { return nil }
        return wildcards[String(name[name.index(after: dot)...])]
    }

    /// Replaces the ticket keys, for instance after a rotation. At most four are used.
    public func setTicketKeys(_ keys: [TicketKey]) {
        let used = keys.prefix(Int(SLUICE_TICKET_KEYS))
        // SAFETY: four keys of 80 bytes fit; the callback reads them on this thread only.
        unsafe withUnsafeMutableBytes(of: &shared.pointee.tickets) { room in
            for (index, key) in used.enumerated() {
                let slot = unsafe UnsafeMutableRawBufferPointer(rebasing: room[(index * TicketKey.byteCount)...])
                unsafe slot.copyBytes(from: key.bytes)
            }
        }
        unsafe shared.pointee.ticket_keys = Int32(used.count)
    }

    // MARK: Building

    private func store(alpn: [String]) {
        var wire: [UInt8] = []
        for name in alpn where name.utf8.count < 256 && wire.count + name.utf8.count < 255 {
            wire.append(UInt8(name.utf8.count))
            wire += name.utf8
        }
        // SAFETY: at most 255 bytes into room for 256.
        unsafe withUnsafeMutableBytes(of: &shared.pointee.alpn) { unsafe $0.copyBytes(from: wire) }
        unsafe shared.pointee.alpn_length = wire.count
    }

    /// Certificates that share a name and differ in their kind of key answer for it together.
    private func buildContexts(_ options: ServerOptions) throws(TLSConfigurationError) {
        var sets: [[Int]: Int] = [:]
        let first = certificates[0].names.first.map { covering($0) } ?? [0]
        try addContext(for: first, to: &sets, options)
        for certificate in certificates {
            for name in certificate.names {
                let index = try addContext(for: covering(name), to: &sets, options)
                if name.hasPrefix("*.") { wildcards[String(name.dropFirst(2))] = index } else { exact[name] = index }
            }
        }
    }

    /// The certificates that hold a name literally, one per kind of key, first come first.
    private func covering(_ name: String) -> [Int] {
        var kinds = Set<Int32>()
        return certificates.indices.filter { index in
            certificates[index].names.contains(name) && kinds.insert(certificates[index].keyType).inserted
        }
    }

    @discardableResult
    private func addContext(
        for set: [Int], to sets: inout [[Int]: Int], _ options: ServerOptions
    ) throws(TLSConfigurationError) -> Int {
        if let known = sets[set] { return known }
        // SAFETY: the context is owned by this object from here on; `shared` outlives it.
        guard let context = unsafe sluice_context_new(1) else { throw outOfMemory() }
        unsafe contexts.append(context)
        let policy = try NamePolicy(set.map { certificates[$0].source }, options)
        unsafe try policy.configure(context, shared)
        for index in set { unsafe try certificates[index].use(in: context) }
        let index = unsafe contexts.count - 1
        sets[set] = index
        return index
    }

    // MARK: Sessions

    /// A fresh session with the first certificate; the server name may choose another.
    func makeSession() -> OpaquePointer? {
        // SAFETY: the context is alive.
        guard let session = unsafe SSL_new(contexts[0]) else { return nil }
        unsafe SSL_set_accept_state(session)
        return unsafe session
    }

    /// Gives a session the certificates for the name in its ClientHello.
    fileprivate func choose(for session: OpaquePointer?, name: String) -> Bool {
        guard let index = certificateIndex(for: name) else { return !rejectsUnknownNames }
        // SAFETY: the session takes its own reference on the context.
        if index != 0 { unsafe sluice_server_switch(session, contexts[index]) }
        return true
    }
}

// SAFETY: called by OpenSSL inside `SSL_do_handshake`, before it looks at tickets, with the owner that `init` stored; sessions hold
// their context, so the owner is alive, and the name is a C string for the length of the call.
private let chooseCertificate: @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?, UnsafePointer<CChar>?) -> Int32 = {
    owner, session, name in
    guard let owner = unsafe owner, let name = unsafe name else { return 0 }
    let context = unsafe Unmanaged<ServerContext>.fromOpaque(owner).takeUnretainedValue()
    return unsafe context.choose(for: session, name: String(cString: name)) ? 1 : 0
}

func outOfMemory() -> TLSConfigurationError {
    TLSConfigurationError(
        file: "TLS", problem: "OpenSSL cannot make a context: \(OpenSSLError.take().text)", remedy: "Free some memory")
}
