import Buffers
import HTTP
import Reactor
import Rules
import Telemetry
import Upstream

/// What an upgrade or CONNECT opened: bytes in both directions, until both have ended.
extension HTTP1Connection {
    func readTunnel() -> Bool {
        guard let runner else { return false }
        if !input.isEmpty {
            guard runner.requestBacklog < listener.limits.exchangeBuffer else { return false }
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
    private var passedOn: Int { bytesReceived &- (runner?.requestBacklog ?? 0) }

    /// The client will send no more. Its end stands behind bytes that nobody reads while the origin takes none: whether it went
    /// for good cannot be seen from here, so the origin gets what is left as long as it takes it at the pace of a body.
    func watchTunnelEnd() {
        guard tunnelEnd == nil else { return }
        tunnelEnd = passedOn
        let limit = UInt64(listener.limits.bodyRateTime)
        if timer.deadline > worker.now + limit { worker.schedule(timer, after: limit) }
    }

    func tunnelTimeIsUp(_ limits: Limits) {
        let before = tunnelEnd ?? 0
        let now = passedOn
        tunnelEnd = now
        let isHeldUp = !endOfInput || (runner?.requestBacklog ?? 0) > 0
        guard isHeldUp, now - before < limits.bodyRateBytes else { return worker.schedule(timer, after: UInt64(limits.bodyRateTime)) }
        worker.metrics.add(.timeoutsBody)
        clientGone()
    }
}
