import Buffers
import HTTP
import HTTP1
import Reactor
import Telemetry

/// Listens for DevTools: what can be debugged is told over HTTP, debugging itself is a WebSocket.
final class InspectorServer: Channel {
    /// Connections at once; more are closed unanswered.
    static let connectionLimit = 64

    unowned let inspection: Inspection
    private var connections: [ObjectIdentifier: InspectorConnection] = [:]

    init(_ socket: Int32, _ inspection: Inspection) {
        self.inspection = inspection
        super.init(fd: socket)
    }

    override func ready(_ events: ReadyEvents) {
        while let socket = ListeningSocket.accept(fd) {
            guard connections.count < InspectorServer.connectionLimit else {
                ListeningSocket.close(socket)
                continue
            }
            let connection = InspectorConnection(socket, self)
            connections[ObjectIdentifier(connection)] = connection
            connection.begin()
        }
    }

    func close() {
        inspection.worker.close(self)
        for connection in connections.values where !connection.isDebugging { connection.close() }
    }

    func forget(_ connection: InspectorConnection) { connections[ObjectIdentifier(connection)] = nil }

    /// The answer to a plain request; nil: there is no such thing.
    func answer(_ request: InspectorRequest) -> String? {
        switch request.path {
        case "/json/version": version
        case "/json", "/json/list", "/json/": list(request.host)
        default: nil
        }
    }

    private var version: String {
        var json = JSONLineWriter()
        json.beginObject()
        json.field("Browser", "Sluice")
        json.field("Protocol-Version", "1.1")
        json.endObject()
        return json.bytes.text()
    }

    /// The functions of all workers, each with the address of its worker: whoever asks one finds every one.
    private func list(_ host: String) -> String {
        var json = JSONLineWriter()
        json.beginArray()
        let own = inspection.worker.context.worker
        for worker in inspection.workers == 1 ? own..<(own + 1) : 0..<inspection.workers {
            guard let place = InspectorRequest.host(host, portFurtherBy: worker - own) else { continue }
            for function in inspection.functions { describe(function, worker, place, &json) }
        }
        json.endArray()
        return json.bytes.text()
    }

    private func describe(_ function: SharedFunction, _ worker: Int, _ host: String, _ json: inout JSONLineWriter) {
        let identity = inspection.identity(function.key.name, worker: worker)
        json.beginObject()
        json.field("description", "Sluice function in worker \(worker)")
        json.field("devtoolsFrontendUrl", "devtools://devtools/bundled/js_app.html?experiments=true&v8only=true&ws=\(host)/\(identity)")
        json.field("id", identity)
        json.field("title", "\(function.key.name) (worker \(worker))")
        json.field("type", "node")
        json.field("url", inspection.url(function.key.main))
        json.field("webSocketDebuggerUrl", "ws://\(host)/\(identity)")
        json.endObject()
    }
}

/// One connection of a client: requests, and then perhaps a WebSocket.
final class InspectorConnection: Channel {
    /// Milliseconds for a request to arrive.
    private static let timeLimit: UInt64 = 10_000
    /// Bytes that wait for the client before the function's process has to wait too.
    private static let behind = 4 << 20

    private unowned let server: InspectorServer
    private let worker: Worker
    private let transport: SocketTransport
    private var input: ReadBuffer
    private var output: OutputBuffer
    private var reader = WebSocketReader(fromClient: true, limit: 16 << 20)
    private var function: InspectedFunction?
    private var session: Int32 = 0
    private var isWebSocket = false
    private var isEnding = false
    private let timer = InspectorTimer()

    init(_ socket: Int32, _ server: InspectorServer) {
        self.server = server
        worker = server.inspection.worker
        transport = SocketTransport(fd: socket, reactor: worker)
        input = ReadBuffer(pool: worker.pool)
        output = OutputBuffer(pool: worker.pool)
        super.init(fd: socket)
        timer.connection = self
    }

    func begin() {
        do {
            try worker.add(self)
            worker.schedule(timer, after: InspectorConnection.timeLimit)
        } catch {
            close()
        }
    }

    /// It has a WebSocket, which ends in its own time.
    var isDebugging: Bool { isWebSocket }
    /// It takes less than it is sent.
    var isBehind: Bool { output.byteCount > InspectorConnection.behind }

    override func ready(_ events: ReadyEvents) {
        if events.contains(.error) { return close() }
        if events.contains(.writable) { flush() }
        if fd >= 0 { receive() }
    }

