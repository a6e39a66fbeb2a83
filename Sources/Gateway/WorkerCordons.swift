import Buffers
import Cordon
import HTTP
import Hooks
import Isolates
import Reactor
import Telemetry

/// The cordons of one worker, one for each tenant that has functions outside.
final class WorkerCordons {
    unowned let worker: Worker
    private var tenants: [String: TenantCordon] = [:]
    private var lastID: UInt64 = 0
    /// Of cordons that are gone.
    private var copiedBefore = 0, repeatsBefore = 0
    /// What every cordon is born with.
    fileprivate lazy var snapshot = KeptSnapshot()

    init(worker: Worker) { self.worker = worker }

    func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    func load(_ source: HookSource, _ cordon: String) -> RemoteFunction {
        var options = CordonOptions()
        options.webAssemblyBytes = source.webAssembly ? source.limits.memoryBytes : 0
        let owner = tenants[cordon] ?? TenantCordon(cordon, self, options)
        tenants[cordon] = owner
        let function = owner.load(source)
        owner.open()
        return function
    }

    /// A cordon for one function that somebody looks into.
    func loadInspected(_ source: HookSource, _ inspected: InspectedFunction) -> RemoteFunction {
        let tenant = "inspected \(nextID()) function \(source.name)"
        var options = inspected.options
        options.webAssemblyBytes = source.webAssembly ? source.limits.memoryBytes : 0
        let owner = TenantCordon(tenant, self, options, inspected)
        tenants[tenant] = owner
        let function = owner.load(source)
        owner.open()
        return function
    }

    func unload(_ function: RemoteFunction) {
        function.owner.unload(function)
        guard function.owner.functionCount == 0, let owner = function.owner as? TenantCordon else { return }
        tenants[owner.tenant] = nil
        copiedBefore += owner.copied
        repeatsBefore += owner.repeats
        owner.close()
    }

    func ended(_ id: UInt64, _ end: ProcessEnd) {
        for owner in tenants.values where owner.id == id { owner.processEnded(end) }
    }

    /// Before a worker serves, the functions it begins with are loaded, and one that cannot be is refused.
    func waitForFirst() throws {
        let patience = worker.preciseNow + 10_000_000_000
        while tenants.values.contains(where: \.isLoading), worker.preciseNow < patience { worker.turn(maximumWait: 50) }
        for function in tenants.values.flatMap(\.allFunctions) {
            if let failure = function.loadFailure { throw GenerationError(description: failure) }
        }
    }

    func publish(_ metrics: Metrics) {
        metrics.set(.cordonsLive, tenants.values.count { $0.isConnected })
        metrics.set(.copiedCordon, tenants.values.reduce(copiedBefore) { $0 + $1.copied })
        metrics.set(.cordonRepeats, tenants.values.reduce(repeatsBefore) { $0 + $1.repeats })
    }
}

/// The startup snapshot in memory that other processes can read.
private final class KeptSnapshot {
    let memory: OwnedDescriptor

    init?() {
        guard let made = HookSnapshot.made(), let memory = try? SealedMemory.create(name: "sluice-snapshot", made.bytes) else { return nil }
        self.memory = memory
    }
}

/// The functions of one tenant and the process they run in now. The process may die and be replaced under it.
final class TenantCordon: RemoteHooks {
    /// Milliseconds between looks at calls under way.
    private static let period: UInt64 = 20
    /// Milliseconds beyond the longest CPU limit in which a cordon must say something, and how often the limit counts: on a busy machine
    /// a process has a part of a processor, and what does not stop at its limit its own watchdog ends, by processor time.
    private static let patience: UInt64 = 2_000, shares: UInt64 = 4

    unowned let cordons: WorkerCordons
    unowned let worker: Worker
    let tenant: String
    /// Of the process that is there now; 0 for none.
    private(set) var id: UInt64 = 0
    private var channel: TenantChannel?
    fileprivate var watch: DeathWatch?
    private let timer = LookTimer()
    private let restart = RestartTimer()
    private var isLooking = false
    /// When the socket told of the process's death, 0 for not yet.
    private var diedAt: UInt64 = 0
    /// The channel will send at the end of this turn.
    fileprivate var isPosted = false
    private var pings: UInt32 = 0
    fileprivate var pingedAt: UInt64 = 0
    private var deaths: [UInt64] = []
    private var copiedBefore = 0
    /// Clients of DevTools look into its one function.
    private unowned let inspected: InspectedFunction?
    private let options: CordonOptions

    init(_ tenant: String, _ cordons: WorkerCordons, _ options: CordonOptions, _ inspected: InspectedFunction? = nil) {
        self.tenant = tenant
        self.options = options
        self.inspected = inspected
        self.cordons = cordons
        worker = cordons.worker
        super.init(pool: cordons.worker.pool)
        timer.owner = self
        restart.owner = self
    }

