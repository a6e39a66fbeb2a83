import Buffers
import HTTP
import HTTP1
import Hooks
import Reactor
import Rules
import Telemetry
import Upstream

/// A WebSocket whose messages pass hooks (`onWebSocketMessage`): frames become messages, hooks look at each in the order of
/// its direction, and what they leave of it becomes a frame again. Without such hooks a tunnel's bytes are not looked at.
///
/// Backpressure: a direction is not read on while a hook has its message, or while the other side does not take what it
/// was sent.
final class WebSocketRelay: TunnelEnd {
    /// One direction.
    private final class Lane {
        let fromClient: Bool
        var intake = Chain()
        var reader: WebSocketReader
        /// Nothing will follow what is in `intake`.
        var ended = false
        var passedEnd = false
        /// The message that hooks have, and which of them.
        var message: HookMessage?
        var hook = 0
        var call: GatewayHookCall?

        init(fromClient: Bool, limit: Int) {
            self.fromClient = fromClient
            reader = WebSocketReader(fromClient: fromClient, limit: limit)
        }

        var backlog: Int { intake.byteCount + (message?.bytes.count ?? 0) }

        func next() -> WebSocketReader.Event? { reader.next(from: &intake) }
    }

    // The runner owns this.
    private unowned let runner: ExchangeRunner
    private let hooks: [BoundHook]
    private let room: Int
    private let client, origin: Lane
    /// `ctx.state`, from message to message.
    private var state: [UInt8]
    private var isClosed = false
    private let patience = ClosePatience()
    /// Milliseconds that an origin which is told of the end has to end its side.
    private static let closeTime: UInt64 = 2_000

    init(_ runner: ExchangeRunner, _ hooks: [BoundHook]) {
        self.runner = runner
        self.hooks = hooks
        let limit = runner.worker.bufferedBodyLimit(runner)
        room = runner.stream?.serving?.limits.exchangeBuffer ?? 256 << 10
        client = Lane(fromClient: true, limit: limit)
        origin = Lane(fromClient: false, limit: limit)
        state = runner.hooks.state
        super.init()
    }

    /// Bytes of the client that hold it back.
    override var clientBacklog: Int { client.backlog }

    // MARK: What arrives

    /// Bytes of the client, not in the exchange's own chain: what waits there for the origin is made here.
    override func take(_ slice: consuming Slice) {
        if isClosed { return }
        client.intake.append(slice)
    }

    override func take(_ chain: inout Chain) {
        if isClosed { chain.removeAll() } else { client.intake.append(contentsOf: &chain) }
    }

    /// The client sent more (`take`), or its end.
    override func clientSent() {
        guard !isClosed else { return }
        if runner.requestBodyEnded, !client.passedEnd {
            client.ended = true
            runner.requestBodyEnded = false
        }
        pump(client)
    }

    override func originSent() {
        origin.intake.append(contentsOf: &runner.tappedBody)
        if runner.tappedBodyEnded { origin.ended = true }
        guard !isClosed else {
            origin.intake.removeAll()
            if origin.ended { finish() }
            return
        }
        pump(origin)
    }

    /// The origin took what it was sent.
    override func originHasRoom() { pump(client) }

    /// The client took what it was sent.
    override func clientHasRoom() { pump(origin) }

    /// The exchange is over.
    override func stop() {
        runner.worker.cancel(patience)
        endCalls()
    }

    private func endCalls() {
        isClosed = true
        for lane in [client, origin] {
            guard let call = lane.call else { continue }
            lane.call = nil
            call.cancel()
            runner.worker.hooks?.giveBack(call)
        }
    }

    // MARK: Frames

    private func pump(_ lane: Lane) {
        while !isClosed, step(lane) {}
        guard !isClosed else { return }
        if lane.fromClient {
            runner.stream?.resumeRequestBody()
        } else {
            runner.tappedBacklog = lane.backlog
            runner.originStream?.responseBodyDrained()
        }
    }

