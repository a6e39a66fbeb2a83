import Buffers
import HTTP
import HTTP1
import HTTP2
import Reactor
import TLS
import Telemetry

/// One connection to an origin that speaks HTTP/2: moves bytes between the socket and the session, and serves as many
/// exchanges at once as both ends allow.
final class MultiplexedConnection: Channel {
    /// Changes when a newer generation takes the connection over.
    var server: Server
    let context: OriginContext
    let address: ServerAddress
    let session: OriginSession
    private let transport: Transport
    private var input: ReadBuffer
    private var output: OutputBuffer
    private let timer = MultiplexedTimer()
    private var canRead = true
    private var canWrite = true
    private var sawHangup = false
    private var flushPending = false
    /// Reads of up to 64 KiB before other connections have their turn.
    private static let readsInTurn = 4
    /// Exchanges being served.
    private(set) var active = 0
    /// Exchanges that were begun here.
    private(set) var served = 0
    /// No new exchange is begun; the connection closes with its last one.
    private(set) var isRetired = false
    /// Monotonic milliseconds at which the origin was last heard of.
    private(set) var lastHeard: UInt64
    /// Why the connection ended, for the log.
    private(set) var reason = "the connection was closed"

    init(fd: Int32, server: Server, address: ServerAddress, transport: Transport) {
        self.server = server
        self.address = address
        self.transport = transport
        context = server.context
        session = OriginSession(server.settings, server.context)
        input = ReadBuffer(pool: context.pool)
        output = OutputBuffer(pool: context.pool)
        lastHeard = context.reactor.now
        super.init(fd: fd)
        session.connection = self
        timer.connection = self
        context.metrics.add(.upstreamConnectionsIdle)
    }

    // MARK: Exchanges

    /// One more exchange may begin.
    var hasRoom: Bool { !isRetired && fd >= 0 && active < server.settings.maximumStreams && session.canOpen }

    func begin(_ exchange: ForwardedExchange) {
        let stream = context.idleStreams.popLast() ?? MultiplexedStream(server: server)
        if active == 0 { countActive(true) }
        active += 1
        served += 1
        stream.begin(exchange, on: self, server)
    }

    /// An exchange is over for the connection, whatever became of it.
    func streamEnded() {
        active -= 1
        guard fd >= 0 else { return }
        if active == 0 {
            countActive(false)
            if isRetired { return closeSoon() }
            context.reactor.schedule(timer, after: server.settings.keepAliveTime)
        }
        server.roomAppeared()
    }

    /// Opened ahead of need: says hello and waits.
    func rest() {
        context.reactor.schedule(timer, after: server.settings.keepAliveTime)
        flushSoon()
    }

    private func countActive(_ isActive: Bool) {
        context.metrics.add(.upstreamConnectionsActive, isActive ? 1 : -1)
        context.metrics.add(.upstreamConnectionsIdle, isActive ? -1 : 1)
    }

    /// Takes no more exchanges, and closes when the last one is over.
    func retire() {
        guard !isRetired, fd >= 0 else { return }
        isRetired = true
        server.forget(self)
        if active == 0 { closeSoon() }
    }

    // MARK: Events

    override func ready(_ events: ReadyEvents) {
        if events.contains(.readable) { canRead = true }
        if events.contains(.hangup) || events.contains(.error) {
            canRead = true
            sawHangup = true
        }
        if events.contains(.writable) {
            canWrite = true
            if !output.isEmpty || session.wantsWrite { flushSoon() }
        }
        pump()
    }

    private func pump() {
        var reads = 0
        while canRead, fd >= 0 {
            reads += 1
            guard reads <= MultiplexedConnection.readsInTurn else { return flushSoon() }
            // An origin that does not read what it made us say is not listened to either.
            if output.byteCount > session.limits.outputBytes * 2, !canWrite { return }
            switch transport.receive(into: &input) {
            case .moved(_, let drained):
                if drained, !sawHangup { canRead = false }
                lastHeard = context.reactor.now
                guard take() else { return }
            case .wouldBlock: canRead = false
            case .endOfStream: return close("the origin closed the connection")
            case .failed(let code): return close(SystemError(call: "read", code: code).reason)
            }
        }
        guard fd >= 0 else { return }
        if active == 0 { input.releaseIfEmpty() }
        if session.wantsWrite { flushSoon() }
    }