    override var now: UInt64 { worker.nowNanoseconds }
    override var unsent: Int { outgoing.count - (channel?.sent ?? 0) }
    override func wrote() {
        if let channel, !isPosted {
            isPosted = true
            worker.later(channel)
        }
        look()
    }

    var isLoading: Bool { allFunctions.contains { !$0.isLoaded && $0.loadFailure == nil } }
    var copied: Int { copiedBefore + (channel.map { $0.bytesSent + $0.bytesReceived } ?? 0) + (slabs?.bytesCopied ?? 0) }

    override func log(_ level: Int, _ function: RemoteFunction, _ call: Hooks.HookCall?, _ text: String) {
        worker.hooks?.log(level, of: function.source, as: tenant, call, text)
    }

    override func worked(_ end: HookWorkEnd, _ cpuNanoseconds: UInt64) { worker.metrics.count(end, cpuNanoseconds) }

    override func loaded(_ function: RemoteFunction) {
        if let failure = function.loadFailure { worker.note(.error, "function \(function.name) cannot be loaded: \(failure)") }
    }

    // MARK: Life

    /// Has a process started, if there is none.
    func open() {
        guard channel == nil, !isConnected else { return }
        do {
            // The snapshot was made without WebAssembly: a process that has it makes its own.
            let snapshot = options.webAssemblyBytes == 0 ? cordons.snapshot?.memory.number : nil
            let link = try CordonLink(options, snapshot: snapshot)
            id = cordons.nextID()
            worker.control?.wantCordon(id, tenant: tenant, passing: link.theirs.descriptor.number)
            let watch = DeathWatch(link.socket, self)
            let channel = TenantChannel(link)
            channel.owner = self
            try worker.addLevelTriggered(watch)
            self.watch = watch
            try worker.add(channel)
            self.channel = channel
            slabs = channel.ring.sharedSlabs()
            diedAt = 0
            pings = 0
            connect()
            look()
        } catch {
            worker.note(.error, "no cordon for \(tenant): \(error)")
            closeLink()
            again()
        }
    }

    /// The last function is gone.
    func close() {
        worker.cancel(timer)
        worker.cancel(restart)
        if id != 0 { worker.control?.killCordon(id) }
        closeLink()
        _ = disconnect(running: 0) { self.failure(.unavailable, $0, "the function was unloaded") }
    }

    private func closeLink() {
        if let channel {
            copiedBefore += channel.bytesSent + channel.bytesReceived + (slabs?.bytesCopied ?? 0)
            worker.close(channel)
        }
        channel = nil
        slabs = nil
        if let watch { worker.remove(watch) }
        watch = nil
        id = 0
    }

    /// The supervisor says how the process ended.
    func processEnded(_ end: ProcessEnd) { lost(CordonEnd(end)) }

    /// The socket says that the process is gone; how it ended comes from the supervisor in a moment.
    fileprivate func hungUp() {
        diedAt = worker.nowNanoseconds
        if let watch { worker.remove(watch) }
        look()
    }

    fileprivate func broken(_ reason: String) { kill(.broken(reason)) }

    /// Whatever it says is a sign of life: behind many calls the answer to a ping comes late.
    fileprivate func heard() { pingedAt = worker.nowNanoseconds }

    fileprivate func kill(_ end: CordonEnd) {
        if id != 0 { worker.control?.killCordon(id) }
        lost(end)
    }

    private func lost(_ end: CordonEnd) {
        guard let channel else { return }
        // What it said before it died still counts.
        if case .process = end { channel.pump() }
        guard self.channel === channel else { return }
        let running = channel.ring.running
        diedAt = 0
        closeLink()
        inspected?.processLost()
        let culprit = disconnect(running: running) { call in
            self.failure(call.numberElsewhere == running ? end.kind : .unavailable, call, "its process \(end.message)")
        }
        worker.metrics.add(.cordonDeaths)
        worker.note(.warning, "the cordon of \(tenant) \(end.message)\(culprit.map { "; it was inside function \($0.name)" } ?? "")")
        if let culprit, inspected == nil { worker.control?.strikeCordon(culprit.name) }
        deaths.append(worker.nowNanoseconds)
        again()
    }

    /// A process that dies again and again is started less and less often.
    private func again() {
        let recent = worker.nowNanoseconds &- 10_000_000_000
        deaths.removeAll { $0 < recent }
        guard functionCount > 0, !worker.isDraining || callsUnderWay > 0 else { return }
        if deaths.count <= 5 { return open() }
        worker.schedule(restart, after: min(5_000, 50 << UInt64(min(deaths.count - 5, 8))))
    }

    // MARK: Watching

