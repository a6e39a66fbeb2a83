import Buffers
import HTTP
import HTTP1
import HTTP2
import Reactor
import Hooks
import Rules
import Telemetry
import Upstream

/// The runner's side of a stream.
final class HTTP2ClientStream: ClientStream {
    /// WebSocket over HTTP/2 (RFC 8441).
    private enum Tunnel {
        case none
        /// The origin is asked by an upgrade; bytes of the client wait.
        case asked
        case open
    }

    private unowned var stream: HTTP2RequestStream?
    private var headSent = false
    private var finished = false
    private var ended = false
    private var closed = false
    private var unconsumed = 0
    private var sent = 0
    private var tunnel = Tunnel.none
    /// nil for a plain CONNECT.
    private var webSocketKey: WebSocketKey?
    private var awaitsContinue = false
    /// The head says that no body follows, and the stream goes on: what comes may belie it.
    private var awaitsEnd = false
    /// What the client sent before the origin agreed to a tunnel. Bounded by the stream's window.
    private var early = Chain()
    private var progress = StreamProgress()
    /// Of a tunnel's origin, with what waits for it.
    private var originProgress = StreamProgress()

    init() { super.init(fd: -1) }

    override var bytesSent: Int { sent }
    override var isFirst: Bool { stream?.id == 1 }
    override var clientProtocol: HTTPVersion { .http2 }
    override var roundTrip: Int? { stream?.owner?.connection.flatMap { ConnectionFacts.roundTrip($0.fd) } }
    override var serving: ListenerState? { stream?.owner?.listener }
    override var localEnd: Destination? { stream?.owner?.connection?.localEnd }

    func begin(_ stream: HTTP2RequestStream, _ worker: Worker) {
        self.stream = stream
        headSent = false
        finished = false
        ended = false
        closed = false
        unconsumed = 0
        sent = 0
        tunnel = .none
        webSocketKey = nil
        awaitsContinue = false
        awaitsEnd = false
        progress = StreamProgress()
        originProgress = StreamProgress()
    }

    // MARK: The request

    func headComplete(_ stream: HTTP2RequestStream, _ connection: HTTP2Connection, endOfStream: Bool) {
        let runner = connection.worker.takeRunner(for: self, connection.client)
        self.runner = runner
        swap(&runner.request, &stream.head)
        runner.request.version = .http2
        runner.request.scheme = connection.listener.scheme
        if endOfStream { runner.request.body = .none }
        runner.requestBodyEnded = endOfStream
        runner.bodyLimit = connection.listener.limits.body ?? .max
        ended = endOfStream
        if runner.request.method == .connect { return connect(runner, stream, connection) }
        awaitsContinue = !endOfStream && runner.request.contains(.expect)
        // An origin that has this head has a whole request, and a malformed one must not be passed on (RFC 9113 section 8.1.1).
        awaitsEnd = !endOfStream && runner.request.body == .none
        if !awaitsEnd { runner.begin() }
    }

    /// Extended CONNECT becomes the upgrade that HTTP/1.1 has for it; rules see a GET, as there.
    private func connect(_ runner: ExchangeRunner, _ stream: HTTP2RequestStream, _ connection: HTTP2Connection) {
        let isPlain = !stream.asksForWebSocket && !stream.asksForOtherProtocol
        guard stream.asksForWebSocket || isPlain && connection.listener.allowsConnect && !ended else {
            ended = true
            return runner.refuse(isPlain ? .methodNotAllowed : .notImplemented, note: "CONNECT for anything but WebSocket is not served")
        }
        tunnel = .asked
        runner.request.body = .none
        runner.requestBodyEnded = true
        runner.wantsUpgrade = true
        if !isPlain { upgrade(runner, WebSocketKey(connection.worker.nextRequestID())) }
        runner.begin()
    }

    private func upgrade(_ runner: ExchangeRunner, _ key: WebSocketKey) {
        webSocketKey = key
        runner.request.setMethod(Span("GET"))
        runner.request.set(.upgrade, "websocket")
        let text = key.text
        runner.request.set(name: Span("Sec-WebSocket-Key"), value: text.span)
    }

