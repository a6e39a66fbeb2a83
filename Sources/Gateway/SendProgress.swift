import Reactor
import Rules

/// How much a client takes of what waits for it. What the kernel holds is not taken yet: a client that reads nothing would look
/// busy as long as there is room for megabytes there, and one that reads steadily would look dead between two of its wake-ups.
struct SendProgress {
    /// Since when the client has not been sent all there is, monotonic milliseconds; 0 when it has.
    private(set) var since: UInt64 = 0
    private var acknowledged = 0
    private var lookedAt: UInt64 = 0
    /// A look younger than this serves again, milliseconds: a client that is fast stalls for a moment at every turn.
    private static let freshness: UInt64 = 100

    var isWaiting: Bool { since != 0 }

    /// After an attempt to send.
    /// - Parameter waiting: something is left.
    /// - Returns: true when a client that was up to date until now is not any more.
    mutating func note(waiting: Bool, _ now: UInt64, _ fd: Int32) -> Bool {
        guard waiting else {
            since = 0
            return false
        }
        guard since == 0 else { return false }
        since = now
        if lookedAt == 0 || now - lookedAt >= SendProgress.freshness { look(now, fd) }
        return true
    }

    /// Whether the client took less than `write_rate` of what has waited for it for `write_stall`.
    mutating func isStalled(_ now: UInt64, _ limits: Limits, _ fd: Int32) -> Bool {
        guard since != 0, now - since >= UInt64(limits.writeStall) else { return false }
        let elapsed = now - since
        let before = acknowledged
        look(now, fd)
        since = now
        return acknowledged - before < max(1, limits.writeRate * Int(elapsed) / 1000)
    }

    private mutating func look(_ now: UInt64, _ fd: Int32) {
        lookedAt = now
        acknowledged = ConnectionFacts.acknowledged(fd) ?? acknowledged
    }
}
