import Buffers
import HTTP
import HTTP1
public import Reactor
import TLS
import Telemetry

/// One connection to an origin, serving one exchange at a time (HTTP/1.1).
///
/// What it sends goes out at the end of the reactor's turn (`resume`): head and first body bytes in one system
/// call, and a kept connection that turns out closed in the same turn is noticed before anything was sent.
public final class OriginConnection: OriginStream {
    enum State {
        case connecting, handshaking
        /// The request goes out, the response head is awaited.
        case awaitingHead
        case body
        case tunnel
        case idle
        case closed
    }

    /// Bytes of a response held before the origin is made to wait.
    let responseLimit: Int
    /// Bytes of a request that are queued here; more may wait in the exchange.
    static let requestLimit = 128 << 10

    private(set) var address: ServerAddress
    /// Which of the server's addresses this is.
    private var addressNumber: Int
    /// Attempts at further addresses, while the first takes its time.
    var rivals: OriginRivals?
    var state = State.connecting
    var transport: Transport
    var input: ReadBuffer
    var output: OutputBuffer
    var parser: ResponseParser
    var decoder = BodyDecoder()

    var canRead = false
    var canWrite = false
    /// The kernel saw the origin's end: read until it is found, a short read does not mean that nothing follows.
    private(set) var sawHangup = false
    var endOfInput = false
    /// Reading waits until the exchange has room.
    var isPaused = false
    /// Body bytes go through this pipe and not through `input`.
    var pipe: SplicePipe?
    /// For large ones of them.
    var moderation: ReadModeration?
    var pumping = false
    private var resumePending = false

    // The exchange being served
    private(set) var reused = false
    /// The head is not written yet.
    var unsent = false
    var sentAny = false
    var receivedAny = false
    /// Some of the final head is here.
    var headStarted = false
    /// All of the request is in `output` or sent.
    var bodyQueued = false
    var requestDone = false
    var chunkedRequest = false
    /// Body bytes moved here; with a known length it must come out even.
    var bodyBytes = 0
    /// Bytes of the response, head included.
    var received = 0
    var upgrades = false
    var keepsAlive = true
    var interims = 0

    init(fd: Int32, server: Server, address: ServerAddress, number: Int) {
        self.address = address
        addressNumber = number
        let context = server.context
        responseLimit = server.settings.responseBuffer
        parser = ResponseParser(limits: server.settings.heads)
        transport = SocketTransport(fd: fd, reactor: context.reactor)
        input = ReadBuffer(pool: context.pool)
        output = OutputBuffer(pool: context.pool)
        super.init(fd: fd, server: server)
    }

    // What an exchange asks for; each is explained where it is done.
    public override func requestBodyArrived() { bodyArrived() }
    public override func responseBodyDrained() { bodyDrained() }
    public override var transportIsPlain: Bool { transport.isPlain }
    public override var remainingKnownBody: Int? { state == .body ? decoder.remainingKnown : nil }
    public override var hasBufferedBytes: Bool { !input.isEmpty }
    public override func pass(through pipe: SplicePipe) -> Bool { begin(passing: pipe) }

    // MARK: Beginning

    /// - Throws: when the reactor cannot watch the descriptor; the connection is closed then.
    func connect(_ exchange: ForwardedExchange, inProgress: Bool) throws(SystemError) {
        do throws(SystemError) {
            try context.reactor.add(self)
        } catch {
            close()
            throw error
        }
        attach(exchange)
        exchange.originConnectStart = context.reactor.nowNanoseconds
        context.metrics.add(server.address.secure ? .upstreamConnectsTLS : .upstreamConnectsPlain)
        let now = context.reactor.now
        expect(within: exchange.connectBy > now ? exchange.connectBy - now : 0)
        if !inProgress { return connected() }
        if server.hasAddress(after: addressNumber) { rivals = OriginRivals(self, after: addressNumber) }
    }

    func attach(_ exchange: ForwardedExchange) {
        note(exchange, at: address)
        context.metrics.add(.upstreamConnectionsActive)
    }

    /// Serves an exchange on a connection that was kept.
    func begin(_ exchange: ForwardedExchange, reused: Bool) {
        attach(exchange)
        start(exchange, reused: reused)
    }

