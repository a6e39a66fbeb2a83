public import Buffers
import CV8

/// How one turn went.
public struct TurnReport: Sendable {
    /// Nanoseconds between beginTurn and endTurn, without turns of other isolates nested in it.
    public var elapsedNanoseconds: UInt64
    /// CPU time of this thread. Exact for turns the watchdog has seen running (over 1 ms); for shorter ones elapsed time.
    public var cpuNanoseconds: UInt64
    /// Set when a script of this turn was stopped, also when a call looked successful.
    public var termination: Termination?
}

public enum PromiseState: Sendable { case pending, fulfilled, rejected }

public enum CallResult {
    case undefined, null
    case bool(Bool)
    case int(Int32)
    case double(Double)
    case string, object, function, bytes, other
    case promise(PromiseState)
    case threw(JSError)
    case terminated(Termination)
}

/// An argument for a call from Swift. For calls off the hot path; those pass integers.
public enum JSArgument {
    case undefined, null
    case bool(Bool)
    case int(Int32)
    case double(Double)
    case string(String)
    /// One character for each byte.
    case latin1([UInt8])
    /// Parsed natively into a value.
    case json(String)
    /// A new Uint8Array.
    case bytes([UInt8])
    case value(JSValue)
}

/// A JavaScript value kept alive by Swift. It may outlive its isolate and means nothing then.
public final class JSValue {
    let core: IsolateCore
    let handle: Int32

    init(core: IsolateCore, handle: Int32) {
        self.core = core
        self.handle = handle
    }

    deinit {
        // SAFETY: the handle belongs to this object alone; a disposed isolate has released it already.
        if let raw = unsafe core.pointer { unsafe cv8_handle_release(raw, handle) }
    }

    public var result: CallResult {
        guard let raw = unsafe core.pointer else { return .undefined }
        return unsafe CallResult(kind: cv8_handle_kind(raw, handle))
    }

    /// The text of a string; nil for anything else.
    public var string: String? {
        guard let raw = unsafe core.pointer else { return nil }
        var count = 0
        // SAFETY: the text is malloc'ed for us, `count` long, and freed here.
        guard let text = unsafe cv8_handle_text(raw, handle, &count) else { return nil }
        defer { unsafe cv8_text_free(text) }
        return unsafe String(
            decoding: UnsafeRawBufferPointer(start: text, count: count), as: UTF8.self)
    }
}

// SAFETY: `raw` lives as long as this Isolate, which is one thread's; the shim keeps no pointer it is given.
extension Isolate {
    /// Opens a turn: from here on the watchdog stops what runs in this isolate when this thread has used
    /// `cpuMicroseconds` or `wallMilliseconds` have passed. Turns of different isolates may nest; the outer clock
    /// stands still meanwhile.
    /// - Parameter now: CLOCK_MONOTONIC in nanoseconds if the caller just asked for it, else 0.
    public func beginTurn(cpuMicroseconds: UInt64, wallMilliseconds: UInt64, now: UInt64 = 0) {
        unsafe precondition(!cv8_turn_is_open(raw), "a turn of this isolate is open already")
        unsafe cv8_turn_begin(raw, cpuMicroseconds &* 1_000, wallMilliseconds &* 1_000_000, now)
    }

    /// Closes the turn and makes the isolate usable again if a script was stopped.
    @discardableResult
    public func endTurn() -> TurnReport {
        unsafe precondition(cv8_turn_is_open(raw), "no turn of this isolate is open")
        var turn = cv8_turn()
        // SAFETY: fills the structure it is given.
        unsafe cv8_turn_end(raw, &turn)
        return TurnReport(
            elapsedNanoseconds: turn.elapsed_ns, cpuNanoseconds: turn.cpu_ns, termination: Termination(rawValue: turn.stop))
    }

    /// Why scripts of the current (or last) turn were stopped; nil when they were not.
    public var termination: Termination? { unsafe Termination(rawValue: cv8_turn_stop(raw)) }

