import Buffers
import HTTP
import Hooks
import Reactor
import Rules
import Telemetry
import Upstream

/// Where an exchange stands with its hooks. Plain values only: what is collected stands beside it in the runner.
struct HookState {
    /// The call whose result is awaited.
    var call: GatewayHookCall?
    /// The call that is inside `fetch()` and waits for the origin.
    var awaitsOrigin = false
    /// The client has sent all of its body; kept apart while a stage stands between it and the origin.
    var clientBodyEnded = false
    /// `ctx.state`, handed from the request phase to the response phase.
    var state: [UInt8] = []
    /// A `rate_limit` whose Redis has not answered yet.
    var awaitedLimit: LimitCheck?
    /// What request hooks add to the answer, as "name\nvalue\n" each.
    var laterFields: [UInt8] = []
    /// Status that a hook's policy chose for the failure.
    var policyStatus = 0
    /// Its signed header asks for inspected functions (`--inspect`).
    var isInspected = false
    /// A result changed the heads, and its body was refused.
    var isHalfDone = false
    /// A large body that was given as a whole, until it is taken.
    var waiting: WaitingBody?
}

/// Hooks in the walk of an exchange.
extension ExchangeRunner {
    /// Starts the hook of a `run` action. True when the walk may go on at once.
    func runHook(_ step: Rules.HookCall) -> Bool {
        guard let generation, let hooks = generation.hooks, let bound = generation.functions.hook(for: step) else {
            worker.bug("a run action without its function")
            return true
        }
        return run(bound, step, generation, hooks)
    }

    /// A function of its own: what it is lent needs no retain around each of its calls.
    @inline(never)
    private func run(_ bound: BoundHook, _ step: Rules.HookCall, _ generation: ServingGeneration, _ hooks: WorkerHooks) -> Bool {
        let function = bound.shared
        if wantsUpgrade, station == .requestRules, function.handles(.webSocket) { expectMessages(for: bound) }
        let local = bound.local, phase = hookPhase(function, local)
        // It looks at messages only.
        if phase == .webSocket { return true }
        countHookCall(phase)
        if hooks.hasFenced, hooks.fenced.contains(function.key.name) {
            let failure = HookFailure(.unavailable, function: function.key.name, message: "the function is fenced: it stopped workers before")
            return hookFailed(failure, step.function, .hookFenced)
        }
        let call = hooks.takeCall(self, generation, bound, rule: step.rule)
        call.requestID = requestID
        if phase != .request && phase != .fetch, !self.hooks.state.isEmpty { call.state = self.hooks.state }
        self.hooks.call = call
        if let spans { spans.hookBegins(at: worker.preciseNow) }
        let inspected = self.hooks.isInspected ? function.startInspected(call, bound.binding, phase, self) : nil
        if self.hooks.isInspected, inspected == nil { worker.inspection?.missed(function.key.name) }
        switch inspected ?? function.start(call, local, bound.binding, phase, self, hooks) {
        case .pending: return false
        case .finished(let outcome): return hookEnded(call, bound, outcome, generation, hooks)
        }
    }

    private func hookPhase(_ function: SharedFunction, _ local: HookFunction?) -> HookPhase {
        switch station {
        case .responseRules: .response
        case .errorRules: .error
        default: local?.handles(.request) ?? function.handles(.request) ? .request : function.handles(.fetch) ? .fetch : .webSocket
        }
    }

    private func countHookCall(_ phase: HookPhase) {
        switch phase {
        case .request: worker.metrics.add(.hookCallsRequest)
        case .response: worker.metrics.add(.hookCallsResponse)
        case .error: worker.metrics.add(.hookCallsError)
        case .fetch: worker.metrics.add(.hookCallsFetch)
        case .webSocket: worker.metrics.add(.hookCallsWebSocket)
        case .scheduled: worker.metrics.add(.hookCallsScheduled)
        }
    }

    /// The result of a pending call arrived.
    func hookFinished(_ call: GatewayHookCall, _ outcome: HookOutcome) {
        if let tunnelEnd, tunnelEnd.finished(call, outcome) { return }
        guard hooks.call === call, let bound = call.bound, let generation, let workerHooks = generation.hooks else { return }
        if hookEnded(call, bound, outcome, generation, workerHooks) { advance() }
    }

