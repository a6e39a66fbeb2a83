import Buffers
import HTTP
import Isolates

/// The host's side of the prelude: every operation checks that (slot, epoch) still names a live call.
final class HookOperations: NativeOperations {
    /// Strong, because each operation asks for it. The circle is cut when the function lets go of its isolate: at the
    /// latest when its runtime ends.
    let function: HookFunction

    init(_ function: HookFunction) { self.function = function }

    override func perform(_ operation: Int, _ native: borrowing NativeCall) throws(NativeFailure) {
        guard let operation = HookOperation(rawValue: operation) else { throw .error("unknown operation") }
        switch operation {
        case .header: try header(native)
        case .headers: try headers(native)
        case .edit: try edit(native)
        case .text: try text(native)
        case .setText: try setText(native)
        case .status: native.returnInt(Int32(clamping: try exchange(native).response.status))
        case .setStatus: try setStatus(native)
        case .hasBody: native.returnBool(hasBody(try call(native), try exchange(native), try native.int32(2)))
        case .readBody: try readBody(native)
        case .setBody: try setBody(native)
        case .variable: try variable(native)
        case .setVariable: try setVariable(native)
        case .state: try state(native)
        case .setState: try setState(native)
        case .failure: try failure(native)
        default: try performFlow(operation, native)
        }
    }

    private func performFlow(_ operation: HookOperation, _ native: borrowing NativeCall) throws(NativeFailure) {
        switch operation {
        case .finish: try finish(native)
        case .fail: try fail(native)
        case .tailDone: function.tailDone(try call(native))
        case .passThrough: try call(native).progress.passThrough = true
        case .subrequest: try subrequest(native)
        case .cancelSubrequest: try cancelSubrequest(native)
        case .next: try next(native)
        case .setTimer: try setTimer(native)
        case .rearmTimer: try rearmTimer(native)
        case .clearTimer: try clearTimer(native)
        case .now: native.returnDouble(Double(function.host.now &- function.runtime.started) / 1_000_000)
        case .random: try random(native)
        case .log: try log(native)
        case .encode: try native.returnBytes(native.utf8(0))
        case .decode: try decode(native)
        case .detach: try native.detach(0)
        case .rejected: try rejected(native)
        case .store: try store(native)
        case .inList: try inList(native)
        case .addLater: try addLater(native)
        case .fieldNumber: native.returnInt(function.names.number(of: try native.latin1(0)))
        case .message: try message(native)
        case .setMessage: try setMessage(native)
        case .acceptSocket, .sendSocket, .closeSocket, .socketReady, .socketBuffered, .failSocket: try performSocket(operation, native)
        case .budget: try budget(native)
        case .pullAnswer, .writeAsk, .endAsk: try performAnswer(operation, native)
        case .work: try work(native)
        case .pullBody, .cancelBody, .streamBody, .writeBody, .endBody, .failBody: try performStream(operation, native)
        default: throw .error("unknown operation")
        }
    }

    // MARK: Who is asking

    /// A call under way, its `waitUntil` work included.
    func call(_ native: borrowing NativeCall) throws(NativeFailure) -> HookCall {
        let (slot, epoch) = try native.pair(0)
        guard let call = function.call(slot, epoch) else { throw HookOperations.ended }
        return call
    }

    /// The exchange of a call whose result is not known yet.
    func exchange(_ native: borrowing NativeCall) throws(NativeFailure) -> Exchange {
        guard let exchange = try call(native).exchange else { throw HookOperations.ended }
        return exchange
    }

    static let ended = NativeFailure.typeError("this object was used after its request ended")

    // MARK: Bodies

    func hasBody(_ call: HookCall, _ exchange: Exchange, _ side: Int32) -> Bool {
        if side == HookSide.request.rawValue {
            let sent = call.progress.originSent || call.phase == .response || call.phase == .error
            return !sent && HookOperations.carries(exchange.request.body)
        }
        let arrived = call.phase == .response || call.progress.originArrived
        let bare = exchange.request.method == .head || exchange.response.status == 204 || exchange.response.status == 304
        return arrived && !bare && HookOperations.carries(exchange.response.body)
    }

    private static func carries(_ body: BodyLength) -> Bool { body != .none && body != .known(0) }

