import Reactor

/// A child process of this program with its control channel, watched by the reactor.
class ManagedProcess: Channel {
    let child: ChildProcess
    private let socket: ControlSocket
    private unowned let reactor: Reactor
    private var exitWatch: ExitWatch?
    private var outgoing: [Outgoing] = []
    private(set) var isOver = false

    /// A packet that did not fit into the socket yet. It keeps its own copy of the descriptor.
    private struct Outgoing {
        let bytes: [UInt8]
        let descriptor: Int32
    }

    /// More than a worker that reads could ever have waiting.
    private static let outgoingLimit = 4096

    /// - Parameter start: starts the process, which gets the descriptor it is called with.
    init(reactor: Reactor, start: (Int32) throws(SystemError) -> ChildProcess) throws(SystemError) {
        let (ours, theirs) = try ControlSocket.pair()
        child = try start(theirs.descriptor.number)
        socket = ours
        self.reactor = reactor
        super.init(fd: ours.descriptor.number)
        let watch = ExitWatch(self)
        exitWatch = watch
        do {
            try reactor.add(self)
            try reactor.addLevelTriggered(watch)
        } catch {
            reactor.remove(self)
            child.send(.kill)
            throw error
        }
    }

    /// A child of this program with one descriptor beside the standard ones.
    /// - Parameter onlyErrors: of those it gets standard error alone.
    static func spawn(_ arguments: [String], control: Int32, crash: Int32? = nil, onlyErrors: Bool = false) throws(SystemError) -> ChildProcess {
        var environment = ProcessSetup.environment().filter { !$0.hasPrefix("\(WorkerBootstrap.supervisorVariable)=") }
        environment.append("\(WorkerBootstrap.supervisorVariable)=\(ProcessSetup.pid)")
        if ProcessSetup.environment("SWIFT_BACKTRACE") == nil {
            // A crash report takes seconds in which no replacement serves.
            environment.append("SWIFT_BACKTRACE=enable=no")
        }
        var plan = ChildProcess.Plan.ourselves(arguments: arguments, environment: environment)
        plan.descriptors = [WorkerBootstrap.controlDescriptor: control]
        plan.descriptors[CrashMemory.childDescriptor] = crash
        if onlyErrors {
            plan.keepsStandardStreams = false
            plan.descriptors[2] = 2
        }
        plan.blocked = WorkerBootstrap.supervisorSignals
        return try ChildProcess.spawn(plan)
    }

    var pid: Int32 { child.pid }

    // MARK: For subclasses

    func received(_ message: WorkerMessage, _ packet: inout ControlPacket) {}
    func ended(_ end: ProcessEnd) {}

    // MARK: Speaking

    /// Sends now, or as soon as the process has read what it was sent before.
    func send(_ message: SupervisorMessage, passing descriptor: Int32 = -1) { send(message.encoded(), passing: descriptor) }

    func send(_ bytes: [UInt8], passing descriptor: Int32) {
        guard !isOver else { return }
        if outgoing.isEmpty, attempt(bytes, descriptor) { return }
        guard outgoing.count < ManagedProcess.outgoingLimit else { return child.send(.kill) }
        let kept = descriptor >= 0 ? (try? OwnedDescriptor.copy(of: descriptor)) ?? -1 : -1
        outgoing.append(Outgoing(bytes: bytes, descriptor: kept))
    }

    /// False when it must be tried again later. A peer that is gone is noticed elsewhere.
    private func attempt(_ bytes: [UInt8], _ descriptor: Int32) -> Bool {
        do {
            try socket.send(bytes, passing: descriptor)
            return true
        } catch {
            return !error.isTemporary
        }
    }

    private func flush() {
        while let next = outgoing.first {
            guard attempt(next.bytes, next.descriptor) else { return }
            if next.descriptor >= 0 { ListeningSocket.close(next.descriptor) }
            outgoing.removeFirst()
        }
    }

    func kill() { child.send(.kill) }

