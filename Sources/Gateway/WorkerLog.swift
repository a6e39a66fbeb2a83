import Reactor
import Telemetry

/// What a worker tells its operator, on standard error: one line per event, text or JSON.
final class WorkerLog {
    private let file: LogFile?
    private let json: Bool
    private let worker: Int
    private var line = JSONLineWriter()
    /// Takes the lines in the place of standard error, in a rehearsal.
    var listener: ((_ level: String, _ message: String, _ details: [(String, String)]) -> Void)?

    init(worker: Int, json: Bool) {
        self.worker = worker
        self.json = json
        // Without a usable standard error there is nobody to tell.
        file = try? LogFile(inherited: 2)
    }

    /// - Parameter numbers: shown in JSON only.
    func write(
        _ level: String, _ event: String, _ message: String, _ details: [(String, String)] = [], numbers: [(String, Int)] = []
    ) {
        if let listener { return listener(level, message, details) }
        line.reset()
        if json { writeJSON(level, event, message, details, numbers) } else { writeText(level, message, details) }
        file?.flush()
    }

    private func writeJSON(
        _ level: String, _ event: String, _ message: String, _ details: [(String, String)], _ numbers: [(String, Int)]
    ) {
        line.beginObject()
        line.field("time", SystemClock.timestamp())
        line.field("level", level)
        line.field("event", event)
        line.field("worker", worker)
        line.field("message", message)
        for (key, value) in details { line.field(key, value) }
        for (key, value) in numbers { line.field(key, value) }
        line.endObject()
        line.endLine()
        file?.append(of: line)
    }

    private func writeText(_ level: String, _ message: String, _ details: [(String, String)]) {
        var text = "\(SystemClock.timestamp()) sluice: worker \(worker): \(level == "info" ? "" : level + ": ")\(message)"
        for (key, value) in details where !value.isEmpty { text += " \(key)=\(value)" }
        let safe = text.unicodeScalars.map { $0.value < 0x20 || ($0.value >= 0x7F && $0.value < 0xA0) ? " " : Character($0) }
        let bytes = Array((String(safe) + "\n").utf8)
        file?.append(bytes.span)
    }
}

/// How the rest of the worker writes there.
extension Worker {
    enum NoteLevel: String { case info, warning, error }

    /// A line for the operator on standard error.
    func note(_ level: NoteLevel, _ text: String) {
        log.write(level.rawValue, "note", text)
    }

    /// A line that a rule asked for.
    func noteRule(_ rule: String, request: String, text: String) {
        log.write("info", "rule", text, [("rule", rule), ("request", request)])
    }

    /// A line about a hook: its console output, or why it failed.
    func noteHook(_ level: String, function: String, request: String, text: String) {
        log.write(level, "hook", text, [("function", function), ("request", request)])
    }

    /// One line when access log lines begin to be lost, and one when they are written again.
    func tellOfLog() {
        switch accessLog?.news() {
        case .losing(let why)?:
            log.write("warning", "access_log", "access log lines are lost: \(why); sluice_log_lines_dropped_total counts them")
        case .fine?: log.write("info", "access_log", "access log lines are written again (\(accessLog?.dropped ?? 0) were lost so far)")
        case nil: break
        }
    }

    /// A state that should not be: a trap in debug builds, counted in release.
    func bug(_ what: String) {
        assertionFailure(what)
        metrics.add(.bugs)
        note(.error, "bug: \(what)")
    }
}
