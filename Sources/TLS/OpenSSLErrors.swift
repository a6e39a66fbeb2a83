import COpenSSL

/// What OpenSSL's error queue of this thread says, and the queue emptied.
struct OpenSSLError {
    let code: UInt
    /// For instance `sslv3 alert handshake failure`.
    let text: String

    static func take() -> OpenSSLError {
        let code = ERR_peek_last_error()
        ERR_clear_error()
        guard code != 0 else { return OpenSSLError(code: 0, text: "no detail given") }
        // SAFETY: a static string of OpenSSL, or nil.
        if let reason = unsafe ERR_reason_error_string(code) {
            return OpenSSLError(code: code, text: unsafe String(cString: reason))
        }
        return OpenSSLError(code: code, text: "OpenSSL error \(code)")
    }

    var isUnexpectedEOF: Bool { sluice_error_is_unexpected_eof(code) != 0 }
    var isHTTPRequest: Bool { sluice_error_is_http_request(code) != 0 }
    var isNoStartLine: Bool { sluice_error_is_no_start_line(code) != 0 }
    var isPassPhrase: Bool { sluice_error_is_pass_phrase(code) != 0 }
}
