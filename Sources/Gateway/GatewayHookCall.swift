import Buffers
import HTTP
import Hooks
import KeyValue
import Reactor
import Rules
import Telemetry
import Upstream

/// One hook call of an exchange, as the gateway carries out what it asks for.
final class GatewayHookCall: Hooks.HookCall {
    let worker: Worker
    var runner: ExchangeRunner?
    /// In the place of a runner, for a run by the clock.
    var scheduled: ScheduledRun?
    /// That of its exchange; kept once the exchange may end before the call.
    var generation: ServingGeneration? {
        get { kept ?? runner?.generation }
        set { kept = newValue }
    }
    private var kept: ServingGeneration?
    var generationNumber: UInt64 = 0
    /// An idle call keeps what it was bound to for its next use, until functions are swept.
    var bound: BoundHook?
    var ruleIndex: Int32 = 0
    var requestID = RequestID()
    /// The exchange whose body this call makes, after its result.
    var producesFor: ExchangeRunner?
    /// The WebSocket that was this call's result.
    var socket: HookSocket?
    private var early: [HookSocketAction] = []
    private var subrequests: [Subrequest] = []
    /// There may be something in these two lists.
    private var hasMore = false
    private let running: RunningSlot

    init(worker: Worker) {
        self.worker = worker
        running = worker.context.running
        super.init()
    }

    func forget() {
        if runner != nil { runner = nil }
        if producesFor != nil { producesFor = nil }
        if socket != nil { socket = nil }
        if kept != nil { kept = nil }
        if hasState { state = [] }
        guard hasMore else { return }
        hasMore = false
        early.removeAll()
        for subrequest in subrequests { subrequest.stop() }
        subrequests.removeAll()
    }

    /// The exchange goes on without it, or ends, and the call is not over.
    func outlives(_ runner: ExchangeRunner?) { if kept == nil { kept = runner?.generation } }

    // What the host would do; here nothing has to be looked up.
    @discardableResult
    override func willRun(in function: HookFunction) -> UInt64 {
        guard let bound else { return super.willRun(in: function) }
        let now = worker.preciseNow
        running.enter(
            bound.label, request: (requestID.high, requestID.low), started: now, deadline: now + bound.patience, generation: generationNumber)
        // The watchdog's clock is the real one, whatever a rehearsal plays.
        return worker.stage == nil ? now : 0
    }

    override func didRun(in function: HookFunction) { running.leave() }

    override func finished(_ outcome: HookOutcome) {
        if let scheduled { return scheduled.finished(self, outcome) }
        runner?.hookFinished(self, outcome)
    }

    override func ranAfterwards(_ nanoseconds: UInt64) {
        guard let bound, socket == nil else { return }
        let microseconds = nanoseconds / 1_000
        worker.metrics.add(.hookCPUMicroseconds, Int(clamping: microseconds))
        if microseconds >= SharedFunction.slowMicroseconds { worker.hooks?.noteCost(bound.shared, microseconds: microseconds) }
    }

    override func released() {
        if tailWasStopped { worker.metrics.add(.hookTailsStopped) }
        worker.hooks?.giveBack(self)
    }

    override func readBody(_ side: HookSide) {
        guard let runner else { return bodyFailed(side, "the exchange is over") }
        runner.collectBody(self, side)
    }

    override func pullBody(_ side: HookSide) {
        guard let runner = runner ?? producesFor else { return bodyFailed(side, "the exchange is over") }
        runner.pullBody(self, side)
    }

    override func cancelBody(_ side: HookSide) { (runner ?? producesFor)?.cancelBody(self, side) }

    override func bodyMade(_ side: HookSide) { (runner ?? producesFor)?.bodyMade(self, side, done: false) }

    override func bodyDone(_ side: HookSide) { (runner ?? producesFor)?.bodyMade(self, side, done: true) }

    override func bodyBroken(_ failure: HookFailure) { (runner ?? producesFor)?.bodyBroken(self, failure) }

    override func rewind() -> Bool { runner?.rewindBodies(of: self) ?? true }

    override func socketActed() {
        sortActions()
        socket?.hookActed()
    }

    /// What is meant for origins goes there; what is for the client waits until its WebSocket takes it.
    private func sortActions() {
        hasMore = true
        for (id, action) in takeSocketActions() { if id == 0 { early.append(action) } else { link(id)?.act(action) } }
    }

    override func socketReady(_ id: Int32) { if id == 0 { socket?.hookReady() } else { link(id)?.hookReady() } }

    /// What the hook did with its client's WebSocket.
    func takeOwnActions() -> [HookSocketAction] {
        sortActions()
        defer { early.removeAll() }
        return early
    }

    var links: [HookLink] { subrequests.compactMap { $0 as? HookLink } }

    override func socketBroken(_ failure: HookFailure) { socket?.hookFailed(failure) }

    /// The exchange does not want the body that this call makes any more.
    func stopStreaming() {
        producesFor = nil
        guard !isIdle else { return }
        cancel()
        worker.hooks?.giveBack(self)
    }

    /// Nothing of the exchange concerns it any more.
    func madeItsBody() { if !isStreaming { producesFor = nil } }

    override func sendToOrigin(_ body: HookBody) {
        guard let runner else { return originFailed("the exchange is over") }
        runner.hookSendsToOrigin(self, body)
    }

    override func subrequest(_ request: HookSubrequest) {
        worker.metrics.add(.hookSubrequests)
        guard let generation, let bound else { return subrequestFailed(request.id, "the exchange is over") }
        let function = generation.configuration.functions[bound.functionIndex]
        if request.upstream == HookSubrequest.outside { return openOutside(request, generation, function) }
        let granted = function.upstreams
        guard granted.indices.contains(request.upstream) else {
            return subrequestFailed(request.id, "the function was not granted this upstream")
        }
        let exchange = request.exchange(for: self, worker)
        keep(exchange)
        exchange.origin.upstream = granted[exchange.grantIndex]
        generation.upstreams.open(exchange, upstream: granted[exchange.grantIndex])
        exchange.fill()
    }

    override func store(_ request: HookStoreRequest) {
        guard let generation, let bound else {
            return storeFinished(request.ticket, .failed(StoreFailure(.refused, "the exchange is over")))
        }
        if request.store == HookStoreRequest.cache { return worker.stores.performInCache(request, for: self) }
        let granted = generation.configuration.functions[bound.functionIndex].stores
        guard granted.indices.contains(request.store) else {
            return storeFinished(request.ticket, .failed(StoreFailure(.refused, "the function was not granted this namespace")))
        }
        worker.stores.perform(generation.namespaces[granted[request.store].namespace], request, for: self)
    }

    override func cancelSubrequest(_ id: Int32) {
        for subrequest in subrequests where subrequest.id == id { subrequest.stop() }
        subrequests.removeAll { $0.id == id }
    }

    func keep(_ subrequest: Subrequest) {
        hasMore = true
        subrequests.append(subrequest)
    }

    func forget(_ subrequest: Subrequest) { subrequests.removeAll { $0 === subrequest } }

    override func pullAnswer(_ id: Int32) {
        guard let subrequest = subrequests.first(where: { $0.id == id }) else { return subrequestFailed(id, "the answer is over") }
        subrequest.pull()
    }

    override func askMade(_ id: Int32) { subrequests.first { $0.id == id }?.made(done: false) }

    override func askDone(_ id: Int32) { subrequests.first { $0.id == id }?.made(done: true) }
}
