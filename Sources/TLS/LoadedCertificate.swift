import COpenSSL

/// A certificate, its chain and its key, parsed and found to belong together.
@safe final class LoadedCertificate {
    let source: CertificateSource
    /// DNS names, lower case, in the certificate's order.
    let names: [String]
    /// OpenSSL's number for the kind of key (RSA, EC, ...).
    let keyType: Int32
    private let certificates: [OpaquePointer]
    private let key: OpaquePointer

    init(_ source: CertificateSource) throws(TLSConfigurationError) {
        let certificates = unsafe try CertificateReader(bytes: source.certificate, file: source.certificateName).certificates()
        let key: OpaquePointer
        do throws(TLSConfigurationError) {
            unsafe key = try KeyReader(bytes: source.key, file: source.keyName).key()
        } catch {
            unsafe LoadedCertificate.free(certificates)
            throw error
        }
        self.source = source
        unsafe self.certificates = certificates
        unsafe self.key = key
        // SAFETY: both pointers were just parsed.
        keyType = unsafe EVP_PKEY_get_base_id(key)
        names = unsafe LoadedCertificate.names(of: certificates[0])
        // SAFETY: the same.
        guard unsafe X509_check_private_key(certificates[0], key) == 1 else {
            ERR_clear_error()
            throw TLSConfigurationError(
                file: source.keyName, problem: "this key does not belong to the certificate in \(source.certificateName)",
                remedy: "Name the key the certificate was made for: `openssl x509 -noout -pubkey` of the one and "
                    + "`openssl pkey -pubout` of the other must print the same")
        }
    }

    deinit {
        // SAFETY: this object owns one reference on each.
        unsafe LoadedCertificate.free(certificates)
        unsafe EVP_PKEY_free(key)
    }

    private static func free(_ certificates: [OpaquePointer]) {
        // SAFETY: each was read by `CertificateReader`, which gives ownership away.
        for unsafe certificate in unsafe certificates { unsafe X509_free(certificate) }
    }

    private static func names(of certificate: OpaquePointer) -> [String] {
        var found: [String] = []
        // SAFETY: the callback runs only inside the call, with the array it is given; names are copied.
        unsafe withUnsafeMutablePointer(to: &found) { list in
            unsafe sluice_certificate_names(certificate, { context, name, length in
                guard let context = unsafe context, let name = unsafe name else { return }
                let bytes = unsafe UnsafeRawBufferPointer(start: name, count: length)
                let text = unsafe String(decoding: bytes, as: UTF8.self).lowercased()
                unsafe context.assumingMemoryBound(to: [String].self).pointee.append(text)
            }, list)
        }
        var seen = Set<String>()
        return found.filter { seen.insert($0).inserted }
    }

    /// Adds certificate, chain and key to a context.
    func use(in context: OpaquePointer) throws(TLSConfigurationError) {
        let chain = unsafe certificates.dropFirst().map { unsafe Optional($0) }
        // SAFETY: OpenSSL takes references of its own.
        let result = unsafe chain.withUnsafeBufferPointer {
            unsafe sluice_use_certificate(context, certificates[0], $0.baseAddress, $0.count, key)
        }
        guard result == 1 else {
            throw TLSConfigurationError(
                file: source.certificateName, problem: "OpenSSL does not accept this certificate: \(OpenSSLError.take().text)",
                remedy: "Use an RSA key of at least 2048 bits or an EC key (P-256), signed with SHA-256 or better")
        }
    }

    /// Has its OCSP response, when there is one, stapled by a listener. One that is too old is left out: whoever brings new ones may
    /// be late, and that is no reason not to serve.
    func staple(to server: UnsafeMutablePointer<sluice_server>) throws(TLSConfigurationError) -> CertificateWarning? {
        guard let der = source.staple else { return nil }
        guard unsafe certificates.count > 1 else {
            throw TLSConfigurationError(
                file: source.stapleName, problem: "\(source.certificateName) holds no issuer to check it against",
                remedy: "Put the issuer's certificate behind the leaf in \(source.certificateName)")
        }
        var isOld: Int32 = 0
        // SAFETY: the certificates are owned by this object, the bytes are copied, the text is static.
        let wrong = unsafe der.withUnsafeBufferPointer {
            unsafe sluice_staple_add(server, certificates[0], certificates[1], $0.baseAddress, $0.count, &isOld)
        }
        guard let wrong = unsafe wrong else { return nil }
        if isOld != 0 { return CertificateWarning(file: source.stapleName, text: unsafe "it is left out: \(String(cString: wrong))") }
        throw TLSConfigurationError(
            file: source.stapleName, problem: unsafe String(cString: wrong),
            remedy: "Fetch it with `openssl ocsp -issuer ISSUER -cert LEAF -url URL -respout FILE`, again before it is too old")
    }

