import Reactor

/// Hook processes: started and killed here on a worker's word, because workers may start nothing.
extension Supervisor {
    /// Cordons of one worker at once.
    static let cordonLimit = 128

    func startCordon(for worker: WorkerProcess, _ id: UInt64, _ tenant: String, _ socket: consuming OwnedDescriptor?) {
        guard let socket, phase != .draining || worker.state == .draining, cordons.count(where: { $0.worker === worker }) < Supervisor.cordonLimit
        else { return worker.send(.cordonEnded(id: id, end: .exited(-1))) }
        do {
            let cordon = try CordonChild(
                worker: worker, id: id, tenant: tenant, supervisor: self, socket: socket, arguments: options.cordonArguments)
            cordons.append(cordon)
        } catch {
            log.error("cordon", "no process can be started for the hooks of \(tenant): \(error)", [("tenant", .text(tenant))])
            worker.send(.cordonEnded(id: id, end: .exited(-1)))
        }
    }

    func killCordon(of worker: WorkerProcess, _ id: UInt64) {
        for cordon in cordons where cordon.worker === worker && cordon.id == id { cordon.kill() }
    }

    /// A worker is gone, and what it asked for is of no use to anybody.
    func killCordons(of worker: WorkerProcess) {
        for cordon in cordons where cordon.worker === worker { cordon.dismiss() }
    }

    func cordon(_ cordon: CordonChild, ended end: ProcessEnd) {
        cordons.removeAll { $0 === cordon }
        if end != .exited(0), end != .signalled(Signal.kill.rawValue) || !cordon.isUnwanted {
            cordonDeaths += 1
            reportCrash(of: cordon, end)
        }
        cordon.worker?.send(.cordonEnded(id: cordon.id, end: end))
    }

    /// A cordon died inside a function: repeat offenders are fenced there too, only later, because nobody else is hurt.
    func strikeInCordon(_ function: String) {
        let (entry, newlyFenced) = strikes.strikeInCordon(function)
        if newlyFenced {
            log.error(
                "fence",
                "function \(function) is fenced after costing \(entry.cordonStrikes) cordons: its rules answer by their on_error policy until its file changes",
                [("function", .text(function)), ("strikes", .number(entry.cordonStrikes))])
            showStrikes()
            sendFences()
        }
    }

    /// Moves a function into cordons, on every worker.
    func move(_ function: String, because reason: String) {
        guard strikes.move(function) else { return }
        log.warning(
            "move", "function \(function) runs in a process of its own from now on: \(reason)",
            [("function", .text(function)), ("reason", .text(reason))])
        sendMoves()
    }

    func sendMoves() {
        for worker in workers { worker?.send(.move(strikes.moved, fatal: strikes.fatal)) }
    }
}

/// One hook process.
final class CordonChild: Channel {
    let id: UInt64
    let tenant: String
    private(set) var isUnwanted = false
    private(set) weak var worker: WorkerProcess?
    private let child: ChildProcess
    private unowned let supervisor: Supervisor

    init(
        worker: WorkerProcess, id: UInt64, tenant: String, supervisor: Supervisor, socket: borrowing OwnedDescriptor, arguments: [String]
    ) throws(SystemError) {
        self.worker = worker
        self.id = id
        self.tenant = tenant
        self.supervisor = supervisor
        child = try ManagedProcess.spawn(arguments, control: socket.number, onlyErrors: true)
        super.init(fd: child.pidDescriptor.number)
        do {
            try supervisor.reactor.addLevelTriggered(self)
        } catch {
            child.send(.kill)
            throw error
        }
    }

    var pid: Int32 { child.pid }
    func kill() { child.send(.kill) }

    /// Nobody needs it any more: its death says nothing.
    func dismiss() {
        isUnwanted = true
        kill()
    }

    override func ready(_ events: ReadyEvents) {
        guard let end = child.reap() else { return }
        supervisor.reactor.remove(self)
        supervisor.cordon(self, ended: end)
    }
}
