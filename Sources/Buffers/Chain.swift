public import CLinux

/// A queue of slices: a body on its way. Appending and removing move slices, never bytes.
///
/// The ring that holds the entries grows when needed and is kept, so a warm chain allocates nothing.
@safe public struct Chain: ~Copyable {
    @unsafe struct Entry {
        var slab: SlabPointer
        var offset: Int
        var count: Int
    }

    private var ring: UnsafeMutablePointer<Entry>?
    private var capacity = 0
    private var head = 0
    public private(set) var sliceCount = 0
    /// Bytes in all slices.
    public private(set) var byteCount = 0

    // SAFETY: no ring yet.
    public init() { unsafe ring = nil }

    deinit {
        // SAFETY: every entry owns one count; the ring was allocated by `grow`.
        for index in 0..<sliceCount { unsafe entry(index).slab.release() }
        unsafe ring?.deallocate()
    }

    public var isEmpty: Bool { byteCount == 0 }

    // SAFETY: callers pass index < sliceCount (or == sliceCount right after ensuring room), so the
    // ring exists and the masked position lies inside it.
    @inline(__always)
    private func position(_ index: Int) -> Int { (head &+ index) & (capacity &- 1) }

    @inline(__always)
    func entry(_ index: Int) -> Entry {
        guard let ring = unsafe ring else { preconditionFailure("entry of an empty chain") }
        // SAFETY: see `position`.
        return unsafe ring[position(index)]
    }

    private mutating func push(_ new: Entry) {
        if sliceCount == capacity { grow() }
        guard let ring = unsafe ring else { preconditionFailure("chain without a ring after growing") }
        // SAFETY: there is room for one more entry.
        unsafe ring[position(sliceCount)] = new
        sliceCount += 1
        unsafe byteCount += new.count
    }

    private mutating func grow() {
        let larger = capacity == 0 ? 8 : capacity * 2
        // SAFETY: entries are trivial; the old ones are copied before the old ring is freed.
        let new = UnsafeMutablePointer<Entry>.allocate(capacity: larger)
        for index in 0..<sliceCount { unsafe (new + index).initialize(to: entry(index)) }
        unsafe ring?.deallocate()
        unsafe ring = new
        capacity = larger
        head = 0
    }

    /// A slice that begins where the last one ends joins it: a peer that sends single bytes makes no entry of each.
    public mutating func append(_ slice: consuming Slice) {
        guard slice.count > 0 else { return }
        if unsafe extendLast(slab: slice.slab, end: slice.offset, by: slice.count) { return }
        // SAFETY: the entry takes its own count; the slice gives its count back when it ends here.
        unsafe slice.slab.retain()
        unsafe push(Entry(slab: slice.slab, offset: slice.offset, count: slice.count))
    }

    /// Moves everything out of `other` to the end of this chain.
    public mutating func append(contentsOf other: inout Chain) {
        while let slice = other.popFirst() { append(slice) }
    }

    /// Moves the first slice out, or nil when the chain is empty.
    public mutating func popFirst() -> Slice? {
        guard sliceCount > 0 else { return nil }
        let first = unsafe entry(0)
        removeFirstEntry()
        unsafe byteCount -= first.count
        // SAFETY: the entry's count passes to the slice.
        return unsafe Slice(adopting: first.slab, offset: first.offset, count: first.count)
    }

    /// Moves up to `limit` bytes of the front out as one slice.
    public mutating func popFirst(upTo limit: Int) -> Slice? {
        guard sliceCount > 0, limit > 0 else { return nil }
        let first = unsafe entry(0)
        if unsafe first.count <= limit { return popFirst() }
        // SAFETY: the returned slice gets a count of its own; the entry keeps the rest.
        unsafe first.slab.retain()
        let slice = unsafe Slice(adopting: first.slab, offset: first.offset, count: limit)
        shortenFirst(by: limit)
        return slice
    }

    /// A second hold on the first slice's bytes, for a parser that gives parts of it away that do not overlap.
    /// - Precondition: not empty.
    public borrowing func shareFirst() -> Slice {
        let first = unsafe entry(0)
        // SAFETY: the slice owns the count taken here.
        unsafe first.slab.retain()
        return unsafe Slice(adopting: first.slab, offset: first.offset, count: first.count)
    }

    /// Drops bytes from the front, for instance after they were sent.
    /// - Precondition: at most `byteCount`.
    public mutating func dropFirst(_ length: Int) {
        precondition(length >= 0 && length <= byteCount)
        var left = length
        while left > 0 {
            let first = unsafe entry(0)
            if unsafe first.count > left {
                shortenFirst(by: left)
                return
            }
            unsafe left -= first.count
            unsafe byteCount -= first.count
            removeFirstEntry()
            // SAFETY: the entry's count ends with the entry.
            unsafe first.slab.release()
        }
    }

    public mutating func removeAll() { dropFirst(byteCount) }