    /// False: the connection is over.
    private func take() -> Bool {
        switch session.receive(input.takeSlice(input.count), now: context.reactor.now) {
        case .proceed:
            guard session.wantsRead || session.wantsWrite || active > 0 else {
                close("the origin ended the connection")
                return false
            }
            return true
        case .failed(let code, let note):
            context.metrics.add(code == .enhanceYourCalm ? .upstreamHTTP2Floods : .upstreamHTTP2Errors)
            protocolFault = true
            sayGoodbye()
            close("HTTP/2: \(note)")
            return false
        }
    }

    /// The connection ended because the origin broke the protocol.
    private(set) var protocolFault = false

    func flushSoon() {
        guard !flushPending, fd >= 0 else { return }
        flushPending = true
        context.reactor.later(self)
    }

    override func resume() {
        flushPending = false
        guard fd >= 0 else { return }
        if isRetired, active == 0 {
            // Resets are not sent behind a GOAWAY.
            sayGoodbye()
            session.terminate(.noError)
            sayGoodbye()
            return close("no longer needed")
        }
        flush()
    }

    private func flush() {
        while canWrite {
            session.writeOutput(&output)
            guard !output.isEmpty else { break }
            switch transport.send(&output) {
            case .moved(_, let drained): if drained { canWrite = false }
            case .wouldBlock: canWrite = false
            case .endOfStream, .failed:
                // What the origin said before it closed is still worth reading.
                canWrite = false
                output.removeAll()
                canRead = true
                sawHangup = true
            }
        }
        if output.isEmpty {
            output.releaseIfEmpty()
            input.releaseIfEmpty()
        }
        if canRead { pump() }
    }

    /// Tries once to get out what is queued, for instance a GOAWAY.
    private func sayGoodbye() {
        guard canWrite else { return }
        session.writeOutput(&output)
        _ = transport.send(&output)
    }

    private func closeSoon() { flushSoon() }

    func close(_ why: String) {
        guard fd >= 0 else { return }
        reason = why
        if !isRetired {
            isRetired = true
            server.forget(self)
        }
        context.reactor.cancel(timer)
        context.metrics.add(active > 0 ? .upstreamConnectionsActive : .upstreamConnectionsIdle, -1)
        transport.finishSending()
        context.reactor.close(self)
        session.close()
        session.connection = nil
        output.removeAll()
        output.releaseIfEmpty()
        input.consume(input.count)
        input.releaseIfEmpty()
        server.closedMultiplexed()
    }

    fileprivate func timeIsUp() {
        guard fd >= 0, active == 0 else { return }
        retire()
    }
}

private final class MultiplexedTimer: Timer {
    unowned var connection: MultiplexedConnection?
    override func fire() { connection?.timeIsUp() }
}

/// The session of a connection to an origin.
final class OriginSession: HTTP2OriginSession {
    unowned var connection: MultiplexedConnection?
    private let context: OriginContext

    init(_ settings: UpstreamSettings, _ context: OriginContext) {
        self.context = context
        var limits = HTTP2Limits()
        limits.concurrentStreams = settings.maximumStreams
        limits.streamWindow = max(settings.responseBuffer, 65_535)
        limits.headerListBytes = settings.heads.total
        limits.headerFields = settings.heads.fields
        limits.fieldBytes = settings.heads.field
        // One client that does not read must never hold up the others: room for every stream's window.
        limits.connectionWindow = min(settings.maximumStreams * limits.streamWindow, Int(Int32.max))
        super.init(pool: context.pool, limits: limits)
    }

    override func outputWanted() { connection?.flushSoon() }

    /// Until the first ones one exchange at a time was all that is sure to be welcome; later ones may allow more again.
    override func settingsArrived() { connection?.server.roomAppeared() }

    override func goingAway() { connection?.retire() }

    override func recycle(_ stream: HTTP2Stream) {
        guard let stream = (stream as? WireStream)?.released(), context.idleStreams.count < 256 else { return }
        context.idleStreams.append(stream)
    }
}
