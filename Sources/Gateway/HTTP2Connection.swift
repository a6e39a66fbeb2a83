import Buffers
import HTTP
import HTTP2
import Hooks
import Reactor
import Rules
import TLS
import Telemetry
import Upstream

/// One client connection that speaks HTTP/2: moves bytes between the socket and the session.
final class HTTP2Connection: Channel, Drainable {
    unowned let worker: Worker
    let listener: ListenerState
    let client: ClientInfo
    let transport: Transport
    let session: ClientSession
    private var input: ReadBuffer
    private var output: OutputBuffer
    private let timer = HTTP2Timer()
    private var canRead = true
    /// The peer said that it sends no more: a short read does not mean that nothing is left, its end is, and no further
    /// event announces that.
    private var peerHungUp = false
    private var canWrite = true
    private var flushPending = false
    private var closing = false
    private var lastActivity: UInt64
    private var draining = false

    init(worker: Worker, listener: ListenerState, client: ClientInfo, fd: Int32, transport: Transport) {
        self.worker = worker
        self.listener = listener
        self.client = client
        self.transport = transport
        session = ClientSession(worker: worker, listener: listener)
        input = ReadBuffer(pool: worker.pool)
        output = OutputBuffer(pool: worker.pool)
        lastActivity = worker.now
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
        while canRead, fd >= 0, !closing {
            // A client that does not read its answers does not get new requests served either.
            if output.byteCount > session.limits.outputBytes * 2, !canWrite { return }
            switch transport.receive(into: &input) {
            case .moved(_, let drained):
                if drained, !peerHungUp { canRead = false }
                lastActivity = worker.now
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
    }

    private func take() {
        switch session.receive(&input, now: worker.now) {
        case .proceed:
            if !session.wantsRead, session.activeStreams == 0 { closing = true }
        case .failed(let code, let note):
            worker.metrics.add(code == .enhanceYourCalm ? .http2FloodsStopped : .http2ConnectionErrors)
            worker.note(.info, "HTTP/2 connection from \(client.address.text) ended: \(note)")
            closing = true
        }
        if session.wantsWrite || closing { flushSoon() }
    }

    func flushSoon() {
        guard !flushPending, fd >= 0 else { return }
        flushPending = true
        worker.later(self)
    }

    override func resume() {
        flushPending = false
        guard fd >= 0 else { return }
        flush()
    }

    private func flush() {
        while canWrite {
            session.writeOutput(&output)
            guard !output.isEmpty else { break }
            switch transport.send(&output) {
            case .moved(_, let drained):
                lastActivity = worker.now
                if drained { canWrite = false }
            case .wouldBlock: canWrite = false
            case .endOfStream, .failed: return close()
            }
        }
        if output.isEmpty {
            if closing || (!session.wantsRead && session.activeStreams == 0) { return close() }
            output.releaseIfEmpty()
            input.releaseIfEmpty()
        }
        if canRead { pump() }
    }

    /// GOAWAY; streams that run are finished.
    func drain() {
        guard !draining else { return }
        draining = true
        session.beginShutdown()
        session.finishShutdown()
        flushSoon()
    }

    func close() {
        guard fd >= 0 else { return }
        worker.cancel(timer)
        timer.connection = nil
        session.close()
        session.connection = nil
        transport.finishSending()
        worker.retire(self, client, reset: false)
    }

    fileprivate func timeIsUp() {
        guard fd >= 0 else { return }
        let limits = listener.limits
        let limit = UInt64(!output.isEmpty || session.activeStreams > 0 ? limits.writeStall : limits.keepAlive)
        let waiting = session.activeStreams > 0 && output.isEmpty
        let due = lastActivity + limit
        if due > worker.now || waiting {
            return worker.schedule(timer, after: waiting ? limit : due - worker.now)
        }
        if output.isEmpty {
            worker.metrics.add(.timeoutsIdle)
            drain()
            closing = true
        } else {
            worker.metrics.add(.timeoutsWriteStall)
            close()
        }
    }
}

private final class HTTP2Timer: Timer {
    unowned var connection: HTTP2Connection?
    override func fire() { connection?.timeIsUp() }
}

/// The session of a client connection: makes the gateway's streams.
final class ClientSession: HTTP2Session {
    unowned let worker: Worker
    let listener: ListenerState
    unowned var connection: HTTP2Connection?

    init(worker: Worker, listener: ListenerState) {
        self.worker = worker
        self.listener = listener
        var limits = HTTP2Limits()
        limits.concurrentStreams = listener.limits.streams
        limits.headerListBytes = listener.limits.headerBytes
        limits.headerFields = listener.limits.headerFields
        limits.fieldBytes = listener.limits.headerField
        limits.requestsPerConnection = listener.limits.requestsPerConnection
        super.init(pool: worker.pool, limits: limits)
    }

    override func makeStream() -> HTTP2Stream {
        let stream = worker.idleStreams.popLast() ?? HTTP2RequestStream()
        stream.owner = self
        stream.adapter.begin(stream, worker)
        return stream
    }

    override func recycle(_ stream: HTTP2Stream) {
        guard let stream = stream as? HTTP2RequestStream else { return }
        stream.owner = nil
        if worker.idleStreams.count < 1024 { worker.idleStreams.append(stream) }
    }

    override func outputWanted() { connection?.flushSoon() }
}

/// nghttp2's side of a stream: passes what arrives on to the runner.
final class HTTP2RequestStream: HTTP2Stream {
    fileprivate(set) unowned var owner: ClientSession?
    let adapter = HTTP2ClientStream()

    override func headComplete(endOfStream: Bool) {
        guard let owner, let connection = owner.connection else { return }
        adapter.headComplete(self, connection, endOfStream: endOfStream)
    }

    override func headRefused(_ error: ErrorKind) {
        guard let owner, let connection = owner.connection else { return }
        adapter.headRefused(self, connection, error)
    }

    override func dataArrived(_ slice: consuming Slice) { adapter.dataArrived(slice) }
    override func endOfRequest(trailers: borrowing Head) { adapter.requestEnded(trailers) }
    override func needsBody() { adapter.needsBody() }
    override func closed(_ code: HTTP2ErrorCode) { adapter.streamClosed(code) }
}

/// The runner's side of a stream.
final class HTTP2ClientStream: ClientStream {
    private unowned var stream: HTTP2RequestStream?
    private var headSent = false
    private var finished = false
    private var ended = false
    private var closed = false
    private var unconsumed = 0
    private var sent = 0

    init() { super.init(fd: -1) }

    override var bytesSent: Int { sent }
    override var clientProtocol: HTTPVersion { .http2 }

    fileprivate func begin(_ stream: HTTP2RequestStream, _ worker: Worker) {
        self.stream = stream
        headSent = false
        finished = false
        ended = false
        closed = false
        unconsumed = 0
        sent = 0
    }

    fileprivate func headComplete(_ stream: HTTP2RequestStream, _ connection: HTTP2Connection, endOfStream: Bool) {
        let runner = connection.worker.takeRunner(for: self, connection.client)
        self.runner = runner
        swap(&runner.request, &stream.head)
        runner.request.version = .http2
        runner.request.scheme = connection.listener.scheme
        if endOfStream { runner.request.body = .none }
        runner.requestBodyEnded = endOfStream
        runner.bodyLimit = connection.listener.limits.body ?? .max
        ended = endOfStream
        runner.begin()
    }

    fileprivate func headRefused(_ stream: HTTP2RequestStream, _ connection: HTTP2Connection, _ error: ErrorKind) {
        let runner = connection.worker.takeRunner(for: self, connection.client)
        self.runner = runner
        swap(&runner.request, &stream.head)
        runner.request.version = .http2
        ended = true
        runner.refuse(error, note: "the HTTP/2 request head is larger than the limits")
    }

    fileprivate func dataArrived(_ slice: consuming Slice) {
        let count = slice.count
        guard let runner, !finished else {
            stream?.consumed(count)
            return
        }
        unconsumed += count
        guard runner.acceptBody(slice) else {
            return runner.clientFailed(.bodyTooLarge, note: "the request body is larger than its limit")
        }
        runner.requestBodyArrived()
        openWindow()
    }

    fileprivate func requestEnded(_ trailers: borrowing Head) {
        guard !ended else { return }
        ended = true
        guard let runner else { return }
        runner.acceptTrailers(trailers)
        runner.requestBodyEnded = true
        runner.requestBodyArrived()
        endIfComplete()
    }

    /// Lets the client send as much again as has gone on.
    private func openWindow() {
        guard let runner else { return }
        let gone = unconsumed - runner.requestBody.byteCount - runner.hooks.collected.byteCount
        guard gone > 0 else { return }
        unconsumed -= gone
        stream?.consumed(gone)
    }

    override func resumeRequestBody() {
        guard let runner else { return }
        if runner.hooks.collecting == .request, unconsumed > 0 {
            // Collected in memory up to its own limit: the window must not hold it back.
            stream?.consumed(unconsumed)
            unconsumed = 0
        }
        openWindow()
    }

    override func sendInterim(status: Int) {
        guard let runner, let stream else { return }
        stream.sendInterim(runner.response)
    }

    override func sendHead() {
        guard let runner, let stream, !headSent else { return }
        headSent = true
        let ends = runner.responseBodyEnded && runner.responseBody.isEmpty && runner.responseTrailers == nil
        let empty = !runner.responseHasBody || ends
        stream.sendResponse(runner.response, endOfStream: empty)
        if empty {
            finished = true
            runner.responseBody.removeAll()
        }
    }

    override func responseBodyChanged() {
        guard let runner, let stream, headSent else { return }
        if !finished {
            let count = runner.responseBody.byteCount
            if count > 0, stream.queuedBytes < 131_072 {
                sent += count
                stream.appendBody(&runner.responseBody)
            }
            if runner.responseBodyEnded, runner.responseBody.isEmpty {
                finished = true
                if let trailers = runner.responseTrailers { stream.finish(trailers: trailers.head) } else { stream.finish() }
            }
        }
        endIfComplete()
    }

    fileprivate func needsBody() {
        guard runner != nil else { return }
        responseBodyChanged()
        runner?.clientDrained()
    }

    /// The exchange ends for the gateway when all is queued; nghttp2 sends the rest by itself.
    private func endIfComplete() {
        guard finished, let runner else { return }
        if !ended { stream?.reset(.noError) }
        self.runner = nil
        runner.finish()
        stream?.workEnded()
    }

    fileprivate func streamClosed(_ code: HTTP2ErrorCode) {
        closed = true
        guard let runner else { return }
        self.runner = nil
        runner.clientGone()
        stream?.workEnded()
    }

    override func abort(_ kind: ErrorKind) {
        runner = nil
        finished = true
        stream?.reset(kind.side == .client ? .cancel : .internalError)
        stream?.workEnded()
    }
}