    private func receive() {
        while fd >= 0, !isEnding {
            switch transport.receive(into: &input) {
            case .moved:
                if isWebSocket { readFrames() } else { readRequests() }
                if input.isFull { return close() }
            case .wouldBlock: return
            case .endOfStream, .failed: return close()
            }
        }
    }

    // MARK: HTTP

    private func readRequests() {
        while fd >= 0, !isEnding, !isWebSocket {
            switch InspectorRequest.parse(input.bytes) {
            case .incomplete: return
            case .refused(let status, let why): answer(status, why + "\n", type: "text/plain", last: true)
            case .request(let request):
                input.consume(request.length)
                worker.schedule(timer, after: InspectorConnection.timeLimit)
                if let key = request.webSocketKey {
                    upgrade(request, key)
                } else if let text = server.answer(request) {
                    answer(200, text, type: "application/json; charset=UTF-8", last: false)
                } else {
                    answer(404, "there is no \(request.path); see /json/list\n", type: "text/plain", last: false)
                }
            }
        }
        if isWebSocket { readFrames() }
    }

    private func answer(_ status: Int, _ body: String, type: String, last: Bool) {
        let reason = Span<UInt8>(StatusText.reason(status)).text()
        var head = "HTTP/1.1 \(status) \(reason)\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\nCache-Control: no-cache\r\n"
        head += "X-Content-Type-Options: nosniff\r\n\(last ? "Connection: close\r\n" : "")\r\n"
        put(Array((head + body).utf8))
        if last { endWhenSent() }
    }

    private func upgrade(_ request: InspectorRequest, _ key: String) {
        guard let shared = server.inspection.function(String(request.path.dropFirst())), let function = server.inspection.inspected(shared) else {
            return answer(404, "there is no such function (any more); see /json/list\n", type: "text/plain", last: true)
        }
        let accept = String(decoding: WebSocketKey.accept(Array(key.utf8)), as: UTF8.self)
        put(Array("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \(accept)\r\n\r\n".utf8))
        isWebSocket = true
        worker.cancel(timer)
        self.function = function
        session = function.join(self)
    }

    // MARK: WebSocket

    private func readFrames() {
        while fd >= 0, !input.isEmpty, !isEnding {
            let (count, event) = reader.take(input.bytes)
            input.consume(count)
            switch event {
            case .message(let message, _): function?.deliver(session, message)
            case .control(9, let payload): put(WebSocketWriter.frame(10, payload.span, mask: nil))
            case .control: break
            case .close(let payload):
                put(WebSocketWriter.frame(8, payload.span, mask: nil))
                leave()
                endWhenSent()
            case .failed(let why): end(why, "")
            case nil: break
            }
        }
    }

    /// A message of the function's isolate.
    func send(_ message: [UInt8]) {
        guard fd >= 0, !isEnding else { return }
        put(WebSocketWriter.frame(1, message.span, mask: nil))
    }

    /// Says good-bye: there is nothing to debug here any more.
    func end(_ reason: String) { end(.goingAway, reason) }

    private func end(_ code: WebSocketClose, _ reason: String) {
        guard fd >= 0, !isEnding else { return }
        let payload = WebSocketWriter.close(code, reason)
        put(WebSocketWriter.frame(8, payload.span, mask: nil))
        leave()
        endWhenSent()
    }

    private func leave() {
        let left = function
        function = nil
        left?.leave(session)
    }

    // MARK: Sending

    private func put(_ bytes: [UInt8]) {
        output.append(copying: bytes.span)
        flush()
    }

    private func flush() {
        let wasBehind = isBehind
        while fd >= 0, !output.isEmpty {
            switch transport.send(&output) {
            case .moved: continue
            case .wouldBlock:
                if wasBehind != isBehind { function?.holdIfNeeded() }
                return
            case .endOfStream, .failed: return close()
            }
        }
        if wasBehind { function?.holdIfNeeded() }
        if isEnding { close() }
    }

    private func endWhenSent() {
        isEnding = true
        if output.isEmpty { return close() }
        worker.schedule(timer, after: InspectorConnection.timeLimit)
    }

    func close() {
        guard fd >= 0 else { return }
        worker.cancel(timer)
        worker.close(self)
        server.forget(self)
        leave()
    }
}

private final class InspectorTimer: Timer {
    weak var connection: InspectorConnection?
    override func fire() { connection?.close() }
}