    func headRefused(_ stream: HTTP2RequestStream, _ connection: HTTP2Connection, _ error: ErrorKind) {
        let runner = connection.worker.takeRunner(for: self, connection.client)
        self.runner = runner
        swap(&runner.request, &stream.head)
        runner.request.version = .http2
        ended = true
        runner.refuse(error, note: "the HTTP/2 request head is larger than the limits")
    }

    func dataArrived(_ slice: consuming Slice) {
        let count = slice.count
        guard let runner, !finished else {
            stream?.consumed(count)
            return
        }
        unconsumed += count
        if tunnel == .asked { return early.append(slice) }
        guard runner.acceptBody(slice) else {
            return runner.clientFailed(.bodyTooLarge, note: "the request body is larger than its limit")
        }
        runner.requestBodyArrived()
        openWindow()
    }

    func requestEnded(_ trailers: borrowing Head) {
        guard !ended else { return }
        ended = true
        guard let runner, tunnel != .asked else { return }
        runner.acceptTrailers(trailers)
        runner.requestBodyEnded = true
        if awaitsEnd {
            awaitsEnd = false
            return runner.begin()
        }
        runner.requestBodyArrived()
        endIfComplete()
    }

    /// Lets the client send as much again as has gone on.
    private func openWindow() {
        guard let runner else { return }
        let gone = unconsumed - runner.requestBacklog - early.byteCount
        guard gone > 0 else { return }
        unconsumed -= gone
        stream?.consumed(gone)
    }

    override func resumeRequestBody() {
        if let runner, awaitsContinue, runner.wantsRequestBody, !headSent {
            awaitsContinue = false
            if stream?.receivedBytes == 0 { sendContinue() }
        }
        openWindow()
    }

    private func sendContinue() {
        var interim = Head()
        interim.status = 100
        stream?.sendInterim(interim)
    }

    // MARK: The response

    override func sendInterim(status: Int) {
        guard let runner, let stream else { return }
        ConnectionList.removeListed(from: &runner.response, isResponse: true)
        stream.sendInterim(runner.response)
    }

