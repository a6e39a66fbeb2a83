public import Buffers
import Isolates

/// Bodies that flow through a call while its JavaScript runs, chunk by chunk, both ways.
///
/// Reading: the hook asks (`HookCall.pullBody`), the gateway answers with one chunk, the end, or a failure. Writing: the
/// gateway says that it has room (`bodyRoom`), the hook fills `requestOutput` or `responseOutput` up to
/// `HookCall.outputStep` bytes. So neither side ever holds more than it asked for.
struct StreamProgress {
    /// A number for each side.
    struct Pair {
        private var request: Int, response: Int
        init(_ value: Int) { (request, response) = (value, value) }
        subscript(side: HookSide) -> Int {
            get { side == .request ? request : response }
            set { if side == .request { request = newValue } else { response = newValue } }
        }
    }

    /// Sides whose body the hook has asked a chunk of, as bits `1 << side`.
    var pulls: UInt8 = 0
    /// Sides that the hook produces a body for.
    var outputs: UInt8 = 0
    /// Sides among `outputs` for which the gateway has no room at present.
    var full: UInt8 = 0
    var isBusy: Bool { pulls | outputs | full != 0 }
    mutating func rest() { (pulls, outputs, full) = (0, 0, 0) }

    /// Bytes that the hook may make before it has to be told again that there is room.
    var room = Pair(0)
    /// Of a call in a cordon: bytes that the cordon asked for and that have not been sent to it.
    var asked = Pair(0)
    /// The same: bytes that are still to come of a body whose length was announced; negative for one without.
    var left = Pair(-1)
    /// Answers of sub-requests that the hook has asked a chunk of.
    var parts = 0
    /// Bytes that crossed into and out of JavaScript.
    var bytes: UInt64 = 0

    /// The call waits for the gateway: no wall limit runs meanwhile.
    var waitsForGateway: Bool { pulls != 0 || parts != 0 || (outputs != 0 && full == outputs) }
}

extension HookSide {
    var bit: UInt8 { 1 << UInt8(rawValue) }
}

extension HookCall {
    /// Bytes that a hook produces before it has to be told again that there is room.
    public static let outputStep = 64 << 10

    // MARK: The body that the hook reads

    /// One chunk, the answer to `pullBody`. The hook gets it in its slab where nobody else needs the bytes as they are
    /// (`Slice.lend`), else a copy, which is counted.
    public final func bodyChunk(_ side: HookSide, _ slice: borrowing Slice) {
        guard takesChunk(side, slice.count) else { return }
        if let owner = remote.owner { return owner.chunk(self, side, slice.bytes) }
        function?.enter(chunk: slice, .bodyChunk, side.rawValue, for: self)
    }

    /// The same with a chunk that another process shares.
    final func bodyChunk(_ side: HookSide, _ chunk: SharedChunk) {
        guard takesChunk(side, chunk.count) else { return }
        function?.enter(chunk: chunk, .bodyChunk, side.rawValue, for: self)
    }

    /// The same with bytes that are nobody's; they are copied.
    final func bodyChunk(_ side: HookSide, _ bytes: Span<UInt8>) {
        guard takesChunk(side, bytes.count) else { return }
        if let owner = remote.owner { return owner.chunk(self, side, bytes) }
        function?.enter(chunk: bytes, .bodyChunk, side.rawValue, for: self)
    }

    private func takesChunk(_ side: HookSide, _ count: Int) -> Bool {
        guard streams.pulls & side.bit != 0 else { return false }
        if remote.owner != nil { return true }
        guard let function, slot >= 0 else { return false }
        streams.pulls &= ~side.bit
        streams.bytes &+= UInt64(count)
        function.tally.bodyBytesRead &+= UInt64(count)
        return true
    }

    /// The body is complete, the answer to `pullBody`.
    public final func bodyEnded(_ side: HookSide) {
        guard streams.pulls & side.bit != 0 else { return }
        streams.pulls &= ~side.bit
        if let owner = remote.owner { return owner.tell(.bodyEnd, self, side) }
        function?.enter(.bodyEnd, for: self, [.int(side.rawValue)])
    }