    /// Stops the script that called the running native operation, as soon as the operation returns.
    public func terminate() { unsafe cv8_isolate_terminate(raw) }

    /// Calls an entry of the prelude with small integers. The hot path: nothing is allocated.
    public func call(_ entry: Int) -> CallResult { callIntegers(entry, [0, 0, 0, 0], 0) }
    public func call(_ entry: Int, _ a: Int32) -> CallResult { callIntegers(entry, [a, 0, 0, 0], 1) }
    public func call(_ entry: Int, _ a: Int32, _ b: Int32) -> CallResult {
        callIntegers(entry, [a, b, 0, 0], 2)
    }
    public func call(_ entry: Int, _ a: Int32, _ b: Int32, _ c: Int32) -> CallResult {
        callIntegers(entry, [a, b, c, 0], 3)
    }
    public func call(_ entry: Int, _ a: Int32, _ b: Int32, _ c: Int32, _ d: Int32) -> CallResult {
        callIntegers(entry, [a, b, c, d], 4)
    }

    /// Calls an entry of the prelude with any arguments.
    public func call(_ entry: Int, with arguments: [JSArgument]) -> CallResult {
        core.call(checked(entry), arguments, keep: false).result
    }

    /// Calls an entry with three integers and a new Uint8Array: for chunks of bodies, with one copy.
    public func call(_ entry: Int, _ a: Int32, _ b: Int32, _ c: Int32, bytes: Span<UInt8>) -> CallResult {
        requireTurn()
        var value = unsafe cv8_value()
        var error: UnsafeMutablePointer<cv8_error>?
        let status = unsafe bytes.withUnsafeBufferPointer { buffer in
            let chunk = unsafe cv8_bytes(bytes: buffer.baseAddress, count: buffer.count)
            let records: InlineArray<4, cv8_value> = unsafe [
                cv8_value(integer: a), cv8_value(integer: b), cv8_value(integer: c), cv8_value(chunk: chunk),
            ]
            return unsafe records.span.withUnsafeBufferPointer { list in
                unsafe cv8_call_function(raw, checked(entry), list.baseAddress, list.count, false, &value, &error)
            }
        }
        return unsafe RawResult(core: core, status: status, value: value, error: error).result
    }

    /// The same without a copy: the script gets the bytes of the slice where they lie, and may write to them. Nil: they cannot be
    /// lent (`Slice.lend`, or the isolate's buffers are full), and nothing was called.
    public func call(_ entry: Int, _ a: Int32, _ b: Int32, _ c: Int32, lending slice: borrowing Slice) -> CallResult? {
        requireTurn()
        guard let loan = unsafe slice.lend(to: UnsafeRawPointer(raw)) else { return nil }
        let terms = unsafe cv8_loan(
            bytes: loan.bytes.assumingMemoryBound(to: UInt8.self), count: loan.count, charge: loan.charge, number: -1, token: loan.token,
            end: endLoan)
        return unsafe call(entry, [a, b, c], terms)
    }

    /// The same with a chunk that another process shares.
    public func call(_ entry: Int, _ a: Int32, _ b: Int32, _ c: Int32, lending chunk: SharedChunk) -> CallResult? {
        requireTurn()
        // SAFETY: the reference taken here ends in `endSharedLoan`.
        let terms = unsafe cv8_loan(
            bytes: chunk.start.assumingMemoryBound(to: UInt8.self), count: chunk.count, charge: chunk.count,
            number: Int32(truncatingIfNeeded: chunk.number), token: Unmanaged.passRetained(chunk).toOpaque(), end: endSharedLoan)
        return unsafe call(entry, [a, b, c], terms)
    }

    private func call(_ entry: Int, _ integers: InlineArray<3, Int32>, _ loan: cv8_loan) -> CallResult? {
        var value = unsafe cv8_value()
        var error: UnsafeMutablePointer<cv8_error>?
        var taken = false
        var terms = unsafe loan
        let status = unsafe integers.span.withUnsafeBufferPointer { list in
            unsafe cv8_call_lending(raw, checked(entry), list.baseAddress, &terms, &taken, &value, &error)
        }
        if !taken { _ = unsafe loan.end(loan.token) }
        guard taken || status != CV8_RETURNED else { return nil }
        return unsafe RawResult(core: core, status: status, value: value, error: error).result
    }

