import CLinux

/// Where a worker writes how it crashed: memory that outlives it, because its supervisor holds it, too.
public struct CrashMemory: ~Copyable {
    /// The descriptor's number in the worker.
    public static let childDescriptor: Int32 = 4
    /// More is cut: a backtrace has 48 frames.
    private static let limit = 16 * 1024
    private let memory: OwnedDescriptor

    public init() throws(SystemError) {
        memory = OwnedDescriptor(adopting: try check(sluice_crash_memory(), "memfd_create", "a crash report"))
    }

    public var number: Int32 { memory.number }

    /// What was written: the signal with its address, and a line per frame. Empty when the process did not crash.
    public func lines() -> [String] {
        let number = memory.number
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: CrashMemory.limit) { buffer, filled in
            // SAFETY: C writes at most the buffer's capacity and says how much.
            filled = unsafe max(0, sluice_read_at(number, buffer.baseAddress, buffer.count, 0))
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// In the worker: a deadly signal is written down before it ends the process. Without a supervisor's memory: nothing.
    static func install() { _ = sluice_crash_install(childDescriptor) }
}

/// Files that only this user may read.
public enum PrivateFile {
    /// Makes a file; one that is there already is an error.
    public static func write(_ path: String, _ text: String) throws(SystemError) {
        var text = text
        let result = text.withUTF8 { bytes in
            // SAFETY: the path is NUL-terminated for the call; C reads the bytes during it.
            unsafe sluice_write_private_file(path, bytes.baseAddress, bytes.count)
        }
        try check(result, "open", path)
    }
}