    /// The bytes of the first slice; empty when the chain is.
    public var firstBytes: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            guard sliceCount > 0 else { return Span() }
            let first = unsafe entry(0)
            // SAFETY: the entry holds a count, so its slab lives while the chain is borrowed.
            let start = unsafe UnsafeRawPointer(first.slab.data + first.offset).assumingMemoryBound(to: UInt8.self)
            let span = unsafe Span(_unsafeStart: start, count: first.count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    private mutating func removeFirstEntry() {
        head = position(1)
        sliceCount -= 1
    }

    private mutating func shortenFirst(by length: Int) {
        guard let ring = unsafe ring else { return }
        // SAFETY: sliceCount > 0 is the callers' guard.
        unsafe ring[position(0)].offset += length
        unsafe ring[position(0)].count -= length
        byteCount -= length
    }

    // MARK: The last entry may grow by what follows it in its slab.

    /// - Precondition: not empty, and `length` bytes behind the last entry in its slab were just written.
    @inline(__always)
    mutating func growLast(by length: Int) {
        guard sliceCount > 0, let ring = unsafe ring else { preconditionFailure("growing an empty chain") }
        // SAFETY: the last entry exists.
        unsafe ring[position(sliceCount &- 1)].count &+= length
        byteCount &+= length
    }

    mutating func extendLast(slab: SlabPointer, end: Int, by length: Int) -> Bool {
        guard sliceCount > 0, let ring = unsafe ring else { return false }
        let last = position(sliceCount - 1)
        // SAFETY: `last` is an existing entry.
        guard unsafe ring[last].slab == slab, unsafe ring[last].offset + ring[last].count == end else { return false }
        unsafe ring[last].count += length
        byteCount += length
        return true
    }

    mutating func appendShared(slab: SlabPointer, offset: Int, count: Int) {
        // SAFETY: the entry owns the count taken here.
        unsafe slab.retain()
        unsafe push(Entry(slab: slab, offset: offset, count: count))
    }
}

extension Chain {
    /// The most slices one system call gets.
    static let vectorLimit = 64

    /// Calls `body` with I/O vectors over the front slices (at most 64) and their bytes in total.
    @unsafe
    public borrowing func withIOVectors<R>(_ body: (UnsafeMutableBufferPointer<iovec>, Int) -> R) -> R {
        unsafe withUnsafeTemporaryAllocation(of: iovec.self, capacity: Chain.vectorLimit) { vectors in
            let used = min(sliceCount, Chain.vectorLimit)
            var bytes = 0
            for index in 0..<used {
                let entry = unsafe entry(index)
                // SAFETY: index is below the allocation's capacity; entries keep their slabs alive.
                unsafe (vectors.baseAddress! + index).initialize(
                    to: iovec(iov_base: entry.slab.data + entry.offset, iov_len: entry.count))
                unsafe bytes += entry.count
            }
            return unsafe body(UnsafeMutableBufferPointer(rebasing: vectors[0..<used]), bytes)
        }
    }
}

extension Chain {
    /// Appends a copy of `bytes` in slabs of `pool`. The caller counts it (`SlabPool.copied`) by its reason.
    public mutating func append(copying bytes: borrowing Span<UInt8>, from pool: SlabPool) {
        if fillLast(bytes) { return }
        var done = 0
        while done < bytes.count {
            let large = bytes.count - done > SlabSize.small.rawValue
            // SAFETY: the fresh slab's first count passes to the slice; `length` bytes fit into it.
            let slab = unsafe pool.take(large ? .large : .small)
            let length = unsafe min(slab.pointee.capacity, bytes.count - done)
            unsafe bytes.withUnsafeBytes { source in
                guard let base = source.baseAddress else { return }
                unsafe slab.data.copyMemory(from: base + done, byteCount: length)
            }
            append(unsafe Slice(adopting: slab, offset: 0, count: length))
            done += length
        }
    }

    /// Copies what fits behind the last slice, where that slab is nobody else's: whoever makes single bytes takes no slab for each.
    private mutating func fillLast(_ bytes: borrowing Span<UInt8>) -> Bool {
        guard sliceCount > 0, bytes.count > 0 else { return bytes.count == 0 }
        let last = unsafe entry(sliceCount - 1)
        let end = unsafe last.offset + last.count
        // A slab with one count is this chain's alone: neither a reader, a writer, another slice nor a script has any of it.
        guard unsafe last.slab.pointee.count == 1, unsafe bytes.count <= last.slab.pointee.capacity - end else { return false }
        unsafe bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress else { return }
            // SAFETY: checked above: so many bytes are free behind the entry, and nobody else refers to them.
            unsafe (last.slab.data + end).copyMemory(from: base, byteCount: source.count)
        }
        growLast(by: bytes.count)
        return true
    }

    /// Copies all bytes out, for those who need them in one piece (hooks). Nothing is removed.
    public borrowing func copyBytes() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(byteCount)
        for index in 0..<sliceCount {
            let entry = unsafe entry(index)
            // SAFETY: the entry keeps its slab alive; the range lies inside it.
            let source = unsafe UnsafeRawBufferPointer(start: entry.slab.data + entry.offset, count: entry.count)
            unsafe bytes.append(contentsOf: source)
        }
        return bytes
    }
}
