import Buffers
import HTTP
import Reactor
import Rules
import Telemetry
import Upstream

/// What a traced exchange notes on its way. There is none for the others: not being traced costs a comparison with nil.
final class SpanBook {
    struct Stretch {
        var name: String
        var started: UInt64
        var ended: UInt64 = 0
    }

    struct HookStretch {
        var record: ExchangeRunner.HookRecord
        var started: UInt64
        var ended: UInt64
    }

    /// An attempt at an origin that another one followed.
    struct Attempt {
        var origin: OriginInfo
        var ended: UInt64
        var spanID: UInt64
    }

    let traceHigh: UInt64
    let traceLow: UInt64
    /// The request's own span, and the caller's; 0: there is no caller.
    let spanID: UInt64
    let parentID: UInt64
    /// The span of the attempt under way: what the origin sees as its parent.
    let attemptID: UInt64
    private(set) var phases: [Stretch] = []
    private(set) var hooks: [HookStretch] = []
    private(set) var attempts: [Attempt] = []
    private var hookStarted: UInt64 = 0

    init(traceHigh: UInt64, traceLow: UInt64, spanID: UInt64, parentID: UInt64, attemptID: UInt64) {
        self.traceHigh = traceHigh
        self.traceLow = traceLow
        self.spanID = spanID
        self.parentID = parentID
        self.attemptID = attemptID
    }

    func enterPhase(_ phase: Phase, at now: UInt64) { phases.append(Stretch(name: "\(phase.name) rules", started: now)) }

    func leavePhase(at now: UInt64) {
        guard let last = phases.indices.last, phases[last].ended == 0 else { return }
        phases[last].ended = now
    }

    func hookBegins(at now: UInt64) { hookStarted = now }

    func hookEnded(_ record: ExchangeRunner.HookRecord, at now: UInt64) {
        hooks.append(HookStretch(record: record, started: hookStarted, ended: now))
    }

    /// A further attempt begins; `origin` is what is known of the one before.
    func anotherAttempt(after origin: OriginInfo, at now: UInt64, spanID: UInt64) {
        guard attempts.count < 16 else { return }
        attempts.append(Attempt(origin: origin, ended: now, spanID: spanID))
    }
}

/// Decides which exchanges of a configuration are traced.
final class Tracer {
    let settings: Tracing

    init?(_ configuration: Configuration) {
        guard let settings = configuration.tracing else { return nil }
        self.settings = settings
    }

    /// A book for an exchange that is traced; nil for the others.
    ///
    /// What a caller decided counts when a trusted proxy passes it on. A stranger must not be able to have everything traced.
    func begin(_ runner: ExchangeRunner) -> SpanBook? {
        let parent = TraceParent(runner.request)
        let wanted = parent.flatMap { runner.isFromTrustedProxy ? $0.isSampled : nil }
        let ids = runner.worker.nextRequestID()
        guard wanted ?? (settings.sample == 100 || ids.high % 100 < UInt64(settings.sample)) else { return nil }
        let more = runner.worker.nextRequestID()
        return SpanBook(
            traceHigh: parent?.traceHigh ?? runner.requestID.high, traceLow: parent?.traceLow ?? runner.requestID.low,
            spanID: more.high | 1, parentID: parent?.spanID ?? 0, attemptID: more.low | 1)
    }
}

/// A good `traceparent`, as numbers.
struct TraceParent: Equatable {
    let traceHigh: UInt64
    let traceLow: UInt64
    let spanID: UInt64
    let isSampled: Bool

    init?(_ request: borrowing Head) {
        guard let range = request.value(named: Span("traceparent")) else { return nil }
        self.init(request.bytes(range))
    }

    init?(_ text: borrowing Span<UInt8>) {
        guard TraceContext.isValid(text) else { return nil }
        traceHigh = TraceParent.number(text.extracting(3..<19))
        traceLow = TraceParent.number(text.extracting(19..<35))
        spanID = TraceParent.number(text.extracting(36..<52))
        isSampled = TraceParent.number(text.extracting(53..<55)) & 1 == 1
    }

    private static func number(_ digits: borrowing Span<UInt8>) -> UInt64 {
        var value: UInt64 = 0
        for index in digits.indices { value = value << 4 | UInt64(digits[index] < 58 ? digits[index] - 48 : digits[index] - 87) }
        return value
    }
}

extension ExchangeRunner {
    /// The span that works for the origin becomes the parent of what happens there (W3C Trace Context).
    func addTraceparent(of spans: SpanBook) {
        var value = Array("00-".utf8)
        let trace = RequestID(high: spans.traceHigh, low: spans.traceLow).digits
        for index in 0..<32 { value.append(trace[index]) }
        value.append(UInt8(ascii: "-"))
        let parent = RequestID(high: spans.attemptID, low: 0).digits
        for index in 0..<16 { value.append(parent[index]) }
        value.append(contentsOf: Array("-01".utf8))
        request.set(name: Span("traceparent"), value: value.span)
    }
}
