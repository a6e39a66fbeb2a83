import CLinux
import Telemetry

/// Where log lines go: a file, a pipe, a terminal or a socket. Never waits.
///
/// Lines are collected and written at the end of a turn of the loop. When nobody reads or the disk is
/// full, lines are dropped and counted, and the data path does not notice.
public final class LogFile: LogTarget {
    private let path: String?
    private var descriptor: OwnedDescriptor
    private var buffer: LogBuffer
    /// Larger writes to a pipe may be cut in the middle and mixed with those of another worker.
    private var chunk = Int.max
    private var failure: Int32 = 0
    /// A line was cut when the rest of it was lost: the next begins on a line of its own.
    private var isTorn = false
    private var isMidLine = false

    private static let pipeChunk = 4096

    /// Appends to a file, which is made if it is missing.
    public init(path: String, limit: Int = 256 * 1024) throws(SystemError) {
        // SAFETY: the string is NUL-terminated during the call.
        let number = try check(unsafe sluice_open_append(path), "open", path)
        self.path = path
        descriptor = OwnedDescriptor(adopting: number)
        buffer = LogBuffer(limit: limit)
        super.init()
        chooseChunk()
    }

    /// Writes to an inherited descriptor such as standard output (1).
    ///
    /// A pipe or terminal is opened anew where possible, because non-blocking mode belongs to the open
    /// file and would change it for every process that shares it. A regular file is not: its writers
    /// share one position, and two positions would overwrite each other.
    public init(inherited number: Int32, limit: Int = 256 * 1024) throws(SystemError) {
        path = nil
        let isFile = sluice_kind(number) == Int32(UInt8(ascii: "f"))
        let reopened = isFile ? -1 : sluice_reopen_for_writing(number)
        let own = reopened >= 0 ? reopened : sluice_duplicate(number)
        descriptor = OwnedDescriptor(adopting: try check(own, "open", "descriptor \(number)"))
        buffer = LogBuffer(limit: limit)
        super.init()
        chooseChunk()
    }

    private func chooseChunk() {
        chunk = sluice_kind(descriptor.number) == Int32(UInt8(ascii: "p")) ? LogFile.pipeChunk : .max
    }

    public override var lines: Int { buffer.lines }
    public override var dropped: Int { buffer.dropped }
    public override var hasPending: Bool { !buffer.isEmpty }
    public override var lastError: Int32 { failure }

    public override func append(_ line: borrowing Span<UInt8>) { buffer.append(line) }

    public override func flush() {
        while !buffer.isEmpty {
            if isTorn, !mend() { return }
            let wanted = chunk == .max ? buffer.byteCount : buffer.wholeLines(within: chunk)
            let result = LogFile.write(buffer.bytes, wanted, to: descriptor.number)
            if result > 0 {
                failure = 0
                isMidLine = buffer.bytes[result - 1] != 0x0A
                buffer.consume(result)
                if result < wanted { return }
            } else {
                failed(Int32(-result))
                return
            }
        }
    }

    /// Ends a line whose rest was lost. False when that cannot be written either.
    private func mend() -> Bool {
        let feed: [UInt8] = [0x0A]
        let result = LogFile.write(feed.span, 1, to: descriptor.number)
        guard result > 0 else {
            failed(Int32(-result))
            return false
        }
        isTorn = false
        return true
    }

    private static func write(_ bytes: borrowing Span<UInt8>, _ count: Int, to number: Int32) -> Int {
        unsafe bytes.withUnsafeBytes { bytes in
            // SAFETY: C reads at most the bytes of the buffer, and only during the call.
            unsafe sluice_write_some(number, bytes.baseAddress, min(count, bytes.count))
        }
    }

    private func failed(_ code: Int32) {
        if code == 11 || code == 4 { return }  // EAGAIN, EINTR: later
        failure = code
        isTorn = isTorn || isMidLine
        isMidLine = false
        // ENOSPC, EPIPE and the like do not go away by keeping old lines.
        buffer.discard()
    }

    /// Opens the path anew after the file was moved away. Inherited descriptors stay.
    public override func reopen() throws(SystemError) {
        guard let path else { return }
        flush()
        // SAFETY: as in init.
        descriptor = OwnedDescriptor(adopting: try check(unsafe sluice_open_append(path), "open", path))
        chooseChunk()
        (isTorn, isMidLine) = (false, false)
    }
}
