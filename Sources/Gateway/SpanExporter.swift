import Buffers
import HTTP
import Reactor
import Rules
import Telemetry
import Upstream

/// Gathers finished spans and sends them to a collector, as OTLP over HTTP in its JSON form.
///
/// The collector is an upstream like any other. It is never waited for: one batch is under way at a time, a bounded one gathers
/// meanwhile, and what has no room is dropped and counted.
final class SpanExporter: Timer {
    /// Spans and bytes that are gathered at most.
    static let spanLimit = 4096
    static let byteLimit = 2 << 20
    /// A batch goes when it has so many spans, and after so many milliseconds at the latest.
    static let batch = 512
    static let period: UInt64 = 2_000

    private unowned let worker: Worker
    var spans = JSONLineWriter(capacity: 16 * 1024)
    var count = 0
    private var underWay: SpanBatch?
    private var isTold = false

    init(_ worker: Worker) { self.worker = worker }

    override func fire() {
        send()
        if count > 0 { schedule() }
    }

    /// Whether one more exchange's spans can be taken; counts them as lost if not.
    private func hasRoom(_ wanted: Int) -> Bool {
        if count + wanted <= SpanExporter.spanLimit, spans.bytes.count < SpanExporter.byteLimit { return true }
        worker.metrics.add(.spansDropped, wanted)
        return false
    }

    func take(_ runner: ExchangeRunner, _ book: SpanBook, now: UInt64) {
        guard hasRoom(2 + book.phases.count + book.hooks.count + book.attempts.count) else { return }
        if count == 0 { spans.reset() }
        let offset = SystemClock.wallNanoseconds() &- worker.preciseNow
        var writer = SpanWriter(book: book, offset: offset)
        writer.write(runner, now: now, into: &spans)
        count += writer.written
        if count >= SpanExporter.batch { send() }
        if count > 0 { schedule() }
    }

    private func schedule() {
        guard !isScheduled else { return }
        worker.schedule(self, after: SpanExporter.period)
    }

    /// What there is goes now: the worker is to leave.
    func hurry() { if count > 0 { send() } }

    /// The worker leaves: what is not with the collector by now is lost, and counted.
    func abandon() {
        worker.metrics.add(.spansDropped, count + (underWay?.count ?? 0))
        count = 0
        underWay = nil
    }

    private func send() {
        guard underWay == nil, count > 0, let generation = worker.generation else { return }
        guard let settings = generation.tracer?.settings else {
            worker.metrics.add(.spansDropped, count)
            count = 0
            return
        }
        let batch = SpanBatch(self, worker, generation, settings, SpanExporter.wrap(settings.service, spans.bytes), count: count)
        count = 0
        spans.reset()
        underWay = batch
        batch.send()
    }

    fileprivate func ended(_ batch: SpanBatch, _ failure: String?) {
        guard underWay === batch else { return }
        underWay = nil
        if let failure {
            worker.metrics.add(.spansDropped, batch.count)
            worker.metrics.add(.spanBatchesFailed)
            if !isTold { worker.note(.warning, "spans are lost: \(failure); sluice_spans_total counts them") }
            isTold = true
        } else {
            worker.metrics.add(.spansSent, batch.count)
            if isTold { worker.note(.info, "the collector takes spans again") }
            isTold = false
        }
    }

    /// The message around the spans: `ExportTraceServiceRequest`.
    private static func wrap(_ service: String, _ spans: borrowing Span<UInt8>) -> [UInt8] {
        var head = JSONLineWriter(capacity: 512)
        head.beginObject()
        head.beginArray("resourceSpans")
        head.beginObject()
        head.beginObject("resource")
        head.beginArray("attributes")
        head.attribute("service.name", service)
        head.attribute("telemetry.sdk.language", "swift")
        head.endArray()
        head.endObject()
        head.beginArray("scopeSpans")
        head.beginObject()
        head.beginObject("scope")
        head.field("name", "sluice")
        head.endObject()
        head.beginArray("spans")
        var message = head.copied()
        for index in 0..<spans.count { message.append(spans[index]) }
        message.append(contentsOf: Array("]}]}]}".utf8))
        return message
    }
}

/// One batch on its way: an exchange without a client.
private final class SpanBatch: ForwardedExchange {
    /// Bytes of an answer that are read so that its connection can be used again.
    private static let answerLimit = 64 << 10

    let count: Int
    private unowned let exporter: SpanExporter
    private let generation: ServingGeneration
    private var answered = 0
    private var isOver = false

    init(
        _ exporter: SpanExporter, _ worker: Worker, _ generation: ServingGeneration, _ settings: Tracing, _ body: [UInt8], count: Int
    ) {
        self.exporter = exporter
        self.generation = generation
        self.count = count
        super.init()
        let server = generation.configuration.upstreams[settings.upstream].servers.first
        request.setMethod(Span("POST"))
        request.setPath(settings.path.utf8Span.span)
        let authority = server.map { $0.path == nil ? "\($0.host):\($0.port)" : $0.host } ?? "collector"
        request.authority = request.arena.append(authority.utf8Span.span)
        request.add(name: Span("content-type"), value: Span("application/json"))
        for header in settings.headers { request.add(name: header.name.utf8Span.span, value: header.value.utf8Span.span) }
        request.body = .known(body.count)
        requestBody.append(copying: body.span, from: worker.pool)
        requestBodyEnded = true
        requestID = worker.nextRequestID()
        started = worker.nowNanoseconds
        keepOriginal()
        origin.upstream = settings.upstream
    }

    func send() { generation.upstreams.open(self, upstream: origin.upstream) }

    private func end(_ failure: String?) {
        guard !isOver else { return }
        isOver = true
        cancelOrigin()
        requestBody.removeAll()
        responseBody.removeAll()
        exporter.ended(self, failure)
    }

    private var verdict: String? { (200..<300).contains(response.status) ? nil : "the collector answered \(response.status)" }

    override func originResponded() { if responseBodyEnded { end(verdict) } }

    override func originBodyArrived() {
        answered += responseBody.byteCount
        responseBody.removeAll()
        if responseBodyEnded || answered > SpanBatch.answerLimit { return end(verdict) }
        originStream?.responseBodyDrained()
    }

    override func originFailed(_ error: GatewayError) { end("the collector cannot be had (\(error.kind.name))") }
    override func originUpgraded() { end("the collector answered 101") }
}
