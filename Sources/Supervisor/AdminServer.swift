import Buffers
import Reactor
import TLS

/// Listens for requests to the admin API: on the control socket or on the admin address.
final class AdminServer: Channel {
    /// Connections at once; more are closed unanswered.
    static let connectionLimit = 64

    /// Where it listens: an address with the real port, or a path.
    let endpoint: String
    /// What the configuration or the command line calls it.
    let name: String
    fileprivate unowned let supervisor: Supervisor
    fileprivate let pool = SlabPool(keptBytes: 256 * 1024)
    fileprivate var connections: [ObjectIdentifier: AdminConnection] = [:]
    /// How it speaks TLS; nil: it does not. A reload changes it for connections to come.
    var encryption: ServerContext?
    private let isLocal: Bool
    /// No line about failed handshakes before this time, monotonic milliseconds.
    private var failuresNoted: UInt64 = 0
    /// Its socket belongs to another process now.
    private var isHandedOver = false

    /// Listens on an address.
    init(_ listener: ConfigurationBundle.Listener, name: String, supervisor: Supervisor) throws {
        self.supervisor = supervisor
        self.name = name
        isLocal = false
        let (socket, port) = try ListeningSocket.openSingle(listener)
        var actual = listener
        actual.port = port
        endpoint = actual.endpoint
        super.init(fd: socket)
        try supervisor.reactor.addLevelTriggered(self)
    }

    /// Listens on a socket file.
    init(path: String, supervisor: Supervisor) throws {
        self.supervisor = supervisor
        isLocal = true
        endpoint = path
        name = path
        super.init(fd: try LocalSocket.listen(path))
        try supervisor.reactor.addLevelTriggered(self)
    }

    /// Goes on with a socket that another process listened on. Until `begin` nothing is taken from it.
    init(adopting socket: Int32, name: String, endpoint: String, isLocal: Bool, supervisor: Supervisor) {
        self.supervisor = supervisor
        self.name = name
        self.endpoint = endpoint
        self.isLocal = isLocal
        super.init(fd: socket)
    }

    /// What a browser takes; nil: a socket file.
    var link: String? { isLocal ? nil : "http\(encryption == nil ? "" : "s")://\(endpoint)" }

    func begin() throws { try supervisor.reactor.addLevelTriggered(self) }

    /// Another process goes on with the socket; who is connected here still gets an answer.
    func handOver() {
        isHandedOver = true
        supervisor.reactor.close(self)
    }

    override func ready(_ events: ReadyEvents) {
        while let socket = ListeningSocket.accept(fd) {
            guard connections.count < AdminServer.connectionLimit, let origin = origin(of: socket) else {
                ListeningSocket.close(socket)
                continue
            }
            let connection = AdminConnection(socket, self, origin)
            connections[ObjectIdentifier(connection)] = connection
            connection.begin()
        }
    }

    /// Somebody did not get as far as a request: at most one line a second.
    fileprivate func noteFailure(_ why: String) {
        guard supervisor.reactor.now >= failuresNoted else { return }
        failuresNoted = supervisor.reactor.now + 1000
        supervisor.log.warning("admin", "a TLS connection to the admin address failed: \(why)", [("reason", .text(why))])
    }

    private func origin(of socket: Int32) -> AdminOrigin? {
        guard isLocal else { return encryption == nil ? .network : .encrypted(nil) }
        guard let peer = try? LocalSocket.peer(socket) else { return nil }
        return .local(user: peer.user, process: peer.process)
    }

    func close() {
        for connection in connections.values { connection.close() }
        supervisor.reactor.close(self)
        if isLocal, !isHandedOver { RuntimeFolder.remove(endpoint) }
    }
}

/// One connection to the admin API: one request, one answer.
final class AdminConnection: Channel {
    /// Milliseconds for a request to arrive, and for its answer to be taken.
    static let timeLimit: UInt64 = 5_000
    /// Milliseconds for what the request asks for.
    static let workLimit: UInt64 = 60_000

    /// Bytes that wait for a watcher; lines beyond are dropped.
    static let streamLimit = 256 * 1024

    private enum State { case handshaking, receiving, working, answering, streaming }

    private unowned let server: AdminServer
    private var origin: AdminOrigin
    private let transport: Transport
    private var input: ReadBuffer
    private var output: OutputBuffer
    private var state = State.receiving
    private var timer: AdminTimer?

    fileprivate init(_ socket: Int32, _ server: AdminServer, _ origin: AdminOrigin) {
        self.server = server
        self.origin = origin
        if let encryption = server.encryption {
            transport = TLSTransport(server: encryption, fd: socket, reactor: server.supervisor.reactor)
            state = .handshaking
        } else {
            transport = SocketTransport(fd: socket, reactor: server.supervisor.reactor)
        }
        input = ReadBuffer(pool: server.pool)
        output = OutputBuffer(pool: server.pool)
        super.init(fd: socket)
    }

