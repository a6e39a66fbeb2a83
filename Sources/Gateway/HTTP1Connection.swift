import Buffers
import HTTP
import HTTP1
import Reactor
import Rules
import Telemetry
import Upstream

/// One client connection that speaks HTTP/1.1.
///
/// `pump` reads and feeds the runner; `resume` (end of the turn) sends what gathered. Reading stops when
/// the exchange holds enough, and pipelined requests wait in the input until their turn.
final class HTTP1Connection: ClientStream, Drainable {
    enum Reading {
        /// Waiting for, or inside, a request head.
        case head
        case body
        /// The request is complete; its response is not.
        case complete
        /// The response went out before the request ended: the rest is read and thrown away.
        case lingering
        case tunnel
    }

    let worker: Worker
    let listener: ListenerState
    let client: ClientInfo
    let transport: Transport
    var input: ReadBuffer
    var output: OutputBuffer
    var parser: RequestParser
    var decoder = BodyDecoder()
    let timer = ConnectionTimer()

    var reading = Reading.head
    var canRead: Bool
    /// The peer said that it sends no more: a short read does not mean that nothing is left, its end is, and no further
    /// event announces that.
    private(set) var peerHungUp = false
    var canWrite = true
    var endOfInput = false
    var flushPending = false
    var pumping = false

    // The response being sent.
    var persistent = true
    var headSent = false
    var chunked = false
    var responseQueued = false
    var awaitsContinue = false
    var requests = 0
    var sent = 0

    // Progress, for time limits: monotonic milliseconds and byte counts.
    var headStarted: UInt64 = 0
    var lastActivity: UInt64
    var bytesReceived = 0
    var bytesAtCheck = 0
    /// `bytesReceived` when the body that is read began.
    var bodyStart = 0
    var sending = SendProgress()
    /// The client ended its side of a tunnel or a body: what had been taken of it by then (`HTTP1Tunnels.swift`); nil before.
    var takenAtEnd: Int?
    /// What the kernel takes ahead for this client (HTTP1Splicing.swift).
    var sendAhead = SendAhead.little
    /// The client of a tunnel is not read because its origin does not read.
    var tunnelHeld: TunnelHold?
    /// Reading waits for its turn behind what is small.
    private var pumpPending = false

    init(worker: Worker, listener: ListenerState, client: ClientInfo, fd: Int32, transport: Transport) {
        self.worker = worker
        self.listener = listener
        self.client = client
        self.transport = transport
        input = ReadBuffer(pool: worker.pool)
        output = OutputBuffer(pool: worker.pool)
        parser = RequestParser(limits: HeadLimits(listener.limits), allowsConnect: listener.allowsConnect)
        lastActivity = worker.now
        canRead = !transport.isDrained
        super.init(fd: fd)
        timer.connection = self
        worker.schedule(timer, after: UInt64(listener.limits.headTimeout))
    }

    override var roundTrip: Int? { ConnectionFacts.roundTrip(fd) }
    override var bytesSent: Int { sent }
    override var isFirst: Bool { requests == 1 }
    override var serving: ListenerState? { listener }
    override var localEnd: Destination? { end }
    private lazy var end = Destination(of: fd)

    override func ready(_ events: ReadyEvents) {
        if events.contains(.readable) { canRead = true }
        if events.contains(.hangup) || events.contains(.error) {
            canRead = true
            peerHungUp = true
            // To one that is closing, what is read says it.
            if events.contains(.error), reading != .lingering, ConnectionFacts.isBroken(fd) { return clientGone() }
            if reading == .tunnel || reading == .body { watchEnd() }
        }
        if events.contains(.writable) {
            canWrite = true
            if !output.isEmpty || pipedBytes > 0 { flushSoon() }
        }
        guard isBulky else { return pump() }
        pumpPending = true
        flushSoon()
    }

    /// A new client comes behind those who are being served.
    func beginSoon() {
        pumpPending = true
        flushPending = true
        worker.afterOthers(self)
    }

