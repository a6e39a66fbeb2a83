import Buffers
import HTTP
import HTTP1
import Hooks
import Reactor
import Rules
import Telemetry
import Upstream

/// A WebSocket that a hook ends itself: frames of the client become messages for the hook, one at a time, and what the hook
/// sends becomes frames. Pings are answered here, and a client that says nothing for long is asked for a sign of life.
///
/// Backpressure: the client is not read on while the hook works on its message, or while it does not take what it was sent.
final class HookSocket: TunnelEnd {
    private enum State {
        case open
        /// Our close frame is sent; the client's is awaited.
        case closing
        case closed
    }

    // The runner owns this.
    private unowned let runner: ExchangeRunner
    private let worker: Worker
    private let call: GatewayHookCall
    private let room: Int
    private var reader: WebSocketReader
    private var intake = Chain()
    private var state = State.open
    /// The client sends no more.
    private var ended = false
    /// The hook works on a message.
    private var hookIsBusy = false
    private var isPumping = false
    private var sentBytes: UInt64 = 0
    private var cpuSeen: UInt64
    private let timer = SocketTimer()
    private var heard = true
    private var asked = false

    /// Milliseconds that a client has to answer a close frame.
    private static let closeTime: UInt64 = 2_000
    /// Milliseconds of silence before a ping, and once more before the client is taken for gone.
    private static let silence: UInt64 = 30_000

    init(_ runner: ExchangeRunner, _ call: GatewayHookCall) {
        self.runner = runner
        self.call = call
        worker = runner.worker
        room = runner.stream?.serving?.limits.exchangeBuffer ?? 256 << 10
        reader = WebSocketReader(fromClient: true, limit: worker.bufferedBodyLimit(runner))
        cpuSeen = call.cpuNanoseconds
        super.init()
        call.socket = self
        worker.hooks?.sockets[ObjectIdentifier(self)] = self
        timer.socket = self
        worker.schedule(timer, after: HookSocket.silence)
        worker.metrics.add(.hookSocketsOpened)
        worker.metrics.add(.hookSocketsActive)
    }

    var function: String { call.bound?.shared.key.name ?? "" }

    // MARK: The client

    override var clientBacklog: Int { intake.byteCount }

    override func take(_ slice: consuming Slice) { if state != .closed { intake.append(slice) } }

    override func take(_ chain: inout Chain) { if state == .closed { chain.removeAll() } else { intake.append(contentsOf: &chain) } }

    override func clientSent() {
        if runner.requestBodyEnded { ended = true }
        heard = true
        pump()
    }

    override func clientHasRoom() {
        tellWhatLeft()
        call.pumpLinks()
        pump()
    }

    /// An origin of the hook took what it was sent.
    func linkHasRoom() { pump() }

    /// Bytes that wait for the client.
    var waiting: Int { runner.responseBody.byteCount }

    private func pump() {
        guard !isPumping else { return }
        isPumping = true
        while step() {}
        isPumping = false
        if state != .closed { runner.stream?.resumeRequestBody() }
    }

    /// One event of the client; false when there is none now.
    private func step() -> Bool {
        guard state != .closed, !hookIsBusy, runner.responseBody.byteCount < room, call.linkBacklog < HookLink.room else { return false }
        if intake.isEmpty {
            if ended { over(1006, "", clean: false, error: "the connection was lost", .hookSocketsLost) }
            return false
        }
        let event = reader.next(from: &intake)
        guard worker.hooks?.mayGather(self, for: call.bound) ?? true else { return false }
        switch event {
        case nil, .control(10, _)?: return true
        case .message(let bytes, let isText)?: give(HookMessage(bytes, isText: isText, fromClient: true))
        case .control(_, let payload)?:
            frame(10, payload)
            runner.responseBodyGrew()
        case .close(let payload)?: clientCloses(payload)
        case .failed(let why)?: clientErred(why)
        }
        return state != .closed
    }

    private func give(_ message: HookMessage) {
        guard state == .open else { return }
        worker.metrics.add(.hookSocketMessagesIn)
        hookIsBusy = true
        call.socketMessage(message)
    }