    /// It takes a chunk more although it has just got one: another process asks ahead of what its hook reads.
    public final func takesMore(_ side: HookSide) -> Bool { remote.owner != nil && streams.pulls & side.bit != 0 }

    // MARK: The body that the hook makes

    /// There is room for `outputStep` bytes more. A hook that was told so before and has not made them goes on by itself.
    public final func bodyRoom(_ side: HookSide) {
        guard streams.outputs & side.bit != 0, streams.full & side.bit != 0 else { return }
        streams.full &= ~side.bit
        streams.room[side] = HookCall.outputStep
        if let owner = remote.owner { return owner.tell(.bodyRoom, self, side) }
        function?.enter(.bodyRoom, for: self, [.int(side.rawValue)])
    }

    /// The bytes of `side` that the hook has made so far, to be taken by the gateway.
    public final func takeOutput(_ side: HookSide, into chain: inout Chain) {
        if side == .request { chain.append(contentsOf: &requestOutput) } else { chain.append(contentsOf: &responseOutput) }
    }
}

extension HookFunction {
    /// A turn that brings one chunk.
    func enter(chunk: Span<UInt8>, _ entry: HookEntry, _ number: Int32, for call: HookCall) {
        guard let loaded else { return }
        // A span cannot be captured, so the turn's steps stand here.
        beginTurn(call, loaded)
        copyIn(chunk, entry, number, call, loaded)
        endTurn(call, loaded)
        deliver()
    }

    /// A chunk that finds no room ends the body for the hook: nothing else would settle the promise it waits for.
    private func copyIn(_ chunk: Span<UInt8>, _ entry: HookEntry, _ number: Int32, _ call: HookCall, _ loaded: LoadedIsolate) {
        let result = loaded.isolate.call(entry.rawValue, call.slot, call.epoch, number, bytes: chunk)
        guard case .threw = result else { return }
        let failed: HookEntry = entry == .bodyChunk ? .bodyFailed : .answerFailed
        _ = loaded.isolate.call(failed.rawValue, with: [
            .int(call.slot), .int(call.epoch), .int(number),
            .string("a chunk of the body has no room: the function's buffers are full (limits.memory)"),
        ])
    }

    /// The same without a copy, where the bytes can be lent.
    func enter(chunk slice: borrowing Slice, _ entry: HookEntry, _ number: Int32, for call: HookCall) {
        guard let loaded else { return }
        beginTurn(call, loaded)
        if loaded.isolate.call(entry.rawValue, call.slot, call.epoch, number, lending: slice) == nil {
            host.pool.copied.hook += slice.count
            copyIn(slice.bytes, entry, number, call, loaded)
        }
        endTurn(call, loaded)
        deliver()
    }

    func enter(chunk: SharedChunk, _ entry: HookEntry, _ number: Int32, for call: HookCall) {
        guard let loaded else { return }
        beginTurn(call, loaded)
        if loaded.isolate.call(entry.rawValue, call.slot, call.epoch, number, lending: chunk) == nil {
            copyIn(chunk.bytes, entry, number, call, loaded)
        }
        endTurn(call, loaded)
        deliver()
    }

    /// CPU time that a call may use in all, in microseconds: its limit, and as much again for each MiB that flowed
    /// through it. So a stream of any length has the budget of a call for each MiB, and none to save up.
    func cpuLimit(_ call: HookCall) -> UInt64 {
        source.limits.cpuMicroseconds &* (1 &+ call.streamedMiB)
    }

    /// After a turn: a call that streams has the wall limit for each step, and none while it waits for the gateway.
    func watchStreams(_ call: HookCall) {
        guard call.slot >= 0, call.exchange == nil else { return }
        if call.hasOpenSocket { return }
        if !call.isStreaming {
            guard call.progress.hasTail, call.progress.wallDeadline == 0 else { return }
            setTailDeadline(call)
        } else if call.streams.waitsForGateway {
            call.progress.wallDeadline = 0
        } else {
            setWallDeadline(call, host.now &+ source.limits.wallMilliseconds &* 1_000_000)
        }
    }

    /// Lets the prelude drop a call whose body will not be completed. What its streams do on the way, such as closing, is not
    /// the end of that body.
    func forgetStreams(_ call: HookCall) {
        call.streams.outputs = 0
        forget(call)
    }

