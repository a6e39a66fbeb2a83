import Reactor
import Telemetry
import Upstream

/// Sees when somebody sets the wall clock.
///
/// Nothing that has a limit in time depends on it: timers, deadlines and rates go by the monotonic clock. It shows in dates, in
/// the log and in the life of certificates, so that it was set is worth a line.
struct ClockWatch {
    /// Smaller steps are how clocks are kept right. Seconds.
    static let threshold = 2
    /// Wall clock minus monotonic clock, in seconds.
    private var offset: Int?

    /// - Returns: by how many seconds the clock was set since the last look.
    mutating func step(wallSeconds: Int, monotonicMilliseconds: UInt64) -> Int? {
        let now = wallSeconds - Int(monotonicMilliseconds / 1000)
        guard let before = offset else {
            offset = now
            return nil
        }
        guard abs(now - before) >= ClockWatch.threshold else { return nil }
        offset = now
        return now - before
    }

    mutating func look(_ worker: Worker) {
        guard let step = step(wallSeconds: worker.wallSeconds, monotonicMilliseconds: worker.now) else { return }
        worker.metrics.add(.clockSteps)
        guard worker.context.worker == 0 else { return }
        worker.note(.warning, "the wall clock was set by \(step > 0 ? "+" : "")\(step) s; limits in time do not depend on it")
    }
}

extension Worker {
    /// What others do to this worker: who reads its log, the names it asks for, the clock. A line each when that changes.
    func lookAround() {
        metrics.set(.logLines, accessLog?.lines ?? 0)
        metrics.set(.logLinesDropped, accessLog?.dropped ?? 0)
        metrics.set(.logLinesSkipped, accessLog?.skipped ?? 0)
        tellOfLog()
        metrics.set(.nameLookupsFailed, resolver?.failures ?? 0)
        metrics.set(.namesUnresolved, resolver?.unresolved ?? 0)
        clocks.look(self)
    }

    /// One line when a name does not resolve any more, and one when it does again.
    func tellOfNames() {
        resolver?.onChange = { [unowned self] name, fails in
            if fails {
                note(.warning, "the name \(name) does not resolve; addresses known before serve on")
            } else {
                note(.info, "the name \(name) resolves again")
            }
        }
    }
}
