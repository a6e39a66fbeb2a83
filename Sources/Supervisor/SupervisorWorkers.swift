import Reactor
import Telemetry

/// Starting, watching, burying and replacing workers.
extension Supervisor {
    /// A hook call may run this long past its deadline before it costs its worker the life.
    static let hookGrace: UInt64 = 250_000_000

    // MARK: Start

    func startWorker(_ index: Int) throws(SystemError) {
        shared.reset(worker: firstSlot + index)
        let worker = try WorkerProcess(index: index, supervisor: self, arguments: options.workerArguments)
        workers[index] = worker
        worker.send(
            .welcome(worker: index, workers: options.workers, settings: workerSettings),
            passing: shared.descriptor.number)
        if let memory = snapshots.memory {
            worker.hadSnapshot = true
            worker.send(.snapshot, passing: memory.descriptor.number)
        }
        for entry in listeners.entries { worker.send(opening(entry), passing: entry.sockets[index]) }
        worker.send(.fence(strikes.fenced))
        worker.send(.move(strikes.moved, fatal: strikes.fatal))
        worker.send(.configure(generation: current.number), passing: current.memory.descriptor.number)
        letWorkerJoinTail(worker)
    }

    func opening(_ entry: ListenerSet.Entry) -> SupervisorMessage {
        .openListener(key: entry.key, listener: entry.actual)
    }

    func restartNow(_ index: Int) {
        restartTimers[index] = nil
        guard phase != .draining, workers[index] == nil else { return }
        do {
            try startWorker(index)
        } catch {
            log.error("worker", "worker \(index) cannot be started: \(error); trying again", [("worker", .number(index))])
            scheduleRestart(index)
        }
    }

    private func scheduleRestart(_ index: Int) {
        let delay = restarts[index].delayAfterDeath(now: reactor.now)
        if delay == 0 { return restartNow(index) }
        log.warning(
            "backoff", "worker \(index) died too often; starting it again in \(delay) ms",
            [("worker", .number(index)), ("delay_ms", .number(Int(delay)))])
        let timer = RestartTimer(supervisor: self, index: index)
        restartTimers[index] = timer
        reactor.schedule(timer, after: delay)
        lend(index)
    }

    // MARK: What workers say

    func worker(_ worker: WorkerProcess, said message: WorkerMessage) {
        switch message {
        case .ready(let generation):
            worker.generation = generation
            if worker.state == .starting { becameReady(worker) }
            reloadAnswered(worker, generation, refusal: nil)
        case .refused(let generation, let reason):
            if worker.state == .starting {
                refusedAtStart(worker, reason)
            } else {
                reloadAnswered(worker, generation, refusal: reason)
            }
        case .killCordon(let id): killCordon(of: worker, id)
        case .cordonStrike(let function): strikeInCordon(function)
        case .slow(let function): move(function, because: "it held a worker up too often")
        case .drained, .loaded, .rejected, .wantCordon, .snapshot, .looked: break
        }
    }

    private func becameReady(_ worker: WorkerProcess) {
        worker.state = .ready
        log.info(
            "worker", "worker \(worker.index) is ready (pid \(worker.pid), generation \(worker.generation), \(reactor.now - worker.startedAt) ms)",
            [
                ("worker", .number(worker.index)), ("pid", .number(Int(worker.pid))),
                ("generation", .number(Int(clamping: worker.generation))),
            ])
        takeBack(worker.index)
        if phase == .starting, workers.allSatisfy({ $0?.state == .ready }) { beginServing() }
        for index in restartTimers.keys where loans[index] == nil { lend(index) }
    }

    private func refusedAtStart(_ worker: WorkerProcess, _ reason: String) {
        guard phase == .serving else { return failStart(reason) }
        log.error(
            "worker", "worker \(worker.index) refused generation \(current.number): \(reason)", [("worker", .number(worker.index))])
        worker.kill(because: "it refused the configuration")
    }

    // MARK: Watch

    /// Looks for hook calls that did not stop and for loops that do not turn.
    func lookAtWorkers() {
        let now = reactor.nowNanoseconds
        for case let worker? in workers {
            guard let deadline = shared.runningDeadline(worker: worker.slot) else {
                lookAtLoop(of: worker, now)
                continue
            }
            if now > deadline &+ Supervisor.hookGrace { stopHook(of: worker, now) }
        }
    }

    /// Kills a worker on a later look at the same call: after a pause of the whole machine every deadline is over, but the worker
    /// gets its turn before the second look; and one that waits for a processor on a busy machine uses none.
    private func stopHook(of worker: WorkerProcess, _ now: UInt64) {
        guard worker.killedInside == nil, let report = shared.running(worker: worker.slot) else { return }
        let used = ProcessSetup.processorTime(ofFirstThread: worker.pid)
        guard let suspect = worker.suspect, suspect.sequence == report.sequence else {
            worker.suspect = Suspicion(sequence: report.sequence, since: now, processorTime: used)
            return
        }
        let hadItsTurn = used.map { $0 &- (suspect.processorTime ?? 0) >= Suspicion.turn(of: report) } ?? true
        guard hadItsTurn || now &- suspect.since > Suspicion.patience else { return }
        worker.killedInside = report
        worker.kill(because: "hook \(report.function) did not stop")
    }

