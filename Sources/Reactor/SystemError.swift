import CLinux
import Glibc

/// A system call that failed: which, why, and on what.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
    public let call: String
    /// An errno value.
    public let code: Int32
    /// What it was done to: an address, a path, or empty.
    public let subject: String

    public init(call: String, code: Int32, subject: String = "") {
        self.call = call
        self.code = code
        self.subject = subject
    }

    /// The system's own words for the code.
    public var reason: String {
        // SAFETY: strerror answers a valid C string for every value; it is copied at once.
        unsafe String(cString: strerror(code))
    }

    public var description: String {
        subject.isEmpty ? "\(call): \(reason)" : "\(subject): \(call): \(reason)"
    }
}