    private func clientCloses(_ payload: [UInt8]) {
        guard let (code, reason) = WebSocketWriter.parseClose(payload) else { return clientErred(.protocolError) }
        guard let reason else { return clientErred(.invalidData) }
        if state == .open { frame(8, Array(payload.prefix(2))) }
        over(code, reason, clean: true, error: "", .hookSocketsClosed)
    }

    override var gatheredBytes: Int { reader.held }

    override func dropGathered() { clientErred(.tooBig) }

    private func clientErred(_ why: WebSocketClose) {
        let words = switch why {
        case .tooBig: "a message is larger than the limit"
        case .invalidData: "text that is no UTF-8"
        default: "the client broke the protocol"
        }
        if state == .open { frame(8, WebSocketWriter.close(why, words)) }
        over(why.rawValue, "", clean: false, error: words, .hookSocketsFailed)
    }

    // MARK: The hook

    func opened() {
        call.socketOpened()
        hookActed()
    }

    /// The hook has sent or closed.
    func hookActed() {
        guard state != .closed else { return }
        let before = waiting
        for action in call.takeOwnActions() where state == .open {
            switch action {
            case .message(let message):
                sentBytes &+= UInt64(message.bytes.count)
                frame(message.isText ? 1 : 2, message.bytes)
                worker.metrics.add(.hookSocketMessagesOut)
            case .close(let code, let reason):
                let said = code == 0 ? [] : [UInt8(code >> 8), UInt8(code & 0xff)] + Array(reason.utf8)
                frame(8, said)
                state = .closing
                worker.schedule(timer, after: HookSocket.closeTime)
            }
        }
        // Only a cordon that does not keep its own limit gets here.
        guard runner.responseBody.byteCount <= 2 * HookCall.socketBacklog + room else {
            return hookFailed(HookFailure(.memory, function: function, message: "more waits for the client than allowed"))
        }
        if let bound = call.bound, !runner.admitsMessages(before, of: bound) {
            return hookFailed(HookFailure(.memory, function: function, message: "whole bodies and messages of more than limits.memory wait for those who are to take them"))
        }
        guard state != .closed else { return }
        runner.responseBodyGrew()
        if state != .closed { tellWhatLeft() }
    }

    /// The hook takes another message.
    func hookReady() {
        guard state != .closed, hookIsBusy else { return }
        hookIsBusy = false
        countCost()
        pump()
    }

    private func countCost() {
        let refused = call.takeRefusedMessages()
        if refused > 0 { worker.metrics.add(.hookSocketMessagesRefused, refused) }
        let microseconds = (call.cpuNanoseconds &- cpuSeen) / 1000
        cpuSeen = call.cpuNanoseconds
        worker.metrics.add(.hookCPUMicroseconds, Int(clamping: microseconds))
        guard let bound = call.bound, microseconds >= SharedFunction.slowMicroseconds else { return }
        worker.hooks?.noteCost(bound.shared, microseconds: microseconds)
    }

    /// It threw, or was stopped: the client hears 1011.
    func hookFailed(_ failure: HookFailure, fenced: Bool = false) {
        guard state != .closed else { return }
        var failure = failure
        failure.rulePlace = call.bound?.place ?? ""
        failure.cpuNanoseconds = call.cpuNanoseconds
        runner.countHookFailure(failure, fenced: fenced)
        if let index = call.bound?.functionIndex { runner.generation?.series.countPolicy(function: index) }
        worker.noteHookFailure(failure, "close", request: runner.requestID.text)
        runner.failedHook = failure.function
        if state == .open { frame(8, WebSocketWriter.close(.internalError, "a hook failed")) }
        over(1011, "", clean: false, error: "the hook failed", .hookSocketsFailed)
    }

    // MARK: Frames, and the end

    private func frame(_ opcode: UInt8, _ payload: [UInt8]) {
        runner.responseBody.append(copying: WebSocketWriter.frame(opcode, payload.span, mask: nil).span, from: worker.pool)
    }

    private func tellWhatLeft() {
        let waiting = UInt64(runner.responseBody.byteCount)
        call.socketLeft(sentBytes > waiting ? sentBytes - waiting : 0)
    }

