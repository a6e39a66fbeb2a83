/// Something that wants to be called at a time. Owned by whoever schedules it; a connection keeps one
/// per kind of deadline for its whole life.
///
/// Moving a deadline further away is one store: the wheel looks again when the old one comes up.
open class Timer {
    fileprivate final var due = UInt64.max
    fileprivate final var slot = -1
    fileprivate final var next: Timer?
    // SAFETY: read only while the timer before it is linked and thus alive.
    fileprivate final unowned(unsafe) var previous: Timer?

    public init() {}

    /// Monotonic milliseconds; `.max` while not scheduled.
    public final var deadline: UInt64 { due }
    public final var isScheduled: Bool { due != .max }

    /// Called on the reactor's thread at or shortly after the deadline.
    open func fire() {}
}

/// A hashed timing wheel: 4 ms ticks, 4096 slots, so 16 s ahead; longer waits go round again.
struct TimerWheel {
    static let tick: UInt64 = 4
    static let slots = 4096

    private var heads: [Timer?] = Array(repeating: nil, count: TimerWheel.slots)
    /// One bit per slot that is not empty.
    private var occupied: [UInt64] = Array(repeating: 0, count: TimerWheel.slots / 64)
    private var current: UInt64
    private(set) var count = 0

    init(now: UInt64) { current = now / TimerWheel.tick }

    /// - Parameter deadline: monotonic milliseconds.
    mutating func schedule(_ timer: Timer, deadline: UInt64) {
        if timer.slot >= 0 {
            // A later deadline needs no work now: the old slot moves the timer on when it comes up.
            if deadline >= timer.due, timer.due != .max {
                timer.due = deadline
                return
            }
            unlink(timer)
        }
        timer.due = deadline
        link(timer)
    }

    mutating func cancel(_ timer: Timer) {
        timer.due = .max
        if timer.slot >= 0 { unlink(timer) }
    }

    private mutating func link(_ timer: Timer) {
        let ticks = (timer.due + TimerWheel.tick - 1) / TimerWheel.tick
        let ahead = min(max(ticks, current + 1), current + UInt64(TimerWheel.slots) - 1)
        let slot = Int(ahead % UInt64(TimerWheel.slots))
        timer.slot = slot
        timer.next = heads[slot]
        // SAFETY: `previous` is only read while the timer before it is linked and thus alive.
        unsafe timer.previous = nil
        unsafe heads[slot]?.previous = timer
        heads[slot] = timer
        occupied[slot / 64] |= 1 << UInt64(slot % 64)
        count += 1
    }

    private mutating func unlink(_ timer: Timer) {
        let slot = timer.slot
        // SAFETY: a linked timer's predecessor is linked, and the list keeps it alive.
        if let previous = unsafe timer.previous {
            previous.next = timer.next
        } else {
            heads[slot] = timer.next
        }
        unsafe timer.next?.previous = timer.previous
        timer.next = nil
        unsafe timer.previous = nil
        timer.slot = -1
        if heads[slot] == nil { occupied[slot / 64] &= ~(1 << UInt64(slot % 64)) }
        count -= 1
    }

    /// Takes one timer whose slot is over out of the wheel; nil when none is left.
    /// Timers whose deadline moved on are put back further away.
    mutating func popDue(now: UInt64) -> Timer? {
        let target = now / TimerWheel.tick
        while current <= target {
            let slot = Int(current % UInt64(TimerWheel.slots))
            while let timer = heads[slot] {
                unlink(timer)
                if timer.due <= now {
                    timer.due = .max
                    return timer
                }
                link(timer)
                if timer.slot == slot { break }
            }
            if current == target { return nil }
            current = min(nextOccupied(after: current) ?? target, target)
        }
        return nil
    }

    /// Goes to a time that is more than a round ahead without stepping through the rounds between.
    mutating func leap(now: UInt64) {
        guard now / TimerWheel.tick > current + UInt64(TimerWheel.slots) else { return }
        var timers: [Timer] = []
        for slot in heads.indices {
            while let timer = heads[slot] {
                unlink(timer)
                timers.append(timer)
            }
        }
        current = now / TimerWheel.tick - 1
        for timer in timers { link(timer) }
    }

    /// Milliseconds until the next slot that has a timer, or nil when there is none.
    func wait(now: UInt64) -> UInt64? {
        guard count > 0, let next = nextOccupied(after: current) else { return nil }
        let at = next * TimerWheel.tick
        return at > now ? at - now : 0
    }

    private func nextOccupied(after tick: UInt64) -> UInt64? {
        guard count > 0 else { return nil }
        let start = Int((tick + 1) % UInt64(TimerWheel.slots))
        var word = start / 64
        var bits = occupied[word] & (~0 << UInt64(start % 64))
        for step in 0...TimerWheel.slots / 64 {
            if bits != 0 {
                let slot = word * 64 + bits.trailingZeroBitCount
                let distance = (slot - start + TimerWheel.slots) % TimerWheel.slots
                return tick + 1 + UInt64(distance)
            }
            word = (word + 1) % occupied.count
            bits = occupied[word]
            if step == TimerWheel.slots / 64 { break }
        }
        return nil
    }
}
