public import Buffers
public import HTTP

/// A function that runs in a cordon: what the worker knows of it. It outlives the processes it runs in.
public final class RemoteFunction {
    public let source: HookSource
    public var name: String { source.name }
    /// Bits by phase; nil until a cordon loaded it once.
    public internal(set) var handlers: Int32?
    /// Why it cannot be loaded; calls end in their policy.
    public internal(set) var loadFailure: String?
    /// Whether the process that is there now has it.
    public internal(set) var isLoaded = false
    /// It has said whether it could load it.
    var isAnswered = false

    let number: UInt32
    private(set) var rules: [HookRule] = []
    public let owner: RemoteHooks

    init(_ source: HookSource, number: UInt32, owner: RemoteHooks) {
        self.source = source
        self.number = number
        self.owner = owner
    }

    /// Nothing is known before the first load; every phase may be tried then.
    public func handles(_ phase: HookPhase) -> Bool { (handlers ?? ~0) & (1 << phase.rawValue) != 0 }

    public func bind(_ rule: HookRule) -> HookBinding {
        rules.append(rule)
        if owner.isConnected { owner.sendBinding(self, rules.count - 1) }
        return HookBinding(index: Int32(rules.count - 1))
    }

    func rule(_ binding: Int32) -> HookRule? { rules.indices.contains(Int(binding)) ? rules[Int(binding)] : nil }
}

/// The worker's end of one cordon: functions, calls under way, and the messages about them. No I/O: a subclass moves
/// `outgoing` and hands in what arrives.
///
/// Nothing a cordon sends is believed: heads are edited through the same checks as a script's edits, numbers that name
/// no call are ignored, and a malformed message throws, which costs the cordon its life.
open class RemoteHooks {
    /// Messages not yet on their way.
    public final var outgoing = WireWriter()
    /// A process is there that takes messages.
    public private(set) final var isConnected = false
    /// It has answered since it was started.
    public internal(set) final var saidHello = false
    public private(set) final var lastPong: UInt32 = 0
    /// Fields that a hook wanted to set and that belong to the gateway.
    public private(set) final var fieldsRefused = 0
    /// Calls that ran again because a cordon was lost under them.
    public private(set) final var repeats = 0

    final var functions: [UInt32: RemoteFunction] = [:]
    final var calls: [UInt32: HookCall] = [:]
    private var lastFunction: UInt32 = 0
    private var lastCall: UInt32 = 0

    /// Where the bodies that hooks make are stored.
    final let pool: SlabPool
    /// Those of the process that is there; nil: chunks go through the ring.
    public final var slabs: SharedSlabs?

    public init(pool: SlabPool = SlabPool()) { self.pool = pool }

    public final var callsUnderWay: Int { calls.count }
    public final var functionCount: Int { functions.count }

    // MARK: For the subclass

    /// Bytes of `outgoing` that the process has not taken. Beyond `mostUnsent` no more answers of namespaces are added.
    open var unsent: Int { outgoing.count }
    static let mostUnsent = 1 << 20
    /// `outgoing` has something.
    open func wrote() {}
    /// One console line of a hook, safe to print.
    open func log(_ level: Int, _ function: RemoteFunction, _ call: HookCall?, _ text: String) {}
    /// A function was loaded, or could not be (`loadFailure`).
    open func loaded(_ function: RemoteFunction) {}
    /// Long work of hooks ended after so many nanoseconds of processor time.
    open func worked(_ end: HookWorkEnd, _ cpuNanoseconds: UInt64) {}
    /// Monotonic nanoseconds.
    open var now: UInt64 { 0 }

    /// The longest CPU limit of its functions, in milliseconds.
    public final var longestCPU: UInt64 { (functions.values.map(\.source.limits.cpuMicroseconds).max() ?? 0) / 1_000 }
    public final var memoryOfFunctions: Int { functions.values.reduce(0) { $0 + $1.source.limits.memoryBytes + $1.source.limits.externalBytes } }
    public final var allFunctions: [RemoteFunction] { functions.values.sorted { $0.number < $1.number } }

    // MARK: Functions

    public final func load(_ source: HookSource) -> RemoteFunction {
        lastFunction &+= 1
        let function = RemoteFunction(source, number: lastFunction, owner: self)
        functions[lastFunction] = function
        if isConnected { sendLoad(function) }
        return function
    }

    public final func unload(_ function: RemoteFunction) {
        guard functions.removeValue(forKey: function.number) != nil, isConnected else { return }
        message(.unload) { $0.number32(function.number) }
    }

    private func sendLoad(_ function: RemoteFunction) {
        message(.load) { wire in
            wire.number32(function.number)
            wire.source(function.source)
        }
        for index in function.rules.indices { sendBinding(function, index) }
    }

    func sendBinding(_ function: RemoteFunction, _ index: Int) {
        message(.bind) { wire in
            wire.number32(function.number)
            wire.rule(function.rules[index])
        }
    }

