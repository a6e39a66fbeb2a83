import Reactor
import Telemetry

/// The parent of all workers: opens the sockets, hands out the configuration, watches, replaces.
///
/// One life: `run` loads the configuration, opens the addresses, starts the workers, says what is
/// served when all are ready, then waits for signals, deaths and answers until it is told to stop.
public final class Supervisor {
    enum Phase: String { case starting, serving, draining }

    /// A configuration as it is handed to workers.
    struct Generation {
        let number: UInt64
        let bundle: ConfigurationBundle
        /// Sealed memory with the encoded bundle.
        let memory: SharedBytes
    }

    let options: SupervisorOptions
    let reactor: Reactor
    let log: OperationLog
    let shared: SharedRegion
    var listeners: ListenerSet
    var current: Generation
    var phase = Phase.starting
    var workers: [WorkerProcess?]
    var restarts: [RestartPolicy]
    var restartTimers: [Int: RestartTimer] = [:]
    /// Sockets of waiting workers, by the index of their owner.
    var loans: [Int: Loan] = [:]
    var strikes = StrikeBook()
    var snapshots: SnapshotShelf
    var looks = PendingLooks()
    var reports = PendingReports()
    /// Hook processes of all workers.
    var cordons: [CordonChild] = []
    var cordonDeaths = 0
    var crashes: CrashReports
    /// Counters of workers that are gone.
    var retired = MetricTotals()
    var deaths = 0
    var startFailures = 0
    var reload = ReloadState()
    var upgrade = UpgradeState()
    /// What this process is once another one serves in its place and nothing is left to do here, if it has to stay.
    var watchman: Watchman?
    /// Times that a process took its predecessor's place, since the first of them.
    let upgrades: Int
    /// The process before this one, while it finishes its requests.
    var predecessor: Predecessor?
    /// What was counted before this process.
    var inherited = MetricTotals()
    let takeover: Takeover?
    /// Where the areas of our workers in the shared memory begin: the workers of a predecessor have theirs.
    let firstSlot: Int
    /// The file this process was started from.
    let program = ProcessSetup.executable()
    let workerSettings: [String: String]
    /// Watches the configuration's files, if asked to.
    private(set) var watch: ConfigurationWatch?
    var exitCode: Int32 = 0
    var admin: AdminServer?
    var control: AdminServer?
    var tail: TailHub?
    var access = AdminAccess(user: RuntimeFolder.user)
    private var signals: SignalChannel?
    private var pollTimer: PollTimer?
    private(set) lazy var certificates = CertificateWatch(self)
    private var drainTimer: DrainTimer?
    /// By a signal, for the first time.
    private var isToldToStop = false
    /// Milliseconds beyond the time to drain: workers keep that themselves, and take a second to say goodbye; this is for one
    /// that cannot.
    private static let drainSpare: UInt64 = 2_000
    let startedAt: String

    /// Runs until told to stop.
    /// - Parameter load: reads and checks a configuration; used in this process at the start only.
    /// - Returns: the exit status.
    public static func run(_ options: SupervisorOptions, load: ConfigurationLoader) -> Int32 {
        let log = OperationLog(format: options.logFormat)
        var takeover: Takeover?
        do {
            takeover = try Takeover.receive()
            let loaded = try load(options.configurationPath)
            if !loaded.notes.isEmpty { log.warning("configuration", loaded.notes) }
            let supervisor = try Supervisor(options, loaded, log, takeover)
            return try supervisor.live()
        } catch let error as ConfigurationRejected {
            log.error("configuration", "\(options.configurationPath) cannot be used; nothing was started\n\(error.diagnostics)")
            takeover?.refuse("\(options.configurationPath) cannot be used by the new version\n\(error.diagnostics)")
        } catch {
            log.error("start", "cannot start: \(error)")
            takeover?.refuse("\(error)")
        }
        log.flush()
        return 1
    }

    private init(
        _ options: SupervisorOptions, _ loaded: LoadedConfiguration, _ log: OperationLog, _ takeover: Takeover?
    ) throws {
        var options = options
        // One parent that stays is enough.
        if takeover?.facts[Supervisor.parentStays] == "1" { options.staysAsParent = false }
        self.options = options
        self.log = log
        self.takeover = takeover
        crashes = CrashReports(options.crashReports)
        ProcessSetup.raiseDescriptorLimit()
        ProcessSetup.disableCoreDumps()
        SignalDescriptor.ignore(.pipe)
        if options.staysAsParent { ProcessSetup.adoptOrphans() }
        reactor = try Reactor()
        shared = try takeover?.region ?? SharedRegion.create()
        // In memory of our own, and in that of a predecessor whose workers have the upper half, ours are the lower ones.
        firstSlot = takeover?.region != nil && takeover?.number("first-slot") == 0 ? SharedRegion.workerCapacity : 0
        upgrades = takeover.map { $0.number("upgrades") + 1 } ?? 0
        startedAt = SystemClock.timestamp()
        workerSettings = Supervisor.settings(options, takeover, firstSlot)
        listeners = ListenerSet(workers: options.workers, handed: takeover?.sockets ?? Supervisor.activated(log))
        reload.highest = UInt64(takeover?.number("generation") ?? 0) + 1
        current = Generation(number: reload.highest, bundle: loaded.bundle, memory: try SharedBytes(loaded.bundle))
        workers = Array(repeating: nil, count: options.workers)
        restarts = Array(repeating: RestartPolicy(), count: options.workers)
        snapshots = SnapshotShelf(key: options.snapshotKey, folder: options.cacheFolder, isSound: options.snapshotIsSound)
        if let takeover { adopt(takeover) }
        _ = strikes.adopt(loaded.bundle.functions)
    }

