import Reactor

/// Where a reload stands.
struct ReloadState {
    /// The process that examines the new configuration.
    var scratch: ScratchProcess?
    var timer: ReloadTimer?
    /// Another SIGHUP came meanwhile.
    var wantedAgain = false
    /// Handed out, not yet answered by all.
    var pending: PendingReload?
    var succeeded = 0
    var refused = 0
    var last = LastReload()
    /// Whether what is served is older than what is on disk.
    var staleness = Staleness()
    /// The largest generation number ever handed out.
    var highest: UInt64 = 1
    /// Who asked for the reload that is under way, and who for the one after it.
    var waiting: [(ReloadReport) -> Void] = []
    var waitingForNext: [(ReloadReport) -> Void] = []

    var isUnderWay: Bool { scratch != nil || pending != nil }
}

/// For /status.
struct LastReload {
    var at = ""
    /// "none", "applied" or "refused".
    var result = "none"
    var message = ""
}

struct PendingReload {
    let previous: Supervisor.Generation
    let change: ListenerSet.Change
    let notes: String
    let beganAt: UInt64
    /// Workers that have not answered, by pid.
    var waiting: Set<Int32>
    /// Workers that took it.
    var taken: Set<Int32> = []
}

/// SIGHUP: examine, hand out, collect answers. Either every worker changes or none does.
extension Supervisor {
    /// Milliseconds for the workers' answers; for one whose loop turns, or that is only starting, several times as long: on a busy
    /// machine it makes the configuration ready beside its requests, and these are worth more than a fast reload.
    static let answerLimit: UInt64 = 10_000, answerPatience: UInt64 = 55_000

    func requestReload() {
        guard phase != .draining else {
            return log.warning("reload", "reload ignored: the gateway is \(phase.rawValue)")
        }
        if phase == .starting {
            // The files may have been read before the change that it is about.
            log.info("reload", "a reload is asked for while the gateway starts: it follows the start")
            reload.wantedAgain = true
            return
        }
        guard !reload.isUnderWay, !upgrade.isUnderWay else {
            reload.wantedAgain = true
            return
        }
        ServiceManager.reloading()
        do {
            reload.scratch = try ScratchProcess(
                path: options.configurationPath, arguments: options.scratchArguments, reactor: reactor
            ) { [unowned self] in examined($0) }
            startReloadTimer(ScratchProcess.limit)
        } catch {
            refuseReload("the process that checks it cannot be started: \(error)")
        }
    }

    private func startReloadTimer(_ limit: UInt64) {
        let timer = reload.timer ?? ReloadTimer(supervisor: self)
        reload.timer = timer
        reactor.cancel(timer)
        reactor.schedule(timer, after: limit)
    }

    func reloadTimeIsUp() {
        if let scratch = reload.scratch { return scratch.timeIsUp() }
        guard let pending = reload.pending else { return }
        let isOver = reactor.now - pending.beganAt >= Supervisor.answerPatience
        var late = 0
        // A worker that does not answer is replaced; the replacement starts with the new generation.
        for case let worker? in workers where pending.waiting.contains(worker.pid) {
            if !isOver, isAtWork(worker) { late += 1 } else { worker.kill(because: "it did not answer to generation \(current.number)") }
        }
        if late > 0 { startReloadTimer(Supervisor.answerLimit) }
    }

    private func isAtWork(_ worker: WorkerProcess) -> Bool {
        let beat = shared.heartbeat(worker: worker.slot)
        return worker.state == .starting || reactor.nowNanoseconds < beat &+ Supervisor.answerLimit * 1_000_000
    }

    func cancelReload() {
        reload.wantedAgain = false
        reload.scratch?.kill()
        if let timer = reload.timer { reactor.cancel(timer) }
        reload.pending = nil
        while !reload.waiting.isEmpty || !reload.waitingForNext.isEmpty {
            let why = upgrade.isHandedOver ? "another process serves in the place of this one; it was told to reload" : "the gateway is stopping"
            tell(ReloadReport(result: .refused, generation: current.number, text: why))
        }
    }

    func examined(_ outcome: Examination) {
        reload.scratch = nil
        guard phase == .serving else { return }
        let byWatch = watch?.takeAsked() ?? false
        switch outcome {
        case .bad(let diagnostics): refuseReload(diagnostics)
        case .good(let bundle, _) where byWatch && reload.waiting.isEmpty && bundle == current.bundle: nothingChanged()
        case .good(let bundle, let notes):
            do {
                try handOut(bundle, notes)
            } catch {
                refuseReload("\(error)")
            }
        }
    }

    /// A file was written, and says what it said before.
    private func nothingChanged() {
        reload.staleness.applied()
        log.info("reload", "the configuration was read again and nothing in it changed")
        reloadEnded()
    }

    // MARK: Handing out

    private func handOut(_ bundle: ConfigurationBundle, _ notes: String) throws {
        let memory = try SharedBytes(bundle)
        let change = try listeners.prepare(bundle.listeners)
        reload.highest += 1
        let previous = current
        current = Generation(number: reload.highest, bundle: bundle, memory: memory)
        var waiting: Set<Int32> = []
        for case let worker? in workers {
            waiting.insert(worker.pid)
            // A changed function begins where its rule file says.
            worker.send(.move(strikes.moved(among: current.bundle.functions), fatal: strikes.fatal))
            worker.send(.configure(generation: current.number), passing: memory.descriptor.number)
            for entry in change.added { worker.send(opening(entry), passing: entry.sockets[worker.index]) }
        }
        reload.pending = PendingReload(
            previous: previous, change: change, notes: notes, beganAt: reactor.now, waiting: waiting)
        startReloadTimer(Supervisor.answerLimit)
        finishReloadIfAnswered()
    }

