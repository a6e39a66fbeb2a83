import Buffers
import HTTP
import Hooks
import Reactor
import Upstream

/// A request that a hook makes: an exchange without a client. Both bodies flow as the hook takes and makes them: an origin that sends
/// more than the hook reads is not read on, a hook that makes more than the origin takes is not asked for more.
class Subrequest: ForwardedExchange {
    final let id: Int32
    final let grantIndex: Int
    private(set) final weak var call: GatewayHookCall?
    final unowned let worker: Worker
    /// The hook makes the request's body.
    private final let flows: Bool
    private final var isFilling = false
    private final var madeSome = false
    private final let atTurnsEnd = TurnsEnd()
    /// The hook was told of the head.
    private final var isTold = false
    private final var isWanted = false
    private final var isGiving = false
    /// Why the answer broke off, until the hook has read what came before.
    private final var failure: String?

    init(call: GatewayHookCall, request subrequest: HookSubrequest, worker: Worker) {
        id = subrequest.id
        grantIndex = subrequest.upstream
        self.call = call
        self.worker = worker
        flows = subrequest.flows
        super.init()
        request.copy(from: subrequest.head)
        requestBodyEnded = !flows
        requestBody.append(copying: subrequest.body.span, from: worker.pool)
        worker.pool.copied.hook += subrequest.body.count
        keepOriginal()
        request.add(.via, "1.1 sluice")
        started = worker.nowNanoseconds
    }

    func stop() {
        call = nil
        cancelOrigin()
    }

    /// Nobody waits for it any more.
    final func detach() { call = nil }

    // MARK: The request's body

    override func originWantsBody() { fill() }

    /// Has the hook make more of the body, as long as there is room for it.
    final func fill() {
        guard flows, !requestBodyEnded, !isFilling else { return }
        isFilling = true
        defer { isFilling = false }
        while !requestBodyEnded, requestBody.byteCount < HookCall.outputStep, let call, call.askIsFull(id) {
            madeSome = false
            call.askRoom(id)
            // Nothing came at once: the hook goes on by itself when its own source has more.
            if !madeSome { return }
        }
    }

    final func made(done: Bool) {
        madeSome = true
        call?.takeAsk(id, into: &requestBody)
        if done { requestBodyEnded = true }
        originStream?.requestBodyArrived()
        fill()
    }

    // MARK: The answer

    /// An answer that is complete by the end of the loop's turn is given in one piece, which is cheaper for hook and gateway.
    override func originResponded() {
        if responseBodyEnded, responseBody.isEmpty { return deliver() }
        atTurnsEnd.subrequest = self
        worker.later(atTurnsEnd)
    }

    override func originBodyArrived() {
        if isTold { give() } else if responseBodyEnded { deliver() }
    }

    fileprivate func turnEnds() {
        guard !isTold, let call else { return }
        isTold = true
        call.subrequestAnswered(id, response)
    }

    final func pull() {
        isWanted = true
        give()
    }

    private func give() {
        guard !isGiving else { return }
        isGiving = true
        defer { isGiving = false }
        while isWanted, let call {
            if let slice = responseBody.popFirst() {
                isWanted = false
                call.answerChunk(id, slice)
            } else if responseBodyEnded {
                isWanted = false
                self.call = nil
                call.forget(self)
                return call.answerEnded(id)
            } else if let failure {
                return end(failure)
            } else {
                break
            }
        }
        originStream?.responseBodyDrained()
    }

    override func originFailed(_ error: GatewayError) {
        // Not the address itself: what names lead to inside is nobody's business who may only name them.
        let reason = error.note.contains("egress: ") ? "the host's address is refused: it is not public" : "upstream failed: \(error.kind.name)"
        guard isTold else { return end(reason) }
        failure = reason
        give()
    }

    private func deliver() {
        guard let call else { return }
        self.call = nil
        worker.pool.copied.hook += responseBody.byteCount
        call.forget(self)
        call.subrequestFinished(id, response, body: responseBody.copyBytes())
        responseBody.removeAll()
        // What was not sent of the request is not wanted.
        if !requestBodyEnded { cancelOrigin() }
    }

    private func end(_ reason: String) {
        guard let call else { return }
        stop()
        call.forget(self)
        call.subrequestFailed(id, reason)
    }
}

private final class TurnsEnd: Channel {
    /// Set only while it is awaited.
    var subrequest: Subrequest?
    init() { super.init(fd: -1) }
    override func resume() {
        guard let subrequest else { return }
        self.subrequest = nil
        subrequest.turnEnds()
    }
}
