import Buffers
import HTTP
import HTTP1
import Reactor

/// The sending half of an origin connection.
extension OriginConnection {
    /// `exchange.requestBody` grew or ended.
    func bodyArrived() {
        if state == .awaitingHead || state == .body || state == .tunnel { resumeSoon() }
    }

    /// Queues what the exchange has and sends it.
    func flush() {
        guard let exchange else { return }
        if unsent, exchange.request.method == .connect { return openTunnel(exchange) }
        if unsent { writeHead(exchange) }
        let before = bodyBytes
        while true {
            queueBody(exchange)
            guard state != .closed, send() else { break }
            guard output.isEmpty, !exchange.requestBody.isEmpty else { break }
        }
        guard self.exchange === exchange else { return }
        noteProgress()
        if bodyBytes != before, !exchange.requestBodyEnded { exchange.originWantsBody() }
    }

    private func writeHead(_ exchange: ForwardedExchange) {
        unsent = false
        upgrades = exchange.wantsUpgrade && mayUpgrade(exchange.request)
        chunkedRequest = exchange.request.body == .unknown
        exchange.originRequestSent = context.reactor.nowNanoseconds
        RequestWriter.write(exchange.request, to: &output, connection: upgrades ? .upgrade : .keepAlive)
    }

    /// An origin that took up `h2c` would speak a protocol that nobody here follows (RFC 9113 section 3.1).
    private func mayUpgrade(_ request: borrowing Head) -> Bool {
        guard request.body == .none, let value = request.value(of: .upgrade) else { return false }
        return request.bytes(value).firstRange(of: Span("h2c")) == nil
    }

    /// Moves body bytes into the output as far as there is room.
    private func queueBody(_ exchange: ForwardedExchange) {
        guard !bodyQueued else { return }
        while !exchange.requestBody.isEmpty, output.byteCount < OriginConnection.requestLimit {
            let room = OriginConnection.requestLimit - output.byteCount
            guard let slice = exchange.requestBody.popFirst(upTo: room) else { break }
            bodyBytes += slice.count
            exchange.bodyGoes(slice)
            if isChunked { BodyWriter.beginChunk(slice.count, to: &output) }
            let chunk = isChunked
            output.append(slice)
            if chunk { BodyWriter.endChunk(to: &output) }
        }
        guard exchange.requestBody.isEmpty, exchange.requestBodyEnded else { return checkLength(exchange) }
        bodyQueued = true
        if isChunked { endChunks(exchange.requestTrailers) }
        checkLength(exchange)
    }

    private func endChunks(_ trailers: Trailers?) {
        if let trailers { BodyWriter.endBody(trailers: trailers.head, to: &output) } else { BodyWriter.endBody(to: &output) }
    }

    private var isChunked: Bool { chunkedRequest && state != .tunnel }

    /// A body that does not have its announced length would be read as the beginning of the next request, or
    /// leave the origin waiting for the rest.
    private func checkLength(_ exchange: ForwardedExchange) {
        guard state != .tunnel else { return }
        let announced: Int
        switch exchange.request.body {
        case .known(let count): announced = count
        case .none: announced = 0
        case .unknown, .untilClose: return
        }
        if bodyBytes > announced || (bodyQueued && bodyBytes < announced) {
            fail(.badRequest, in: .requestBody, "the request body has \(bodyBytes) bytes and announces \(announced)")
        }
    }

    /// Sends until the output is empty (true) or no more goes now.
    private func send() -> Bool {
        while canWrite, !output.isEmpty {
            switch transport.send(&output) {
            case .moved(let count, let drained):
                sentAny = sentAny || count > 0
                if drained { canWrite = false }
            case .wouldBlock: canWrite = false
            case .endOfStream, .failed:
                // The origin may have answered before it closed: look.
                canWrite = false
                keepsAlive = false
                output.removeAll()
                canRead = true
                return false
            }
        }
        return output.isEmpty
    }

    /// Decides what is waited for after sending.
    private func noteProgress() {
        if state == .tunnel {
            if output.isEmpty, bodyQueued, !requestDone {
                requestDone = true
                transport.finishSending()
                clientEndedTunnel()
            }
            return expect(within: times.idle)
        }
        guard output.isEmpty else { return expectWhileSending() }
        if bodyQueued {
            guard !requestDone else { return }
            requestDone = true
            if state == .awaitingHead, !headStarted { expect(within: times.firstByte) }
        } else if state == .awaitingHead {
            // It is the client's turn; its own time limits hold.
            expectNothing()
        }
    }

    private func expectWhileSending() {
        if state == .awaitingHead { expect(within: times.idle) }
    }
}
