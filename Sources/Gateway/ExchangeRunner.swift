import Buffers
import Codings
import HTTP
import HTTP1
import Hooks
import Reactor
import Rules
import Telemetry
import Upstream

/// Runs one exchange from its first byte to its last. `docs/WALK.md` follows it.
///
/// The stations, in order: request rules (and their hooks), the origin, response rules (and their
/// hooks), delivery, access log. A failure leads over the error rules. Runners are reused.
final class ExchangeRunner: ForwardedExchange {
    enum Station {
        case idle
        case requestRules
        /// With the origin; nothing has been answered yet.
        case origin
        case responseRules
        case errorRules
        /// The response head is sent; the body follows.
        case streaming
    }

    /// What one hook call of this exchange came to, for the access log.
    struct HookRecord {
        var function: Int
        var phase: Phase
        var result: HookResult
        var microseconds: UInt64
        var outcome: String { result.word }
    }

    /// Strong, here and in all that is used per request: an `unowned` reference costs a retain and a release at each use.
    /// The worker lives as long as its process.
    let worker: Worker
    /// Where the answer goes.
    var stream: ClientStream?
    var generation: ServingGeneration?
    var station = Station.idle
    var rules = RuleRunner()
    /// The other end of the connection; `client` may be whom a trusted proxy names.
    var peer = ClientInfo()
    var isFromTrustedProxy = false
    /// The request body may be read now: someone will take it.
    var wantsRequestBody = false
    var requestBytes = 0
    var statusSent = 0
    var hookCalls: [HookRecord] = []
    /// A hook put its own body in the place of the client's.
    var replacedRequestBody = false
    var hooks = HookState()
    /// Between `responseBody` and the client, when rules change the body.
    var pipeline: BodyPipeline?
    /// Kept when the configuration may compress.
    var acceptedCodings = AcceptedCodings()
    /// Of a WebSocket that passes through.
    var frames: TunnelFrames?
    /// This exchange is traced.
    var spans: SpanBook?
    /// Copies of this request that may still need its body.
    var mirrors: [MirroredRequest] = []
    /// Calls that read or make a body, in the order in which it passes them (HookBodies.swift).
    var requestStages: [BodyStage] = []
    var responseStages: [BodyStage] = []

    /// Hooks that look at messages, should this exchange become a WebSocket, and who reads the client's bytes in the origin's place.
    var messageHooks: [BoundHook] = []
    var tunnelEnd: TunnelEnd?
    /// Counted as long as it is one.
    private var isTunnel = false {
        didSet { if isTunnel != oldValue { isTunnel ? worker.metrics.add(.tunnelsActive) : worker.metrics.subtract(.tunnelsActive) } }
    }

    init(worker: Worker) {
        self.worker = worker
        super.init()
    }

    override func reset() {
        dropStages(.request)
        dropStages(.response)
        if hasResponsePipe, let responsePipe { worker.pipes.giveBack(responsePipe) }
        closePipeline()
        if !mirrors.isEmpty { forgetMirrors() }
        if hooks.waiting != nil { forgetWaitingBody() }
        if tunnelEnd != nil || !messageHooks.isEmpty { forgetTunnel() }
        isTunnel = false
        super.reset()
        stream = nil
        rules.end()
        generation = nil
        station = .idle
        (wantsRequestBody, replacedRequestBody) = (false, false)
        (requestBytes, statusSent) = (0, 0)
        hookCalls.removeAll(keepingCapacity: true)
        hooks = HookState()
        frames = nil
        spans = nil
    }

    /// For origins that want a PROXY header.
    override var clientAddresses: ProxyHeader.Addresses? {
        let end = peer.destination ?? stream?.localEnd ?? Destination(.unspecified, port: 0)
        return ProxyHeader.Addresses(source: client.address, sourcePort: client.port, destination: end.address, destinationPort: end.port)
    }

    // MARK: The walk

    /// The request head is complete.
    func begin() {
        start()
        if let tracing = generation?.tracing { beginTrace(tracing) }
        if let inspection = worker.inspection { hooks.isInspected = inspection.wants(self) }
        guard !worker.refusesRequests else {
            worker.metrics.add(.shedRequests)
            return fail(GatewayError(.overloaded, in: .requestHead, note: "the worker has no memory left"))
        }
        guard isRightlyDirected() else {
            return fail(GatewayError(.misdirected, in: .requestHead, note: "the connection's certificate is not for this host"))
        }
        guard mayBeServed() else { return }
        guard original.method == .connect || normalizePath() else { return fail(GatewayError(.badRequest, in: .requestHead, note: "the path cannot be normalised")) }
        guard let generation, rules.begin(generation.rules, self) else {
            return fail(GatewayError(.noSite, in: .requestHead, note: "no site answers for this host"))
        }
        walk(.requestRules, .request)
    }