    /// A body that the hook was making cannot be completed.
    /// - Parameter goesOn: `waitUntil` work does.
    func breakStreams(_ call: HookCall, _ failure: HookFailure, goesOn: Bool = false) {
        tally.countFailure(failure.kind)
        call.requestOutput.removeAll()
        call.responseOutput.removeAll()
        if goesOn {
            call.dropStreams()
            keepTail(of: call)
            return events.append(.bodyBroken(call, failure))
        }
        endTail(call)
        tellOfEnd(.bodyBroken(call, failure), of: call)
    }
}

// Operations.
extension HookOperations {
    func performStream(_ operation: HookOperation, _ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        guard let side = HookSide(rawValue: try native.int32(2)) else { throw .typeError("no such side") }
        switch operation {
        case .pullBody:
            call.streams.pulls |= side.bit
            function.events.append(.pullBody(call, call.epoch, side))
        case .cancelBody:
            call.streams.pulls &= ~side.bit
            function.events.append(.cancelBody(call, call.epoch, side))
        case .streamBody:
            guard call.exchange != nil else { throw HookOperations.ended }
            let length = try native.double(3)
            call.streams.outputs |= side.bit
            call.streams.full |= side.bit
            call.edits.setBody(side, .stream(length: length >= 0 && length < 0x1p53 ? Int(length) : nil))
        case .writeBody: try write(call, side, native)
        case .endBody:
            guard call.streams.outputs & side.bit != 0 else { throw HookOperations.ended }
            call.streams.outputs &= ~side.bit
            call.streams.full &= ~side.bit
            if call.streams.outputs == 0, call.exchange == nil { call.progress.wallDeadline = 0 }
            function.events.append(.bodyDone(call, side))
        default: try breakBody(call, native)
        }
    }

    /// `writeBody(slot, epoch, side, chunk)`: true while more may be written in this turn.
    private func write(_ call: HookCall, _ side: HookSide, _ native: borrowing NativeCall) throws(NativeFailure) {
        guard call.streams.outputs & side.bit != 0 else { throw HookOperations.ended }
        let bytes = try native.bytes(3)
        call.streams.room[side] -= bytes.count
        let more = call.streams.room[side] > 0
        if bytes.count >= 1024, let shared = native.sharedLoan(3), call.passOn(side, shared.number, shared.offset, bytes.count) {
            return wrote(call, side, bytes.count, more, native)
        }
        let first = side == .request ? call.requestOutput.isEmpty : call.responseOutput.isEmpty
        if side == .request {
            append(bytes, native, to: &call.requestOutput)
        } else {
            append(bytes, native, to: &call.responseOutput)
        }
        if first, bytes.count > 0 { function.events.append(.bodyMade(call, side)) }
        wrote(call, side, bytes.count, more, native)
    }

    private func wrote(_ call: HookCall, _ side: HookSide, _ count: Int, _ more: Bool, _ native: borrowing NativeCall) {
        call.streams.bytes &+= UInt64(count)
        function.tally.bodyBytesWritten &+= UInt64(count)
        if !more { call.streams.full |= side.bit }
        native.returnBool(more)
    }

    /// A chunk that the hook was lent goes on where it lies. Any other is copied: a script may use its own buffer again.
    func append(_ bytes: Span<UInt8>, _ native: borrowing NativeCall, to chain: inout Chain) {
        if bytes.count >= 1024, let slice = native.loan(3) { return chain.append(slice) }
        chain.append(copying: bytes, from: function.host.pool)
        function.host.pool.copied.hook += bytes.count
    }

    /// `failBody(slot, epoch, side, error, goesOn)`
    private func breakBody(_ call: HookCall, _ native: borrowing NativeCall) throws(NativeFailure) {
        let error = native.error(3)
        guard function.call(call.slot, call.epoch) === call else { return }
        function.breakStreams(call, located(HookFailure(.error, call, error.message), error), goesOn: try native.bool(4))
    }

    func located(_ failure: HookFailure, _ error: JSError) -> HookFailure {
        var failure = failure
        let place = function.written(position(of: error))
        if place.line > 0 { (failure.file, failure.line, failure.column) = place }
        return failure
    }
}
