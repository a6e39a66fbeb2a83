import Buffers
import HTTP
import Reactor
import Rules
import TLS
import Telemetry

/// A listening socket of this worker: accepts and starts connections.
final class Acceptor: Channel {
    let key: String
    let name: String
    unowned let worker: Worker
    private var spare = SpareDescriptor()
    private let pause: AcceptPause
    private var trouble = AcceptTrouble()
    private let recovery: AcceptRecovery
    /// Takes no connections: the worker has too little memory or too few descriptors left.
    var isPaused = false {
        didSet {
            guard isPaused != oldValue, fd >= 0 else { return }
            if isPaused { worker.remove(self) } else { resumeAccepting() }
        }
    }

    init(_ inherited: InheritedListener, worker: Worker) {
        key = inherited.key
        name = inherited.listener.name
        self.worker = worker
        pause = AcceptPause()
        recovery = AcceptRecovery()
        super.init(fd: inherited.descriptor)
        pause.acceptor = self
        Listening.limitUnsent(fd)
        recovery.acceptor = self
    }

    override func ready(_ events: ReadyEvents) {
        // Bounded, so that a flood of connections does not keep established ones waiting: the rest is told of again at once. One at a
        // time while turns are short, which saves asking for a second that is rarely there.
        for _ in 0..<min(4, 1 + worker.eventsOfTurn / 8) where !acceptOne() { return }
    }

    /// Takes what the kernel has queued, then closes: whoever connected before the drain is served, whoever comes
    /// later is refused by the kernel and can go elsewhere.
    func acceptRestAndClose() {
        while acceptOne() {}
        worker.close(self)
    }

    /// False when there is nothing more to take now.
    private func acceptOne() -> Bool {
        guard fd >= 0 else { return false }
        switch Listening.accept(fd, reactor: worker) {
        case .accepted(let fd, let address, let port):
            begin(fd, address, port)
            return true
        case .wouldBlock: return false
        case .failed(let error):
            failed(error)
            return false
        }
    }

    private func begin(_ fd: Int32, _ address: IPAddress, _ port: UInt16) {
        worker.newestDescriptor = max(worker.newestDescriptor, Int(fd))
        guard let listener = worker.listener(named: name), worker.admit(address, listener.limits) else {
            worker.metrics.add(.connectionsRefused)
            Listening.reject(fd)
            return
        }
        var client = ClientInfo()
        client.address = address
        client.port = port
        if let proxies = listener.proxies, proxies.contains(address) {
            let connection = ProxiedConnection(worker, listener, client, fd: fd) { [unowned worker] client in
                Acceptor.serve(worker, listener, client, fd)
            }
            return connection.begin()
        }
        Acceptor.serve(worker, listener, client, fd)
    }

    /// Serves a client, after a while where its address has flooded the worker.
    private static func serve(_ worker: Worker, _ listener: ListenerState, _ client: ClientInfo, _ fd: Int32) {
        guard worker.floods.suspects(client.address, now: worker.now) else { return start(worker, listener, client, fd) }
        ScreenedConnection.screen(worker, listener, client, fd) { start(worker, listener, client, fd) }
    }

    /// What is spoken to the client begins.
    private static func start(_ worker: Worker, _ listener: ListenerState, _ client: ClientInfo, _ fd: Int32) {
        if let tls = listener.tls {
            worker.metrics.add(.connectionsAcceptedTLS)
            worker.makeRoomForHandshake(listener.limits.handshakes)
            HandshakingConnection.start(worker, listener, client, fd: fd, context: tls)
        } else {
            worker.metrics.add(.connectionsAcceptedPlain)
            let transport = SocketTransport(fd: fd, reactor: worker)
            if listener.protocols == .http2 {
                worker.serveHTTP2(listener, client, fd: fd, transport: transport, input: ReadBuffer(pool: worker.pool))
            } else {
                worker.serveHTTP1(listener, client, fd: fd, transport: transport, isNew: true)
            }
        }
    }

    /// Out of descriptors or memory: whoever waits is refused, so that they can go elsewhere, and accepting stops for
    /// 10 ms instead of turning in circles.
    private func failed(_ error: SystemError) {
        worker.metrics.add(.acceptErrors)
        var refused = 0
        for _ in 0..<64 where spare.refuseOne(fd) { refused += 1 }
        worker.metrics.add(.connectionsRefused, refused)
        if let all = trouble.failed(refusing: refused, now: worker.now) {
            worker.note(
                .warning, "listener \(name): \(error); who waits is refused (\(all) so far) and it tries again every 10 ms\(AcceptTrouble.remedy(error))")
        }
        if !recovery.isScheduled { worker.schedule(recovery, after: AcceptTrouble.quiet) }
        guard !isPaused else { return }
        worker.remove(self)
        worker.schedule(pause, after: 10)
    }

