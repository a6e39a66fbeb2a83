/// Where a connection's bytes arrive: the slab being filled, and the unread range in it.
///
/// Bytes are parsed in place (`bytes`), dropped (`consume`) or handed on without a copy (`takeSlice`).
/// An idle buffer holds no slab. After a read that filled its slab the next slab is a large one.
@safe public struct ReadBuffer: ~Copyable {
    private let pool: SlabPool
    private var slab: SlabPointer?
    private var start = 0
    private var end = 0
    private var preferLarge = false

    public init(pool: SlabPool) {
        self.pool = pool
        // SAFETY: no slab yet.
        unsafe slab = nil
    }

    deinit {
        // SAFETY: the buffer owns one count on its slab.
        unsafe slab?.release()
    }

    /// Unread bytes.
    public var count: Int { end - start }
    public var isEmpty: Bool { end == start }

    public var bytes: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            guard let slab = unsafe slab else { return Span() }
            // SAFETY: start..<end lies inside the slab, which this buffer keeps alive.
            let base = unsafe UnsafeRawPointer(slab.data + start).assumingMemoryBound(to: UInt8.self)
            let span = unsafe Span(_unsafeStart: base, count: end - start)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// - Precondition: at most `count`.
    public mutating func consume(_ length: Int) {
        precondition(length >= 0 && length <= count)
        start += length
        if start == end { rewind() }
    }

    /// Hands the first `length` unread bytes on as a slice of the slab they were read into.
    /// - Precondition: at most `count`.
    public mutating func takeSlice(_ length: Int) -> Slice {
        precondition(length >= 0 && length <= count)
        guard let slab = unsafe slab else { preconditionFailure("a slice of an empty buffer") }
        // SAFETY: the slice owns the count taken here.
        unsafe slab.retain()
        let slice = unsafe Slice(adopting: slab, offset: start, count: length)
        start += length
        if start == end { rewind() }
        return slice
    }

    /// Gives an unused slab back; called when a connection goes idle.
    public mutating func releaseIfEmpty() {
        guard start == end, let held = unsafe slab else { return }
        // SAFETY: the buffer's own count ends here.
        unsafe held.release()
        unsafe slab = nil
        start = 0
        end = 0
        preferLarge = false
    }

    /// With nothing unread and no slice of the slab alive, its whole room can be used again.
    private mutating func rewind() {
        guard let slab = unsafe slab, unsafe slab.pointee.count == 1 else { return }
        // SAFETY: nobody else holds any of it.
        unsafe slab.pointee.soleFrom = 0
        start = 0
        end = 0
    }

    /// Lets `body` write into free room of at least `minimum` bytes and say how many it wrote.
    ///
    /// For rooms that read from the system. Unread bytes stay contiguous: when the room behind them
    /// is too small they are moved to a fresh slab (counted as `partial` copies).
    /// - Parameter minimum: at most 16 KiB.
    /// - Precondition: `count + minimum` is at most 64 KiB + 16 KiB of one message being assembled.
    public mutating func withFreeSpace<E: Error>(
        minimum: Int = 2048, _ body: (UnsafeMutableRawBufferPointer) throws(E) -> Int
    ) throws(E) {
        let slab = unsafe room(for: minimum)
        // SAFETY: end..<capacity is free: no slice reaches past `end`, since slices cover bytes read before.
        let free = unsafe UnsafeMutableRawBufferPointer(start: slab.data + end, count: slab.pointee.capacity - end)
        let written = unsafe try body(free)
        precondition(written >= 0 && written <= free.count)
        preferLarge = written == free.count && written >= 4096
        end += written
    }

    /// Takes bytes in as if they had been read, as many as have room. For origins that are played in memory.
    /// - Returns: how many were taken.
    public mutating func append(copying bytes: borrowing Span<UInt8>) -> Int {
        var taken = 0
        // SAFETY: writes as many bytes as both the room and the span have.
        unsafe withFreeSpace { free in
            taken = min(free.count, bytes.count)
            for index in 0..<taken { unsafe free[index] = bytes[index] }
            return taken
        }
        return taken
    }

    /// The most bytes that may be unread at once; a message part that needs more is refused by its codec.
    public static let largestUnread = SlabSize.large.rawValue

    /// True when no more can be read without consuming first.
    public var isFull: Bool {
        // SAFETY: the buffer holds a count on its slab.
        guard let slab = unsafe slab else { return false }
        return unsafe start == 0 && end == slab.pointee.capacity && slab.pointee.size == .large
    }

    private mutating func room(for minimum: Int) -> SlabPointer {
        if let slab = unsafe slab {
            if start == end { rewind() }
            let wantsLarger = unsafe preferLarge && start == end && slab.pointee.size == .small
            if unsafe slab.pointee.capacity - end >= minimum, !wantsLarger { return unsafe slab }
            // A large slab that is unread from its first byte on has no better successor.
            // SAFETY: the buffer holds a count on the slab.
            if unsafe start == 0 && slab.pointee.size == .large && end < slab.pointee.capacity { return unsafe slab }
        }
        return unsafe replaceSlab(minimum)
    }

    private mutating func replaceSlab(_ minimum: Int) -> SlabPointer {
        let unread = end - start
        let large = preferLarge || unread + minimum > SlabSize.small.rawValue
        // SAFETY: unread bytes fit: the new slab is large enough or the caller's precondition failed.
        let fresh = unsafe pool.take(large ? .large : .small)
        precondition(unsafe unread < fresh.pointee.capacity, "a full buffer must be consumed before reading on")
        if let old = unsafe slab {
            if unread > 0 {
                unsafe fresh.data.copyMemory(from: old.data + start, byteCount: unread)
                pool.copied.partial += unread
            }
            unsafe old.release()
        }
        unsafe slab = fresh
        start = 0
        end = unread
        return unsafe fresh
    }
}
