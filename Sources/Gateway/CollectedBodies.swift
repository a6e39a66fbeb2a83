import Buffers
import Hooks
import Reactor
import Rules
import Telemetry

// What bodies hold in memory for a hook: collected until all of it has arrived, and kept in case it goes on as it came. A client that
// sends slowly would keep it for as long as it likes; so it counts for the tenant beside the bodies that its hooks made. Messages of
// WebSockets are gathered in the same way.

extension BodyStage {
    /// Bytes of that.
    var held: Int { (collects ? intake.byteCount : 0) + given.byteCount }
}

private final class CollectedBody: WaitingBody {
    private let runner: ExchangeRunner
    private unowned let stage: BodyStage

    init(_ runner: ExchangeRunner, _ stage: BodyStage, tenant: String) {
        self.runner = runner
        self.stage = stage
        super.init(tenant: tenant, since: runner.worker.nowNanoseconds)
    }

    override var bytes: Int { stage.held }

    override func cut() {
        runner.worker.metrics.add(.hookBodiesCut)
        runner.giveUp(stage)
    }
}

extension ExchangeRunner {
    /// Keeps what the hook gets next, in case the body goes on unchanged after all.
    func keep(_ slice: borrowing Slice, _ stage: BodyStage) {
        guard stage.keepsGiven else { return }
        if stage.produces || stage.given.byteCount + slice.count > worker.bufferedBodyLimit(self) {
            stage.given.removeAll()
            stage.keepsGiven = false
        } else {
            stage.given.append(slice.shared())
            _ = mayHold(stage)
        }
    }

    /// Counts what a stage holds, where it is more than any may and has grown. False: it had to go.
    func mayHold(_ stage: BodyStage) -> Bool {
        let held = stage.held
        guard held - stage.counted > WaitingBodies.free, let account = worker.hooks, let key = stage.call.bound?.shared.key else { return true }
        stage.counted = held
        let tenant = key.placement.cordon
        if stage.waiting == nil {
            let body = CollectedBody(self, stage, tenant: tenant)
            stage.waiting = body
            account.waiting.add(body)
        }
        if !account.makesRoom(for: 0, of: key) { giveUp(stage) }
        return stage.waiting != nil
    }

    /// Others need the room. A hook that waits for all of the body is told; one that had it cannot pass it on unchanged any more.
    fileprivate func giveUp(_ stage: BodyStage) {
        forgetWaiting(stage)
        stage.given.removeAll()
        stage.keepsGiven = false
        guard stage.collects else { return }
        stage.collects = false
        cancelBody(stage.call, stage.side)
        stage.call.bodyFailed(stage.side, "bodies of more than limits.memory wait for this tenant's functions to have all of them")
    }

    /// The stage is done, or has let go of what it held.
    func forgetWaiting(_ stage: BodyStage) {
        guard let body = stage.waiting.take() else { return }
        worker.hooks?.waiting.remove(body)
    }
}

/// A message of a WebSocket of which a part has arrived: a client that never sends the rest would keep it.
private final class GatheredMessage: WaitingBody {
    private unowned let end: TunnelEnd
    private unowned let hooks: WorkerHooks
    /// As how much it was looked at last.
    var counted = 0

    init(_ end: TunnelEnd, _ hooks: WorkerHooks, tenant: String) {
        self.end = end
        self.hooks = hooks
        super.init(tenant: tenant, since: hooks.worker.nowNanoseconds)
    }

    override var bytes: Int { end.gatheredBytes }

    override func cut() {
        hooks.worker.metrics.add(.hookBodiesCut)
        hooks.forgetGathered(end)
        end.dropGathered()
    }
}

extension WorkerHooks {
    /// Has others make room for `count` bytes more than count already, where those are too much. False: none can.
    func makesRoom(for count: Int, of key: FunctionKey) -> Bool {
        let verdict = waiting.verdict(
            count, of: key.placement.cordon, atMost: key.limits.memory, all: Int(clamping: worker.overload.isolateBytes / 4), now: worker.nowNanoseconds)
        switch verdict {
        case .room: break
        case .after(let others): for body in others { body.cut() }
        case .none:
            worker.metrics.add(.hookBodiesRefused)
            return false
        }
        return true
    }

    /// More of a message arrived, or all of it. False: it had to go, and the WebSocket with it.
    func mayGather(_ end: TunnelEnd, for bound: BoundHook?) -> Bool {
        let held = end.gatheredBytes
        guard held > WaitingBodies.free, let key = bound?.shared.key else {
            forgetGathered(end)
            return true
        }
        let body = end.gathered as? GatheredMessage ?? GatheredMessage(end, self, tenant: key.placement.cordon)
        if end.gathered == nil {
            end.gathered = body
            waiting.add(body)
        }
        guard held - body.counted > WaitingBodies.free else { return true }
        body.counted = held
        guard makesRoom(for: 0, of: key) else {
            forgetGathered(end)
            end.dropGathered()
            return false
        }
        return end.gathered != nil
    }

    func forgetGathered(_ end: TunnelEnd) {
        guard let body = end.gathered.take() else { return }
        waiting.remove(body)
    }
}
