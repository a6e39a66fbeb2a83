import Buffers
import HTTP
import HTTP2
import Rules

/// The session of a client connection: makes the gateway's streams.
final class ClientSession: HTTP2Session {
    let worker: Worker
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
        limits.pathBytes = listener.limits.requestLine
        limits.trailerBytes = listener.limits.trailerBytes
        limits.trailerFields = listener.limits.trailerFields
        limits.streamWindow = listener.limits.streamWindow
        limits.connectionWindow = listener.limits.connectionWindow
        limits.glitches = listener.limits.resets
        limits.controlBurst = listener.limits.controlBurst
        limits.controlPerSecond = listener.limits.controlRate
        limits.continuations = listener.limits.continuations
        limits.emptyDataInRow = listener.limits.emptyData
        limits.outboundFrames = listener.limits.queuedFrames
        limits.headerTableBytes = min(listener.limits.headerTable, 64 << 10)
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
    /// Nil while the stream is not in use.
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

