public import HTTP

/// What `HookRuntime.start` gives back.
public enum HookStart {
    /// The hook is done; `HookCall.finished` is not called. `waitUntil` work may still run (`HookCall.isIdle`).
    case finished(HookOutcome)
    /// `HookCall.finished` will follow.
    case pending
}

/// The hooks of one worker thread: functions, each with its isolate, and the clock they wait on.
public final class HookRuntime {
    public let host: HookHost
    public private(set) var functions: [HookFunction] = []
    var deadlines = Deadlines()
    /// Functions whose calls left worlds behind.
    var untidied: [HookFunction] = []
    let started: UInt64
    /// Index of the function that was looked at last.
    var nextLook = -1

    public init(host: HookHost) {
        self.host = host
        started = host.now
    }

    deinit {
        for function in functions { function.drop() }
    }

    /// Loads a function that touches what V8 sets up on first use, and forgets it: for a process that is about to give
    /// up its right to open files.
    public static func warmUp() {
        let runtime = HookRuntime(host: HookHost())
        let text = """
            new Intl.NumberFormat("en").format(1.5); new Date(0).toLocaleString(); "A".normalize().localeCompare("b"); /\\p{L}/u.test("a");
            export default { onRequest() {} };
            """
        if let function = try? runtime.load(HookSource(name: "(warm-up)", main: "warm-up.js", modules: ["warm-up.js": text])) {
            runtime.unload(function)
        }
    }

    /// Compiles and evaluates a function. Nothing of it runs for a request before `start`.
    public func load(_ source: HookSource) throws(HookLoadError) -> HookFunction {
        let function = HookFunction(source, self)
        try function.load()
        functions.append(function)
        return function
    }

    /// A function that is loaded when it is first asked for: for sources that were loaded elsewhere before.
    public func register(_ source: HookSource) -> HookFunction {
        let function = HookFunction(source, self)
        functions.append(function)
        return function
    }

    /// Cancels the function's calls and lets go of its isolate. Not to be called while its JavaScript runs.
    public func unload(_ function: HookFunction) {
        function.close()
        functions.removeAll { $0 === function }
    }

    /// Runs the handler of `phase`. `call` must be idle, and the function must handle the phase.
    public func start(
        _ call: HookCall, _ function: HookFunction, _ binding: HookBinding, _ phase: HookPhase, _ exchange: Exchange
    ) -> HookStart {
        function.start(call, binding, phase, exchange)
    }

    /// When `fireTimers` must run next, in nanoseconds on the host's clock; nil when nothing waits.
    public var nextDeadline: UInt64? {
        deadlines.dropStale()
        return deadlines.earliest
    }

    /// Runs what is due: timers of hooks, wall limits, limits of `waitUntil` work.
    public func fireTimers(_ now: UInt64) {
        for entry in deadlines.takeDue(now) where entry.function.isWaiting(for: entry) { entry.function.fire(entry) }
    }

    func wait(_ entry: Deadlines.Entry) {
        let before = deadlines.earliest
        deadlines.add(entry)
        if before.map({ entry.time < $0 }) ?? true { host.deadlineMoved(to: entry.time) }
    }
}