    /// One event of a direction; false when there is none now.
    private func step(_ lane: Lane) -> Bool {
        guard lane.call == nil, (lane.fromClient ? runner.requestBody.byteCount : runner.responseBody.byteCount) < room else { return false }
        if lane.intake.isEmpty {
            if lane.ended { passEnd(lane) }
            return false
        }
        let event = lane.next()
        guard runner.worker.hooks?.mayGather(self, for: hooks.first) ?? true else { return false }
        switch event {
        case nil: return true
        case .message(let bytes, let isText):
            lane.message = HookMessage(bytes, isText: isText, fromClient: lane.fromClient)
            lane.hook = 0
            runHooks(lane)
        case .control(let opcode, let payload): send(opcode, payload, lane)
        case .close(let payload): send(8, payload, lane)
        case .failed(let why): close(why, why == .tooBig ? "message larger than the limit" : "")
        }
        return !isClosed
    }

    override var gatheredBytes: Int { client.reader.held + origin.reader.held }

    override func dropGathered() { close(.tooBig, "parts of messages need too much room") }

    private func passEnd(_ lane: Lane) {
        guard !lane.passedEnd else { return }
        lane.passedEnd = true
        if lane.fromClient {
            runner.requestBodyEnded = true
            runner.originStream?.requestBodyArrived()
        } else {
            runner.responseBodyEnded = true
            runner.responseBodyGrew()
        }
    }

    /// Sends a frame on in its direction.
    private func send(_ opcode: UInt8, _ payload: [UInt8], _ lane: Lane) {
        let pool = runner.worker.pool
        if lane.fromClient {
            // Section 5.3: a mask that the peers' payload cannot foresee.
            let mask = UInt32(truncatingIfNeeded: runner.worker.nextRequestID().low)
            runner.requestBody.append(copying: WebSocketWriter.frame(opcode, payload.span, mask: mask).span, from: pool)
            runner.originStream?.requestBodyArrived()
        } else {
            runner.responseBody.append(copying: WebSocketWriter.frame(opcode, payload.span, mask: nil).span, from: pool)
            runner.responseBodyGrew()
        }
    }

    /// Ends the WebSocket for both sides.
    private func close(_ code: WebSocketClose, _ reason: String) {
        guard !isClosed else { return }
        let payload = WebSocketWriter.close(code, reason)
        send(8, payload, client)
        send(8, payload, origin)
        endCalls()
        runner.requestBodyEnded = true
        runner.originStream?.requestBodyArrived()
        // The client's connection ends when the origin has, so that both hear why.
        guard runner.originStream != nil, !origin.ended else { return finish() }
        patience.relay = self
        runner.worker.schedule(patience, after: Self.closeTime)
    }

    fileprivate func finish() {
        guard !origin.passedEnd else { return }
        origin.passedEnd = true
        runner.worker.cancel(patience)
        runner.responseBodyEnded = true
        runner.responseBodyGrew()
    }

    // MARK: Hooks

    /// Gives the message to one hook after the other, until one has to be waited for.
    private func runHooks(_ lane: Lane) {
        guard let workerHooks = runner.worker.hooks, let generation = runner.generation else { return }
        while !isClosed, let message = lane.message, lane.hook < hooks.count {
            let bound = hooks[lane.hook]
            guard bound.shared.handles(.webSocket) else {
                lane.hook += 1
                continue
            }
            guard !workerHooks.fenced.contains(bound.shared.key.name) else {
                let failure = HookFailure(.unavailable, function: bound.shared.key.name, message: "the function is fenced: it stopped workers before")
                failed(failure, bound, message, lane, fenced: true)
                continue
            }
            let call = workerHooks.takeCall(runner, generation, bound, rule: 0)
            call.requestID = runner.requestID
            call.message = message
            call.state = state
            lane.call = call
            runner.worker.metrics.add(.hookCallsWebSocket)
            switch bound.shared.start(call, bound.shared.function, bound.binding, .webSocket, runner, workerHooks) {
            case .pending: return
            case .finished(let outcome): settle(call, outcome, lane, message)
            }
        }
        guard !isClosed, let message = lane.message else { return }
        lane.message = nil
        send(message.isText ? 1 : 2, message.bytes, lane)
    }

    /// A pending call is done. False when the call is none of this relay's.
    override func finished(_ call: GatewayHookCall, _ outcome: HookOutcome) -> Bool {
        guard client.call === call || origin.call === call else { return false }
        let lane = client.call === call ? client : origin
        guard let message = lane.message else { return true }
        settle(call, outcome, lane, message)
        runHooks(lane)
        pump(lane)
        return true
    }

