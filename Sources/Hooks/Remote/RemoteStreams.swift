import Buffers

// Bodies that flow between a worker and a cordon, chunk by chunk. Both directions have a budget that the receiver gives: a cordon
// asks for `HookCall.outputStep` bytes ahead of what its hook reads, a worker says when there is room for as many more. So neither
// process ever holds more of a body than that, whatever its length.

extension WireReader {
    mutating func side() throws(WireError) -> HookSide {
        guard let side = HookSide(rawValue: Int32(try byte())) else { throw WireError("no side") }
        return side
    }
}

// MARK: The worker's end

extension RemoteHooks {
    final func tell(_ kind: RemoteRequest, _ call: HookCall, _ side: HookSide) {
        message(kind, call.remote.number) { $0.byte(UInt8(clamping: side.rawValue)) }
    }

    final func chunk(_ call: HookCall, _ side: HookSide, _ bytes: Span<UInt8>) {
        call.streams.asked[side] -= bytes.count
        if call.streams.asked[side] <= 0 { call.streams.pulls &= ~side.bit }
        if let number = slabs?.lend(bytes) {
            return message(.chunkAt, call.remote.number) { wire in
                wire.byte(UInt8(clamping: side.rawValue))
                wire.number32(UInt32(number))
                wire.number32(UInt32(bytes.count))
            }
        }
        pool.copied.hook += bytes.count
        outgoing.begin(RemoteRequest.chunk.rawValue)
        outgoing.number32(call.remote.number)
        outgoing.byte(UInt8(clamping: side.rawValue))
        outgoing.bytes(bytes)
        outgoing.end()
        wrote()
    }

    /// A result said that the hook makes a body from now on.
    final func expectStream(_ call: HookCall, _ side: HookSide, _ body: HookBody) {
        guard case .stream(let length) = body else { return }
        call.streams.outputs |= side.bit
        call.streams.full |= side.bit
        call.streams.left[side] = length ?? -1
    }

    final func breakBody(_ call: HookCall, _ failure: HookFailure) {
        call.streams.outputs = 0
        call.requestOutput.removeAll()
        call.responseOutput.removeAll()
        call.bodyBroken(failure)
    }

    func stream(_ kind: RemoteReply, _ call: HookCall, _ wire: inout WireReader) throws(WireError) {
        if kind == .bodyBroken {
            let rule = call.remote.function?.rule(call.binding)?.name ?? ""
            let failure = try wire.failure(call.remote.function?.name ?? "", rule)
            try wire.expectEnd()
            guard call.isStreaming else { throw WireError("no body to break") }
            return breakBody(call, failure)
        }
        let side = try wire.side()
        if kind == .bodyMade { return try made(call, side, &wire) }
        if kind == .bodyMadeAt { return try madeAt(call, side, &wire) }
        try wire.expectEnd()
        switch kind {
        case .pullBody:
            guard call.streams.asked[side] <= HookCall.outputStep else { throw WireError("more asked for than one can take") }
            call.streams.asked[side] += HookCall.outputStep
            call.streams.pulls |= side.bit
            call.pullBody(side)
        case .cancelBody:
            call.streams.pulls &= ~side.bit
            call.cancelBody(side)
        default:
            guard call.streams.outputs & side.bit != 0, call.streams.left[side] <= 0 else { throw WireError("a body ended that had not") }
            call.streams.outputs &= ~side.bit
            call.streams.full &= ~side.bit
            call.bodyDone(side)
        }
    }

    /// Bytes that the hook made: no more than there was room for, but for what the last chunk had beyond it.
    private func made(_ call: HookCall, _ side: HookSide, _ wire: inout WireReader) throws(WireError) {
        let range = try wire.data()
        try wire.expectEnd()
        try account(call, side, range.count)
        if side == .request {
            call.requestOutput.append(copying: wire.bytes.extracting(range), from: pool)
        } else {
            call.responseOutput.append(copying: wire.bytes.extracting(range), from: pool)
        }
        call.bodyMade(side)
    }

    /// The same of a shared slab, as it is now. It is copied before anybody looks at it.
    private func madeAt(_ call: HookCall, _ side: HookSide, _ wire: inout WireReader) throws(WireError) {
        let number = Int(try wire.number32()), start = Int(try wire.number32()), count = Int(try wire.number32())
        try wire.expectEnd()
        try account(call, side, count)
        let isLent = side == .request ? slabs?.copy(number, from: start, count: count, to: &call.requestOutput, pool)
            : slabs?.copy(number, from: start, count: count, to: &call.responseOutput, pool)
        guard isLent == true else { throw WireError("a slab that was not lent") }
        call.bodyMade(side)
    }

    private func account(_ call: HookCall, _ side: HookSide, _ count: Int) throws(WireError) {
        let most = HookCall.outputStep + (call.remote.function?.source.limits.externalBytes ?? 0)
        guard call.streams.outputs & side.bit != 0, call.streams.room[side] > 0, count <= most else {
            throw WireError("a body beyond the room for it")
        }
        call.streams.room[side] -= count
        if call.streams.room[side] <= 0 { call.streams.full |= side.bit }
        guard call.streams.left[side] >= 0 else { return }
        guard count <= call.streams.left[side] else { throw WireError("a body longer than announced") }
        call.streams.left[side] -= count
    }
}

// MARK: The cordon's end