    /// Puts a result into effect. True when the walk goes on with the next rule.
    private func hookEnded(
        _ call: GatewayHookCall, _ bound: BoundHook, _ result: HookOutcome, _ generation: ServingGeneration, _ workerHooks: WorkerHooks
    ) -> Bool {
        hooks.call = nil
        let fromOrigin = hooks.awaitsOrigin
        hooks.awaitsOrigin = false
        let outcome = admitted(result, bound)
        recordHook(call, bound, outcome, generation, workerHooks)
        if station == .requestRules || station == .origin { keepState(of: call) }
        let cpu = call.cpuNanoseconds
        workerHooks.giveBack(call)
        if call.hasLaterFields { keepLaterFields(call, outcome) }
        return settle(outcome, of: call, bound, cpu: cpu, fromOrigin: fromOrigin)
    }

    private func settle(_ outcome: HookOutcome, of call: GatewayHookCall, _ bound: BoundHook, cpu: UInt64, fromOrigin: Bool) -> Bool {
        switch outcome {
        case .proceed(let body):
            return settleBody(of: call, station == .responseRules ? .response : .request, body)
        case .respond(let body): return hookResponds(call, body, fromOrigin)
        case .deny(status: ExchangeRunner.dropStatus):
            drop()
            return false
        case .deny(let status):
            deliverStock(status: status, proxyStatus: "http_request_denied", side: .client)
            return false
        case .failed(var failure):
            // Of a result that was put into effect but for its body, nothing is left to go on with.
            let intact = !hooks.isHalfDone && passOn(call, station == .requestRules ? .request : .response)
            hooks.isHalfDone = false
            (failure.rulePlace, failure.cpuNanoseconds) = (bound.place, cpu)
            return hookFailed(failure, bound.functionIndex, failure.errorKind, canContinue: intact)
        }
    }

    /// What the request phase leaves for the response phase. Mostly nothing was there and nothing is.
    private func keepState(of call: GatewayHookCall) {
        guard call.hasState || !hooks.state.isEmpty else { return }
        hooks.state = call.state
    }

    /// The status by which `ctx.drop()` asks for no answer at all.
    private static let dropStatus = 444

    private func hookResponds(_ call: GatewayHookCall, _ body: HookBody, _ fromOrigin: Bool) -> Bool {
        if case .socket = body { return openSocket(call) }
        let local = station == .requestRules || (station == .origin && !fromOrigin) || station == .errorRules
        guard local else {
            guard settleBody(of: call, .response, body) else { return false }
            if station == .origin, response.status == 101, originStream != nil {
                openTunnel()
                return false
            }
            if station == .origin { walk(.responseRules, .response) }
            return station == .responseRules && !fromOrigin
        }
        holdRequest(for: call)
        cancelOrigin()
        if case .stream = body { responseBody.removeAll() } else { responseBodyEnded = true }
        if case .unchanged = body { setBody(Span()) } else { _ = settleBody(of: call, .response, body) }
        guard !isForeignToGRPC else {
            dropStages(.response)
            deliverGRPC(response.status)
            return false
        }
        deliver()
        return false
    }

    private func recordHook(
        _ call: GatewayHookCall, _ bound: BoundHook, _ outcome: HookOutcome, _ generation: ServingGeneration, _ workerHooks: WorkerHooks
    ) {
        let microseconds = call.cpuNanoseconds / 1000
        worker.metrics.add(.hookCPUMicroseconds, Int(clamping: microseconds))
        worker.metrics.observe(.hookTime, microseconds: call.elapsed(until: worker.nowNanoseconds) / 1000)
        if microseconds >= SharedFunction.slowMicroseconds { workerHooks.noteCost(bound.shared, microseconds: microseconds) }
        let result: HookResult =
            switch outcome {
            case .proceed: .proceeded
            case .respond: .responded
            case .deny: .denied
            case .failed(let failure): .failed(failure.kind)
            }
        let phase: Phase = call.phase == .response ? .response : call.phase == .error ? .error : .request
        let function = bound.functionIndex
        let record = HookRecord(function: function, phase: phase, result: result, microseconds: microseconds)
        hookCalls.append(record)
        if let spans { spans.hookEnded(record, at: worker.preciseNow) }
        if let trace = rules.trace {
            let compat = generation.configuration.functions[bound.functionIndex].compat.map { ", compat \($0)" } ?? ""
            trace.note("hook \(bound.shared.key.name): \(result.word), \(microseconds) us of processor time\(compat)")
        }
        let failed = if case .failed = outcome { true } else { false }
        generation.series.countCall(function: function, microseconds: microseconds, failed: failed)
    }

