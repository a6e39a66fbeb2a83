import Buffers
import HTTP
import Rules
import Telemetry

/// What is not written to a log, whoever asks for it. Names are compared as they are: no pattern can be slow here.
final class LogRedaction {
    static let mark = "[redacted]"
    private static let markBytes = Array(mark.utf8)

    let headers: Set<String>
    let parameters: [[UInt8]]
    /// The last query that was looked at, with the values of hidden parameters replaced.
    private(set) var query: [UInt8] = []

    init(_ settings: AccessLog) {
        headers = Set(settings.hiddenHeaders)
        parameters = settings.hiddenParameters.map { Array($0.utf8) }
    }

    /// Copies a query and hides what is to be hidden.
    func copyQuery(of head: borrowing Head, _ range: ByteRange) { copyQuery(head.bytes(range)) }

    func copyQuery(_ bytes: borrowing Span<UInt8>) {
        query.removeAll(keepingCapacity: true)
        var start = 0
        while start <= bytes.count {
            var end = start
            while end < bytes.count, bytes[end] != UInt8(ascii: "&") { end += 1 }
            copyParameter(bytes.extracting(start..<end))
            if end < bytes.count { query.append(UInt8(ascii: "&")) }
            start = end + 1
        }
    }

    private func copyParameter(_ bytes: borrowing Span<UInt8>) {
        let equals = bytes.firstIndex(of: UInt8(ascii: "=")) ?? bytes.count
        let hidden = equals < bytes.count && isHidden(bytes.extracting(first: equals))
        for index in 0..<(hidden ? equals + 1 : bytes.count) { query.append(bytes[index]) }
        if hidden { query.append(contentsOf: LogRedaction.markBytes) }
    }

    private func isHidden(_ name: borrowing Span<UInt8>) -> Bool {
        for parameter in parameters where LogRedaction.equal(name, parameter) { return true }
        return false
    }

    /// A name may be written with percent-encoding; it is the same parameter.
    private static func equal(_ name: borrowing Span<UInt8>, _ known: [UInt8]) -> Bool {
        var at = 0
        var index = 0
        while at < name.count {
            var byte = name[at]
            if byte == UInt8(ascii: "%"), at + 2 < name.count, let high = digit(name[at + 1]), let low = digit(name[at + 2]) {
                byte = high << 4 | low
                at += 2
            } else if byte == UInt8(ascii: "+") {
                byte = 32
            }
            guard index < known.count, known[index] == byte else { return false }
            index += 1
            at += 1
        }
        return index == known.count
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }
}

/// Writes access log lines by a template. What comes from outside can neither end a line nor a quoted value.
final class LogTemplateWriter {
    private let parts: [LogPart]
    private(set) var bytes: [UInt8] = []
    private var scratch = ByteArena(capacity: 64)
    private var second = -1
    private var commonLog: [UInt8] = []
    private var internet: [UInt8] = []

    /// nil: the format has no template.
    init?(_ format: LogFormat) {
        guard case .template(let parts) = format else { return nil }
        self.parts = parts
        bytes.reserveCapacity(1024)
    }

    func write(_ runner: ExchangeRunner, _ bytesSent: Int, _ version: HTTPVersion, _ now: UInt64, _ hides: LogRedaction) {
        bytes.removeAll(keepingCapacity: true)
        for part in parts {
            switch part {
            case .text(let text): bytes.append(contentsOf: text)
            case .requestHeader(let name): header(name, runner.request, hides)
            case .responseHeader(let name): header(name, runner.response, hides)
            case .field(let field): write(field, runner, bytesSent, version, now, hides)
            }
        }
        bytes.append(10)
    }

    private func write(
        _ field: LogField, _ runner: ExchangeRunner, _ bytesSent: Int, _ version: HTTPVersion, _ now: UInt64, _ hides: LogRedaction
    ) {
        switch field {
        case .time: number(runner.startedWall)
        case .timeUTC: time(runner.startedWall) { $0.internet }
        case .timeCLF: time(runner.startedWall) { $0.commonLog }
        case .status: number(runner.statusSent)
        case .grpcStatus: if let status = runner.grpcStatus { number(status) } else { none() }
        case .bytesIn: number(runner.requestBytes)
        case .bytesOut: number(bytesSent)
        case .duration: milliseconds((now &- runner.started) / 1000)
        case .protocolName: text(version == .http2 ? "HTTP/2.0" : version == .http11 ? "HTTP/1.1" : "HTTP/1.0")
        case .method, .host, .path, .query, .target, .scheme, .id, .client, .clientPort, .tls, .sni: writeRequest(field, runner, hides)
        case .site, .rules, .generation, .upstream, .upstreamAddress, .upstreamStatus, .attempts, .error: writeDecision(field, runner)
        }
    }

