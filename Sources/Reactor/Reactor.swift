import CLinux

/// What a descriptor is ready for.
public struct ReadyEvents: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let readable = ReadyEvents(rawValue: 1)
    public static let writable = ReadyEvents(rawValue: 2)
    /// The peer will send no more.
    public static let hangup = ReadyEvents(rawValue: 4)
    /// An error waits on the descriptor; reading or writing shows it.
    public static let error = ReadyEvents(rawValue: 8)
}

/// A descriptor that the reactor watches, and what to do when it is ready.
open class Channel {
    private final var descriptor: Int32
    fileprivate final var slot = -1
    /// Listeners and the like: other processes may hold the same open file.
    fileprivate final var isLevelTriggered = false

    public init(fd: Int32) { descriptor = fd }

    /// -1 once closed.
    public final var fd: Int32 { get { descriptor } set { descriptor = newValue } }

    /// Called when the descriptor became ready (edge-triggered: use it until it would block).
    open func ready(_ events: ReadyEvents) {}

    /// Called once at the end of this turn of the loop after `Reactor.later(self)`.
    open func resume() {}
}

/// System calls by kind, counted where they are made.
public struct SyscallCounters: Sendable {
    public var receive = 0
    public var send = 0
    public var wait = 0
    public var accept = 0
    public var connect = 0
    public var splice = 0

    public init() {}
    public var total: Int { receive + send + wait + accept + connect + splice }
}

/// The time at which a turn of the loop began.
struct Clock {
    let nanoseconds: UInt64
    let wallSeconds: Int
    let milliseconds: UInt64

    init() { self.init(nanoseconds: sluice_monotonic_ns(), wallSeconds: Int(sluice_wall_seconds())) }

    init(nanoseconds: UInt64, wallSeconds: Int) {
        self.nanoseconds = nanoseconds
        self.wallSeconds = wallSeconds
        milliseconds = nanoseconds / 1_000_000
    }
}

/// One thread's event loop: epoll, edge-triggered, with a timer wheel.
///
/// Not thread-safe; other threads speak to it through a `Mailbox`.
open class Reactor {
    private let epoll: Int32
    private var channels: [Channel?] = []
    private var generations: [UInt32] = []
    private var freeSlots: [Int] = []
    var wheel: TimerWheel
    private(set) var postponed: [Channel] = []
    private var running: [Channel] = []
    final var bulk = BulkQueue()
    /// Some that are due have not had their turn.
    private final var timersAreLeft = false
    private var stopped = false
    private static let eventsAtATime = 256
    /// How many descriptors had become ready when this turn began.
    public private(set) final var eventsOfTurn = 0

    final var clock = Clock()
    /// Written by this room without a detour.
    final var counts = SyscallCounters()

    /// Monotonic milliseconds, read once per turn of the loop.
    public final var now: UInt64 { clock.milliseconds }
    /// Monotonic nanoseconds at the same moment.
    public final var nowNanoseconds: UInt64 { clock.nanoseconds }
    /// Wall-clock seconds since 1970, read once per turn.
    public final var wallSeconds: Int { clock.wallSeconds }
    public final var syscalls: SyscallCounters { get { counts } set { counts = newValue } }
    /// The clock moves only when nothing is left to do, see `play`: for rehearsals.
    public final let isVirtual: Bool

    /// Monotonic nanoseconds at this very moment, for what must not be measured by the turn's clock.
    public final var preciseNow: UInt64 { isVirtual ? nowNanoseconds : sluice_monotonic_ns() }

    /// - Throws: `SystemError` when the kernel refuses an epoll instance (descriptor limit).
    /// - Parameter virtual: drive the loop with `play`; it watches no descriptors.
    public init(virtual: Bool = false) throws(SystemError) {
        let fd = sluice_epoll_create()
        guard fd >= 0 else { throw SystemError(call: "epoll_create1", code: -fd) }
        epoll = fd
        isVirtual = virtual
        if virtual { clock = Clock(nanoseconds: Reactor.virtualStart, wallSeconds: clock.wallSeconds) }
        wheel = TimerWheel(now: clock.milliseconds)
    }

    deinit { _ = sluice_close(epoll) }

    /// Descriptors now watched.
    public final var channelCount: Int { channels.count - freeSlots.count }

    /// Watches a channel for reading, writing and hang-up, edge-triggered.
    public final func add(_ channel: Channel) throws(SystemError) { try add(channel, level: false) }

    /// Watches a channel for reading, level-triggered: listeners, signals, event descriptors.
    public final func addLevelTriggered(_ channel: Channel) throws(SystemError) { try add(channel, level: true) }

    private func add(_ channel: Channel, level: Bool) throws(SystemError) {
        precondition(channel.slot < 0, "a channel is added once")
        let slot = freeSlots.popLast() ?? growSlots()
        let data = UInt64(generations[slot]) << 32 | UInt64(slot)
        let result = level ? sluice_epoll_add_level(epoll, channel.fd, data) : sluice_epoll_add(epoll, channel.fd, data)
        guard result == 0 else {
            freeSlots.append(slot)
            throw SystemError(call: "epoll_ctl", code: -result)
        }
        channels[slot] = channel
        channel.slot = slot
        channel.isLevelTriggered = level
    }

