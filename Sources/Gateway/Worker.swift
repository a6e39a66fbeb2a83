import Buffers
import Codings
import HTTP
import HTTP1
import Hooks
import Isolates
public import Reactor
import Rules
import TLS
import Telemetry
import Upstream

/// One worker: an event loop with everything a request needs, on one thread, sharing nothing.
public final class Worker: Reactor {
    let pool = SlabPool()
    let metrics = Metrics()
    let context: WorkerContext
    /// Plays the origins of a rehearsal; nil: this worker serves.
    let stage: OriginStage?
    let log: WorkerLog
    var hooks: WorkerHooks?
    var accessLog: AccessLogger?
    var date = HTTPDate()
    let coders = CoderPool()
    let mirrors = MirrorSet()
    private(set) lazy var spans = SpanExporter(self)
    var clocks = ClockWatch()
    /// Where a decoder puts the trailers it finds, between two calls empty.
    var trailers = Head()
    private(set) var generation: ServingGeneration?
    private(set) var upstreamGenerations = UpstreamGenerations()
    private(set) var acceptors: [Acceptor] = []
    private(set) var control: GatewayControl?
    private var idleRunners: [ExchangeRunner] = []
    var idleStreams: [HTTP2RequestStream] = []
    private(set) var resolver: Resolver?
    /// Where configurations are made ready and let go.
    private(set) var shelf: GenerationShelf?
    private var configurationsAwaited = 0
    private var afterConfigurations: [() -> Void] = []
    /// Pipes for bodies that the kernel passes on.
    private(set) lazy var pipes = PipePool(reactor: self)
    private(set) var developer: Developer?  // under `sluice dev`
    private(set) var inspection: Inspection?  // with `--inspect`
    private var random: FastRandom
    private let publisher = PublishTimer()
    private(set) lazy var stores = WorkerStores(worker: self)
    private(set) lazy var schedules = WorkerSchedules(worker: self)
    private(set) lazy var tickets = TicketRotation(self)
    private(set) lazy var overload = OverloadWatch(self)
    /// What `overload` says of new requests and of idle connections: asked per request, and `lazy` is not free.
    var refusesRequests = false
    var shedsIdleConnections = false
    /// The number of the connection accepted last, since the overload watch looked.
    var newestDescriptor = 0
    private(set) var isDraining = false
    /// While it drains: idle connections may send one more request.
    var idleMayLinger = false
    private(set) var handshakes: [ObjectIdentifier: Channel] = [:]
    /// Addresses whose next connections wait.
    var floods = FloodPauses()
    var connectionsByAddress: [IPAddress: Int] = [:]
    private var connections = 0
    var connectionCount: Int { connections }
    private(set) var openConnections: [ObjectIdentifier: Channel] = [:]

    /// Runs a worker until it is told to stop. Returns the process's exit status.
    public static func main(_ context: WorkerContext) -> Int32 {
        do {
            let worker = try Worker(context)
            try worker.begin()
            // Told to leave before it served anybody.
            if !worker.isDraining { worker.run() }
            worker.end()
            return 0
        } catch {
            context.refuse("\(error)")
            return 1
        }
    }

    private init(_ context: WorkerContext) throws {
        self.context = context
        stage = nil
        random = FastRandom()
        log = WorkerLog(worker: context.worker, json: context.settings["log-format"] == "json")
        try super.init()
        publisher.worker = self
    }

    private func begin() throws {
        if context.settings["develop"] == "1" { developer = Developer(self) }
        startV8()
        resolver = try Resolver(reactor: self)
        tellOfNames()
        control = try GatewayControl(worker: self)
        let hooks = WorkerHooks(worker: self)
        self.hooks = hooks
        if !context.bundle.functions.isEmpty { try hooks.startPool(functions: context.bundle.functions.count) }
        hooks.trusts = context.generation > 1
        shareSnapshot()
        hooks.move(context.moved, fatal: context.moved)
        shelf = try GenerationShelf(reactor: self)
        let first = try makeGeneration(context.generation, PreparedConfiguration(context.bundle))
        generation = first
        resolver?.use(servers: first.configuration.resolvers)
        first.upstreams.start()
        accessLog = try AccessLogger(first.configuration.accessLog)
        hooks.fenced = Set(context.fenced)
        hooks.prepare(for: first.functions.functions)
        try hooks.cordons.waitForFirst()
        for inherited in context.listeners { try open(inherited) }
        schedule(publisher, after: 100)
        tickets.start()
        overload.start()
        schedules.use(first)
        clocks.look(self)
        if context.worker == 0 { noteTLS(first) }
        inspection = Inspection(self)
        inspection?.begin()
        control?.ready(generation: context.generation)
    }

    /// A worker that serves nobody: what a rehearsal plays on it does not touch a socket or the clock.
    init(rehearsing configuration: Configuration, files: FileBundle, on stage: OriginStage) throws {
        context = try WorkerContext(examining: ConfigurationBundle(mainFile: "", listeners: []))
        self.stage = stage
        random = FastRandom()
        log = WorkerLog(worker: 0, json: false)
        try super.init(virtual: true)
        startV8(webAssemblyBytes: configuration.webAssemblyBytes)
        hooks = WorkerHooks(worker: self)
        generation = try ServingGeneration(number: 1, PreparedConfiguration(configuration, files), worker: self)
    }

