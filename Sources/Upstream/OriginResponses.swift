import Buffers
import HTTP
import HTTP1
import Reactor
import Telemetry

/// The receiving half of an origin connection.
extension OriginConnection {
    /// Reads and hands on until nothing more can be done now.
    func pump() {
        guard !pumping else { return }
        pumping = true
        while fd >= 0, step() {}
        pumping = false
    }

    private func step() -> Bool {
        switch state {
        case .awaitingHead: readHead()
        case .body: readBody()
        case .tunnel: readTunnel()
        case .connecting, .handshaking, .idle, .closed: false
        }
    }

    /// Gets more bytes; false when none are to be had now.
    private func receive() -> Bool {
        guard canRead, !endOfInput else { return false }
        switch transport.receive(into: &input) {
        case .moved(_, let drained):
            if drained, !peerHungUp { canRead = false }
            noteFirstByte()
            lastActivity = set.reactor.now
            return true
        case .wouldBlock:
            canRead = false
            return false
        case .endOfStream:
            endOfInput = true
            return true
        case .failed(let code):
            broken(SystemError(call: "read", code: code).reason)
            return false
        }
    }

    private func noteFirstByte() {
        guard !receivedAny else { return }
        receivedAny = true
        exchange?.origin.firstByte = set.reactor.nowNanoseconds
    }

    // MARK: Head

    private func readHead() -> Bool {
        guard let exchange else { return false }
        if input.isEmpty {
            if endOfInput {
                broken("the origin closed the connection without an answer")
                return false
            }
            return receive()
        }
        switch parser.parse(input.bytes, into: &exchange.response, answering: exchange.request.method) {
        case .needMore:
            if endOfInput {
                fail(.reset, in: .responseHead, "the origin closed the connection inside a response head")
                return false
            }
            if input.isFull {
                fail(.originProtocol, in: .responseHead, "the response head is larger than a read buffer")
                return false
            }
            return receive()
        case .failed(_, let note):
            fail(.originProtocol, in: .responseHead, note)
            return false
        case .complete(let consumed):
            input.consume(consumed)
            return headComplete(exchange)
        }
    }

    private func headComplete(_ exchange: ForwardedExchange) -> Bool {
        let status = exchange.response.status
        if status == 101 {
            guard exchange.wantsUpgrade else {
                fail(.originProtocol, in: .responseHead, "101 without a request for an upgrade")
                return false
            }
            state = .tunnel
            keepsAlive = false
            set.reactor.schedule(timer, after: server.settings.idleTimeout)
            exchange.originUpgraded()
            return true
        }
        if status < 200 {
            parser.reset()
            exchange.originInterim()
            return true
        }
        keepsAlive = parser.persistent
        decoder = BodyDecoder(exchange.request.method == .head ? .none : exchange.response.body)
        state = .body
        set.reactor.schedule(timer, after: server.settings.idleTimeout)
        if decoder.isDone { return bodyEnded(exchange, headAlso: true) }
        exchange.originResponded()
        return exchangeOwner === exchange
    }

    // MARK: Body

    private func readBody() -> Bool {
        guard let exchange else { return false }
        guard exchange.responseBody.byteCount < OriginConnection.bufferLimit else { return false }
        switch decoder.next(input.bytes) {
        case .data(let skip, let count):
            input.consume(skip)
            exchange.responseBody.append(input.takeSlice(count))
            if decoder.isDone { return bodyEnded(exchange, headAlso: false) }
            exchange.originBodyArrived()
            return true
        case .needMore(let consumed):
            input.consume(consumed)
            if endOfInput { return cutShort(exchange) }
            return receive()
        case .end(let consumed):
            input.consume(consumed)
            return bodyEnded(exchange, headAlso: false)
        case .failed(_, let note):
            fail(.originProtocol, in: .responseBody, note)
            return false
        }
    }

    private func cutShort(_ exchange: ForwardedExchange) -> Bool {
        if decoder.endsWithConnection { return bodyEnded(exchange, headAlso: false) }
        fail(.reset, in: .responseBody, "the origin closed the connection inside a response body")
        return false
    }

