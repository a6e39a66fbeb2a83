import Buffers
public import HTTP
import Isolates
import KeyValue

public enum HookSide: Int32, Sendable {
    case request, response
}

/// One call of a hook, from `HookRuntime.start` to `released`. The gateway subclasses it and reuses instances.
///
/// Overrides are called when no JavaScript is running; they may answer at once or start other calls.
open class HookCall {
    /// Plain values, replaced as a whole or one at a time and never lent: accesses to them cost no check
    /// (docs/decisions/0004-exclusivity-without-a-price.md). Lists and edits stand apart for that reason.
    final var values = CallValues()
    final var progress = CallProgress()
    final var openSubrequests: [Int32] = [] { didSet { hasOpenSubrequests = !openSubrequests.isEmpty } }
    final private(set) var hasOpenSubrequests = false
    /// Those among them whose answer's head is there and whose body is on its way, and those of which the hook wants a chunk.
    final var flowing: [Int32] = []
    final var partsWanted: [Int32] = []
    /// Sub-requests whose body the hook makes while they are under way.
    final var asks: [HookSubrequest] = []
    /// Bodies and values that wait in the gateway as a whole (`holds`).
    final var held: [(number: Int32, count: Int)] = []
    final var heldBytes = 0
    final var edits = StagedEdits()
    final var slot: Int32 = -1
    final var epoch: Int32 = 0
    /// How often this object was used for a call.
    final var uses: UInt64 = 0
    /// Fields for the client's answer, as "name\nvalue\n" each: what a request hook wants of an answer that is not there yet.
    /// Of a call that did not fail.
    public internal(set) final var laterFields: [UInt8] = [] { didSet { hasLaterFields = !laterFields.isEmpty } }
    public private(set) final var hasLaterFields = false
    /// Set while the call runs in a cordon.
    final var remote = RemotePlace()
    /// With `isolation: request`; -1: that of the function.
    final var world: Int32 = -1
    /// In the phase `webSocket`.
    public final var message: HookMessage?
    /// What few calls have to do with; asking each call costs an access that is checked, asking whether it was touched none.
    final var streams = StreamProgress() { didSet { hasStreamed = true } }
    final var socket = SocketProgress() { didSet { hasHadSocket = true } }
    final private var hasStreamed = false
    final private var hasHadSocket = false
    /// What the hook did with its WebSocket and the gateway has not taken yet.
    final var socketActions: [(socket: Int32, action: HookSocketAction)] = []
    /// WebSockets to upstreams, by the number of their sub-request.
    final var links: [Int32: SocketProgress] = [:] { didSet { hasLinks = !links.isEmpty } }
    final private(set) var hasLinks = false
    /// Bytes that the hook made and the gateway has not taken yet.
    final var requestOutput = Chain()
    final var responseOutput = Chain()

    public internal(set) final var function: HookFunction? { get { values.function } set { values.function = newValue } }
    /// Nil once the result is known.
    public internal(set) final var exchange: Exchange? { get { values.exchange } set { values.exchange = newValue } }
    public internal(set) final var phase: HookPhase { get { values.phase } set { values.phase = newValue } }
    /// CPU time this call used so far.
    public internal(set) final var cpuNanoseconds: UInt64 { get { values.cpu } set { values.cpu = newValue } }
    /// `ctx.state` as text; empty when the hook kept none. Hand it from the request phase's call to the response phase's.
    public final var state: [UInt8] {
        get { values.state }
        set {
            values.state = newValue
            values.hasState = !newValue.isEmpty
        }
    }
    public final var hasState: Bool { values.hasState }
    /// Until the call is used again: its `waitUntil` work was stopped at a limit.
    public final var tailWasStopped: Bool { progress.tailStopped }
    final var binding: Int32 { get { values.binding } set { values.binding = newValue } }

    public init() {}

    /// True when the object may be given to `HookRuntime.start`.
    public final var isIdle: Bool { slot < 0 && remote.owner == nil }

    final var isBusyStreaming: Bool { hasStreamed && streams.isBusy }
    final var hasOpenSocket: Bool { hasHadSocket && socket.isOpen }
    /// What the call may use more of the processor, for what streamed; CPU time that is not counted against its limit any more.
    final var streamedMiB: UInt64 { hasStreamed ? streams.bytes >> 20 : 0 }
    final var socketCPUBefore: UInt64 { hasHadSocket ? socket.cpuBefore : 0 }
    /// The hook produces a body after its result: `bodyRoom` makes it go on.
    public final var isStreaming: Bool { hasStreamed && streams.outputs != 0 }

