import CV8

public struct IsolateLimits: Sendable {
    /// V8's old generation. Reaching it stops the script and dooms the isolate.
    public var heapBytes = 64 << 20
    /// Room above `heapBytes` for the allocation under way until the script stops. Without it V8 ends the process.
    public var heapHeadroomBytes = 256 << 20
    /// 1 MiB semi-spaces: shorter pauses than bigger ones, measured.
    public var youngGenerationBytes = 3 << 20
    /// All ArrayBuffers together. Beyond it, making one is a RangeError.
    public var externalBytes = 16 << 20
    /// Stack for JavaScript below the frame that made the isolate. Beyond it, calls are a RangeError.
    public var stackBytes = 512 << 10
    /// All WebAssembly memories together, looked at when a turn ends; beyond it the isolate is doomed. 0: no `WebAssembly`, which
    /// is all that a process without `V8Engine.Options.webAssemblyBytes` has.
    public var webAssemblyBytes = 0
    public init() {}
}

public struct IsolateStatistics: Sendable {
    /// Bytes.
    public var usedHeap, totalHeap, physicalHeap, heapLimit, malloced: UInt64
    /// Bytes of ArrayBuffers now and at most so far.
    public var externalBytes, externalPeak: UInt64
    public var calls, operations, terminations: UInt64
    /// Values kept by `JSValue`, without the entries.
    public var liveValues: UInt64
    /// Bytes copied into new Uint8Arrays, and out of JavaScript strings.
    public var bytesCopiedIn, bytesCopiedOut: UInt64
    /// Contexts that V8 knows of, and those among them that nobody refers to and that are not collected yet.
    public var contexts, detachedContexts: UInt64
    /// Bytes of V8's global handles: what is kept from outside its heap.
    public var handleBytes: UInt64
    /// Bytes of V8's caches that were empty when the isolate was made and take no memory until they are used.
    public var givenBackBytes: UInt64
}

/// One JavaScript world with one owner, used by one thread. It is disposed when its owner lets go of it.
///
/// Everything that runs hook code needs an open turn: `beginTurn`, calls and microtasks, `endTurn`.
// SAFETY: `raw` is freed in deinit and nowhere else.
@safe public struct Isolate: ~Copyable {
    let core: IsolateCore
    let raw: OpaquePointer

    /// Makes an isolate from the prelude. `name` appears in the line written when V8 ends the process.
    public init(
        name: String, prelude: Prelude, limits: IsolateLimits = IsolateLimits(), operations: NativeOperations
    ) throws(JSError) {
        core = try IsolateCore(name: name, prelude: prelude, limits: limits, operations: operations)
        unsafe raw = core.raw
    }

    deinit { core.dispose() }

    /// True after the heap limit was reached: end the isolate and make another.
    public var mustBeDiscarded: Bool { unsafe cv8_isolate_must_be_discarded(raw) }

    public var prelude: Prelude { core.prelude }

    public var statistics: IsolateStatistics {
        var numbers = cv8_isolate_stats()
        // SAFETY: fills the structure it is given.
        unsafe cv8_isolate_stats_read(raw, &numbers)
        return IsolateStatistics(
            usedHeap: numbers.used_heap, totalHeap: numbers.total_heap, physicalHeap: numbers.physical_heap,
            heapLimit: numbers.heap_limit, malloced: numbers.malloced, externalBytes: numbers.external_bytes,
            externalPeak: numbers.external_peak, calls: numbers.calls, operations: numbers.operations,
            terminations: numbers.terminations, liveValues: numbers.handles, bytesCopiedIn: numbers.bytes_copied_in,
            bytesCopiedOut: numbers.bytes_copied_out, contexts: numbers.contexts, detachedContexts: numbers.detached_contexts,
            handleBytes: numbers.handle_bytes, givenBackBytes: numbers.given_back)
    }

    /// Collects all garbage now. Milliseconds: for idle isolates and memory pressure only.
    public func lowMemory() { unsafe cv8_isolate_low_memory(raw) }

