public import Buffers
import CLinux

/// The other side of a ring broke its rules: nothing it says can be used any more.
public struct RingBroken: Error, Sendable, CustomStringConvertible {
    public var description: String { "the cursors of the shared ring are impossible" }
}

/// One side of two byte rings shared with another process that is not trusted. Layout and rules: `CLinux/ring.h`.
@safe public final class SharedRing {
    public enum Side: Int32, Sendable { case worker = 0, cordon = 1 }

    /// Bytes that one direction holds.
    public static let capacity = Int(SLUICE_RING_BYTES)

    private let rings: OpaquePointer
    private let sends, receives: Int32
    private var head: UInt64 = 0
    private var tail: UInt64 = 0
    public let descriptor: OwnedDescriptor

    /// The worker's side: makes the memory.
    public convenience init() throws(SystemError) {
        let made = try check(sluice_rings_create(), "memfd_create", "the ring of a cordon")
        try self.init(adopting: OwnedDescriptor(adopting: made), side: .worker)
    }

    public init(adopting descriptor: consuming OwnedDescriptor, side: Side) throws(SystemError) {
        var error: Int32 = 0
        // SAFETY: the C function checks size and seals; the mapping ends in deinit and no pointer leaves this class.
        guard let rings = unsafe sluice_rings_map(descriptor.number, &error) else {
            throw SystemError(call: "mmap", code: -error, subject: "the ring of a cordon")
        }
        unsafe self.rings = rings
        self.descriptor = descriptor
        sends = side.rawValue
        receives = 1 - side.rawValue
    }

    /// The slabs that lie behind the rings, as this side sees them.
    public func sharedSlabs() -> SharedSlabs {
        // SAFETY: the mapping has room for that many, and the slabs keep this object.
        unsafe SharedSlabs(base: sluice_rings_slabs(rings), count: Int(SLUICE_SHARED_SLABS), keeping: self)
    }

    // SAFETY: last use of the mapping.
    deinit { unsafe sluice_rings_unmap(rings) }

    /// Writes as much as there is room for.
    /// - Returns: how many bytes.
    public func write(_ bytes: borrowing Span<UInt8>) throws(RingBroken) -> Int {
        let count = unsafe bytes.withUnsafeBufferPointer { buffer in
            // SAFETY: C reads at most `count` bytes of the buffer.
            unsafe sluice_ring_write(rings, sends, &head, buffer.baseAddress, buffer.count)
        }
        if count < 0 { throw RingBroken() }
        return Int(count)
    }

    /// Copies what is there to the end of `arena`.
    /// - Returns: how many bytes.
    public func read(into arena: inout ByteArena) throws(RingBroken) -> Int {
        // SAFETY: the mapping lives as long as self.
        let ready = unsafe sluice_ring_readable(rings, receives, tail)
        if ready < 0 { throw RingBroken() }
        if ready == 0 { return 0 }
        let count = unsafe arena.append(upTo: Int(ready)) { room in
            // SAFETY: C writes at most the room's count.
            Int(unsafe sluice_ring_read(rings, receives, &tail, room.baseAddress, room.count))
        }
        if count < 0 { throw RingBroken() }
        return count
    }

    /// Says that this side is going to wait for bytes (and for room, if it has more to send).
    /// - Returns: false when bytes have come meanwhile: do not wait.
    public func prepareToWait(forRoom: Bool) -> Bool {
        // SAFETY: the mapping lives as long as self.
        unsafe sluice_ring_waits(rings, receives, 1)
        if forRoom { unsafe sluice_ring_waits(rings, sends, 0) }
        return unsafe sluice_ring_readable(rings, receives, tail) == 0
    }

    /// Whether the other side waits for bytes that were written; asking means that it will be signalled.
    // SAFETY (both): the mapping lives as long as self.
    public func readerMustBeWoken() -> Bool { unsafe sluice_ring_take_waiting(rings, sends, 1) == 1 }
    public func writerMustBeWoken() -> Bool { unsafe sluice_ring_take_waiting(rings, receives, 0) == 1 }

    /// The call whose JavaScript runs in the cordon, 0 for none. A hint only: the cordon writes it.
    public var running: UInt64 {
        // SAFETY: the mapping lives as long as self.
        get { unsafe sluice_rings_last_running(rings) }
        set { unsafe sluice_rings_running(rings, newValue) }
    }
}
