import Buffers
import HTTP
import HTTP1
import Reactor
import TLS

/// An origin on a loopback socket, driven by the test's own reactor, that answers by script.
final class TestOrigin: Channel {
    let reactor: Reactor
    let pool: SlabPool
    /// Counts the origin's system calls, so that the reactor counts the tested side's alone.
    let counters: Reactor
    let port: UInt16
    let tls: ServerContext?
    /// Called when a request head is complete.
    var onHead: (OriginPeer) -> Void = { _ in }
    /// Called when a request is complete, body and all.
    var onRequest: (OriginPeer) -> Void = { $0.answer("fine") }
    /// Called when a connection was accepted.
    var onAccept: (OriginPeer) -> Void = { _ in }
    /// A new connection does not read until told to.
    var acceptsReading = true
    private(set) var peers: [OriginPeer] = []
    /// Request lines and bodies as they were received.
    var requests: [String] = []
    var bodies: [[UInt8]] = []
    var heads: [String] = []

    init(_ reactor: Reactor, pool: SlabPool, address: String = "127.0.0.1", port: UInt16 = 0, tls: ServerContext? = nil) throws {
        self.reactor = reactor
        self.pool = pool
        self.tls = tls
        counters = try Reactor()
        let listener = ConfigurationBundle.Listener(name: "origin", address: address, port: port)
        let (socket, chosen) = try ListeningSocket.openSingle(listener)
        self.port = chosen
        super.init(fd: socket)
        try reactor.addLevelTriggered(self)
    }

    override func ready(_ events: ReadyEvents) {
        guard case .accepted(let fd, _, _) = Listening.accept(self.fd, reactor: counters) else { return }
        let peer = OriginPeer(fd: fd, origin: self)
        do { try reactor.add(peer) } catch { return }
        peers.append(peer)
        onAccept(peer)
    }

    var accepted: Int { peers.count }
    var open: Int { peers.count { $0.fd >= 0 } }

    /// Stops listening: new connections are refused.
    func refuse() { reactor.close(self) }

    func stop() {
        refuse()
        for peer in peers { peer.close() }
        peers.removeAll()
    }
}

/// One accepted connection of a `TestOrigin`.
final class OriginPeer: Channel {
    private unowned let origin: TestOrigin
    private var transport: Transport
    private var shaking: Bool
    private var input: ReadBuffer
    private var output: OutputBuffer
    private var parser = RequestParser()
    private var decoder: BodyDecoder?
    private var canRead = false
    private var canWrite = true
    private var closesWhenSent = false
    var head = Head()
    var body: [UInt8] = []
    /// Requests completely received on this connection.
    var served = 0
    var reads = true
    var sawEnd = false
    var wasReset = false
    /// After an upgrade: what arrives is kept here.
    var tunnel: [UInt8]?
    var onTunnelBytes: (OriginPeer) -> Void = { _ in }

    init(fd: Int32, origin: TestOrigin) {
        self.origin = origin
        reads = origin.acceptsReading
        shaking = origin.tls != nil
        if let tls = origin.tls {
            transport = TLSTransport(server: tls, fd: fd, reactor: origin.counters)
        } else {
            transport = SocketTransport(fd: fd, reactor: origin.counters)
        }
        input = ReadBuffer(pool: origin.pool)
        output = OutputBuffer(pool: origin.pool)
        super.init(fd: fd)
    }

    override func ready(_ events: ReadyEvents) {
        if events.contains(.readable) { canRead = true }
        if events.contains(.writable) { canWrite = true }
        if shaking, !shake() { return }
        flush()
        pump()
    }

    private func shake() -> Bool {
        guard let tls = transport as? TLSTransport, case .done = tls.handshake() else { return false }
        shaking = false
        canRead = true
        return true
    }

    func startReading() {
        reads = true
        canRead = true
        pump()
    }

    private func pump() {
        while fd >= 0, reads {
            if parse() { continue }
            guard canRead, !sawEnd else { return }
            switch transport.receive(into: &input) {
            case .moved: break
            case .wouldBlock: canRead = false
            case .endOfStream: sawEnd = true
            case .failed:
                sawEnd = true
                wasReset = true
            }
        }
    }

    /// True when something was used up.
    private func parse() -> Bool {
        guard !input.isEmpty || decoder?.isDone == true else { return false }
        if tunnel != nil {
            tunnel?.append(contentsOf: input.bytes.array())
            input.consume(input.count)
            onTunnelBytes(self)
            return true
        }
        return decoder == nil ? parseHead() : parseBody()
    }

    private func parseHead() -> Bool {
        guard case .complete(let count) = parser.parse(input.bytes, into: &head) else { return false }
        origin.heads.append(input.bytes.extracting(first: count).text())
        input.consume(count)
        parser.reset()
        decoder = BodyDecoder(head.body)
        body = []
        origin.onHead(self)
        return true
    }

    private func parseBody() -> Bool {
        switch decoder?.next(input.bytes) {
        case .data(let skip, let count):
            input.consume(skip)
            body.append(contentsOf: input.bytes.extracting(first: count).array())
            input.consume(count)
            return true
        case .end(let count):
            input.consume(count)
            complete()
            return true
        case .needMore(let count):
            input.consume(count)
            return false
        case .failed, nil: return false
        }
    }

    private func complete() {
        decoder = nil
        served += 1
        origin.requests.append("\(head.text(head.methodName)) \(head.text(head.path))")
        origin.bodies.append(body)
        origin.onRequest(self)
    }

    func answer(_ body: String, status: String = "200 OK", fields: String = "") {
        send("HTTP/1.1 \(status)\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        output.append(copying: bytes.span)
        flush()
    }

    private func flush() {
        while canWrite, !output.isEmpty, fd >= 0 {
            switch transport.send(&output) {
            case .moved(_, let drained): if drained { canWrite = false }
            case .wouldBlock: canWrite = false
            case .endOfStream, .failed:
                wasReset = true
                return
            }
        }
        if closesWhenSent, output.isEmpty { close() }
    }

    func closeWhenSent() {
        closesWhenSent = true
        flush()
    }

    func finishSending() { transport.finishSending() }

    func close(reset: Bool = false) {
        if !reset, !transport.isPlain, fd >= 0 { transport.finishSending() }
        origin.reactor.close(self, reset: reset)
    }
}
