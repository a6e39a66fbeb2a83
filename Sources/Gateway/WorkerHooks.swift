import Buffers
import Cordon
import HTTP
import Hooks
import Reactor
import Rules
import Telemetry
import Upstream

/// All that makes a function what it is: equal keys may share an isolate.
struct FunctionKey: Hashable {
    var name: String
    var main: String
    var modules: [String: String]
    /// Files of WebAssembly.
    var binaries: [String: [UInt8]] = [:]
    var limits: FunctionLimits
    var upstreams: [String]
    var bindings = FunctionBindings()
    var placement: FunctionPlacement
    var isolation: Function.Isolation
    /// By the function's compatibility date.
    var heldBack: [String] = []

    func hash(into hasher: inout Hasher) {
        hasher.combine(name)
        hasher.combine(main)
    }

    static func == (a: FunctionKey, b: FunctionKey) -> Bool {
        a.name == b.name && a.main == b.main && a.limits == b.limits && a.upstreams == b.upstreams
            && a.bindings == b.bindings && a.placement == b.placement && a.isolation == b.isolation && a.heldBack == b.heldBack && a.modules == b.modules
            && a.binaries == b.binaries
    }
}

/// One `run` action: the function bound to its rule, and the label for the "who is running" slot.
final class BoundHook {
    let shared: SharedFunction
    /// Where it runs in this process, if it began there; it may have moved since.
    let local: HookFunction?
    let functionIndex: Int
    let binding: HookBinding
    let label: RunningLabel
    /// file:line of the rule.
    let place: String
    /// Nanoseconds after which the supervisor takes the call for unstoppable.
    let patience: UInt64

    init(_ shared: SharedFunction, functionIndex: Int, binding: HookBinding, label: consuming RunningLabel, place: String, cpu: Int) {
        self.shared = shared
        local = shared.function
        self.functionIndex = functionIndex
        self.binding = binding
        self.label = label
        self.place = place
        patience = UInt64(cpu) * 2_000_000 + 250_000_000
    }
}

/// The hooks of one worker: the runtime, loaded functions, and calls kept for reuse.
final class WorkerHooks {
    unowned let worker: Worker
    let host: GatewayHookHost
    let runtime: HookRuntime
    let cordons: WorkerCordons
    private var loaded: [FunctionKey: SharedFunction] = [:]
    private var idleCalls: [GatewayHookCall] = []
    /// The one that was given back last: mostly the next one asked for.
    private var lastIdle: GatewayHookCall?
    private var labels: UInt32 = 0
    /// Some generation was retired: functions may have become unused.
    var sweepSoon = false
    /// WebSockets that hooks end themselves.
    var sockets: [ObjectIdentifier: HookSocket] = [:]
    /// WebSockets to origins whose close frame is on its way.
    var leaving: [ObjectIdentifier: HookLink] = [:]
    /// Functions that must not run, by name.
    var fenced: Set<String> = [] { didSet { hasFenced = !fenced.isEmpty } }
    private(set) var hasFenced = false
    var waiting = WaitingBodies()
    var logBook = HookLogBook()
    /// Functions that run in a cordon unless they are pinned, by name.
    private var moved: Set<String> = []
    /// nil in a rehearsal.
    private(set) var pool: IsolatePool?
    private lazy var warmer = FunctionWarmer(self)
    /// Functions of the generation that is being made were loaded by another process before: here they may wait for their
    /// first call.
    var trusts = false

    /// Bytes that isolates may hold together while the functions of a generation are loaded.
    var room = UInt64.max

    init(worker: Worker) {
        self.worker = worker
        HookSnapshot.offer(worker.context.snapshot)
        cordons = WorkerCordons(worker: worker)
        host = GatewayHookHost(worker: worker)
        runtime = HookRuntime(host: host)
        host.hooks = self
    }

    /// The function of this key, loaded now or kept from an earlier generation.
    func function(_ key: FunctionKey) throws(HookLoadError) -> SharedFunction {
        if let kept = loaded[key] { return kept }
        let shared = SharedFunction(key)
        // A rehearsal has no supervisor that could start one.
        if worker.control != nil, shared.belongsInCordon(moved) {
            shared.moveOut(to: cordons)
        } else {
            let source = HookSource(key)
            shared.adopt(trusts && worker.control != nil ? runtime.register(source) : try runtime.load(source))
            makeRoomForLoaded()
        }
        loaded[key] = shared
        countIsolates()
        return shared
    }

    /// Isolates for the first functions are made while the configuration is still being read.
    func startPool(functions: Int) throws(SystemError) {
        let pool = try IsolatePool(reactor: worker, metrics: worker.metrics)
        self.pool = pool
        host.isolates = pool
        pool.expect(Array(repeating: SpareKind(HookLimits()), count: functions))
    }