    private func start() {
        generation = worker.generation
        started = worker.nowNanoseconds
        startedWall = worker.wallSeconds
        requestID = worker.nextRequestID()
        keepOriginal()
        identify()
        if let tracer = generation?.tracer { spans = tracer.begin(self) }
        if generation?.rules.changesBodies == true { keepAcceptedCodings() }
        worker.metrics.add(request.version == .http2 ? .requestsHTTP2 : request.version == .http11 ? .requestsHTTP11 : .requestsHTTP10)
        worker.metrics.add(.requestsActive)
    }

    /// Enters the rules of one phase.
    func walk(_ station: Station, _ phase: Phase) {
        self.station = station
        if phase != .request, generation?.rules.readsRoundTrip == true { client.roundTrip = stream?.roundTrip }
        if let spans { spans.enterPhase(phase, at: worker.preciseNow) }
        rules.enter(phase, self)
        advance()
    }

    /// Goes from rule to rule until the phase is over or something has to be waited for.
    func advance() {
        while true {
            switch rules.next(self) {
            case .done: return phaseDone()
            case .run(let call):
                if station == .requestRules, bodyIsTooLarge { return refuseBody() }
                if !runHook(call) { return }
            case .respond(let reply): return answer(reply)
            case .limit(let check):
                guard let verdict = verdict(check) else { return }
                if let reply = settle(check, verdict) { return answer(reply) }
            case .log(let line): note(line)
            case .drop: return drop()
            }
        }
    }

    /// A `log` action.
    private func note(_ line: LogLine) {
        let rule = generation?.rules.ruleID(line.rule) ?? ""
        worker.noteRule(rule, request: requestID.text, text: request.text(line.text))
    }

    func phaseDone() {
        if let spans { spans.leavePhase(at: worker.preciseNow) }
        switch station {
        case .requestRules: forward()
        case .responseRules: if prepareBody() { deliver() }
        case .errorRules: deliverError()
        case .idle, .origin, .streaming: worker.bug("a phase ended outside its station")
        }
    }

    // MARK: To the origin

    func forward() {
        guard let generation else { return }
        guard !bodyIsTooLarge else { return refuseBody() }
        guard mayBeForwarded() else { return }
        let chosen = upstream
        guard chosen >= 0 else {
            return fail(GatewayError(.noSite, in: .requestRules, note: "no rule answered and the site has no upstream"))
        }
        guard addForwardingFields() else {
            return fail(GatewayError(.loop, in: .requestRules, note: "the request has passed this gateway too often"))
        }
        station = .origin
        wantsRequestBody = true
        originUpstream = chosen
        rules.chooseBalanceKey(self)
        if !rules.mirrors.isEmpty { sendMirrors() }
        keepMessagesReadable()
        generation.upstreams.open(self, upstream: chosen)
        stream?.resumeRequestBody()
    }

    /// Body bytes from the client. When a hook put its own body in their place they are dropped.
    /// - Returns: false when it is more than the limit; the caller then calls `clientFailed`.
    func acceptBody(_ slice: consuming Slice) -> Bool {
        requestBytes += slice.count
        // What follows a refusal is read and dropped, so that the client gets to read the refusal.
        guard requestBytes <= bodyLimit || statusSent != 0 && originStream == nil else { return false }
        guard !replacedRequestBody else { return true }
        for copy in mirrors { copy.take(slice.shared()) }
        if let first = requestStages.first { first.intake.append(slice) } else { acceptTunneled(slice) }
        return true
    }

    /// The fields behind a request's body, empty when there are none.
    func acceptTrailers(_ fields: borrowing Head) {
        if !replacedRequestBody { requestTrailers = Trailers(fields) }
    }

    func requestBodyArrived() {
        if !mirrors.isEmpty { mirrorsHaveBody() }
        if let tunnelEnd { return tunnelEnd.clientSent() }
        if stagesTakeRequest() { return }
        if let originStream { return originStream.requestBodyArrived() }
        // Answered without the origin: nobody wants the rest.
        if station == .streaming || station == .idle { requestBody.removeAll() }
    }

    override func originWantsBody() {
        if let tunnelEnd { return tunnelEnd.originHasRoom() }
        if !stagesMakeMore(.request) { stream?.resumeRequestBody() }
    }

    /// The attempt before failed, and another one begins.
    override func anotherAttempt() {
        spans?.anotherAttempt(after: origin, at: worker.preciseNow, spanID: worker.nextRequestID().high | 1)
    }

    override func originInterim() {
        guard station == .origin, response.status != 100 else { return }
        worker.metrics.add(.responses1xx)
        stream?.sendInterim(status: response.status)
    }

    // MARK: From the origin

