import Buffers

// Bodies of sub-requests between a worker and a cordon. An answer comes chunk by chunk as the hook asks, one at a time; what the
// hook makes for a request goes as far as the worker has room, as the bodies of the exchange do.

// MARK: The worker's end

extension RemoteHooks {
    final func answerPart(_ number: UInt32, _ call: HookCall, _ answer: HookAnswer) {
        switch answer {
        case .answering(let id, let status, let fields):
            message(.answering, number) { wire in
                wire.number32(UInt32(bitPattern: id))
                wire.number32(UInt32(clamping: status))
                wire.array(fields)
            }
        case .answerEnd(let id):
            call.closeSubrequest(id)
            message(.answerEnd, number) { $0.number32(UInt32(bitPattern: id)) }
        case .askRoom(let id): message(.askRoom, number) { $0.number32(UInt32(bitPattern: id)) }
        default: break
        }
    }

    final func part(_ call: HookCall, _ id: Int32, _ bytes: Span<UInt8>) {
        if let number = slabs?.lend(bytes) {
            return message(.answerChunkAt, call.remote.number) { wire in
                wire.number32(UInt32(bitPattern: id))
                wire.number32(UInt32(number))
                wire.number32(UInt32(bytes.count))
            }
        }
        pool.copied.hook += bytes.count
        outgoing.begin(RemoteRequest.answerChunk.rawValue)
        outgoing.number32(call.remote.number)
        outgoing.number32(UInt32(bitPattern: id))
        outgoing.bytes(bytes)
        outgoing.end()
        wrote()
    }

    /// A sub-request that is over here is no breach: what it was told of that may be under way.
    func part(_ kind: RemoteReply, _ call: HookCall, _ wire: inout WireReader) throws(WireError) {
        let id = Int32(bitPattern: try wire.number32())
        switch kind {
        case .pullAnswer:
            try wire.expectEnd()
            guard call.flowing.contains(id) else { return }
            guard !call.partsWanted.contains(id) else { throw WireError("a chunk asked for twice") }
            call.wantPart(id)
            call.pullAnswer(id)
        case .askMade:
            let range = try wire.data()
            try wire.expectEnd()
            guard let ask = call.ask(id) else { return }
            let most = HookCall.outputStep + (call.remote.function?.source.limits.externalBytes ?? 0)
            guard ask.room > 0, range.count <= most else { throw WireError("a body beyond the room for it") }
            ask.room -= range.count
            if ask.room <= 0 { ask.isFull = true }
            if ask.left >= 0 {
                guard range.count <= ask.left else { throw WireError("a body longer than announced") }
                ask.left -= range.count
            }
            ask.output.append(copying: wire.bytes.extracting(range), from: pool)
            call.askMade(id)
        default:
            try wire.expectEnd()
            guard let ask = call.ask(id) else { return }
            guard ask.left <= 0 else { throw WireError("a body ended that had not") }
            call.endAsk(id)
        }
    }
}

// MARK: The cordon's end

extension ServedCall {
    func sendAsk(_ id: Int32) {
        var made = Chain()
        takeAsk(id, into: &made)
        guard !made.isEmpty else { return }
        server.outgoing.begin(RemoteReply.askMade.rawValue)
        server.outgoing.number32(number)
        server.outgoing.number32(UInt32(bitPattern: id))
        server.end(with: &made)
    }
}