    /// Calls an entry of the prelude and keeps what it returns.
    public func callKeeping(_ entry: Int, with arguments: [JSArgument]) throws(CallFailure) -> JSValue {
        try core.call(checked(entry), arguments, keep: true).kept()
    }

    /// Calls a kept function.
    public func call(function: JSValue, with arguments: [JSArgument]) throws(CallFailure) -> JSValue {
        precondition(function.core === core, "the function belongs to another isolate")
        return try core.call(function.handle, arguments, keep: true).kept()
    }

    /// Reads a property; getters of hook code run. A missing property is undefined.
    public func property(_ name: String, of object: JSValue) throws(CallFailure) -> JSValue {
        precondition(object.core === core, "the object belongs to another isolate")
        return try core.property(name, of: object.handle).kept()
    }

    /// Runs microtasks, and now and then the platform's tasks for this isolate, until there are no more. Nil: all ran.
    public func runMicrotasks() -> Termination? {
        requireTurn()
        guard unsafe cv8_run_microtasks(raw) == CV8_TERMINATED else { return nil }
        return termination ?? .requested
    }

    /// Some promise was rejected without a handler since they were last taken, or got one afterwards.
    public var hasRejections: Bool { unsafe cv8_has_rejections(raw) }

    /// Promises rejected and not handled by anyone so far, oldest first (at most 32 are remembered), and how many
    /// more there were. Getters of hook code may run. `endTurn` forgets those nobody asked for.
    public func takeUnhandledRejections() -> (errors: [JSError], dropped: UInt64) {
        requireTurn()
        guard unsafe cv8_has_rejections(raw) else { return ([], 0) }
        var errors: [JSError] = []
        var dropped: UInt64 = 0
        // SAFETY: each error is handed over to the JSError made from it.
        while let error = unsafe cv8_take_rejection(raw, &dropped) { unsafe errors.append(JSError(taking: error)) }
        return (errors, dropped)
    }

    func checked(_ entry: Int) -> Int32 {
        precondition(core.prelude.entries.indices.contains(entry), "the prelude has no such entry")
        return Int32(truncatingIfNeeded: entry)
    }

    func requireTurn() { unsafe precondition(cv8_turn_is_open(raw), "hook code runs only inside a turn") }

    private func callIntegers(_ entry: Int, _ arguments: InlineArray<4, Int32>, _ count: Int) -> CallResult {
        requireTurn()
        var value = unsafe cv8_value()
        var error: UnsafeMutablePointer<cv8_error>?
        // SAFETY: `count` is at most 4, and the shim reads the arguments before it returns.
        let status = unsafe arguments.span.withUnsafeBufferPointer { buffer in
            unsafe cv8_call_integers(raw, checked(entry), buffer.baseAddress, count, &value, &error)
        }
        if status == CV8_RETURNED, unsafe value.kind == Int32(CV8_INT.rawValue) { return unsafe .int(value.integer) }
        return unsafe RawResult(core: core, status: status, value: value, error: error).result
    }
}

/// What the shim calls when V8 let go of a loan. A plain function, as it comes through C.
nonisolated private func endLoan(_ token: UnsafeMutableRawPointer?) -> Int {
    guard let token = unsafe token else { return 0 }
    // SAFETY: the token of a loan that `call` made, on the isolate's thread, once.
    return unsafe SlabLoan.end(token)
}

nonisolated private func endSharedLoan(_ token: UnsafeMutableRawPointer?) -> Int {
    guard let token = unsafe token else { return 0 }
    // SAFETY: the reference that `call` took, once.
    let chunk = unsafe Unmanaged<SharedChunk>.fromOpaque(token)
    defer { unsafe chunk.release() }
    return unsafe chunk._withUnsafeGuaranteedRef { $0.count }
}
