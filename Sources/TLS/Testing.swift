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

    /// Sends a record of any type, of at most 8 bytes.
    func sendRecord(_ type: Int32, _ bytes: [UInt8]) {
        guard let io = unsafe io else { return }
        // SAFETY: the array is alive for the call.
        _ = unsafe bytes.withUnsafeBufferPointer { unsafe sluice_records_put(io, type, $0.baseAddress, $0.count) }
        _ = unsafe sluice_tls_flush(io)
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
