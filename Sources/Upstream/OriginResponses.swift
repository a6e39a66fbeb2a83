import Buffers
import HTTP
import HTTP1
import Reactor

/// The receiving half of an origin connection.
extension OriginConnection {
    /// Reads and hands on until nothing more can be done now.
    func pump() {
        guard !pumping else { return }
        pumping = true
        while step() {}
        pumping = false
    }

    private func step() -> Bool {
        switch state {
        case .awaitingHead: !unsent && readHead()
        case .body: readBody()
        case .tunnel: readTunnel()
        case .connecting, .handshaking, .idle, .closed: false
        }
    }

    /// Gets more bytes; false when none are to be had now.
    private func receive() -> Bool {
        guard canRead, !endOfInput else { return false }
        switch transport.receive(into: &input) {
        case .moved(let count, let drained):
            if drained, !sawHangup { canRead = false }
            received &+= count
            noteReceived()
            return true
        case .wouldBlock:
            canRead = false
            return false
        case .endOfStream:
            endOfInput = true
            return true
        case .failed(let code):
            broken(transportFailure(code))
            return false
        }
    }

    func noteReceived() {
        if !receivedAny {
            receivedAny = true
            exchange?.originFirstByte = context.reactor.nowNanoseconds
        }
        // A head that has begun has to be whole in this time; single bytes do not buy more of it.
        if state == .awaitingHead, headStarted { return }
        headStarted = true
        expect(within: times.idle)
    }

    // MARK: Head

    private func readHead() -> Bool {
        guard let exchange else { return false }
        if input.isEmpty {
            guard endOfInput else { return receive() }
            broken("the origin closed the connection \(receivedAny ? "after an interim response" : "without an answer")")
            return false
        }
        let method = exchange.request.method
        switch parser.read(&input, into: &exchange.response, answering: method) {
        case .needMore:
            guard !endOfInput else {
                broken("the origin closed the connection inside a response head")
                return false
            }
            guard !input.isFull else {
                fail(.originProtocol, in: .responseHead, "a response head of more than 64 KiB")
                return false
            }
            return receive()
        case .failed(_, let note):
            fail(.originProtocol, in: .responseHead, note)
            return false
        case .complete:
            return headComplete(exchange)
        }
    }

    private func headComplete(_ exchange: ForwardedExchange) -> Bool {
        let status = exchange.response.status
        if status == 101 { return upgraded(exchange) }
        if status < 200 { return interim(exchange) }
        keepsAlive = keepsAlive && parser.persistent
        decoder = BodyDecoder(exchange.request.method == .head ? .none : exchange.response.body)
        if sawHangup, isCutShort() {
            if self.exchange === exchange { fail(.reset, in: .responseHead, "the origin closed the connection inside a response body") }
            return false
        }
        server.answered(exchange.response, exchange)
        if status >= 400 || exchange.repeatsGRPC, repeats(exchange) { return false }
        exchange.attemptsEnded()
        state = .body
        expect(within: times.idle)
        if decoder.isDone {
            bodyEnded(exchange)
            exchange.originResponded()
            return false
        }
        exchange.originResponded()
        return self.exchange === exchange
    }

    /// The origin has ended its connection, and all that it sent is here and makes no whole answer. Nobody has been told of the
    /// answer yet, so it may become another attempt, or an error that says what it is.
    private func isCutShort() -> Bool {
        guard !decoder.endsWithConnection else { return false }
        while OriginConnection.lacksEnd(input, decoder) {
            if endOfInput { return true }
            guard !input.isFull, receive() else { return state != .awaitingHead }
        }
        return false
    }

    private static func lacksEnd(_ input: borrowing ReadBuffer, _ decoder: BodyDecoder) -> Bool { !decoder.ends(within: input.bytes) }

    /// Leaves an answer that another attempt may better. True: the exchange has gone elsewhere.
    private func repeats(_ exchange: ForwardedExchange) -> Bool {
        let server = self.server
        guard let reason = exchange.reasonToRepeat(exchange.response, isWhole: decoder.isDone), let group = server.group,
            group.mayTryAgain(exchange, reason, nothingSent: false, failed: server)
        else { return false }
        if let left = decoder.remainingKnown, input.count >= left {
            input.consume(left)
            decoder.skipKnown(left)
        }
        let clean = decoder.isDone && keepsAlive && requestDone && output.isEmpty && isQuiet()
        detach()
        if clean { server.giveBack(self) } else { close() }
        exchange.response.reset()
        group.again(exchange, than: server, for: reason, nothingSent: false)
        return true
    }

