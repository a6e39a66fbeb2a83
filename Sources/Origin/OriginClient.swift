import Buffers
import HTTP
import HTTP1
import Reactor

/// One connection: requests one after another.
final class OriginClient: Channel {
    private enum State {
        case head
        case body(BodyDecoder)
        /// A timer runs.
        case waiting
        /// More of a body is to be produced when the socket takes it.
        case producing(left: Int, chunked: Bool)
        case webSocket
        case closing
    }

    private unowned let reactor: Reactor
    private let shared: OriginShared
    private let transport: SocketTransport
    private var input: ReadBuffer
    private var output: OutputBuffer
    private var parser = RequestParser()
    private var head = Head()
    private var echo = EchoText()
    private var webSocket = WebSocketEcho()
    private var state = State.head
    private var persistent = true
    /// The beginning of the request's body, for the echo.
    private var body: [UInt8] = []
    private var bodyLength = 0
    /// The request's body is the answer's.
    private var returnsBody = false
    private var peerEnded = false
    private let delay = OriginDelay()

    /// How much may wait to be sent before no more is produced. Bytes.
    private static let highWater = 256 << 10
    private static let keptBody = 4096

    init(fd: Int32, reactor: Reactor, shared: OriginShared) {
        self.reactor = reactor
        self.shared = shared
        transport = SocketTransport(fd: fd, reactor: reactor)
        input = ReadBuffer(pool: shared.pool)
        output = OutputBuffer(pool: shared.pool)
        super.init(fd: fd)
        delay.client = self
    }

    // MARK: Bytes in, bytes out

    override func ready(_ events: ReadyEvents) {
        if events.contains(.error) { return end() }
        advance()
    }

    /// Reads, works and writes until nothing goes on. Edge-triggered: each direction is used until it would block.
    private func advance() {
        while fd >= 0 {
            // A client that sends and does not read waits: what it asks for is not piled up.
            let full = output.byteCount >= Self.highWater
            let worked = full ? false : work()
            guard flush() else { return }
            if case .closing = state {
                if output.isEmpty { return end() }
                return
            }
            // All or much of what was queued is gone: more can be produced, and no event will say so.
            let stillFull = output.byteCount >= Self.highWater
            if worked || (full && !stillFull) { continue }
            guard !stillFull, receive() else { return }
        }
    }

    /// - Returns: whether there is something new to work on.
    private func receive() -> Bool {
        if peerEnded { return false }
        if input.isFull { return false }
        switch transport.receive(into: &input) {
        case .moved: return true
        case .wouldBlock: return false
        case .endOfStream:
            peerEnded = true
            if case .waiting = state { return false }
            if case .producing = state { return false }
            state = .closing
            return true
        case .failed:
            end()
            return false
        }
    }

    /// - Returns: false when the connection is gone.
    private func flush() -> Bool {
        while !output.isEmpty {
            switch transport.send(&output) {
            case .moved(_, drained: false): continue
            case .moved, .wouldBlock: return true
            case .endOfStream, .failed:
                end()
                return false
            }
        }
        return fd >= 0
    }

    private func end(reset: Bool = false) {
        reactor.cancel(delay)
        reactor.close(self, reset: reset)
    }

    // MARK: Requests

    /// One step; false when more input or room for output is needed.
    private func work() -> Bool {
        switch state {
        case .head: readHead()
        case .body(var decoder): readBody(&decoder)
        case .producing(let left, let chunked): produce(left, chunked)
        case .webSocket: echoMessages()
        case .waiting, .closing: false
        }
    }

