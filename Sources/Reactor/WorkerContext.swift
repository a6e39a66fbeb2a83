import CLinux

/// A listening socket that the supervisor opened.
public struct InheritedListener: Sendable {
    /// Names the socket in `WorkerControl.closeListener`.
    public let key: String
    /// As in the rule file, with the real port.
    public let listener: ConfigurationBundle.Listener
    /// Belongs to whoever makes a channel of it.
    public let descriptor: Int32
}

/// What a worker process is born with.
public final class WorkerContext {
    public let worker: Int
    public let workers: Int
    /// Its area of the shared memory.
    public let slot: Int
    /// Options of the command line that workers need.
    public let settings: [String: String]
    public let shared: SharedRegion
    /// To be written around each hook call.
    public let running: RunningSlot
    public let listeners: [InheritedListener]
    public let generation: UInt64
    public let bundle: ConfigurationBundle
    /// Functions that must not run.
    public let fenced: [String]
    /// Functions that run in a cordon unless they are pinned.
    public let moved: [String]
    /// What JavaScript begins from, made by another process of this program; empty when there was none.
    public let snapshot: [UInt8]
    /// Becomes a `WorkerControl`. None in a process that only tries a configuration.
    private let control: ControlSocket?
    private var controlIsTaken = false

    fileprivate init(_ birth: WorkerBirth, shared: SharedRegion, generation: UInt64, bundle: ConfigurationBundle) {
        worker = birth.worker
        workers = birth.workers
        settings = birth.settings
        self.shared = shared
        slot = min(birth.worker + (birth.settings[WorkerBootstrap.firstSlot].flatMap { Int($0) } ?? 0), SharedRegion.slotCapacity - 1)
        running = RunningSlot(region: shared, worker: slot)
        listeners = birth.listeners
        fenced = birth.fenced
        moved = birth.moved
        snapshot = birth.snapshot
        self.generation = generation
        self.bundle = bundle
        control = birth.control
    }

    /// A context without a supervisor, for a process that only tries whether a configuration works.
    public init(examining bundle: ConfigurationBundle, settings: [String: String] = [:]) throws(SystemError) {
        worker = 0
        workers = 1
        self.settings = settings
        shared = try SharedRegion.create()
        slot = 0
        running = RunningSlot(region: shared, worker: 0)
        listeners = []
        fenced = []
        moved = []
        snapshot = []
        generation = 0
        self.bundle = bundle
        control = nil
    }

    fileprivate func takeControl() -> ControlSocket {
        guard let control, !controlIsTaken else { preconditionFailure("the control channel is taken once") }
        controlIsTaken = true
        return control
    }

    /// Gives the supervisor a snapshot for other processes and other starts. To be called before hook code runs here.
    public func keep(snapshot bytes: [UInt8]) {
        guard let control, let memory = try? SealedMemory.create(name: "sluice-snapshot", bytes) else { return }
        _ = try? control.send(WorkerMessage.snapshot.encoded(), passing: memory.number)
    }

    /// Tells the supervisor why this worker cannot serve; the process ends after that.
    public func refuse(_ reason: String) {
        _ = try? control?.send(WorkerMessage.refused(generation: generation, reason: reason).encoded())
    }
}

/// A process that loads a configuration and says whether it is good, so that no file can harm the
/// supervisor or a worker.
public final class ScratchContext {
    /// The configuration's main file.
    public let path: String
    private let control: ControlSocket

    fileprivate init(path: String, control: ControlSocket) {
        self.path = path
        self.control = control
    }

    /// The configuration is good. `notes`: warnings, a line each.
    public func answer(_ bundle: ConfigurationBundle, notes: String) throws(SystemError) {
        let memory = try SealedMemory.create(name: "sluice-configuration", bundle.encoded())
        try control.send(WorkerMessage.loaded(notes: notes).encoded(), passing: memory.number)
    }

    /// The configuration is bad.
    public func answer(rejected diagnostics: String) throws(SystemError) {
        try control.send(WorkerMessage.rejected(diagnostics: diagnostics).encoded())
    }
}

/// The state of a worker that is still being born.
private struct WorkerBirth {
    let control: ControlSocket
    var worker = -1
    var workers = 0
    var settings: [String: String] = [:]
    var shared: SharedRegion?
    var listeners: [InheritedListener] = []
    var fenced: [String] = []
    var moved: [String] = []
    var snapshot: [UInt8] = []
}

/// Why a process could not become a worker.
public struct WorkerStartError: Error, Sendable, CustomStringConvertible {
    public let description: String
}

