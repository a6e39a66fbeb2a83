import Buffers
import Codings
import HTTP
import Hooks
import Rules
import Telemetry
import Upstream

/// The response's body between origin and client: as it is, or through a pipeline that rules asked for.
///
/// `responseBody` is what the origin or a hook gave; `outgoing` is what the client gets. Without a pipeline they are one.
extension ExchangeRunner {
    /// A pipeline stops when so much waits for the client.
    private static let pipelineRoom = 64 << 10

    /// Lends the chain that the client's stream sends from.
    func withOutgoing<Result>(_ body: (inout Chain) -> Result) -> Result {
        if let pipeline { return body(&pipeline.output) }
        return body(&responseBody)
    }

    var outgoingBytes: Int { pipeline.map { $0.output.byteCount } ?? responseBody.byteCount }

    /// Nothing will follow what is in `outgoing`.
    var outgoingEnded: Bool { pipeline.map { $0.isFinished } ?? responseBodyEnded }

    /// `responseBody` grew or ended while it is being sent.
    func responseBodyGrew() {
        guard runPipeline() else { return }
        stream?.responseBodyChanged()
    }

    /// The client took body bytes: there is room for more, here and at the origin.
    func clientDrained() {
        if let pipeline {
            let before = (pipeline.output.byteCount, pipeline.isFinished)
            guard runPipeline() else { return }
            if before != (pipeline.output.byteCount, pipeline.isFinished) { stream?.responseBodyChanged() }
        }
        if let tunnelEnd { return tunnelEnd.clientHasRoom() }
        if !stagesMakeMore(.response) { originStream?.responseBodyDrained() }
    }

    /// - Returns: false when the body cannot be coded; the exchange is over then.
    private func runPipeline() -> Bool {
        guard let pipeline else { return true }
        do throws(CodingError) {
            try pipeline.run(&responseBody, ended: responseBodyEnded, room: ExchangeRunner.pipelineRoom)
            return true
        } catch {
            fail(GatewayError(.originProtocol, in: .responseBody, note: "\(error.note)"))
            return false
        }
    }

    func closePipeline() {
        guard let pipeline else { return }
        worker.metrics.add(.transformedIn, pipeline.bytesIn)
        worker.metrics.add(.transformedOut, pipeline.bytesOut)
        worker.metrics.add(.textsReplaced, pipeline.replacements)
        pipeline.close()
        self.pipeline = nil
    }

    // MARK: What to do

    /// Keeps what the client accepts before rules may hide it from the origin.
    func keepAcceptedCodings() {
        acceptedCodings = AcceptedCodings()
        var index = 0
        while let next = request.firstIndex(of: .acceptEncoding, from: index) {
            ExchangeRunner.add(request, request.fields[next].value, to: &acceptedCodings)
            index = next + 1
        }
    }

    private static func add(_ head: borrowing Head, _ range: ByteRange, to accepted: inout AcceptedCodings) {
        accepted.add(head.bytes(range))
    }

    /// Response rules are over: puts what they want done with the body into the head, and a pipeline before the client.
    /// - Returns: false when the exchange is over.
    func prepareBody() -> Bool {
        guard !rules.wishes.isEmpty, let plan = bodyPlan() else { return true }
        guard responseHasBody else {
            // The answer to HEAD says what GET would say.
            if original.method == .head { announce(plan) }
            return true
        }
        guard let pipeline = BodyPipeline(plan, worker.coders, worker.pool) else {
            worker.metrics.add(.transformsSkippedBusy)
            return true
        }
        self.pipeline = pipeline
        announce(plan)
        if let coding = plan.encode { worker.metrics.add(coding == .gzip ? .compressedGzip : coding == .brotli ? .compressedBrotli : .compressedZstd) }
        guard runPipeline() else { return false }
        // All there already: the length is known after all.
        if pipeline.isFinished { response.body = .known(pipeline.output.byteCount) }
        return true
    }