    /// Says nothing more; the process notices.
    func hangUp() { socket.finishSending() }

    // MARK: Listening

    override func ready(_ events: ReadyEvents) {
        flush()
        receiveAll()
    }

    private func receiveAll() {
        while true {
            let receipt: ControlReceipt
            do { receipt = try socket.receive() } catch { return kill() }
            switch consume receipt {
            case .wouldBlock: return
            case .peerGone: return
            case .packet(var packet):
                guard let message = try? WorkerMessage(decoding: packet.bytes) else { return kill() }
                received(message, &packet)
            }
        }
    }

    fileprivate func exited() {
        guard !isOver, let end = child.reap() else { return }
        // Its last words may still wait.
        receiveAll()
        isOver = true
        reactor.remove(self)
        if let exitWatch { reactor.remove(exitWatch) }
        exitWatch = nil
        for packet in outgoing where packet.descriptor >= 0 { ListeningSocket.close(packet.descriptor) }
        outgoing = []
        ended(end)
    }
}

/// Watches the pid descriptor.
private final class ExitWatch: Channel {
    private unowned let process: ManagedProcess

    init(_ process: ManagedProcess) {
        self.process = process
        super.init(fd: process.child.pidDescriptor.number)
    }

    override func ready(_ events: ReadyEvents) { process.exited() }
}

/// One worker process. A replacement is a new object with the same index.
final class WorkerProcess: ManagedProcess {
    enum State: String { case starting, ready, draining }

    let index: Int
    /// Its area of the shared memory.
    let slot: Int
    private unowned let supervisor: Supervisor
    var state = State.starting
    /// The generation it last said it uses.
    var generation: UInt64 = 0
    let startedAt: UInt64
    /// The hook call that made us kill it.
    var killedInside: RunningReport?
    /// Why we killed it, for the log.
    var killReason: String?
    /// It was born with a snapshot, or has made one and told.
    var hadSnapshot = false, gaveSnapshot = false
    /// Where it writes what it dies of.
    let crash: CrashMemory
    /// A call seen past its deadline; it is killed when it is seen a second time.
    var suspect: Suspicion?
    /// Its loop was found not to have turned for long.
    var stillness: Stillness?

    init(index: Int, supervisor: Supervisor, arguments: [String]) throws(SystemError) {
        self.index = index
        slot = supervisor.firstSlot + index
        self.supervisor = supervisor
        startedAt = supervisor.reactor.now
        let crash = try CrashMemory()
        let memory = crash.number
        self.crash = crash
        try super.init(reactor: supervisor.reactor) { control throws(SystemError) in
            try ManagedProcess.spawn(arguments, control: control, crash: memory)
        }
    }

    override func received(_ message: WorkerMessage, _ packet: inout ControlPacket) {
        if case .wantCordon(let id, let tenant) = message {
            return supervisor.startCordon(for: self, id, tenant, packet.descriptor.take())
        }
        if case .looked(let id, let failure) = message { return supervisor.looked(self, id, failure, packet.descriptor.take()) }
        if case .snapshot = message { return supervisor.keepSnapshot(of: self, packet.descriptor.take()) }
        supervisor.worker(self, said: message)
    }

    override func ended(_ end: ProcessEnd) { supervisor.worker(self, ended: end) }

    func kill(because reason: String) {
        if killReason == nil { killReason = reason }
        kill()
    }
}

/// A hook call that was found beyond its deadline.
struct Suspicion {
    let sequence: UInt64
    /// Monotonic nanoseconds, and processor time of the worker's loop then.
    let since: UInt64
    let processorTime: UInt64?

    /// Processor time in which a call that can stop has stopped, however little of it a busy machine gave before: its CPU limit, of which
    /// the worker gives it twice on the clock, and a little more.
    static func turn(of call: RunningReport) -> UInt64 { 50_000_000 + (call.deadline > call.started ? (call.deadline - call.started) / 2 : 0) }
    /// However busy the machine is.
    static let patience: UInt64 = 20_000_000_000
}