    /// More of this body has passed than small requests have: it is moved when those have had their turn.
    var isBulky: Bool {
        sent > HTTP1Connection.bulk || (reading == .body || reading == .tunnel) && bytesReceived &- bodyStart > HTTP1Connection.bulk
    }
    private static let bulk = 64 << 10

    // MARK: Reading

    /// Reads and processes until nothing more can be done now.
    func pump() {
        guard !pumping else { return }
        pumping = true
        while fd >= 0, step() {}
        pumping = false
    }

    /// One step of reading; false when it has to wait.
    private func step() -> Bool {
        switch reading {
        case .head: readHead()
        case .body: readBody()
        case .complete: waitOn()
        case .lingering: discard()
        case .tunnel: readTunnel()
        }
    }

    /// A client that ends its side while it waits has left, in nearly all cases; the others ask for `half_close: serve`.
    private func waitOn() -> Bool {
        if peerHungUp, !responseQueued, !listener.servesHalfClosed { clientGone() }
        return false
    }

    /// Gets more bytes; false when none are to be had now.
    func receive() -> Bool {
        guard canRead, !endOfInput else { return false }
        switch transport.receive(into: &input) {
        case .moved(let count, let drained):
            if drained, !peerHungUp { canRead = false }
            lastActivity = worker.now
            bytesReceived &+= count
            return true
        case .wouldBlock:
            canRead = false
            return false
        case .endOfStream:
            endOfInput = true
            return reading != .complete
        case .failed:
            clientGone()
            return false
        }
    }

    private func readHead() -> Bool {
        if input.isEmpty {
            if endOfInput {
                close()
                return false
            }
            return receive()
        }
        if headStarted == 0 { headStarted = worker.now }
        if requests == 0, listener.scheme == .http, listener.protocols.contains(.http2), beginsLikeHTTP2 {
            return switchToHTTP2()
        }
        let runner = self.runner ?? worker.takeRunner(for: self, client)
        self.runner = runner
        switch parser.read(&input, into: &runner.request) {
        case .needMore:
            return needMoreOfHead()
        case .failed(let kind, let note):
            refuse(kind, note)
            return false
        case .complete:
            beginExchange(runner)
            return true
        }
    }

    private func needMoreOfHead() -> Bool {
        if endOfInput {
            close()
            return false
        }
        if input.isFull {
            refuse(.headTooLarge, "the head is larger than a read buffer")
            return false
        }
        if canRead { return receive() }
        worker.schedule(timer, after: remaining(UInt64(listener.limits.headTimeout), since: headStarted))
        return false
    }

    private func beginExchange(_ runner: ExchangeRunner) {
        requests += 1
        headStarted = 0
        headSent = false
        chunked = false
        responseQueued = false
        sent = 0
        let wishes = parser.take()
        let body = HTTP1Connection.setScheme(&runner.request, listener.scheme)
        persistent = wishes.persistent && requests < listener.limits.requestsPerConnection
        decoder = BodyDecoder(
            body, trailerBytes: listener.limits.trailerBytes, trailerFields: listener.limits.trailerFields)
        awaitsContinue = wishes.expectsContinue && body != .none
        runner.wantsUpgrade = wishes.wantsUpgrade
        runner.bodyLimit = listener.limits.body ?? .max
        reading = body == .none ? .complete : .body
        runner.requestBodyEnded = reading == .complete
        bodyStart = bytesReceived
        if reading == .body {
            bytesAtCheck = bytesReceived
            worker.schedule(timer, after: UInt64(listener.limits.bodyRateTime))
        }
        runner.begin()
    }

    /// How the body's end is known.
    private static func setScheme(_ head: inout Head, _ scheme: Scheme) -> BodyLength {
        head.scheme = scheme
        return head.body
    }

    private func readBody() -> Bool {
        guard let runner else { return false }
        guard runner.requestBacklog < listener.limits.exchangeBuffer else { return false }
        if awaitsContinue {
            guard runner.wantsRequestBody else { return false }
            awaitsContinue = false
            if input.isEmpty { writeInterim(100) }
        }
        return decodeBody(runner)
    }

