import Buffers
import HTTP
import Rules
import Telemetry
import Upstream

/// Writes the spans of one exchange, each an object of OTLP's JSON form (ids in hexadecimal, times as decimal strings).
struct SpanWriter: ~Copyable {
    private enum Kind: Int { case `internal` = 1, server, client }

    let book: SpanBook
    /// What makes a wall-clock time of a monotonic one.
    let offset: UInt64
    private(set) var written = 0
    private var address = ByteArena(capacity: 64)

    init(book: SpanBook, offset: UInt64) {
        self.book = book
        self.offset = offset
    }

    mutating func write(_ runner: ExchangeRunner, now: UInt64, into json: inout JSONLineWriter) {
        writeRequest(runner, now, &json)
        writeHandshake(runner, &json)
        for phase in book.phases {
            begin(id(after: phase.started), book.spanID, phase.name, .internal, phase.started, phase.ended == 0 ? now : phase.ended, &json)
            json.endArray()
            json.endObject()
        }
        for hook in book.hooks { write(hook, runner, &json) }
        for attempt in book.attempts { write(attempt.origin, attempt.spanID, attempt.ended, runner, isLast: false, &json) }
        if runner.origin.attempts > 0 { write(runner.origin, book.attemptID, now, runner, isLast: true, &json) }
    }

    private mutating func writeRequest(_ runner: ExchangeRunner, _ now: UInt64, _ json: inout JSONLineWriter) {
        let method = runner.request.text(runner.original.methodName)
        let site = runner.generation.map { runner.site >= 0 ? $0.configuration.sites[runner.site].name : "" } ?? ""
        begin(book.spanID, book.parentID, site.isEmpty ? method : "\(method) \(site)", .server, runner.started, now, &json)
        json.attribute("http.request.method", method)
        json.attribute("url.path", of: runner.request, runner.original.path)
        json.attribute("url.scheme", runner.request.scheme == .https ? "https" : "http")
        json.attribute("server.address", of: runner.request, runner.original.authority)
        json.attribute("network.protocol.version", runner.request.version == .http2 ? "2" : "1.1")
        address.removeAll()
        let client = runner.client.address.append(to: &address)
        json.attribute("client.address", of: address, client)
        if runner.statusSent > 0 { json.attribute("http.response.status_code", runner.statusSent) }
        let call = runner.grpcStatus
        if let call { json.attribute("rpc.grpc.status_code", call) }
        json.attribute("sluice.request_id", runner.requestID.text)
        if !site.isEmpty { json.attribute("sluice.site", site) }
        if let generation = runner.generation, !runner.matchedRules.isEmpty {
            json.attribute("sluice.rules", runner.matchedRules.map { generation.rules.ruleID($0) }.joined(separator: ", "))
        }
        if let error = runner.error { json.attribute("error.type", error.kind.name) }
        json.endArray()
        endStatus(isError: runner.statusSent >= 500 || runner.statusSent == 0 || call.map { GRPCStatus.isFault($0) } ?? false, &json)
    }

    /// The first exchange of a connection tells of its handshake.
    private mutating func writeHandshake(_ runner: ExchangeRunner, _ json: inout JSONLineWriter) {
        guard let tls = runner.client.tls, tls.handshakeEnded > 0, runner.stream?.isFirst == true else { return }
        begin(id(after: tls.handshakeEnded), book.spanID, "TLS handshake", .internal, tls.handshakeBegan, tls.handshakeEnded, &json)
        json.attribute("tls.protocol.version", tls.version)
        json.attribute("tls.cipher", tls.cipher)
        json.endArray()
        json.endObject()
    }

    private mutating func write(_ hook: SpanBook.HookStretch, _ runner: ExchangeRunner, _ json: inout JSONLineWriter) {
        let functions = runner.generation?.configuration.functions ?? []
        let name = functions.indices.contains(hook.record.function) ? functions[hook.record.function].name : "?"
        begin(id(after: hook.started &+ UInt64(written)), book.spanID, "hook \(name)", .internal, hook.started, hook.ended, &json)
        json.attribute("sluice.function", name)
        json.attribute("sluice.phase", hook.record.phase.name)
        json.attribute("sluice.outcome", hook.record.outcome)
        json.attribute("sluice.cpu_us", Int(clamping: hook.record.microseconds))
        json.endArray()
        endStatus(isError: !["continue", "respond", "deny"].contains(hook.record.outcome), &json)
    }