    func start(_ exchange: ForwardedExchange, reused: Bool) {
        self.reused = reused
        exchange.originReusedConnection = reused
        state = .awaitingHead
        parser.reset()
        unsent = true
        sentAny = false
        receivedAny = false
        headStarted = false
        bodyQueued = false
        requestDone = false
        bodyBytes = 0
        received = 0
        keepsAlive = true
        interims = 0
        isPaused = false
        expect(within: times.idle)
        resumeSoon()
    }

    private func connected() {
        canWrite = true
        server.addresses.connected(to: address, now: context.reactor.now)
        rivals?.stop()
        rivals = nil
        if let version = server.settings.proxyProtocol, !sendProxyHeader(version) { return }
        guard server.address.secure, let tls = exchange?.wantsUpgrade == true ? server.tlsForUpgrades : server.tls
        else { return established(protocolName: "") }
        state = .handshaking
        transport = TLSTransport(
            client: tls, fd: fd, serverName: server.settings.serverName ?? server.address.host, reactor: context.reactor)
        advanceHandshake()
    }

    /// What the origin learns before anything else: whose connection this is. The socket's buffer is empty, so it fits.
    private func sendProxyHeader(_ version: ProxyHeader.Version) -> Bool {
        ProxyHeader.write(version, exchange?.clientAddresses, to: &output)
        guard case .moved = transport.send(&output), output.isEmpty else {
            output.removeAll()
            connectFailed(.connect, "the PROXY header could not be sent")
            return false
        }
        return true
    }

    private func advanceHandshake() {
        guard let tls = transport as? TLSTransport else { return }
        switch tls.handshake() {
        case .wantsRead, .wantsWrite: break
        case .failed(let note): connectFailed(.tls, note)
        case .done(let info):
            // Records behind the handshake may already have been read from the socket.
            canRead = true
            established(protocolName: info.alpn)
        }
    }

    /// - Parameter protocolName: what ALPN chose; empty without TLS and for an origin that does not choose.
    private func established(protocolName: String) {
        guard let exchange else { return close() }
        let wire = server.settings.wire(of: server.address)
        guard protocolName == "h2" || wire != .http2 || !server.address.secure else {
            return connectFailed(.tls, "the server does not choose HTTP/2 (ALPN `h2`)")
        }
        server.dialEnded()
        if exchange.onlyConnects, !exchange.leavesConnection { return connectedOnly(exchange) }
        if protocolName == "h2" || wire == .http2 { return becomeMultiplexed(exchange) }
        if exchange.leavesConnection { return leftToOthers(exchange) }
        server.connectSucceeded(multiplexed: false)
        start(exchange, reused: false)
    }

    private func connectedOnly(_ exchange: ForwardedExchange) {
        server.connectSucceeded(multiplexed: server.speaksHTTP2)
        state = .idle
        detach()
        close()
        exchange.responseBodyEnded = true
        exchange.originResponded()
    }

    /// A connection opened ahead of need waits for whoever comes.
    private func leftToOthers(_ exchange: ForwardedExchange) {
        server.connectSucceeded(multiplexed: false)
        detach()
        exchange.originResponded()
        server.giveBack(self)
    }

    /// The connection speaks HTTP/2: descriptor and transport go to an object that serves many exchanges at once.
    private func becomeMultiplexed(_ exchange: ForwardedExchange) {
        let server = self.server
        detach()
        context.reactor.cancel(timer)
        context.reactor.remove(self)
        let connection = MultiplexedConnection(fd: fd, server: server, address: address, transport: transport)
        fd = -1
        state = .closed
        server.connectSucceeded(multiplexed: true)
        // The stream that follows is the same attempt.
        exchange.origin.attempts -= 1
        server.adopt(connection, first: exchange)
    }

    // MARK: Events

    public override func ready(_ events: ReadyEvents) {
        if events.contains(.readable) { canRead = true }
        if events.contains(.writable) { canWrite = true }
        if events.contains(.hangup) || events.contains(.error) { sawHangup = true }
        switch state {
        case .connecting: finishConnect(events)
        case .handshaking: advanceHandshake()
        case .idle: if canRead, !isQuiet() { closeIdle() }
        case .awaitingHead where unsent: if canRead, reused, !isQuiet() { movedOnUnsent() }
        case .awaitingHead, .body, .tunnel:
            if !output.isEmpty || isBulky { resumeSoon() }
            if !isBulky { pump() }
        case .closed: break
        }
    }