    private func readBody(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native), exchange = try exchange(native)
        guard let side = HookSide(rawValue: try native.int32(2)), hasBody(call, exchange, side.rawValue) else {
            throw .typeError("there is no body to read")
        }
        function.tally.bodiesRead += 1
        function.events.append(.readBody(call, call.epoch, side))
    }

    private func setBody(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        guard call.exchange != nil, let side = HookSide(rawValue: try native.int32(2)) else { throw HookOperations.ended }
        switch native.kind(3) {
        case .null: call.edits.setBody(side, .none)
        case .string: call.edits.setBody(side, .bytes(try native.utf8(3).array()))
        default: call.edits.setBody(side, .bytes(try native.bytes(3).array()))
        }
    }

    // MARK: Results

    private func fail(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        guard call.exchange != nil else { throw HookOperations.ended }
        let kinds: [HookFailure.Kind] = [.error, .badReturn, .origin]
        let index = try native.int(2)
        var kind = kinds.indices.contains(index) ? kinds[index] : .error
        if kind == .error, call.progress.subrequestsExceeded { kind = .subrequests }
        let error = native.error(3)
        guard function.call(call.slot, call.epoch) === call else { return }
        function.fail(call, located(HookFailure(kind, call, error.message), error), goesOn: try native.bool(4))
    }

    // MARK: The rest of the pipeline

    private func next(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native), exchange = try exchange(native)
        guard call.phase == .fetch, !call.progress.originSent else { throw .typeError("the origin cannot be called here") }
        call.progress.originSent = true
        call.willApplyEdits()
        call.edits.applyRequest(&exchange.request)
        function.events.append(.sendToOrigin(call, call.epoch, call.edits.requestBody))
        call.edits.reset()
    }

    private func subrequest(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        guard call.progress.subrequests < function.source.limits.subrequests else {
            call.progress.subrequestsExceeded = true
            throw .error("the limit of \(function.source.limits.subrequests) sub-requests for one call was reached")
        }
        let upstream = try native.int(2)
        guard function.source.mayAsk(upstream) else { throw .typeError("no such upstream") }
        let request = HookSubrequest(id: call.progress.nextSubrequest, upstream: upstream)
        try fill(request, native)
        try hold(request.id, request.body.count, call)
        if native.kind(6) == .number { announce(try native.double(6), request, call.exchange) }
        request.upgrades = try native.bool(7)
        call.progress.nextSubrequest += 1
        call.progress.subrequests += 1
        call.openSubrequests.append(request.id)
        if request.flows { call.asks.append(request) }
        function.tally.subrequests += 1
        function.events.append(.subrequest(call, call.epoch, request))
        native.returnInt(request.id)
    }

    private func cancelSubrequest(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native), id = try native.int32(2)
        guard call.openSubrequests.contains(id) else { return }
        call.closeSubrequest(id)
        function.events.append(.cancelSubrequest(call, id))
    }

    /// `budget(slot, epoch, item)`: what is left of CPU milliseconds, of bytes, of sub-requests.
    private func budget(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native), limits = function.source.limits
        switch try native.int(2) {
        case 0:
            let used = (call.cpuNanoseconds &- call.socket.cpuBefore) / 1_000, limit = function.cpuLimit(call)
            native.returnDouble(limit > used ? Double(limit - used) / 1_000 : 0)
        case 1: native.returnDouble(max(0, Double(limits.memoryBytes + limits.externalBytes) - Double(function.memoryInUse)))
        default: native.returnDouble(Double(max(0, limits.subrequests - call.progress.subrequests)))
        }
    }

    // MARK: Timers

    private func setTimer(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        function.lastTimer = function.lastTimer == .max ? 1 : function.lastTimer + 1
        try arm(call, function.lastTimer, try native.int(2))
        native.returnInt(function.lastTimer)
    }

    private func rearmTimer(_ native: borrowing NativeCall) throws(NativeFailure) {
        try arm(try call(native), try native.int32(2), try native.int(3))
    }

    private func arm(_ call: HookCall, _ timer: Int32, _ milliseconds: Int) throws(NativeFailure) {
        guard call.progress.timers < function.source.limits.timers else {
            throw .rangeError("the limit of \(function.source.limits.timers) timers for one call was reached")
        }
        call.progress.timers += 1
        function.timers[timer] = call.slot
        function.runtime.wait(Deadlines.Entry(
            time: function.host.now &+ UInt64(max(milliseconds, 0)) &* 1_000_000,
            function: function, slot: call.slot, epoch: call.epoch, timer: timer))
    }

    private func clearTimer(_ native: borrowing NativeCall) throws(NativeFailure) {
        guard let slot = function.timers.removeValue(forKey: try native.int32(0)) else { return }
        function.callInSlot(slot)?.progress.timers -= 1
    }

    // MARK: Small things

    private func random(_ native: borrowing NativeCall) throws(NativeFailure) {
        let count = try native.bytes(0).count
        var generator = SystemRandomNumberGenerator()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            let word: UInt64 = generator.next()
            for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
        }
        try native.write(bytes.span.extracting(first: count), into: 0)
    }

    private func decode(_ native: borrowing NativeCall) throws(NativeFailure) {
        let bytes = try native.bytes(0)
        if try native.bool(1), (try? UTF8Span(validating: bytes)) == nil { return native.returnNull() }
        try native.returnUTF8(bytes)
    }

    private func log(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = function.call(try native.int32(0), try native.int32(1))
        function.log(try native.int(2), call, try native.string(3))
    }

    /// `rejected(slot, epoch, reason)`: a promise was rejected, and nobody dealt with it.
    private func rejected(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = function.call(try native.int32(0), try native.int32(1))
        function.log(2, call, "Unhandled rejection: \(function.located(native.error(2)))")
    }

    private func variable(_ native: borrowing NativeCall) throws(NativeFailure) {
        try answer(with: try exchange(native).vars, native)
    }

    private func answer(with vars: borrowing VariableTable, _ native: borrowing NativeCall) throws(NativeFailure) {
        guard let range = vars.value(try native.utf8(2)) else { return native.returnNull() }
        try native.returnUTF8(vars.bytes(range))
    }

    private func state(_ native: borrowing NativeCall) throws(NativeFailure) {
        let call = try call(native)
        if call.state.isEmpty { native.returnNull() } else { try native.returnUTF8(call.state.span) }
    }
}
