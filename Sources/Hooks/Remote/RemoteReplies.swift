public import Buffers
import HTTP

/// What a cordon says, checked and carried out.
extension RemoteHooks {
    /// One message. Throws when it is not what a cordon of this program could send.
    public final func receive(_ bytes: Span<UInt8>) throws(WireError) {
        var wire = WireReader(bytes)
        guard let kind = RemoteReply(rawValue: try wire.byte()) else { throw WireError("no kind of message") }
        switch kind {
        case .hello: saidHello = true
        case .loaded: try functionLoaded(&wire)
        case .loadFailed: try functionFailed(&wire)
        case .log: try logLine(&wire)
        case .pong: pong(try wire.number32())
        case .worked:
            guard let end = HookWorkEnd(rawValue: try wire.byte()) else { throw WireError("no end of work") }
            worked(end, min(try wire.number(), 86_400_000_000_000))
        case .slabBack: guard slabs?.takeBack(Int(try wire.number32())) == true else { throw WireError("a slab that was not lent") }
        default:
            // The number of a call that is over here is no breach: the cancellation was under way.
            guard let call = calls[try wire.number32()], call.remote.sent else { return }
            return try ofCall(kind, call, &wire)
        }
        try wire.expectEnd()
    }

    private func functionLoaded(_ wire: inout WireReader) throws(WireError) {
        guard let function = try unanswered(&wire) else { return _ = try wire.number32() }
        function.handlers = Int32(bitPattern: try wire.number32())
        function.isLoaded = true
        function.loadFailure = nil
        loaded(function)
        sendWaiting(for: function)
    }

    /// The function that a cordon tells of, once for each time it is loaded; nil for one that was unloaded.
    private func unanswered(_ wire: inout WireReader) throws(WireError) -> RemoteFunction? {
        guard let function = functions[try wire.number32()] else { return nil }
        guard !function.isAnswered else { throw WireError("a function was loaded twice") }
        function.isAnswered = true
        return function
    }

    private func functionFailed(_ wire: inout WireReader) throws(WireError) {
        let function = try unanswered(&wire)
        let text = escapedForLog(String(try wire.string().prefix(2048)))
        guard let function else { return }
        function.loadFailure = text
        loaded(function)
        sendWaiting(for: function)
    }

    private func logLine(_ wire: inout WireReader) throws(WireError) {
        let level = Int(try wire.byte()), number = try wire.number32()
        guard let function = functions[try wire.number32()] else { return _ = try wire.string() }
        let text = escapedForLog(String(try wire.string().prefix(function.source.limits.logBytes + 128)))
        let call = calls[number]
        log(min(level, 3), function, call?.remote.function === function ? call : nil, text)
    }

    private func ofCall(_ kind: RemoteReply, _ call: HookCall, _ wire: inout WireReader) throws(WireError) {
        if call.remote.left, kind.isOfExchange { return try crossed(kind, call, &wire) }
        switch kind {
        case .finished: return try finished(call, &wire)
        case .released:
            guard call.exchange == nil else { throw WireError("a call was released before its result") }
            call.progress.tailStopped = try wire.flag()
            try wire.expectEnd()
            forget(call)
            call.released()
        case .readBody:
            let side = try wire.side()
            try wire.expectEnd()
            if call.exchange != nil { call.readBody(side) }
        case .pullBody, .cancelBody, .bodyMade, .bodyMadeAt, .bodyDone, .bodyBroken: try stream(kind, call, &wire)
        case .sendToOrigin: try sendToOrigin(call, &wire)
        case .subrequest: try subrequest(call, &wire)
        case .store:
            guard let source = call.remote.function?.source else { throw WireError("a request of no function") }
            call.store(try HookStoreRequest.read(from: &wire, call, source))
        case .cancelSubrequest:
            let id = Int32(bitPattern: try wire.number32())
            guard call.openSubrequests.contains(id) else { return }
            call.closeSubrequest(id)
            call.cancelSubrequest(id)
        case .pullAnswer, .askMade, .askDone: try part(kind, call, &wire)
        case .socketActed, .socketReady, .socketFailed: try ofSocket(kind, call, &wire)
        default: throw WireError("no message of a call")
        }
    }

