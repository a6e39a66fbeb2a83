public import Buffers
import HTTP
import Isolates

/// The cordon's end: functions and calls of one tenant, run by a `HookRuntime` of this process. No I/O: a subclass
/// moves `outgoing`, hands in what arrives, and keeps the clock.
open class RemoteServer: HookHost {
    public final var outgoing = WireWriter()
    /// Where the worker puts chunks of bodies.
    public final var slabs: SharedSlabs?
    private final lazy var runtime = HookRuntime(host: self)
    private var functions: [UInt32: Served] = [:]
    private var calls: [UInt32: ServedCall] = [:]
    private var idle: [ServedCall] = []
    private var lastLook: UInt64 = 0

    /// A function and its uses in rules, in the order in which they were bound.
    private struct Served {
        let function: HookFunction
        var bindings: [HookBinding?] = []
    }

    public init() { super.init() }

    // MARK: For the subclass

    /// `outgoing` has something.
    open func wrote() {}
    /// The call whose JavaScript runs from here on; 0 for none.
    open func running(_ call: UInt32) {}

    public final var nextDeadline: UInt64? { runtime.nextDeadline }
    public final func fireTimers(_ now: UInt64) {
        runtime.fireTimers(now)
        runtime.tidy()
    }

    /// What the isolates of this process may hold; from when on what keeps them ends as well. Bytes: the process may have 1 GiB.
    private static let most: UInt64 = 512 << 20, mostHeld: UInt64 = 768 << 20
    /// Nanoseconds between two looks at what they hold.
    private static let pause: UInt64 = 50_000_000

    /// Gives up isolates that nobody uses, so that a tenant may have more functions than its process has room for at once.
    private func makeRoom() {
        let time = now
        guard time &- lastLook >= Self.pause else { return }
        lastLook = time
        runtime.look(at: functions.count / 10 + 1)
        if runtime.evict(beyond: Self.most, atMost: 8) == 0 { _ = runtime.giveUpHeld(beyond: Self.mostHeld) }
    }

    /// Slabs that scripts have let go of go back to the worker. Before `outgoing` is sent.
    public final func returnSlabs() {
        guard let slabs else { return }
        for number in slabs.takeEnded() { message(.slabBack) { $0.number32(UInt32(number)) } }
    }

    private func shared(_ wire: inout WireReader) throws(WireError) -> SharedChunk {
        let number = Int(try wire.number32()), count = Int(try wire.number32())
        guard let chunk = slabs?.chunk(number, count: count) else { throw WireError("no such slab") }
        return chunk
    }

    /// The first word of a process that is ready.
    public final func greet() { message(.hello) { _ in } }

    // MARK: What the worker says. Malformed messages mean that the two are not the same program.

    public final func receive(_ bytes: Span<UInt8>) throws(WireError) {
        makeRoom()
        var wire = WireReader(bytes)
        guard let kind = RemoteRequest(rawValue: try wire.byte()) else { throw WireError("no kind of message") }
        switch kind {
        case .load: try load(&wire)
        case .bind: try bind(&wire)
        case .unload:
            if let served = functions.removeValue(forKey: try wire.number32()) { runtime.unload(served.function) }
        case .start: try start(&wire)
        case .ping:
            let number = try wire.number32()
            message(.pong) { $0.number32(number) }
        default:
            guard let call = calls[try wire.number32()] else { return }
            try answer(kind, call, &wire)
        }
    }

    private func load(_ wire: inout WireReader) throws(WireError) {
        let number = try wire.number32()
        let source = try wire.source()
        if source.untrusted { V8Engine.freezeClock() }
        // Before anybody waits for it: functions that only calls would compile are compiled now, if that is little.
        let isSmall = source.modules.values.reduce(0) { $0 + $1.utf8.count } <= V8Engine.eagerLimit
        if isSmall { V8Engine.compileEagerly(true) }
        defer { if isSmall { V8Engine.compileEagerly(false) } }
        do throws(HookLoadError) {
            let function = try runtime.load(source)
            functions[number] = Served(function: function)
            _ = runtime.evict(beyond: Self.most, atMost: 2)
            let mask = HookPhase.allCases.reduce(Int32(0)) { function.handles($1) ? $0 | 1 << $1.rawValue : $0 }
            message(.loaded) { wire in
                wire.number32(number)
                wire.number32(UInt32(bitPattern: mask))
            }
        } catch {
            message(.loadFailed) { wire in
                wire.number32(number)
                wire.string("\(error)")
            }
        }
    }

    private func bind(_ wire: inout WireReader) throws(WireError) {
        let number = try wire.number32(), rule = try wire.rule()
        guard let served = functions[number] else { return }
        let binding = try? served.function.bind(rule)
        functions[number]?.bindings.append(binding)
    }

