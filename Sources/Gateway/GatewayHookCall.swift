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
    var generation: ServingGeneration?
    var bound: BoundHook?
    var ruleIndex: Int32 = 0
    var requestID = RequestID()
    /// The exchange whose body this call makes, after its result.
    var producesFor: ExchangeRunner?
    /// The WebSocket that was this call's result.
    var socket: HookSocket?
    private var early: [HookSocketAction] = []
    private var subrequests: [Subrequest] = []

    init(worker: Worker) {
        self.worker = worker
        super.init()
    }

    func forget() {
        runner = nil
        producesFor = nil
        socket = nil
        if !early.isEmpty { early.removeAll() }
        generation = nil
        bound = nil
        if !state.isEmpty { state = [] }
        for subrequest in subrequests { subrequest.stop() }
        subrequests.removeAll()
    }

    override func finished(_ outcome: HookOutcome) {
        if let scheduled { return scheduled.finished(self, outcome) }
        runner?.hookFinished(self, outcome)
    }

    override func released() { worker.hooks?.giveBack(self) }

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
        subrequests.append(exchange)
        exchange.origin.upstream = granted[exchange.grantIndex]
        generation.upstreams.open(exchange, upstream: granted[exchange.grantIndex])
    }

    override func store(_ request: HookStoreRequest) {
        guard let generation, let bound else {
            return storeFinished(request.ticket, .failed(StoreFailure(.refused, "the exchange is over")))
        }
        if request.store == HookStoreRequest.cache { return worker.stores.perform(cacheOf: bound.shared.key.placement.cordon, request, for: self) }
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

    func keep(_ subrequest: Subrequest) { subrequests.append(subrequest) }

    func forget(_ subrequest: Subrequest) { subrequestEnded(subrequest) }

    fileprivate func subrequestEnded(_ subrequest: Subrequest) { subrequests.removeAll { $0 === subrequest } }
}

/// A request that a hook makes: an exchange without a client, its answer collected in memory.
class Subrequest: ForwardedExchange {
    final let id: Int32
    final let grantIndex: Int
    private(set) final weak var call: GatewayHookCall?
    final unowned let worker: Worker
    private final var collected = Chain()

    init(call: GatewayHookCall, request subrequest: HookSubrequest, worker: Worker) {
        id = subrequest.id
        grantIndex = subrequest.upstream
        self.call = call
        self.worker = worker
        super.init()
        request.copy(from: subrequest.head)
        requestBodyEnded = true
        requestBody.append(copying: subrequest.body.span, from: worker.pool)
        worker.pool.copied.hook += subrequest.body.count
        keepOriginal()
        request.add(.via, "1.1 sluice")
        started = worker.nowNanoseconds
    }

    func stop() {
        call = nil
        cancelOrigin()
    }

    /// Nobody waits for it any more.
    final func detach() { call = nil }

    override func originBodyArrived() {
        collected.append(contentsOf: &responseBody)
        if collected.byteCount > Limits_bufferedBody {
            return end("the answer is larger than 1 MiB")
        }
        if responseBodyEnded { return deliver() }
        originStream?.responseBodyDrained()
    }

    override func originResponded() {
        if responseBodyEnded, responseBody.isEmpty { deliver() }
    }

    override func originFailed(_ error: GatewayError) {
        // Not the address itself: what names lead to inside is nobody's business who may only name them.
        if error.note.contains("egress: ") { return end("the host's address is refused: it is not public") }
        end("upstream failed: \(error.kind.name)")
    }

    private func deliver() {
        guard let call else { return }
        self.call = nil
        worker.pool.copied.hook += collected.byteCount
        call.subrequestEnded(self)
        call.subrequestFinished(id, response, body: collected.copyBytes())
    }

    private func end(_ reason: String) {
        guard let call else { return }
        stop()
        call.subrequestEnded(self)
        call.subrequestFailed(id, reason)
    }
}

/// The largest answer to a sub-request, in bytes.
private let Limits_bufferedBody = 1 << 20
