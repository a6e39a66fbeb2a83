import CLinux

/// Looks at what a socket has received without taking it, for what stands before the first byte of a protocol.
public enum Peeking {
    /// - Returns: bytes now in `buffer`; 0 when the peer ended, negative when there is nothing yet or the socket failed.
    public static func peek(_ fd: Int32, into buffer: inout [UInt8]) -> Int {
        // SAFETY: C writes at most as many bytes as the buffer has.
        unsafe buffer.withUnsafeMutableBytes { unsafe Int(sluice_peek(fd, $0.baseAddress, $0.count)) }
    }

    /// Takes `count` bytes that `peek` has shown.
    public static func drop(_ fd: Int32, _ count: Int) -> Bool {
        var left = count
        var sink = [UInt8](repeating: 0, count: 2_048)
        while left > 0 {
            // SAFETY: as in `peek`.
            let taken = unsafe sink.withUnsafeMutableBytes { unsafe Int(sluice_recv(fd, $0.baseAddress, min(left, $0.count))) }
            guard taken > 0 else { return false }
            left -= taken
        }
        return true
    }
}
