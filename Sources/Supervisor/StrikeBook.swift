import Reactor

/// Which hook functions cost a worker its life, and which therefore may not run any more.
///
/// The second strike fences a function: its rules answer by their `on_error` policy without running
/// it. A changed fingerprint (the operator edited the file) forgives everything.
struct StrikeBook {
    /// One accident may be bad luck; the second is the function.
    static let limit = 2

    struct Entry: Equatable {
        var strikes = 0
        var fingerprint: UInt64
        var fenced: Bool { strikes >= StrikeBook.limit }
    }

    private(set) var entries: [String: Entry] = [:]
    private var fingerprints: [String: UInt64] = [:]

    /// Functions that must not run, sorted.
    var fenced: [String] { entries.filter { $0.value.fenced }.keys.sorted() }

    /// Notes that a worker died or was killed inside `function`.
    /// - Returns: the function's entry, and whether this strike fenced it.
    mutating func strike(_ function: String) -> (entry: Entry, newlyFenced: Bool) {
        var entry = entries[function] ?? Entry(fingerprint: fingerprints[function] ?? 0)
        let before = entry.fenced
        entry.strikes += 1
        entries[function] = entry
        return (entry, entry.fenced && !before)
    }

    /// Takes over a new configuration.
    /// - Returns: functions that were fenced and may run again because they changed or are gone.
    mutating func adopt(_ functions: [ConfigurationBundle.Function]) -> [String] {
        let before = fenced
        fingerprints = Dictionary(functions.map { ($0.name, $0.fingerprint) }, uniquingKeysWith: { $1 })
        entries = entries.filter { fingerprints[$0.key] == $0.value.fingerprint }
        let now = Set(fenced)
        return before.filter { !now.contains($0) }
    }

    /// Whether a death says something about the hook that the worker was inside of.
    ///
    /// A worker killed from outside (SIGKILL that was not ours: an operator, or the kernel for lack of
    /// memory) says so only when the call had been running for a while; under load there is nearly
    /// always some innocent call in the slot.
    static func isStrike(end: ProcessEnd, killedByUs: Bool, ranFor nanoseconds: UInt64) -> Bool {
        if killedByUs { return true }
        switch end {
        case .exited(0): return false
        case .signalled(Signal.kill.rawValue), .signalled(Signal.terminate.rawValue): return nanoseconds >= 100_000_000
        default: return true
        }
    }
}