    /// A new process is there: it is told of every function, and of every call that waits.
    public final func connect() {
        isConnected = true
        saidHello = false
        lastPong = 0
        for function in allFunctions { sendLoad(function) }
        for call in calls.values.sorted(by: { $0.remote.number < $1.remote.number }) where !call.remote.sent { send(call) }
    }

    // MARK: Calls

    /// Starts a call; its result follows always.
    public final func start(
        _ call: HookCall, _ function: RemoteFunction, _ binding: HookBinding, _ phase: HookPhase, _ exchange: Exchange
    ) {
        precondition(call.isIdle, "this HookCall is busy")
        lastCall = lastCall == .max ? 1 : lastCall + 1
        call.begin(function, lastCall, binding, phase, exchange)
        call.progress.started = now
        call.progress.wallDeadline = now &+ wall(function)
        calls[lastCall] = call
        if isConnected { send(call) }
    }

    /// The cordon keeps the limit itself; this is for one that cannot, and for calls that wait for a process.
    private func wall(_ function: RemoteFunction) -> UInt64 { function.source.limits.wallMilliseconds &* 1_000_000 &+ 250_000_000 }

    private func send(_ call: HookCall) {
        guard let function = call.remote.function, let exchange = call.exchange else { return }
        // Whether `onRequest` or `fetch` is meant is known when the function is loaded.
        if call.phase == .request, function.handlers == nil, function.loadFailure == nil { return }
        call.remote.sent = true
        // What `start` decides for a function in this process is decided here, when its handlers are known.
        if call.phase == .request, !function.handles(.request) { call.phase = .fetch }
        message(.start) { wire in
            wire.number32(call.remote.number)
            wire.number32(function.number)
            wire.number32(UInt32(bitPattern: call.binding))
            wire.byte(UInt8(clamping: call.phase.rawValue))
            wire.array(call.state)
            wire.exchange(exchange, withResponse: call.phase == .response || call.phase == .error)
            if call.phase == .webSocket { wire.message(call.message) }
        }
    }

    /// The calls that waited to know what the function handles.
    func sendWaiting(for function: RemoteFunction) {
        for call in calls.values.sorted(by: { $0.remote.number < $1.remote.number }) where call.remote.function === function && !call.remote.sent { send(call) }
    }

    func answer(_ call: HookCall, _ answer: HookAnswer) {
        guard call.exchange != nil || answer.isForTails else { return }
        let number = call.remote.number
        switch answer {
        case .body(let side, let bytes):
            message(.body, number) { wire in
                wire.byte(UInt8(clamping: side.rawValue))
                wire.array(bytes)
            }
        case .bodyFailed(let side, let text):
            message(.bodyFailed, number) { wire in
                wire.byte(UInt8(clamping: side.rawValue))
                wire.string(text)
            }
        case .originArrived:
            call.progress.originArrived = true
            resumeWall(call)
            message(.originArrived, number) { wire in if let exchange = call.exchange { wire.head(exchange.response) } }
        case .originFailed(let text):
            resumeWall(call)
            message(.originFailed, number) { $0.string(text) }
        case .answered(let id, let status, let fields, let body):
            call.closeSubrequest(id)
            message(.answered, number) { wire in
                wire.number32(UInt32(bitPattern: id))
                wire.number32(UInt32(clamping: status))
                wire.array(fields)
                wire.array(body)
            }
        case .answerFailed(let id, let text):
            call.closeSubrequest(id)
            message(.answerFailed, number) { wire in
                wire.number32(UInt32(bitPattern: id))
                wire.string(text)
            }
        case .answering, .answerEnd, .askRoom: answerPart(number, call, answer)
        case .stored(let id, let packed):
            message(.stored, number) { wire in
                wire.number32(UInt32(bitPattern: id))
                packed.write(to: &wire)
            }
        case .socketOpened: message(.socketOpened, number) { _ in }
        case .upgraded(let id, let fields):
            message(.upgraded, number) { wire in
                wire.number32(UInt32(bitPattern: id))
                wire.array(fields)
            }
        case .socketMessage(let id, let text):
            message(.socketMessage, number) { wire in
                wire.number32(UInt32(bitPattern: id))
                wire.message(text)
            }
        case .socketClosed(let id, let code, let reason, let clean, let error):
            message(.socketClosed, number) { wire in
                wire.number32(UInt32(bitPattern: id))
                wire.number32(UInt32(code))
                wire.string(reason)
                wire.flag(clean)
                wire.string(error)
            }
        case .socketLeft(let id, let bytes):
            message(.socketLeft, number) { wire in
                wire.number32(UInt32(bitPattern: id))
                wire.number(bytes)
            }
        }
    }