    override func sendHead() {
        guard let runner, let stream, !headSent else { return }
        headSent = true
        ConnectionList.removeListed(from: &runner.response, isResponse: true)
        if tunnel == .asked, runner.response.status == (webSocketKey == nil ? 200 : 101), runner.originStream != nil || runner.tunnelEnd != nil {
            return acceptTunnel(runner, stream)
        }
        let ends = runner.outgoingEnded && runner.outgoingBytes == 0 && runner.responseTrailers == nil
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
            let count = runner.outgoingBytes
            if count > 0, hasRoom(stream) {
                if let frames = runner.frames { runner.withOutgoing { frames.pass(&$0) } }
                if runner.hooks.waiting != nil, runner.pipeline == nil {
                    passPiece(of: &runner.responseBody, to: stream)
                } else {
                    sent += count
                    runner.withOutgoing { stream.appendBody(&$0) }
                }
            }
            if let frames = runner.frames, frames.mayEnd {
                finished = true
                sayGoingAway(stream)
            } else if runner.outgoingEnded, runner.outgoingBytes == 0 {
                finished = true
                if let trailers = runner.responseTrailers { stream.finish(trailers: trailers.head) } else { stream.finish() }
            }
        }
        endIfComplete()
    }

    /// A large body that a hook gave as a whole stays with its exchange, which counts it, until there is room for more of it.
    private func passPiece(of body: inout Chain, to stream: HTTP2RequestStream) {
        var piece = Chain()
        while piece.byteCount < 131_072, let slice = body.popFirst() { piece.append(slice) }
        sent += piece.byteCount
        stream.appendBody(&piece)
    }

    /// More may be queued. One of which nothing waits may always have something.
    private func hasRoom(_ stream: HTTP2RequestStream) -> Bool {
        let queued = stream.queuedBytes
        return queued == 0 || queued < min(131_072, stream.owner?.worker.pool.heldAtMost ?? .max)
    }

    override var queuedBytes: Int { stream?.queuedBytes ?? 0 }

    func needsBody() {
        guard runner != nil else { return }
        responseBodyChanged()
        runner?.clientDrained()
    }

    // MARK: The tunnel

    override func acceptsUpgrade(_ response: borrowing Head) -> Bool {
        tunnel != .asked || webSocketKey?.isAccepted(by: response) ?? true
    }

    /// What is 101 in HTTP/1.1 is 200 here, without the key's proof, which the client did not ask for.
    private func acceptTunnel(_ runner: ExchangeRunner, _ stream: HTTP2RequestStream) {
        runner.response.status = 200
        runner.response.remove(named: Span("Sec-WebSocket-Accept"))
        stream.sendResponse(runner.response, endOfStream: false)
    }

    override func becomeTunnel() {
        guard let runner, tunnel == .asked else { return }
        tunnel = .open
        runner.bodyLimit = .max
        let hasEarly = !early.isEmpty
        runner.acceptTunneled(&early)
        if ended { runner.requestBodyEnded = true }
        if ended || hasEarly { runner.requestBodyArrived() }
        openWindow()
    }

    // MARK: The end

    /// The time for this stream is over: a WebSocket hears it by a close frame, anything else is reset.
    func farewell() {
        guard let runner, let stream else { return }
        if tunnel == .open, let frames = runner.frames {
            frames.isLeaving = true
            return responseBodyChanged()
        }
        stream.reset(.cancel)
        streamClosed(.cancel)
    }

    private func sayGoingAway(_ stream: HTTP2RequestStream) {
        guard let pool = stream.owner?.worker.pool else { return }
        var frame = Chain()
        let goingAway = WebSocketFrames.goingAway
        frame.append(copying: goingAway.span, from: pool)
        stream.appendBody(&frame)
        stream.finish()
    }

    /// The exchange ends for the gateway when all is queued; nghttp2 sends the rest by itself.
    private func endIfComplete() {
        guard finished, let runner else { return }
        if !ended { stream?.reset(.noError) }
        release()
        runner.finish()
        stream?.workEnded()
    }

    func streamClosed(_ code: HTTP2ErrorCode) {
        closed = true
        early.removeAll()
        guard let runner else { return }
        release()
        runner.clientGone()
        stream?.workEnded()
    }

    override func abort(_ kind: ErrorKind) {
        let trailers = finished || tunnel != .none ? nil : runner?.lateTrailers
        release()
        finished = true
        if let trailers {
            stream?.finish(trailers: trailers.head)
        } else {
            stream?.reset(kind.side == .client ? .cancel : tunnel == .open && webSocketKey == nil ? .connectError : .internalError)
        }
        stream?.workEnded()
    }

    private func release() {
        runner = nil
        early.removeAll()
    }

    // MARK: Time

    /// False when the origin of a tunnel takes too little of what waits for it: its client is held back as long, and might be gone.
    private func originGoesOn(_ now: UInt64, _ limits: Limits, _ stream: HTTP2RequestStream) -> Bool {
        guard tunnel == .open, let runner else { return true }
        return originProgress.sendingGoesOn(
            now, limits, waiting: !runner.requestBody.isEmpty, sent: stream.receivedBytes - runner.requestBacklog)
    }

    /// Ends a stream whose client sends or takes too little for too long.
    func checkProgress(_ now: UInt64, _ limits: Limits) {
        guard let stream else { return }
        let waiting = stream.queuedBytes > 0
        guard progress.sendingGoesOn(now, limits, waiting: waiting, sent: stream.sentBytes), originGoesOn(now, limits, stream) else {
            stream.owner?.worker.metrics.add(.timeoutsWriteStall)
            stream.reset(.cancel)
            return streamClosed(.cancel)
        }
        guard let runner, tunnel == .none else { return }
        let awaited = !ended && !finished && stream.isAwaited && runner.requestBody.isEmpty && (awaitsEnd || !runner.isStreamingCall)
        guard progress.bodyGoesOn(now, limits, awaited: awaited, received: stream.receivedBytes) else {
            stream.owner?.worker.metrics.add(.timeoutsBody)
            if awaitsEnd {
                awaitsEnd = false
                return runner.refuse(.requestTimeout, note: "the stream of a request without a body did not end")
            }
            return runner.clientFailed(.requestTimeout, note: "the request body made no progress")
        }
    }
}