    /// Tells the end of a time in which nothing could be accepted.
    fileprivate func lookForTheEnd() {
        if let refused = trouble.ended(now: worker.now) {
            worker.note(.info, "listener \(name): accepts connections again; \(refused) were refused meanwhile")
        } else if trouble.isOn {
            worker.schedule(recovery, after: AcceptTrouble.quiet)
        }
    }

    fileprivate func resumeAccepting() {
        guard fd >= 0, !isPaused else { return }
        do { try worker.addLevelTriggered(self) } catch { worker.schedule(pause, after: 100) }
    }
}

private final class AcceptPause: Timer {
    weak var acceptor: Acceptor?
    override func fire() { acceptor?.resumeAccepting() }
}

private final class AcceptRecovery: Timer {
    weak var acceptor: Acceptor?
    override func fire() { acceptor?.lookForTheEnd() }
}

/// A TLS connection until its handshake is done; then it becomes an HTTP/1.1 or HTTP/2 connection.
final class HandshakingConnection: Channel {
    unowned let worker: Worker
    let listener: ListenerState
    var client: ClientInfo
    let transport: TLSTransport
    /// Monotonic milliseconds.
    let began: UInt64
    private let deadline = HandshakeDeadline()
    private var waits = false
    private var peerHungUp = false

    static func start(_ worker: Worker, _ listener: ListenerState, _ client: ClientInfo, fd: Int32, context: ServerContext) {
        do {
            let transport = TLSTransport(server: context, fd: fd, reactor: worker)
            let connection = HandshakingConnection(worker, listener, client, fd: fd, transport: transport)
            try worker.add(connection)
            worker.handshakeStarted(connection)
            worker.schedule(connection.deadline, after: UInt64(listener.limits.tlsHandshake))
            connection.ready(.readable)
        } catch {
            worker.metrics.add(.tlsHandshakesFailed)
            worker.connectionClosed(client)
            Listening.reject(fd)
        }
    }

    private init(_ worker: Worker, _ listener: ListenerState, _ client: ClientInfo, fd: Int32, transport: TLSTransport) {
        self.worker = worker
        self.listener = listener
        self.client = client
        self.transport = transport
        began = worker.now
        super.init(fd: fd)
        deadline.connection = self
    }

    /// Handshakes cost most of what a worker does for a new client: those who are served already come first.
    override func ready(_ events: ReadyEvents) {
        if events.contains(.hangup) || events.contains(.error) { peerHungUp = true }
        guard !waits else { return }
        waits = true
        worker.afterOthers(self)
    }

    override func resume() {
        waits = false
        if fd >= 0 { advance() }
    }

    private func advance() {
        switch transport.handshake() {
        case .wantsRead, .wantsWrite: return
        case .failed: fail()
        case .done(let info): finish(info)
        }
    }

    func fail() {
        worker.metrics.add(.tlsHandshakesFailed)
        worker.cancel(deadline)
        worker.handshakeEnded(self)
        worker.close(self)
        worker.connectionClosed(client)
    }

    private func finish(_ info: TLSConnectionInfo) {
        worker.metrics.add(info.resumed ? .tlsHandshakesResumed : .tlsHandshakesFull)
        worker.metrics.add(info.records.counter)
        worker.cancel(deadline)
        worker.handshakeEnded(self)
        client.tls = TLSInfo(info, began: began * 1_000_000, ended: worker.nowNanoseconds)
        let fd = self.fd
        if peerHungUp {
            worker.remove(self)
            self.fd = -1
        }
        let predecessor = peerHungUp ? nil : self
        if info.alpn == "h2" {
            worker.serveHTTP2(listener, client, fd: fd, transport: transport, input: ReadBuffer(pool: worker.pool), after: predecessor)
        } else {
            worker.serveHTTP1(listener, client, fd: fd, transport: transport, after: predecessor)
        }
    }

    func timeIsUp() {
        worker.metrics.add(.timeoutsHandshake)
        fail()
    }
}

private final class HandshakeDeadline: Timer {
    weak var connection: HandshakingConnection?
    override func fire() { connection?.timeIsUp() }
}