    /// What was said of an exchange before the cordon knew that it is given up. A result with nothing behind it is the call's end.
    private func crossed(_ kind: RemoteReply, _ call: HookCall, _ wire: inout WireReader) throws(WireError) {
        guard kind == .finished else { return }
        _ = try wire.byte()
        guard try !wire.flag() else { return }
        forget(call)
        call.released()
    }

    private func ofSocket(_ kind: RemoteReply, _ call: HookCall, _ wire: inout WireReader) throws(WireError) {
        // What a cordon may have used of its time for one message.
        let limit = (call.remote.function?.source.limits.cpuMicroseconds ?? 0) &* 2_000 &+ 1_000_000_000
        switch kind {
        case .socketActed:
            let actions = try wire.actions()
            try wire.expectEnd()
            guard call.socket.isOpen || call.exchange != nil || !call.links.isEmpty else { return }
            guard call.takes(actions) else { throw WireError("more messages than may wait") }
            if call.socket.isOpen || !call.links.isEmpty { call.socketActed() }
        case .socketReady:
            let id = Int32(bitPattern: try wire.number32())
            let spent = min(try wire.number(), limit)
            call.socket.refused += Int(min(try wire.number32(), 1 << 20))
            try wire.expectEnd()
            guard call.isOpen(id) else { return }
            call.cpuNanoseconds &+= spent
            call.socketReady(id)
        default:
            let rule = call.remote.function?.rule(call.binding)?.name ?? ""
            let failure = try wire.failure(call.remote.function?.name ?? "", rule)
            try wire.expectEnd()
            guard call.socket.isOpen else { return }
            call.socket.isOpen = false
            call.socketBroken(failure)
        }
    }

    // MARK: Results

    private func finished(_ call: HookCall, _ wire: inout WireReader) throws(WireError) {
        guard let exchange = call.exchange else { throw WireError("a call ended twice") }
        guard let kind = RemoteOutcome(rawValue: try wire.byte()) else { throw WireError("no outcome") }
        let hasTail = try wire.flag()
        // What it cannot have used, it did not use.
        let limit = (call.remote.function?.source.limits.cpuMicroseconds ?? 0) &* 2_000 &+ 1_000_000_000
        call.cpuNanoseconds = min(try wire.number(), limit)
        let outcome: HookOutcome
        if kind == .failed {
            let rule = call.remote.function?.rule(call.binding)?.name ?? ""
            outcome = .failed(try wire.failure(call.remote.function?.name ?? "", rule))
        } else {
            call.state = try wire.array()
            guard call.state.count <= HeldLimits.text else { throw WireError("a state of \(call.state.count) bytes") }
            try wire.vars(into: &exchange.vars, more: HeldLimits.text)
            call.laterFields = try LaterFields.checked(try wire.array())
            if call.phase == .webSocket {
                let from = call.message?.fromClient ?? true
                call.message = try wire.message()
                call.message?.fromClient = from
            }
            countRefused(try call.edits.read(from: &wire))
            outcome = try apply(kind, call, exchange)
        }
        try wire.expectEnd()
        switch outcome {
        case .proceed(let body): expectStream(call, call.phase == .response ? .response : .request, body)
        case .respond(let body): expectStream(call, .response, body)
        case .deny, .failed: break
        }
        guard hasTail || !call.isStreaming else { throw WireError("a body that nobody makes") }
        let open = call.openSubrequests
        if case .respond(.socket) = outcome {
            guard hasTail else { throw WireError("a WebSocket without its hook") }
            call.socket.isOpen = true
        }
        if hasTail {
            call.endExchange()
        } else {
            forget(call)
            for id in open { call.cancelSubrequest(id) }
        }
        call.finished(outcome)
    }

    private func apply(_ kind: RemoteOutcome, _ call: HookCall, _ exchange: Exchange) throws(WireError) -> HookOutcome {
        switch kind {
        case .deny:
            guard call.edits.status >= 200 else { throw WireError("a refusal without a status") }
            return call.applyOutcome(HookCode.deny, exchange)
        case .respond:
            let fresh = call.phase != .response && !call.progress.originArrived
            let isSocket = call.edits.responseBody == .socket
            guard !isSocket || exchange.asksForWebSocket && (call.phase == .request || call.phase == .fetch) else {
                throw WireError("a WebSocket where none is asked for")
            }
            guard !fresh || call.edits.status >= 200 || isSocket else { throw WireError("a response without a status") }
            return call.applyOutcome(HookCode.respond, exchange)
        case .proceed, .failed:
            guard call.phase != .fetch || !call.progress.originSent else {
                return .failed(failure(.badReturn, call, "fetch() went on to the origin twice"))
            }
            return call.applyOutcome(HookCode.proceed, exchange)
        }
    }

