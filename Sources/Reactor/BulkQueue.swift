import CLinux

/// Work that gives way to other work: large bodies and handshakes. First come, first served, for a part of each turn of the loop
/// only, so that what is small never waits behind all of what is large.
struct BulkQueue {
    /// Nanoseconds of a turn that it may use; as long as the rest of the turn took, when that was more.
    static let share: UInt64 = 50_000
    /// The same for timers that are due together.
    static let timersShare: UInt64 = 50_000

    private var waiting: [Channel?] = []
    private var next = 0

    var isEmpty: Bool { next == waiting.count }
    var count: Int { waiting.count - next }

    mutating func append(_ channel: Channel) { waiting.append(channel) }

    mutating func popFirst() -> Channel? {
        guard next < waiting.count else { return nil }
        let channel = waiting[next]
        waiting[next] = nil
        next += 1
        if next == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            next = 0
        } else if next >= 1024, next * 2 >= waiting.count {
            waiting.removeFirst(next)
            next = 0
        }
        return channel
    }
}

/// A descriptor that nobody needs any more.
final class LeavingSocket: Channel {
    private let isReset: Bool

    init(_ fd: Int32, reset: Bool) {
        isReset = reset
        super.init(fd: fd)
    }

    override func resume() {
        _ = isReset ? sluice_close_reset(fd) : sluice_close(fd)
        fd = -1
    }
}

extension Reactor {
    /// Calls `channel.resume()` once, after everything that asked by `later`, in this turn or, when there is much of it, in one of
    /// the next: between two turns the kernel is asked for events.
    public final func afterOthers(_ channel: Channel) { bulk.append(channel) }

    /// - Parameter began: monotonic nanoseconds at which the turn began.
    final func runBulk(since began: UInt64) {
        var left = bulk.count
        guard left > 0 else { return }
        let start = preciseNow
        let end = start &+ max(BulkQueue.share, start &- began)
        // What comes meanwhile is for the next turn.
        while left > 0, let channel = bulk.popFirst() {
            channel.resume()
            left -= 1
            if left > 0, preciseNow >= end { return }
        }
    }
}
