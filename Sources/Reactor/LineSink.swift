import CLinux

/// Takes lines for somebody who watches: one packet each, dropped when nobody keeps up.
public final class LineSink {
    /// Lines a worker sends in a second; a watcher reads no more, and the data path pays a system call for each.
    public static let linesPerSecond = 200

    private let descriptor: OwnedDescriptor
    private var second = 0
    private var sent = 0

    public init(adopting descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

    /// Whether a line would be sent now.
    /// - Parameter second: wall-clock seconds.
    public func wants(second: Int) -> Bool {
        if second != self.second {
            self.second = second
            sent = 0
        }
        return sent < LineSink.linesPerSecond
    }

    public func send(_ line: borrowing Span<UInt8>) {
        sent += 1
        unsafe line.withUnsafeBytes { bytes in
            // SAFETY: C reads `count` bytes during the call.
            _ = unsafe sluice_control_send(descriptor.number, bytes.baseAddress, bytes.count, -1)
        }
    }
}
