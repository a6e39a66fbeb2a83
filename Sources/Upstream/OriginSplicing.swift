import Buffers
import HTTP
import HTTP1
import Reactor
import Telemetry

/// Large plain bodies go from socket to socket through a pipe and never enter user space.
extension OriginConnection {
    func begin(passing pipe: SplicePipe) -> Bool {
        guard let exchange, self.pipe == nil, remainingKnownBody != nil, transportIsPlain, !hasBufferedBytes else { return false }
        self.pipe = pipe
        exchange.responsePipe = pipe
        if pipe.isLarge, moderation == nil { moderation = ReadModeration(self) }
        moderation?.begin(isLarge: pipe.isLarge)
        resumeSoon()
        return true
    }

    /// Moves what the socket has into the pipe, as far as it has room.
    func fill(_ pipe: SplicePipe, _ exchange: ForwardedExchange) -> Bool {
        guard canRead, let left = decoder.remainingKnown else { return false }
        let held = pipe.byteCount
        let room = min(pipe.capacity, SplicePipe.room(taken: received &- held)) - held
        isPaused = room <= 0
        guard !isPaused else { return false }
        switch pipe.fill(from: fd, body: left, room: room) {
        case .moved(let count, let drained):
            if drained, !sawHangup { canRead = false }
            if pipe.hasExcess { keepsAlive = false }
            decoder.skipKnown(count)
            received &+= count
            moderation?.note(count: count)
            context.metrics.add(.splicedResponse, count)
            noteReceived()
            // Fewer than there was room for: either the socket is empty, or the pipe, which counts pages, is full.
            // Both are found out when the client has emptied it.
            isPaused = count < min(left, room)
            if decoder.isDone { bodyEnded(exchange) }
            exchange.originBodyArrived()
            return self.exchange === exchange && !isPaused
        case .wouldBlock:
            if pipe.isEmpty {
                canRead = false
                moderation?.wait(left: left)
            } else {
                isPaused = true
            }
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
