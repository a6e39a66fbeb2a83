import Buffers
import HTTP
import Reactor
import Rules
import Telemetry
import Upstream

/// Writes one line per exchange. Nothing is allocated once the line buffer is warm.
final class AccessLogger {
    /// nil when the configuration wants no log.
    private var target: LogTarget?
    private var settings: AccessLog
    /// Somebody watches; they get JSON whatever the log looks like.
    var sink: LineSink?
    var line = JSONLineWriter(capacity: 4096)
    var scratch = ByteArena(capacity: 256)
    private var hides: LogRedaction
    private var text: LogTemplateWriter?
    /// Lines that sampling left out, and what targets before this one took and lost.
    private(set) var skipped = 0
    private var linesBefore = 0
    private var droppedBefore = 0

    /// - Throws: when a file cannot be opened.
    init(_ settings: AccessLog) throws(SystemError) {
        self.settings = settings
        hides = LogRedaction(settings)
        text = LogTemplateWriter(settings.format)
        target = try AccessLogger.open(settings.destination)
    }

    /// Goes on as a new configuration says. What waits is written first; counts go on.
    func change(to settings: AccessLog) throws(SystemError) {
        if settings.destination != self.settings.destination {
            let next = try AccessLogger.open(settings.destination)
            target?.flush()
            linesBefore = lines
            droppedBefore = dropped
            target = next
        }
        self.settings = settings
        hides = LogRedaction(settings)
        text = LogTemplateWriter(settings.format)
    }

    private static func open(_ destination: AccessLog.Destination) throws(SystemError) -> LogTarget? {
        switch destination {
        case .off: return nil
        case .stdout: return try LogFile(inherited: 1)
        case .file(let path): return try LogFile(path: path)
        case .syslog(let path): return LogDatagrams(.syslog(path: path))
        case .journal: return LogDatagrams(.usualJournal)
        case .syslogUDP(let endpoint):
            let colon = endpoint.lastIndex(of: ":") ?? endpoint.startIndex
            let host = endpoint[..<colon].filter { $0 != "[" && $0 != "]" }
            guard let address = IPAddress(String(host)), let port = UInt16(endpoint[colon...].dropFirst()) else { return nil }
            return LogDatagrams(.syslogUDP(address, port))
        }
    }

    var lines: Int { linesBefore + (target?.lines ?? 0) }
    var dropped: Int { droppedBefore + (target?.dropped ?? 0) }

    /// Whether anybody takes lines.
    var isWanted: Bool { target != nil || sink != nil }

    func flush() { if let target, target.hasPending { target.flush() } }

    func reopen() throws(SystemError) { try target?.reopen() }

    /// What there is to tell of the place where lines go.
    func news() -> LogTarget.Health? { target?.news() }

    func log(_ runner: ExchangeRunner, bytesSent: Int, protocolVersion: HTTPVersion, now: UInt64) {
        if let target {
            if isChosen(runner) { write(runner, bytesSent, protocolVersion, now, to: target) } else { skipped += 1 }
        }
        guard let sink, sink.wants(second: runner.worker.wallSeconds) else { return }
        writeJSON(runner, bytesSent, protocolVersion, now)
        sink.send(of: line)
    }

    private func write(_ runner: ExchangeRunner, _ bytesSent: Int, _ version: HTTPVersion, _ now: UInt64, to target: LogTarget) {
        guard text != nil else {
            writeJSON(runner, bytesSent, version, now)
            return target.append(of: line)
        }
        text?.write(runner, bytesSent, version, now, hides)
        if let text { target.append(of: text) }
    }

    /// The same choice wherever the request is seen. What failed is never left out.
    private func isChosen(_ runner: ExchangeRunner) -> Bool {
        settings.sample == 100 || runner.statusSent >= 500 || runner.statusSent == 0 || runner.error != nil
            || runner.requestID.low % 100 < UInt64(settings.sample) || runner.grpcStatus.map { GRPCStatus.isFault($0) } ?? false
    }

    private func writeJSON(_ runner: ExchangeRunner, _ bytesSent: Int, _ protocolVersion: HTTPVersion, _ now: UInt64) {
        line.reset()
        scratch.removeAll()
        line.beginObject()
        line.field("time", runner.startedWall)
        let id = runner.requestID.digits
        line.field("id", id.span)
        logRequest(runner, protocolVersion)
        line.field("status", runner.statusSent)
        if let status = runner.grpcStatus { line.field("grpc_status", status) }
        line.field("bytes_in", runner.requestBytes)
        line.field("bytes_out", bytesSent)
        line.key("duration_ms")
        line.milliseconds(fromMicroseconds: (now &- runner.started) / 1000)
        logDecisions(runner)
        logOrigin(runner)
        if let error = runner.error { logError(error, runner) }
        line.endObject()
        line.endLine()
    }

