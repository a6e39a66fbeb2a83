/// What a connection still has to send: heads written into slabs and body slices queued as they are.
///
/// Written bytes are copies (heads, chunk sizes, frame headers); appended slices are not.
@safe public struct OutputBuffer: ~Copyable {
    private let pool: SlabPool
    public private(set) var chain = Chain()
    /// The slab that text is written into, and its first free byte.
    private var tail: SlabPointer?
    private var tailEnd = 0
    /// Free bytes behind `tailEnd`; 0 without a tail.
    private var room = 0
    /// The chain's last entry lies in the tail and ends at `tailEnd`: more text only makes it longer.
    private var isOpen = false

    public init(pool: SlabPool) {
        self.pool = pool
        // SAFETY: no slab yet.
        unsafe tail = nil
    }

    deinit {
        // SAFETY: the buffer owns one count on its tail slab.
        unsafe tail?.release()
    }

    public var byteCount: Int { chain.byteCount }
    public var isEmpty: Bool { chain.isEmpty }

    public mutating func append(_ slice: consuming Slice) {
        isOpen = false
        chain.append(slice)
    }

    public mutating func append(contentsOf other: inout Chain) {
        isOpen = false
        chain.append(contentsOf: &other)
    }

    /// Copies bytes in; they are counted by the caller if they are body bytes.
    ///
    /// A head is written in thirty pieces, and nearly all of them land behind the last one.
    public mutating func append(copying bytes: borrowing Span<UInt8>) {
        let length = bytes.count
        guard isOpen, length <= room, let slab = unsafe tail else { return appendPiecewise(bytes) }
        // SAFETY: `length` bytes are free in the slab and readable in the span.
        unsafe bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            unsafe (slab.data + tailEnd).copyMemory(from: base, byteCount: length)
        }
        chain.growLast(by: length)
        tailEnd &+= length
        room &-= length
        pool.copied.head &+= length
    }

    private mutating func appendPiecewise(_ bytes: borrowing Span<UInt8>) {
        var done = 0
        while done < bytes.count {
            let (slab, free) = unsafe writableTail()
            let length = min(free, bytes.count - done)
            // SAFETY: `length` bytes are free in the slab and readable in the span.
            unsafe bytes.withUnsafeBytes { source in
                guard let base = source.baseAddress else { return }
                unsafe (slab.data + tailEnd).copyMemory(from: base + done, byteCount: length)
            }
            unsafe commit(slab, length)
            done += length
        }
        pool.copied.head += bytes.count
    }

    public mutating func append(_ text: StaticString) {
        // SAFETY: a static string's UTF-8 code units live for ever.
        let bytes = unsafe Span(_unsafeStart: text.utf8Start, count: text.utf8CodeUnitCount)
        append(copying: bytes)
    }

    public mutating func append(byte: UInt8) {
        let (slab, _) = unsafe writableTail()
        // SAFETY: the tail has at least one free byte.
        unsafe (slab.data + tailEnd).storeBytes(of: byte, as: UInt8.self)
        unsafe commit(slab, 1)
    }

    /// Writes a non-negative number in decimal digits.
    public mutating func append(decimal number: Int) { append(number: number, radix: 10) }

    /// Writes a non-negative number in lower-case hexadecimal digits.
    public mutating func append(hex number: Int) { append(number: number, radix: 16) }

    private mutating func append(number: Int, radix: Int) {
        precondition(number >= 0)
        var digits: InlineArray<20, UInt8> = .init(repeating: 0)
        var left = number
        var at = 20
        repeat {
            at -= 1
            let digit = UInt8(truncatingIfNeeded: left % radix)
            digits[at] = digit < 10 ? 48 + digit : 87 + digit
            left /= radix
        } while left > 0
        append(copying: digits.span.extracting(at..<20))
    }

    /// Copies `head`, and moves the first `count` bytes of `body` behind it.
    /// - Returns: bytes that are left of the body, and all that is in here now.
    public mutating func append(frame head: borrowing Span<UInt8>, _ count: Int, of body: inout Chain) -> (left: Int, held: Int) {
        append(copying: head)
        isOpen = false
        var more = count
        while more > 0, let slice = body.popFirst(upTo: more) {
            more &-= slice.count
            chain.append(slice)
        }
        return (body.byteCount, chain.byteCount)
    }

    /// Moves the first slice out, for those who only want text packed into slabs.
    public mutating func popFirst() -> Slice? {
        defer { if chain.isEmpty { isOpen = false } }
        return chain.popFirst()
    }

    /// Drops bytes that were sent. When all are, the tail slab is reused or given back.
    public mutating func dropFirst(_ length: Int) {
        chain.dropFirst(length)
        if chain.isEmpty { rewindTail() }
    }

    public mutating func removeAll() {
        chain.removeAll()
        rewindTail()
    }

    /// Gives the unused tail slab back; called when a connection goes idle.
    public mutating func releaseIfEmpty() {
        guard chain.isEmpty, let held = unsafe tail else { return }
        // SAFETY: the buffer's own count ends here.
        unsafe held.release()
        unsafe tail = nil
        tailEnd = 0
        room = 0
        isOpen = false
    }

    private mutating func rewindTail() {
        isOpen = false
        guard let slab = unsafe tail, unsafe slab.pointee.count == 1 else { return }
        tailEnd = 0
        // SAFETY: the buffer owns the only count on its tail slab.
        unsafe slab.pointee.soleFrom = 0
        room = unsafe slab.pointee.capacity
    }

    private mutating func writableTail() -> (SlabPointer, Int) {
        if let slab = unsafe tail {
            if room > 0 { return unsafe (slab, room) }
            // SAFETY: entries keep their own counts on the full slab.
            unsafe slab.release()
        }
        // SAFETY: this buffer owns the fresh slab's first count.
        let fresh = unsafe pool.take(.small)
        unsafe tail = fresh
        tailEnd = 0
        room = unsafe fresh.pointee.capacity
        return unsafe (fresh, room)
    }

    private mutating func commit(_ slab: SlabPointer, _ length: Int) {
        // SAFETY: `length` bytes at tailEnd were just written.
        if unsafe !chain.extendLast(slab: slab, end: tailEnd, by: length) {
            unsafe chain.appendShared(slab: slab, offset: tailEnd, count: length)
        }
        tailEnd += length
        room -= length
        isOpen = true
    }
}
