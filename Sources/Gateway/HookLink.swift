import Buffers
import HTTP
import HTTP1
import Hooks
import Reactor
import Rules
import Telemetry
import Upstream

/// A WebSocket of a hook to an upstream or a host outside: a sub-request that asks for an upgrade. Refused, it is answered
/// like any other; agreed to, frames of the origin become messages for the hook, and what the hook sends becomes masked frames.
///
/// Backpressure: the origin is not read on while the hook works on its message, or while the hook's own client, to whom the
/// message probably goes, does not take what it was sent.
final class HookLink: Subrequest {
    private var key = WebSocketKey()
    private var intake = Chain()
    private var reader: WebSocketReader
    private var isOpen = false
    private var isPumping = false
    private var hookIsBusy = false
    /// Our close frame is sent.
    private var isClosing = false
    private var sentBytes: UInt64 = 0
    private let timer = LinkTimer()

    /// Milliseconds between pings, so that no idle limit on the way ends a WebSocket that is in use.
    private static let pingTime: UInt64 = 20_000
    /// Milliseconds that an origin has to answer a close frame.
    private static let closeTime: UInt64 = 2_000
    /// Bytes that wait for one side before the other is not read.
    static let room = 256 << 10

    override init(call: GatewayHookCall, request subrequest: HookSubrequest, worker: Worker) {
        reader = WebSocketReader(fromClient: false, limit: call.generation?.configuration.limits.bufferedBody ?? 1 << 20)
        super.init(call: call, request: subrequest, worker: worker)
        key = WebSocketKey(worker.nextRequestID())
        request.body = .none
        request.set(.upgrade, "websocket")
        let text = key.text
        request.set(name: Span("Sec-WebSocket-Key"), value: text.span)
        request.set(name: Span("Sec-WebSocket-Version"), value: Span("13"))
        request.remove(named: Span("Sec-WebSocket-Extensions"))
        wantsUpgrade = true
        timer.link = self
    }

    // MARK: The origin

    override func originUpgraded() {
        guard let call else { return }
        guard upgradedByConnect || key.isAccepted(by: response), response.value(named: Span("Sec-WebSocket-Extensions")) == nil else {
            return originFailed(GatewayError(.originProtocol, in: .responseHead, note: "101 with a wrong Sec-WebSocket-Accept"))
        }
        isOpen = true
        // What the hook has not taken yet holds the origin back (`tappedBacklog`).
        intake.append(contentsOf: &responseBody)
        responseIsTapped = true
        tappedBodyEnded = responseBodyEnded
        worker.metrics.add(.tunnelsOpened)
        worker.schedule(timer, after: HookLink.pingTime)
        call.subrequestUpgraded(id, response)
        originBodyArrived()
    }

    override func originBodyArrived() {
        guard isOpen else {
            tappedBody.removeAll()
            return super.originBodyArrived()
        }
        intake.append(contentsOf: &tappedBody)
        pump()
    }

    override func originWantsBody() {
        guard isOpen else { return }
        tellWhatLeft()
        call?.socket?.linkHasRoom()
    }

    override func originFailed(_ error: GatewayError) {
        if isOpen { over(1006, "", clean: false, error: "the connection was lost") } else { super.originFailed(error) }
    }

    /// Bytes that wait for the origin.
    var waiting: Int { requestBody.byteCount }

    func pump() {
        guard !isPumping else { return }
        isPumping = true
        while step() {}
        isPumping = false
        tappedBacklog = intake.byteCount
        if isOpen { originStream?.responseBodyDrained() }
    }

    private func step() -> Bool {
        guard isOpen, !hookIsBusy, let call, (call.socket?.waiting ?? 0) < HookLink.room else { return false }
        if intake.isEmpty {
            if tappedBodyEnded { over(1006, "", clean: false, error: isClosing ? "" : "the connection was lost") }
            return false
        }
        switch reader.next(from: &intake) {
        case nil, .control(10, _)?: return true
        case .message(let bytes, let isText)?:
            guard !isClosing else { return true }
            worker.metrics.add(.hookSocketMessagesIn)
            hookIsBusy = true
            call.socketMessage(HookMessage(bytes, isText: isText, fromClient: false), on: id)
        case .control(_, let payload)?: send(10, payload)
        case .close(let payload)?: originCloses(payload)
        case .failed(let why)?: failed(why)
        }
        return isOpen
    }

