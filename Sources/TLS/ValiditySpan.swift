import COpenSSL

/// From when until when something that was signed is good. Seconds since 1970.
public struct ValiditySpan: Sendable, Equatable {
    public let begins: Int
    public let ends: Int

    /// Of the first certificate of a PEM file; nil when there is none.
    public init?(certificate pem: [UInt8]) {
        ERR_clear_error()
        let bio = unsafe memoryBIO(pem)
        var (begins, ends): (Int64, Int64) = (0, 0)
        var isKnown = false
        // SAFETY: the BIO reads from a copy of the bytes, the times are locals, and the certificate that is read is freed here.
        if let leaf = unsafe sluice_read_certificate(bio) {
            isKnown = unsafe sluice_certificate_span(leaf, &begins, &ends) == 1
            unsafe X509_free(leaf)
        }
        unsafe BIO_free(bio)
        ERR_clear_error()
        guard isKnown else { return nil }
        (self.begins, self.ends) = (Int(begins), Int(ends))
    }

    /// Of an OCSP response in DER form; nil when it does not say.
    public init?(staple der: [UInt8]) {
        var (begins, ends): (Int64, Int64) = (0, 0)
        // SAFETY: the bytes are only read, during the call; the times are locals.
        let isKnown = unsafe der.withUnsafeBufferPointer { unsafe sluice_staple_span($0.baseAddress, $0.count, &begins, &ends) == 1 }
        guard isKnown else { return nil }
        (self.begins, self.ends) = (Int(begins), Int(ends))
    }
}