    private func readHead() -> Bool {
        guard !input.isEmpty else { return false }
        switch parser.parse(input.bytes, into: &head) {
        case .needMore: return false
        case .failed:
            output.append("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            state = .closing
        case .complete(let consumed):
            input.consume(consumed)
            persistent = parser.persistent
            shared.requests += 1
            body.removeAll(keepingCapacity: true)
            bodyLength = 0
            if parser.wantsUpgrade, webSocket.begin(head, &output) {
                state = .webSocket
            } else {
                if parser.expectsContinue { ResponseWriter.writeInterim(status: 100, to: &output) }
                state = .body(BodyDecoder(head.body))
                returnsBody = OriginAnswer(path: head.bytes(head.path)) == .echoBody
                if returnsBody { beginReturn() }
            }
            parser.reset()
        }
        return true
    }

    private func readBody(_ decoder: inout BodyDecoder) -> Bool {
        switch decoder.next(input.bytes) {
        case .data(let skip, let count) where returnsBody:
            input.consume(skip)
            if head.body == .unknown { BodyWriter.beginChunk(count, to: &output) }
            output.append(input.takeSlice(count))
            if head.body == .unknown { BodyWriter.endChunk(to: &output) }
            state = .body(decoder)
            return true
        case .data(let skip, let count):
            let kept = min(count, Self.keptBody - body.count)
            if kept > 0 { body.append(contentsOf: input.bytes.extracting(skip..<skip + kept).array()) }
            bodyLength += count
            input.consume(skip + count)
            state = .body(decoder)
            return true
        case .needMore(let consumed):
            input.consume(consumed)
            state = .body(decoder)
            return consumed > 0
        case .end(let consumed):
            input.consume(consumed)
            answer(OriginAnswer(path: head.bytes(head.path)))
        case .failed where returnsBody: state = .closing
        case .failed:
            output.append("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            state = .closing
        }
        return true
    }

    // MARK: Answers

    private func answer(_ answer: OriginAnswer) {
        switch answer {
        case .echo: sendEcho()
        case .echoBody:
            if head.body == .unknown { BodyWriter.endBody(to: &output) }
            finish()
        case .index: sendText(200, OriginAnswer.help)
        case .error: sendText(500, "The demo origin failed, as it was asked to.\n")
        case .notFound: sendEmpty(404)
        case .status(let status): sendEmpty(status)
        case .bytes(let count, let chunked): sendBytes(count, chunked: chunked)
        case .trailers: sendTrailers()
        case .slow(let milliseconds):
            state = .waiting
            reactor.schedule(delay, after: milliseconds)
        case .close: state = .closing
        case .cut:
            output.append("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            output.append(copying: Array(repeating: 120, count: 100).span)
            state = .closing
        }
    }

    fileprivate func delayIsOver() {
        guard case .waiting = state else { return }
        sendEcho()
        advance()
    }

    private func sendEcho() {
        echo.write(head, body: body.span, bodyLength: bodyLength, requestNumber: shared.requests)
        beginHead(200, contentType: "application/json")
        output.append("Content-Length: ")
        output.append(decimal: echo.bytes.count)
        output.append("\r\n\r\n")
        if head.method != .head { output.append(copying: echo.bytes) }
        finish()
    }

    private func sendText(_ status: Int, _ text: StaticString) {
        beginHead(status, contentType: "text/plain; charset=utf-8")
        output.append("Content-Length: ")
        output.append(decimal: text.utf8CodeUnitCount)
        output.append("\r\n\r\n")
        if head.method != .head { output.append(text) }
        finish()
    }

    /// The head of an answer whose body is the request's, framed in the same way and sent as it comes.
    private func beginReturn() {
        beginHead(200, contentType: "application/octet-stream")
        switch head.body {
        case .unknown: output.append("Transfer-Encoding: chunked\r\n\r\n")
        case .known(let count):
            output.append("Content-Length: ")
            output.append(decimal: count)
            output.append("\r\n\r\n")
        case .none, .untilClose: output.append("Content-Length: 0\r\n\r\n")
        }
    }

    private func sendEmpty(_ status: Int) {
        beginHead(status, contentType: nil)
        if status != 204 && status != 304 { output.append("Content-Length: 0\r\n") }
        output.append("\r\n")
        finish()
    }

    private func sendTrailers() {
        beginHead(200, contentType: "text/plain")
        output.append("Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n")
        if head.method != .head { output.append("6\r\nhello \r\n5\r\nworld\r\n0\r\nX-Checksum: 5eb63bbb\r\n\r\n") }
        finish()
    }

    private func sendBytes(_ count: Int, chunked: Bool) {
        // An HTTP/1.0 client knows no chunks: it gets a length instead.
        let chunked = chunked && head.version == .http11
        beginHead(200, contentType: "application/octet-stream")
        if chunked {
            output.append("Transfer-Encoding: chunked\r\n\r\n")
        } else {
            output.append("Content-Length: ")
            output.append(decimal: count)
            output.append("\r\n\r\n")
        }
        if head.method == .head { return finish() }
        state = .producing(left: count, chunked: chunked)
    }

    /// Fills the output up to the high-water mark.
    private func produce(_ count: Int, _ chunked: Bool) -> Bool {
        var left = count
        while left > 0, output.byteCount < Self.highWater {
            var part = shared.pattern.shared()
            let length = min(left, part.count)
            if length < part.count { part.dropLast(part.count - length) }
            if chunked { BodyWriter.beginChunk(length, to: &output) }
            output.append(part)
            if chunked { BodyWriter.endChunk(to: &output) }
            left -= length
        }
        if left > 0 {
            state = .producing(left: left, chunked: chunked)
        } else {
            if chunked { BodyWriter.endBody(to: &output) }
            finish()
        }
        return true
    }

    private func beginHead(_ status: Int, contentType: StaticString?) {
        output.append("HTTP/1.1 ")
        output.append(decimal: status)
        output.append(byte: 32)
        output.append(StatusText.reason(status))
        output.append("\r\nServer: sluice-origin\r\n")
        if let contentType {
            output.append("Content-Type: ")
            output.append(contentType)
            output.append("\r\n")
        }
        if !persistent {
            output.append("Connection: close\r\n")
        } else if head.version == .http10 {
            output.append("Connection: keep-alive\r\n")
        }
    }

    private func finish() { state = persistent && !peerEnded ? .head : .closing }

    private func echoMessages() -> Bool {
        let before = input.count
        if !webSocket.echo(&input, &output) { state = .closing }
        return input.count != before
    }
}

/// The wait of `/slow/MS`.
private final class OriginDelay: Timer {
    weak var client: OriginClient?
    override func fire() { client?.delayIsOver() }
}