/// What the hidden subcommand `worker` begins with.
public enum WorkerBootstrap {
    /// The control channel's number in the child. Everything else arrives through it.
    public static let controlDescriptor: Int32 = 3
    /// The supervisor's pid, so that a worker can tell that its supervisor is already gone.
    public static let supervisorVariable = "SLUICE_SUPERVISOR"
    /// The setting that tells workers where the areas of their supervisor's workers begin.
    public static let firstSlot = "first-slot"
    /// The signals that only the supervisor acts upon. Workers are spawned with them blocked,
    /// because a terminal or a service manager sends them to every process at once.
    public static let supervisorSignals: [Signal] = [.hangup, .interrupt, .terminate, .user1]

    public enum Role {
        case worker(WorkerContext)
        case scratch(ScratchContext)
    }

    /// Turns this process into a worker and waits for its configuration. Blocks; call it first.
    public static func start() throws(WorkerStartError) -> Role {
        guard let text = ProcessSetup.environment(supervisorVariable), let supervisor = Int32(text) else {
            throw WorkerStartError(
                description: "the subcommand \"worker\" is started by \"sluice run\" only; use \"sluice run --config FILE\"")
        }
        do {
            CrashMemory.install()
            SignalDescriptor.block(supervisorSignals)
            SignalDescriptor.ignore(.pipe)
            guard try ProcessSetup.dieWithParent(expected: supervisor) else {
                throw WorkerStartError(description: "the supervisor (process \(supervisor)) is gone")
            }
            try ProcessSetup.giveUpNewPrivileges()
            ProcessSetup.disableCoreDumps()
            ProcessSetup.raiseDescriptorLimit()
            let descriptor = OwnedDescriptor(adopting: controlDescriptor)
            return try receive(WorkerBirth(control: ControlSocket(adopting: descriptor)))
        } catch let error as WorkerStartError {
            throw error
        } catch {
            throw WorkerStartError(description: "\(error)")
        }
    }

    private static func receive(_ beginning: WorkerBirth) throws -> Role {
        var birth = beginning
        while true {
            switch try birth.control.receive() {
            case .wouldBlock: continue
            case .peerGone: throw WorkerStartError(description: "the supervisor closed the control channel")
            case .packet(var packet):
                switch try SupervisorMessage(decoding: packet.bytes) {
                case .examine(let path):
                    return .scratch(ScratchContext(path: path, control: birth.control))
                case .configure(let generation):
                    let memory = try packet.takeDescriptor("a configuration")
                    return .worker(try finish(birth, generation, try SealedMemory.read(memory)))
                case let message:
                    try birth.take(message, &packet)
                }
            }
        }
    }

    private static func finish(
        _ birth: WorkerBirth, _ generation: UInt64, _ bytes: [UInt8]
    ) throws -> WorkerContext {
        guard let shared = birth.shared else {
            throw WorkerStartError(description: "a configuration came before the shared memory")
        }
        let bundle = try ConfigurationBundle(decoding: bytes)
        return WorkerContext(birth, shared: shared, generation: generation, bundle: bundle)
    }
}

extension WorkerBirth {
    fileprivate mutating func take(_ message: SupervisorMessage, _ packet: inout ControlPacket) throws {
        switch message {
        case .welcome(let worker, let workers, let settings):
            self.worker = worker
            self.workers = workers
            self.settings = settings
            shared = try SharedRegion(adopting: packet.takeDescriptor("shared memory"))
        case .openListener(let key, let listener):
            let descriptor = try packet.takeDescriptor("listener \(listener.name)").release()
            listeners.append(InheritedListener(key: key, listener: listener, descriptor: descriptor))
        case .fence(let names):
            fenced = names
        case .move(let names, _):
            moved = names
        case .snapshot:
            snapshot = try SealedMemory.read(packet.takeDescriptor("a snapshot"))
        case .closeListener, .configure, .drain, .reopenLogs, .examine, .cordonEnded, .tail, .endTail, .look, .origins:
            break
        }
    }
}

/// Why a function cannot be looked at.
public struct LookFailure: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// The worker's end of the control channel, on its reactor. Subclass it and override what the
/// supervisor may ask for; each is called on the reactor's thread.
open class WorkerControl: Channel {
    private let socket: ControlSocket
    public final unowned let reactor: Reactor

    /// Takes the control channel out of `context` (once) and begins to listen to it.
    public init(_ context: WorkerContext, reactor: Reactor) throws(SystemError) {
        socket = context.takeControl()
        self.reactor = reactor
        try socket.descriptor.setNonBlocking(true)
        super.init(fd: socket.descriptor.number)
        try reactor.addLevelTriggered(self)
    }