    func reloadAnswered(_ worker: WorkerProcess, _ generation: UInt64, refusal: String?) {
        guard var pending = reload.pending, generation == current.number else { return }
        guard pending.waiting.remove(worker.pid) != nil else { return }
        if let refusal {
            reload.pending = pending
            return rollBack(worker, refusal)
        }
        pending.taken.insert(worker.pid)
        reload.pending = pending
        finishReloadIfAnswered()
    }

    /// A worker died meanwhile; its replacement begins with the current generation.
    func reloadLost(_ worker: WorkerProcess) {
        guard reload.pending?.waiting.remove(worker.pid) != nil else { return }
        finishReloadIfAnswered()
    }

    private func finishReloadIfAnswered() {
        guard let pending = reload.pending, pending.waiting.isEmpty else { return }
        reload.pending = nil
        takeBackAll()
        listeners.apply(pending.change)
        for case let worker? in workers {
            for entry in pending.change.removed { worker.send(.closeListener(key: entry.key)) }
            // Born while the answers were collected, before the sockets were in the list.
            guard !pending.taken.contains(worker.pid) else { continue }
            for entry in pending.change.added { worker.send(opening(entry), passing: entry.sockets[worker.index]) }
        }
        lendAll()
        // Tried in the scratch process before; a failure here keeps what was.
        do { try applyAdmin() } catch { log.error("admin", "the admin address keeps its certificates and tokens: \(error)") }
        let released = strikes.adopt(current.bundle.functions)
        showStrikes()
        sendFences()
        sendMoves()
        reload.succeeded += 1
        reload.staleness.applied()
        watch?.adopt(current.bundle)
        reactor.schedule(certificates, after: CertificateWatch.soon)
        logApplied(pending, released)
        reloadEnded()
    }

    private func logApplied(_ pending: PendingReload, _ released: [String]) {
        let took = reactor.now - pending.beganAt
        var message = "configuration reloaded: generation \(current.number) is in use (\(pending.taken.count) workers, \(took) ms)"
        for entry in pending.change.added { message += "; now also on \(entry.actual.endpoint) (\(entry.actual.name))" }
        for entry in pending.change.removed { message += "; no longer on \(entry.actual.endpoint) (\(entry.actual.name))" }
        if !released.isEmpty { message += "; no longer fenced: \(released.joined(separator: ", "))" }
        log.info("reload", message, [("generation", .number(Int(current.number))), ("ms", .number(Int(took)))])
        if pending.previous.bundle.admin != current.bundle.admin, options.admin == nil {
            log.warning("admin", "the admin address changes with the next start only")
        }
        if !pending.notes.isEmpty { log.warning("configuration", pending.notes) }
        reload.last = LastReload(at: SystemClock.timestamp(), result: "applied", message: message)
        tell(ReloadReport(
            result: .applied, generation: current.number, text: message,
            changes: Supervisor.changes(from: pending.previous.bundle, to: current.bundle)))
    }

    private func rollBack(_ refuser: WorkerProcess, _ reason: String) {
        guard let pending = reload.pending else { return }
        reload.pending = nil
        current = pending.previous
        sendMoves()
        for case let worker? in workers {
            for entry in pending.change.added { worker.send(.closeListener(key: entry.key)) }
            guard worker.pid != refuser.pid else { continue }
            worker.send(.configure(generation: current.number), passing: current.memory.descriptor.number)
        }
        listeners.abandon(pending.change)
        refuseReload("worker \(refuser.index) refused it: \(reason)")
    }

    private func refuseReload(_ reason: String) {
        reload.refused += 1
        let isOfCertificate = options.certificateMarks.contains { mark in reason.contains(mark) }
        reload.staleness.refused(now: reactor.now, forCertificate: isOfCertificate)
        let message = "\(reason)\nrunning configuration (generation \(current.number)) was not changed"
        log.error("reload", "the new configuration was refused\n\(message)", [("generation", .number(Int(current.number)))])
        reload.last = LastReload(at: SystemClock.timestamp(), result: "refused", message: reason)
        tell(ReloadReport(result: .refused, generation: current.number, text: reason))
        reloadEnded()
    }

    private func reloadEnded() {
        if let timer = reload.timer { reactor.cancel(timer) }
        ServiceManager.serving(generation: current.number)
        if upgrade.wanted != nil { return startWantedUpgrade() }
        reloadIfWanted()
    }

    /// Begins what was put off until a start, a reload or an upgrade had ended.
    func reloadIfWanted() {
        guard reload.wantedAgain else { return }
        reload.wantedAgain = false
        requestReload()
    }
}

final class ReloadTimer: Timer {
    private unowned let supervisor: Supervisor
    init(supervisor: Supervisor) { self.supervisor = supervisor }
    override func fire() { supervisor.reloadTimeIsUp() }
}
