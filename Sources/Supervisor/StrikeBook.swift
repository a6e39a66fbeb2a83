import Reactor

/// Which hook functions cost a worker its life, and which therefore may not run any more.
///
/// The second strike fences a function: its rules answer by their `on_error` policy without running
/// it. A changed fingerprint (the operator edited the file) forgives everything.
struct StrikeBook {
    /// One accident may be bad luck; the second is the function.
    static let limit = 2
    /// Cordons a function may cost: they hurt nobody but its own tenant.
    static let cordonLimit = 10

    struct Entry: Equatable {
        /// Workers it has cost.
        var strikes = 0
        /// Cordons it has cost.
        var cordonStrikes = 0
        /// It runs in a cordon, because it held workers up or cost one.
        var moved = false
        var fingerprint: UInt64
        var fenced: Bool { strikes >= StrikeBook.limit || cordonStrikes >= StrikeBook.cordonLimit }
    }

    private(set) var entries: [String: Entry] = [:]
    private var fingerprints: [String: UInt64] = [:]

    /// Functions that must not run, sorted.
    var fenced: [String] { entries.filter { $0.value.fenced }.keys.sorted() }
    /// Functions that run in a cordon unless they are pinned, sorted.
    var moved: [String] { entries.filter { $0.value.moved }.keys.sorted() }
    /// Those of them that cost a worker.
    var fatal: [String] { entries.filter { $0.value.moved && $0.value.strikes > 0 }.keys.sorted() }

    /// Moved functions that are the same in another configuration.
    func moved(among functions: [ConfigurationBundle.Function]) -> [String] {
        functions.filter { entries[$0.name]?.moved == true && entries[$0.name]?.fingerprint == $0.fingerprint }.map(\.name)
    }

    /// Notes that a worker died or was killed inside `function`.
    /// - Returns: the function's entry, and whether this strike fenced it.
    mutating func strike(_ function: String) -> (entry: Entry, newlyFenced: Bool) {
        change(function) { $0.strikes += 1 }
    }

    /// Notes that a cordon died or was killed inside `function`.
    mutating func strikeInCordon(_ function: String) -> (entry: Entry, newlyFenced: Bool) {
        change(function) { $0.cordonStrikes += 1 }
    }

    /// Notes that `function` runs in a cordon from now on. False when it does already.
    mutating func move(_ function: String) -> Bool {
        guard entries[function]?.moved != true else { return false }
        _ = change(function) { $0.moved = true }
        return true
    }

    private mutating func change(_ function: String, _ body: (inout Entry) -> Void) -> (entry: Entry, newlyFenced: Bool) {
        var entry = entries[function] ?? Entry(fingerprint: fingerprints[function] ?? 0)
        let before = entry.fenced
        body(&entry)
        entries[function] = entry
        return (entry, entry.fenced && !before)
    }

    /// Goes on with what another process knows.
    mutating func restore(_ known: [String: Entry]) { entries = known }

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
