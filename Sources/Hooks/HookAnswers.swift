public import Buffers
public import HTTP
import Isolates

// Sub-requests whose bodies flow. The answer: its head first (`subrequestAnswered`), then chunk by chunk as the hook asks for them
// (`HookCall.pullAnswer`). The request: as far as the gateway has room (`askRoom`), like the bodies of the exchange itself.

extension HookCall {
    // MARK: The answer

    /// The head of an answer whose body is on its way. `pullAnswer` asks for its chunks.
    public final func subrequestAnswered(_ id: Int32, _ head: borrowing Head) {
        subrequestAnswered(id, status: head.status, fields: flatFields(head))
    }

    final func subrequestAnswered(_ id: Int32, status: Int, fields: [UInt8]) {
        guard openSubrequests.contains(id), !flowing.contains(id) else { return }
        flowing.append(id)
        if let owner = remote.owner { return owner.answer(self, .answering(id, status: status, fields: fields)) }
        function?.enter(.answering, for: self, [.int(id), .int(Int32(clamping: status)), .latin1(fields)])
    }

    /// One chunk, the answer to `pullAnswer`; lent to the hook as far as it can be, as `bodyChunk`.
    public final func answerChunk(_ id: Int32, _ slice: borrowing Slice) {
        guard takesPart(id, slice.count) else { return }
        if let owner = remote.owner { return owner.part(self, id, slice.bytes) }
        function?.enter(chunk: slice, .answerChunk, id, for: self)
    }

    final func answerChunk(_ id: Int32, _ chunk: SharedChunk) {
        guard takesPart(id, chunk.count) else { return }
        function?.enter(chunk: chunk, .answerChunk, id, for: self)
    }

    final func answerChunk(_ id: Int32, _ bytes: Span<UInt8>) {
        guard takesPart(id, bytes.count) else { return }
        function?.enter(chunk: bytes, .answerChunk, id, for: self)
    }

    /// The answer is complete, the answer to `pullAnswer`. One that breaks off ends by `subrequestFailed`.
    public final func answerEnded(_ id: Int32) {
        guard takesPart(id, 0) else { return }
        if let owner = remote.owner { return owner.answer(self, .answerEnd(id)) }
        function?.enter(.answerEnd, for: self, [.int(id)])
    }

    private func takesPart(_ id: Int32, _ count: Int) -> Bool {
        guard let index = partsWanted.firstIndex(of: id) else { return false }
        partsWanted.remove(at: index)
        streams.parts = partsWanted.count
        streams.bytes &+= UInt64(count)
        function?.tally.bodyBytesRead &+= UInt64(count)
        return true
    }

    final func wantPart(_ id: Int32) {
        partsWanted.append(id)
        streams.parts = partsWanted.count
    }

    // MARK: The request

    /// Whether the hook waits to be told that there is room in the body of this sub-request.
    public final func askIsFull(_ id: Int32) -> Bool { ask(id)?.isFull ?? false }

    /// There is room for `outputStep` bytes more of a body that the hook makes for a sub-request.
    public final func askRoom(_ id: Int32) {
        guard let ask = ask(id), ask.isFull else { return }
        ask.isFull = false
        ask.room = HookCall.outputStep
        if let owner = remote.owner { return owner.answer(self, .askRoom(id)) }
        function?.enter(.askRoom, for: self, [.int(id)])
    }

    /// What the hook made of that body so far.
    public final func takeAsk(_ id: Int32, into chain: inout Chain) {
        if let ask = ask(id) { chain.append(contentsOf: &ask.output) }
    }

    /// The hook has made all of it: nothing more is taken.
    final func endAsk(_ id: Int32) {
        askDone(id)
        asks.removeAll { $0.id == id }
    }

    final func ask(_ id: Int32) -> HookSubrequest? { asks.first { $0.id == id } }

    /// The sub-request is over, in whichever way.
    final func closeSubrequest(_ id: Int32) {
        openSubrequests.removeAll { $0 == id }
        letGo(id)
        if !asks.isEmpty { asks.removeAll { $0.id == id } }
        guard let index = flowing.firstIndex(of: id) else { return }
        flowing.remove(at: index)
        partsWanted.removeAll { $0 == id }
        streams.parts = partsWanted.count
    }

    final func closeSubrequests() {
        openSubrequests.removeAll(keepingCapacity: true)
        letGoOfAll()
        if !asks.isEmpty { asks.removeAll() }
        if !flowing.isEmpty { flowing.removeAll() }
        if !partsWanted.isEmpty { partsWanted.removeAll() }
        streams.parts = 0
    }
}

// Operations.
extension HookOperations {
    func performAnswer(_ operation: HookOperation, _ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native), id = try native.int32(2)
        switch operation {
        case .pullAnswer:
            guard call.flowing.contains(id), !call.partsWanted.contains(id) else { throw .typeError("this body is over") }
            call.wantPart(id)
            function.events.append(.pullAnswer(call, call.epoch, id))
        case .writeAsk: try writeAsk(call, id, native)
        default:
            guard call.ask(id) != nil else { throw HookOperations.ended }
            function.events.append(.askDone(call, call.epoch, id))
        }
    }

    /// `writeAsk(slot, epoch, id, chunk)`: true while more may be written in this turn.
    private func writeAsk(_ call: HookCall, _ id: Int32, _ native: borrowing NativeCall) throws(NativeFailure) {
        guard let ask = call.ask(id) else { throw HookOperations.ended }
        let bytes = try native.bytes(3), first = ask.output.isEmpty
        append(bytes, native, to: &ask.output)
        ask.room -= bytes.count
        if ask.room <= 0 { ask.isFull = true }
        call.streams.bytes &+= UInt64(bytes.count)
        function.tally.bodyBytesWritten &+= UInt64(bytes.count)
        if first, bytes.count > 0 { function.events.append(.askMade(call, call.epoch, id)) }
        native.returnBool(ask.room > 0)
    }

    /// The body of a sub-request that flows: its length in bytes, -1 where nobody knows it, -2 and -3 that of the exchange's own
    /// request and response, which goes on as it is.
    func announce(_ length: Double, _ request: HookSubrequest, _ exchange: Exchange?) {
        request.flows = true
        request.isFull = true
        switch length {
        case 0..<0x1p53: request.head.body = .known(Int(length))
        case -2: request.head.body = exchange?.request.body ?? .unknown
        case -3: request.head.body = exchange?.response.body ?? .unknown
        default: request.head.body = .unknown
        }
        if case .known = request.head.body {} else { request.head.body = .unknown }
    }
}