/// What has come of a body and the hook has not read yet.
struct StreamInput {
    enum Chunk {
        case bytes([UInt8]), shared(SharedChunk)
        var count: Int {
            switch self {
            case .bytes(let bytes): bytes.count
            case .shared(let chunk): chunk.count
            }
        }
    }

    private var chunks: [Chunk] = []
    private var next = 0
    private(set) var queued = 0
    /// Asked for and not come yet.
    var granted = 0
    /// The hook waits for a chunk.
    var isWanted = false
    var isGiving = false
    var hasEnded = false
    /// The hook wants no more of it.
    var isCancelled = false
    var failure: String?

    mutating func add(_ chunk: Chunk) {
        chunks.append(chunk)
        queued += chunk.count
    }

    mutating func take() -> Chunk? {
        guard next < chunks.count else { return nil }
        let first = chunks[next]
        chunks[next] = .bytes([])
        next += 1
        if next == chunks.count {
            chunks.removeAll(keepingCapacity: true)
            next = 0
        }
        queued -= first.count
        return first
    }

    mutating func drop() {
        chunks.removeAll()
        (next, queued) = (0, 0)
    }
}

extension ServedCall {
    private func update<Result>(_ side: HookSide, _ change: (inout StreamInput) -> Result) -> Result {
        side == .request ? change(&requestInput) : change(&responseInput)
    }

    private func input(_ side: HookSide) -> StreamInput { side == .request ? requestInput : responseInput }

    /// The hook asks for a chunk.
    func pullInput(_ side: HookSide) {
        update(side) { $0.isWanted = true }
        give(side)
    }

    /// Gives the hook what it asked for as far as it is there, and sees to it that more comes.
    private func give(_ side: HookSide) {
        guard !input(side).isGiving else { return }
        update(side) { $0.isGiving = true }
        while input(side).isWanted {
            if let chunk = update(side, { $0.take() }) {
                update(side) { $0.isWanted = false }
                switch chunk {
                case .bytes(let bytes): bodyChunk(side, bytes.span)
                case .shared(let chunk): bodyChunk(side, chunk)
                }
            } else if let failure = input(side).failure {
                update(side) { $0.isWanted = false }
                bodyFailed(side, failure)
            } else if input(side).hasEnded {
                update(side) { $0.isWanted = false }
                bodyEnded(side)
            } else {
                break
            }
        }
        update(side) { $0.isGiving = false }
        askAhead(side)
    }

    private func askAhead(_ side: HookSide) {
        let state = input(side)
        guard !isIdle, !state.hasEnded, !state.isCancelled, state.failure == nil else { return }
        guard state.granted + state.queued <= HookCall.outputStep / 2 else { return }
        update(side) { $0.granted += HookCall.outputStep }
        server.message(.pullBody, number) { $0.byte(UInt8(clamping: side.rawValue)) }
    }

    func cancelInput(_ side: HookSide) {
        update(side) {
            $0.isCancelled = true
            $0.drop()
        }
        server.message(.cancelBody, number) { $0.byte(UInt8(clamping: side.rawValue)) }
    }

    func receive(_ side: HookSide, _ bytes: Span<UInt8>) {
        let state = input(side)
        update(side) { $0.granted -= bytes.count }
        guard !isIdle, !state.isCancelled else { return }
        guard state.isWanted, !state.isGiving, state.queued == 0 else { return enqueue(side, bytes) }
        // The hook waits for it: straight from where it arrived.
        update(side) { $0.isWanted = false }
        update(side) { $0.isGiving = true }
        bodyChunk(side, bytes)
        update(side) { $0.isGiving = false }
        give(side)
    }

    // A span cannot be captured, so there is no closure here.
    private func enqueue(_ side: HookSide, _ bytes: Span<UInt8>) {
        if side == .request { requestInput.add(.bytes(bytes.array())) } else { responseInput.add(.bytes(bytes.array())) }
    }

    /// A chunk in shared memory. It goes through the queue, which costs nothing.
    func receive(_ side: HookSide, _ chunk: SharedChunk) {
        update(side) { $0.granted -= chunk.count }
        guard !isIdle, !input(side).isCancelled else { return }
        update(side) { $0.add(.shared(chunk)) }
        give(side)
    }

    func endInput(_ side: HookSide) {
        update(side) { $0.hasEnded = true }
        give(side)
    }

    /// Also the answer to a hook that wants the whole.
    func failInput(_ side: HookSide, _ message: String) {
        update(side) {
            $0.failure = message
            $0.isWanted = false
        }
        bodyFailed(side, message)
    }

    /// A part of what it was lent, where it lies.
    func sendShared(_ side: HookSide, _ slab: Int, _ offset: Int, _ count: Int) {
        sendOutput(side)
        server.message(.bodyMadeAt, number) { wire in
            wire.byte(UInt8(clamping: side.rawValue))
            wire.number32(UInt32(slab))
            wire.number32(UInt32(offset))
            wire.number32(UInt32(count))
        }
    }

    /// The hook made bytes.
    func sendOutput(_ side: HookSide) {
        var made = Chain()
        takeOutput(side, into: &made)
        guard !made.isEmpty else { return }
        server.outgoing.begin(RemoteReply.bodyMade.rawValue)
        server.outgoing.number32(number)
        server.outgoing.byte(UInt8(clamping: side.rawValue))
        server.end(with: &made)
    }

    func endOutput(_ side: HookSide) {
        sendOutput(side)
        server.message(.bodyDone, number) { $0.byte(UInt8(clamping: side.rawValue)) }
    }
}
