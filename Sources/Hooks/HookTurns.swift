import Buffers
import HTTP
import Isolates

/// What JavaScript asked for in a turn. Carried out when the turn is over, so that whoever is told may start other hooks.
enum HookEvent {
    case finished(HookCall, HookOutcome)
    case released(HookCall)
    case readBody(HookCall, Int32, HookSide)
    case sendToOrigin(HookCall, Int32, HookBody)
    case subrequest(HookCall, Int32, HookSubrequest)
    case cancelSubrequest(HookCall, Int32)
    case pullAnswer(HookCall, Int32, Int32)
    case askMade(HookCall, Int32, Int32)
    case askDone(HookCall, Int32, Int32)
    case store(HookCall, Int32, HookStoreRequest)
    case work(HookCall, Int32, HookWork)
    case pullBody(HookCall, Int32, HookSide)
    case cancelBody(HookCall, Int32, HookSide)
    case bodyMade(HookCall, HookSide)
    case bodyDone(HookCall, HookSide)
    case bodyBroken(HookCall, HookFailure)
    case socketActed(HookCall)
    case socketReady(HookCall, Int32, Int32)
    case socketBroken(HookCall, HookFailure)
}

extension HookFunction {
    // MARK: Entering JavaScript

    func start(_ call: HookCall, _ binding: HookBinding, _ phase: HookPhase, _ exchange: Exchange) -> HookStart {
        precondition(call.isIdle, "this HookCall is busy")
        begin(call, binding, phase, exchange)
        tally.calls += 1
        guard let isolate = readyIsolate() else {
            let failure = HookFailure(.unavailable, call, loadFailure.map { "the function cannot be loaded: \($0)" }
                ?? "the function's isolate was lost too often; it is made again later")
            tally.countFailure(.unavailable)
            return .finished(.failed(failure))
        }
        return start(call, isolate, binding.index, phase, exchange)
    }

    /// A function of its own: the isolate that it is lent needs no retain around each of its calls.
    @inline(never)
    private func start(_ call: HookCall, _ isolate: LoadedIsolate, _ binding: Int32, _ phase: HookPhase, _ exchange: Exchange) -> HookStart {
        if source.isolation == .request, !giveWorld(to: call, isolate) {
            tally.countFailure(.unavailable)
            return .finished(.failed(HookFailure(.unavailable, call, "no world for one more call (at most \(Self.worldLimit) at once)")))
        }
        open(call)
        beginTurn(call, isolate)
        let result = run(call, isolate, binding, phase, exchange)
        endTurn(call, isolate, settled: true)
        call.progress.starting = false
        if let outcome = takeOutcome(of: call) ?? outcome(of: call, result, isolate) {
            deliver()
            return .finished(outcome)
        }
        tally.asynchronousCalls += 1
        if call.progress.wallLeft == 0 { setWallDeadline(call, call.progress.started &+ source.limits.wallMilliseconds &* 1_000_000) }
        deliver()
        return .pending
    }

    private func begin(_ call: HookCall, _ binding: HookBinding, _ phase: HookPhase, _ exchange: Exchange) {
        // One at a time: an idle call keeps its function, and most calls are of the function that they were of before.
        if call.values.function !== self { call.values.function = self }
        call.values.exchange = exchange
        call.values.phase = phase
        call.values.binding = binding.index
        call.values.cpu = 0
        call.uses &+= 1
        call.renew()
        var progress = CallProgress()
        progress.started = host.now
        // `start` has not returned yet.
        progress.starting = true
        call.progress = progress
        lastUsed = progress.started
    }

    /// The prelude says what a call came to. Mostly that is within its `start`, and no event has to be made of it.
    func finish(_ call: HookCall, _ code: Int32) {
        let outcome = settle(call, code)
        call.progress.resultWaits = true
        if call.progress.starting {
            startOutcome = outcome
        } else {
            events.append(.finished(call, outcome))
        }
    }

