import COpenSSL

/// HMAC-SHA-256 (RFC 2104): says that whoever wrote a text knew the key.
public enum MessageCode {
    public static let byteCount = 32

    /// Nil when OpenSSL refuses, which it does only without memory.
    public static func make(key: [UInt8], text: [UInt8]) -> [UInt8]? {
        var code = [UInt8](repeating: 0, count: byteCount)
        // SAFETY: both inputs are read within their counts, 32 bytes are written into 32.
        let done = unsafe code.withUnsafeMutableBufferPointer { room in
            unsafe key.withUnsafeBufferPointer { key in
                unsafe text.withUnsafeBufferPointer { text in
                    unsafe sluice_hmac_sha256(key.baseAddress, key.count, text.baseAddress, text.count, room.baseAddress)
                }
            }
        }
        return done == 1 ? code : nil
    }

    /// Compares without telling by its time how much was right.
    public static func areEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        // SAFETY: both are read within their common count.
        return unsafe a.withUnsafeBufferPointer { a in
            unsafe b.withUnsafeBufferPointer { b in unsafe sluice_equal_codes(a.baseAddress, b.baseAddress, a.count) == 1 }
        }
    }
}