    // MARK: Asked by the supervisor

    /// Use this configuration for new requests, then call `ready` or `refuse`.
    open func configure(generation: UInt64, bundle: ConfigurationBundle) {}
    open func openListener(_ listener: InheritedListener) { _ = sluice_close(listener.descriptor) }
    open func closeListener(key: String) {}
    /// These functions must not run; replaces the list before.
    open func fence(_ functions: [String]) {}
    /// These functions run in a cordon; replaces the list before. `fatal`: those that cost a worker its life.
    open func move(_ functions: [String], fatal: [String]) {}
    open func cordonEnded(_ id: UInt64, _ end: ProcessEnd) {}
    /// Stop accepting, finish, then call `drained` and leave.
    open func drain(milliseconds: UInt64, idleMilliseconds: UInt64) {}
    open func reopenLogs() {}
    /// Send a copy of each access log line there; nil ends that.
    open func tail(_ sink: LineSink?) {}
    /// Say what a function does for so long (0: what is on its heap), then call `looked`.
    open func look(id: UInt64, function: String, milliseconds: UInt64) {}
    /// How the origin servers stand, at most `OriginReport.limit` of them.
    open func origins() -> [OriginReport] { [] }
    /// The supervisor is gone. The kernel kills this process as well; leave at once.
    open func supervisorGone() {}

    // MARK: Said to the supervisor

    public final func ready(generation: UInt64) { say(.ready(generation: generation)) }
    public final func refuse(generation: UInt64, reason: String) { say(.refused(generation: generation, reason: reason)) }
    public final func drained() { say(.drained) }
    /// - Parameter passing: the cordon's end of its socket; the caller keeps its own copy.
    public final func wantCordon(_ id: UInt64, tenant: String, passing: Int32) {
        say(.wantCordon(id: id, tenant: tenant), passing: passing)
    }
    public final func looked(_ id: UInt64, _ result: Result<[UInt8], LookFailure>) {
        switch result {
        case .success(let bytes):
            guard let memory = try? SealedMemory.create(name: "sluice-look", bytes) else {
                return say(.looked(id: id, failure: "there is no memory for the result"))
            }
            say(.looked(id: id, failure: ""), passing: memory.number)
        case .failure(let why): say(.looked(id: id, failure: why.description))
        }
    }
    public final func killCordon(_ id: UInt64) { say(.killCordon(id: id)) }
    public final func strikeCordon(_ function: String) { say(.cordonStrike(function: function)) }
    public final func reportSlow(_ function: String) { say(.slow(function: function)) }

    private func say(_ message: WorkerMessage, passing descriptor: Int32 = -1) {
        // A supervisor that does not read or is gone is nothing a worker can mend; it goes on serving.
        _ = try? socket.send(message.encoded(), passing: descriptor)
    }

    public final override func ready(_ events: ReadyEvents) {
        do {
            while true {
                switch try socket.receive() {
                case .wouldBlock: return
                case .peerGone:
                    reactor.remove(self)
                    return supervisorGone()
                case .packet(let packet): try obey(packet)
                }
            }
        } catch {
            // The supervisor is the same program; a packet that cannot be read is a broken invariant.
            assertionFailure("control channel: \(error)")
        }
    }

    private func obey(_ received: consuming ControlPacket) throws {
        var packet = received
        switch try SupervisorMessage(decoding: packet.bytes) {
        case .configure(let generation):
            let memory = try packet.takeDescriptor("a configuration")
            configure(generation: generation, bundle: try ConfigurationBundle(decoding: try SealedMemory.read(memory)))
        case .openListener(let key, let listener):
            let descriptor = try packet.takeDescriptor("listener \(listener.name)").release()
            openListener(InheritedListener(key: key, listener: listener, descriptor: descriptor))
        case .closeListener(let key): closeListener(key: key)
        case .fence(let names): fence(names)
        case .move(let names, let fatal): move(names, fatal: fatal)
        case .cordonEnded(let id, let end): cordonEnded(id, end)
        case .drain(let milliseconds, let idle): drain(milliseconds: milliseconds, idleMilliseconds: idle)
        case .reopenLogs: reopenLogs()
        case .tail: tail(LineSink(adopting: try packet.takeDescriptor("the tail")))
        case .endTail: tail(nil)
        case .look(let id, let function, let milliseconds): look(id: id, function: function, milliseconds: milliseconds)
        case .origins(let id): looked(id, .success(OriginReport.encoded(origins())))
        case .welcome, .examine, .snapshot: break
        }
    }
}