    private func interim(_ exchange: ForwardedExchange) -> Bool {
        parser.reset()
        interims += 1
        guard interims <= server.settings.interims else {
            fail(.originProtocol, in: .responseHead, "more than \(server.settings.interims) interim responses")
            return false
        }
        headStarted = !input.isEmpty
        if requestDone { expect(within: times.firstByte) }
        exchange.originInterim()
        return self.exchange === exchange
    }

    private func upgraded(_ exchange: ForwardedExchange) -> Bool {
        guard upgrades else {
            fail(.originProtocol, in: .responseHead, "101 without a request for an upgrade")
            return false
        }
        guard requestDone else {
            fail(.originProtocol, in: .responseHead, "101 before the end of the request")
            return false
        }
        state = .tunnel
        keepsAlive = false
        exchange.requestBodyEnded = false
        bodyQueued = false
        requestDone = false
        expect(within: times.idle)
        exchange.originUpgraded()
        return self.exchange === exchange
    }

    // MARK: Body

    private func readBody() -> Bool {
        guard let exchange else { return false }
        if let pipe { return fill(pipe, exchange) }
        guard hasRoom(exchange) else { return false }
        switch decoder.next(input.bytes, trailers: &context.trailers) {
        case .data(let skip, let count):
            if skip > 0 { input.consume(skip) }
            exchange.receiveBody(input.takeSlice(count))
            if decoder.isDone { bodyEnded(exchange) }
            exchange.originBodyArrived()
            return self.exchange === exchange
        case .needMore(let consumed):
            input.consume(consumed)
            return endOfInput ? cutShort(exchange) : receive()
        case .end(let consumed):
            input.consume(consumed)
            exchange.responseTrailers = Trailers(context.trailers)
            context.trailers.reset()
            server.answeredWholly(exchange)
            bodyEnded(exchange)
            exchange.originBodyArrived()
            return false
        case .failed(_, let note):
            fail(.originProtocol, in: .responseBody, note)
            return false
        }
    }

    /// Backpressure: false, and the reading stops, while the client's side has enough.
    private func hasRoom(_ exchange: ForwardedExchange) -> Bool {
        let held = held(of: exchange)
        isPaused = held >= heldAtMost(held)
        return !isPaused
    }

    /// What an answer passes through unread waits in one place or two.
    private func held(of exchange: ForwardedExchange) -> Int {
        exchange.responseBacklog + (exchange.responseIsTapped ? 0 : exchange.clientBacklog)
    }

    /// A client that has taken much gets more held for it; one that reads nothing costs little. Less for all while the worker is
    /// short of memory: what waits for slow clients then grows no further.
    private func heldAtMost(_ held: Int) -> Int { min(responseLimit, context.pool.heldAtMost, Appetite.room(taken: received &- held)) }

    func cutShort(_ exchange: ForwardedExchange) -> Bool {
        guard decoder.endsWithConnection else {
            fail(.reset, in: .responseBody, "the origin closed the connection inside a response body")
            return false
        }
        bodyEnded(exchange)
        exchange.originBodyArrived()
        return false
    }

    /// The response is complete: the connection goes back, or closes where there is any doubt. The exchange hears
    /// of it from the caller, as the last thing that happens here.
    func bodyEnded(_ exchange: ForwardedExchange) {
        exchange.endBody()
        let clean = keepsAlive && requestDone && output.isEmpty && isQuiet()
        detach()
        if clean { server.giveBack(self) } else { close() }
    }

    private func readTunnel() -> Bool {
        guard let exchange else { return false }
        if !input.isEmpty {
            guard hasRoom(exchange) else { return false }
            exchange.receiveBody(input.takeSlice(input.count))
            exchange.originBodyArrived()
            return self.exchange === exchange
        }
        return endOfInput ? tunnelEnded(exchange) : receive()
    }

    /// The origin sends no more; the client still may, until it ends too.
    func tunnelEnded(_ exchange: ForwardedExchange) -> Bool {
        let first = !(exchange.responseIsTapped ? exchange.tappedBodyEnded : exchange.responseBodyEnded)
        exchange.endBody()
        if requestDone {
            detach()
            close()
        }
        if first || requestDone { exchange.originBodyArrived() }
        return false
    }

    /// The exchange took body bytes: reading goes on at the end of the turn.
    func bodyDrained() {
        guard isPaused, let exchange else { return }
        let held = held(of: exchange) + (pipe?.byteCount ?? 0)
        guard held < heldAtMost(held) / 2 else { return }
        isPaused = false
        expect(within: times.idle)
        resumeSoon()
    }
}
