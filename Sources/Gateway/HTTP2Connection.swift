import Buffers
import HTTP
import HTTP2
import Reactor
import Rules
import TLS
import Telemetry

/// One client connection that speaks HTTP/2: moves bytes between the socket and the session.
final class HTTP2Connection: Channel, Drainable {
    let worker: Worker
    let listener: ListenerState
    let client: ClientInfo
    let transport: Transport
    let session: ClientSession
    private var input: ReadBuffer
    var output: OutputBuffer
    let timer = HTTP2Timer()
    private var canRead: Bool
    /// Reads of up to 64 KiB before other connections have their turn.
    private static let readsInTurn = 4
    /// The peer said that it sends no more: a short read does not mean that nothing is left, its end is, and no further
    /// event announces that.
    private var peerHungUp = false
    private var canWrite = true
    private var flushPending = false
    var closing = false
    private var draining = false

    // Progress, for time limits (`HTTP2Progress.swift`): monotonic milliseconds.
    /// When there last was a stream, or the connection began.
    var lastWork: UInt64
    var sending = SendProgress()
    /// Much was sent at its last turn: the next one waits until what is small has had its own.
    private var isBulky = false
    /// Bytes sent before other connections have their turn.
    private static let sentInTurn = 256 << 10
    /// Bytes that the kernel has taken, until it may hold more.
    private var taken = 0
    /// Since when a head is being received; 0 when none is.
    var headSince: UInt64 = 0
    private(set) lazy var localEnd = Destination(of: fd)
    /// The timer runs at the pace of streams that are served.
    var watching = false

    /// - Parameter input: bytes that were read before it was known that the client speaks HTTP/2.
    init(worker: Worker, listener: ListenerState, client: ClientInfo, fd: Int32, transport: Transport, input: consuming ReadBuffer) {
        self.worker = worker
        self.listener = listener
        self.client = client
        self.transport = transport
        session = ClientSession(worker: worker, listener: listener)
        self.input = input
        output = OutputBuffer(pool: worker.pool)
        lastWork = worker.now
        canRead = !transport.isDrained
        super.init(fd: fd)
        session.connection = self
        timer.connection = self
        worker.schedule(timer, after: UInt64(listener.limits.keepAlive))
    }

    override func ready(_ events: ReadyEvents) {
        if events.contains(.readable) { canRead = true }
        if events.contains(.hangup) || events.contains(.error) {
            canRead = true
            peerHungUp = true
        }
        if events.contains(.writable) {
            canWrite = true
            if !output.isEmpty || session.wantsWrite { flushSoon() }
        }
        pump()
    }

    func pump() {
        if !input.isEmpty, !closing { take() }
        var reads = 0
        while canRead, fd >= 0, !closing {
            // Others have their turn before a client that sends without pause.
            reads += 1
            guard reads <= HTTP2Connection.readsInTurn else {
                isBulky = true
                return flushSoon()
            }
            // A client that does not read its answers does not get new requests served either.
            if output.byteCount > session.limits.outputBytes * 2, !canWrite { return }
            switch transport.receive(into: &input) {
            case .moved(_, let drained):
                if drained, !peerHungUp { canRead = false }
                take()
            case .wouldBlock:
                canRead = false
            case .endOfStream:
                return close()
            case .failed:
                return close()
            }
        }
        if session.wantsWrite { flushSoon() }
        // What came last may have needed no answer (SETTINGS acknowledged, a window opened): nothing else gives its slab back.
        if !flushPending, session.activeStreams == 0 { input.releaseIfEmpty() }
    }

    private func take() {
        // The slice and not the buffer: all that requests lead to would happen inside an access to it.
        switch session.receive(input.takeSlice(input.count), now: worker.now) {
        case .proceed:
            if !session.wantsRead, session.activeStreams == 0 { closing = true }
            noteProgress()
        case .failed(let code, let note):
            ended(code, note)
        }
        if session.wantsWrite || closing { flushSoon() }
    }

    private func ended(_ code: HTTP2ErrorCode, _ note: String) {
        guard !closing else { return }
        worker.metrics.add(code == .enhanceYourCalm ? .http2FloodsStopped : .http2ConnectionErrors)
        if let flood = session.flood { worker.metrics.add(Counter(flood)) }
        if code == .enhanceYourCalm { worker.floods.flooded(client, now: worker.now, pause: UInt64(listener.limits.floodPause)) }
        worker.note(.info, "HTTP/2 connection from \(client.address.text) ended: \(note)")
        closing = true
    }

