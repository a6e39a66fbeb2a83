import Buffers
import HTTP
import HTTP1
public import Reactor
import Telemetry

/// Large plain bodies go from socket to socket through a pipe and never enter user space.
extension OriginConnection {
    /// Plain bytes in the socket are body bytes.
    public var transportIsPlain: Bool { transport.isPlain }

    /// Bytes of a Content-Length response body that have not been handed on yet; nil for other bodies.
    public var remainingKnownBody: Int? { state == .body ? decoder.remainingKnown : nil }

    /// Bytes that were received and not handed on: they go first.
    public var hasBufferedBytes: Bool { !input.isEmpty }

    /// Lets the rest of a Content-Length body go through `pipe`, which becomes the exchange's `responsePipe`: its bytes
    /// follow those in `responseBody`. `originBodyArrived`, `responseBodyEnded` and `responseBodyDrained` mean what they
    /// always do.
    /// - Returns: false when this body or this connection does not allow it; nothing has changed then.
    public func pass(through pipe: SplicePipe) -> Bool {
        guard let exchange, self.pipe == nil, remainingKnownBody != nil, transportIsPlain, !hasBufferedBytes else { return false }
        self.pipe = pipe
        exchange.responsePipe = pipe
        resumeSoon()
        return true
    }

    /// Moves what the socket has into the pipe, as far as it has room.
    func fill(_ pipe: SplicePipe, _ exchange: ForwardedExchange) -> Bool {
        guard canRead, let left = decoder.remainingKnown else { return false }
        isPaused = pipe.byteCount >= pipe.capacity
        guard !isPaused else { return false }
        let room = min(left, pipe.capacity - pipe.byteCount)
        switch pipe.fill(from: fd, limit: room) {
        case .moved(let count, _):
            decoder.skipKnown(count)
            context.metrics.add(.splicedResponse, count)
            noteReceived()
            // Fewer than there was room for: either the socket is empty, or the pipe, which counts pages, is full.
            // Both are found out when the client has emptied it.
            isPaused = count < room
            if decoder.isDone { bodyEnded(exchange) }
            exchange.originBodyArrived()
            return self.exchange === exchange && !isPaused
        case .wouldBlock:
            if pipe.isEmpty { canRead = false } else { isPaused = true }
            return false
        case .endOfStream:
            endOfInput = true
            return cutShort(exchange)
        case .failed(let code):
            broken(transportFailure(code))
            return false
        }
    }
}
