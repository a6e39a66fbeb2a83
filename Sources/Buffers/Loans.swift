// Bytes of slabs that scripts get as they are, to read and to write.
//
// What is lent stays in its slab, and the slab stays out of the pool until it is given back. A range is lent only while nobody else
// can see it: a retry's copy, a mirror's, what is kept in case a hook fails. So a script changes nothing but what it passes on.

/// One range of a slab, lent. It holds a count of its own on the slab until `end`.
@unsafe public struct SlabLoan {
    /// Names the slab to `end` and `slice`.
    public let token: UnsafeMutableRawPointer
    public let bytes: UnsafeMutableRawPointer
    public let count: Int
    /// Bytes that the borrower holds more by this loan: its slab, unless some of that is lent to it already.
    public let charge: Int

    /// The range is given back. On the pool's thread, once for each loan.
    /// - Returns: bytes that the borrower holds less.
    public static func end(_ token: UnsafeMutableRawPointer) -> Int {
        // SAFETY: `lend` made the token of a slab, and the loan's count keeps it alive.
        let slab = unsafe token.assumingMemoryBound(to: SlabHeader.self)
        unsafe slab.pointee.loans -= 1
        let last = unsafe slab.pointee.loans == 0
        let freed = unsafe last ? slab.pointee.capacity : 0
        unsafe slab.release()
        return freed
    }

    /// Lent bytes on their way out: the borrower may still write to them.
    /// - Precondition: the loan has not ended, and the range lies inside it.
    public static func slice(_ token: UnsafeMutableRawPointer, _ start: UnsafeRawPointer, _ count: Int) -> Slice {
        // SAFETY: as above; the slice takes a count of its own.
        let slab = unsafe token.assumingMemoryBound(to: SlabHeader.self)
        let offset = unsafe start - UnsafeRawPointer(slab.data)
        precondition(unsafe offset >= 0 && count >= 0 && offset + count <= slab.pointee.capacity, "a range outside of its slab")
        unsafe slab.retain()
        return unsafe Slice(adopting: slab, offset: offset, count: count)
    }
}

extension UnsafeMutablePointer where Pointee == SlabHeader {
    // SAFETY: callers hold the slab; its capacity fits in 32 bits.
    func noteSecondHand(upTo end: Int) {
        unsafe pointee.soleFrom = max(pointee.soleFrom, Int32(truncatingIfNeeded: end))
    }
}

extension Slice {
    /// Copying fewer bytes costs no more than lending them (measured).
    public static var worthLending: Int { 4096 }

    /// Lends the bytes to `borrower`, which may write to them from now on. Nil: copy them, because somebody else may hold some
    /// of them, they are few, or another borrower has others of the slab.
    @unsafe
    public borrowing func lend(to borrower: UnsafeRawPointer) -> SlabLoan? {
        // SAFETY: the slice holds its slab, and its range lies inside it.
        guard count >= Slice.worthLending, unsafe offset >= Int(slab.pointee.soleFrom) else { return nil }
        let first = unsafe slab.pointee.loans == 0
        guard unsafe first || slab.pointee.borrower == borrower else { return nil }
        unsafe slab.noteSecondHand(upTo: offset + count)
        unsafe slab.pointee.loans += 1
        unsafe slab.pointee.borrower = borrower
        unsafe slab.retain()
        return unsafe SlabLoan(
            token: UnsafeMutableRawPointer(slab), bytes: slab.data + offset, count: count, charge: first ? slab.pointee.capacity : 0)
    }

    /// Somebody may still write to these bytes.
    // SAFETY: the slice holds its slab.
    public var isLent: Bool { unsafe slab.pointee.loans > 0 && offset < Int(slab.pointee.soleFrom) }

    /// A second slice of the same bytes for somebody who must find them later as they are now: a copy where they are lent.
    public borrowing func steady() -> Slice {
        guard isLent else { return shared() }
        // SAFETY: a slice has at most the capacity of its slab, so that a fresh one of that size has room for it.
        let fresh = unsafe PoolState.take(slab.pointee.pool, slab.pointee.size)
        unsafe fresh.data.copyMemory(from: slab.data + offset, byteCount: count)
        unsafe slab.pointee.pool.pointee.copied.hook += count
        return unsafe Slice(adopting: fresh, offset: 0, count: count)
    }
}