    /// A generation is in use: what it may need soon is made ready beside the requests.
    func prepare(for functions: [SharedFunction]) {
        guard let pool else { return }
        let inline = functions.compactMap { $0.isRemote ? nil : $0.function }
        pool.expect(inline.map { SpareKind($0.source.limits) })
        warmer.begin()
        // Not weakly through this object: a weak reference slows every retain of it, and requests make many.
        pool.compile(inline) { [warmer] in warmer.add($0) }
    }

    func isLoaded(_ function: HookFunction) -> Bool { loaded.values.contains { $0.function === function } }

    func countIsolates() { worker.metrics.set(.isolatesLive, loaded.values.count { $0.function?.hasIsolate == true }) }

    /// The supervisor's word on which functions held workers up, and which of them cost one.
    func move(_ names: [String], fatal: [String]) {
        moved = Set(names)
        for shared in loaded.values where shared.belongsInCordon(moved) {
            let isNews = !shared.isRemote
            shared.moveOut(to: cordons, atOnce: fatal.contains(shared.key.name) || shared.key.placement.startsOutside)
            guard isNews else { continue }
            worker.note(.warning, "function \(shared.key.name) runs in a process of its own from now on")
            sweepSoon = true
        }
    }

    /// A call ended: one that keeps the loop busy for too long, too often, has to go elsewhere.
    func noteCost(_ shared: SharedFunction, microseconds: UInt64) {
        guard worker.control != nil, shared.isTooSlow(microseconds, worker.nowNanoseconds) else { return }
        worker.metrics.add(.hookMovesSlow)
        worker.control?.reportSlow(shared.key.name)
        move(Array(moved) + [shared.key.name], fatal: [])
    }

    func nextLabel() -> UInt32 {
        labels &+= 1
        return max(labels, 1)
    }

    func takeCall(_ runner: ExchangeRunner, _ generation: ServingGeneration, _ bound: BoundHook, rule: Int32) -> GatewayHookCall {
        let call = idleCall(bound)
        call.runner = runner
        call.generationNumber = generation.number
        call.ruleIndex = rule
        return call
    }

    /// An idle call, the last one if that was bound to the same.
    private func idleCall(_ bound: BoundHook) -> GatewayHookCall {
        if lastIdle?.bound === bound, let call = lastIdle.take() { return call }
        let call = idleCalls.popLast() ?? GatewayHookCall(worker: worker)
        if call.bound !== bound { call.bound = bound }
        return call
    }


    /// The same for a run that no request asks for.
    func takeCall(_ run: ScheduledRun, _ bound: BoundHook, _ generation: ServingGeneration) -> GatewayHookCall {
        let call = idleCall(bound)
        call.scheduled = run
        call.generation = generation
        call.generationNumber = generation.number
        return call
    }

    /// Takes a call back; it is reused once the runtime is done with it (`released`).
    func giveBack(_ call: GatewayHookCall) {
        let isIdle = call.isIdle
        if !isIdle { call.outlives(call.runner) }
        if call.isStreaming { call.producesFor = call.runner ?? call.producesFor }
        call.runner = nil
        if call.scheduled != nil { call.scheduled = nil }
        guard isIdle else { return }
        call.forget()
        if let before = lastIdle.take(), idleCalls.count < 256 { idleCalls.append(before) }
        lastIdle = call
    }

    func endOfTurn() {
        if let pool {
            makeRoom(forNewcomers: pool.takenSince())
            pool.refill()
        }
        guard sweepSoon else { return }
        sweepSoon = false
        if let call = lastIdle.take() { idleCalls.append(call) }
        for call in idleCalls {
            call.bound = nil
            call.forgetFunction()
        }
        for key in Array(loaded.keys) {
            guard var shared = loaded.removeValue(forKey: key) else { continue }
            if isKnownUniquelyReferenced(&shared) {
                shared.unload(from: runtime, cordons)
            } else {
                loaded[key] = shared
                if shared.leaveInline(runtime) { sweepSoon = true }
            }
        }
        countIsolates()
    }
}

extension HookSource {
    init(_ key: FunctionKey) {
        self.init(name: key.name, main: key.main, modules: key.modules)
        limits = HookLimits(key.limits)
        upstreams = key.upstreams
        stores = key.bindings.stores
        secrets = key.bindings.secrets
        variables = key.bindings.variables
        keys = key.bindings.keys
        lists = key.bindings.lists
        reachesOutside = key.bindings.reachesOutside
        untrusted = key.placement.untrusted
        tenant = key.placement.cordon
        webAssembly = key.placement.webAssembly
        binaries = key.binaries
        isolation = key.isolation == .request ? .request : .worker
        heldBack = key.heldBack
    }
}

