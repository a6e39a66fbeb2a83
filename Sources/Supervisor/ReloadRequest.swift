import Reactor
import Telemetry

/// How a reload ended, for whoever asked.
struct ReloadReport {
    enum Result: String { case applied, refused }

    let result: Result
    /// The generation in use afterwards.
    let generation: UInt64
    /// What is served now, or all that is wrong.
    let text: String
    /// What is different from the generation before, a line each.
    var changes: [String] = []

    var response: AdminResponse {
        let body = JSONBody.object { json in
            json.field("result", result.rawValue)
            json.field("generation", generation)
            json.field("message", text)
            json.beginArray("changes")
            for change in changes { json.string(change) }
            json.endArray()
        }
        return AdminResponse(
            status: result == .applied ? 200 : 422, reason: result == .applied ? "OK" : "Unprocessable Content",
            type: "application/json", body: body)
    }
}

extension Supervisor {
    /// Asks for a reload and says how it ended. A reload that is under way does not count: it may have read the files before
    /// the caller's change, so one more follows it, and that one's end is reported. The same holds for a start; an upgrade is
    /// none, and what follows it is the first one.
    func requestReload(reporting report: @escaping (ReloadReport) -> Void) {
        guard phase != .draining else {
            return report(ReloadReport(
                result: .refused, generation: current.number, text: "the gateway is \(phase.rawValue); it reloads only while it serves"))
        }
        if reload.isUnderWay { reload.waitingForNext.append(report) } else { reload.waiting.append(report) }
        requestReload()
    }

    /// `POST /v1/reload`.
    func reloadForCaller(_ done: @escaping (AdminResponse) -> Void) {
        requestReload { done($0.response) }
    }

    /// Tells everybody who waits for the reload that has just ended.
    func tell(_ report: ReloadReport) {
        let waiting = reload.waiting
        reload.waiting = reload.waitingForNext
        reload.waitingForNext = []
        for caller in waiting { caller(report) }
    }

    /// What differs between two configurations, a line each.
    static func changes(from old: ConfigurationBundle, to new: ConfigurationBundle) -> [String] {
        ConfigurationChanges(from: old, to: new).lines
    }
}