    private func logHeaders(_ runner: ExchangeRunner) {
        guard !settings.headers.isEmpty else { return }
        line.beginObject("headers")
        for name in settings.headers {
            let bytes = Array(name.utf8)
            guard let range = runner.request.value(named: bytes.span) else { continue }
            if hides.headers.contains(name) { line.field(name, LogRedaction.mark) } else { line.field(name, of: runner.request, range) }
        }
        line.endObject()
    }

    private func logQuery(_ runner: ExchangeRunner) {
        guard runner.original.hasQuery else { return }
        guard !hides.parameters.isEmpty else { return line.field("query", of: runner.request, runner.original.query) }
        hides.copyQuery(of: runner.request, runner.original.query)
        line.field("query", of: hides)
    }

    private func logRequest(_ runner: ExchangeRunner, _ version: HTTPVersion) {
        let client = runner.client.address.append(to: &scratch)
        line.field("client", of: scratch, client)
        line.field("client_port", Int(runner.client.port))
        line.field("protocol", version == .http2 ? "HTTP/2" : version == .http11 ? "HTTP/1.1" : "HTTP/1.0")
        line.field("scheme", runner.request.scheme == .https ? "https" : "http")
        line.field("method", of: runner.request, runner.original.methodName)
        line.field("host", of: runner.request, runner.original.authority)
        line.field("path", of: runner.request, runner.original.path)
        logQuery(runner)
        if let agent = runner.request.value(of: .userAgent) { line.field("user_agent", of: runner.request, agent) }
        if let tls = runner.client.tls {
            line.field("tls", tls.version)
            line.field("sni", tls.serverName)
        }
        logHeaders(runner)
    }

    private func logDecisions(_ runner: ExchangeRunner) {
        guard let generation = runner.generation else { return }
        line.field("generation", generation.number)
        if runner.site >= 0 { line.field("site", generation.configuration.sites[runner.site].name) }
        line.beginArray("rules")
        for id in runner.matchedRules { line.string(generation.rules.ruleID(id)) }
        line.endArray()
        guard !runner.hookCalls.isEmpty else { return }
        line.beginArray("hooks")
        for call in runner.hookCalls {
            line.beginObject()
            line.field("function", generation.configuration.functions[call.function].name)
            line.field("phase", call.phase.name)
            line.field("outcome", call.outcome)
            line.key("cpu_ms")
            line.milliseconds(fromMicroseconds: call.microseconds)
            line.endObject()
        }
        line.endArray()
    }

    private func logOrigin(_ runner: ExchangeRunner) {
        let origin = runner.origin
        guard origin.upstream >= 0, let generation = runner.generation else { return }
        line.beginObject("upstream")
        line.field("name", generation.configuration.upstreams[origin.upstream].name)
        if origin.server >= 0 {
            let address = origin.address.append(to: &scratch)
            line.field("address", of: scratch, address)
            line.field("port", Int(origin.port))
        }
        if origin.called {
            line.field("status", origin.status)
            line.field("reused", origin.reusedConnection)
        }
        line.field("attempts", origin.attempts)
        if origin.firstByte > 0, origin.requestSent > 0 {
            line.key("first_byte_ms")
            line.milliseconds(fromMicroseconds: (origin.firstByte &- origin.requestSent) / 1000)
        }
        line.endObject()
    }

    private func logError(_ error: GatewayError, _ runner: ExchangeRunner) {
        line.beginObject("error")
        line.field("kind", error.kind.name)
        line.field("phase", error.phase.name)
        if !error.note.isEmpty { line.field("note", error.note) }
        if !runner.failedHook.isEmpty { line.field("hook", runner.failedHook) }
        line.endObject()
    }
}

extension JSONLineWriter {
    /// A span cannot outlive the access to the object it comes from, so its owner is the parameter.
    fileprivate mutating func field(_ key: String, of head: borrowing Head, _ range: ByteRange) { field(key, head.bytes(range)) }
    fileprivate mutating func field(_ key: String, of redaction: LogRedaction) {
        let query = redaction.query
        field(key, query.span)
    }
    fileprivate mutating func field(_ key: String, of arena: borrowing ByteArena, _ range: ByteRange) { field(key, arena[range]) }
}

extension LineSink {
    fileprivate func send(of writer: borrowing JSONLineWriter) { send(writer.bytes) }
}

extension LogTarget {
    /// Takes the finished line of a writer.
    func append(of writer: borrowing JSONLineWriter) { append(writer.bytes) }
    func append(of writer: LogTemplateWriter) {
        let bytes = writer.bytes
        append(bytes.span)
    }
}
