import Buffers
import Glibc
import Reactor
import Telemetry

/// Answers one-line commands: see `ProbeConnection.obey`.
final class ProbeWorker {
    let context: WorkerContext
    let reactor: Reactor
    let pool = SlabPool()
    let metrics = Metrics()
    var generation: UInt64
    var fenced: Set<String>
    var acceptors: [String: ProbeAcceptor] = [:]
    var connections: [ObjectIdentifier: ProbeConnection] = [:]
    private var control: ProbeControl?
    private var timer: PublishTimer?

    init(_ context: WorkerContext) throws {
        self.context = context
        reactor = try Reactor()
        generation = context.generation
        fenced = Set(context.fenced)
    }

    func run() {
        do {
            let control = try ProbeControl(context, reactor: reactor)
            control.worker = self
            self.control = control
            for listener in context.listeners { try accept(listener) }
            let timer = PublishTimer(self)
            self.timer = timer
            timer.fire()
            control.configure(generation: generation, bundle: context.bundle)
        } catch {
            print("worker: \(error)")
            exit(1)
        }
        reactor.run()
        control?.drained()
    }

    func accept(_ listener: InheritedListener) throws {
        let acceptor = ProbeAcceptor(listener, self)
        try reactor.addLevelTriggered(acceptor)
        acceptors[listener.key] = acceptor
    }

    func stopAccepting(_ key: String) {
        guard let acceptor = acceptors.removeValue(forKey: key) else { return }
        acceptor.ready(.readable)
        reactor.close(acceptor)
    }

    func leaveIfEmpty() {
        if acceptors.isEmpty, connections.isEmpty { reactor.stop() }
    }
}

private final class ProbeControl: WorkerControl {
    weak var worker: ProbeWorker?
    private var timer: AnswerTimer?

    override func configure(generation: UInt64, bundle: ConfigurationBundle) {
        ProbeConfiguration.passGate(bundle)
        if ProbeConfiguration.has("refuse", bundle) { return refuse(generation: generation, reason: "told to refuse") }
        worker?.generation = generation
        let late = ProbeConfiguration.late(bundle)
        guard late > 0, generation > 1, let worker else { return ready(generation: generation) }
        let timer = AnswerTimer(self, generation)
        self.timer = timer
        worker.reactor.schedule(timer, after: late)
    }

    override func openListener(_ listener: InheritedListener) { try? worker?.accept(listener) }
    override func closeListener(key: String) { worker?.stopAccepting(key) }
    override func fence(_ functions: [String]) { worker?.fenced = Set(functions) }

    override func drain(milliseconds: UInt64, idleMilliseconds: UInt64) {
        guard let worker else { return }
        for key in worker.acceptors.keys { worker.stopAccepting(key) }
        worker.leaveIfEmpty()
    }

    override func supervisorGone() { exit(0) }
}

private final class AnswerTimer: Timer {
    private unowned let control: ProbeControl
    private let generation: UInt64

    init(_ control: ProbeControl, _ generation: UInt64) {
        self.control = control
        self.generation = generation
    }

    override func fire() { control.ready(generation: generation) }
}

private final class PublishTimer: Timer {
    private unowned let worker: ProbeWorker
    init(_ worker: ProbeWorker) { self.worker = worker }

    override func fire() {
        let context = worker.context
        worker.metrics.withWords { context.shared.publish(worker: context.slot, $0) }
        context.shared.beat(worker: context.slot, now: worker.reactor.nowNanoseconds)
        worker.reactor.schedule(self, after: 20)
    }
}

final class ProbeAcceptor: Channel {
    let listener: InheritedListener
    private unowned let worker: ProbeWorker

    init(_ listener: InheritedListener, _ worker: ProbeWorker) {
        self.listener = listener
        self.worker = worker
        super.init(fd: listener.descriptor)
    }

    override func ready(_ events: ReadyEvents) {
        while let socket = ListeningSocket.accept(fd) {
            let connection = ProbeConnection(socket, worker, listener.listener.name)
            worker.connections[ObjectIdentifier(connection)] = connection
            try? worker.reactor.add(connection)
        }
    }
}

final class ProbeConnection: Channel {
    private unowned let worker: ProbeWorker
    private let listener: String
    private let transport: SocketTransport
    private var input: ReadBuffer
    private var output: OutputBuffer

    init(_ socket: Int32, _ worker: ProbeWorker, _ listener: String) {
        self.worker = worker
        self.listener = listener
        transport = SocketTransport(fd: socket, reactor: worker.reactor)
        input = ReadBuffer(pool: worker.pool)
        output = OutputBuffer(pool: worker.pool)
        super.init(fd: socket)
    }

    override func ready(_ events: ReadyEvents) {
        while true {
            switch transport.receive(into: &input) {
            case .moved:
                while let end = input.bytes.firstIndex(of: 0x0A) {
                    let line = input.bytes.extracting(first: end).text()
                    input.consume(end + 1)
                    say(obey(line.split(separator: " ").map(String.init)))
                }
            case .wouldBlock: return
            case .endOfStream, .failed:
                worker.reactor.close(self)
                worker.connections[ObjectIdentifier(self)] = nil
                return worker.acceptors.isEmpty ? worker.leaveIfEmpty() : ()
            }
        }
    }

    private func say(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        output.append(copying: bytes.span)
        _ = transport.send(&output)
    }

    private func obey(_ words: [String]) -> String {
        switch words.first {
        case "who":
            worker.metrics.add(.requestsHTTP11)
            return "\(worker.generation) \(worker.context.worker) \(ProcessSetup.pid) \(listener) \(worker.context.settings["greeting"] ?? "")"
        case "die": abort()
        case "crash":
            enter(words[1])
            abort()
        case "stick":
            enter(words[1])
            var turns: UInt64 = 0
            while true { turns &+= 1 }
        case "freeze":
            var turns: UInt64 = 0
            while true { turns &+= 1 }
        case "run": return worker.fenced.contains(words[1]) ? "fenced" : "ran"
        default: return "what?"
        }
    }

    private func enter(_ function: String) {
        let now = SystemClock.monotonicNanoseconds()
        let label = RunningLabel(identity: 1, function: function, rule: "a rule", place: "rules.yaml:12")
        worker.context.running.enter(
            label, request: (high: 0, low: 7), started: now, deadline: now + 20_000_000, generation: worker.generation)
    }
}
