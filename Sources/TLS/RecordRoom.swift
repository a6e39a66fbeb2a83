import COpenSSL

/// Room that a worker's TLS connections share for the records of one call, so that they leave with
/// one system call, and for small pieces that become one record.
@safe final class RecordRoom {
    /// Plain bytes encrypted before the kernel is asked to take them: eight full records.
    static let plainBytes = 131_072
    /// One record's plain bytes (RFC 8446 section 5.1).
    static let recordBytes = 16_384

    let collected: UnsafeMutablePointer<sluice_tls_room>?
    let gathered: UnsafeMutablePointer<UInt8>

    init() {
        // SAFETY: both are freed in deinit. 17 records of overhead: alerts and tickets may join.
        unsafe collected = sluice_tls_room_new(RecordRoom.plainBytes + 65_536)
        unsafe gathered = .allocate(capacity: RecordRoom.recordBytes)
    }

    deinit {
        // SAFETY: connections hold their context and the context holds this room, so none is left.
        unsafe sluice_tls_room_free(collected)
        unsafe gathered.deallocate()
    }
}
