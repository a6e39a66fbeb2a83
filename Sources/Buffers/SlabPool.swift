/// Bytes that were copied in user space, by the reason for the copy.
///
/// Body bytes on the plain forwarding path never appear here; a test holds `body` at zero.
public struct CopyCounters: Sendable, Equatable {
    /// Head bytes: received heads into their arena, serialised heads into an output slab.
    public var head = 0
    /// Partial messages moved to a larger or fresh slab because they did not fit where they began.
    public var partial = 0
    /// Body bytes copied by the gateway itself (only a buffered or generated body is).
    public var body = 0
    /// Body bytes handed to or taken from hooks.
    public var hook = 0

    public init() {}
}

/// What a pool holds at this moment and held at most.
public struct SlabCounters: Sendable, Equatable {
    /// Slabs handed out and not yet returned.
    public var live = 0
    /// The largest value `live` ever had.
    public var highWater = 0
    /// Bytes of all live slabs.
    public var liveBytes = 0
    /// Slabs that had to be allocated because no free one was kept.
    public var allocated = 0
    /// Free slabs kept for reuse.
    public var free = 0

    public init() {}
}

/// The two sizes of slab. One TLS record or one HTTP/2 frame fits in a small one; bulk reads use
/// large ones, because 64 KiB reads cost a third less CPU per body byte than 16 KiB reads.
public enum SlabSize: Int, Sendable {
    case small = 16384
    case large = 65536
}

/// Owns the memory that network bytes are read into and heads are written into.
///
/// One pool belongs to one worker thread. Slabs go back to the pool when the last `Slice` of them
/// ends; the pool keeps a bounded number of free ones and returns the rest to the system.
@safe public final class SlabPool {
    let state: UnsafeMutablePointer<PoolState>
    /// Bytes that one exchange may hold for a slow peer, on each side of it: fewer when memory becomes short.
    public var heldAtMost = Int.max

    /// - Parameter keptBytes: how many bytes of free slabs are kept for reuse.
    public init(keptBytes: Int = 8 * 1024 * 1024) {
        // SAFETY: freed in deinit, or by the last slab if slabs outlive the pool object.
        unsafe state = .allocate(capacity: 1)
        unsafe state.initialize(to: PoolState(keptBytes: keptBytes))
    }

    deinit {
        // SAFETY: `close` frees the state only when no slab refers to it any more.
        unsafe PoolState.close(state)
    }

    public var slabs: SlabCounters {
        // SAFETY: the state lives as long as the pool.
        unsafe state.pointee.counters
    }

    /// Copy counters of everything that uses this pool.
    public var copied: CopyCounters {
        // SAFETY: the state lives as long as the pool.
        get { unsafe state.pointee.copied }
        set { unsafe state.pointee.copied = newValue }
    }

    /// Gives all kept free slabs back to the system.
    public func releaseFree() {
        // SAFETY: the state lives as long as the pool.
        unsafe state.pointee.releaseFree()
    }

    func take(_ size: SlabSize) -> SlabPointer {
        // SAFETY: the state lives as long as the pool, and `take` links the slab to it.
        unsafe PoolState.take(state, size)
    }
}

/// A slab's header; its bytes follow at `SlabHeader.dataOffset`.
@unsafe struct SlabHeader {
    static let dataOffset = 64
    var pool: UnsafeMutablePointer<PoolState>
    /// How many slices and buffers refer to this slab. Plain integer: one thread owns the pool.
    var count: Int
    var capacity: Int
    var nextFree: SlabPointer?
    var size: SlabSize
    /// Bytes before this offset may be in two hands; each of those behind it is in one at most (Loans.swift).
    var soleFrom: Int32 = 0
    /// Ranges lent and not given back, all to `borrower`.
    var loans: Int32 = 0
    var borrower: UnsafeRawPointer?
}

typealias SlabPointer = UnsafeMutablePointer<SlabHeader>

extension UnsafeMutablePointer where Pointee == SlabHeader {
    // SAFETY: a slab is one allocation of dataOffset + capacity bytes.
    @inline(__always)
    var data: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(self) + SlabHeader.dataOffset }

    @inline(__always)
    func retain() { unsafe pointee.count &+= 1 }

    @inline(__always)
    func release() {
        unsafe pointee.count &-= 1
        if unsafe pointee.count == 0 { unsafe PoolState.give(back: self) }
    }
}

