import Hooks
import Reactor
import Telemetry

/// Isolates made ahead on a thread of their own, so that a function's first call waits for none; and the bytecode of
/// functions, made on the same thread.
///
/// Making an isolate maps and protects memory, for which the kernel has one lock per process: while it goes on, calls of the
/// worker that need new memory wait, and a first call needs much. So isolates are ordered when a turn of the loop is over, one
/// at a time, and, as long as half of them are there, only when no function has taken one for a while.
final class IsolatePool {
    /// Of one kind, at most; fewer when fewer functions could ask for them. Each takes about 1.3 MB.
    static let perKind = 8
    /// Kinds that are kept ready: heap limits that functions of this worker have.
    static let kinds = 4
    /// Functions whose bytecode is made in one go; new isolates wait so long at most.
    private static let batch = 16
    /// Milliseconds without a taker before the pool is filled up.
    private static let calm: UInt64 = 6
    /// Behind the requests, but not so far that on a machine whose cores are all busy nothing is ever made ahead.
    private static let niceness: Int32 = 10

    private enum Made: Sendable {
        case spare(SpareKind, HookSpare?)
        case bytecode([[String: [UInt8]]])
    }

    private let workshop: Workshop<Made>
    private unowned let reactor: Reactor
    private let metrics: Metrics
    private var ready: [SpareKind: [HookSpare]] = [:]
    /// How many of each kind are being made.
    private var ordered: [SpareKind: Int] = [:]
    /// The loop has not turned yet: nobody is disturbed.
    private var isStarting = true
    /// How many of each kind shall be ready.
    private var wanted: [SpareKind: Int] = [:]
    private var taken = 0
    private var isLacking = false
    private let timer = RefillTimer()
    private var uncompiled: [HookFunction] = []
    private var isCompiling = false

    init(reactor: Reactor, metrics: Metrics) throws(SystemError) {
        workshop = try Workshop(reactor: reactor, niceness: Self.niceness)
        self.reactor = reactor
        self.metrics = metrics
        timer.pool = self
    }

    /// Makes ready for functions of these kinds, one entry for each function. What is of no kind of theirs is freed.
    func expect(_ functions: [SpareKind]) {
        var counts: [SpareKind: Int] = [:]
        for kind in functions { counts[kind, default: 0] += 1 }
        let most = counts.sorted { $0.value > $1.value }.prefix(Self.kinds)
        wanted = Dictionary(uniqueKeysWithValues: most.map { ($0.key, min($0.value, Self.perKind)) })
        for (kind, spares) in ready where spares.count > wanted[kind] ?? 0 {
            let surplus = spares.count - (wanted[kind] ?? 0)
            for spare in spares.suffix(surplus) { workshop.discard(spare) }
            ready[kind]?.removeLast(surplus)
        }
        // What a new configuration needs, it needs soon.
        while let kind = poorest { order(kind) }
        show()
    }

    /// How many were asked for since this was asked the last time.
    func takenSince() -> Int {
        defer { taken = 0 }
        return taken
    }

    func isReady(_ kind: SpareKind) -> Bool { !(ready[kind] ?? []).isEmpty }

    func take(_ kind: SpareKind) -> HookSpare? {
        taken += 1
        let spare = ready[kind]?.popLast()
        metrics.add(spare != nil ? .isolatesWarm : .isolatesCold)
        if isStarting {
            if let next = poorest { order(next) }
        } else {
            isLacking = true
            if timer.isScheduled { reactor.schedule(timer, after: Self.calm) }
        }
        show()
        return spare
    }

    /// At the end of a turn of the loop: has the next isolate made, if one is due.
    func refill() {
        isStarting = false
        guard isLacking else { return }
        isLacking = false
        guard isIdle, let kind = poorest else { return }
        if (ready[kind]?.count ?? 0) * 2 >= wanted[kind] ?? 0 {
            reactor.schedule(timer, after: Self.calm)
        } else {
            order(kind)
        }
    }

