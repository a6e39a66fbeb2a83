import CLinux

/// A pipe that bytes pass through on their way from socket to socket without entering user space (splice(2)).
public final class SplicePipe {
    /// Bytes a pipe is asked to hold; as many as are held of one exchange in one direction.
    public static let size = 256 << 10
    /// Bytes that a pipe for a large body is asked to hold.
    public static let largeSize = 1 << 20

    /// Bytes that may be inside, by how many of the body have passed: as many at first, up to the usual size; a large pipe is for a
    /// client that has taken much already.
    public static func room(taken: Int) -> Int { max(size / 4, min(taken, size), taken / 4) }

    private let reading: Int32
    private let writing: Int32
    private unowned let reactor: Reactor
    private var held = 0
    /// Bytes that are inside.
    public var byteCount: Int { held }
    /// Bytes the kernel agreed to hold.
    public let capacity: Int
    /// Made to hold `largeSize`, whatever the kernel agreed to.
    public let isLarge: Bool
    /// The socket had bytes behind the body. They stay in the pipe, which nobody else may use then.
    public private(set) var hasExcess = false

    public init(reactor: Reactor, large: Bool = false) throws(SystemError) {
        isLarge = large
        var ends: [Int32] = [0, 0]
        // SAFETY: C writes two descriptors into room for two.
        let result = unsafe ends.withUnsafeMutableBufferPointer { unsafe sluice_pipe($0.baseAddress, Int32(large ? SplicePipe.largeSize : SplicePipe.size)) }
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

    /// Moves bytes from a socket into the pipe: at most `room`, and not more than the `body` bytes that are still to come.
    ///
    /// Where the rest of the body fits, one byte more is asked for: that the socket does not have it says that the socket is empty,
    /// which would cost another call to find out; `hasExcess` that it does. `.wouldBlock` means that the socket has none or that
    /// the pipe is full; with an empty pipe it is the socket.
    public func fill(from socket: Int32, body: Int, room: Int) -> IOResult {
        guard body > 0, room > 0 else { return .moved(0, drained: false) }
        reactor.counts.splice &+= 1
        let ends = body < room
        let result = sluice_splice(socket, writing, ends ? body + 1 : room, 0)
        if result < 0 { return IOResult(code: Int32(-result)) }
        if result == 0 { return .endOfStream }
        if result > body {
            hasExcess = true
            held += body
            return .moved(body, drained: false)
        }
        held += result
        // A shorter one may mean that the pipe, which counts pages, is full.
        return .moved(result, drained: ends && result == body)
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

/// Pipes for reuse: making one costs three system calls, closing it two. One pool belongs to one worker thread.
public final class PipePool {
    /// Pipes in use at a time; further bodies are copied to user space and back. The kernel gives one user 64 MiB
    /// of pipes before it makes them small (pipe-user-pages-soft).
    public static let limit = 64
    /// As many of them are left for clients that are known to take what they ask for.
    public static let provenShare = 32
    /// Large ones among them.
    public static let largeLimit = 16
    /// Bodies with less than this to come get a pipe of the usual size.
    public static let largeBody = 2 << 20

    private unowned let reactor: Reactor
    /// Asks the kernel for one, large or not.
    private let new: (Bool) -> SplicePipe?
    private var free: [SplicePipe] = []
    private var freeLarge: [SplicePipe] = []
    public private(set) var inUse = 0
    public private(set) var largeInUse = 0
    /// Monotonic milliseconds before which no further pipe is asked for, large or of any size: a user who has too many already has
    /// too many for a while, and to find out costs four system calls.
    private var nextAttempt: (large: UInt64, any: UInt64) = (0, 0)
    static let pause: UInt64 = 1_000

    public convenience init(reactor: Reactor) { self.init(reactor: reactor) { try? SplicePipe(reactor: reactor, large: $0) } }

    init(reactor: Reactor, new: @escaping (Bool) -> SplicePipe?) {
        self.reactor = reactor
        self.new = new
    }

    /// An empty pipe for a body with `bytes` to come; nil when there are too many already or the system has none.
    /// - Parameter proven: the client has taken an answer already, or much of one.
    public func take(for bytes: Int = 0, proven: Bool = true) -> SplicePipe? {
        guard inUse < (proven ? PipePool.limit : PipePool.limit - PipePool.provenShare) else { return nil }
        if bytes >= PipePool.largeBody, largeInUse < PipePool.largeLimit, let pipe = freeLarge.popLast() ?? make(large: true) {
            inUse += 1
            largeInUse += 1
            return pipe
        }
        guard let pipe = free.popLast() ?? make(large: false) else { return nil }
        inUse += 1
        return pipe
    }

    private func make(large: Bool) -> SplicePipe? {
        guard reactor.now >= (large ? nextAttempt.large : nextAttempt.any) else { return nil }
        if let pipe = PipePool.usable(new(large)) { return pipe }
        if large { nextAttempt.large = reactor.now + PipePool.pause } else { nextAttempt.any = reactor.now + PipePool.pause }
        return nil
    }

    /// A user with many pipes gets small ones, which bring less at a time than a read would.
    private static func usable(_ pipe: SplicePipe?) -> SplicePipe? {
        guard let pipe, pipe.capacity * 4 >= SplicePipe.size else { return nil }
        return pipe
    }

    /// Takes a pipe back. One that still holds bytes is closed: they must not reach another exchange.
    public func giveBack(_ pipe: SplicePipe) {
        inUse -= 1
        if pipe.isLarge { largeInUse -= 1 }
        guard pipe.isEmpty, !pipe.hasExcess else { return }
        if pipe.isLarge { freeLarge.append(pipe) } else { free.append(pipe) }
    }
}