    /// The WebSocket is over for both sides.
    private func over(_ code: UInt16, _ reason: String, clean: Bool, error: String, _ count: Counter) {
        guard end(code, reason, clean: clean, error: error, count) else { return }
        intake.removeAll()
        runner.requestBodyEnded = true
        runner.responseBodyEnded = true
        // This may end the exchange: nothing follows.
        runner.responseBodyGrew()
    }

    /// Tells the hook. False when it knows already.
    private func end(_ code: UInt16, _ reason: String, clean: Bool, error: String, _ count: Counter) -> Bool {
        guard state != .closed else { return false }
        state = .closed
        worker.cancel(timer)
        worker.metrics.add(count)
        worker.metrics.subtract(.hookSocketsActive)
        worker.hooks?.sockets[ObjectIdentifier(self)] = nil
        countCost()
        call.socketClosed(code, reason, clean: clean, error: error)
        if call.socket === self { call.socket = nil }
        return true
    }

    override func stop() {
        let leaving = runner.frames?.isLeaving == true
        _ = end(leaving ? 1001 : 1006, "", clean: leaving, error: leaving ? "" : "the connection was lost", leaving ? .hookSocketsClosed : .hookSocketsLost)
    }

    fileprivate func timeIsUp() {
        guard state != .closed else { return }
        if state == .closing { return over(1006, "", clean: false, error: "", .hookSocketsClosed) }
        if !heard, asked { return over(1006, "", clean: false, error: "the client is gone", .hookSocketsLost) }
        asked = !heard
        if asked {
            frame(9, [])
            runner.responseBodyGrew()
        }
        heard = false
        if state != .closed { worker.schedule(timer, after: HookSocket.silence) }
    }
}

private final class SocketTimer: Timer {
    unowned var socket: HookSocket?
    override func fire() { socket?.timeIsUp() }
}

extension ExchangeRunner {
    /// The answer of a hook is a WebSocket that it ends itself.
    func openSocket(_ call: GatewayHookCall) -> Bool {
        guard wantsUpgrade, requestBodyEnded, ExchangeRunner.keyIsWhole(request) else {
            return refuseSocket(call, 400)
        }
        guard ExchangeRunner.versionIsKnown(request) else {
            // RFC 6455 section 4.4.
            hooks.laterFields += Array("Sec-WebSocket-Version\n13\n".utf8)
            return refuseSocket(call, 426)
        }
        dropStages(.request)
        cancelOrigin()
        for name in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Accept"] { response.remove(named: Array(name.utf8).span) }
        response.status = 101
        response.set(.upgrade, "websocket")
        addWebSocketProof()
        responseBody.removeAll()
        responseBodyEnded = false
        requestBodyEnded = false
        messageHooks.removeAll()
        let socket = HookSocket(self, call)
        tunnelEnd = socket
        watchTunnel()
        deliver()
        let stream = self.stream
        socket.opened()
        stream?.becomeTunnel()
        return false
    }

    private func refuseSocket(_ call: GatewayHookCall, _ status: Int) -> Bool {
        call.cancel()
        worker.hooks?.giveBack(call)
        cancelOrigin()
        deliverStock(status: status, proxyStatus: "http_request_error", side: .client)
        return false
    }

    private static func versionIsKnown(_ head: borrowing Head) -> Bool {
        guard let version = head.value(named: Span("Sec-WebSocket-Version")) else { return false }
        return head.bytes(version).equals(Span("13"))
    }

    /// Base64 of 16 bytes (RFC 6455 section 4.1).
    private static func keyIsWhole(_ head: borrowing Head) -> Bool {
        guard let key = head.value(named: Span("Sec-WebSocket-Key")) else { return false }
        let text = head.bytes(key)
        return text.count == 24 && text[22] == UInt8(ascii: "=") && text[23] == UInt8(ascii: "=")
    }
}

extension WorkerHooks {
    /// Functions that must not run any more lose their WebSockets, too.
    func fence(_ functions: Set<String>) {
        fenced = functions
        for socket in sockets.values where functions.contains(socket.function) {
            socket.hookFailed(
                HookFailure(.unavailable, function: socket.function, message: "the function is fenced: it stopped workers before"), fenced: true)
        }
    }
}
