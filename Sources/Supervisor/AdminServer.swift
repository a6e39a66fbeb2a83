import Buffers
import Reactor

/// Answers on the admin address. One request per connection, then it closes.
final class AdminServer: Channel {
    /// Connections at once; more are closed unanswered.
    static let connectionLimit = 64
    /// Milliseconds a connection may take in all.
    static let timeLimit: UInt64 = 5_000

    /// Where it listens, with the real port.
    let endpoint: String
    fileprivate unowned let supervisor: Supervisor
    fileprivate let pool = SlabPool(keptBytes: 256 * 1024)
    fileprivate var connections: [ObjectIdentifier: AdminConnection] = [:]

    init(_ listener: ConfigurationBundle.Listener, supervisor: Supervisor) throws {
        self.supervisor = supervisor
        let (socket, port) = try ListeningSocket.openSingle(listener)
        var actual = listener
        actual.port = port
        endpoint = actual.endpoint
        super.init(fd: socket)
        try supervisor.reactor.addLevelTriggered(self)
    }

    override func ready(_ events: ReadyEvents) {
        while let socket = ListeningSocket.accept(fd) {
            guard connections.count < AdminServer.connectionLimit else {
                ListeningSocket.close(socket)
                continue
            }
            let connection = AdminConnection(socket, self)
            connections[ObjectIdentifier(connection)] = connection
            connection.begin()
        }
    }

    func close() {
        for connection in connections.values { connection.close() }
        supervisor.reactor.close(self)
    }
}

/// One connection to the admin address.
private final class AdminConnection: Channel {
    private unowned let server: AdminServer
    private let transport: SocketTransport
    private var input: ReadBuffer
    private var output: OutputBuffer
    private var answered = false
    private var timer: AdminTimer?

    init(_ socket: Int32, _ server: AdminServer) {
        self.server = server
        transport = SocketTransport(fd: socket, reactor: server.supervisor.reactor)
        input = ReadBuffer(pool: server.pool)
        output = OutputBuffer(pool: server.pool)
        super.init(fd: socket)
    }

    func begin() {
        let timer = AdminTimer(self)
        self.timer = timer
        do {
            try server.supervisor.reactor.add(self)
            server.supervisor.reactor.schedule(timer, after: AdminServer.timeLimit)
        } catch {
            close()
        }
    }

    override func ready(_ events: ReadyEvents) {
        if !answered { receive() }
        if answered { send() }
    }

    private func receive() {
        while !answered {
            switch transport.receive(into: &input) {
            case .moved:
                switch AdminRequest.parse(input.bytes) {
                case .incomplete: continue
                case .request(let request): answer(server.supervisor.adminResponse(request.path), isHead: request.isHead)
                case .refused(let status, let reason):
                    answer(AdminResponse(status: status, reason: reason, type: "text/plain", body: reason + "\n"), isHead: false)
                }
            case .wouldBlock: return
            case .endOfStream, .failed: return close()
            }
        }
    }

    private func answer(_ response: AdminResponse, isHead: Bool) {
        answered = true
        let body = Array(response.body.utf8)
        var head = "HTTP/1.1 \(response.status) \(response.reason)\r\nContent-Type: \(response.type)\r\n"
        head += "Content-Length: \(body.count)\r\nCache-Control: no-store\r\nConnection: close\r\n"
        if response.status == 405 { head += "Allow: GET, HEAD\r\n" }
        head += "\r\n"
        let bytes = Array(head.utf8)
        output.append(copying: bytes.span)
        if !isHead { output.append(copying: body.span) }
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

    func close() {
        guard fd >= 0 else { return }
        if let timer { server.supervisor.reactor.cancel(timer) }
        timer = nil
        server.supervisor.reactor.close(self)
        server.connections[ObjectIdentifier(self)] = nil
    }
}

private final class AdminTimer: Timer {
    private unowned let connection: AdminConnection
    init(_ connection: AdminConnection) { self.connection = connection }
    override func fire() { connection.close() }
}

/// An answer of the admin address.
struct AdminResponse {
    var status = 200
    var reason = "OK"
    var type: String
    var body: String
}
