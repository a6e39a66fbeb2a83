/// A loop whose clock moves only when nothing is left to do. What waits for half a minute is over at once, and every
/// run of it is the same.
extension Reactor {
    static let virtualStart: UInt64 = 1_000_000_000_000

    /// Works, jumping from timer to timer, until `isDone`.
    /// - Parameter milliseconds: of virtual time, at most.
    /// - Returns: whether it became done; false when time was up or nothing was left to wait for.
    /// - Precondition: the reactor is virtual.
    public final func play(atMost milliseconds: UInt64, until isDone: () -> Bool) -> Bool {
        precondition(isVirtual, "only a virtual clock can be played")
        let end = now &+ milliseconds
        while !isDone() {
            if playTurn() { continue }
            guard let wait = wheel.wait(now: now), now &+ wait <= end else { return isDone() }
            pass(max(wait, 1))
        }
        return true
    }

    /// Lets virtual time pass without working.
    public final func pass(_ milliseconds: UInt64) {
        let later = now &+ milliseconds
        clock = Clock(nanoseconds: later &* 1_000_000, wallSeconds: wallSeconds &+ Int(later / 1000) &- Int(now / 1000))
        wheel.leap(now: now)
    }

    /// Sets the virtual wall clock. Seconds since 1970.
    public final func setWall(_ seconds: Int) { clock = Clock(nanoseconds: nowNanoseconds, wallSeconds: seconds) }

    /// One turn without waiting. Whether there was anything to do.
    private func playTurn() -> Bool {
        var worked = !postponed.isEmpty || !bulk.isEmpty
        runPostponed()
        while let timer = wheel.popDue(now: now) {
            timer.fire()
            worked = true
        }
        runBulk(since: nowNanoseconds)
        endOfTurn()
        return worked
    }
}