    override func originResponded() {
        noteOriginAnswer(response.status)
        worker.metrics.observe(.upstreamFirstByte, microseconds: (worker.nowNanoseconds &- originRequestSent) / 1000)
        guard station == .origin else { return }
        if let cookie = generation?.upstreams.stickyCookie(for: self) { response.add(.setCookie, Array(cookie.utf8).span) }
        if hooks.awaitsOrigin { return hookOriginResponded() }
        walk(.responseRules, .response)
    }

    override func originBodyArrived() {
        if let tunnelEnd { return tunnelEnd.originSent() }
        if stagesTakeResponse() { return }
        if station == .streaming { responseBodyGrew() }
    }

    override func originUpgraded() {
        noteOriginAnswer(response.status)
        if upgradedByConnect { addWebSocketProof() }
        guard stream?.acceptsUpgrade(response) != false else {
            return fail(GatewayError(.originProtocol, in: .responseHead, note: "101 with a wrong Sec-WebSocket-Accept"))
        }
        if hooks.awaitsOrigin { hookOriginResponded() } else { openTunnel() }
    }

    func openTunnel() {
        worker.metrics.add(.tunnelsOpened)
        isTunnel = true
        watchTunnel()
        beginRelay()
        deliver()
        stream?.becomeTunnel()
    }

    override func originFailed(_ error: GatewayError) {
        originStream = nil
        if hooks.awaitsOrigin, station == .origin { return hookOriginFailed(error) }
        fail(error)
    }

    // MARK: To the client

    /// Sends the response head and whatever body there is.
    func deliver() {
        station = .streaming
        if !responseHasBody { dropBody() }
        if !responseHasBody, !responseStages.isEmpty { dropStages(.response) }
        statusSent = ExchangeRunner.complete(&response, &worker.date, worker.wallSeconds)
        if rules.trace != nil, worker.stage == nil { markTraced() }
        countResponse()
        rules.addLimitFields(self)
        if !hooks.laterFields.isEmpty { addLaterFields() }
        stream?.sendHead()
        stream?.responseBodyChanged()
    }

    /// Gives the head a date; its status.
    private static func complete(_ head: inout Head, _ date: inout HTTPDate, _ seconds: Int) -> Int {
        date.add(to: &head, seconds: seconds)
        return head.status
    }

    /// True when the client expects body bytes (RFC 9112 section 6.3).
    var responseHasBody: Bool {
        let status = response.status
        return original.method != .head && status >= 200 && status != 204 && status != 304
    }

    /// A response without a body (HEAD, 204, 304): what an answer of our own carries is not sent.
    private func dropBody() {
        guard originStream == nil, response.status != 101 else { return }
        responseBody.removeAll()
        responseBodyEnded = true
    }

    // MARK: Failures

    /// Ends the exchange with an error: error rules first, then the stock answer. After the head was
    /// sent only a cut is left.
    func fail(_ failure: GatewayError) {
        error = failure
        countFailure(failure)
        cancelOrigin()
        cancelHooks()
        closePipeline()
        if statusSent != 0 { return cut(failure.kind) }
        responseBody.removeAll()
        responseBodyEnded = false
        let hasRules = site >= 0 && station != .errorRules && failure.kind.side != .client
        if hasRules { walk(.errorRules, .error) } else { deliverError() }
    }

    private func cut(_ kind: ErrorKind) {
        let stream = self.stream
        log()
        stream?.abort(kind)
        worker.giveBack(self)
    }

    /// Closes without an answer (the `drop` action).
    func drop() {
        cancelOrigin()
        cut(.clientGone)
    }

    /// A request that could not be read. There is no head to run rules on.
    func refuse(_ kind: ErrorKind, note: String) {
        start()
        let failure = GatewayError(kind, in: .requestHead, note: note)
        error = failure
        countFailure(failure)
        requestBodyEnded = true
        deliverError()
    }

    /// The request broke off or broke the protocol after its head.
    func clientFailed(_ kind: ErrorKind, note: String) {
        requestBody.removeAll()
        requestBodyEnded = true
        fail(GatewayError(kind, in: .requestBody, note: note))
    }

    /// The client is gone: everything that was done for it stops.
    func clientGone() {
        // Gone inside its first head: there is no exchange to speak of.
        guard started != 0 else { return worker.giveBack(self) }
        cancelOrigin()
        cancelHooks()
        if error == nil { error = GatewayError(.clientGone, in: .responseBody) }
        if statusSent == 0 { worker.metrics.add(.responsesNone) }
        log()
        worker.giveBack(self)
    }

    // MARK: The end

    /// The response is sent and the request is read.
    func finish() {
        cancelOrigin()
        dropStages(.request)
        dropStages(.response)
        log()
        worker.giveBack(self)
    }
}
