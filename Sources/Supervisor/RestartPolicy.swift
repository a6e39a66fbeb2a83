/// When a dead worker is started again: at once, unless it dies all the time.
///
/// Five deaths within a minute are forgiven; each further one doubles the wait, up to 30 s.
struct RestartPolicy {
    static let window: UInt64 = 60_000
    static let forgiven = 5
    static let firstDelay: UInt64 = 500
    static let longestDelay: UInt64 = 30_000

    private var deaths: [UInt64] = []

    /// Notes a death.
    /// - Parameter now: monotonic milliseconds.
    /// - Returns: milliseconds to wait before the next start.
    mutating func delayAfterDeath(now: UInt64) -> UInt64 {
        deaths.removeAll { now &- $0 >= RestartPolicy.window }
        deaths.append(now)
        let excess = deaths.count - RestartPolicy.forgiven
        guard excess > 0 else { return 0 }
        let doublings = UInt64(min(excess - 1, 16))
        return min(RestartPolicy.firstDelay << doublings, RestartPolicy.longestDelay)
    }
}
