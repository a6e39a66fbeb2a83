import CLinux

/// Passes a C result on, or throws its negative errno.
@discardableResult
func check(_ result: Int32, _ call: String, _ subject: @autoclosure () -> String) throws(SystemError) -> Int32 {
    if result < 0 { throw SystemError(call: call, code: -result, subject: subject()) }
    return result
}

/// A descriptor with one owner; closed when the owner ends.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The number. Valid as long as the owner is.
    public let number: Int32

    /// Takes ownership of an open descriptor.
    public init(adopting number: Int32) { self.number = number }

    deinit { _ = sluice_close(number) }

    /// Gives ownership up: the caller closes it.
    public consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }

    /// A second descriptor of the same open file.
    public borrowing func duplicate() throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(adopting: try check(sluice_duplicate(number), "fcntl", "descriptor \(number)"))
    }

    public borrowing func setNonBlocking(_ on: Bool) throws(SystemError) {
        try check(sluice_set_nonblocking(number, on ? 1 : 0), "fcntl", "descriptor \(number)")
    }
}

/// Clocks.
public enum SystemClock {
    /// Nanoseconds of the monotonic clock, the same in all processes of this machine.
    public static func monotonicNanoseconds() -> UInt64 { sluice_monotonic_ns() }

    /// Nanoseconds since 1970, to the microsecond.
    public static func wallNanoseconds() -> UInt64 { UInt64(max(0, sluice_wall_microseconds())) &* 1000 }

    /// Wall clock for people: "2026-01-31T12:34:56.789Z".
    public static func timestamp() -> String {
        // SAFETY: the C function writes 24 characters and a NUL into the 25 bytes.
        unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 25) { buffer in
            guard let base = buffer.baseAddress else { return "" }
            unsafe sluice_utc_timestamp(base)
            return unsafe String(cString: base)
        }
    }
}

extension OwnedDescriptor {
    /// A second descriptor of the same open file; the caller closes it.
    public static func copy(of number: Int32) throws(SystemError) -> Int32 {
        try check(sluice_duplicate(number), "fcntl", "descriptor \(number)")
    }
}

extension SystemError {
    /// Trying again later can succeed: EAGAIN, EINTR, ENOBUFS.
    public var isTemporary: Bool { code == 11 || code == 4 || code == 105 }
}