    // MARK: What a call asks for

    private func sendToOrigin(_ call: HookCall, _ wire: inout WireReader) throws(WireError) {
        guard let exchange = call.exchange, call.phase == .fetch, !call.progress.originSent else {
            throw WireError("the origin was called where it cannot be")
        }
        try wire.vars(into: &exchange.vars, more: HeldLimits.text)
        countRefused(try call.edits.read(from: &wire))
        try wire.expectEnd()
        call.progress.originSent = true
        call.edits.applyRequest(&exchange.request)
        let body = call.edits.requestBody
        expectStream(call, .request, body)
        call.edits.reset()
        pauseWall(call)
        call.sendToOrigin(body)
    }

    private func heldBytes(of function: RemoteFunction) -> Int {
        calls.values.reduce(0) { $1.remote.function === function ? $0 + $1.heldBytes : $0 }
    }

    private func subrequest(_ call: HookCall, _ wire: inout WireReader) throws(WireError) {
        guard let function = call.remote.function, call.progress.subrequests < function.source.limits.subrequests else {
            throw WireError("more sub-requests than allowed")
        }
        let id = Int32(bitPattern: try wire.number32()), upstream = Int(Int32(bitPattern: try wire.number32()))
        guard function.source.mayAsk(upstream), !call.openSubrequests.contains(id) else {
            throw WireError("a sub-request to nowhere")
        }
        let request = HookSubrequest(id: id, upstream: upstream)
        try request.read(from: &wire)
        try wire.expectEnd()
        let count = request.body.count, most = function.source.limits.memoryBytes
        guard count <= HeldLimits.alwaysHeld || count <= most - heldBytes(of: function), call.holds(id, count, atMost: most) else {
            throw WireError("bodies beyond what may wait")
        }
        call.progress.subrequests += 1
        call.openSubrequests.append(id)
        if request.flows { call.asks.append(request) }
        call.subrequest(request)
    }
}

extension HookSubrequest {
    func write(to wire: inout WireWriter) {
        wire.number32(UInt32(bitPattern: id))
        wire.number32(UInt32(bitPattern: Int32(clamping: upstream)))
        wire.head(head)
        wire.array(body)
        wire.flag(upgrades)
        wire.flag(flows)
    }

    /// The same checks as `HookOperations.fill` makes of a script's words.
    func read(from wire: inout WireReader) throws(WireError) {
        try wire.head(into: &head)
        body = try wire.array()
        upgrades = try wire.flag()
        flows = try wire.flag()
        guard !flows || body.isEmpty && !upgrades else { throw WireError("two bodies") }
        if flows {
            isFull = true
            if case .known(let length) = head.body, length >= 0 { left = length } else { head.body = .unknown }
        } else {
            head.body = body.isEmpty && head.body == .none ? .none : .known(body.count)
        }
        guard isLegal(head) else { throw WireError("a sub-request that HTTP does not allow") }
        for index in head.fields.indices.reversed() {
            let name = head.fields[index].id
            if name.isFraming || name == .host { head.remove(at: index) }
        }
    }

    // The head is lent, so that spans of it end with the loan.
    private func isLegal(_ head: borrowing Head) -> Bool {
        guard isToken(head.bytes(head.methodName)), isTarget(head.bytes(head.authority)), isTarget(head.bytes(head.path)),
            isTarget(head.bytes(head.query)), head.bytes(head.path).starts(with: Span("/"))
        else { return false }
        return head.fields.allSatisfy { isToken(head.bytes($0.name)) && isFieldValue(head.bytes($0.value)) }
    }

    private func isTarget(_ text: borrowing Span<UInt8>) -> Bool {
        for index in 0..<text.count where text[index] <= 0x20 || text[index] >= 0x7f { return false }
        return true
    }
}
