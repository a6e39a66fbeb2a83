import CLinux
public import Buffers

/// What one attempt to move bytes came to.
public enum IOResult: Sendable, Equatable {
    /// Bytes moved. `drained`: the next attempt would block (a short read or write says so).
    case moved(Int, drained: Bool)
    case wouldBlock
    /// The peer ended its side in order.
    case endOfStream
    /// An errno value; for TLS also protocol failures (EPROTO).
    case failed(Int32)
}

/// How a connection's bytes get in and out: a plain socket here, TLS in its own room.
open class Transport {
    public init() {}

    /// True when bytes pass through the kernel unchanged, so that splice(2) may be used.
    open var isPlain: Bool { false }

    /// True when what is sent may go to the socket as it is, for instance by splice(2): plain, or the kernel encrypts it.
    open var takesPlainBytes: Bool { isPlain }

    /// Reads once into free room of `buffer`.
    open func receive(into buffer: inout ReadBuffer) -> IOResult { .failed(0) }

    /// Sends as much of `output` as goes at once and drops it there.
    open func send(_ output: inout OutputBuffer) -> IOResult { .failed(0) }

    /// `send`, and further bytes go to the same socket by another way at once: the kernel may fill its segments with both.
    open func sendAhead(_ output: inout OutputBuffer) -> IOResult { send(&output) }

    /// `send`, and `finishSending` follows at once when all is gone: the kernel may put both into one segment.
    open func sendLast(_ output: inout OutputBuffer) -> IOResult { send(&output) }

    /// What was read last emptied the socket: to read again is of no use before it is ready.
    open var isDrained: Bool { false }

    /// Says that no more will be sent (TCP FIN, TLS close_notify).
    open func finishSending() {}
}

/// A plain TCP socket. The descriptor belongs to the connection's channel, which closes it.
public final class SocketTransport: Transport {
    private let fd: Int32
    /// Strong: it is used at every read and write, and `unowned` would cost a retain and a release each time.
    private let reactor: Reactor

    public init(fd: Int32, reactor: Reactor) {
        self.fd = fd
        self.reactor = reactor
    }

    public override var isPlain: Bool { true }

    public override func receive(into buffer: inout ReadBuffer) -> IOResult {
        var result = 0
        var room = 0
        reactor.counts.receive &+= 1
        // SAFETY: recv writes at most the room it is given and answers how much.
        unsafe buffer.withFreeSpace { free in
            unsafe result = sluice_recv(fd, free.baseAddress, free.count)
            room = free.count
            return max(result, 0)
        }
        if result > 0 { return .moved(result, drained: result < room) }
        return result == 0 ? .endOfStream : IOResult(code: Int32(-result))
    }

    public override func send(_ output: inout OutputBuffer) -> IOResult { send(&output, more: false) }
    public override func sendAhead(_ output: inout OutputBuffer) -> IOResult { send(&output, more: true) }
    public override func sendLast(_ output: inout OutputBuffer) -> IOResult { send(&output, more: true) }

    @inline(__always)
    private func send(_ output: inout OutputBuffer, more: Bool) -> IOResult {
        let total = output.byteCount
        guard total > 0 else { return .moved(0, drained: false) }
        reactor.counts.send &+= 1
        let (result, offered) = output.chain.sendOnce(fd, more: more)
        guard result >= 0 else { return IOResult(code: Int32(-result)) }
        output.dropFirst(result)
        return .moved(result, drained: result < offered)
    }

    public override func finishSending() { _ = sluice_shutdown_write(fd) }
}

extension IOResult {
    init(code: Int32) {
        self = code == EAGAIN_CODE ? .wouldBlock : .failed(code)
    }
}

let EAGAIN_CODE: Int32 = 11

extension Chain {
    /// One send of the front slices: the result (a count or a negative errno) and the bytes offered.
    borrowing func sendOnce(_ fd: Int32, more: Bool) -> (result: Int, offered: Int) {
        var offered = 0
        // SAFETY: the slices are alive while the chain is borrowed; the kernel only reads them.
        let result = unsafe withIOVectors { (vectors: UnsafeMutableBufferPointer<iovec>, bytes: Int) -> Int in
            offered = bytes
            guard let base = vectors.baseAddress else { return 0 }
            if vectors.count == 1 { return unsafe sluice_send(fd, base.pointee.iov_base, base.pointee.iov_len, more ? 1 : 0) }
            return unsafe sluice_sendmsg(fd, base, Int32(vectors.count), more ? 1 : 0)
        }
        return (result, offered)
    }
}
