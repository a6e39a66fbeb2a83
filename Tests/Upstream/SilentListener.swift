import Glibc

/// A listening socket whose queue is full, so that the kernel ignores further connection attempts.
final class SilentListener {
    struct Failure: Error {}

    let port: UInt16
    private let listener: Int32
    private var fillers: [Int32] = []

    init() throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.listener = listener
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // SAFETY: a sockaddr_in is passed with its own size, and outlives the calls.
        let bound = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                unsafe bind(listener, raw, length) == 0 && listen(listener, 0) == 0 && getsockname(listener, raw, &length) == 0
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        guard bound else { throw Failure() }
        for _ in 0..<4 { fillers.append(connect(to: address)) }
    }

    /// Starts connecting and does not wait for the end of it.
    private func connect(to address: sockaddr_in) -> Int32 {
        var address = address
        let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        // SAFETY: the same.
        _ = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                unsafe Glibc.connect(fd, raw, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return fd
    }

    deinit {
        for fd in fillers { close(fd) }
        close(listener)
    }
}
