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
}

/// One JavaScript world with one owner, used by one thread. It is disposed when its owner lets go of it.
///
/// Everything that runs hook code needs an open turn: `beginTurn`, calls and microtasks, `endTurn`.
public struct Isolate: ~Copyable {
    let core: IsolateCore

    /// Makes an isolate from the prelude. `name` appears in the line written when V8 ends the process.
    public init(
        name: String, prelude: Prelude, limits: IsolateLimits = IsolateLimits(), operations: NativeOperations
    ) throws(JSError) {
        core = try IsolateCore(name: name, prelude: prelude, limits: limits, operations: operations)
    }

    deinit { core.dispose() }

    /// True after the heap limit was reached: end the isolate and make another.
    public var mustBeDiscarded: Bool { unsafe cv8_isolate_must_be_discarded(core.raw) }

    public var prelude: Prelude { core.prelude }

    public var statistics: IsolateStatistics {
        var raw = cv8_isolate_stats()
        // SAFETY: fills the structure it is given.
        unsafe cv8_isolate_stats_read(core.raw, &raw)
        return IsolateStatistics(
            usedHeap: raw.used_heap, totalHeap: raw.total_heap, physicalHeap: raw.physical_heap,
            heapLimit: raw.heap_limit, malloced: raw.malloced, externalBytes: raw.external_bytes,
            externalPeak: raw.external_peak, calls: raw.calls, operations: raw.operations,
            terminations: raw.terminations, liveValues: raw.handles, bytesCopiedIn: raw.bytes_copied_in,
            bytesCopiedOut: raw.bytes_copied_out)
    }

    /// Collects all garbage now. Milliseconds: for idle isolates and memory pressure only.
    public func lowMemory() { unsafe cv8_isolate_low_memory(core.raw) }

    /// Lets V8 collect for up to `milliseconds`; true when it has nothing more to do.
    @discardableResult
    public func idle(milliseconds: UInt32) -> Bool { unsafe cv8_isolate_idle(core.raw, milliseconds) }

    /// To be called by the new owner when an isolate was handed to another thread.
    public func adoptThread() { unsafe cv8_isolate_adopt_thread(core.raw) }
}

/// What `Isolate` and the values kept in it share. Values may outlive the isolate; they are dead then.
// SAFETY: the pointer leaves this class only inside this room, and is nil once the isolate is freed.
@safe final class IsolateCore {
    let prelude: Prelude
    let operations: NativeOperations
    private(set) var pointer: OpaquePointer?

    /// Only `Isolate` and live values use it, and `dispose` runs when the `Isolate` is gone.
    var raw: OpaquePointer {
        guard let pointer = unsafe pointer else { preconditionFailure("the isolate was disposed") }
        return unsafe pointer
    }

    init(name: String, prelude: Prelude, limits: IsolateLimits, operations: NativeOperations) throws(JSError) {
        precondition(operations.core == nil, "these operations serve another isolate already")
        self.prelude = prelude
        self.operations = operations
        var error: UnsafeMutablePointer<cv8_error>?
        var raw = cv8_limits(
            heap_bytes: limits.heapBytes, heap_headroom_bytes: limits.heapHeadroomBytes,
            young_bytes: limits.youngGenerationBytes, external_bytes: limits.externalBytes,
            stack_bytes: limits.stackBytes)
        // SAFETY: `operations` is kept by this object, which disposes the isolate before it lets go of them.
        let context = unsafe Unmanaged.passUnretained(operations).toOpaque()
        let made: OpaquePointer? = unsafe withTexts([name]) { texts in
            unsafe cv8_isolate_make(prelude.image, texts[0], &raw, performOperation, context, &error)
        }
        guard let made = unsafe made else { throw unsafe JSError(taking: error) }
        unsafe pointer = made
        operations.core = self
    }

    func dispose() {
        guard let doomed = unsafe pointer else { return }
        unsafe pointer = nil
        // SAFETY: the pointer is forgotten above, so it is freed once and not used again.
        unsafe cv8_isolate_free(doomed)
    }
}