@unsafe struct PoolState {
    var counters = SlabCounters()
    var copied = CopyCounters()
    let keptBytes: Int
    private var freeBytes = 0
    private var freeSmall: SlabPointer?
    private var freeLarge: SlabPointer?
    private var closed = false

    // SAFETY: stores a number; the type is unsafe for its pointers.
    init(keptBytes: Int) { unsafe self.keptBytes = keptBytes }

    static func take(_ state: UnsafeMutablePointer<PoolState>, _ size: SlabSize) -> SlabPointer {
        let slab: SlabPointer
        // SAFETY: free-list entries are initialised headers that nothing else refers to.
        if let kept = unsafe state.pointee.popFree(size) {
            unsafe slab = kept
        } else {
            unsafe slab = allocate(state, size)
            unsafe state.pointee.counters.allocated += 1
        }
        unsafe slab.pointee.count = 1
        unsafe slab.pointee.soleFrom = 0
        unsafe state.pointee.counters.live += 1
        unsafe state.pointee.counters.liveBytes += size.rawValue
        if unsafe state.pointee.counters.live > state.pointee.counters.highWater {
            unsafe state.pointee.counters.highWater = state.pointee.counters.live
        }
        return unsafe slab
    }

    private static func allocate(_ state: UnsafeMutablePointer<PoolState>, _ size: SlabSize) -> SlabPointer {
        // SAFETY: freshly allocated memory is bound and initialised before it is used.
        let raw = unsafe UnsafeMutableRawPointer.allocate(
            byteCount: SlabHeader.dataOffset + size.rawValue, alignment: 64)
        let slab = unsafe raw.bindMemory(to: SlabHeader.self, capacity: 1)
        unsafe slab.initialize(
            to: SlabHeader(pool: state, count: 1, capacity: size.rawValue, nextFree: nil, size: size))
        return unsafe slab
    }

    static func give(back slab: SlabPointer) {
        // SAFETY: the count just became zero, so this is the only reference to the slab.
        let state = unsafe slab.pointee.pool
        unsafe state.pointee.counters.live -= 1
        unsafe state.pointee.counters.liveBytes -= slab.pointee.capacity
        if unsafe state.pointee.closed || state.pointee.freeBytes + slab.pointee.capacity > state.pointee.keptBytes {
            unsafe free(slab)
            if unsafe state.pointee.closed && state.pointee.counters.live == 0 { unsafe destroy(state) }
        } else {
            unsafe state.pointee.pushFree(slab)
        }
    }

    static func close(_ state: UnsafeMutablePointer<PoolState>) {
        // SAFETY: called once by the pool's deinit; live slabs keep the state until they end.
        unsafe state.pointee.releaseFree()
        unsafe state.pointee.closed = true
        if unsafe state.pointee.counters.live == 0 { unsafe destroy(state) }
    }

    private static func destroy(_ state: UnsafeMutablePointer<PoolState>) {
        // SAFETY: no slab and no pool object refers to the state any more.
        unsafe state.deinitialize(count: 1)
        unsafe state.deallocate()
    }

    private static func free(_ slab: SlabPointer) {
        // SAFETY: unreferenced, and allocated by `allocate` above.
        unsafe slab.deinitialize(count: 1)
        unsafe UnsafeMutableRawPointer(slab).deallocate()
    }

    private mutating func popFree(_ size: SlabSize) -> SlabPointer? {
        // SAFETY: list heads are valid headers or nil.
        guard let slab = unsafe size == .small ? freeSmall : freeLarge else { return nil }
        if size == .small { unsafe freeSmall = slab.pointee.nextFree } else { unsafe freeLarge = slab.pointee.nextFree }
        unsafe freeBytes -= slab.pointee.capacity
        unsafe counters.free -= 1
        return unsafe slab
    }

    private mutating func pushFree(_ slab: SlabPointer) {
        // SAFETY: the slab is unreferenced; it joins exactly one list.
        unsafe slab.pointee.nextFree = slab.pointee.size == .small ? freeSmall : freeLarge
        if unsafe slab.pointee.size == .small { unsafe freeSmall = slab } else { unsafe freeLarge = slab }
        unsafe freeBytes += slab.pointee.capacity
        unsafe counters.free += 1
    }

    mutating func releaseFree() {
        for size in [SlabSize.small, .large] {
            while let slab = unsafe popFree(size) { unsafe PoolState.free(slab) }
        }
    }
}