    private func start(_ wire: inout WireReader) throws(WireError) {
        let number = try wire.number32()
        let served = functions[try wire.number32()], index = Int(try wire.number32())
        guard let phase = HookPhase(rawValue: Int32(try wire.byte())) else { throw WireError("no phase") }
        let call = idle.popLast() ?? ServedCall(server: self)
        call.number = number
        call.state = try wire.array()
        try wire.exchange(into: call.served)
        call.message = phase == .webSocket ? try wire.message() : nil
        calls[number] = call
        guard let served, served.bindings.indices.contains(index), let binding = served.bindings[index] else {
            return finished(call, .failed(HookFailure(.unavailable, function: "", message: "the function could not be loaded")))
        }
        call.isStarting = true
        let start = runtime.start(call, served.function, binding, phase, call.served)
        call.isStarting = false
        if case .finished(let outcome) = start { finished(call, call.brokenAtOnce.take().map { .failed($0) } ?? outcome) }
    }

    private func answer(_ kind: RemoteRequest, _ call: ServedCall, _ wire: inout WireReader) throws(WireError) {
        switch kind {
        case .body:
            let side = try wire.side()
            call.bodyArrived(side, try wire.array())
        case .bodyFailed: call.failInput(try wire.side(), try wire.string())
        case .chunk:
            let side = try wire.side()
            call.receive(side, wire.bytes.extracting(try wire.data()))
        case .chunkAt:
            let side = try wire.side()
            call.receive(side, try shared(&wire))
        case .bodyEnd: call.endInput(try wire.side())
        case .bodyRoom: call.bodyRoom(try wire.side())
        case .originArrived:
            try wire.head(into: &call.served.response)
            call.originArrived()
        case .originFailed: call.originFailed(try wire.string())
        case .answered:
            let id = Int32(bitPattern: try wire.number32()), status = Int(try wire.number32())
            call.subrequestFinished(id, status: status, fields: try wire.array(), body: try wire.array())
        case .answerFailed: call.subrequestFailed(Int32(bitPattern: try wire.number32()), try wire.string())
        case .answering, .answerChunk, .answerChunkAt, .answerEnd, .askRoom:
            let id = Int32(bitPattern: try wire.number32())
            switch kind {
            case .answering: call.subrequestAnswered(id, status: Int(try wire.number32()), fields: try wire.array())
            case .answerChunk: call.answerChunk(id, wire.bytes.extracting(try wire.data()))
            case .answerChunkAt: call.answerChunk(id, try shared(&wire))
            case .answerEnd: call.answerEnded(id)
            default: call.askRoom(id)
            }
        case .stored: call.storeArrived(Int32(bitPattern: try wire.number32()), try PackedStoreAnswer(from: &wire))
        case .socketOpened: call.socketOpened()
        case .upgraded:
            let id = Int32(bitPattern: try wire.number32())
            call.subrequestUpgraded(id, try wire.array())
        case .socketMessage:
            let id = Int32(bitPattern: try wire.number32())
            if let message = try wire.message() { call.socketMessage(message, on: id) }
        case .socketClosed:
            let id = Int32(bitPattern: try wire.number32()), code = UInt16(clamping: try wire.number32()), reason = try wire.string()
            call.socketClosed(code, reason, clean: try wire.flag(), error: try wire.string(), on: id)
        case .socketLeft:
            let id = Int32(bitPattern: try wire.number32())
            call.socketLeft(try wire.number(), on: id)
        case .cancel:
            call.cancel()
            if call.isIdle { released(call) }
        default: throw WireError("no message of a call")
        }
    }

    // MARK: What calls say

    fileprivate func finished(_ call: ServedCall, _ outcome: HookOutcome) {
        let hasTail = !call.isIdle
        call.cpuTold = call.cpuNanoseconds
        message(.finished, call.number) { wire in
            wire.byte(outcome.wireKind.rawValue)
            wire.flag(hasTail)
            wire.number(call.cpuNanoseconds)
            if case .failed(let failure) = outcome { return wire.failure(failure) }
            wire.array(call.state)
            wire.vars(call.served.vars)
            wire.array(call.laterFields)
            if call.phase == .webSocket { wire.message(call.message) }
            wire.appendRaw(call.edited)
        }
        if call.isIdle { recycle(call) }
    }

    fileprivate func released(_ call: ServedCall) {
        message(.released, call.number) { $0.flag(call.tailWasStopped) }
        recycle(call)
    }

    private func recycle(_ call: ServedCall) {
        calls[call.number] = nil
        guard call.isIdle else { return }
        call.forget()
        if idle.count < 256 { idle.append(call) }
    }

    /// Ends a message with bytes that a hook made.
    final func end(with made: inout Chain) {
        outgoing.number32(UInt32(clamping: made.byteCount))
        while let slice = made.popFirst() { outgoing.raw(slice.bytes) }
        outgoing.end()
        wrote()
    }

