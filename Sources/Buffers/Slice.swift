/// A range of bytes in a slab, holding one count on it.
///
/// Slicing, sharing and queueing never copy bytes. A slice cannot be copied by accident (it is
/// noncopyable) and gives its count back when it ends.
@safe public struct Slice: ~Copyable {
    let slab: SlabPointer
    var offset: Int
    public private(set) var count: Int

    /// Takes over one count that the caller holds on `slab`.
    init(adopting slab: SlabPointer, offset: Int, count: Int) {
        // SAFETY: callers pass a range inside the slab's capacity.
        unsafe self.slab = slab
        self.offset = offset
        self.count = count
    }

    deinit {
        // SAFETY: this slice owns exactly one count.
        unsafe slab.release()
    }

    public var isEmpty: Bool { count == 0 }

    /// The bytes; valid as long as the slice is borrowed.
    public var bytes: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            // SAFETY: offset and count stay inside the slab, which lives while the slice does.
            let start = unsafe UnsafeRawPointer(slab.data + offset).assumingMemoryBound(to: UInt8.self)
            let span = unsafe Span(_unsafeStart: start, count: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// A second slice of the same bytes, which nobody may be lent from now on.
    public borrowing func shared() -> Slice {
        // SAFETY: the slice holds its slab.
        unsafe slab.noteSecondHand(upTo: offset + count)
        return handOver()
    }

    /// A second hold on the same bytes for somebody who is about to let go of this one, or gives parts away that do not overlap.
    public borrowing func handOver() -> Slice {
        // SAFETY: the new slice owns the count taken here.
        unsafe slab.retain()
        return unsafe Slice(adopting: slab, offset: offset, count: count)
    }

    /// Removes the first `length` bytes and returns them as a slice of their own.
    /// - Precondition: `0...count` contains `length`.
    public mutating func split(prefix length: Int) -> Slice {
        precondition(length >= 0 && length <= count)
        // SAFETY: the new slice owns the count taken here and lies inside this one's range.
        unsafe slab.retain()
        let prefix = unsafe Slice(adopting: slab, offset: offset, count: length)
        offset += length
        count -= length
        return prefix
    }

    /// - Precondition: `0...count` contains `length`.
    public mutating func dropFirst(_ length: Int) {
        precondition(length >= 0 && length <= count)
        offset += length
        count -= length
    }

    /// - Precondition: `0...count` contains `length`.
    public mutating func dropLast(_ length: Int) {
        precondition(length >= 0 && length <= count)
        count -= length
    }
}
