import Buffers
import HTTP
import Hooks
import Reactor
import Rules
import Telemetry

/// A schedule of a function, bound like a rule.
struct ScheduledHook {
    let bound: BoundHook
    let cron: CronSchedule
    let mayOverlap: Bool
    /// In the shared memory: what runs and when, so that a changed schedule is another one.
    let key: UInt64
    /// Nanoseconds that a run holds its schedule at most.
    let longest: UInt64
}

/// Runs the schedules of the generation in use. Every worker wakes up for every moment; the shared memory gives it to one.
final class WorkerSchedules: Timer {
    unowned let worker: Worker
    /// By the generation's schedules: when each is due next, in seconds since 1970.
    private var due: [Int?] = []
    /// The schedules' keys, in the same order.
    private var keys: [UInt64] = []
    /// Number of the generation that `due` is about.
    private var generation: UInt64 = 0
    private var runs: [ObjectIdentifier: ScheduledRun] = [:]

    /// Milliseconds after which it looks at the clock again, however far the next moment is: clocks are set.
    private static let longestSleep: UInt64 = 30_000

    init(worker: Worker) {
        self.worker = worker
        super.init()
    }

    /// A worker that is to leave waits for them as for requests.
    var isRunning: Bool { !runs.isEmpty }

    /// Takes over the schedules of a new generation. One that was there before is due when it was: reloads that follow each other closely
    /// would put it off again and again.
    func use(_ generation: ServingGeneration) {
        self.generation = generation.number
        let now = worker.wallSeconds
        let before = Dictionary(zip(keys, due), uniquingKeysWith: { first, _ in first })
        keys = generation.functions.schedules.map(\.key)
        due = generation.functions.schedules.map { before[$0.key] ?? $0.cron.next(after: now) }
        sleep()
    }

    private func sleep() {
        guard let next = due.compactMap({ $0 }).min() else { return }
        let seconds = UInt64(max(next - worker.wallSeconds, 0))
        // The wall clock is read in whole seconds: a little later is early enough.
        worker.schedule(self, after: min(seconds == 0 ? 20 : seconds * 1_000, Self.longestSleep))
    }

    override func fire() {
        guard let generation = worker.generation, generation.number == self.generation, !worker.isDraining else { return }
        let now = worker.wallSeconds
        for (index, hook) in generation.functions.schedules.enumerated() {
            guard let moment = due[index], moment <= now else { continue }
            due[index] = hook.cron.next(after: now)
            begin(hook, moment, generation)
        }
        sleep()
    }

    private func begin(_ hook: ScheduledHook, _ moment: Int, _ generation: ServingGeneration) {
        let now = worker.nowNanoseconds, until = now &+ hook.longest
        switch worker.context.shared.claimSchedule(hook.key, moment: moment, now: now, until: until, mayOverlap: hook.mayOverlap) {
        case .taken: return
        case .stillRunning:
            worker.metrics.add(.scheduledSkipped)
            worker.note(.warning, "schedule \"\(hook.cron.text)\" of function \(hook.bound.shared.key.name) is left out once: the run before it goes on")
        case .noRoom:
            worker.metrics.add(.scheduledSkipped)
            worker.note(.error, "schedule \"\(hook.cron.text)\" of function \(hook.bound.shared.key.name) does not run: too many schedules since the start")
        case .run: run(hook, moment, until, generation)
        }
    }

    @discardableResult
    func run(_ hook: ScheduledHook, _ moment: Int, _ until: UInt64, _ generation: ServingGeneration) -> ScheduledRun {
        let run = ScheduledRun(hook, moment, until, generation, self)
        runs[ObjectIdentifier(run)] = run
        if let hooks = worker.hooks { run.start(hooks) }
        return run
    }

    fileprivate func ended(_ run: ScheduledRun, failed: Bool) {
        runs[ObjectIdentifier(run)] = nil
        worker.metrics.add(failed ? .scheduledFailed : .scheduledDone)
        worker.context.shared.finishSchedule(run.hook.key, until: run.until)
        if worker.isDraining { worker.leaveIfDone() }
    }
}

/// One run: a hook call without a request.
final class ScheduledRun {
    let hook: ScheduledHook
    let until: UInt64
    /// nil: it goes on.
    private(set) var failed: Bool?
    /// What the call works on: a request that nobody sent.
    private let exchange = Exchange()
    private let generation: ServingGeneration
    private unowned let owner: WorkerSchedules
    private var worker: Worker { owner.worker }