    private func decodeBody(_ runner: ExchangeRunner) -> Bool {
        switch decoder.next(input.bytes, trailers: &worker.trailers) {
        case .data(let skip, let count):
            input.consume(skip)
            guard runner.acceptBody(input.takeSlice(count)) else {
                persistent = false
                reading = .lingering
                runner.clientFailed(.bodyTooLarge, note: "the request body is larger than its limit")
                return false
            }
            if decoder.isDone { return bodyComplete(runner) }
            runner.requestBodyArrived()
            return true
        case .needMore(let consumed):
            input.consume(consumed)
            if endOfInput {
                runner.clientFailed(.badRequest, note: "the request body was cut short")
                return false
            }
            return receive()
        case .end(let consumed):
            input.consume(consumed)
            runner.acceptTrailers(worker.trailers)
            worker.trailers.reset()
            return bodyComplete(runner)
        case .failed(let kind, let note):
            persistent = false
            reading = .lingering
            runner.clientFailed(kind, note: note)
            return false
        }
    }

    private func bodyComplete(_ runner: ExchangeRunner) -> Bool {
        reading = .complete
        runner.requestBodyEnded = true
        runner.requestBodyArrived()
        finishIfComplete()
        return true
    }

    private func discard() -> Bool {
        input.consume(input.count)
        if endOfInput || bytesReceived - bytesAtCheck > 1 << 20 {
            if output.isEmpty { close() }
            return false
        }
        return receive()
    }

    override func resume() {
        flushPending = false
        guard fd >= 0 else { return }
        if pumpPending {
            pumpPending = false
            pump()
            guard fd >= 0 else { return }
        }
        flush()
    }

    override func sendInterim(status: Int) { passInterim() }
    override func sendHead() { writeHead() }
    override func responseBodyChanged() { moveBody() }

    override func becomeTunnel() {
        reading = .tunnel
        pump()
    }

    override func resumeRequestBody() {
        if reading == .body || reading == .tunnel { pump() }
    }

    // MARK: Ends

    /// Answers a request that could not be read, and closes.
    private func refuse(_ kind: ErrorKind, _ note: String) {
        guard let runner else { return }
        worker.metrics.add(.http1Errors)
        persistent = false
        reading = .lingering
        headStarted = 0
        bytesAtCheck = bytesReceived
        runner.refuse(kind, note: note)
    }

    func clientGone(reset: Bool = false) {
        if let runner {
            self.runner = nil
            runner.clientGone()
        }
        close(reset: reset)
    }

    override func abort(_ kind: ErrorKind) {
        // A response whose length is known or chunked is cut: the client sees that it is incomplete.
        runner = nil
        close(reset: true)
    }

    /// Idle connections close at once, the others after their response.
    func drain() {
        if runner == nil || (reading == .head && headStarted == 0) { return close() }
        persistent = false
        if hasLeftBehindBody { clientGone() }
    }

    func closeIfIdle() -> Bool {
        guard reading == .head, headStarted == 0, input.isEmpty, output.isEmpty, requests > 0 || worker.now - lastActivity > 1000 else { return false }
        close()
        return true
    }

    func close() { close(reset: false) }

    func close(reset: Bool) {
        guard fd >= 0 else { return }
        worker.cancel(timer)
        timer.connection = nil
        if let runner {
            self.runner = nil
            runner.clientGone()
        }
        if !reset { transport.finishSending() }
        worker.retire(self, client, reset: reset)
    }

    // MARK: Timers

    func remaining(_ limit: UInt64, since start: UInt64) -> UInt64 {
        let due = start + limit
        return due > worker.now ? due - worker.now : 0
    }
}

/// The one timer of a connection; what it means depends on what the connection is doing.
///
/// `unowned`, here and in its siblings: a weak reference would give every connection a side table, and each retain
/// and release of it the slow path. `close` cancels the timer before the connection can go.
final class ConnectionTimer: Timer {
    unowned var connection: HTTP1Connection?

    override func fire() { connection?.timeIsUp() }
}