    private static func settings(_ options: SupervisorOptions, _ takeover: Takeover?, _ firstSlot: Int) -> [String: String] {
        var settings = options.workerSettings
        for key in options.keptSettings { settings[key] = takeover?.facts["setting \(key)"] ?? settings[key] }
        settings[WorkerBootstrap.firstSlot] = String(firstSlot)
        return settings
    }

    private static func activated(_ log: OperationLog) -> HandedSockets {
        let (sockets, complaints) = ActivatedSockets.take()
        for complaint in complaints { log.warning("activation", complaint) }
        return HandedSockets(activated: sockets)
    }

    /// Goes on where the process before this one stands.
    private func adopt(_ takeover: Takeover) {
        strikes.restore(takeover.strikes)
        for token in takeover.tokens { access.add(token, now: reactor.now) }
        inherited = MetricTotals(named: takeover.totals)
        deaths = takeover.number("deaths")
        cordonDeaths = takeover.number("cordon-deaths")
        reload.succeeded = takeover.number("reloads-applied")
        reload.refused = takeover.number("reloads-refused")
        for loss in takeover.losses { log.warning("upgrade", loss) }
    }

    private func live() throws -> Int32 {
        let signals = try SignalChannel(supervisor: self)
        self.signals = signals
        try reactor.addLevelTriggered(signals)
        let first = try listeners.prepare(current.bundle.listeners)
        listeners.apply(first)
        if let takeover {
            let predecessor = try Predecessor(self, takeover.channel)
            self.predecessor = predecessor
            try reactor.addLevelTriggered(predecessor)
        }
        admin = try openAdmin()
        try applyAdmin()
        control = openControl()
        if options.watches {
            let watch = try ConfigurationWatch(supervisor: self)
            self.watch = watch
            try reactor.addLevelTriggered(watch)
            watch.adopt(current.bundle)
        }
        let pollTimer = PollTimer(supervisor: self)
        self.pollTimer = pollTimer
        for index in 0..<options.workers { try startWorker(index) }
        reactor.schedule(pollTimer, after: PollTimer.period)
        reactor.schedule(certificates, after: CertificateWatch.soon)
        reactor.run()
        admin?.close()
        control?.close()
        log.flush()
        return exitCode
    }

    // MARK: Phases

    /// All workers answered: say what is served.
    func beginServing() {
        phase = .serving
        for entry in listeners.entries {
            log.info(
                "serving", "serving listener \(entry.actual.name) on \(entry.actual.endpoint)",
                [("listener", .text(entry.actual.name)), ("address", .text(entry.actual.endpoint))])
        }
        if let admin { log.info("admin", "metrics and status on \(admin.link.map { "\($0)/status" } ?? admin.endpoint)") }
        log.info(
            "ready", "ready: \(options.workers) worker\(options.workers == 1 ? "" : "s"), configuration \(options.configurationPath)",
            [("workers", .number(options.workers)), ("pid", .number(Int(ProcessSetup.pid)))])
        ServiceManager.serving(generation: current.number)
        if let takeover { takePlace(takeover) }
        reloadIfWanted()
    }

    /// All workers serve beside those of the process before: it may leave.
    private func takePlace(_ takeover: Takeover) {
        listeners.closeUnclaimed()
        takeover.closeUnclaimed()
        for server in [admin, control] {
            do { try server?.begin() } catch { log.error("admin", "\(server?.endpoint ?? ""): \(error)") }
        }
        predecessor?.sayReady(generation: current.number)
    }

    /// The first configuration does not work in any worker: there is nothing to keep running.
    func failStart(_ reason: String) {
        guard phase == .starting else { return }
        log.error("start", "cannot start: \(reason)")
        takeover?.refuse(reason)
        exitCode = 1
        phase = .draining
        stopAtOnce()
    }

    func signalled(_ signal: Signal) {
        if let watchman { return watchman.passOn(signal) }
        if options.staysAsParent, upgrade.isHandedOver {
            upgrade.successor?.child.send(signal)
            if signal == .hangup || signal == .user1 { return }
        }
        switch signal {
        case .terminate, .interrupt: stop(signal)
        case .hangup: requestReload()
        case .user1: reopenLogs()
        default: break
        }
    }

    func reopenLogs() {
        log.info("logs", "reopening log files")
        for worker in workers { worker?.send(.reopenLogs) }
    }

