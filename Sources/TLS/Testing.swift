import COpenSSL

// What the room's tests need of a peer and no gateway does.

extension ClientContext {
    func setMaximumVersionTLS12() {
        // SAFETY: the context is alive.
        unsafe sluice_set_maximum_tls12(context)
    }

    /// Suites of TLS 1.3.
    func setSuites(_ list: String) {
        // SAFETY: the context is alive.
        _ = unsafe SSL_CTX_set_ciphersuites(context, list)
    }

    /// Records are filled up to a multiple of this (RFC 8446 section 5.4).
    func setPadding(_ bytes: Int) {
        // SAFETY: the context is alive.
        _ = unsafe SSL_CTX_set_block_padding(context, bytes)
    }

    func setCiphers(_ list: String) {
        // SAFETY: the context is alive.
        _ = unsafe SSL_CTX_set_cipher_list(context, list)
    }
}

extension ServerContext {
    /// Lets sessions be judged as if it were later. - Parameter ahead: seconds.
    func setClock(ahead: Int) {
        // SAFETY: lives as long as this object; read inside handshakes only.
        unsafe shared.pointee.clock_ahead = Int64(ahead)
    }
}

extension TLSTransport {
    /// To be called before the handshake: makes its records as a server does, so that tests can send what OpenSSL does not.
    // SAFETY: the state belongs to this object.
    func forge() { unsafe io?.pointee.whole = 1 }

    /// Sends a record of any type and length, also such as nobody may send.
    /// - Parameter padding: zero bytes behind the type (RFC 8446 section 5.4).
    func sendRecord(_ type: Int32, _ bytes: [UInt8], padding: Int = 0) {
        guard let io = unsafe io else { return }
        // SAFETY: the array is alive for the call.
        _ = unsafe bytes.withUnsafeBufferPointer { unsafe sluice_records_forge(io, type, $0.baseAddress, $0.count, padding) }
        _ = unsafe sluice_tls_flush(io)
    }

    /// Changes the keys that records are sent with, and says nothing of it.
    func changeKeysSilently() { if let io = unsafe io { _ = unsafe sluice_records_forge_keys(io) } }

    /// The number of the next record that is sent (RFC 8446 section 5.3).
    var sentRecords: UInt64 {
        get { unsafe io.map { unsafe sluice_records_sequence($0, 1).pointee } ?? 0 }
        set { if let io = unsafe io { unsafe sluice_records_sequence(io, 1).pointee = newValue } }
    }

    /// The number of the next record that is received.
    var receivedRecords: UInt64 {
        get { unsafe io.map { unsafe sluice_records_sequence($0, 0).pointee } ?? 0 }
        set { if let io = unsafe io { unsafe sluice_records_sequence(io, 0).pointee = newValue } }
    }

    /// Decrypts into exactly `room` bytes, which no `ReadBuffer` is as small as: what came, and why there is not more
    /// (`SLUICE_RECORDS_...`).
    func readRecords(room: Int) -> (bytes: [UInt8], state: Int) {
        guard let io = unsafe io else { return ([], -1) }
        var count = 0
        var state: Int32 = 0
        unsafe io.pointee.drained = 0
        // SAFETY: C writes at most the room it is given; only what it says is there is read.
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(room, 1))
        defer { unsafe memory.deallocate() }
        unsafe state = sluice_records_read(io, memory, room, &count)
        _ = unsafe sluice_tls_flush(io)
        return unsafe (Array(UnsafeBufferPointer(start: memory, count: count)), Int(state))
    }

    /// Sends a KeyUpdate (RFC 8446 section 4.6.3).
    /// - Parameter requesting: the peer is asked to do the same.
    func updateKey(requesting: Bool = false) {
        if makesRecords {
            // SAFETY: the state belongs to this object.
            _ = unsafe sluice_records_update(io)
        } else {
            // SAFETY: the session is alive as long as this object.
            unsafe SSL_key_update(session, requesting ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED)
            _ = unsafe SSL_do_handshake(session)
        }
        if let io = unsafe io { _ = unsafe sluice_tls_flush(io) }
    }
}

/// One call of TLS13-KDF (EVP_KDF-TLS13_KDF(7)), which handshakes derive their secrets with.
struct Derivation {
    /// EVP_KDF_HKDF_MODE_...: 1 extracts, 2 expands.
    var mode: Int32
    var digest: String
    /// Key, salt, prefix, label and data; nil for what is not given.
    var pieces: [[UInt8]?]

    /// nil when it is refused.
    func callAsFunction(original: Bool, count: Int) -> [UInt8]? {
        var wish = unsafe sluice_derivation()
        unsafe wish.mode = mode
        let bytes = pieces.flatMap { $0 ?? [] }
        var offset = 0
        var out = [UInt8](repeating: 0, count: count)
        // SAFETY: all that is pointed to is alive in the closures, and the counts are those of the pieces.
        let fine = unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe digest.withCString { digest in
                unsafe wish.digest = digest
                unsafe withUnsafeMutableBytes(of: &wish.pieces) { pointers in
                    for (index, piece) in pieces.enumerated() {
                        unsafe pointers.bindMemory(to: UnsafePointer<UInt8>?.self)[index] = bytes.baseAddress.map { unsafe $0 + offset }
                        offset += piece?.count ?? 0
                    }
                }
                unsafe withUnsafeMutableBytes(of: &wish.counts) { counts in
                    for (index, piece) in pieces.enumerated() { unsafe counts.bindMemory(to: Int.self)[index] = piece?.count ?? -1 }
                }
                return unsafe sluice_tls_derive(original ? 1 : 0, &wish, &out, count)
            }
        }
        return fine == 1 ? out : nil
    }
}
