import Buffers
import HTTP
import HTTP1
import HTTP2
import Reactor
import Telemetry

/// One exchange on an HTTP/2 connection to an origin. Reused.
final class MultiplexedStream: OriginStream {
    private let wire = WireStream()
    private var connection: MultiplexedConnection?
    /// The request's head is with the session.
    private var opened = false
    private var requestQueued = false
    private var headSeen = false
    private var bodyBytes = 0
    /// Between two calls empty.
    private var moving = Chain()
    private var interims = 0
    /// Bytes given to the exchange for which the origin's window is still shut.
    private var unconsumed = 0
    private var resumePending = false
    /// A WebSocket on this stream (RFC 8441).
    private enum Tunnel { case none, asked, open }
    private var tunnel = Tunnel.none

    init(server: Server) { super.init(fd: -1, server: server) }

    // MARK: Beginning

    func begin(_ exchange: ForwardedExchange, on connection: MultiplexedConnection, _ server: Server) {
        self.server = server
        self.connection = connection
        opened = false
        requestQueued = false
        headSeen = false
        bodyBytes = 0
        interims = 0
        unconsumed = 0
        tunnel = exchange.wantsUpgrade && exchange.asksForWebSocket ? .asked : .none
        note(exchange, at: connection.address)
        exchange.originReusedConnection = connection.served > 1
        expect(within: times.idle)
        resumeSoon()
    }

    private func resumeSoon() {
        guard !resumePending else { return }
        resumePending = true
        context.reactor.later(self)
    }

    /// The end of the turn: the request's head, and what there is of its body.
    override func resume() {
        resumePending = false
        guard let exchange, let connection else { return }
        if !opened, !open(exchange, connection) { return }
        moveBody()
    }

    private func open(_ exchange: ForwardedExchange, _ connection: MultiplexedConnection) -> Bool {
        ConnectionList.removeListed(from: &exchange.request)
        let ends = tunnel == .none && exchange.requestBodyEnded && exchange.requestBody.isEmpty && exchange.requestTrailers == nil
        if ends, announced(exchange) ?? 0 > 0 {
            detach()
            context.idleStreams.append(self)
            tell(exchange, .badRequest, .requestBody, "the request body is shorter than announced", safe: true)
            return false
        }
        let secure = server.address.secure
        guard connection.fd >= 0,
            connection.session.open(wire, exchange.request, secure: secure, endOfStream: ends, webSocket: tunnel == .asked)
        else {
            moveToFresh(exchange)
            return false
        }
        opened = true
        wire.user = self
        requestQueued = ends
        exchange.originRequestSent = context.reactor.nowNanoseconds
        if tunnel == .asked { expect(within: times.firstByte) }
        return true
    }

    private func announced(_ exchange: ForwardedExchange) -> Int? {
        switch exchange.request.body {
        case .known(let count): count
        case .none: 0
        case .unknown, .untilClose: nil
        }
    }

    // MARK: The request's body

    override func requestBodyArrived() { resumeSoon() }

    /// Queues body bytes as far as there is room; the session asks for more with `needsBody`.
    fileprivate func moveBody() {
        guard opened, !requestQueued, tunnel != .asked, let exchange else { return }
        var moved = false
        if !exchange.requestBody.isEmpty, wire.queuedBytes < OriginConnection.requestLimit {
            moved = true
            bodyBytes += exchange.requestBody.byteCount
            queue(exchange)
            expect(within: times.idle)
        }
        let ended = exchange.requestBody.isEmpty && exchange.requestBodyEnded
        if tunnel == .none, let announced = announced(exchange), bodyBytes > announced || ended && bodyBytes < announced {
            return fail(.badRequest, in: .requestBody, "the request body has \(bodyBytes) bytes and announces \(announced)")
        }
        if ended {
            requestQueued = true
            if tunnel == .open { clientEndedTunnel() }
            if tunnel == .none, let trailers = exchange.requestTrailers { wire.finish(trailers: trailers.head) } else { wire.finish() }
        } else if exchange.requestBody.isEmpty, wire.queuedBytes == 0, !headSeen, !moved {
            // It is the client's turn; its own time limits hold.
            expectNothing()
        }
        if moved, !exchange.requestBodyEnded { exchange.originWantsBody() }
    }

    private func queue(_ exchange: ForwardedExchange) {
        while let slice = exchange.requestBody.popFirst() {
            exchange.bodyGoes(slice)
            moving.append(slice)
        }
        wire.appendBody(&moving)
    }

    fileprivate func requestSent() {
        guard exchange != nil, !headSeen else { return }
        expect(within: times.firstByte)
    }

    // MARK: The response

    fileprivate func interim() {
        guard let exchange else { return }
        interims += 1
        guard interims <= server.settings.interims else {
            return fail(.originProtocol, in: .responseHead, "more than \(server.settings.interims) interim responses")
        }
        swap(&exchange.response, &wire.head)
        exchange.originInterim()
    }

