import Reactor
import Telemetry

/// Files that tell what a process died of: one JSON object each, for the operator and for bug reports.
///
/// They name the hook, the rule and the request by its id. Nothing of the request itself, no memory, no key is in them.
struct CrashReports {
    /// Files kept; the oldest go first.
    static let limit = 50
    private static let prefix = "crash-"

    /// nil: none are written.
    let folder: String?
    private(set) var written = 0

    /// - Parameter folder: as the command line says; "off" for none; nil for the usual place: `crashes` below the service
    ///   manager's state folder, or else below the runtime folder.
    init(_ folder: String?) {
        self.folder = folder == "off" ? nil : folder ?? CrashReports.usualFolder
    }

    static var usualFolder: String {
        let state = ProcessSetup.environment("STATE_DIRECTORY").flatMap { $0.split(separator: ":").first.map(String.init) }
        return (state ?? RuntimeFolder.path) + "/crashes"
    }

    /// Writes a report.
    /// - Returns: its path; nil when none are wanted.
    mutating func write(time: String, pid: Int32, _ fill: (inout JSONLineWriter) -> Void) throws(SystemError) -> String? {
        guard let folder else { return nil }
        // The folder above is the service manager's, or one that we made for the control socket.
        if folder.hasPrefix(RuntimeFolder.path) { try RuntimeFolder.make(RuntimeFolder.path) }
        try RuntimeFolder.make(folder)
        makeRoom(in: folder)
        let path = "\(folder)/\(CrashReports.name(time: time, pid: pid))"
        try PrivateFile.write(path, JSONBody.object(fill))
        written += 1
        return path
    }

    /// Sorted by name they are sorted by time.
    static func name(time: String, pid: Int32) -> String {
        let digits = time.filter { $0.isNumber }
        return "\(prefix)\(digits)-\(pid).json"
    }

    private func makeRoom(in folder: String) {
        let files = RuntimeFolder.entries(folder).filter { $0.hasPrefix(CrashReports.prefix) }
        for file in files.dropLast(CrashReports.limit - 1) { RuntimeFolder.remove("\(folder)/\(file)") }
    }
}

extension Supervisor {
    /// A worker died: writes down all that is known of it.
    func reportCrash(of worker: WorkerProcess, _ end: ProcessEnd, _ report: RunningReport?) {
        let time = SystemClock.timestamp()
        let lines = worker.crash.lines()
        writeReport(time, worker.pid) { json in
            json.field("process", "worker")
            json.field("worker", worker.index)
            json.field("generation", worker.generation)
            json.field("uptime_ms", reactor.now - worker.startedAt)
            json.field("end", "\(end)")
            if let reason = worker.killReason { json.field("killed_because", reason) }
            if let report { append(report, &json) }
            if let first = lines.first {
                json.field("signal", first)
                json.beginArray("backtrace")
                for line in lines.dropFirst() { json.string(line) }
                json.endArray()
            }
        }
    }

    /// A hook process died other than by itself.
    func reportCrash(of cordon: CordonChild, _ end: ProcessEnd) {
        writeReport(SystemClock.timestamp(), cordon.pid) { json in
            json.field("process", "cordon")
            json.field("tenant", cordon.tenant)
            if let worker = cordon.worker { json.field("worker", worker.index) }
            json.field("end", "\(end)")
        }
    }

    private func append(_ report: RunningReport, _ json: inout JSONLineWriter) {
        json.beginObject("hook")
        json.field("function", report.function)
        json.field("rule", report.rule)
        json.field("place", report.place)
        json.field("request", report.request)
        json.field("calls_before", report.sequence)
        let now = SystemClock.monotonicNanoseconds()
        json.field("ran_ms", now > report.started ? (now - report.started) / 1_000_000 : 0)
        json.field("strikes", strikes.entries[report.function]?.strikes ?? 0)
        json.endObject()
    }

    private func writeReport(_ time: String, _ pid: Int32, _ fill: (inout JSONLineWriter) -> Void) {
        do {
            let path = try crashes.write(time: time, pid: pid) { json in
                json.field("time", time)
                json.field("version", options.version)
                json.field("pid", Int(pid))
                fill(&json)
            }
            if let path { log.info("crash", "crash report \(path)", [("path", .text(path))]) }
        } catch {
            log.warning("crash", "no crash report could be written: \(error)")
        }
    }
}