    func flushSoon() {
        guard !flushPending, fd >= 0 else { return }
        flushPending = true
        if isBulky { worker.afterOthers(self) } else { worker.later(self) }
    }

    override func resume() {
        flushPending = false
        guard fd >= 0 else { return }
        flush()
    }

    /// The output in a place of its own: streams are asked for their bodies meanwhile, and all of that would happen inside an
    /// access to it.
    private func write() {
        var place = OutputBuffer(pool: worker.pool)
        swap(&place, &output)
        session.writeOutput(&place)
        swap(&place, &output)
    }

    private func flush() {
        var sent = 0
        while canWrite, sent < HTTP2Connection.sentInTurn {
            let sound = session.failure == nil
            write()
            // What was sent may have been one reset too many.
            if sound, let failure = session.failure { ended(failure.code, failure.note) }
            guard !output.isEmpty else { break }
            switch transport.send(&output) {
            case .moved(let count, let drained):
                sent += count
                if drained { canWrite = false }
            case .wouldBlock: canWrite = false
            case .endOfStream, .failed: return close()
            }
        }
        if taken < SendAhead.proof { noteTaken(sent) }
        isBulky = sent >= HTTP2Connection.sentInTurn / 4
        if sending.note(waiting: !output.isEmpty, worker.now, fd) { watchSending() }
        if canWrite, sent >= HTTP2Connection.sentInTurn { flushSoon() }
        if output.isEmpty, !flushPending {
            if closing || (!session.wantsRead && session.activeStreams == 0) { return close() }
            output.releaseIfEmpty()
            input.releaseIfEmpty()
        }
        if canRead { pump() }
    }

    private func noteTaken(_ count: Int) {
        taken += count
        if taken >= SendAhead.proof { Listening.sendAhead(fd, .usual) }
    }

    /// GOAWAY in two steps, so that no request on its way is lost; streams that run are finished.
    func drain() {
        guard !draining else { return }
        draining = true
        session.beginShutdown()
        worker.schedule(HTTP2Farewell(self), after: 1000)
        flushSoon()
    }

    fileprivate func finishDraining() {
        guard fd >= 0 else { return }
        session.finishShutdown()
        flushSoon()
    }

    func closeIfIdle() -> Bool {
        guard session.activeStreams == 0, output.isEmpty, headSince == 0, !closing,
            session.counters.streams > 0 || worker.now - lastWork > 1000
        else { return false }
        session.finishShutdown()
        closing = true
        flushSoon()
        return true
    }

    func close() { close(reset: false) }

    func close(reset: Bool) {
        guard fd >= 0 else { return }
        worker.cancel(timer)
        timer.connection = nil
        worker.metrics.add(.http2StreamErrors, session.counters.streamErrors)
        session.close()
        session.connection = nil
        if !reset { transport.finishSending() }
        worker.retire(self, client, reset: reset)
    }
}

final class HTTP2Timer: Timer {
    unowned var connection: HTTP2Connection?
    override func fire() { connection?.timeIsUp() }
}

/// Ends the draining of a client that does not answer a PING.
private final class HTTP2Farewell: Timer {
    private weak var connection: HTTP2Connection?
    init(_ connection: HTTP2Connection) { self.connection = connection }
    override func fire() { connection?.finishDraining() }
}

extension Counter {
    /// What counts connections that were ended for a flood.
    init(_ flood: HTTP2Flood) {
        self =
            switch flood {
            case .resets: .http2FloodResets
            case .provoked: .http2FloodProvoked
            case .malformed: .http2FloodMalformed
            case .headers: .http2FloodHeaders
            case .settings: .http2FloodSettings
            case .ping: .http2FloodPing
            case .priority: .http2FloodPriority
            case .windowUpdate: .http2FloodWindowUpdate
            case .emptyData: .http2FloodEmptyData
            case .continuation: .http2FloodContinuation
            case .frames: .http2FloodFrames
            case .unread: .http2FloodUnread
            }
    }
}