    /// A call begins: nothing of the one before is left.
    final func renew() {
        if hasLaterFields { laterFields = [] }
        if progress.nextSubrequest != 1 { closeSubrequests() }
        if hasStreamed, streams.bytes != 0 || streams.parts != 0 {
            streams = StreamProgress()
            requestOutput.removeAll()
            responseOutput.removeAll()
            hasStreamed = false
        }
        guard hasHadSocket, socket.renewed != 0 else { return }
        socket = SocketProgress()
        socketActions.removeAll()
        hasHadSocket = false
    }

    /// Around every turn of this call: `HookHost.willRun` and `didRun`, for a subclass that knows at once what they look up.
    @discardableResult
    open func willRun(in function: HookFunction) -> UInt64 { function.host.willRun(function, self) }
    open func didRun(in function: HookFunction) { function.host.didRun(function, self) }

    /// Lets go of the function that it ran last, which an idle call keeps for its next use.
    public final func forgetFunction() { values.function = nil }

    /// A part of a shared chunk is a part of the hook's body. False: its bytes are to be copied.
    func passOn(_ side: HookSide, _ number: Int, _ offset: Int, _ count: Int) -> Bool { false }

    /// The staged edits are about to be applied. For a cordon, which sends them on.
    func willApplyEdits() {}

    /// A turn after the result, for a body, a WebSocket or `waitUntil` work, took so much of the processor.
    open func ranAfterwards(_ nanoseconds: UInt64) {}

    /// The result of a call that `start` left pending.
    open func finished(_ outcome: HookOutcome) {}

    /// `waitUntil` work ended, after a result that left the call busy (`isIdle` false).
    open func released() {}

    /// The hook wants the body of the exchange: answer with `bodyArrived` or `bodyFailed`.
    open func readBody(_ side: HookSide) { bodyFailed(side, "bodies cannot be read here") }

    /// The hook wants the next chunk of a body that flows: answer with `bodyChunk`, `bodyEnded` or `bodyFailed`.
    open func pullBody(_ side: HookSide) { bodyFailed(side, "bodies cannot be read here") }

    /// The hook does not want the rest of a body that it has begun to read.
    open func cancelBody(_ side: HookSide) {}

    /// `takeOutput(side)` has bytes. Call `bodyRoom(side)` when there is room for more.
    open func bodyMade(_ side: HookSide) {}

    /// The hook's body is complete; `takeOutput` may still have bytes.
    open func bodyDone(_ side: HookSide) {}

    /// The body that the hook was making breaks off. `released` follows.
    open func bodyBroken(_ failure: HookFailure) {}

    /// `takeSocketActions` has something. It may come before the result that opens the WebSocket.
    open func socketActed() {}

    /// The hook takes another message of this WebSocket.
    open func socketReady(_ id: Int32) {}

    /// The WebSocket ends because of its hook. `released` follows.
    open func socketBroken(_ failure: HookFailure) {}

    /// `fetch()`: send `exchange.request` with this body; answer with `originArrived` or `originFailed`.
    open func sendToOrigin(_ body: HookBody) { originFailed("the origin cannot be called here") }

    /// Answer with `subrequestFinished`, `subrequestAnswered` or `subrequestFailed`. With `request.flows` its body follows: call
    /// `askRoom` when there is room.
    open func subrequest(_ request: HookSubrequest) {
        subrequestFailed(request.id, "sub-requests cannot be made here")
    }

    /// The hook wants a chunk of an answer: `answerChunk`, `answerEnded` or `subrequestFailed`.
    open func pullAnswer(_ id: Int32) { subrequestFailed(id, "answers cannot be read here") }

    /// `takeAsk` has bytes for a sub-request, and that was all of its body.
    open func askMade(_ id: Int32) {}
    open func askDone(_ id: Int32) {}

    /// The hook asks one of its namespaces: answer with `storeFinished`, not before this returns.
    open func store(_ request: HookStoreRequest) {
        storeFinished(request.ticket, .failed(StoreFailure(.refused, "namespaces cannot be asked here")))
    }

    /// The hook lost interest, or the call ended: no answer is needed any more.
    open func cancelSubrequest(_ id: Int32) {}

    // MARK: Answers. Each is ignored when the call is over.