    /// Lets V8 collect for up to `milliseconds`; true when it has nothing more to do. Finalizers of hook code may run,
    /// so this is a turn of its own with that much CPU time.
    @discardableResult
    public func idle(milliseconds: UInt32) -> Bool {
        beginTurn(cpuMicroseconds: UInt64(milliseconds) * 1000, wallMilliseconds: UInt64(milliseconds) * 10)
        defer { endTurn() }
        return unsafe cv8_isolate_idle(raw, milliseconds)
    }

    /// Modules whose bytecode V8 took from `ModuleSources.caches`, and those where it compiled the text all the same.
    public var cacheCounts: (used: Int, refused: Int) { (core.cachesUsed, core.cachesRefused) }

    /// To be called on a dedicated thread before the isolate is handed to another one.
    public func leaveThread() { unsafe cv8_isolate_leave_thread(raw) }
}

/// What `Isolate` and the values kept in it share. Values may outlive the isolate; they are dead then.
// SAFETY: the pointer leaves this class only inside this room, and is nil once the isolate is freed.
@safe final class IsolateCore {
    let prelude: Prelude
    // SAFETY: the isolate holds the operations until it is freed, and dispose is the last to use them. A strong
    // reference here would be a cycle as soon as the operations keep a JSValue.
    private(set) unowned(unsafe) var operations: NativeOperations
    private(set) var pointer: OpaquePointer?
    private(set) var cachesUsed = 0, cachesRefused = 0

    func noteCache(used: Bool) { if used { cachesUsed += 1 } else { cachesRefused += 1 } }

    /// Only `Isolate` and live values use it, and `dispose` runs when the `Isolate` is gone.
    var raw: OpaquePointer {
        guard let pointer = unsafe pointer else { preconditionFailure("the isolate was disposed") }
        return unsafe pointer
    }

    init(name: String, prelude: Prelude, limits: IsolateLimits, operations: NativeOperations) throws(JSError) {
        unsafe precondition(operations.core == nil, "these operations serve another isolate already")
        self.prelude = prelude
        unsafe self.operations = operations
        operations.prelude = prelude
        var error: UnsafeMutablePointer<cv8_error>?
        var raw = cv8_limits(
            heap_bytes: limits.heapBytes, heap_headroom_bytes: limits.heapHeadroomBytes,
            young_bytes: limits.youngGenerationBytes, external_bytes: limits.externalBytes,
            stack_bytes: limits.stackBytes, wasm_bytes: limits.webAssemblyBytes)
        // SAFETY: the shim gives this reference back by releaseOperations, exactly once, whatever happens.
        let context = unsafe Unmanaged.passRetained(operations).toOpaque()
        let made: OpaquePointer? = unsafe withTexts([name]) { texts in
            unsafe cv8_isolate_make(prelude.image, texts[0], &raw, performOperation, releaseOperations, context, &error)
        }
        guard let made = unsafe made else { throw unsafe JSError(taking: error) }
        unsafe pointer = made
        unsafe operations.core = self
    }

    /// Other operations from here on, before anything called the first ones.
    func assign(_ name: String, externalBytes: Int, _ next: NativeOperations) {
        unsafe precondition(next.core == nil, "these operations serve another isolate already")
        unsafe operations.core = nil
        next.prelude = prelude
        // SAFETY: as in `init`; the shim releases the reference to the first operations.
        let context = unsafe Unmanaged.passRetained(next).toOpaque()
        unsafe operations = next
        unsafe withTexts([name]) { unsafe cv8_isolate_assign(raw, $0[0], externalBytes, context) }
        unsafe next.core = self
    }

    func dispose() {
        guard let doomed = unsafe pointer else { return }
        unsafe pointer = nil
        unsafe operations.core = nil
        // SAFETY: the pointer is forgotten above, so it is freed once and not used again.
        unsafe cv8_isolate_free(doomed)
    }
}
