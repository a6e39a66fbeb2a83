import Hooks
import Reactor
import Upstream

/// The sets of servers that something may still be served from: the one in use, and older ones until their last exchange is over.
struct UpstreamGenerations {
    private struct Older { weak var set: UpstreamSet? }
    private var older: [Older] = []

    /// A set gives its place to another one.
    mutating func retired(_ set: UpstreamSet) {
        older.removeAll { $0.set == nil }
        older.append(Older(set: set))
    }

    func reports(_ current: UpstreamSet?) -> [OriginReport] {
        let all = (current?.reports(isCurrent: true) ?? []) + older.flatMap { $0.set?.reports(isCurrent: false) ?? [] }
        return Array(OriginReport.merged(all).prefix(OriginReport.limit))
    }
}

extension Worker {
    /// How servers and functions stand, for those who look.
    func report() -> WorkerReport {
        var report = WorkerReport()
        report.origins = upstreamGenerations.reports(generation?.upstreams)
        report.functions = (generation?.functions.functions ?? []).map { shared in
            var function = FunctionReport(name: shared.key.name)
            if shared.isRemote { function.outside = 1 }
            if let memory = shared.function?.memoryLastSeen, memory > 0 {
                function.heap = memory
                function.isolates = 1
            }
            return function
        }
        return report
    }
}
