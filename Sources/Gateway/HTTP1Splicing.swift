import Buffers
import HTTP
import Reactor
import Upstream

/// Large plain response bodies: the kernel moves them from the origin's socket to the client's.
extension HTTP1Connection {
    /// Fewer bytes than this still to come are read and sent as usual.
    static let spliceMinimum = 32 << 10

    /// A client that has taken so much of one body may have the kernel hold megabytes for it. Only those whose body goes through a
    /// large pipe: they are few.
    private static let farAhead = 1 << 20

    func allow(_ ahead: SendAhead) {
        sendAhead = ahead
        Listening.sendAhead(fd, ahead)
    }

    /// Has the kernel take more of a body whose client takes it.
    func allowMore() {
        guard sendAhead != .far else { return }
        if sendAhead == .little, sent &- output.byteCount > SendAhead.proof { allow(.usual) }
        if sent > HTTP1Connection.farAhead, let runner, runner.hasResponsePipe, runner.responsePipe?.isLarge == true { allow(.far) }
    }

    /// Body bytes that wait in the pipe, behind everything in `output`.
    var pipedBytes: Int {
        guard let runner, runner.hasResponsePipe else { return 0 }
        return runner.responsePipe?.byteCount ?? 0
    }

    /// Hands the rest of the body over to a pipe, once everything that was read before is queued.
    func startSplicing(_ runner: ExchangeRunner) {
        guard !chunked, runner.pipeline == nil, !runner.responseIsTapped, !runner.hasResponsePipe, transport.takesPlainBytes, runner.responseBody.isEmpty,
            let origin = runner.originStream, origin.transportIsPlain, !origin.hasBufferedBytes,
            let left = origin.remainingKnownBody, left >= HTTP1Connection.spliceMinimum, let pipe = worker.pipes.take(for: left, proven: sendAhead != .little || requests > 1)
        else { return }
        if !origin.pass(through: pipe) { worker.pipes.giveBack(pipe) }
    }

    /// Sends what is in the pipe.
    func flushPipe() {
        guard let runner, runner.hasResponsePipe, output.isEmpty, let pipe = runner.responsePipe else { return }
        while canWrite, !pipe.isEmpty {
            switch pipe.drain(to: fd, more: false) {
            case .moved(let count, _):
                lastActivity = worker.now
                sent += count
            case .wouldBlock: canWrite = false
            case .endOfStream, .failed: return clientGone()
            }
        }
    }
}