    fileprivate func headComplete(endOfStream: Bool) {
        guard let exchange else { return }
        headSeen = true
        exchange.originFirstByte = context.reactor.nowNanoseconds
        server.answered(wire.head, exchange)
        if wire.head.status >= 400 || exchange.repeatsGRPC, repeats(exchange, endOfStream) { return }
        exchange.attemptsEnded()
        swap(&exchange.response, &wire.head)
        if tunnel == .asked, (200..<300).contains(exchange.response.status), !endOfStream { return tunnelOpened(exchange) }
        tunnel = .none
        decideBody(exchange, endOfStream)
        expect(within: times.idle)
        if endOfStream { responseEnded(exchange) }
        exchange.originResponded()
    }

    private func tunnelOpened(_ exchange: ForwardedExchange) {
        tunnel = .open
        exchange.becomeUpgraded()
        expect(within: times.idle)
        exchange.originUpgraded()
        if self.exchange === exchange { resumeSoon() }
    }

    /// One side of the tunnel has ended; with both, or with the stream, it is over.
    private func tunnelEnded(_ exchange: ForwardedExchange, isOver: Bool) {
        exchange.responseBodyEnded = true
        if isOver { detach() }
        exchange.originBodyArrived()
    }

    /// Leaves an answer that another attempt may better.
    private func repeats(_ exchange: ForwardedExchange, _ endOfStream: Bool) -> Bool {
        let server = self.server
        guard let reason = exchange.reasonToRepeat(wire.head, isWhole: endOfStream), let group = server.group,
            group.mayTryAgain(exchange, reason, nothingSent: false, failed: server)
        else { return false }
        let whole = endOfStream && requestQueued
        detach()
        if !whole { wire.reset(.cancel) }
        group.again(exchange, than: server, for: reason, nothingSent: false)
        return true
    }

    private func decideBody(_ exchange: ForwardedExchange, _ endOfStream: Bool) {
        let status = exchange.response.status
        if status == 204 || status == 304 {
            exchange.response.body = .none
        } else if endOfStream, exchange.response.body == .unknown {
            exchange.response.body = exchange.request.method == .head ? .none : .known(0)
        }
    }

    fileprivate func dataArrived(_ slice: consuming Slice) {
        let count = slice.count
        guard let exchange else { return wire.consumed(count) }
        unconsumed += count
        expect(within: times.idle)
        exchange.receiveBody(slice)
        exchange.originBodyArrived()
        openWindow()
    }

    override func responseBodyDrained() { openWindow() }

    /// Lets the origin send as much again as the client's side took.
    private func openWindow() {
        guard let exchange else { return }
        let gone = unconsumed - exchange.responseBacklog
        guard gone > 0 else { return }
        unconsumed -= gone
        wire.consumed(gone)
        expect(within: times.idle)
    }

    fileprivate func endOfResponse(_ trailers: borrowing Head) {
        guard let exchange else { return }
        if tunnel == .open { return tunnelEnded(exchange, isOver: requestQueued) }
        exchange.responseTrailers = Trailers(trailers)
        server.answeredWholly(exchange)
        responseEnded(exchange)
        exchange.originBodyArrived()
    }

    /// The exchange hears of it from the caller, as the last thing that happens here.
    private func responseEnded(_ exchange: ForwardedExchange) {
        exchange.endBody()
        let whole = requestQueued
        detach()
        // An answer before the end of its request: the rest of the request is of no use (RFC 9113 section 8.1).
        if !whole { wire.reset(.cancel) }
    }

    // MARK: The end

    public override func cancel() {
        guard let exchange else { return }
        doubtConnection(exchange)
        detach()
        letGo()
    }

    /// Clients and rules may wait for less than our own limits, and the kernel takes many minutes to find out that nobody is at the
    /// other end any more: a connection that said nothing at all while a request waited on it serves no further ones.
    private func doubtConnection(_ exchange: ForwardedExchange) {
        guard opened, !headSeen, tunnel == .none, requestQueued, let connection else { return }
        let sent = exchange.originRequestSent / 1_000_000
        guard connection.lastHeard <= sent else { return }
        if exchange.isProbe || context.reactor.now - min(sent, context.reactor.now) >= MultiplexedStream.silence { connection.retire() }
    }
    /// Milliseconds. A check that was not answered in its own time is sign enough.
    private static let silence: UInt64 = 1_000

    /// Ends the stream where it was begun; one that was not can be used again at once.
    private func letGo() {
        if opened { wire.reset(.cancel) } else { context.idleStreams.append(self) }
    }

    private func detach() {
        guard let exchange else { return }
        exchange.originStream = nil
        self.exchange = nil
        deadline = .max
        context.reactor.cancel(timer)
        server.ended(exchange)
        let connection = self.connection
        self.connection = nil
        connection?.streamEnded()
    }

    private func fail(_ kind: ErrorKind, in phase: ExchangePhase, _ why: String) {
        guard let exchange else { return }
        detach()
        letGo()
        tell(exchange, kind, phase, why, safe: false)
    }