    private func writeRequest(_ field: LogField, _ runner: ExchangeRunner, _ hides: LogRedaction) {
        switch field {
        case .id:
            let digits = runner.requestID.digits
            append(digits.span)
        case .client: address(runner.client.address)
        case .clientPort: number(Int(runner.client.port))
        case .scheme: text(runner.request.scheme == .https ? "https" : "http")
        case .method: value(runner.request, runner.original.methodName)
        case .host: value(runner.request, runner.original.authority)
        case .path: value(runner.request, runner.original.path)
        case .query: if runner.original.hasQuery { query(runner, hides) } else { none() }
        case .target:
            value(runner.request, runner.original.path)
            guard runner.original.hasQuery else { return }
            bytes.append(UInt8(ascii: "?"))
            query(runner, hides)
        case .tls: text(runner.client.tls?.version ?? "")
        case .sni: text(runner.client.tls?.serverName ?? "")
        default: none()
        }
    }

    private func writeDecision(_ field: LogField, _ runner: ExchangeRunner) {
        guard let generation = runner.generation else { return none() }
        let origin = runner.origin
        switch field {
        case .site: text(runner.site >= 0 ? generation.configuration.sites[runner.site].name : "")
        case .rules:
            if runner.matchedRules.isEmpty { none() }
            for (index, id) in runner.matchedRules.enumerated() {
                if index > 0 { bytes.append(UInt8(ascii: ",")) }
                text(generation.rules.ruleID(id))
            }
        case .generation: number(Int(clamping: generation.number))
        case .upstream: text(origin.upstream >= 0 ? generation.configuration.upstreams[origin.upstream].name : "")
        case .upstreamAddress:
            guard origin.server >= 0 else { return none() }
            address(origin.address)
            bytes.append(UInt8(ascii: ":"))
            number(Int(origin.port))
        case .upstreamStatus: if origin.called { number(origin.status) } else { none() }
        case .attempts: number(origin.attempts)
        default: text(runner.error?.kind.name ?? "")
        }
    }

    // MARK: Values

    private func none() { bytes.append(UInt8(ascii: "-")) }

    private func text(_ text: String) {
        if text.isEmpty { return none() }
        append(text.utf8Span.span)
    }

    private func value(_ head: borrowing Head, _ range: ByteRange) { append(head.bytes(range)) }

    private func header(_ name: String, _ head: borrowing Head, _ hides: LogRedaction) {
        guard let range = head.value(named: name.utf8Span.span) else { return none() }
        if hides.headers.contains(name) { text(LogRedaction.mark) } else { value(head, range) }
    }

    private func query(_ runner: ExchangeRunner, _ hides: LogRedaction) {
        if hides.parameters.isEmpty { return value(runner.request, runner.original.query) }
        hides.copyQuery(of: runner.request, runner.original.query)
        let query = hides.query
        append(query.span)
    }

    private func address(_ address: IPAddress) {
        scratch.removeAll()
        let range = address.append(to: &scratch)
        copy(scratch, range)
    }

    /// A span cannot outlive the access to the object it comes from, so its owner is the parameter.
    private func copy(_ arena: borrowing ByteArena, _ range: ByteRange) { append(arena[range]) }

    private func time(_ seconds: Int, _ form: (LogTemplateWriter) -> [UInt8]) {
        if seconds != second {
            second = seconds
            commonLog = Array(HTTPDate.commonLog(seconds).utf8)
            internet = Array(HTTPDate.internet(seconds).utf8)
        }
        bytes.append(contentsOf: form(self))
    }

    private func number(_ value: Int) {
        let at = bytes.count
        var rest = value.magnitude
        repeat {
            bytes.append(UInt8(48 + rest % 10))
            rest /= 10
        } while rest > 0
        bytes[at...].reverse()
    }

    private func milliseconds(_ microseconds: UInt64) {
        number(Int(clamping: microseconds / 1000))
        bytes.append(UInt8(ascii: "."))
        for divisor in [100, 10, 1] as [UInt64] { bytes.append(UInt8(48 + microseconds % 1000 / divisor % 10)) }
    }

    /// Bytes as they are, but control characters, quotes, backslashes and whatever is not ASCII as `\xHH`.
    private func append(_ value: borrowing Span<UInt8>) {
        if value.count == 0 { return none() }
        for index in 0..<value.count {
            let byte = value[index]
            if byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
                bytes.append(byte)
            } else {
                bytes.append(contentsOf: [UInt8(ascii: "\\"), UInt8(ascii: "x"), LogTemplateWriter.hex(byte >> 4), LogTemplateWriter.hex(byte & 15)])
            }
        }
    }

    private static func hex(_ digit: UInt8) -> UInt8 { digit < 10 ? 48 + digit : 55 + digit }
}
