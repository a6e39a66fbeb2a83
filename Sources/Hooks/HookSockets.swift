import Buffers
public import HTTP
import Isolates

/// WebSockets that a hook ends itself: the client's (`new Response(null, {status: 101, webSocket})`), with the number 0, and
/// those to upstreams and hosts outside (`fetch` with `Upgrade: websocket`), with the number of their sub-request.
///
/// The call stays after its result until the WebSocket is closed. Messages come in one at a time: the hook says when it
/// takes another (`socketReady`). What it sends is bounded: the gateway tells how much has left.
struct SocketProgress {
    /// The call's result was a WebSocket, and it is not over.
    var isOpen = false
    /// CPU time that is not counted against the limit any more: a message has the limit anew, and so has each second.
    var cpuBefore: UInt64 = 0
    var renewed: UInt64 = 0
    /// Payload bytes that the hook sent, and that have left the gateway.
    var sent: UInt64 = 0
    var left: UInt64 = 0
    /// Messages refused because too much was waiting.
    var refused = 0

    init(isOpen: Bool = false) { self.isOpen = isOpen }

    var waiting: Int { Int(clamping: sent &- min(left, sent)) }
}

/// What a hook does with its WebSocket.
public enum HookSocketAction: Equatable {
    case message(HookMessage)
    /// Code 1000 to 4999, or 0 for none; reason of at most 123 bytes of UTF-8.
    case close(UInt16, String)
}

extension HookCall {
    /// Payload bytes that may wait for a client before `send()` throws.
    public static let socketBacklog = 4 << 20

    /// The WebSocket that was this call's result is not over.
    public final var isSocketOpen: Bool { socket.isOpen }

    /// The call stays after its result: it makes a body, or has a WebSocket.
    final var isHeld: Bool { isStreaming || hasOpenSocket }

    /// How many messages of the hook were refused since this was last asked: too much was waiting.
    public final func takeRefusedMessages() -> Int {
        defer { socket.refused = 0 }
        return socket.refused
    }

    /// What the hook has done with its WebSocket since this was last asked, in order.
    public final func takeSocketActions() -> [(socket: Int32, action: HookSocketAction)] {
        if socketActions.isEmpty { return [] }
        defer { socketActions.removeAll(keepingCapacity: true) }
        return socketActions
    }

    /// The open WebSocket with this number, 0 for the client's; nil when it is over.
    final subscript(socket id: Int32) -> SocketProgress? {
        get { id != 0 ? links[id] : socket.isOpen ? socket : nil }
        set { if id != 0 { links[id] = newValue } else if let newValue { socket = newValue } else { socket.isOpen = false } }
    }

    final func isOpen(_ id: Int32) -> Bool { self[socket: id] != nil }

    // MARK: What the gateway tells. Each is ignored when the WebSocket is over.

    /// The answer to a sub-request that asked for a WebSocket: 101, and `id` is its number from now on.
    public final func subrequestUpgraded(_ id: Int32, _ head: borrowing Head) { subrequestUpgraded(id, flatFields(head)) }

    final func subrequestUpgraded(_ id: Int32, _ fields: [UInt8]) {
        guard openSubrequests.contains(id) else { return }
        links[id] = SocketProgress(isOpen: true)
        if let owner = remote.owner { return owner.answer(self, .upgraded(id, fields)) }
        function?.enter(.upgraded, for: self, [.int(id), .latin1(fields)])
    }

    /// The handshake is done.
    public final func socketOpened() {
        guard socket.isOpen else { return }
        if let owner = remote.owner { return owner.answer(self, .socketOpened) }
        function?.enter(.socketOpened, for: self, [])
    }

    /// A message of the client. Not before `socketReady` told that the one before is done with.
    public final func socketMessage(_ message: HookMessage, on id: Int32 = 0) {
        guard isOpen(id) else { return }
        if let owner = remote.owner { return owner.answer(self, .socketMessage(id, message)) }
        function?.wasUsed()
        if socket.isOpen { function?.renewBudget(self) }
        let value: JSArgument = message.isText ? .string(String(decoding: message.bytes, as: UTF8.self)) : .bytes(message.bytes)
        function?.enter(.socketMessage, for: self, [.int(id), value])
    }

    /// The WebSocket is over: code and reason as the client said them, 1006 for one that was lost.
    public final func socketClosed(_ code: UInt16, _ reason: String, clean: Bool, error: String = "", on id: Int32 = 0) {
        guard isOpen(id) else { return }
        if socket.isOpen { function?.renewBudget(self) }
        self[socket: id] = nil
        if id != 0 { openSubrequests.removeAll { $0 == id } }
        if let owner = remote.owner { return owner.answer(self, .socketClosed(id, code, reason, clean, error)) }
        function?.enter(.socketClosed, for: self, [.int(id), .int(Int32(code)), .string(reason), .bool(clean), .string(error)])
    }

    /// So many payload bytes have left in all.
    public final func socketLeft(_ bytes: UInt64, on id: Int32 = 0) {
        guard let progress = self[socket: id], progress.left != bytes else { return }
        self[socket: id]?.left = bytes
        if let owner = remote.owner { owner.answer(self, .socketLeft(id, bytes)) }
    }
}

extension HookFunction {
    fileprivate func wasUsed() { lastUsed = host.now }

    func renewBudget(_ call: HookCall) {
        call.socket.cpuBefore = call.cpuNanoseconds
        call.socket.renewed = host.now
        call.progress.subrequests = 0
        call.progress.logBytes = 0
    }

