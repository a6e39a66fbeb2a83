import CLinux

/// A descriptor that one process raises and another waits for (eventfd).
public enum EventSignal {
    public static func create() throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(adopting: try check(sluice_eventfd(), "eventfd", ""))
    }

    /// Wakes whoever watches the descriptor. Watched edge-triggered it need not be read.
    public static func raise(_ descriptor: Int32) { _ = sluice_eventfd_signal(descriptor) }
}

/// One line on standard error, written at once.
public enum StandardErrorLine {
    public static func write(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        // SAFETY: C reads at most `count` bytes of the buffer during the call.
        _ = unsafe bytes.withUnsafeBytes { buffer in unsafe sluice_write_some(2, buffer.baseAddress, buffer.count) }
    }
}
