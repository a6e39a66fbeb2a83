import CLinux

/// A pipe that bytes pass through on their way from socket to socket without entering user space (splice(2)).
public final class SplicePipe {
    /// Bytes a pipe is asked to hold; as many as are held of one exchange in one direction.
    public static let size = 256 << 10

    private let reading: Int32
    private let writing: Int32
    private unowned let reactor: Reactor
    private var held = 0
    /// Bytes that are inside.
    public var byteCount: Int { held }
    /// Bytes the kernel agreed to hold.
    public let capacity: Int

    public init(reactor: Reactor) throws(SystemError) {
        var ends: [Int32] = [0, 0]
        // SAFETY: C writes two descriptors into room for two.
        let result = unsafe ends.withUnsafeMutableBufferPointer { unsafe sluice_pipe($0.baseAddress, Int32(SplicePipe.size)) }
        guard result > 0 else { throw SystemError(call: "pipe2", code: -result) }
        reading = ends[0]
        writing = ends[1]
        capacity = Int(result)
        self.reactor = reactor
    }

    deinit {
        _ = sluice_close(reading)
        _ = sluice_close(writing)
    }

    public var isEmpty: Bool { byteCount == 0 }

    /// Moves up to `limit` bytes from a socket into the pipe.
    ///
    /// `.wouldBlock` means that the socket has none or that the pipe is full; with an empty pipe it is the socket.
    public func fill(from socket: Int32, limit: Int) -> IOResult {
        guard limit > 0 else { return .moved(0, drained: false) }
        reactor.counts.splice &+= 1
        let result = sluice_splice(socket, writing, limit, 0)
        if result < 0 { return IOResult(code: Int32(-result)) }
        if result == 0 { return .endOfStream }
        held += result
        return .moved(result, drained: false)
    }

    /// Moves bytes from the pipe to a socket. Only `.wouldBlock` says that the socket is full: the kernel may stop
    /// earlier for reasons of its own.
    /// - Parameter more: further bytes follow at once, so that segments may be filled.
    public func drain(to socket: Int32, more: Bool) -> IOResult {
        guard byteCount > 0 else { return .moved(0, drained: false) }
        reactor.counts.splice &+= 1
        let result = sluice_splice(reading, socket, byteCount, more ? 1 : 0)
        if result < 0 { return IOResult(code: Int32(-result)) }
        if result == 0 { return .endOfStream }
        held -= result
        return .moved(result, drained: false)
    }
}

/// Pipes for reuse: making one costs five system calls. One pool belongs to one worker thread.
public final class PipePool {
    /// Pipes in use at a time; further bodies are copied to user space and back. The kernel gives one user 64 MiB
    /// of pipes before it makes them small (pipe-user-pages-soft).
    public static let limit = 64
    private static let kept = 16

    private unowned let reactor: Reactor
    private var free: [SplicePipe] = []
    public private(set) var inUse = 0

    public init(reactor: Reactor) { self.reactor = reactor }

    /// An empty pipe; nil when there are too many already or the system has none.
    public func take() -> SplicePipe? {
        guard inUse < PipePool.limit else { return nil }
        guard let pipe = free.popLast() ?? (try? SplicePipe(reactor: reactor)) else { return nil }
        // A user with many pipes gets small ones, which bring less at a time than a read would.
        guard pipe.capacity * 4 >= SplicePipe.size else { return nil }
        inUse += 1
        return pipe
    }

    /// Takes a pipe back. One that still holds bytes is closed: they must not reach another exchange.
    public func giveBack(_ pipe: SplicePipe) {
        inUse -= 1
        if pipe.isEmpty, free.count < PipePool.kept { free.append(pipe) }
    }
}
