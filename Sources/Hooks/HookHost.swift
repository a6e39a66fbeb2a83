public import Buffers
public import Isolates

/// What the worker gives to its hooks: a clock, a place for log lines, and the "who is running" slot.
/// Subclass it; every method is called on the worker's thread.
open class HookHost {
    /// Where the bodies that hooks make are stored.
    public final let pool: SlabPool

    public init(pool: SlabPool = SlabPool()) { self.pool = pool }

    /// Monotonic time in nanoseconds. Timers and wall limits follow it; the reactor's cached clock is good enough.
    open var now: UInt64 { 0 }

    /// Around every entry into JavaScript, so that a supervisor knows which hook a worker died in.
    /// `call` is nil while a function loads. The result is the time on the monotonic clock in nanoseconds if it was asked
    /// for, else 0: asking twice per call is 3 % of what a call costs.
    @discardableResult
    open func willRun(_ function: HookFunction, _ call: HookCall?) -> UInt64 { 0 }
    open func didRun(_ function: HookFunction, _ call: HookCall?) {}

    /// Around all that makes a function ready to be called: its isolate, its module, the arguments of its rules.
    open func willLoad(_ function: HookFunction) {}
    open func didLoad(_ function: HookFunction) {}

    /// One console line, safe to print: control characters are escaped. `level`: 0 debug, 1 info, 2 warn, 3 error.
    open func log(_ level: Int, function: HookFunction, call: HookCall?, text: String) {}

    /// An isolate that was made ahead, for a function that needs one now; nil when there is none.
    open func takeSpare(_ kind: SpareKind) -> HookSpare? { nil }

    /// Who carries messages of DevTools for a function whose isolate is being made, and the folder of its files; nil: nobody may look.
    open func inspector(of function: HookFunction) -> (inspector: IsolateInspector, folder: String)? { nil }

    /// `HookRuntime.tidy` has something to do, soon and beside the requests. A host that never calls it has calls of functions
    /// with `isolation: request` wait for their worlds.
    open func wantsTidying() {}

    /// Long work of a call, to be run beside the requests: answer with `work.finished` or `work.refused`. Here it is run at once, for
    /// hosts that serve nobody else; what asks for more from inside an answer waits until that is over.
    open func perform(_ work: HookWork) {
        waiting.append(work)
        guard waiting.count == 1 else { return }
        while let next = waiting.first {
            next.finished(next.task.run(cpuNanoseconds: next.allowance))
            waiting.removeFirst()
        }
    }
    private final var waiting: [HookWork] = []

    /// Nobody waits for it any more: its call is over.
    open func drop(_ work: HookWork) { work.task.stop() }

    /// The runtime's `nextDeadline` became earlier: make sure that `fireTimers` runs then.
    open func deadlineMoved(to nanoseconds: UInt64) {}
}
