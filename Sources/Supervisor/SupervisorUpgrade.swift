import Reactor
import Telemetry

/// Where an upgrade stands.
struct UpgradeState {
    /// The process that is to take our place.
    var successor: SuccessorProcess?
    var timer: UpgradeTimer?
    /// It has taken our place: what is left is to finish what runs here.
    var isHandedOver = false
    /// Who asked.
    var waiting: [(UpgradeReport) -> Void] = []
    /// Asked for during a reload; begins when that has ended.
    var wanted: (program: String, limit: UInt64)?
    var failed = 0
    /// How the successor ended while requests here still ran.
    var successorEnd: ProcessEnd?

    var isUnderWay: Bool { (successor != nil && !isHandedOver) || wanted != nil }
}

/// How an upgrade ended, for whoever asked.
struct UpgradeReport {
    /// The process that serves now; nil: the upgrade failed and this one goes on.
    var successor: Int32?
    var text: String

    var response: AdminResponse {
        let body = JSONBody.object { json in
            json.field("result", successor == nil ? "refused" : "upgraded")
            if let successor { json.field("pid", Int(successor)) }
            json.field("message", text)
        }
        return AdminResponse(
            status: successor == nil ? 422 : 200, reason: successor == nil ? "Unprocessable Content" : "OK",
            type: "application/json", body: body)
    }
}

/// Another program takes this one's place: it is started beside this one, gets the listening sockets, and serves; only then
/// this one finishes what runs and leaves. Whatever goes wrong before leaves everything as it was.
extension Supervisor {
    /// Milliseconds until the new process must serve, unless the caller says otherwise.
    static let upgradeLimit: UInt64 = 45_000
    /// The fact that a parent watches over whoever serves.
    static let parentStays = "parent-stays"
    /// Milliseconds between two reports of what was counted here while the last requests run.
    static let totalsPeriod: UInt64 = 1_000

    /// - Parameters:
    ///   - program: path of the executable; nil: the file this one was started from, as it is now.
    ///   - limit: milliseconds until it must serve.
    func requestUpgrade(to program: String?, within limit: UInt64, reporting report: @escaping (UpgradeReport) -> Void) {
        func refuse(_ why: String) { report(UpgradeReport(successor: nil, text: why)) }
        guard phase == .serving else { return refuse("the gateway is \(phase.rawValue); it is upgraded only while it serves") }
        guard !upgrade.isUnderWay else { return refuse("an upgrade is under way") }
        guard predecessor == nil else {
            return refuse("the gateway before this one still finishes requests (at most drain.upgrade); upgrade again when it is gone")
        }
        guard let program = program ?? self.program else { return refuse("it is not known which file this program was started from; say which one to start") }
        upgrade.waiting.append(report)
        guard !reload.isUnderWay else {
            upgrade.wanted = (program, limit)
            return
        }
        startUpgrade(program, limit)
    }

    /// Begins what was put off until a reload had ended.
    func startWantedUpgrade() {
        guard let wanted = upgrade.wanted, phase == .serving else { return }
        upgrade.wanted = nil
        startUpgrade(wanted.program, wanted.limit)
    }

    private func startUpgrade(_ program: String, _ limit: UInt64) {
        log.info("upgrade", "starting \(program) to take this gateway's place", [("program", .text(program))])
        do {
            let successor = try SuccessorProcess(program: program, supervisor: self)
            upgrade.successor = successor
            handEverything(to: successor)
            let timer = UpgradeTimer(supervisor: self)
            upgrade.timer = timer
            reactor.schedule(timer, after: limit)
        } catch {
            upgradeFailed("it cannot be started: \(error)")
        }
    }

    private func handEverything(to successor: SuccessorProcess) {
        successor.say(.shared, passing: shared.descriptor.number)
        for entry in listeners.entries {
            for (index, socket) in entry.sockets.enumerated() {
                successor.say(.listener(configured: entry.configured, port: entry.actual.port, index: index), passing: socket)
            }
        }
        for socket in listeners.handed.activated {
            let listener = ConfigurationBundle.Listener(name: socket.name, address: socket.address, port: socket.port)
            successor.say(.listener(configured: listener, port: socket.port, index: -1), passing: socket.descriptor)
        }
        for server in [admin, control] {
            if let server { successor.say(.admin(name: server.name, endpoint: server.endpoint), passing: server.fd) }
        }
        for (name, entry) in strikes.entries {
            successor.say(.strikes(
                function: name, fingerprint: entry.fingerprint, strikes: entry.strikes, cordonStrikes: entry.cordonStrikes, moved: entry.moved))
        }
        for token in access.tokens {
            successor.say(.token(secret: token.secret, role: token.role.name, name: token.name, expires: token.expires))
        }
        successor.say(.facts(facts()))
        successor.say(.totals(counted().named))
        successor.say(.end)
    }

    private func facts() -> [String: String] {
        var facts = [
            "generation": String(reload.highest), "first-slot": String(firstSlot), "deaths": String(deaths),
            "cordon-deaths": String(cordonDeaths), "reloads-applied": String(reload.succeeded),
            "reloads-refused": String(reload.refused), "upgrades": String(upgrades), "started": startedAt,
            Supervisor.parentStays: options.staysAsParent || takeover?.facts[Supervisor.parentStays] == "1" ? "1" : "0",
        ]
        for key in options.keptSettings { facts["setting \(key)"] = options.workerSettings[key] }
        return facts
    }

    /// All that was counted by this process's workers and by those before them.
    func counted() -> MetricTotals {
        var totals = retired
        totals.add(inherited)
        for case let worker? in workers { totals.add(shared.words(worker: worker.slot, count: Metrics.wordCount).span) }
        return totals
    }

    // MARK: How it ends

