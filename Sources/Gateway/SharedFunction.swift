import HTTP
import Hooks
import Rules
import Telemetry

/// Where a function is to run.
struct FunctionPlacement: Hashable {
    var untrusted: Bool
    var webAssembly: Bool
    var lane: Function.Lane
    /// Functions with the same name here share a cordon.
    var cordon: String

    init(_ function: Function) {
        untrusted = function.untrusted
        webAssembly = function.webAssembly
        lane = function.lane
        // Operator's own functions that moved never share a process with a stranger's.
        let kind = function.untrusted ? "untrusted " : ""
        // Its process has flags and limits that are made for this one function.
        cordon = function.webAssembly ? "webassembly function \(function.name)" : kind + (function.tenant.isEmpty ? "function \(function.name)" : "tenant \(function.tenant)")
    }

    /// From its first call on.
    var startsOutside: Bool { untrusted || webAssembly || lane == .cordon }
}

extension Configuration {
    /// The largest memory of a function with WebAssembly, in bytes; 0: there is none.
    var webAssemblyBytes: Int { functions.map { $0.webAssembly ? $0.limits.memory : 0 }.max() ?? 0 }
}

/// A function of this worker, in an isolate here or in a cordon. Generations whose function did not change share it.
final class SharedFunction {
    let key: FunctionKey
    /// In this process; stays for a while after a move, until its calls are over.
    private(set) var function: HookFunction?
    private(set) var remote: RemoteFunction?
    /// Somebody looked into it (`--inspect`).
    private(set) var inspected: InspectedFunction?
    private var rules: [HookRule] = []
    /// Calls go on here until the cordon has loaded it.
    private var waits = false
    private var slowCalls = 0
    private var slowSince: UInt64 = 0

    /// A turn of this many microseconds delays everybody on the worker.
    static let slowMicroseconds: UInt64 = 10_000
    /// So many of them within so many nanoseconds, and the function moves.
    static let slowLimit = 3, slowWindow: UInt64 = 10_000_000_000

    init(_ key: FunctionKey) { self.key = key }

    var isRemote: Bool { remote != nil }

    /// Whether it may run inside the worker, given those that were moved.
    func belongsInCordon(_ moved: Set<String>) -> Bool {
        switch key.placement.lane {
        case .cordon: true
        case .inline: false
        case .auto: key.placement.startsOutside || moved.contains(key.name)
        }
    }

    func adopt(_ function: HookFunction) { self.function = function }

    /// - Parameter atOnce: not one more call here, also while the cordon is not ready.
    func moveOut(to cordons: WorkerCordons, atOnce: Bool = true) {
        waits = !atOnce
        guard self.remote == nil else { return }
        let remote = cordons.load(HookSource(key), key.placement.cordon)
        for rule in rules { _ = remote.bind(rule) }
        self.remote = remote
    }

    /// The numbers of bindings are the same on both sides: rules are bound in one order.
    func bind(_ rule: HookRule) throws(HookLoadError) -> HookBinding {
        let here = try function?.bind(rule)
        let there = remote?.bind(rule)
        _ = inspected?.remote?.bind(rule)
        rules.append(rule)
        guard let binding = there ?? here else { preconditionFailure("a function that is nowhere") }
        return binding
    }

    func handles(_ phase: HookPhase) -> Bool {
        if let function { return function.handles(phase) }
        return remote?.handles(phase) ?? true
    }

    /// Runs where it belongs by now.
    /// - Parameter local: `function` now or before it moved.
    func start(
        _ call: GatewayHookCall, _ local: HookFunction?, _ binding: HookBinding, _ phase: HookPhase, _ exchange: Exchange, _ hooks: WorkerHooks
    ) -> HookStart {
        if let remote, remote.isLoaded || !waits || function == nil {
            hooks.worker.metrics.add(.cordonCalls)
            remote.owner.start(call, remote, binding, phase, exchange)
            return .pending
        }
        guard let local else { preconditionFailure("a function that is nowhere") }
        return hooks.runtime.start(call, local, binding, phase, exchange)
    }

    /// Lets clients of DevTools in, beside where it runs for everybody else.
    func inspect(_ inspected: InspectedFunction) {
        inspected.open(HookSource(key), rules)
        self.inspected = inspected
    }

    /// A call whose request asks for the inspected isolate; nil: nobody looks, it runs where all do.
    func startInspected(_ call: GatewayHookCall, _ binding: HookBinding, _ phase: HookPhase, _ exchange: Exchange) -> HookStart? {
        guard let inspected, inspected.takesCalls, let remote = inspected.remote else { return nil }
        remote.owner.start(call, remote, binding, phase, exchange)
        return .pending
    }

    /// Notes the cost of a call that ran here; true when it was one too many.
    func isTooSlow(_ microseconds: UInt64, _ now: UInt64) -> Bool {
        guard microseconds >= SharedFunction.slowMicroseconds, remote == nil, key.placement.lane == .auto else { return false }
        if now &- slowSince > SharedFunction.slowWindow {
            slowSince = now
            slowCalls = 0
        }
        slowCalls += 1
        return slowCalls >= SharedFunction.slowLimit
    }

    /// Gives the isolate up after a move. True when calls still hold it.
    func leaveInline(_ runtime: HookRuntime) -> Bool {
        guard let function, let remote else { return false }
        guard remote.isLoaded, function.callsUnderWay == 0 else { return true }
        runtime.unload(function)
        self.function = nil
        return false
    }

    func unload(from runtime: HookRuntime, _ cordons: WorkerCordons) {
        if let function { runtime.unload(function) }
        if let remote { cordons.unload(remote) }
        inspected?.close()
    }
}
