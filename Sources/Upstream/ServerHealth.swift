public import HTTP

/// How one server fares: what active checks and its own answers say. Outlives reloads that leave the server alone.
///
/// Decides only; nothing here does I/O. Times are monotonic milliseconds.
final class ServerHealth {
    /// Active checks say that it does not serve.
    private(set) var isDown = false
    /// Passed over until then, for what it answered.
    private(set) var ejectedUntil: UInt64 = 0
    /// Passed over until then, because no connection came about. A connection that does ends it, and says nothing of its answers.
    private(set) var pausedUntil: UInt64 = 0
    /// When it came (back) into service; 0 for one that has been there from the start.
    var upSince: UInt64 = 0
    private var passes = 0
    private var fails = 0
    private var connectFailures: UInt64 = 0
    private(set) var failuresInRow = 0
    private var ejections: UInt64 = 0
    /// An active check has had a result.
    private(set) var isKnown = false

    func isAvailable(_ now: UInt64) -> Bool { !isDown && passedOverUntil <= now }
    var passedOverUntil: UInt64 { max(ejectedUntil, pausedUntil) }

    // MARK: Active checks

    enum Change { case none, wentDown, cameUp }

    func checked(passed: Bool, _ check: HealthSettings, now: UInt64) -> Change {
        let first = !isKnown
        isKnown = true
        passes = passed ? passes + 1 : 0
        fails = passed ? 0 : fails + 1
        if isDown, passes >= check.passAfter {
            isDown = false
            upSince = now
            return .cameUp
        }
        // The first check of all decides at once: nothing good is known of the server yet.
        if !isDown, fails >= check.failAfter || first && !passed {
            isDown = true
            return .wentDown
        }
        return .none
    }

    /// Another worker asks the server, and says what it found.
    func heard(isDown down: Bool, now: UInt64) {
        if isDown, !down { upSince = now }
        isDown = down
        isKnown = true
        passes = 0
        fails = 0
    }

    /// Checks are no longer configured.
    func forgetChecks() {
        isDown = false
        isKnown = false
        passes = 0
        fails = 0
    }

    // MARK: What its own traffic shows

    func connected() {
        connectFailures = 0
        pausedUntil = 0
    }

    /// Passed over for 200 ms, then twice as long each time, at most 10 s.
    func connectFailed(now: UInt64) {
        connectFailures += 1
        pausedUntil = max(pausedUntil, now + min(10_000, 100 << min(connectFailures, 7)))
        upSince = passedOverUntil
    }

    func answered() { failuresInRow = 0 }

    /// True when it has failed often enough to be ejected.
    func failed(_ ejection: EjectionSettings) -> Bool {
        failuresInRow += 1
        return ejection.failures > 0 && failuresInRow >= ejection.failures
    }

    /// Longer each time it happens again. For as long as an ejection takes in service, one of those before is forgotten.
    func eject(_ ejection: EjectionSettings, now: UInt64) {
        let served = now > ejectedUntil ? now - ejectedUntil : 0
        ejections -= min(ejections, served / max(ejection.time, 1))
        ejections += 1
        failuresInRow = 0
        ejectedUntil = now + min(300_000, ejection.time * ejections)
        upSince = passedOverUntil
    }

    /// Another worker ejected it.
    func heardOfEjection(until end: UInt64) {
        ejectedUntil = max(ejectedUntil, end)
        upSince = passedOverUntil
    }
}

/// Active checks of the servers of a group.
public struct HealthSettings: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        /// A request whose answer has one of these statuses.
        case http(path: String, statuses: [ClosedRange<Int>])
        /// A connection comes about, with TLS where the server has it.
        case connect
        /// `grpc.health.v1.Health/Check` says SERVING.
        case grpc(service: String)
    }
    public var kind: Kind
    /// Sent as host; nil is the server's.
    public var host: String?
    /// Milliseconds.
    public var every: UInt64 = 2_000
    public var timeout: UInt64 = 1_000
    public var failAfter = 3
    public var passAfter = 2

    public init(kind: Kind) { self.kind = kind }
}

/// When a server is left out for what its own answers show.
public struct EjectionSettings: Sendable, Equatable {
    /// Failures in a row: resets, time limits, broken answers, statuses 502 to 504 and `grpcStatuses`. 0 never ejects.
    public var failures = 5
    /// Milliseconds, and as much more each time.
    public var time: UInt64 = 10_000
    /// Percent of a group's servers that may be ejected at once; one always may.
    public var maximumPercent = 50
    /// Statuses of gRPC that are failures, wherever they stand in an answer.
    public var grpcStatuses = GRPCStatusSet(GRPCStatus.deadlineExceeded, GRPCStatus.unavailable)

    public init() {}
}