    /// Watches `successor` in the place of `channel`, whose descriptor it goes on with, without a word to the kernel: what that was
    /// ready for it has been told, so `successor` begins as one that is ready for all. Not for a peer that has ended its side:
    /// nobody would be told of that again.
    public final func replace(_ channel: Channel, by successor: Channel) {
        precondition(channel.slot >= 0 && successor.slot < 0 && channel.fd == successor.fd, "one watched descriptor changes hands")
        channels[channel.slot] = successor
        successor.slot = channel.slot
        successor.isLevelTriggered = channel.isLevelTriggered
        channel.slot = -1
        channel.fd = -1
    }

    private func growSlots() -> Int {
        channels.append(nil)
        generations.append(0)
        return channels.count - 1
    }

    /// Stops watching. Events already fetched for the channel are dropped.
    public final func remove(_ channel: Channel) {
        guard channel.slot >= 0 else { return }
        if channel.fd >= 0 { _ = sluice_epoll_remove(epoll, channel.fd) }
        channels[channel.slot] = nil
        generations[channel.slot] &+= 1
        freeSlots.append(channel.slot)
        channel.slot = -1
    }

    /// Stops watching and closes the descriptor, which takes it out of epoll by itself, unless another process holds the same
    /// open file: a listener that a supervisor holds would go on waking this loop, and could not be added again.
    /// - Parameter reset: close with a TCP reset, so that the peer sees a cut and not an end.
    public final func close(_ channel: Channel, reset: Bool = false) {
        let fd = forget(channel)
        guard fd >= 0 else { return }
        _ = reset ? sluice_close_reset(fd) : sluice_close(fd)
    }

    /// The same for a socket that may hold much that is lost: to free that is work, which has its turn behind others'.
    public final func closeAfterOthers(_ channel: Channel, reset: Bool = false) {
        let fd = forget(channel)
        if fd >= 0 { bulk.append(LeavingSocket(fd, reset: reset)) }
    }

    /// Stops watching. Who asked for it closes the descriptor.
    private func forget(_ channel: Channel) -> Int32 {
        guard channel.fd >= 0 else { return -1 }
        let fd = channel.fd
        channel.fd = -1
        if channel.slot >= 0 {
            if channel.isLevelTriggered { _ = sluice_epoll_remove(epoll, fd) }
            channels[channel.slot] = nil
            generations[channel.slot] &+= 1
            freeSlots.append(channel.slot)
            channel.slot = -1
        }
        return fd
    }

    /// Calls `channel.resume()` once at the end of this turn of the loop.
    public final func later(_ channel: Channel) { postponed.append(channel) }

    // MARK: Timers

    /// Fires the timer `milliseconds` from now; moves it if it is already scheduled.
    public final func schedule(_ timer: Timer, after milliseconds: UInt64) {
        wheel.schedule(timer, deadline: now &+ milliseconds)
    }

    public final func cancel(_ timer: Timer) { wheel.cancel(timer) }

    // MARK: The loop

    /// Runs until `stop` is called.
    public final func run() {
        stopped = false
        while !stopped { turn(maximumWait: nil) }
        // A reset that is still to come must not become an orderly end because the process ends first.
        while let channel = bulk.popFirst() { (channel as? LeavingSocket)?.resume() }
    }

    public final func stop() { stopped = true }

    /// Called at the end of every turn, after events, postponed work and timers.
    open func endOfTurn() {}

    /// One turn: wait, dispatch, postponed work, timers.
    /// - Parameter maximumWait: milliseconds to wait at most; nil waits for the next event or timer.
    public final func turn(maximumWait: UInt64?) {
        let timeout = postponed.isEmpty && bulk.isEmpty && !timersAreLeft ? waitTime(maximumWait) : 0
        unsafe withUnsafeTemporaryAllocation(of: sluice_event.self, capacity: Reactor.eventsAtATime) { events in
            // SAFETY: the kernel writes `count` events into room for more, and no more of them are read.
            let count = unsafe sluice_epoll_wait(epoll, events.baseAddress, Int32(events.count), timeout)
            counts.wait &+= 1
            eventsOfTurn = Int(max(count, 0))
            updateClock()
            var index = 0
            while index < eventsOfTurn {
                unsafe dispatch(events[index])
                index &+= 1
            }
        }
        runPostponed()
        runTimers()
        runBulk(since: nowNanoseconds)
        endOfTurn()
    }

    /// Fires what is due. Connections that began together come to their limits together, and to end one is work: those beyond their
    /// part of this turn have the next.
    private func runTimers() {
        timersAreLeft = false
        guard let first = wheel.popDue(now: now) else { return }
        let end = preciseNow &+ BulkQueue.timersShare
        first.fire()
        while preciseNow < end {
            guard let timer = wheel.popDue(now: now) else { return }
            timer.fire()
        }
        timersAreLeft = true
    }

    private func waitTime(_ maximum: UInt64?) -> Int32 {
        guard let wait = wheel.wait(now: now) else { return maximum.map { Int32(clamping: $0) } ?? -1 }
        return Int32(clamping: min(wait, maximum ?? wait))
    }

    private func updateClock() {
        clock = Clock()
    }

    @inline(__always)
    private func dispatch(_ event: sluice_event) {
        let slot = Int(event.data & 0xffff_ffff)
        guard slot < channels.count, generations[slot] == UInt32(event.data >> 32), let channel = channels[slot] else { return }
        channel.ready(ReadyEvents(rawValue: event.events))
    }

    func runPostponed() {
        guard !postponed.isEmpty else { return }
        // Held by nobody else while it is walked, or emptying it would allocate a new one.
        var batch: [Channel] = []
        swap(&batch, &running)
        swap(&postponed, &batch)
        for index in batch.indices { batch[index].resume() }
        batch.removeAll(keepingCapacity: true)
        swap(&batch, &running)
    }
}