    /// The whole body. The text is copied into the isolate.
    public final func bodyArrived(_ side: HookSide, _ bytes: [UInt8]) {
        if let owner = remote.owner { return owner.answer(self, .body(side, bytes)) }
        enter(.bodyArrived, [.int(side.rawValue), .bytes(bytes)])
    }

    public final func bodyFailed(_ side: HookSide, _ message: String) {
        streams.pulls &= ~side.bit
        if let owner = remote.owner { return owner.answer(self, .bodyFailed(side, message)) }
        enter(.bodyFailed, [.int(side.rawValue), .string(message)])
    }

    /// `exchange.response` holds the origin's head.
    public final func originArrived() {
        if let owner = remote.owner { return owner.answer(self, .originArrived) }
        guard exchange != nil else { return }
        progress.originArrived = true
        function?.resumeWall(self)
        enter(.originArrived, [])
    }

    public final func originFailed(_ message: String) {
        if let owner = remote.owner { return owner.answer(self, .originFailed(message)) }
        guard exchange != nil else { return }
        function?.resumeWall(self)
        enter(.originFailed, [.string(message)])
    }

    public final func subrequestFinished(_ id: Int32, _ head: borrowing Head, body: [UInt8]) {
        subrequestFinished(id, status: head.status, fields: flatFields(head), body: body)
    }

    final func subrequestFinished(_ id: Int32, status: Int, fields: [UInt8], body: [UInt8]) {
        if let owner = remote.owner { return owner.answer(self, .answered(id, status: status, fields: fields, body: body)) }
        enter(.answered, [.int(id), .int(Int32(clamping: status)), .latin1(fields), .bytes(body)])
    }

    public final func subrequestFailed(_ id: Int32, _ message: String) {
        if let owner = remote.owner { return owner.answer(self, .answerFailed(id, message)) }
        enter(.answerFailed, [.int(id), .string(message)])
    }

    /// Nanoseconds since it began, waiting included; `now` is the host's clock, which may stand still within a turn.
    public final func elapsed(until now: UInt64) -> UInt64 {
        max(now > progress.started ? now - progress.started : 0, cpuNanoseconds)
    }

    /// Ends the call without a result: the client is gone. `finished` does not follow; `released` does where the call is not idle
    /// afterwards: what was given to `waitUntil` goes on as it does after an answer.
    public final func cancel() {
        if let owner = remote.owner { owner.cancel(self) } else { function?.abandon(self) }
    }

    /// The process that the call ran in is gone: what it read of bodies is to be read again. False when that is not possible.
    open func rewind() -> Bool { true }

    /// The result is known; `waitUntil` work goes on.
    final func endExchange() {
        exchange = nil
        edits.reset()
    }

    private func enter(_ entry: HookEntry, _ arguments: [JSArgument]) {
        guard let function, slot >= 0 else { return }
        function.enter(entry, for: self, arguments)
    }
}

/// What a call is about.
struct CallValues {
    var function: HookFunction?
    var exchange: Exchange?
    var phase = HookPhase.request
    var binding: Int32 = 0
    var cpu: UInt64 = 0
    var state: [UInt8] = []
    /// Kept apart, because every call asks for it and few have one.
    var hasState = false
}

/// Where a call stands. Reset as a whole when a call begins.
struct CallProgress {
    var started: UInt64 = 0
    /// Nanoseconds on the host's clock; 0: none.
    var wallDeadline: UInt64 = 0
    /// Wall time left while the origin is awaited.
    var wallLeft: UInt64 = 0
    var subrequests = 0
    var nextSubrequest: Int32 = 1
    var logBytes = 0
    var timers = 0
    var originSent = false
    var originArrived = false
    var passThrough = false
    var subrequestsExceeded = false
    var storeRequests = 0
    /// Bytes of text that the call handed over (`HeldLimits.text`).
    var stagedBytes = 0
    var workNanoseconds: UInt64 = 0
    /// Something outside has changed.
    var wroteStore = false
    /// `start` has not returned yet: its result is the outcome.
    var starting = false
    var hasTail = false
    /// `waitUntil` work was stopped at a limit.
    var tailStopped = false
    /// `waitUntil` work ended in the turn of a result that has not been put into effect.
    var tailOver = false
    /// The result is known and nobody was told: whoever is told finds an idle call when its `waitUntil` work has ended by then.
    var resultWaits = false
}
