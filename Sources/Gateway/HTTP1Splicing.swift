import Buffers
import HTTP
import Reactor
import Upstream

/// Large plain response bodies: the kernel moves them from the origin's socket to the client's.
extension HTTP1Connection {
    /// Fewer bytes than this still to come are read and sent as usual.
    static let spliceMinimum = 32 << 10

    /// Body bytes that wait in the pipe, behind everything in `output`.
    var pipedBytes: Int {
        guard let runner, runner.hasResponsePipe else { return 0 }
        return runner.responsePipe?.byteCount ?? 0
    }

    /// Hands the rest of the body over to a pipe, once everything that was read before is queued.
    func startSplicing(_ runner: ExchangeRunner) {
        guard !chunked, runner.pipeline == nil, !runner.responseIsTapped, !runner.hasResponsePipe, transport.takesPlainBytes, runner.responseBody.isEmpty,
            let origin = runner.originStream, origin.transportIsPlain, !origin.hasBufferedBytes,
            let left = origin.remainingKnownBody, left >= HTTP1Connection.spliceMinimum, let pipe = worker.pipes.take()
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