    /// What was given to `waitUntil` goes on there: the cordon answers with `released`, at once where there is nothing.
    func cancel(_ call: HookCall) {
        guard isConnected, call.remote.sent, calls[call.remote.number] === call else { return _ = forget(call) }
        call.endExchange()
        call.dropStreams()
        call.streams = StreamProgress()
        call.socket.isOpen = false
        call.progress.wallDeadline = 0
        call.remote.left = true
        message(.cancel, call.remote.number) { _ in }
    }

    /// Ends the worker's part of a call.
    @discardableResult
    final func forget(_ call: HookCall) -> Bool {
        guard calls.removeValue(forKey: call.remote.number) != nil else { return false }
        call.endElsewhere()
        return true
    }

    final func pauseWall(_ call: HookCall) {
        call.progress.wallLeft = call.progress.wallDeadline > now ? call.progress.wallDeadline - now : 1
        call.progress.wallDeadline = 0
    }

    private func resumeWall(_ call: HookCall) {
        guard call.progress.wallLeft > 0 else { return }
        call.progress.wallDeadline = now &+ call.progress.wallLeft
        call.progress.wallLeft = 0
    }

    /// Asks for a sign of life.
    public final func ping(_ number: UInt32) { message(.ping) { $0.number32(number) } }

    func pong(_ number: UInt32) { lastPong = number }
    func countRefused(_ fields: Int) { fieldsRefused += fields }

    final func message(_ kind: RemoteRequest, _ call: UInt32? = nil, _ write: (inout WireWriter) -> Void) {
        outgoing.begin(kind.rawValue)
        if let call { outgoing.number32(call) }
        write(&outgoing)
        outgoing.end()
        wrote()
    }

    // MARK: Losing the process

    /// Ends calls that are over their wall limit although the cordon should have seen to it.
    public final func endOverdueCalls(_ now: UInt64) {
        for (number, call) in calls where calls[number] === call && call.progress.wallDeadline != 0 && call.progress.wallDeadline < now {
            guard call.exchange != nil, let function = call.remote.function else { continue }
            let limit = function.source.limits.wallMilliseconds
            let failure = failure(.wall, call, "no result within the wall limit of \(limit) ms")
            cancel(call)
            call.finished(.failed(failure))
        }
    }

    /// Calls have their whole wall limit from now on: time at a breakpoint was not theirs.
    public final func renewWallLimits() {
        for call in calls.values where call.progress.wallDeadline != 0 {
            guard let function = call.remote.function else { continue }
            call.progress.wallDeadline = now &+ wall(function)
        }
    }

    public final func failure(_ kind: HookFailure.Kind, _ call: HookCall, _ message: String) -> HookFailure {
        var failure = HookFailure(
            kind, function: call.remote.function?.name ?? "", rule: call.remote.function?.rule(call.binding)?.name ?? "",
            message: message)
        failure.file = call.remote.function?.source.main ?? ""
        return failure
    }

    /// The process is gone (or does not matter any more). Calls that can run again wait for the next one; what ran
    /// JavaScript when it ended gets `blame`, and so does what cannot be repeated.
    ///
    /// - Parameter running: the number of the call that was inside JavaScript, 0 when unknown or none.
    /// - Returns: the function of that call.
    public final func disconnect(running: UInt64, _ blame: (HookCall) -> HookFailure) -> RemoteFunction? {
        isConnected = false
        saidHello = false
        slabs = nil
        outgoing.removeAll()
        for function in functions.values { (function.isLoaded, function.isAnswered) = (false, false) }
        var culprit: RemoteFunction?
        // What is told of its end may end or start others.
        for (number, call) in calls.sorted(by: { $0.key < $1.key }) where calls[number] === call {
            let isCulprit = UInt64(number) == running
            if isCulprit { culprit = call.remote.function }
            settleLost(call, isCulprit: isCulprit, blame)
        }
        return culprit
    }

    private func settleLost(_ call: HookCall, isCulprit: Bool, _ blame: (HookCall) -> HookFailure) {
        guard call.exchange != nil else {
            let failure = call.isStreaming || call.socket.isOpen ? blame(call) : nil
            let hadSocket = call.socket.isOpen
            call.socket.isOpen = false
            if let failure, call.isStreaming { breakBody(call, failure) }
            // Who was told of a broken body may have ended the call.
            guard forget(call) else { return }
            if let failure, hadSocket { call.socketBroken(failure) }
            return call.released()
        }
        guard call.remote.sent else { return }
        if !isCulprit, call.isRepeatable, call.rewind() {
            call.streams = StreamProgress()
            call.remote.sent = false
            call.remote.repeated = true
            // It numbers its requests anew: what the first run asked for is not answered to the second.
            call.uses &+= 1
            call.letGoOfAll()
            repeats += 1
            return
        }
        let failure = blame(call)
        let open = call.openSubrequests
        forget(call)
        for id in open { call.cancelSubrequest(id) }
        call.finished(.failed(failure))
    }
}