    private func lookAtLoop(of worker: WorkerProcess, _ now: UInt64) {
        let stall = options.stallMilliseconds * 1_000_000
        let used = { ProcessSetup.processorTime(ofFirstThread: worker.pid) }
        if worker.state == .starting {
            let isLate = StartPatience.isOver(after: reactor.now - worker.startedAt, used)
            return isLate ? worker.kill(because: "it was not ready in time") : ()
        }
        let beat = shared.heartbeat(worker: worker.slot)
        guard beat != 0, now > beat &+ stall else { return worker.stillness = nil }
        guard let stillness = worker.stillness, stillness.beat == beat else {
            return worker.stillness = Stillness(beat: beat, since: now, processorTime: used())
        }
        if stillness.isProved(now, used(), stall: stall) { worker.kill(because: "its loop stood still") }
    }

    // MARK: Death

    func worker(_ worker: WorkerProcess, ended end: ProcessEnd) {
        let words = shared.words(worker: worker.slot, count: Metrics.wordCount)
        retired.addRetired(words.span)
        let report = worker.killedInside ?? shared.running(worker: worker.slot)
        workers[worker.index] = nil
        killCordons(of: worker)
        looksLost(worker)
        if phase == .draining { return buryDraining(worker, end) }
        deaths += 1
        logDeath(worker, end, report)
        judge(worker, end, report)
        reportCrash(of: worker, end, report)
        if phase == .starting, !startMayGoOn(worker, end) { return }
        scheduleRestart(worker.index)
        for index in loans.keys where loans[index]?.borrower === worker { lend(index) }
        reloadLost(worker)
    }

    private func buryDraining(_ worker: WorkerProcess, _ end: ProcessEnd) {
        if end != .exited(0), worker.killReason == nil {
            log.warning("worker", "worker \(worker.index) ended with \(end) while draining", [("worker", .number(worker.index))])
        }
        stopIfEmpty()
    }

    private func logDeath(_ worker: WorkerProcess, _ end: ProcessEnd, _ report: RunningReport?) {
        var message = "worker \(worker.index) (pid \(worker.pid)) died: \(end)"
        if let reason = worker.killReason { message += ", killed because \(reason)" }
        var details: [(String, OperationLog.Value)] = [
            ("worker", .number(worker.index)), ("pid", .number(Int(worker.pid))), ("end", .text("\(end)")),
        ]
        if let report {
            message += "; it was inside hook \(report.function), rule \"\(report.rule)\" at \(report.place), request \(report.request)"
            details += [
                ("function", .text(report.function)), ("rule", .text(report.rule)), ("place", .text(report.place)),
                ("request", .text(report.request)),
            ]
        }
        log.error("worker", message, details)
    }

    private func judge(_ worker: WorkerProcess, _ end: ProcessEnd, _ report: RunningReport?) {
        // A name in parentheses stands for the worker's own work in JavaScript, such as loading a module.
        guard let report, !report.function.isEmpty, !report.function.hasPrefix("(") else { return }
        let now = SystemClock.monotonicNanoseconds()
        let ran = now > report.started ? now - report.started : 0
        guard StrikeBook.isStrike(end: end, killedByUs: worker.killedInside != nil, ranFor: ran) else { return }
        let (entry, newlyFenced) = strikes.strike(report.function)
        if newlyFenced {
            log.error(
                "fence",
                "function \(report.function) is fenced after \(entry.strikes) strikes: its rules answer by their on_error policy until its file changes",
                [("function", .text(report.function)), ("strikes", .number(entry.strikes))])
        } else if !entry.fenced {
            log.warning(
                "strike", "function \(report.function) has \(entry.strikes) strike of \(StrikeBook.limit)",
                [("function", .text(report.function)), ("strikes", .number(entry.strikes))])
        }
        showStrikes()
        if newlyFenced { sendFences() }
        move(report.function, because: "a worker died inside it")
    }

    func sendFences() {
        for worker in workers { worker?.send(.fence(strikes.fenced)) }
    }

    /// Lists the strikes in shared memory for display.
    func showStrikes() {
        let sorted = strikes.entries.sorted { $0.key < $1.key }
        for index in 0..<SharedRegion.strikeCapacity {
            let entry = index < sorted.count ? sorted[index] : nil
            shared.setStrikes(
                index: index, function: entry?.key ?? "", strikes: entry?.value.strikes ?? 0,
                fenced: entry?.value.fenced ?? false)
        }
    }

    /// A gateway that never served has nothing to protect: say what is wrong and end.
    private func startMayGoOn(_ worker: WorkerProcess, _ end: ProcessEnd) -> Bool {
        // Killed from outside says nothing about the configuration.
        if end != .signalled(Signal.kill.rawValue) { startFailures += 1 }
        guard startFailures >= 3 else { return true }
        failStart("workers die before they are ready (\(end)); run \"sluice check \(options.configurationPath)\"")
        return false
    }
}
