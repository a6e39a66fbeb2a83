import Buffers
import HTTP
import Reactor
import Rules
import Telemetry
import Upstream

/// Writes one JSON line per exchange. Nothing is allocated once the line buffer is warm.
final class AccessLogger {
    /// nil when the configuration wants no log.
    private let file: LogFile?
    /// Somebody watches.
    var sink: LineSink?
    private var line = JSONLineWriter(capacity: 4096)
    private var scratch = ByteArena(capacity: 256)

    init(file: LogFile?) { self.file = file }

    var lines: Int { file?.lines ?? 0 }
    var dropped: Int { file?.dropped ?? 0 }

    /// Whether anybody takes lines.
    var isWanted: Bool { file != nil || sink != nil }

    func flush() { if let file, file.hasPending { file.flush() } }

    func reopen() throws(SystemError) { try file?.reopen() }

    func log(_ runner: ExchangeRunner, bytesSent: Int, protocolVersion: HTTPVersion, now: UInt64) {
        line.reset()
        scratch.removeAll()
        line.beginObject()
        line.field("time", runner.startedWall)
        let id = runner.requestID.digits
        line.field("id", id.span)
        logRequest(runner, protocolVersion)
        line.field("status", runner.statusSent)
        line.field("bytes_in", runner.requestBytes)
        line.field("bytes_out", bytesSent)
        line.key("duration_ms")
        line.milliseconds(fromMicroseconds: (now &- runner.started) / 1000)
        logDecisions(runner)
        logOrigin(runner)
        if let error = runner.error { logError(error, runner) }
        line.endObject()
        line.endLine()
        file?.append(of: line)
        if let sink, sink.wants(second: runner.worker.wallSeconds) { sink.send(of: line) }
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
        if runner.original.hasQuery { line.field("query", of: runner.request, runner.original.query) }
        if let agent = runner.request.value(of: .userAgent) { line.field("user_agent", of: runner.request, agent) }
        if let tls = runner.client.tls {
            line.field("tls", tls.version)
            line.field("sni", tls.serverName)
        }
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
    fileprivate mutating func field(_ key: String, of arena: borrowing ByteArena, _ range: ByteRange) { field(key, arena[range]) }
}

extension LineSink {
    fileprivate func send(of writer: borrowing JSONLineWriter) { send(writer.bytes) }
}

extension LogFile {
    /// Takes the finished line of a writer.
    func append(of writer: borrowing JSONLineWriter) { append(writer.bytes) }
}
