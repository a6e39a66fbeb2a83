import Buffers
import HTTP
import Reactor
import Rules
import Telemetry
import Upstream

/// Since when an origin has more waiting for it than a tunnel may hold, and what it had been given by then.
struct TunnelHold {
    var since: UInt64
    var passedOn: Int
}

/// What an upgrade or CONNECT opened: bytes in both directions, until both have ended.
extension HTTP1Connection {
    func readTunnel() -> Bool {
        guard let runner else { return false }
        if !input.isEmpty {
            guard runner.requestBacklog < listener.limits.exchangeBuffer else {
                watchDeafOrigin()
                return false
            }
            runner.acceptTunneled(input.takeSlice(input.count))
            runner.requestBodyArrived()
            return true
        }
        if endOfInput {
            if !runner.requestBodyEnded {
                runner.requestBodyEnded = true
                runner.requestBodyArrived()
            }
            return false
        }
        return receive()
    }

    func finishTunnel(_ runner: ExchangeRunner) {
        let isLeaving = runner.frames?.isLeaving == true || runner.tunnelEnd is HookSocket
        self.runner = nil
        runner.finish()
        // The close frame must not be destroyed by a reset over what the client sends meanwhile.
        if isLeaving { closeAfterResponse() } else { close() }
    }

    /// Bytes of the client that its origin has been given.
    var passedOn: Int { bytesReceived &- (runner?.requestBacklog ?? 0) }

    /// The client will send no more. Its end stands behind bytes that nobody reads while the origin takes none: whether it went
    /// for good cannot be seen from here, so the origin gets what is left as long as it takes it at the pace of a body.
    func watchEnd() {
        guard takenAtEnd == nil else { return }
        takenAtEnd = passedOn
        let limit = UInt64(listener.limits.bodyRateTime)
        if timer.deadline > worker.now + limit { worker.schedule(timer, after: limit) }
    }

    /// The client ended its side, which tells of a departure (`waitOn`), behind a body that nobody takes for now.
    var hasLeftBehindBody: Bool {
        guard peerHungUp, reading == .body, !listener.servesHalfClosed else { return false }
        return awaitsContinue || (runner?.requestBacklog ?? 0) >= listener.limits.exchangeBuffer
    }

    /// Of such a body somebody has to take something, at the pace of bodies: else whatever is done for this request is done for nobody.
    func hasGivenUpBody(_ bytes: Int) -> Bool {
        guard hasLeftBehindBody, let before = takenAtEnd else { return false }
        let now = passedOn
        takenAtEnd = now
        return now - before < bytes
    }

    /// The client is not read any more, so neither its end nor its death would be seen: they stand behind what its own kernel
    /// holds. From now on the origin is asked for progress, at the pace that clients are asked for.
    private func watchDeafOrigin() {
        guard tunnelHeld == nil else { return }
        tunnelHeld = TunnelHold(since: worker.now, passedOn: passedOn)
        let limit = UInt64(listener.limits.writeStall)
        if timer.deadline > worker.now + limit { worker.schedule(timer, after: limit) }
    }

    func tunnelTimeIsUp(_ limits: Limits) {
        if takenAtEnd != nil { return endedTunnelTimeIsUp(limits) }
        let stall = UInt64(limits.writeStall)
        guard let runner, let held = tunnelHeld, runner.requestBacklog >= limits.exchangeBuffer, !runner.requestBody.isEmpty else {
            tunnelHeld = nil
            return worker.schedule(timer, after: stall)
        }
        let elapsed = worker.now - held.since
        guard elapsed >= stall else { return worker.schedule(timer, after: stall - elapsed) }
        tunnelHeld = TunnelHold(since: worker.now, passedOn: passedOn)
        guard passedOn - held.passedOn < max(1, limits.writeRate * Int(elapsed) / 1000) else { return worker.schedule(timer, after: stall) }
        worker.metrics.add(.timeoutsWriteStall)
        clientGone(reset: true)
    }

    private func endedTunnelTimeIsUp(_ limits: Limits) {
        let before = takenAtEnd ?? 0
        let now = passedOn
        takenAtEnd = now
        let isHeldUp = !endOfInput || (runner?.requestBacklog ?? 0) > 0
        guard isHeldUp, now - before < limits.bodyRateBytes else { return worker.schedule(timer, after: UInt64(limits.bodyRateTime)) }
        worker.metrics.add(.timeoutsBody)
        clientGone()
    }
}
