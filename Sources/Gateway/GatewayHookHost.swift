import Buffers
import Cordon
import HTTP
import Hooks
import Reactor
import Telemetry

/// What the worker gives to hooks: its clock, its log and its "who is running" slot.
final class GatewayHookHost: HookHost {
    let worker: Worker
    unowned var hooks: WorkerHooks?
    /// Isolates made ahead.
    var isolates: IsolatePool?
    private let timer = HookTimer()
    private lazy var work = WorkThreads(reactor: worker, threads: WorkThreads.ofWorker) { [metrics = worker.metrics] in metrics.count($0, $1) }
    private var loadBegan: UInt64 = 0
    private var loading: RunningLabel

    init(worker: Worker) {
        self.worker = worker
        loading = RunningLabel(identity: UInt32.max, function: "(loading)", rule: "", place: "")
        super.init(pool: worker.pool)
        timer.host = self
    }

    override var now: UInt64 { worker.nowNanoseconds }

    @discardableResult
    override func willRun(_ function: HookFunction, _ call: Hooks.HookCall?) -> UInt64 {
        let now = worker.preciseNow
        worker.context.running.enter(
            loading, request: (0, 0), started: now, deadline: now + 5_000_000_000, generation: worker.generation?.number ?? 0)
        return 0
    }

    override func didRun(_ function: HookFunction, _ call: Hooks.HookCall?) { worker.context.running.leave() }

    override func willLoad(_ function: HookFunction) { loadBegan = worker.preciseNow }
    override func didLoad(_ function: HookFunction) {
        worker.metrics.observe(.functionLoad, microseconds: (worker.preciseNow &- loadBegan) / 1_000)
    }

    override func takeSpare(_ kind: SpareKind) -> HookSpare? { isolates?.take(kind) }

    override func log(_ level: Int, function: HookFunction, call: Hooks.HookCall?, text: String) {
        hooks?.log(level, of: function.source, as: "function \(function.name)", call, text)
    }

    override func deadlineMoved(to nanoseconds: UInt64) {
        let wait = nanoseconds > worker.nowNanoseconds ? (nanoseconds - worker.nowNanoseconds + 999_999) / 1_000_000 : 0
        worker.schedule(timer, after: wait)
    }

    /// In a rehearsal, whose time is not the real one, at once.
    override func perform(_ piece: HookWork) { if worker.stage == nil { work.add(piece) } else { super.perform(piece) } }
    override func drop(_ piece: HookWork) { work.drop(piece) }

    override func wantsTidying() { deadlineMoved(to: worker.nowNanoseconds) }

    fileprivate func fire() {
        hooks?.runtime.fireTimers(worker.nowNanoseconds)
        hooks?.runtime.tidy()
        if let next = hooks?.runtime.nextDeadline { deadlineMoved(to: next) }
    }
}

private final class HookTimer: Timer {
    unowned var host: GatewayHookHost?
    override func fire() { host?.fire() }
}