    /// What is wrong with the certificate's dates, or nil.
    func dateWarning() -> CertificateWarning? {
        var untilEnd: Int64 = 0
        var untilBegin: Int64 = 0
        // SAFETY: the certificate is owned by this object.
        unsafe sluice_certificate_times(certificates[0], &untilEnd, &untilBegin)
        let text: String
        if untilEnd <= 0 {
            text = "expired \(days(-untilEnd)) ago: clients refuse it; renew it"
        } else if untilBegin > 0 {
            text = "not valid for another \(days(untilBegin)): clients refuse it until then; check the clock"
        } else if untilEnd < 14 * 86400 {
            text = "expires in \(days(untilEnd)): renew it"
        } else {
            return nil
        }
        return CertificateWarning(file: source.certificateName, text: text)
    }

    private func days(_ seconds: Int64) -> String {
        if seconds < 2 * 86400 { return "\(seconds / 3600) hours" }
        return "\(seconds / 86400) days"
    }
}

/// Reads PEM certificates, and says what the bytes are when they are not that.
struct CertificateReader {
    let bytes: [UInt8]
    let file: String

    /// - Returns: at least one; the caller owns a reference on each.
    func certificates() throws(TLSConfigurationError) -> [OpaquePointer] {
        var found: [OpaquePointer] = unsafe []
        ERR_clear_error()
        let bio = unsafe memoryBIO(bytes)
        // SAFETY: the BIO reads from `bytes`, which outlives it.
        while let certificate = unsafe sluice_read_certificate(bio) { unsafe found.append(certificate) }
        unsafe BIO_free(bio)
        let error = OpenSSLError.take()
        if unsafe !found.isEmpty, error.isNoStartLine || error.code == 0 { return unsafe found }
        // SAFETY: these were just read and are given up.
        for unsafe certificate in unsafe found { unsafe X509_free(certificate) }
        throw refusal(error)
    }

    private func refusal(_ error: OpenSSLError) -> TLSConfigurationError {
        if let common = commonRefusal(bytes, file: file, what: "certificate") { return common }
        if error.isNoStartLine {
            return TLSConfigurationError(
                file: file, problem: "holds no certificate\(contains(bytes, "PRIVATE KEY-----") ? ", but a private key" : "")",
                remedy: "Name the PEM file with `-----BEGIN CERTIFICATE-----`; certificate and key may be swapped")
        }
        return TLSConfigurationError(
            file: file, problem: "a certificate in it is damaged: \(error.text)", remedy: "Fetch or copy the file again")
    }
}

/// Reads a PEM key.
struct KeyReader {
    let bytes: [UInt8]
    let file: String

    func key() throws(TLSConfigurationError) -> OpaquePointer {
        ERR_clear_error()
        let bio = unsafe memoryBIO(bytes)
        // SAFETY: the BIO reads from `bytes`, which outlives it.
        let key = unsafe sluice_read_key(bio)
        unsafe BIO_free(bio)
        let error = OpenSSLError.take()
        if let key = unsafe key { return unsafe key }
        throw refusal(error)
    }

    private func refusal(_ error: OpenSSLError) -> TLSConfigurationError {
        if contains(bytes, "ENCRYPTED") {
            return TLSConfigurationError(
                file: file, problem: "the key is encrypted with a pass phrase",
                remedy: "Decrypt it with `openssl pkey -in KEY -out PLAIN` and protect the file by its mode")
        }
        if let common = commonRefusal(bytes, file: file, what: "key") { return common }
        if contains(bytes, "BEGIN CERTIFICATE") {
            return TLSConfigurationError(
                file: file, problem: "holds a certificate, but no private key",
                remedy: "Name the PEM file with `-----BEGIN PRIVATE KEY-----`; certificate and key may be swapped")
        }
        return TLSConfigurationError(
            file: file, problem: "no private key can be read from it: \(error.text)", remedy: "Fetch or copy the file again")
    }
}

/// What is wrong with bytes that hold no PEM at all.
private func commonRefusal(_ bytes: [UInt8], file: String, what: String) -> TLSConfigurationError? {
    if bytes.isEmpty {
        return TLSConfigurationError(file: file, problem: "is empty", remedy: "Put the \(what) in PEM form there")
    }
    if contains(bytes, "-----BEGIN") { return nil }
    if bytes[0] == 0x30 {
        let tool = what == "key" ? "openssl pkey" : "openssl x509"
        return TLSConfigurationError(
            file: file, problem: "is in DER form, not PEM",
            remedy: "Convert it: `\(tool) -inform der -in FILE -out FILE.pem`")
    }
    return TLSConfigurationError(
        file: file, problem: "is not PEM: no line begins with `-----BEGIN`", remedy: "Put the \(what) in PEM form there")
}

private func contains(_ bytes: [UInt8], _ text: String) -> Bool {
    let needle = Array(text.utf8)
    guard bytes.count >= needle.count else { return false }
    for start in 0...(bytes.count - needle.count) where bytes[start] == needle[0] {
        if bytes[start..<(start + needle.count)].elementsEqual(needle) { return true }
    }
    return false
}

/// A BIO that holds a copy of the bytes.
func memoryBIO(_ bytes: [UInt8]) -> OpaquePointer? {
    // SAFETY: a fresh memory BIO; the bytes are copied into it.
    guard let bio = unsafe BIO_new(BIO_s_mem()) else { return nil }
    unsafe bytes.withUnsafeBytes { _ = unsafe BIO_write(bio, $0.baseAddress, Int32(clamping: $0.count)) }
    return unsafe bio
}