    private func settle(_ call: GatewayHookCall, _ outcome: HookOutcome, _ lane: Lane, _ message: HookMessage) {
        let metrics = runner.worker.metrics
        let bound = call.bound, left = call.message
        lane.call = nil
        record(call, outcome)
        if case .failed = outcome {} else { state = call.state }
        call.message = nil
        runner.worker.hooks?.giveBack(call)
        switch outcome {
        case .failed(let failure):
            if let bound { failed(failure, bound, message, lane, fenced: false) }
        case .deny:
            metrics.add(.webSocketMessagesClosed)
            close(.policy, "closed by a hook")
        case .proceed, .respond:
            lane.message = left
            lane.hook += 1
            guard let left else { return metrics.add(.webSocketMessagesDropped) }
            guard left.bytes.count <= runner.worker.bufferedBodyLimit(runner) else { return close(.tooBig, "a hook made a message larger than the limit") }
            metrics.add(left == message ? .webSocketMessagesPassed : .webSocketMessagesChanged)
        }
    }

    private func record(_ call: GatewayHookCall, _ outcome: HookOutcome) {
        let microseconds = call.cpuNanoseconds / 1000
        runner.worker.metrics.add(.hookCPUMicroseconds, Int(clamping: microseconds))
        runner.worker.metrics.observe(.hookTime, microseconds: call.elapsed(until: runner.worker.nowNanoseconds) / 1000)
        guard let bound = call.bound else { return }
        if microseconds >= SharedFunction.slowMicroseconds { runner.worker.hooks?.noteCost(bound.shared, microseconds: microseconds) }
        let failed = if case .failed = outcome { true } else { false }
        runner.generation?.series.countCall(function: bound.functionIndex, microseconds: microseconds, failed: failed)
    }

    /// The function's policy: `continue` passes the message on as it was, anything else ends the WebSocket.
    private func failed(_ why: HookFailure, _ bound: BoundHook, _ message: HookMessage, _ lane: Lane, fenced: Bool) {
        var failure = why
        failure.rulePlace = bound.place
        runner.countHookFailure(failure, fenced: fenced)
        guard let generation = runner.generation else { return close(.internalError, "a hook failed") }
        generation.series.countPolicy(function: bound.functionIndex)
        let settings = generation.configuration.functions[bound.functionIndex]
        let goesOn = settings.onError == .continue || failure.passThrough && !settings.security
        runner.worker.noteHookFailure(failure, goesOn ? "continue" : "close", request: runner.requestID.text)
        guard goesOn else {
            runner.failedHook = failure.function
            return close(.internalError, "a hook failed")
        }
        runner.worker.metrics.add(.hookPolicyContinue)
        lane.message = message
        lane.hook += 1
    }
}

private final class ClosePatience: Timer {
    weak var relay: WebSocketRelay?
    override func fire() { relay?.finish() }
}

extension ExchangeRunner {
    /// The client asks for a WebSocket, and a rule runs a function that looks at messages: it does so if there will be one.
    func expectMessages(for bound: BoundHook) {
        guard wantsUpgrade, let upgrade = request.value(of: .upgrade), ExchangeRunner.isWebSocket(request, upgrade) else { return }
        messageHooks.append(bound)
    }

    fileprivate static func isWebSocket(_ head: borrowing Head, _ range: ByteRange) -> Bool { head.bytes(range).equalsIgnoringCase("websocket") }

    /// Compressed messages could not be looked at: no extension is asked for in the client's name.
    func keepMessagesReadable() {
        if !messageHooks.isEmpty { request.remove(named: Span("Sec-WebSocket-Extensions")) }
    }

    /// The origin agreed to an upgrade.
    func beginRelay() {
        guard !messageHooks.isEmpty, let upgrade = response.value(of: .upgrade), ExchangeRunner.isWebSocket(response, upgrade) else { return }
        response.remove(named: Span("Sec-WebSocket-Extensions"))
        tunnelEnd = WebSocketRelay(self, messageHooks)
        responseIsTapped = true
    }
}
