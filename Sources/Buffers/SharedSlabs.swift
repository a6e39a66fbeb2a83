// Slabs in memory that a worker shares with a cordon, for chunks of bodies on their way into a hook and back out of it.
//
// The worker copies a chunk into a free one and names it; the hook's buffer lies over it; what the hook passes on is named again, and
// the worker copies it out. The cordon may write to all of them at any time. So the worker keeps what it knows of them (which are
// lent, how much was written) in memory of its own, never parses what is in them, and sends nothing from there.

/// One side's view of the shared slabs. Not for heads, and not for anything that is looked at twice.
@safe public final class SharedSlabs {
    /// Bytes of one.
    public static let size = 64 << 10

    fileprivate let base: UnsafeMutableRawPointer
    public let count: Int
    /// Keeps the memory mapped.
    private let owner: AnyObject
    /// Bytes that were written into each; 0: it is free.
    private var lent: [Int]
    private var free: [Int]
    /// Those that the cordon's scripts have let go of and the worker was not told of.
    fileprivate var ended: [Int] = []
    /// Bytes that the worker copied into and out of them.
    public private(set) var bytesCopied = 0

    /// - Parameter base: of `count * size` bytes that are mapped as long as `owner` lives.
    @unsafe
    public init(base: UnsafeMutableRawPointer, count: Int, keeping owner: AnyObject) {
        // SAFETY: only stored here.
        unsafe self.base = base
        self.count = count
        self.owner = owner
        lent = Array(repeating: 0, count: count)
        free = Array((0..<count).reversed())
    }

    // MARK: The worker's side

    /// Copies a chunk into a free slab. Nil: there is none, or it is not worth it.
    public func lend(_ bytes: Span<UInt8>) -> Int? {
        guard bytes.count >= Slice.worthLending, bytes.count <= SharedSlabs.size, let number = free.popLast() else { return nil }
        unsafe bytes.withUnsafeBytes { source in
            guard let start = source.baseAddress else { return }
            // SAFETY: the number is below `count`, and so many bytes fit into a slab.
            unsafe (base + number * SharedSlabs.size).copyMemory(from: start, byteCount: source.count)
        }
        lent[number] = bytes.count
        bytesCopied += bytes.count
        return number
    }

    /// The cordon has done with a slab. False when it was not lent.
    public func takeBack(_ number: Int) -> Bool {
        guard lent.indices.contains(number), lent[number] > 0 else { return false }
        lent[number] = 0
        free.append(number)
        return true
    }

    /// Appends a copy of what a lent slab holds now. False when that range of it was not lent.
    public func copy(_ number: Int, from start: Int, count: Int, to chain: inout Chain, _ pool: SlabPool) -> Bool {
        guard lent.indices.contains(number), start >= 0, count > 0, start <= lent[number], count <= lent[number] - start else { return false }
        // SAFETY: checked above to lie inside the slab. The other process may change the bytes while they are copied, which changes
        // what its own hook sends and nothing else: they are looked at only in the copy.
        let bytes = unsafe Span(_unsafeStart: (base + number * SharedSlabs.size + start).assumingMemoryBound(to: UInt8.self), count: count)
        chain.append(copying: bytes, from: pool)
        bytesCopied += count
        return true
    }

    // MARK: The cordon's side

    /// A chunk that the worker named; nil for one that cannot be.
    public func chunk(_ number: Int, count: Int) -> SharedChunk? {
        guard number >= 0, number < self.count, count > 0, count <= SharedSlabs.size else { return nil }
        return SharedChunk(self, number, count)
    }

    /// The numbers of slabs that may be used again, for the worker.
    public func takeEnded() -> [Int] {
        guard !ended.isEmpty else { return [] }
        defer { ended.removeAll(keepingCapacity: true) }
        return ended
    }
}

/// A chunk in a shared slab, in the cordon. Its slab is free again when the last reference to it ends.
@safe public final class SharedChunk {
    private let slabs: SharedSlabs
    public let number: Int
    public let count: Int

    fileprivate init(_ slabs: SharedSlabs, _ number: Int, _ count: Int) {
        self.slabs = slabs
        self.number = number
        self.count = count
    }

    deinit { slabs.ended.append(number) }

    /// Where its bytes lie, as long as the chunk lives.
    // SAFETY: the number is below `slabs.count`.
    @unsafe public var start: UnsafeMutableRawPointer { unsafe slabs.base + number * SharedSlabs.size }

    public var bytes: Span<UInt8> {
        @_lifetime(borrow self)
        borrowing get {
            // SAFETY: the chunk keeps the memory; only scripts of this process write to it.
            let span = unsafe Span(_unsafeStart: UnsafePointer(start.assumingMemoryBound(to: UInt8.self)), count: count)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }
}
