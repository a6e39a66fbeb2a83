// How long a worker may take. A busy machine, or one that was paused as a whole, lets every time run out: a worker is given up only
// when it had its turn on a processor and did not use it, or after a multiple of the time.

/// A worker whose loop had not turned for `stallMilliseconds` when it was looked at.
struct Stillness {
    /// When its loop last turned, monotonic nanoseconds.
    let beat: UInt64
    /// When it was found so, and the processor time of its loop then; nil: not known.
    let since: UInt64
    let processorTime: UInt64?
    /// Nanoseconds of a processor in which a loop that is well has turned.
    static let turn: UInt64 = 1_000_000_000

    /// Whether it really stands still, when its loop has not turned since either.
    /// - Parameters:
    ///   - now: monotonic nanoseconds.
    ///   - used: processor time of its loop now; nil: not known.
    ///   - stall: nanoseconds; a third of them is enough for whoever waits for something else than a processor.
    func isProved(_ now: UInt64, _ used: UInt64?, stall: UInt64) -> Bool {
        if let used, let processorTime, used &- processorTime >= Stillness.turn { return true }
        return now &- since > stall / 3
    }
}

/// From a worker's birth to its first `ready`.
enum StartPatience {
    /// Milliseconds, for a worker that has a processor.
    static let limit: UInt64 = 30_000
    /// Milliseconds, however busy the machine is.
    static let longest: UInt64 = 120_000
    /// Nanoseconds of processor time that no start takes.
    static let work: UInt64 = 10_000_000_000

    /// - Parameters:
    ///   - milliseconds: since its birth.
    ///   - used: its processor time; nil: not known. Asked only when it is late.
    static func isOver(after milliseconds: UInt64, _ used: () -> UInt64?) -> Bool {
        guard milliseconds > limit else { return false }
        return milliseconds > longest || used() ?? .max >= work
    }
}