    func successorIsReady(_ successor: SuccessorProcess) {
        guard upgrade.successor === successor, !upgrade.isHandedOver, phase == .serving else { return }
        upgrade.isHandedOver = true
        if let timer = upgrade.timer { reactor.cancel(timer) }
        let drain = drainTimes.upgrade
        let message = "process \(successor.pid) serves in the place of this one (\(ProcessSetup.pid)), which finishes requests for up to \(drain / 1000) s"
        log.info("upgrade", message, [("successor", .number(Int(successor.pid))), ("drain_ms", .number(Int(drain)))])
        ServiceManager.handedOver(to: successor.pid)
        admin?.handOver()
        control?.handOver()
        tellUpgrade(UpgradeReport(successor: successor.pid, text: message))
        // A reload that came meanwhile is the successor's: it may have read the files before the change.
        if reload.wantedAgain { successor.child.send(.hangup) }
        let totals = TotalsTimer(supervisor: self)
        reactor.schedule(totals, after: Supervisor.totalsPeriod)
        leave(within: drain, idle: min(drain / 2, 5_000))
    }

    func sendTotals() { if upgrade.isHandedOver { upgrade.successor?.say(.totals(counted().named)) } }

    func successor(_ successor: SuccessorProcess, ended end: ProcessEnd) {
        guard upgrade.successor === successor else { return }
        if upgrade.isHandedOver {
            upgrade.successorEnd = end
            if let watchman { return watchman.ended(end) }
            return log.error("upgrade", "process \(successor.pid), which took this one's place, ended with \(end)")
        }
        upgradeFailed(successor.refusal ?? (successor.timedOut ? "it did not serve in time and was stopped" : "it ended with \(end)"))
    }

    func upgradeTimeIsUp() {
        guard let successor = upgrade.successor, !upgrade.isHandedOver else { return }
        successor.timedOut = true
        successor.kill()
    }

    private func upgradeFailed(_ reason: String) {
        upgrade.successor = nil
        upgrade.failed += 1
        if let timer = upgrade.timer { reactor.cancel(timer) }
        let message = "the upgrade failed: \(reason)"
        log.error("upgrade", "\(message); this process (version \(options.version)) goes on serving")
        tellUpgrade(UpgradeReport(successor: nil, text: message))
        reloadIfWanted()
    }

    /// Told to stop: nobody takes over.
    func cancelUpgrade() {
        upgrade.wanted = nil
        if !upgrade.isHandedOver, let successor = upgrade.successor {
            upgrade.successor = nil
            successor.kill()
        }
        tellUpgrade(UpgradeReport(successor: nil, text: "the gateway is stopping"))
    }

    private func tellUpgrade(_ report: UpgradeReport) {
        let waiting = upgrade.waiting
        upgrade.waiting = []
        for caller in waiting { caller(report) }
    }
}

/// A process of another program that is to take our place.
final class SuccessorProcess: ManagedProcess {
    private unowned let supervisor: Supervisor
    /// Why it does not want to.
    private(set) var refusal: String?
    var timedOut = false

    init(program: String, supervisor: Supervisor) throws(SystemError) {
        self.supervisor = supervisor
        try super.init(reactor: supervisor.reactor) { control throws(SystemError) in
            let dropped = ActivatedSockets.variables + [WorkerBootstrap.supervisorVariable, TakeoverStart.variable, "WATCHDOG_PID"]
            var environment = ProcessSetup.environment().filter { entry in !dropped.contains { entry.hasPrefix("\($0)=") } }
            environment.append("\(TakeoverStart.variable)=\(ProcessSetup.pid)")
            var plan = ChildProcess.Plan(executable: program, arguments: supervisor.options.ownArguments, environment: environment)
            plan.descriptors = [WorkerBootstrap.controlDescriptor: control]
            plan.blocked = WorkerBootstrap.supervisorSignals
            return try ChildProcess.spawn(plan)
        }
    }

    func say(_ message: TakeoverMessage, passing descriptor: Int32 = -1) { send(message.encoded(), passing: descriptor) }

    override func received(_ message: WorkerMessage, _ packet: inout ControlPacket) {
        switch message {
        case .ready: supervisor.successorIsReady(self)
        case .refused(_, let reason): refusal = reason
        default: break
        }
    }

    override func ended(_ end: ProcessEnd) { supervisor.successor(self, ended: end) }
}

final class UpgradeTimer: Timer {
    private unowned let supervisor: Supervisor
    init(supervisor: Supervisor) { self.supervisor = supervisor }
    override func fire() { supervisor.upgradeTimeIsUp() }
}

/// Tells the successor what the last requests count here.
private final class TotalsTimer: Timer {
    private unowned let supervisor: Supervisor
    init(supervisor: Supervisor) { self.supervisor = supervisor }
    override func fire() {
        supervisor.sendTotals()
        supervisor.reactor.schedule(self, after: Supervisor.totalsPeriod)
    }
}

extension Supervisor {
    /// `POST /v1/upgrade?program=PATH&seconds=N`. Which file is started may be said on the control socket only: whoever may
    /// name one runs programs as this user.
    func upgrade(_ request: AdminRequest, _ caller: AdminCaller) -> AdminReply {
        let program = request.parameter("program")
        guard program == nil || caller.isLocal else {
            return .now(.problem(403, "Forbidden", "the program is named on the control socket only"))
        }
        var limit = Supervisor.upgradeLimit
        if let seconds = request.parameter("seconds") {
            guard let number = UInt64(seconds), (1...55).contains(number) else {
                return .now(.problem(400, "Bad Request", "seconds is a number from 1 to 55"))
            }
            limit = number * 1000
        }
        return .later { [unowned self] answer in requestUpgrade(to: program, within: limit) { answer($0.response) } }
    }
}