    // MARK: Failure is a policy

    /// Applies the function's `on_error`. True when the walk goes on.
    private func hookFailed(_ failure: HookFailure, _ function: Int, _ kind: ErrorKind, canContinue: Bool = true) -> Bool {
        countHookFailure(failure, fenced: kind == .hookFenced)
        failedHook = failure.function
        guard let generation, generation.configuration.functions.indices.contains(function) else { return true }
        generation.series.countPolicy(function: function)
        let settings = generation.configuration.functions[function]
        var policy = settings.onError
        if failure.passThrough && !settings.security || station == .errorRules { policy = .continue }
        if policy == .continue, !canContinue { policy = .respond(status: 500) }
        worker.noteHookFailure(failure, policy.word, request: requestID.text)
        switch policy {
        case .continue:
            worker.metrics.add(.hookPolicyContinue)
            return true
        case .deny(let status):
            worker.metrics.add(.hookPolicyDeny)
            hooks.policyStatus = Int(status)
        case .respond(let status):
            worker.metrics.add(.hookPolicyRespond)
            hooks.policyStatus = Int(status)
        case .fallback(let chosen):
            worker.metrics.add(.hookPolicyFallback)
            if station == .requestRules {
                upstream = chosen
                forward()
                return false
            }
        }
        fail(GatewayError(kind, in: station == .responseRules ? .responseHook : .requestHook, note: failure.description))
        return false
    }

    func countHookFailure(_ failure: HookFailure, fenced: Bool) {
        if fenced { return worker.metrics.add(.hookFailuresFenced) }
        switch failure.kind {
        case .error, .origin, .unavailable: worker.metrics.add(.hookFailuresThrown)
        case .badReturn: worker.metrics.add(.hookFailuresResult)
        case .subrequests: worker.metrics.add(.hookFailuresSubrequests)
        case .cpu: worker.metrics.add(.hookFailuresCPU)
        case .wall: worker.metrics.add(.hookFailuresWall)
        case .memory: worker.metrics.add(.hookFailuresMemory)
        }
    }

    /// The exchange ends: no result is awaited any more.
    func cancelHooks() {
        dropStages(.request)
        dropStages(.response)
        guard let call = hooks.call else { return }
        hooks.call = nil
        hooks.awaitsOrigin = false
        call.cancel()
        worker.hooks?.giveBack(call)
    }

    // MARK: What a call asks for

    /// `fetch(request)`: the rest of the request rules, then the origin.
    func hookSendsToOrigin(_ call: GatewayHookCall, _ body: HookBody) {
        if let bound = call.bound, !admits(body, .request, of: bound) { return call.originFailed("too much waits to be sent (limits.memory)") }
        guard settleBody(of: call, .request, body) else { return }
        hooks.awaitsOrigin = true
        advance()
    }

    func hookOriginResponded() { hooks.call?.originArrived() }

    func hookOriginFailed(_ failure: GatewayError) {
        error = failure
        hooks.call?.originFailed("the origin failed: \(failure.kind.name)")
    }
}

/// What a call came to; a text only where somebody reads it.
enum HookResult {
    case proceeded, responded, denied
    case failed(HookFailure.Kind)

    /// The word in the access log.
    var word: String {
        switch self {
        case .proceeded: "continue"
        case .responded: "respond"
        case .denied: "deny"
        case .failed(let kind): kind.word
        }
    }
}

extension HookFailure.Kind {
    /// The word in the access log.
    var word: String {
        switch self {
        case .error: "error"
        case .badReturn: "bad_return"
        case .origin: "origin"
        case .subrequests: "subrequests"
        case .cpu: "cpu"
        case .wall: "wall"
        case .memory: "memory"
        case .unavailable: "unavailable"
        }
    }
}