    private func originCloses(_ payload: [UInt8]) {
        guard let (code, reason) = WebSocketWriter.parseClose(payload), let reason else { return failed(.protocolError) }
        if !isClosing { send(8, Array(payload.prefix(2))) }
        over(code, reason, clean: true, error: "")
    }

    private func failed(_ why: WebSocketClose) {
        if !isClosing { send(8, WebSocketWriter.close(why)) }
        over(why.rawValue, "", clean: false, error: "the origin broke the protocol")
    }

    // MARK: The hook

    func act(_ action: HookSocketAction) {
        guard isOpen, !isClosing else { return }
        switch action {
        case .message(let message):
            guard requestBody.byteCount <= 2 * HookCall.socketBacklog else { return over(1006, "", clean: false, error: "more waits than allowed") }
            sentBytes &+= UInt64(message.bytes.count)
            worker.metrics.add(.hookSocketMessagesOut)
            send(message.isText ? 1 : 2, message.bytes)
            tellWhatLeft()
        case .close(let code, let reason):
            send(8, code == 0 ? [] : [UInt8(code >> 8), UInt8(code & 0xff)] + Array(reason.utf8))
            isClosing = true
            worker.schedule(timer, after: HookLink.closeTime)
        }
    }

    func hookReady() {
        hookIsBusy = false
        pump()
    }

    /// The call is over: nobody is left to speak with the origin.
    override func stop() {
        if isOpen, !isClosing { send(8, WebSocketWriter.close(.goingAway)) }
        let wasOpen = isOpen
        close()
        // A close frame that is on its way gets there; the origin then ends its side, or the idle limit does.
        if wasOpen, originStream != nil { leave() } else { super.stop() }
    }

    // MARK: Frames, and the end

    private func send(_ opcode: UInt8, _ payload: [UInt8]) {
        // Section 5.3: a mask that payloads cannot foresee.
        let mask = UInt32(truncatingIfNeeded: worker.nextRequestID().low)
        requestBody.append(copying: WebSocketWriter.frame(opcode, payload.span, mask: mask).span, from: worker.pool)
        originStream?.requestBodyArrived()
    }

    private func tellWhatLeft() {
        let waiting = UInt64(requestBody.byteCount)
        call?.socketLeft(sentBytes > waiting ? sentBytes - waiting : 0, on: id)
    }

    private func over(_ code: UInt16, _ reason: String, clean: Bool, error: String) {
        guard isOpen, let call else { return }
        close()
        call.socketClosed(code, reason, clean: clean, error: error, on: id)
        call.forget(self)
        if originStream != nil { leave() }
    }

    private func close() {
        isOpen = false
        worker.cancel(timer)
        intake.removeAll()
        tappedBacklog = 0
    }

    /// Ends the connection when what is queued has been sent.
    private func leave() {
        detach()
        worker.hooks?.leaving[ObjectIdentifier(self)] = self
        requestBodyEnded = true
        originStream?.requestBodyArrived()
        worker.schedule(timer, after: HookLink.closeTime)
    }

    fileprivate func timeIsUp() {
        guard isOpen else {
            cancelOrigin()
            worker.hooks?.leaving[ObjectIdentifier(self)] = nil
            return
        }
        if isClosing { return over(1006, "", clean: false, error: "") }
        send(9, [])
        worker.schedule(timer, after: HookLink.pingTime)
    }
}

private final class LinkTimer: Timer {
    unowned var link: HookLink?
    override func fire() { link?.timeIsUp() }
}

extension HookSubrequest {
    /// What carries it out.
    func exchange(for call: GatewayHookCall, _ worker: Worker) -> Subrequest {
        upgrades ? HookLink(call: call, request: self, worker: worker) : Subrequest(call: call, request: self, worker: worker)
    }
}

extension GatewayHookCall {
    /// Links whose hook has room for more: its client took something.
    func pumpLinks() { for link in links { link.pump() } }

    func link(_ id: Int32) -> HookLink? { links.first { $0.id == id } }

    /// Bytes that wait for the slowest of the origins the hook has WebSockets to.
    var linkBacklog: Int { links.reduce(0) { max($0, $1.waiting) } }
}
