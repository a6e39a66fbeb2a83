import Buffers
import HTTP
import HTTP1
public import Reactor
import TLS
import Telemetry

/// One connection to an origin, serving one exchange at a time (HTTP/1.1).
public final class OriginConnection: Channel {
    enum State {
        case connecting, handshaking
        /// The request goes out, the response head is awaited.
        case awaitingHead
        case body
        case tunnel
        case idle
        case closed
    }

    /// Bytes of one exchange held in one direction before the other side is made to wait.
    static let bufferLimit = 256 << 10
    /// Idle connections are closed after so many milliseconds; most origins wait longer.
    static let keepIdle: UInt64 = 55_000

    let server: Server
    let set: UpstreamSet
    var state = State.connecting
    var transport: Transport
    var input: ReadBuffer
    var output: OutputBuffer
    var parser = ResponseParser()
    var decoder = BodyDecoder()
    /// Cut by `detach`, always before the exchange is reused.
    private(set) var exchangeOwner: ForwardedExchange?
    let timer = OriginTimer()
    var canRead = true
    /// The peer said that it sends no more: a short read does not mean that nothing is left, its end is, and no further
    /// event announces that.
    var peerHungUp = false
    var canWrite = false
    var reused = false
    var receivedAny = false
    var requestDone = false
    var bodySent = false
    var chunkedRequest = false
    var keepsAlive = true
    var endOfInput = false
    var pumping = false
    var lastActivity: UInt64 = 0

    init(fd: Int32, server: Server, set: UpstreamSet) {
        self.server = server
        self.set = set
        transport = SocketTransport(fd: fd, reactor: set.reactor)
        input = ReadBuffer(pool: set.pool)
        output = OutputBuffer(pool: set.pool)
        super.init(fd: fd)
        timer.connection = self
    }

    var exchange: ForwardedExchange? { exchangeOwner }

    /// Idle and not closed by the origin.
    var isUsable: Bool { state == .idle && fd >= 0 && !endOfInput }

    /// Plain bytes in the socket are body bytes: splice(2) may be used.
    public var transportIsPlain: Bool { transport.isPlain }

    // MARK: Beginning

    func connect(_ exchange: ForwardedExchange, inProgress: Bool) {
        attach(exchange, reused: false)
        state = .connecting
        set.metrics.add(server.address.secure ? .upstreamConnectsTLS : .upstreamConnectsPlain)
        set.metrics.add(.upstreamConnectionsActive)
        exchange.origin.connectStart = set.reactor.nowNanoseconds
        set.reactor.schedule(timer, after: server.settings.connectTimeout)
        if !inProgress { connected() }
    }

    private func attach(_ exchange: ForwardedExchange, reused: Bool) {
        exchangeOwner = exchange
        exchange.originStream = self
        exchange.origin.attempts += 1
        exchange.origin.reusedConnection = reused
        self.reused = reused
        receivedAny = false
        requestDone = false
        bodySent = false
        keepsAlive = true
        lastActivity = set.reactor.now
    }

    /// Serves an exchange on a connection that is ready.
    func begin(_ exchange: ForwardedExchange, reused: Bool) {
        attach(exchange, reused: reused)
        if reused {
            exchange.origin.address = IPAddress(server.address.host) ?? exchange.origin.address
            exchange.origin.port = server.address.port
            set.metrics.add(.upstreamConnectionsActive)
        }
        state = .awaitingHead
        parser.reset()
        let upgrade = exchange.wantsUpgrade
        RequestWriter.write(exchange.request, to: &output, connection: upgrade ? .upgrade : .keepAlive)
        chunkedRequest = exchange.request.body == .unknown
        queueBody()
        exchange.origin.requestSent = set.reactor.nowNanoseconds
        set.reactor.schedule(timer, after: server.settings.firstByteTimeout)
        flush()
    }

    public override func ready(_ events: ReadyEvents) {
        if events.contains(.readable) { canRead = true }
        if events.contains(.hangup) || events.contains(.error) {
            canRead = true
            peerHungUp = true
        }
        if events.contains(.writable) { canWrite = true }
        switch state {
        case .connecting: finishConnect(events)
        case .handshaking: advanceHandshake()
        case .idle: idleEvent(events)
        case .awaitingHead, .body, .tunnel:
            if events.contains(.writable), !output.isEmpty { flush() }
            pump()
        case .closed: break
        }
    }