    /// A script that ignores termination costs this process its life; the supervisor replaces it.
    private func startV8(webAssemblyBytes: Int = 0) {
        var options = V8Engine.Options()
        options.killAfterMilliseconds = 250
        options.webAssemblyBytes = webAssemblyBytes
        guard V8Engine.start(options) else { return }
        V8Engine.dedicateThisThread()
    }

    // MARK: Listeners

    func open(_ inherited: InheritedListener) throws {
        let acceptor = Acceptor(inherited, worker: self)
        try addLevelTriggered(acceptor)
        acceptors.append(acceptor)
    }

    func closeListener(key: String) {
        for acceptor in acceptors where acceptor.key == key { close(acceptor) }
        acceptors.removeAll { $0.key == key }
    }

    /// Whether one more connection of this address may be served; counts it if so.
    func admit(_ address: IPAddress, _ limits: Limits) -> Bool {
        guard !isDraining, connections < limits.connections else { return false }
        let ofAddress = connectionsByAddress[address, default: 0]
        guard ofAddress < limits.connectionsPerAddress else { return false }
        connectionsByAddress[address] = ofAddress + 1
        connections += 1
        metrics.add(.connectionsActive)
        return true
    }

    func connectionClosed(_ client: ClientInfo) {
        connections -= 1
        metrics.subtract(.connectionsActive)
        metrics.add(.connectionsClosed)
        let left = connectionsByAddress[client.address, default: 1] - 1
        connectionsByAddress[client.address] = left > 0 ? left : nil
        if isDraining { leaveIfDone() }
    }

    func handshakeStarted(_ connection: Channel) { handshakes[ObjectIdentifier(connection)] = connection }
    func handshakeEnded(_ connection: Channel) { handshakes[ObjectIdentifier(connection)] = nil }

    /// - Parameter isNew: it has not had to wait for its turn yet.
    /// - Parameter predecessor: who watched the descriptor until now.
    func serveHTTP1(
        _ listener: ListenerState, _ client: ClientInfo, fd: Int32, transport: Transport, isNew: Bool = false, after predecessor: Channel? = nil
    ) {
        let connection = HTTP1Connection(worker: self, listener: listener, client: client, fd: fd, transport: transport)
        guard watch(connection, after: predecessor) else { return }
        if isNew { connection.beginSoon() } else { connection.pump() }
    }

    /// - Parameter input: what was read of the connection already.
    func serveHTTP2(
        _ listener: ListenerState, _ client: ClientInfo, fd: Int32, transport: Transport, input: consuming ReadBuffer,
        after predecessor: Channel? = nil
    ) {
        let connection = HTTP2Connection(
            worker: self, listener: listener, client: client, fd: fd, transport: transport, input: input)
        guard watch(connection, after: predecessor) else { return }
        connection.pump()
    }

    private func watch(_ connection: Channel, after predecessor: Channel?) -> Bool {
        do {
            if let predecessor { replace(predecessor, by: connection) } else { try add(connection) }
            openConnections[ObjectIdentifier(connection)] = connection
            return true
        } catch {
            note(.warning, "cannot watch a connection: \(error)")
            (connection as? any Drainable)?.close()
            return false
        }
    }

    /// Forgets a connection whose socket another one goes on with.
    func handOver(_ connection: Channel) {
        openConnections[ObjectIdentifier(connection)] = nil
        remove(connection)
    }

    /// Closes a client connection and forgets it.
    func retire(_ connection: Channel, _ client: ClientInfo, reset: Bool) {
        openConnections[ObjectIdentifier(connection)] = nil
        if reset { closeAfterOthers(connection, reset: true) } else { close(connection) }
        connectionClosed(client)
    }

    // MARK: Runners

    func takeRunner(for stream: ClientStream, _ client: ClientInfo) -> ExchangeRunner {
        let runner = idleRunners.popLast() ?? ExchangeRunner(worker: self)
        runner.stream = stream
        runner.client = client
        runner.peer = client
        return runner
    }

    func giveBack(_ runner: ExchangeRunner) {
        runner.reset()
        if idleRunners.count < 1024 { idleRunners.append(runner) }
    }

    /// Bytes of a body that a hook may have in memory.
    func bufferedBodyLimit(_ runner: ExchangeRunner) -> Int {
        runner.generation?.configuration.limits.bufferedBody ?? 1 << 20
    }

    /// Shared by all workers, so that a session resumes on whichever worker the client meets.
    var ticketKeys: [TicketKey] { tickets.keys }

    func nextRequestID() -> RequestID { RequestID(high: random.next(), low: random.next()) }

    func stockText(_ status: Int) -> [UInt8] {
        let reason = Span<UInt8>(StatusText.reason(status)).text()
        return Array("\(status) \(reason)\n".utf8)
    }

    // MARK: Generations