    /// Once: requests are finished; twice: at once.
    private func stop(_ signal: Signal) {
        guard phase != .draining || upgrade.isHandedOver && !isToldToStop else { return stopAtOnce() }
        isToldToStop = true
        guard let drainTimer, phase == .draining else { return beginDraining(signal) }
        // It leaves because of an upgrade, and may have had longer for that.
        let time = drainTimes.stop + Supervisor.drainSpare
        log.info("draining", "\(Signal.name(signal.rawValue)): the last requests have up to \(PrometheusText.seconds(drainTimes.stop * 1000)) s")
        guard drainTimer.deadline > reactor.now + time else { return }
        reactor.cancel(drainTimer)
        reactor.schedule(drainTimer, after: time)
    }

    private func beginDraining(_ signal: Signal) {
        ProcessSetup.notifyServiceManager("STOPPING=1")
        let time = drainTimes.stop
        log.info(
            "draining",
            "\(Signal.name(signal.rawValue)): finishing requests for up to \(PrometheusText.seconds(time * 1000)) s; the same signal again stops at once")
        leave(within: time, idle: 0)
    }

    /// Finishes what runs, takes nothing new, and ends.
    /// - Parameter idle: milliseconds in which idle connections may send one more request.
    func leave(within time: UInt64, idle: UInt64) {
        phase = .draining
        cancelReload()
        cancelUpgrade()
        for timer in restartTimers.values { reactor.cancel(timer) }
        restartTimers = [:]
        // Workers take what is queued and close their copies; with ours closed the addresses are free then.
        stopWatching()
        for worker in workers {
            worker?.state = .draining
            worker?.send(.drain(milliseconds: time, idleMilliseconds: idle))
        }
        listeners.closeAll()
        let timer = DrainTimer(supervisor: self)
        drainTimer = timer
        reactor.schedule(timer, after: time + Supervisor.drainSpare)
        stopIfEmpty()
    }

    private func stopWatching() {
        if let watch { reactor.remove(watch) }
        watch = nil
    }

    /// How long requests may go on, by why they have to end.
    var drainTimes: ConfigurationBundle.DrainTimes {
        var times = current.bundle.drain
        if let stop = options.drainMilliseconds { times.stop = stop }
        return times
    }

    func stopAtOnce() {
        cancelReload()
        cancelUpgrade()
        for timer in restartTimers.values { reactor.cancel(timer) }
        restartTimers = [:]
        for worker in workers { worker?.kill(because: "stop at once") }
        listeners.closeAll()
        stopIfEmpty()
    }

    func drainTimeIsUp() {
        let left = workers.compactMap { $0 }
        log.warning("draining", "stopping \(left.count) worker\(left.count == 1 ? "" : "s") that did not finish in time")
        for worker in left { worker.kill(because: "drain timeout") }
    }

    func stopIfEmpty() {
        guard phase == .draining, workers.allSatisfy({ $0 == nil }) else { return }
        sendTotals()
        if becomesWatchman() { return }
        if exitCode == 0 { log.info("stopped", "stopped") }
        reactor.stop()
    }
}

/// Sealed memory that closes with its last user.
final class SharedBytes {
    let descriptor: OwnedDescriptor

    init(_ bundle: ConfigurationBundle) throws(SystemError) {
        descriptor = try SealedMemory.create(name: "sluice-configuration", bundle.forWorkers.encoded())
    }
}

/// Signals as events.
final class SignalChannel: Channel {
    private unowned let supervisor: Supervisor
    private let source: SignalDescriptor

    init(supervisor: Supervisor) throws(SystemError) {
        self.supervisor = supervisor
        source = try SignalDescriptor(WorkerBootstrap.supervisorSignals)
        super.init(fd: source.descriptor.number)
    }

    override func ready(_ events: ReadyEvents) {
        while let signal = source.next() { supervisor.signalled(signal) }
    }
}

private final class DrainTimer: Timer {
    private unowned let supervisor: Supervisor
    init(supervisor: Supervisor) { self.supervisor = supervisor }
    override func fire() { supervisor.drainTimeIsUp() }
}

/// Looks at the running slots, every few milliseconds for as long as the supervisor lives.
final class PollTimer: Timer {
    /// Milliseconds.
    static let period: UInt64 = 10
    private unowned let supervisor: Supervisor
    private var watchdog = ServiceWatchdog()

    init(supervisor: Supervisor) { self.supervisor = supervisor }

    override func fire() {
        supervisor.lookAtWorkers()
        supervisor.remindOfStaleness()
        supervisor.log.flush()
        watchdog.beat(now: supervisor.reactor.now)
        supervisor.reactor.schedule(self, after: PollTimer.period)
    }
}

/// Starts a worker after its backoff.
final class RestartTimer: Timer {
    private unowned let supervisor: Supervisor
    private let index: Int

    init(supervisor: Supervisor, index: Int) {
        self.supervisor = supervisor
        self.index = index
    }

    override func fire() { supervisor.restartNow(index) }
}