    /// CPU time of a call that is not counted any more. What happens between messages (timers, answers) has the limit
    /// anew each second.
    func cpuForgiven(_ call: HookCall) -> UInt64 {
        guard call.hasOpenSocket else { return call.socketCPUBefore }
        if host.now &- call.socket.renewed >= 1_000_000_000 { renewBudget(call) }
        return call.socket.cpuBefore
    }

    /// A WebSocket ends because of its hook.
    func breakSocket(_ call: HookCall, _ failure: HookFailure) {
        tally.countFailure(failure.kind)
        call.socket.isOpen = false
        call.socketActions.removeAll()
        endTail(call)
        tellOfEnd(.socketBroken(call, failure), of: call)
    }
}

// Operations.
extension HookOperations {
    func performSocket(_ operation: HookOperation, _ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        switch operation {
        case .acceptSocket: try acceptSocket(call)
        case .socketReady:
            let id = try native.int32(2)
            if call.isOpen(id) { function.events.append(.socketReady(call, call.epoch, id)) }
        case .socketBuffered:
            let id = try native.int32(2)
            // Also of a WebSocket that is over: the standard does not set it back.
            native.returnDouble(Double(id == 0 ? call.socket.waiting : call.links[id]?.waiting ?? 0))
        case .sendSocket: try sendSocket(call, native)
        case .closeSocket:
            let code = UInt16(clamping: try native.int(3))
            act(call, try native.int32(2), .close(code, try native.string(4)))
        default: try failSocket(call, native)
        }
    }

    /// `acceptSocket(slot, epoch)`: the answer is a WebSocket.
    private func acceptSocket(_ call: HookCall) throws(NativeFailure) {
        guard let exchange = call.exchange, call.phase == .request || call.phase == .fetch else {
            throw .typeError("a WebSocket can be accepted in onRequest and fetch only")
        }
        guard exchange.asksForWebSocket else {
            throw .typeError("a Response with a WebSocket answers a request that asks for none (Upgrade: websocket)")
        }
        call.edits.acceptSocket()
        call.socket = SocketProgress()
        call.socket.isOpen = true
        call.socket.renewed = function.host.now
    }

    /// `sendSocket(slot, epoch, socket, value)`: false when too much waits.
    private func sendSocket(_ call: HookCall, _ native: borrowing NativeCall) throws(NativeFailure) {
        let id = try native.int32(2), isText = native.kind(3) == .string
        let bytes = isText ? try native.utf8(3).array() : try native.bytes(3).array()
        guard let waiting = call[socket: id]?.waiting else { return native.returnBool(true) }
        guard waiting == 0 || waiting + bytes.count <= HookCall.socketBacklog else {
            call.socket.refused += 1
            return native.returnBool(false)
        }
        call[socket: id]?.sent &+= UInt64(bytes.count)
        act(call, id, .message(HookMessage(bytes, isText: isText, fromClient: false)))
        native.returnBool(true)
    }

    private func act(_ call: HookCall, _ id: Int32, _ action: HookSocketAction) {
        guard call.isOpen(id) else { return }
        if call.socketActions.isEmpty { function.events.append(.socketActed(call)) }
        call.socketActions.append((id, action))
    }

    /// `failSocket(slot, epoch, error)`: a listener threw.
    private func failSocket(_ call: HookCall, _ native: borrowing NativeCall) throws(NativeFailure) {
        let error = native.error(2)
        guard function.call(call.slot, call.epoch) === call, call.exchange == nil else { return }
        function.breakSocket(call, located(HookFailure(.error, call, error.message), error))
    }
}

extension Exchange {
    /// The request is the handshake of a WebSocket (RFC 6455 section 4.1; RFC 8441 leads to the same fields).
    final var asksForWebSocket: Bool { Exchange.asksForWebSocket(request) }

    private static func asksForWebSocket(_ head: borrowing Head) -> Bool {
        guard head.method == .get, let upgrade = head.value(of: .upgrade) else { return false }
        return head.bytes(upgrade).equalsIgnoringCase("websocket")
    }
}

extension StagedEdits {
    /// The answer is 101 and a WebSocket; the gateway adds what the handshake needs.
    mutating func acceptSocket() {
        setBody(.response, .socket)
        switchProtocols()
    }
}

extension WireWriter {
    mutating func actions(_ actions: [(socket: Int32, action: HookSocketAction)]) {
        number32(UInt32(clamping: actions.count))
        for (socket, action) in actions {
            number32(UInt32(bitPattern: socket))
            switch action {
            case .message(let message):
                byte(0)
                self.message(message)
            case .close(let code, let reason):
                byte(1)
                number32(UInt32(code))
                string(reason)
            }
        }
    }
}

extension WireReader {
    /// Checked: what a cordon makes up never reaches a client as a frame that RFC 6455 does not allow.
    mutating func actions() throws(WireError) -> [(socket: Int32, action: HookSocketAction)] {
        var actions: [(socket: Int32, action: HookSocketAction)] = []
        for _ in 0..<(try count(ofAtLeast: 6)) {
            let socket = Int32(bitPattern: try number32())
            switch try byte() {
            case 0:
                guard let message = try message() else { throw WireError("no message") }
                actions.append((socket, .message(message)))
            case 1:
                let code = try number32(), reason = try string()
                guard code == 0 || 1000...4999 ~= code, ![1004, 1005, 1006, 1015].contains(code), reason.utf8.count <= 123 else {
                    throw WireError("a close that WebSocket does not allow")
                }
                actions.append((socket, .close(UInt16(code), reason)))
            default: throw WireError("nothing that a WebSocket does")
            }
        }
        return actions
    }
}