    /// What is to be done; nil for nothing. Says `Vary` where the answer depends on what the client accepts.
    private func bodyPlan() -> BodyPipeline.Plan? {
        guard response.status != 206, response.status != 101, response.firstIndex(named: Span("Content-Range")) == nil, !hasDirective("no-transform") else { return nil }
        var plan = BodyPipeline.Plan()
        let held = contentCoding()
        if let (search, with) = rules.replacing(self), isType(.textual), held != .unknown {
            plan.search = search
            plan.replacements = with
            if case .known(let coding) = held {
                plan.decode = coding
                // Who got it encoded gets it encoded still.
                plan.encode = coding.canEncode ? coding : nil
            }
        }
        if let settings = rules.compression, held == .none || plan.decode != nil, isType(settings.types) {
            addVary()
            if isWorthCompressing(settings) { plan.encode = acceptedCodings.best(of: settings.codings) ?? plan.encode }
        }
        guard !plan.isEmpty else { return nil }
        if case .known = response.body {} else { plan.flushes = true }
        return plan
    }

    private enum HeldCoding: Equatable {
        case none
        case known(ContentCoding)
        /// One we do not know, or several.
        case unknown
    }

    private func contentCoding() -> HeldCoding {
        guard let index = response.firstIndex(of: .contentEncoding) else { return .none }
        guard response.firstIndex(of: .contentEncoding, from: index + 1) == nil else { return .unknown }
        return ExchangeRunner.coding(response, response.fields[index].value)
    }

    private static func coding(_ head: borrowing Head, _ range: ByteRange) -> HeldCoding {
        let text = head.bytes(range).trimmingOWS()
        if text.count == 0 || text.equalsIgnoringCase("identity") { return .none }
        return ContentCoding(text).map { .known($0) } ?? .unknown
    }

    private func isType(_ types: MediaTypes) -> Bool {
        guard let value = response.value(of: .contentType) else { return types.written.contains("*") }
        return ExchangeRunner.contains(types, response, value)
    }

    private static func contains(_ types: MediaTypes, _ head: borrowing Head, _ range: ByteRange) -> Bool {
        types.contain(head.bytes(range).trimmingOWS())
    }

    private func isWorthCompressing(_ settings: CompressSettings) -> Bool {
        guard case .known(let count) = response.body else { return true }
        return count >= settings.minimum
    }

    private func hasDirective(_ directive: StaticString) -> Bool {
        guard let value = response.value(of: .cacheControl) else { return false }
        return ExchangeRunner.has(directive, response, value)
    }

    private static func has(_ directive: StaticString, _ head: borrowing Head, _ range: ByteRange) -> Bool {
        head.bytes(range).firstRange(of: Span(directive)) != nil
    }

    private func addVary() {
        if let value = response.value(of: .vary), ExchangeRunner.varies(response, value) { return }
        response.add(.vary, "Accept-Encoding")
    }

    private static func varies(_ head: borrowing Head, _ range: ByteRange) -> Bool {
        let text = head.bytes(range)
        if text.trimmingOWS().equals("*") { return true }
        var start = 0
        while start < text.count {
            let end = text.firstIndex(of: UInt8(ascii: ","), from: start) ?? text.count
            if text.extracting(start..<end).trimmingOWS().equalsIgnoringCase("Accept-Encoding") { return true }
            start = end + 1
        }
        return false
    }

    // MARK: The head

    /// The head says what the pipeline does: another length, another coding, another representation.
    private func announce(_ plan: BodyPipeline.Plan) {
        response.remove(.contentLength)
        response.body = .unknown
        if plan.decode != plan.encode {
            response.remove(.contentEncoding)
            if let coding = plan.encode { response.add(.contentEncoding, coding.token) }
        }
        // Ranges and digests are of the bytes the origin has (RFC 9110 section 8.8.1, RFC 9530).
        for name: StaticString in ["Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"] {
            response.remove(named: Span(name))
        }
        weakenTag()
    }

    /// A strong validator promises the same bytes (RFC 9110 section 8.8.1).
    private func weakenTag() {
        guard let index = response.firstIndex(of: .etag) else { return }
        let value = response.fields[index].value
        guard !value.isEmpty, response.arena[Int(value.start)] == UInt8(ascii: "\"") else { return }
        let mark = response.arena.count
        _ = response.arena.append("W/")
        _ = response.arena.append(copyOf: value)
        response.setValue(at: index, range: response.arena.range(since: mark))
    }
}