    /// The outcome that operations reported while `start` ran.
    func takeOutcome(of call: HookCall) -> HookOutcome? {
        if startOutcome != nil {
            call.progress.resultWaits = false
            return startOutcome.take()
        }
        guard hasEvents else { return nil }
        for (index, event) in events.enumerated() {
            if case .finished(let done, let outcome) = event, done === call {
                events.remove(at: index)
                call.progress.resultWaits = false
                return outcome
            }
        }
        return nil
    }

    /// Brings an answer to a call.
    func enter(_ entry: HookEntry, for call: HookCall, _ arguments: [JSArgument]) {
        guard let loaded else { return }
        if entry == .answered || entry == .answerFailed || entry == .answerEnd, case .int(let id)? = arguments.first { call.closeSubrequest(id) }
        let all = [.int(call.slot), .int(call.epoch)] + arguments
        _ = turn(call, loaded) { $0.call(entry.rawValue, with: all) }
        deliver()
    }

    /// One turn: hook code runs only in here, watched, with what is left of the call's budgets.
    func turn(_ call: HookCall, _ loaded: LoadedIsolate, _ body: (borrowing Isolate) -> CallResult) -> CallResult {
        beginTurn(call, loaded)
        let result = body(loaded.isolate)
        endTurn(call, loaded)
        return result
    }

    func beginTurn(_ call: HookCall, _ loaded: LoadedIsolate) {
        let now = call.willRun(in: self)
        if call.world >= 0 { loaded.isolate.enterWorld(call.world) }
        let used = (call.cpuNanoseconds &- cpuForgiven(call)) / 1_000, limit = cpuLimit(call)
        let left = limit > used ? min(limit - used, source.limits.cpuMicroseconds) : 1
        loaded.isolate.beginTurn(cpuMicroseconds: left, wallMilliseconds: wallLeft(call), now: now)
    }

    /// - Parameter settled: the microtasks have run.
    func endTurn(_ call: HookCall, _ loaded: LoadedIsolate, settled: Bool = false) {
        if !settled { _ = loaded.isolate.runMicrotasks() }
        if loaded.isolate.hasRejections {
            _ = loaded.isolate.call(HookEntry.rejections.rawValue)
            _ = loaded.isolate.runMicrotasks()
        }
        let report = loaded.isolate.endTurn()
        call.didRun(in: self)
        call.cpuNanoseconds &+= report.cpuNanoseconds
        if call.values.exchange == nil { call.ranAfterwards(report.cpuNanoseconds) }
        tally.javaScriptNanoseconds &+= report.elapsedNanoseconds
        if let termination = report.termination { stopped(call, loaded, termination) } else if isSpent(call) { stopped(call, loaded, .cpu) }
        watchStreams(call)
    }

    /// Whether a call that goes on has used up its CPU limit. The watchdog looks each millisecond at most: turns that are shorter
    /// would never be met by it, however many there are.
    private func isSpent(_ call: HookCall) -> Bool {
        guard call.slot >= 0, !call.progress.starting else { return false }
        return (call.cpuNanoseconds &- cpuForgiven(call)) / 1_000 >= cpuLimit(call)
    }

    /// Milliseconds until the call's wall limit; at least 1.
    private func wallLeft(_ call: HookCall) -> UInt64 {
        let deadline = call.progress.wallDeadline
        guard deadline != 0 else { return max(source.limits.wallMilliseconds, 1) }
        let now = host.now
        return deadline > now ? max((deadline - now) / 1_000_000, 1) : 1
    }

    private func stopped(_ call: HookCall, _ loaded: LoadedIsolate, _ termination: Termination) {
        if termination == .heap || loaded.isolate.mustBeDiscarded { return loseIsolate() }
        guard call.slot >= 0 else { return }
        if call.isStreaming, call.exchange == nil {
            forgetStreams(call)
            return breakStreams(call, stopFailure(call, termination))
        }
        if call.socket.isOpen, call.exchange == nil {
            forget(call)
            return breakSocket(call, stopFailure(call, termination))
        }
        if call.exchange == nil {
            log(2, call, "waitUntil work was stopped: \(termination == .cpu ? "CPU" : "wall") limit")
            call.progress.tailStopped = true
            forget(call)
            return endTail(call)
        }
        forget(call)
        fail(call, stopFailure(call, termination))
    }