    /// The last taker came a while ago.
    fileprivate func calmCame() {
        guard isIdle, let kind = poorest else { return }
        order(kind)
    }

    private var isIdle: Bool { ordered.values.allSatisfy { $0 == 0 } }

    /// The kind of which the smallest part is there or on its way; nil when nothing is lacking.
    private var poorest: SpareKind? {
        var found: (kind: SpareKind, share: Double)?
        for (kind, count) in wanted {
            let share = Double((ready[kind]?.count ?? 0) + ordered[kind, default: 0]) / Double(count)
            if share < found?.share ?? 1 { found = (kind, share) }
        }
        return found?.kind
    }

    private func order(_ kind: SpareKind) {
        ordered[kind, default: 0] += 1
        workshop.make({ .spare(kind, HookSpare(kind)) }, then: { [weak self] in self?.arrived($0) })
    }

    private func arrived(_ made: Made) {
        guard case .spare(let kind, let spare) = made else { return }
        ordered[kind, default: 1] -= 1
        // What could not be made now is not tried again before somebody needs it.
        guard let spare else { return }
        isLacking = true
        guard (ready[kind]?.count ?? 0) < wanted[kind] ?? 0 else { return workshop.discard(spare) }
        ready[kind, default: []].append(spare)
        show()
    }

    private func show() { metrics.set(.isolatesSpare, ready.values.reduce(0) { $0 + $1.count }) }

    // MARK: Bytecode

    /// Has the modules of these functions compiled, which is of use whenever an isolate is made for one of them.
    /// - Parameter done: called for each function when its bytecode is there.
    func compile(_ functions: [HookFunction], then done: @escaping (HookFunction) -> Void) {
        uncompiled += functions.filter { $0.bytecode.isEmpty }
        compileNext(done)
    }

    private func compileNext(_ done: @escaping (HookFunction) -> Void) {
        guard !isCompiling, !uncompiled.isEmpty else { return }
        isCompiling = true
        let some = Array(uncompiled.prefix(Self.batch))
        uncompiled.removeFirst(some.count)
        let tables = some.map(\.source.modules)
        workshop.make({ .bytecode(HookBytecode.make(tables)) }, then: { [weak self] made in
            guard let self, case .bytecode(let caches) = made else { return }
            isCompiling = false
            for (function, bytecode) in zip(some, caches) {
                function.bytecode = bytecode
                done(function)
            }
            compileNext(done)
        })
    }
}

private final class RefillTimer: Timer {
    unowned var pool: IsolatePool?
    override func fire() { pool?.calmCame() }
}

/// Loads functions that nobody has called yet, one after the other while requests go on, each in an isolate made ahead.
final class FunctionWarmer: Timer {
    /// Milliseconds between two of them: loading one takes a few tenths.
    private static let pause: UInt64 = 5
    /// Functions loaded ahead at most after a reload; the others are loaded by their first call.
    private static let limit = 64

    private unowned let hooks: WorkerHooks
    private var waiting: [HookFunction] = []
    private var loaded = 0

    init(_ hooks: WorkerHooks) { self.hooks = hooks }

    /// A new generation is there.
    func begin() {
        loaded = 0
        waiting.removeAll()
    }

    func add(_ function: HookFunction) {
        guard !function.hasIsolate, waiting.count + loaded < Self.limit else { return }
        waiting.append(function)
        schedule()
    }

    private func schedule() {
        guard !isScheduled, !waiting.isEmpty else { return }
        hooks.worker.schedule(self, after: Self.pause)
    }

    override func fire() {
        defer { schedule() }
        guard let next = waiting.last, hooks.pool?.isReady(SpareKind(next.source.limits)) == true else { return }
        waiting.removeLast()
        guard hooks.isLoaded(next), next.warmUp() else { return }
        loaded += 1
        hooks.countIsolates()
    }
}
