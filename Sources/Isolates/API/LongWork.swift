import CV8

/// Work with keys that takes too long for the thread that JavaScript runs on: made there, run once on another, stopped from anywhere.
// SAFETY: `run` is called once; `stop` touches an atomic only; what came of it is read after `run` returned, by whoever was told
// so through a queue under a lock, which orders the two.
@safe public final class LongWork: @unchecked Sendable {
    /// What came of it.
    public enum Result: Sendable, Equatable {
        case done([UInt8])
        case failed
        /// Told to stop.
        case stopped
        /// Its processor time was used up.
        case spent
    }

    private let raw: OpaquePointer

    /// A fresh RSA key pair as PKCS #8.
    public static func rsaKey(bits: Int32, exponent: UInt32) -> LongWork? { unsafe LongWork(cv8_work_rsa(bits, exponent)) }

    /// PBKDF2 (RFC 8018 section 5.2). Nil for an unknown hash, no iterations, and more than 64 KiB. Password and salt are not kept.
    public static func pbkdf2(hash: Span<UInt8>, password: Span<UInt8>, salt: Span<UInt8>, iterations: UInt32, count: Int) -> LongWork? {
        // SAFETY: the three buffers live as long as the closures; C copies what it needs.
        unsafe hash.withUnsafeBufferPointer { hash in
            unsafe password.withUnsafeBufferPointer { password in
                unsafe salt.withUnsafeBufferPointer { salt in
                    unsafe LongWork(cv8_work_pbkdf2(view(hash), view(password), view(salt), iterations, count))
                }
            }
        }
    }

    /// An operation with an RSA key, told by the arguments of an operation from `first` on (`pair` of `native`). Nil: they are none of it.
    public static func pair(_ native: borrowing NativeCall, _ first: Int32) -> LongWork? { unsafe LongWork(cv8_work_pair(native.raw, first)) }

    private static func view(_ buffer: UnsafeBufferPointer<UInt8>) -> cv8_bytes {
        unsafe cv8_bytes(bytes: buffer.baseAddress ?? emptyBytes, count: buffer.count)
    }

    private init?(_ raw: OpaquePointer?) {
        guard let raw = unsafe raw else { return nil }
        unsafe self.raw = raw
    }

    // SAFETY: the last to hold the object frees what only it points to.
    deinit { unsafe cv8_work_free(raw) }

    /// Does it, with at most about so many nanoseconds of this thread's processor time.
    public func run(cpuNanoseconds: UInt64) -> Result {
        // SAFETY: as for the class; the bytes are copied while the object lives.
        switch unsafe cv8_work_end(rawValue: UInt32(bitPattern: cv8_work_run(raw, cpuNanoseconds))) {
        case CV8_WORK_DONE:
            let bytes = unsafe cv8_work_result(raw)
            return unsafe .done(Array(UnsafeBufferPointer(start: bytes.bytes, count: bytes.count)))
        case CV8_WORK_STOPPED: return .stopped
        case CV8_WORK_SPENT: return .spent
        default: return .failed
        }
    }

    public func stop() { unsafe cv8_work_stop(raw) }

    /// What it took of its thread's processor time; to be read when `run` is over.
    public var cpuNanoseconds: UInt64 { unsafe cv8_work_cpu(raw) }
}