    private func stopFailure(_ call: HookCall, _ termination: Termination) -> HookFailure {
        let limits = source.limits
        return switch termination {
        case .wall: HookFailure(.wall, call, "stopped: the wall limit of \(limits.wallMilliseconds) ms was reached")
        default: HookFailure(.cpu, call, "stopped: the CPU limit of \(Double(limits.cpuMicroseconds) / 1_000) ms was reached")
        }
    }

    /// Lets the prelude drop what it keeps for a call that will not go on.
    func forget(_ call: HookCall) {
        guard let loaded, call.slot >= 0 else { return }
        if call.world >= 0 { loaded.isolate.enterWorld(call.world) }
        loaded.isolate.beginTurn(cpuMicroseconds: 5_000, wallMilliseconds: 1_000)
        _ = loaded.isolate.call(HookEntry.abandon.rawValue, call.slot, call.epoch)
        loaded.isolate.endTurn()
    }

    // MARK: Results

    /// Applies what the hook wanted and ends the call's hold on its exchange.
    func settle(_ call: HookCall, _ code: Int32) -> HookOutcome {
        guard let exchange = call.values.exchange.take() else { return .proceed(.unchanged) }
        call.willApplyEdits()
        let outcome = call.applyOutcome(code & ~HookCode.tail, exchange)
        release(call, tail: code & HookCode.tail != 0 && !call.progress.tailOver)
        return outcome
    }

    private func release(_ call: HookCall, tail: Bool) {
        call.progress.wallDeadline = 0
        guard tail else {
            cancelSubrequests(call)
            return end(call)
        }
        call.endExchange()
        call.progress.hasTail = true
        if call.isHeld { return }
        setTailDeadline(call)
    }

    /// - Parameter goesOn: `waitUntil` work does, and `released` follows.
    func fail(_ call: HookCall, _ failure: HookFailure, goesOn: Bool = false) {
        tally.countFailure(failure.kind)
        if goesOn {
            keepTail(of: call)
            call.progress.resultWaits = true
        } else {
            cancelSubrequests(call)
            end(call)
        }
        events.append(.finished(call, .failed(failure)))
    }

    /// `waitUntil` work ended. Of a handler that is not `async` that may be before its result was put into effect.
    func tailDone(_ call: HookCall) {
        if call.exchange == nil { endTail(call) } else { call.progress.tailOver = true }
    }

    func endTail(_ call: HookCall) {
        cancelSubrequests(call)
        end(call)
        if !call.progress.resultWaits { events.append(.released(call)) }
    }

    /// Tells of what `endTail` has ended, before its `released` where there is one.
    func tellOfEnd(_ event: HookEvent, of call: HookCall) {
        events.insert(event, at: call.progress.resultWaits ? events.count : max(events.count - 1, 0))
    }

    private func cancelSubrequests(_ call: HookCall) {
        guard call.hasOpenSubrequests else { return }
        for id in call.openSubrequests { events.append(.cancelSubrequest(call, id)) }
        call.closeSubrequests()
    }

    /// Tells the gateway what happened in the turn.
    func deliver() {
        guard hasEvents else { return }
        while !events.isEmpty {
            let batch = events
            events.removeAll()
            for event in batch { deliver(event) }
        }
    }