    /// Makes a configuration ready beside the requests, then swaps it in for new ones; running ones keep theirs.
    func configure(generation number: UInt64, bundle: ConfigurationBundle, then answer: @escaping (Result<Void, any Error>) -> Void) {
        configurationsAwaited += 1
        shelf?.prepare(bundle) { [weak self] prepared in
            guard let self else { return }
            let begun = preciseNow
            answer(Result { try self.swap(number, prepared.get()) })
            configurationsAwaited -= 1
            if configurationsAwaited == 0 {
                for work in afterConfigurations { work() }
                afterConfigurations.removeAll()
            }
            metrics.add(.reloadMicroseconds, Int((preciseNow - begun) / 1_000))
        }
    }

    /// Does something once every configuration that was asked for is in use: a listener of the new one is not opened
    /// under the old.
    func afterConfiguring(_ work: @escaping () -> Void) {
        if configurationsAwaited > 0 { afterConfigurations.append(work) } else { work() }
    }

    private func makeGeneration(_ number: UInt64, _ prepared: PreparedConfiguration) throws -> ServingGeneration {
        shelf?.keep(prepared, number: number)
        do {
            return try ServingGeneration(number: number, prepared, worker: self)
        } catch {
            shelf?.ends(number: number)
            throw error
        }
    }

    private func swap(_ number: UInt64, _ prepared: PreparedConfiguration) throws {
        // A scratch process has tried what comes by a reload.
        hooks?.trusts = true
        if !prepared.configuration.functions.isEmpty, let hooks, hooks.pool == nil { try hooks.startPool(functions: 0) }
        let next = try makeGeneration(number, prepared)
        try accessLog?.change(to: next.configuration.accessLog)
        let old = generation
        generation = next
        if let old {
            next.upstreams.adoptIdle(from: old.upstreams)
            upstreamGenerations.retired(old.upstreams)
        }
        resolver?.use(servers: next.configuration.resolvers)
        next.upstreams.start()
        schedules.use(next)
        old?.retire()
        hooks?.prepare(for: next.functions.functions)
        limitOlderExchanges(number, milliseconds: next.configuration.drain.reload)
        hooks?.sweepSoon = true
        metrics.add(.reloadsApplied)
    }

    // MARK: The end of turns and of life

    public override func endOfTurn() {
        metrics.add(.loopTurns)
        accessLog?.flush()
        hooks?.endOfTurn()
        shelf?.endOfTurn()
    }

    fileprivate func publish() {
        metrics.set(.slabsLive, pool.slabs.live)
        metrics.set(.slabsHighWater, pool.slabs.highWater)
        metrics.set(.slabBytes, pool.slabs.liveBytes)
        metrics.set(.copiedHead, pool.copied.head)
        metrics.set(.copiedPartial, pool.copied.partial)
        metrics.set(.copiedBody, pool.copied.body)
        metrics.set(.copiedHook, pool.copied.hook)
        metrics.set(.syscallsReceive, syscalls.receive)
        metrics.set(.syscallsSend, syscalls.send)
        metrics.set(.syscallsAccept, syscalls.accept)
        metrics.set(.syscallsConnect, syscalls.connect)
        metrics.set(.syscallsWait, syscalls.wait)
        metrics.set(.syscallsSplice, syscalls.splice)
        hooks?.cordons.publish(metrics)
        stores.publish(metrics)
        hooks?.makeRoom(metrics, within: overload.isolateBytes)
        lookAround()
        generation?.tallies.flush()
        generation?.series.flush()
        generation?.upstreams.tick()
        context.shared.beat(worker: context.slot, now: nowNanoseconds)
        metrics.observe(.loopLag, microseconds: publisher.lateness(now))
        metrics.withWords { context.shared.publish(worker: context.slot, $0) }
        publisher.due = now + 100
        schedule(publisher, after: 100)
    }

    /// Takes what the kernel has queued, and nothing after it.
    func stopAccepting() {
        for acceptor in acceptors { acceptor.acceptRestAndClose() }
        acceptors = []
        isDraining = true
        inspection?.end()
    }

    var connectionsNow: [Channel] { Array(openConnections.values) }

    func finishDraining() {
        if generation?.tracer != nil { spans.abandon() }
        publish()
        accessLog?.flush()
        control?.drained()
        stop()
    }

    private func end() {
        stores.finish()
        accessLog?.flush()
    }
}

/// Connections that can be asked to end when they next can.
protocol Drainable {
    func drain()
    func close()
    /// Ends what began under a configuration older than this one, without waiting for it any longer; `.max`: everything.
    func farewell(olderThan generation: UInt64)
    /// Ends a connection on which nothing is served; false when something is.
    func closeIfIdle() -> Bool
}

private final class PublishTimer: Timer {
    unowned var worker: Worker?
    /// Monotonic milliseconds; 0: it has not been asked for.
    var due: UInt64 = 0

    /// Microseconds between when it was due and `now`.
    func lateness(_ now: UInt64) -> UInt64 { due == 0 || now <= due ? 0 : (now - due) * 1000 }

    override func fire() { worker?.publish() }
}
