import Buffers
import Hooks
import Isolates
import Reactor

/// The hidden subcommand `cordon`: hooks of one tenant for one worker, and nothing else.
public enum CordonProcess {
    /// The socket to the worker. Everything else arrives through it.
    static let socketDescriptor: Int32 = 3
    /// A script that ignores termination costs this process its life this long after it was told to stop.
    static let killAfterMilliseconds: UInt32 = 100

    /// Writable memory of a process with WebAssembly beyond the function's heap and memories: V8's headroom and what is always there.
    static let webAssemblyData: UInt64 = 512 << 20

    /// Runs until the worker is gone. Returns the exit status.
    public static func run() -> Int32 {
        do {
            let socket = try begin()
            let born = try receive(socket)
            startV8(born.options)
            let server = try CordonServer(born, socket)
            try server.prepare()
            var limits = Confinement.Limits()
            limits.mayMakeThreads = born.options.isInspected
            if born.options.webAssemblyBytes > 0 { limits.data = webAssemblyData + 2 * UInt64(born.options.webAssemblyBytes) }
            let outcome = Confinement.apply(limits)
            guard outcome.failure.isEmpty else { throw CordonStartError(description: outcome.failure) }
            server.serve()
            return 0
        } catch {
            complain("\(error)")
            return 1
        }
    }

    private static func begin() throws -> ControlSocket {
        guard let text = ProcessSetup.environment(WorkerBootstrap.supervisorVariable), let supervisor = Int32(text) else {
            throw CordonStartError(description: "the subcommand \"cordon\" is started by \"sluice run\" only; use \"sluice run --config FILE\"")
        }
        SignalDescriptor.block(WorkerBootstrap.supervisorSignals)
        SignalDescriptor.ignore(.pipe)
        guard try ProcessSetup.dieWithParent(expected: supervisor) else {
            throw CordonStartError(description: "the supervisor (process \(supervisor)) is gone")
        }
        try ProcessSetup.giveUpNewPrivileges()
        return ControlSocket(adopting: OwnedDescriptor(adopting: socketDescriptor))
    }

    private static func receive(_ socket: ControlSocket) throws -> CordonBirth {
        var ring: SharedRing?
        var options = CordonOptions()
        var events: [CordonLink.Birth: Int32] = [:]
        while true {
            if let ring, let worker = events[.workerEvent], let own = events[.cordonEvent] {
                return CordonBirth(options: options, ring: ring, workerEvent: worker, ownEvent: own)
            }
            switch try socket.receive() {
            case .wouldBlock: continue
            case .peerGone: throw CordonStartError(description: "the worker is gone")
            case .packet(var packet):
                guard let kind = packet.bytes.first.flatMap(CordonLink.Birth.init) else { continue }
                if kind == .options {
                    options = CordonOptions(packet.bytes)
                    continue
                }
                let descriptor = try packet.takeDescriptor("\(kind)")
                switch kind {
                case .ring: ring = try SharedRing(adopting: descriptor, side: .cordon)
                case .snapshot: HookSnapshot.offer(try SealedMemory.read(descriptor))
                default: events[kind] = descriptor.release()
                }
            }
        }
    }

    private static func startV8(_ born: CordonOptions) {
        var options = V8Engine.Options()
        options.workerThreads = 0
        options.killAfterMilliseconds = killAfterMilliseconds
        options.webAssemblyBytes = born.webAssemblyBytes
        V8Engine.start(options)
        V8Engine.dedicateThisThread()
        // What V8, ICU and the C library open or map once is opened and mapped while that is still allowed.
        HookRuntime.warmUp()
    }

    private static func complain(_ text: String) { StandardErrorLine.write("sluice cordon: \(text)") }
}

struct CordonStartError: Error, CustomStringConvertible { let description: String }

/// What a cordon is born with.
struct CordonBirth {
    let options: CordonOptions
    let ring: SharedRing
    let workerEvent: Int32
    let ownEvent: Int32
}

/// The loop of a cordon.
private final class CordonServer: RemoteServer {
    private let reactor: Reactor
    private let channel: ServerChannel
    private let watch: WorkerWatch
    private let timer = ServerTimer()
    fileprivate var clock: UInt64
    private let inspection: CordonInspection?
    private lazy var work = WorkThreads(reactor: reactor, threads: 1) { [unowned self] in
        clock = reactor.preciseNow - held
        worked($0, $1)
    }