    private mutating func write(
        _ origin: OriginInfo, _ spanID: UInt64, _ end: UInt64, _ runner: ExchangeRunner, isLast: Bool, _ json: inout JSONLineWriter
    ) {
        let upstreams = runner.generation?.configuration.upstreams ?? []
        let name = upstreams.indices.contains(origin.upstream) ? upstreams[origin.upstream].name : "?"
        let start = origin.connectStart != 0 ? origin.connectStart : origin.requestSent != 0 ? origin.requestSent : runner.started
        begin(spanID, book.spanID, "origin \(name)", .client, start, end, &json)
        json.attribute("sluice.upstream", name)
        address.removeAll()
        let server = origin.address.append(to: &address)
        json.attribute("server.address", of: address, server)
        json.attribute("server.port", Int(origin.port))
        json.attribute("sluice.attempt", origin.attempts)
        json.attribute("sluice.connection_reused", origin.reusedConnection ? 1 : 0)
        if origin.called, isLast { json.attribute("http.response.status_code", origin.status) }
        if origin.firstByte > 0, origin.requestSent > 0, isLast {
            json.attribute("sluice.first_byte_us", Int(clamping: (origin.firstByte &- origin.requestSent) / 1000))
        }
        json.endArray()
        endStatus(isError: !isLast || !origin.called || origin.status >= 500, &json)
    }

    // MARK: Parts

    /// Up to and with the beginning of the attributes.
    private mutating func begin(
        _ spanID: UInt64, _ parentID: UInt64, _ name: String, _ kind: Kind, _ start: UInt64, _ end: UInt64, _ json: inout JSONLineWriter
    ) {
        written += 1
        json.beginObject()
        let trace = RequestID(high: book.traceHigh, low: book.traceLow).digits
        json.field("traceId", trace.span)
        json.span("spanId", spanID)
        if parentID != 0 { json.span("parentSpanId", parentID) }
        json.field("name", name)
        json.field("kind", kind.rawValue)
        json.field("startTimeUnixNano", String(start &+ offset))
        json.field("endTimeUnixNano", String(max(start, end) &+ offset))
        json.beginArray("attributes")
    }

    private func endStatus(isError: Bool, _ json: inout JSONLineWriter) {
        if isError {
            json.beginObject("status")
            json.field("code", 2)
            json.endObject()
        }
        json.endObject()
    }

    /// Ids of spans that nobody refers to: different within the trace is enough.
    private func id(after time: UInt64) -> UInt64 {
        var value = book.spanID ^ (time &* 0x9E37_79B9_7F4A_7C15) ^ UInt64(written + 1) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ value >> 31) &* 0x94D0_49BB_1331_11EB
        return value | 1
    }
}

extension JSONLineWriter {
    mutating func attribute(_ key: String, _ value: String) {
        beginAttribute(key)
        field("stringValue", value)
        endAttribute()
    }

    mutating func attribute(_ key: String, of head: borrowing Head, _ range: ByteRange) {
        beginAttribute(key)
        field("stringValue", head.bytes(range))
        endAttribute()
    }

    mutating func attribute(_ key: String, of arena: borrowing ByteArena, _ range: ByteRange) {
        beginAttribute(key)
        field("stringValue", arena[range])
        endAttribute()
    }

    /// 64-bit numbers are strings in JSON.
    mutating func attribute(_ key: String, _ value: Int) {
        beginAttribute(key)
        field("intValue", String(value))
        endAttribute()
    }

    fileprivate mutating func span(_ key: String, _ id: UInt64) {
        let digits = RequestID(high: id, low: 0).digits
        field(key, digits.span.extracting(first: 16))
    }

    private mutating func beginAttribute(_ key: String) {
        beginObject()
        field("key", key)
        beginObject("value")
    }

    private mutating func endAttribute() {
        endObject()
        endObject()
    }

    borrowing func copied() -> [UInt8] {
        let bytes = bytes
        var copy: [UInt8] = []
        copy.reserveCapacity(bytes.count)
        for index in 0..<bytes.count { copy.append(bytes[index]) }
        return copy
    }
}
