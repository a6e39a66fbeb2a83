public import Buffers
import Hooks
public import Reactor

/// One end of a ring on a reactor: messages out, messages in, and sleep between. Its descriptor is the event that the
/// other side raises.
open class RingChannel: Channel {
    public final let ring: SharedRing
    private let peerEvent: Int32
    private let limit: Int
    private var incoming = ByteArena(capacity: 16 << 10)
    private var parsed = 0
    /// Bytes at the beginning of what waits that have gone.
    public private(set) final var sent = 0
    private var isPumping = false
    /// What has arrived was not looked at to its end.
    private var isBehind = false
    /// Bytes that went into the ring and came out of it.
    public private(set) final var bytesSent = 0
    public private(set) final var bytesReceived = 0

    /// - Parameters:
    ///   - ownEvent: becomes this channel's descriptor; `Reactor.close` closes it.
    ///   - limit: the longest message taken.
    public init(ring: SharedRing, ownEvent: consuming OwnedDescriptor, peerEvent: consuming OwnedDescriptor, limit: Int) {
        self.ring = ring
        self.peerEvent = peerEvent.release()
        self.limit = limit
        super.init(fd: ownEvent.release())
    }

    /// The worker's end of a new link.
    public convenience init(_ link: consuming CordonLink) {
        self.init(ring: link.ring, ownEvent: link.workerEvent, peerEvent: link.cordonEvent, limit: remoteMessageLimit)
    }

    deinit { _ = OwnedDescriptor(adopting: peerEvent) }

    // MARK: For the subclass

    /// Calls `send` with what waits; true when not all of it went.
    open func flush() throws(RingBroken) -> Bool { false }
    open func received(_ message: Span<UInt8>) throws(WireError) {}
    /// The other side cannot be spoken to any more.
    open func broken(_ reason: String) {}
    /// So much waits to be sent that what arrives waits, too: each question would add its answer. True at one end of a ring only, or both would
    /// wait for each other.
    open var holdsBack: Bool { false }
    /// What there is to send has waited for long enough: it goes before more of what arrived is looked at.
    open var isDue: Bool { false }
    /// Nothing is to do: a chance to look a little longer before sleeping.
    open func idle() {}

    /// Moves what `outgoing` holds into the ring as far as there is room; what is left stays.
    /// - Returns: true when something is left.
    public final func send(_ outgoing: inout WireWriter) throws(RingBroken) -> Bool {
        let total = outgoing.count
        guard total > sent else { return false }
        let written = try write(outgoing.arena, from: sent)
        sent += written
        bytesSent += written
        if written > 0, ring.readerMustBeWoken() { EventSignal.raise(peerEvent) }
        guard sent == total else {
            // Somebody who always has more to say would keep all that was ever sent.
            if sent > SharedRing.capacity, sent > total / 2 {
                outgoing.removeFirst(sent)
                sent = 0
            }
            return true
        }
        sent = 0
        outgoing.removeAll()
        return false
    }

    private func write(_ arena: borrowing ByteArena, from start: Int) throws(RingBroken) -> Int {
        try ring.write(arena[arena.range(since: start)])
    }

    // MARK: The pump

    public final override func ready(_ events: ReadyEvents) { pump() }
    public final override func resume() { pump() }

    /// Sends and receives until there is nothing to do, or this turn has had its share.
    public final func pump() {
        guard !isPumping else { return }
        isPumping = true
        defer { isPumping = false }
        var share = SharedRing.capacity
        do {
            while fd >= 0 {
                let unsent = try flush()
                if holdsBack {
                    if try waitForRoom() { return }
                    continue
                }
                if isBehind {
                    try dispatch()
                    continue
                }
                let count = try ring.read(into: &incoming)
                if count == 0 {
                    if try sleep(unsent) { return }
                    continue
                }
                bytesReceived += count
                if ring.writerMustBeWoken() { EventSignal.raise(peerEvent) }
                try dispatch()
                share -= count
                if share <= 0, fd >= 0 { return EventSignal.raise(fd) }
            }
        } catch {
            broken("\(error)")
        }
    }

    /// True when this side may wait for its event.
    private func sleep(_ unsent: Bool) throws(RingBroken) -> Bool {
        idle()
        guard ring.prepareToWait(forRoom: unsent) else { return false }
        guard unsent else { return true }
        return try isStillFull()
    }

    /// The same whatever has arrived.
    private func waitForRoom() throws(RingBroken) -> Bool {
        _ = ring.prepareToWait(forRoom: true)
        return try isStillFull()
    }

    private func isStillFull() throws(RingBroken) -> Bool {
        // Room may have come between the attempt and the announcement.
        let before = bytesSent
        _ = try flush()
        return bytesSent == before
    }

    private func dispatch() throws(WireError) {
        isBehind = false
        while fd >= 0, let message = try nextMessage() {
            if holdsBack || isDue {
                isBehind = true
                break
            }
            parsed = message.end
            try deliver(incoming, message)
        }
        if parsed == incoming.count {
            incoming.removeAll()
            parsed = 0
        } else if parsed > SharedRing.capacity {
            compact()
        }
    }

    // The arena is lent, so that the span ends with the loan.
    private func deliver(_ arena: borrowing ByteArena, _ message: ByteRange) throws(WireError) { try received(arena[message]) }

    private func nextMessage() throws(WireError) -> ByteRange? {
        guard incoming.count - parsed >= 4 else { return nil }
        var length = 0
        for index in 0..<4 { length |= Int(incoming[parsed + index]) << (8 * index) }
        guard length > 0, length <= limit else { throw WireError("a message of \(length) bytes") }
        guard incoming.count - parsed - 4 >= length else { return nil }
        return ByteRange(start: parsed + 4, count: length)
    }

    private func compact() {
        var rest = ByteArena(capacity: incoming.count - parsed + 4096)
        _ = rest.append(incoming[incoming.range(since: parsed)])
        swap(&rest, &incoming)
        parsed = 0
    }
}