    fileprivate func begin() {
        do {
            try server.supervisor.reactor.add(self)
            restartTimer(AdminConnection.timeLimit)
        } catch {
            close()
        }
    }

    private func restartTimer(_ limit: UInt64) {
        let timer = timer ?? AdminTimer(self)
        self.timer = timer
        server.supervisor.reactor.cancel(timer)
        server.supervisor.reactor.schedule(timer, after: limit)
    }

    override func ready(_ events: ReadyEvents) {
        switch state {
        case .handshaking: shakeHands()
        case .receiving: receive()
        case .working: if events.contains(.error) { close() }
        case .answering: send()
        case .streaming: events.contains(.hangup) || events.contains(.error) ? close() : sendLines()
        }
    }

    private func shakeHands() {
        guard let transport = transport as? TLSTransport else { return close() }
        switch transport.handshake() {
        case .wantsRead, .wantsWrite: return
        case .failed(let why):
            server.noteFailure(why)
            close()
        case .done(let info):
            origin = .encrypted(AdminCertificate(info, transport))
            state = .receiving
            receive()
        }
    }

    private func receive() {
        while state == .receiving {
            switch transport.receive(into: &input) {
            case .moved:
                switch AdminRequest.parse(input.bytes) {
                case .incomplete: continue
                case .request(let request): work(on: request)
                case .refused(let status, let reason): answer(.problem(status, reason, "the request cannot be read"), isHead: false)
                }
            case .wouldBlock: return
            case .endOfStream, .failed: return close()
            }
        }
    }

    private func work(on request: AdminRequest) {
        switch server.supervisor.answer(request, from: origin) {
        case .now(let response): answer(response, isHead: request.isHead)
        case .later(let start):
            state = .working
            restartTimer(AdminConnection.workLimit)
            start { [weak self] response in self?.answer(response, isHead: request.isHead) }
        case .stream: request.isHead ? answer(.text(""), isHead: true) : beginStream()
        }
    }

    // MARK: Streaming

    private func beginStream() {
        if let why = server.supervisor.watch(self) {
            return answer(.problem(503, "Service Unavailable", why), isHead: false)
        }
        state = .streaming
        if let timer { server.supervisor.reactor.cancel(timer) }
        let head = Array(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n".utf8)
        output.append(copying: head.span)
        sendLines()
    }

    /// Takes a line for the watcher, unless it does not keep up.
    func stream(_ line: [UInt8]) {
        guard state == .streaming, fd >= 0, output.byteCount + line.count <= AdminConnection.streamLimit else { return }
        output.append(copying: line.span)
        sendLines()
    }

    private func sendLines() {
        while !output.isEmpty {
            switch transport.send(&output) {
            case .moved: continue
            case .wouldBlock: return
            case .endOfStream, .failed: return close()
            }
        }
    }

    private func answer(_ response: AdminResponse, isHead: Bool) {
        guard state != .answering, fd >= 0 else { return }
        state = .answering
        let body = Array(response.body.utf8)
        var head = "HTTP/1.1 \(response.status) \(response.reason)\r\nContent-Type: \(response.type)\r\n"
        head += "Content-Length: \(body.count)\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n"
        head += response.fields + "\r\n"
        let bytes = Array(head.utf8)
        output.append(copying: bytes.span)
        if !isHead { output.append(copying: body.span) }
        restartTimer(AdminConnection.timeLimit)
        send()
    }

    private func send() {
        while !output.isEmpty {
            switch transport.send(&output) {
            case .moved: continue
            case .wouldBlock: return
            case .endOfStream, .failed: return close()
            }
        }
        transport.finishSending()
        close()
    }

    fileprivate func timeIsUp() {
        guard state == .working else { return close() }
        answer(.problem(504, "Gateway Timeout", "not done after \(AdminConnection.workLimit / 1000) s; GET /status tells how it ended"), isHead: false)
    }

    fileprivate func close() {
        guard fd >= 0 else { return }
        if let timer { server.supervisor.reactor.cancel(timer) }
        timer = nil
        if state == .streaming { server.supervisor.unwatch(self) }
        server.supervisor.reactor.close(self)
        server.connections[ObjectIdentifier(self)] = nil
    }
}

private final class AdminTimer: Timer {
    private unowned let connection: AdminConnection
    init(_ connection: AdminConnection) { self.connection = connection }
    override func fire() { connection.timeIsUp() }
}