    private func tell(_ exchange: ForwardedExchange, _ kind: ErrorKind, _ phase: ExchangePhase, _ why: String, safe: Bool) {
        if kind.side == .origin {
            context.metrics.count(failure: kind)
            server.attemptFailed(exchange)
        }
        let server = self.server
        if phase != .responseBody, let group = server.group {
            // What was refused reached nobody: another server may have it, as if no connection had come about.
            for reason in [safe && kind == .reset ? RetryReason.connect : nil, RetryReason(kind)] {
                guard let reason, group.mayTryAgain(exchange, reason, nothingSent: safe, failed: server) else { continue }
                return group.again(exchange, than: server, for: reason, nothingSent: safe)
            }
        }
        exchange.endFailed(GatewayError(kind, in: phase, retrySafe: safe, note: "\(server.label): \(why)"))
    }

    override func timeIsUp() {
        guard let exchange, let connection else { return }
        if tunnel == .open, exchange.responseBacklog == 0 {
            // A tunnel in which neither side said anything for the idle limit ends in order.
            context.metrics.add(tunnelTimeout)
            wire.reset(.cancel)
            return tunnelEnded(exchange, isOver: true)
        }
        // A client that does not take its answer is not the origin's fault.
        if headSeen, exchange.responseBacklog > 0 { return expect(within: times.idle) }
        // Not a byte for so long, on whatever stream: the connection may be dead. Others shall not meet it.
        if context.reactor.now - connection.lastHeard >= min(times.firstByte, times.idle) { connection.retire() }
        if headSeen { return fail(.idleTimeout, in: .responseBody, "no byte for \(times.idle) ms") }
        if requestQueued || tunnel == .asked, wire.queuedBytes == 0 {
            return fail(.firstByteTimeout, in: .responseHead, "no answer within \(times.firstByte) ms")
        }
        fail(.idleTimeout, in: .requestBody, "the origin took no byte for \(times.idle) ms")
    }

    /// The stream is over before its response was.
    fileprivate func closed(_ code: HTTP2ErrorCode) {
        guard let exchange, let connection else { return }
        if tunnel == .open { return tunnelEnded(exchange, isOver: true) }
        let lost = connection.fd < 0
        if mayRepeat(exchange, code, lost: lost, connection) {
            if isLeftBehind(code, connection) { exchange.moves += 1 } else { exchange.retriedStale = true }
            context.metrics.add(.upstreamRetries)
            return moveToFresh(exchange)
        }
        let kind: ErrorKind = wire.isFaulty || lost && connection.protocolFault ? .originProtocol : .reset
        let why = lost ? connection.reason : wire.isFaulty ? "malformed response" : "stream reset, code \(code.rawValue)"
        detach()
        tell(exchange, kind, headSeen ? .responseBody : .responseHead, why, safe: code == .refusedStream)
    }

    /// True when the origin cannot have acted on the request, or may act on it twice (RFC 9113 section 8.7).
    private func mayRepeat(_ exchange: ForwardedExchange, _ code: HTTP2ErrorCode, lost: Bool, _ connection: MultiplexedConnection) -> Bool {
        guard !headSeen else { return false }
        if isLeftBehind(code, connection) { return exchange.bodyIsReplayable && exchange.moves < MultiplexedStream.mostMoves }
        guard !exchange.retriedStale else { return false }
        if code == .refusedStream { return exchange.bodyIsReplayable }
        return bodyBytes == 0 && lost && connection.served > 1 && exchange.request.method.isIdempotent && exchange.request.body == .none
    }

    /// Above the last stream of a GOAWAY. An origin that gives each connection so many requests says so again and again, and means
    /// nobody: a burst may meet it several times.
    private func isLeftBehind(_ code: HTTP2ErrorCode, _ connection: MultiplexedConnection) -> Bool {
        code == .refusedStream && connection.session.isGoingAway
    }
    private static let mostMoves = 10

    private func moveToFresh(_ exchange: ForwardedExchange) {
        let server = self.server
        let wasOpened = opened
        detach()
        if !wasOpened { context.idleStreams.append(self) }
        exchange.rewindBody()
        exchange.connectBy = context.reactor.now + times.connect
        server.serveAgain(exchange)
    }
}

/// The session's side of a stream.
final class WireStream: HTTP2OriginStream {
    /// Set while the session works on the stream, which holds both.
    fileprivate var user: MultiplexedStream?

    /// The session needs the stream no more.
    func released() -> MultiplexedStream? {
        defer { user = nil }
        return user
    }

    override func interim() { user?.interim() }
    override func headComplete(endOfStream: Bool) { user?.headComplete(endOfStream: endOfStream) }
    override func dataArrived(_ slice: consuming Slice) { user?.dataArrived(slice) }
    override func endOfRequest(trailers: borrowing Head) { user?.endOfResponse(trailers) }
    override func needsBody() { user?.moveBody() }
    override func requestSent() { user?.requestSent() }
    override func closed(_ code: HTTP2ErrorCode) { user?.closed(code) }
}