    /// The response is complete: the connection goes back or closes, then the exchange hears of it.
    private func bodyEnded(_ exchange: ForwardedExchange, headAlso: Bool) -> Bool {
        exchange.responseBodyEnded = true
        exchange.originStream = nil
        let clean = keepsAlive && requestDone && input.isEmpty && !endOfInput && !peerHungUp && output.isEmpty
        detach()
        if clean { server.giveBack(self) } else { close() }
        if headAlso { exchange.originResponded() } else { exchange.originBodyArrived() }
        return state == .awaitingHead
    }

    private func readTunnel() -> Bool {
        guard let exchange else { return false }
        if !input.isEmpty {
            guard exchange.responseBody.byteCount < OriginConnection.bufferLimit else { return false }
            exchange.responseBody.append(input.takeSlice(input.count))
            exchange.originBodyArrived()
            return true
        }
        if endOfInput {
            exchange.responseBodyEnded = true
            exchange.originStream = nil
            detach()
            close()
            exchange.originBodyArrived()
            return false
        }
        return receive()
    }

    /// The exchange took body bytes: reading may go on.
    public func responseBodyDrained() {
        if state == .body || state == .tunnel { pump() }
    }

    // MARK: Failures

    /// The connection broke before an answer: a stale idle connection is retried once on a fresh one.
    private func broken(_ why: String) {
        guard let exchange else { return close() }
        let untouched = reused && !receivedAny && state == .awaitingHead
        let safe = exchange.request.body == .none && exchange.request.method.isIdempotent
        if untouched, safe {
            set.metrics.add(.upstreamRetries)
            exchange.originStream = nil
            detach()
            let server = self.server
            close()
            return server.connectFresh(exchange)
        }
        if state == .tunnel {
            endOfInput = true
            _ = readTunnel()
            return
        }
        set.metrics.add(.upstreamFailuresReset)
        fail(.reset, in: state == .body ? .responseBody : .responseHead, why)
    }

    func fail(_ kind: ErrorKind, in phase: ExchangePhase, _ why: String, retrySafe: Bool = false) {
        if kind == .originProtocol { set.metrics.add(.upstreamFailuresProtocol) }
        guard let exchange else { return close() }
        exchange.originStream = nil
        detach()
        close()
        let error = GatewayError(kind, in: phase, retrySafe: retrySafe, note: "\(server.label): \(why)")
        if retrySafe, exchange.origin.attempts < 2, let group = server.group, group.servers.count > 1 {
            set.metrics.add(.upstreamRetries)
            return set.open(exchange, group, excluding: server)
        }
        exchange.originFailed(error)
    }

    func timeIsUp() {
        guard fd >= 0 else { return }
        switch state {
        case .connecting, .handshaking:
            server.connectFailed()
            set.metrics.add(.timeoutsUpstreamConnect)
            set.metrics.add(.upstreamFailuresTimeout)
            fail(.connectTimeout, in: .connect, "no connection within \(server.settings.connectTimeout) ms", retrySafe: true)
        case .awaitingHead: answerTimeIsUp()
        case .body, .tunnel: bodyTimeIsUp()
        case .idle: close()
        case .closed: break
        }
    }

    private func answerTimeIsUp() {
        let limit = server.settings.firstByteTimeout
        // While the request body is still going out, only its progress counts.
        let since = requestDone ? lastActivity : set.reactor.now
        let due = since + limit
        if !requestDone || due > set.reactor.now { return set.reactor.schedule(timer, after: max(due - set.reactor.now, 1)) }
        set.metrics.add(.timeoutsUpstreamFirstByte)
        set.metrics.add(.upstreamFailuresTimeout)
        fail(.firstByteTimeout, in: .responseHead, "no answer within \(limit) ms")
    }

    private func bodyTimeIsUp() {
        let limit = server.settings.idleTimeout
        let due = lastActivity + limit
        let clientIsSlow = (exchange?.responseBody.byteCount ?? 0) > 0
        if due > set.reactor.now || clientIsSlow || state == .tunnel {
            return set.reactor.schedule(timer, after: due > set.reactor.now ? due - set.reactor.now : limit)
        }
        set.metrics.add(.timeoutsUpstreamIdle)
        set.metrics.add(.upstreamFailuresTimeout)
        fail(.idleTimeout, in: .responseBody, "no byte for \(limit) ms")
    }
}