    init(_ hook: ScheduledHook, _ moment: Int, _ until: UInt64, _ generation: ServingGeneration, _ owner: WorkerSchedules) {
        self.hook = hook
        self.until = until
        self.generation = generation
        self.owner = owner
        exchange.request.setMethod(Span("GET"))
        exchange.request.authority = exchange.request.arena.append("scheduled.invalid")
        exchange.request.setPath(Span("/"))
        exchange.requestID = owner.worker.nextRequestID()
        exchange.started = owner.worker.nowNanoseconds
        // How the prelude learns of it, here and in a cordon.
        exchange.vars.set(Array("scheduled_time".utf8).span, Array("\(moment)".utf8).span)
    }

    fileprivate func start(_ hooks: WorkerHooks) {
        let name = hook.bound.shared.key.name
        guard !hooks.fenced.contains(name) else {
            return end(.failed(HookFailure(.unavailable, function: name, message: "the function is fenced: it stopped workers before")), nil)
        }
        worker.metrics.add(.hookCallsScheduled)
        let call = hooks.takeCall(self, hook.bound, generation)
        call.requestID = exchange.requestID
        if case .finished(let outcome) = hook.bound.shared.start(call, hook.bound.shared.function, hook.bound.binding, .scheduled, exchange, hooks) { end(outcome, call) }
    }

    func finished(_ call: GatewayHookCall, _ outcome: HookOutcome) { end(outcome, call) }

    private func end(_ outcome: HookOutcome, _ call: GatewayHookCall?) {
        var failed = false
        if case .failed(var failure) = outcome {
            failed = true
            (failure.rulePlace, failure.cpuNanoseconds) = (hook.bound.place, call?.cpuNanoseconds ?? 0)
            worker.noteHookFailure(failure, "scheduled", request: exchange.requestID.text)
        }
        let microseconds = (call?.cpuNanoseconds ?? 0) / 1_000
        worker.metrics.add(.hookCPUMicroseconds, Int(clamping: microseconds))
        if let call { worker.metrics.observe(.hookTime, microseconds: call.elapsed(until: worker.nowNanoseconds) / 1_000) }
        generation.series.countCall(function: hook.bound.functionIndex, microseconds: microseconds, failed: failed)
        if microseconds >= SharedFunction.slowMicroseconds { worker.hooks?.noteCost(hook.bound.shared, microseconds: microseconds) }
        if let call { worker.hooks?.giveBack(call) }
        self.failed = failed
        owner.ended(self, failed: failed)
    }
}

extension GenerationHooks {
    /// Binds the schedules of a configuration's functions.
    static func schedules(_ configuration: Configuration, _ functions: [SharedFunction], _ hooks: WorkerHooks) throws -> [ScheduledHook] {
        var made: [ScheduledHook] = []
        for (index, function) in configuration.functions.enumerated() {
            for schedule in function.schedules {
                let shared = functions[index]
                if let loaded = shared.function, !loaded.handles(.scheduled) {
                    throw GenerationError(description: "\(configuration.describe(schedule.position)): \(Self.noHandler(function))")
                }
                let cron = schedule.cron.text
                let file = configuration.files[Int(schedule.position.file)], place = "\(file):\(schedule.position.line)"
                let rule = HookRule(
                    name: "schedule \(cron)", file: file, line: Int(schedule.position.line), arguments: "{\"cron\":\(HookRule.quoted(cron))}")
                let label = RunningLabel(identity: hooks.nextLabel(), function: shared.key.name, rule: rule.name, place: place)
                let bound = BoundHook(
                    shared, functionIndex: index, binding: try shared.bind(rule), label: label, place: place, cpu: function.limits.cpu)
                made.append(ScheduledHook(
                    bound: bound, cron: schedule.cron, mayOverlap: function.mayOverlap,
                    key: SharedRegion.tallyKey("schedule \(function.name) \(cron)"), longest: UInt64(function.limits.wall) * 1_000_000 + 1_000_000_000))
            }
        }
        return made
    }

    static func noHandler(_ function: Function) -> String {
        "function \"\(function.name)\" has a schedule, but \(function.module.path) does not export scheduled"
    }
}