    init(_ born: CordonBirth, _ socket: ControlSocket) throws {
        reactor = try Reactor()
        clock = reactor.preciseNow
        channel = ServerChannel(born)
        if born.options.isInspected {
            inspection = try CordonInspection(socket, folder: born.options.folder)
        } else {
            inspection = nil
            try socket.descriptor.setNonBlocking(true)
        }
        watch = WorkerWatch(socket, reactor, inspection)
        super.init()
        slabs = born.ring.sharedSlabs()
        channel.server = self
        timer.server = self
        try reactor.addLevelTriggered(watch)
        try reactor.add(channel)
    }

    /// Makes what cannot be made any more once the process is confined.
    func prepare() throws { try work.prepare() }

    override func perform(_ piece: HookWork) { work.add(piece) }
    override func drop(_ piece: HookWork) { work.drop(piece) }

    func serve() {
        greet()
        channel.pump()
        reactor.run()
    }

    /// Stands still while JavaScript runs, so that a script cannot measure what it shares a processor with.
    override var now: UInt64 { clock }

    override func wrote() { reactor.later(channel) }
    override func running(_ call: UInt32) { channel.ring.running = UInt64(call) }

    /// Time that was spent at breakpoints does not count.
    private var held: UInt64 { inspection?.held ?? 0 }

    override func inspector(of function: HookFunction) -> (inspector: IsolateInspector, folder: String)? {
        guard let inspection else { return nil }
        inspection.adopt(function)
        return (inspection, inspection.folder)
    }

    override func deadlineMoved(to nanoseconds: UInt64) {
        let now = reactor.nowNanoseconds - held
        reactor.schedule(timer, after: nanoseconds > now ? (nanoseconds - now + 999_999) / 1_000_000 : 0)
    }

    func heard(_ message: Span<UInt8>) throws(WireError) {
        clock = reactor.preciseNow - held
        try receive(message)
        inspection?.begin()
    }

    func timeCame() {
        clock = reactor.preciseNow - held
        fireTimers(clock)
        if let next = nextDeadline { deadlineMoved(to: next) }
    }

    func stop() { reactor.stop() }
}

private final class ServerChannel: RingChannel {
    weak var server: CordonServer?

    init(_ born: CordonBirth) {
        super.init(
            ring: born.ring, ownEvent: OwnedDescriptor(adopting: born.ownEvent),
            peerEvent: OwnedDescriptor(adopting: born.workerEvent), limit: remoteMessageLimit)
    }

    override func flush() throws(RingBroken) -> Bool {
        guard let server else { return false }
        server.returnSlabs()
        lastFlush = server.clock
        return try send(&server.outgoing)
    }

    /// Answers that wait for their worker to take them, in bytes, from which on no more is begun.
    private static let mostWaiting = 1 << 20

    /// When it last sent, and nanoseconds after which what a call says does not wait for the calls behind it.
    private var lastFlush: UInt64 = 0
    private static let longestWait: UInt64 = 1_000_000

    override var isDue: Bool {
        guard let server, server.outgoing.count > 0 else { return false }
        return server.clock &- lastFlush > Self.longestWait
    }
    override var holdsBack: Bool { (server?.outgoing.count ?? 0) > Self.mostWaiting }
    override func received(_ message: Span<UInt8>) throws(WireError) { try server?.heard(message) }

    override func broken(_ reason: String) {
        StandardErrorLine.write("sluice cordon: \(reason)")
        server?.stop()
    }
}

private final class ServerTimer: Timer {
    weak var server: CordonServer?
    override func fire() { server?.timeCame() }
}

/// Ends the loop when the worker has ended.
private final class WorkerWatch: Channel {
    private let socket: ControlSocket
    private unowned let reactor: Reactor
    private let inspection: CordonInspection?

    init(_ socket: ControlSocket, _ reactor: Reactor, _ inspection: CordonInspection?) {
        self.socket = socket
        self.reactor = reactor
        self.inspection = inspection
        super.init(fd: socket.descriptor.number)
    }

    override func ready(_ events: ReadyEvents) {
        guard let receipt = try? socket.receive() else { return reactor.stop() }
        switch receipt {
        case .packet(let packet): inspection?.received(packet.bytes)
        case .wouldBlock: break
        case .peerGone: reactor.stop()
        }
    }
}