    /// More of this exchange has passed than of small ones: it goes on when those have had their turn.
    private var isBulky: Bool { received > OriginConnection.bulk || bodyBytes > OriginConnection.bulk }
    private static let bulk = 64 << 10

    private func finishConnect(_ events: ReadyEvents) {
        guard events.contains(.writable) || events.contains(.error) else { return }
        if let error = Connecting.result(fd) {
            if let rival = rivals?.takeFirst() { return moveTo(rival, connected: false) }
            return connectFailed(.connect, error.reason)
        }
        connected()
    }

    /// Another address's attempt takes the place of this one.
    func moveTo(_ rival: OriginRival, connected isConnected: Bool) {
        if isConnected { server.addresses.wasOvertaken(address, now: context.reactor.now) }
        context.reactor.close(self)
        context.reactor.remove(rival)
        fd = rival.fd
        rival.fd = -1
        address = rival.address
        addressNumber = rival.number
        // What was seen of the connection before says nothing of this one.
        canRead = false
        sawHangup = false
        exchange?.origin.address = address.ip
        exchange?.origin.port = address.port
        transport = SocketTransport(fd: fd, reactor: context.reactor)
        do throws(SystemError) {
            try context.reactor.add(self)
        } catch {
            return connectFailed(.connect, "\(error)")
        }
        if isConnected { connected() }
    }

    /// The end of the turn: what waited is sent, and reading goes on where there is room again.
    public override func resume() {
        resumePending = false
        switch state {
        case .awaitingHead, .body, .tunnel:
            flush()
            pump()
        case .connecting, .handshaking, .idle, .closed: break
        }
    }

    func resumeSoon() {
        guard !resumePending else { return }
        resumePending = true
        if isBulky { context.reactor.afterOthers(self) } else { context.reactor.later(self) }
    }

    /// True when the origin sent nothing and did not end: whatever an origin says unasked, its connection is of no
    /// use any more. Asks the socket only when there is something to be asked.
    func isQuiet() -> Bool {
        guard input.isEmpty, !endOfInput else { return false }
        guard canRead else { return true }
        guard transport.receive(into: &input) == .wouldBlock else { return false }
        canRead = false
        return !sawHangup
    }

    override func lookAgain() {
        guard exchange != nil, !unsent, !endOfInput, state == .awaitingHead || state == .body || state == .tunnel else { return }
        canRead = true
        pump()
    }

    override func timeIsUp() { giveUpWaiting() }
    override var isConnecting: Bool { state == .connecting || state == .handshaking }

    // MARK: The end

    public override func cancel() {
        guard exchange != nil else { return }
        let isUntouched = unsent && state == .awaitingHead
        detach()
        // Not a byte was sent: requests that are reset as fast as they come cost no connection each.
        if isUntouched { server.giveBack(self) } else { close() }
    }

    func detach() {
        guard let exchange else { return }
        exchange.originStream = nil
        self.exchange = nil
        pipe = nil
        moderation?.end()
        context.metrics.subtract(.upstreamConnectionsActive)
        server.ended(exchange)
    }

    /// Waits for the next exchange without holding memory.
    func rest() {
        state = .idle
        input.releaseIfEmpty()
        output.releaseIfEmpty()
        expect(within: server.settings.keepAliveTime)
    }

    func closeIdle() {
        if !sentAny { server.closedUnused() }
        server.dropIdle(self)
        close()
    }

    func close() {
        guard state != .closed else { return }
        if state == .connecting || state == .handshaking { server.dialEnded() }
        if state != .connecting, !transport.isPlain, !endOfInput { transport.finishSending() }
        let isCut = state == .body && !endOfInput && !decoder.isDone
        state = .closed
        rivals?.stop()
        rivals = nil
        context.reactor.cancel(timer)
        if isCut { context.reactor.closeAfterOthers(self) } else { context.reactor.close(self) }
        output.removeAll()
        output.releaseIfEmpty()
        input.consume(input.count)
        input.releaseIfEmpty()
        server.closed(self)
    }

    /// The connection never came about: the name's next address, or the server's failure.
    func connectFailed(_ kind: ErrorKind, _ why: String) {
        guard let exchange else { return close() }
        let server = self.server
        let number = addressNumber
        detach()
        close()
        if kind == .connect, server.hasAddress(after: number) {
            context.metrics.count(failure: .connect)
            return server.connect(exchange, toAddress: number + 1)
        }
        server.connectFailed()
        server.giveUp(exchange, kind, why)
    }
}
