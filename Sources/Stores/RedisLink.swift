import Buffers
import Reactor
import TLS

/// One connection to a Redis, from its beginning to its end. What it is used for is its client's matter.
final class RedisLink: Channel {
    private enum State { case connecting, handshaking, open, closed }

    weak var client: RedisClient?
    private let reactor: Reactor
    private let tls: ClientContext?
    private let serverName: String
    private var state = State.connecting
    private var transport: Transport
    private var input: ReadBuffer
    private var output: OutputBuffer
    private var reader = RESPReader()
    private var canWrite = false
    private var isPosted = false
    private var isReading = false
    /// There may be more to read than this turn had time for.
    private var hasMore = false

    /// Bytes read in one go, of which a turn of the loop has two at most: what they answer has to be given to those who asked before more of it is in memory.
    private static let share = 256 << 10

    /// Bytes that wait to be sent.
    private(set) var backlog = 0

    init(fd: Int32, tls: ClientContext?, serverName: String, reactor: Reactor, pool: SlabPool) {
        self.reactor = reactor
        self.tls = tls
        self.serverName = serverName
        transport = SocketTransport(fd: fd, reactor: reactor)
        input = ReadBuffer(pool: pool)
        output = OutputBuffer(pool: pool)
        super.init(fd: fd)
    }

    /// Goes out at the end of the loop's turn, together with what follows until then.
    func send(_ bytes: [UInt8]) {
        output.append(copying: bytes.span)
        backlog = output.byteCount
        post()
    }

    private func post() {
        guard !isPosted, state == .open else { return }
        isPosted = true
        reactor.later(self)
    }

    func connected() {
        canWrite = true
        guard let tls else { return opened() }
        state = .handshaking
        transport = TLSTransport(client: tls, fd: fd, serverName: serverName, reactor: reactor)
        advanceHandshake()
    }

    private func opened() {
        state = .open
        client?.opened()
        post()
    }

    private func advanceHandshake() {
        guard let tls = transport as? TLSTransport else { return }
        switch tls.handshake() {
        case .wantsRead, .wantsWrite: break
        case .failed(let note): fail("no TLS connection: \(note)")
        case .done:
            opened()
            read()
        }
    }

    override func ready(_ events: ReadyEvents) {
        if events.contains(.writable) { canWrite = true }
        switch state {
        case .connecting:
            guard events.contains(.writable) || events.contains(.error) else { return }
            if let error = Connecting.result(fd) { return fail(error.reason) }
            connected()
        case .handshaking: advanceHandshake()
        case .open:
            flush()
            read()
        case .closed: break
        }
    }

    override func resume() {
        isPosted = false
        flush()
        guard hasMore else { return }
        hasMore = false
        read()
    }

    private func flush() {
        while state == .open, canWrite, !output.isEmpty {
            switch transport.send(&output) {
            case .moved(_, let drained): if drained { canWrite = false }
            case .wouldBlock: canWrite = false
            case .endOfStream: fail("it closed the connection")
            case .failed(let code): fail("sending failed with error \(code)")
            }
        }
        backlog = output.byteCount
    }

    private func read() {
        guard !isReading else { return }
        isReading = true
        defer { isReading = false }
        var left = Self.share
        while state == .open {
            guard left > 0 else {
                hasMore = true
                return post()
            }
            switch transport.receive(into: &input) {
            case .moved:
                left -= input.count
                reader.append(input.bytes)
                input.consume(input.count)
                deliver()
            case .wouldBlock: return input.releaseIfEmpty()
            case .endOfStream: fail("it closed the connection")
            case .failed(let code): fail("reading failed with error \(code)")
            }
        }
    }

    private func deliver() {
        do throws(RESPError) {
            while state == .open, let value = try reader.next() { client?.received(value) }
        } catch {
            fail("it sent \(error.words)")
        }
    }

    private func fail(_ reason: String) {
        guard state != .closed else { return }
        let client = client
        close()
        client?.lost(reason)
    }

    /// The client hears of nothing any more.
    func close() {
        guard state != .closed else { return }
        state = .closed
        client = nil
        reactor.close(self)
    }
}