    private func finishConnect(_ events: ReadyEvents) {
        guard events.contains(.writable) || events.contains(.error) else { return }
        if let error = Connecting.result(fd) {
            server.connectFailed()
            set.metrics.add(.upstreamFailuresConnect)
            return fail(.connect, in: .connect, "\(error)", retrySafe: true)
        }
        connected()
    }

    private func connected() {
        canWrite = true
        guard server.address.secure, let context = server.tls else { return ready() }
        state = .handshaking
        transport = TLSTransport(
            client: context, fd: fd, serverName: server.settings.serverName ?? server.address.host, reactor: set.reactor)
        advanceHandshake()
    }

    private func advanceHandshake() {
        guard let tls = transport as? TLSTransport else { return }
        switch tls.handshake() {
        case .wantsRead, .wantsWrite: break
        case .failed(let note):
            server.connectFailed()
            set.metrics.add(.upstreamFailuresTLS)
            fail(.tls, in: .connect, note, retrySafe: true)
        case .done: ready()
        }
    }

    private func ready() {
        server.connectSucceeded()
        guard let exchange else { return close() }
        begin(exchange, reused: false)
        exchange.origin.attempts -= 1
    }

    /// Whatever an origin sends without being asked, the connection is of no use any more.
    private func idleEvent(_ events: ReadyEvents) {
        guard events.contains(.readable) || events.contains(.hangup) || events.contains(.error) else { return }
        switch transport.receive(into: &input) {
        case .wouldBlock: canRead = false
        case .moved, .endOfStream, .failed: close()
        }
    }

    // MARK: Requests go out

    /// `exchange.requestBody` grew or ended.
    public func requestBodyArrived() {
        guard state == .awaitingHead || state == .body || state == .tunnel else { return }
        queueBody()
        flush()
    }

    private func queueBody() {
        guard let exchange, !bodySent else { return }
        while !exchange.requestBody.isEmpty, output.byteCount < OriginConnection.bufferLimit {
            if chunkedRequest, state != .tunnel {
                BodyWriter.beginChunk(exchange.requestBody.byteCount, to: &output)
                output.append(contentsOf: &exchange.requestBody)
                BodyWriter.endChunk(to: &output)
            } else {
                output.append(contentsOf: &exchange.requestBody)
            }
        }
        if exchange.requestBody.isEmpty, exchange.requestBodyEnded {
            bodySent = true
            if chunkedRequest, state != .tunnel { BodyWriter.endBody(to: &output) }
        }
    }

    func flush() {
        guard state != .connecting, state != .handshaking else { return }
        while canWrite, !output.isEmpty {
            switch transport.send(&output) {
            case .moved(_, let drained):
                lastActivity = set.reactor.now
                if drained { canWrite = false }
            case .wouldBlock: canWrite = false
            case .endOfStream, .failed:
                canWrite = false
                // The origin may have answered before it closed: look.
                canRead = true
                return pump()
            }
        }
        sentSome()
    }

    private func sentSome() {
        guard let exchange else { return }
        if output.isEmpty, bodySent, !requestDone {
            requestDone = true
            if state == .tunnel { transport.finishSending() }
        }
        if output.byteCount < OriginConnection.bufferLimit / 2, !bodySent {
            exchange.originWantsBody()
            if exchangeOwner === exchange, !exchange.requestBody.isEmpty {
                queueBody()
                if canWrite, !output.isEmpty { flush() }
            }
        }
    }

    // MARK: The end

    /// The exchange wants no more of this origin.
    public func cancel() {
        guard let exchange else { return }
        exchange.originStream = nil
        detach()
        close()
    }

    func detach() {
        guard exchangeOwner != nil else { return }
        exchangeOwner = nil
        set.metrics.subtract(.upstreamConnectionsActive)
        server.exchangeEnded()
    }

    func rest() {
        state = .idle
        input.releaseIfEmpty()
        output.releaseIfEmpty()
        set.reactor.schedule(timer, after: OriginConnection.keepIdle)
    }

    func close() {
        guard fd >= 0 else { return }
        if state != .connecting { transport.finishSending() }
        state = .closed
        set.reactor.cancel(timer)
        set.reactor.close(self)
        server.closed(self)
    }
}

final class OriginTimer: Timer {
    weak var connection: OriginConnection?
    override func fire() { connection?.timeIsUp() }
}