    final func message(_ kind: RemoteReply, _ call: UInt32? = nil, _ write: (inout WireWriter) -> Void) {
        outgoing.begin(kind.rawValue)
        if let call { outgoing.number32(call) }
        write(&outgoing)
        outgoing.end()
        wrote()
    }

    /// Long work ended.
    public final func worked(_ end: HookWorkEnd, _ cpuNanoseconds: UInt64) {
        message(.worked) { wire in
            wire.byte(end.rawValue)
            wire.number(cpuNanoseconds)
        }
    }

    // MARK: HookHost

    @discardableResult
    public final override func willRun(_ function: HookFunction, _ call: HookCall?) -> UInt64 {
        running((call as? ServedCall)?.number ?? 0)
        return 0
    }
    public final override func didRun(_ function: HookFunction, _ call: HookCall?) { running(0) }

    public final override func wantsTidying() { deadlineMoved(to: now) }

    public final override func log(_ level: Int, function: HookFunction, call: HookCall?, text: String) {
        guard let number = functions.first(where: { $0.value.function === function })?.key else { return }
        message(.log) { wire in
            wire.byte(UInt8(clamping: level))
            wire.number32((call as? ServedCall)?.number ?? 0)
            wire.number32(number)
            wire.string(text)
        }
    }
}

extension HookOutcome {
    fileprivate var wireKind: RemoteOutcome {
        switch self {
        case .proceed: .proceed
        case .respond: .respond
        case .deny: .deny
        case .failed: .failed
        }
    }
}

/// A call of a worker, as it runs here.
final class ServedCall: HookCall {
    unowned let server: RemoteServer
    let served = Exchange()
    var number: UInt32 = 0
    /// The edits that the result brings, as they stand on the wire.
    var edited = WireWriter(capacity: 512)
    /// What has come of bodies that the hook reads as streams.
    var requestInput = StreamInput(), responseInput = StreamInput()
    /// CPU time that the worker knows of.
    var cpuTold: UInt64 = 0
    var isStarting = false
    /// What its result is made of ended in the turn of the result, of which the worker does not know yet: then that is the result.
    var brokenAtOnce: HookFailure?

    init(server: RemoteServer) {
        self.server = server
        super.init()
    }

    func forget() {
        served.reset()
        edited.removeAll()
        if !state.isEmpty { state = [] }
        requestInput = StreamInput()
        responseInput = StreamInput()
    }

    override func pullBody(_ side: HookSide) { pullInput(side) }
    override func cancelBody(_ side: HookSide) { cancelInput(side) }
    override func bodyMade(_ side: HookSide) { sendOutput(side) }
    override func bodyDone(_ side: HookSide) { endOutput(side) }
    override func passOn(_ side: HookSide, _ slab: Int, _ offset: Int, _ count: Int) -> Bool {
        sendShared(side, slab, offset, count)
        return true
    }
    override func bodyBroken(_ failure: HookFailure) {
        if isStarting { brokenAtOnce = failure } else { server.message(.bodyBroken, number) { $0.failure(failure) } }
    }

    override func willApplyEdits() {
        edited.removeAll()
        edits.write(to: &edited)
    }

    override func finished(_ outcome: HookOutcome) { server.finished(self, outcome) }
    override func released() { server.released(self) }

    override func readBody(_ side: HookSide) {
        server.message(.readBody, number) { $0.byte(UInt8(clamping: side.rawValue)) }
    }

    override func sendToOrigin(_ body: HookBody) {
        server.message(.sendToOrigin, number) { wire in
            wire.vars(served.vars)
            wire.appendRaw(edited)
        }
    }

    override func subrequest(_ request: HookSubrequest) { server.message(.subrequest, number) { request.write(to: &$0) } }

    override func pullAnswer(_ id: Int32) { server.message(.pullAnswer, number) { $0.number32(UInt32(bitPattern: id)) } }
    override func askMade(_ id: Int32) { sendAsk(id) }
    override func askDone(_ id: Int32) {
        sendAsk(id)
        server.message(.askDone, number) { $0.number32(UInt32(bitPattern: id)) }
    }

    override func store(_ request: HookStoreRequest) { server.message(.store, number) { request.write(to: &$0) } }

    override func socketActed() {
        let actions = takeSocketActions()
        server.message(.socketActed, number) { $0.actions(actions) }
    }

    override func socketReady(_ id: Int32) {
        let spent = cpuNanoseconds &- cpuTold
        cpuTold = cpuNanoseconds
        server.message(.socketReady, number) { wire in
            wire.number32(UInt32(bitPattern: id))
            wire.number(spent)
            wire.number32(UInt32(clamping: takeRefusedMessages()))
        }
    }

    override func socketBroken(_ failure: HookFailure) {
        if isStarting { brokenAtOnce = failure } else { server.message(.socketFailed, number) { $0.failure(failure) } }
    }

    override func cancelSubrequest(_ id: Int32) {
        server.message(.cancelSubrequest, number) { $0.number32(UInt32(bitPattern: id)) }
    }
}