    /// Looks at calls now and then as long as there are any.
    fileprivate func look() {
        guard !isLooking else { return }
        isLooking = true
        worker.schedule(timer, after: TenantCordon.period)
    }

    fileprivate func lookNow() {
        isLooking = false
        let isWatched = inspected?.isWatched == true
        if !isWatched { endOverdueCalls(worker.nowNanoseconds) }
        if diedAt != 0, worker.nowNanoseconds &- diedAt > TenantCordon.patience * 1_000_000 { lost(.silent) }
        // What stands at a breakpoint is neither late nor stuck.
        if !isWatched { askForLife() }
        if callsUnderWay > 0 || diedAt != 0 || isLoading && channel != nil { look() }
    }

    private func askForLife() {
        guard channel != nil, isConnected, diedAt == 0 else { return }
        guard saidHello, lastPong != pings else {
            guard saidHello, callsUnderWay > 0 else { return }
            pings &+= 1
            pingedAt = worker.nowNanoseconds
            return ping(pings)
        }
        let loading: UInt64 = isLoading ? 10_000 : 0
        guard worker.nowNanoseconds &- pingedAt > (longestCPU * TenantCordon.shares + loading + TenantCordon.patience) * 1_000_000 else { return }
        kill(.stuck)
    }
}

// Debugging: packets beside the ring.
extension TenantCordon {
    /// False: the process takes nothing now.
    func send(_ packet: InspectionPacket) -> Bool { watch?.send(packet) ?? false }

    /// Takes nothing from the process for a while, which then waits, or takes up again.
    func holdInspection(_ isHeld: Bool) {
        guard let watch, watch.isHeld != isHeld else { return }
        watch.isHeld = isHeld
        if isHeld { worker.remove(watch) } else if (try? worker.addLevelTriggered(watch)) == nil { kill(.broken("it cannot be watched")) }
    }

    /// The last client is gone: calls have their time from now on.
    func nobodyWatches() {
        renewWallLimits()
        pingedAt = worker.nowNanoseconds
        look()
    }

    fileprivate func received(_ bytes: [UInt8]) { inspected?.received(bytes) }
}

/// How a cordon was lost, as far as its calls are concerned.
private enum CordonEnd {
    case process(ProcessEnd)
    case stuck, silent
    case broken(String)

    init(_ end: ProcessEnd) { self = .process(end) }

    var kind: HookFailure.Kind {
        switch self {
        case .process(.exited(let code)) where code == V8Engine.unstoppableExitCode: .cpu
        case .process(.exited(let code)) where code == V8Engine.fatalExitCode: .memory
        case .stuck: .cpu
        default: .error
        }
    }

    var message: String {
        switch self {
        case .process(.exited(let code)) where code == V8Engine.unstoppableExitCode: "was ended: a script did not stop at its CPU limit"
        case .process(.exited(let code)) where code == V8Engine.fatalExitCode: "ended: V8 had no memory for what a script wanted"
        case .process(.exited(-1)): "could not be started"
        case .process(let end): "ended with \(end)"
        case .stuck: "was killed: it did not answer"
        case .silent: "is gone"
        case .broken(let reason): "was killed: \(reason)"
        }
    }
}

private final class TenantChannel: RingChannel {
    weak var owner: TenantCordon?

    override func flush() throws(RingBroken) -> Bool {
        guard let owner else { return false }
        owner.isPosted = false
        defer { owner.worker.stores.roomCame() }
        return try send(&owner.outgoing)
    }

    override func received(_ message: Span<UInt8>) throws(WireError) {
        owner?.heard()
        try owner?.receive(message)
    }
    override func broken(_ reason: String) { owner?.broken(reason) }
}

/// Sees the other end of the socket close, and what is said about debugging until then.
private final class DeathWatch: Channel {
    private let socket: ControlSocket
    private weak var owner: TenantCordon?
    /// Not listened to for a while.
    var isHeld = false

    init(_ socket: ControlSocket, _ owner: TenantCordon) {
        self.socket = socket
        self.owner = owner
        super.init(fd: socket.descriptor.number)
    }

    override func ready(_ events: ReadyEvents) {
        // One that cannot be read would have the loop called again at once, for ever.
        guard let receipt = try? socket.receive() else { return owner?.hungUp() ?? () }
        switch receipt {
        case .packet(let packet): owner?.received(packet.bytes)
        case .wouldBlock: break
        case .peerGone: owner?.hungUp()
        }
    }

    func send(_ packet: InspectionPacket) -> Bool { (try? socket.send(packet.bytes)) != nil }
}

private final class LookTimer: Timer {
    weak var owner: TenantCordon?
    override func fire() { owner?.lookNow() }
}

private final class RestartTimer: Timer {
    weak var owner: TenantCordon?
    override func fire() { owner?.open() }
}