    private func deliver(_ event: HookEvent) {
        switch event {
        case .finished(let call, let outcome):
            call.progress.resultWaits = false
            call.finished(outcome)
        case .released(let call): call.released()
        case .cancelSubrequest(let call, let id): call.cancelSubrequest(id)
        case .readBody(let call, let epoch, let side):
            if isCurrent(call, epoch) { call.readBody(side) }
        case .sendToOrigin(let call, let epoch, let body):
            guard isCurrent(call, epoch) else { return }
            pauseWall(call)
            call.sendToOrigin(body)
        case .subrequest(let call, let epoch, let request):
            if isCurrent(call, epoch) { call.subrequest(request) }
        case .pullAnswer(let call, let epoch, let id): if isCurrent(call, epoch) { call.pullAnswer(id) }
        case .askMade(let call, let epoch, let id): if isCurrent(call, epoch) { call.askMade(id) }
        case .askDone(let call, let epoch, let id): if isCurrent(call, epoch) { call.endAsk(id) }
        case .store(let call, let epoch, let request):
            if isCurrent(call, epoch) { call.store(request) }
        case .work(let call, let epoch, let work):
            if isCurrent(call, epoch) { host.perform(work) }
        case .pullBody(let call, let epoch, let side):
            if isCurrent(call, epoch) { call.pullBody(side) }
        case .cancelBody(let call, let epoch, let side):
            if isCurrent(call, epoch) { call.cancelBody(side) }
        case .bodyMade(let call, let side): call.bodyMade(side)
        case .bodyDone(let call, let side): call.bodyDone(side)
        case .bodyBroken(let call, let failure): call.bodyBroken(failure)
        case .socketActed(let call): call.socketActed()
        case .socketReady(let call, let epoch, let id): if isCurrent(call, epoch) { call.socketReady(id) }
        case .socketBroken(let call, let failure): call.socketBroken(failure)
        }
    }

    private func isCurrent(_ call: HookCall, _ epoch: Int32) -> Bool {
        call.function === self && call.slot >= 0 && call.epoch == epoch
    }

    // MARK: Time

    func setWallDeadline(_ call: HookCall, _ time: UInt64) {
        guard call.slot >= 0 else { return }
        call.progress.wallDeadline = time
        runtime.wait(Deadlines.Entry(time: time, function: self, slot: call.slot, epoch: call.epoch, timer: 0))
    }

    private func pauseWall(_ call: HookCall) {
        let now = host.now
        let deadline = call.progress.wallDeadline
        call.progress.wallLeft = deadline > now ? deadline - now : 1
        call.progress.wallDeadline = 0
    }

    func resumeWall(_ call: HookCall) {
        guard call.progress.wallLeft > 0 else { return }
        let left = call.progress.wallLeft
        call.progress.wallLeft = 0
        setWallDeadline(call, host.now &+ left)
    }

    /// A deadline was reached.
    func fire(_ entry: Deadlines.Entry) {
        guard let call = call(entry.slot, entry.epoch) else { return }
        if entry.timer != 0 {
            timers[entry.timer] = nil
            call.progress.timers -= 1
            guard let loaded else { return }
            _ = turn(call, loaded) { $0.call(HookEntry.fire.rawValue, entry.timer) }
        } else if call.exchange == nil, call.isStreaming {
            let failure = HookFailure(.wall, call, "the body made no progress within the wall limit of \(source.limits.wallMilliseconds) ms")
            breakStreams(call, failure, goesOn: leave(call))
        } else if call.exchange == nil {
            log(2, call, "waitUntil work was given up: \(source.limits.tailMilliseconds) ms are over, or too many calls go on")
            call.progress.tailStopped = true
            forget(call)
            endTail(call)
        } else {
            let failure = HookFailure(.wall, call, "no result within the wall limit of \(source.limits.wallMilliseconds) ms")
            fail(call, failure, goesOn: leave(call))
        }
        deliver()
    }
}

extension HookCall {
    /// Applies the staged edits for what the handler settled on.
    func applyOutcome(_ code: Int32, _ exchange: Exchange) -> HookOutcome {
        switch code {
        case HookCode.deny: return .deny(status: edits.status)
        case HookCode.respond:
            if phase == .request || phase == .error || (phase == .fetch && !progress.originArrived) || edits.responseBody == .socket {
                exchange.response.reset()
                exchange.response.body = .none
            }
            edits.applyResponse(&exchange.response)
            return .respond(edits.responseBody)
        default:
            if phase == .webSocket { return .proceed(.unchanged) }
            return .proceed(edits.apply(phase, exchange))
        }
    }
}