extension HookLimits {
    init(_ limits: FunctionLimits) {
        self.init()
        cpuMicroseconds = UInt64(limits.cpu) * 1000
        wallMilliseconds = UInt64(limits.wall)
        memoryBytes = limits.memory
        externalBytes = max(externalBytes, limits.memory / 4)
        subrequests = limits.subrequests
        logBytes = limits.logBytes
        cryptoMilliseconds = UInt64(limits.crypto)
    }
}

/// The functions of one generation and their uses in rules.
struct GenerationHooks {
    private(set) var functions: [SharedFunction] = []
    private(set) var schedules: [ScheduledHook] = []
    /// By rule index: the `run` actions of the rule, told apart by where their arguments begin.
    private var bound: [[(arguments: UInt32, function: Int, hook: BoundHook)]] = []

    init() {}

    /// - Throws: `GenerationError` with file:line:column when a function cannot be loaded.
    init(_ configuration: Configuration, rules: Generation, files: FileBundle, hooks: WorkerHooks) throws {
        hooks.room = hooks.worker.overload.isolateBytes(for: configuration)
        for function in configuration.functions {
            functions.append(try hooks.function(try FunctionKey(function, configuration, files, isPlayed: hooks.worker.stage != nil)))
        }
        schedules = try GenerationHooks.schedules(configuration, functions, hooks)
        bound = Array(repeating: [], count: rules.ruleCount)
        for use in rules.hookUses {
            let shared = functions[use.call.function]
            // What has not been loaded yet, here or in a cordon, the trial of the configuration has looked at.
            if let function = shared.function, function.wasLoaded, let complaint = GenerationHooks.missingHandler(
                use.phase, function, configuration.functions[use.call.function], configuration)
            {
                throw GenerationError(description: complaint)
            }
            let place = "\(configuration.files[Int(use.position.file)]):\(use.position.line)"
            let name = rules.ruleID(use.call.rule)
            let arguments = rules.withBytes(use.call.arguments) { $0.text() }
            let rule = HookRule(
                name: name, file: configuration.files[Int(use.position.file)], line: Int(use.position.line),
                arguments: arguments.isEmpty ? "{}" : arguments)
            let label = RunningLabel(identity: hooks.nextLabel(), function: shared.key.name, rule: name, place: place)
            let hook = BoundHook(
                shared, functionIndex: use.call.function, binding: try shared.bind(rule), label: label, place: place,
                cpu: configuration.functions[use.call.function].limits.cpu)
            bound[Int(use.call.rule)].append((use.call.arguments.start, use.call.function, hook))
        }
    }

    /// Why a function cannot serve a phase it is run in; nil when it can.
    static func missingHandler(
        _ phase: Phase, _ loaded: HookFunction, _ function: Function, _ configuration: Configuration
    ) -> String? {
        guard let names = missingHandlers(phase, loaded) else { return nil }
        return "\(configuration.describe(function.position)): function \"\(function.name)\" is run in the \(phase.name) phase, "
            + "but \(function.module.path) does not export \(names)"
    }

    /// The handlers of which a function needs one to serve a phase, when it has none of them.
    static func missingHandlers(_ phase: Phase, _ loaded: HookFunction) -> String? {
        let wanted: [HookPhase] = phase == .request ? [.request, .fetch, .webSocket] : phase == .response ? [.response] : [.error]
        guard !wanted.contains(where: { loaded.handles($0) }) else { return nil }
        return wanted.map { "\($0.handlerName)" }.joined(separator: " or ")
    }

    func hook(for call: Rules.HookCall) -> BoundHook? {
        let rule = Int(call.rule)
        guard bound.indices.contains(rule) else { return nil }
        // By index: a loop over the list would retain it.
        for index in bound[rule].indices where bound[rule][index].arguments == call.arguments.start && bound[rule][index].function == call.function {
            return bound[rule][index].hook
        }
        return nil
    }
}

extension FunctionKey {
    /// - Parameter isPlayed: in a rehearsal secrets are what the rule file says for tests.
    init(_ function: Function, _ configuration: Configuration, _ files: FileBundle, isPlayed: Bool = false) throws(GenerationError) {
        name = function.name
        main = function.module.path
        limits = function.limits
        placement = FunctionPlacement(function)
        isolation = function.isolation
        heldBack = Compatibility.heldBack(at: function.compat)
        upstreams = function.upstreams.map { configuration.upstreams[$0].name }
        bindings = try FunctionBindings(function, configuration, files, isPlayed: isPlayed)
        modules = [:]
        for path in function.moduleFiles {
            guard let bytes = files.files[path] else { continue }
            if path.hasSuffix(".wasm") {
                binaries[path] = bytes
                continue
            }
            modules[path] = String(decoding: bytes, as: UTF8.self)
        }
    }
}

extension Worker {
    /// The first worker that ever starts makes the snapshot for all, before any module runs here.
    func shareSnapshot() {
        guard !context.bundle.functions.isEmpty, let made = HookSnapshot.made(), made.isNew else { return }
        context.keep(snapshot: made.bytes)
    }
}
