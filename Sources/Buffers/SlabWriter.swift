/// Fills slabs with bytes that somebody makes (an encoder, a rule) and hands them to chains as slices.
@safe public struct SlabWriter: ~Copyable {
    private let pool: SlabPool
    private var tail: SlabPointer?
    private var end = 0

    public init(pool: SlabPool) {
        self.pool = pool
        // SAFETY: no slab yet.
        unsafe tail = nil
    }

    deinit {
        // SAFETY: the writer owns one count on its tail slab.
        unsafe tail?.release()
    }

    /// Lends free room (at least one byte); what `body` says it wrote is appended to `chain`.
    @unsafe
    public mutating func write<R>(
        to chain: inout Chain, _ body: (UnsafeMutableBufferPointer<UInt8>) -> (written: Int, result: R)
    ) -> R {
        let slab = unsafe writable()
        let free = unsafe slab.pointee.capacity - end
        let start = unsafe (slab.data + end).assumingMemoryBound(to: UInt8.self)
        // SAFETY: `free` bytes behind `end` belong to nobody else.
        let (written, result) = unsafe body(UnsafeMutableBufferPointer(start: start, count: free))
        precondition(written >= 0 && written <= free)
        unsafe commit(slab, written, to: &chain)
        return result
    }

    /// Appends a copy of `bytes`. The caller counts it by its reason.
    public mutating func append(copying bytes: borrowing Span<UInt8>, to chain: inout Chain) {
        var done = 0
        while done < bytes.count {
            let slab = unsafe writable()
            let length = unsafe min(slab.pointee.capacity - end, bytes.count - done)
            unsafe bytes.withUnsafeBytes { source in
                guard let base = source.baseAddress else { return }
                // SAFETY: `length` bytes are free in the slab and readable in the span.
                unsafe (slab.data + end).copyMemory(from: base + done, byteCount: length)
            }
            unsafe commit(slab, length, to: &chain)
            done += length
        }
    }

    /// Gives the tail slab back; slices of it keep it alive.
    public mutating func release() {
        // SAFETY: the writer's own count ends here.
        unsafe tail?.release()
        unsafe tail = nil
        end = 0
    }

    private mutating func commit(_ slab: SlabPointer, _ length: Int, to chain: inout Chain) {
        guard length > 0 else { return }
        // SAFETY: the range was just written and lies inside the slab, which the writer holds.
        if unsafe !chain.extendLast(slab: slab, end: end, by: length) {
            unsafe chain.appendShared(slab: slab, offset: end, count: length)
        }
        end += length
    }

    private mutating func writable() -> SlabPointer {
        // SAFETY: the tail is a live slab that the writer holds one count of.
        if let slab = unsafe tail, unsafe end < slab.pointee.capacity { return unsafe slab }
        unsafe tail?.release()
        let slab = unsafe pool.take(.large)
        unsafe tail = slab
        end = 0
        return unsafe slab
    }
}
