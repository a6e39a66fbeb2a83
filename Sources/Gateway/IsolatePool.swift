import Hooks
import Reactor
import Telemetry

/// Isolates made ahead on a thread of their own, so that a function's first call waits for none; and the bytecode of
/// functions, made on the same thread.
final class IsolatePool {
    /// Of one kind, at most; fewer when fewer functions could ask for them. Each takes about 1.3 MB.
    static let perKind = 8
    /// Kinds that are kept ready: heap limits that functions of this worker have.
    static let kinds = 4
    /// Functions whose bytecode is made in one go; new isolates wait so long at most.
    private static let batch = 16
    /// Behind the requests.
    /// Far behind the requests: on a machine whose cores are all busy an isolate is rather made on the spot.
    private static let niceness: Int32 = 19

    private enum Made: Sendable {
        case spare(SpareKind, HookSpare?)
        case bytecode([[String: [UInt8]]])
    }

    private let workshop: Workshop<Made>
    private let metrics: Metrics
    private var ready: [SpareKind: [HookSpare]] = [:]
    private var ordered: [SpareKind: Int] = [:]
    /// How many of each kind shall be ready.
    private var wanted: [SpareKind: Int] = [:]
    private var uncompiled: [HookFunction] = []
    private var isCompiling = false

    init(reactor: Reactor, metrics: Metrics) throws(SystemError) {
        workshop = try Workshop(reactor: reactor, niceness: Self.niceness)
        self.metrics = metrics
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
        for kind in wanted.keys { refill(kind) }
        show()
    }

    func isReady(_ kind: SpareKind) -> Bool { !(ready[kind] ?? []).isEmpty }

    func take(_ kind: SpareKind) -> HookSpare? {
        let spare = ready[kind]?.popLast()
        metrics.add(spare != nil ? .isolatesWarm : .isolatesCold)
        refill(kind)
        show()
        return spare
    }

    private func refill(_ kind: SpareKind) {
        let there = (ready[kind]?.count ?? 0) + ordered[kind, default: 0]
        for _ in there..<max(there, wanted[kind] ?? 0) {
            ordered[kind, default: 0] += 1
            workshop.make({ .spare(kind, HookSpare(kind)) }, then: { [weak self] in self?.arrived($0) })
        }
    }

    private func arrived(_ made: Made) {
        guard case .spare(let kind, let spare) = made else { return }
        ordered[kind, default: 1] -= 1
        guard let spare else { return }
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
