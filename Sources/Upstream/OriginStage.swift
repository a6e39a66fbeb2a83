import Buffers
import HTTP
import HTTP1
import Reactor
import Telemetry

/// What one attempt to reach a server comes to when origins are played.
public enum StagedOutcome: Sendable {
    /// No connection comes about: `dns`, `connect`, `connectTimeout` or `tls`.
    case unreachable(UnreachableReason, note: String)
    /// The server takes the request and answers with these bytes, each part so many milliseconds after the one before.
    case plays([StagedPart], end: StagedEnd)
}

/// The ways in which no connection comes about.
public enum UnreachableReason: Sendable { case dns, connect, connectTimeout, tls }

public struct StagedPart: Sendable {
    public var delay: Int
    public var bytes: [UInt8]

    public init(delay: Int, bytes: [UInt8]) {
        self.delay = delay
        self.bytes = bytes
    }
}

/// What a played server does after its last part.
public enum StagedEnd: Sendable { case silence, close, reset }

/// A request as a server saw it, byte for byte from the wire.
public struct StagedRequest: Sendable {
    public var method = ""
    /// Path and query.
    public var target = ""
    public var fields: [(name: String, value: String)] = []
    public var body: [UInt8] = []

    public init() {}
}

/// Plays the servers of a rehearsal. Everything above the socket is the real thing: balancing, retries, time limits,
/// what is written to the server and how its answer is read.
open class OriginStage {
    public init() {}

    /// A connection for `exchange` is wanted. Called once for each attempt.
    open func outcome(upstream: String, server: Int, _ exchange: ForwardedExchange) -> StagedOutcome {
        .unreachable(.connect, note: "nobody plays this server")
    }

    /// The whole request of the attempt is there.
    open func received(_ request: StagedRequest, upstream: String, server: Int, _ exchange: ForwardedExchange?) {}
}

extension Server {
    /// In the place of a TCP connection.
    func connect(_ exchange: ForwardedExchange, on stage: OriginStage) {
        switch stage.outcome(upstream: settings.name, server: index, exchange) {
        case .unreachable(let kind, let note):
            connectFailed()
            giveUp(exchange, kind.error, note)
        case .plays(let parts, let end):
            let here = IPAddress(address.host) ?? IPAddress("192.0.2.1") ?? .unspecified
            let connection = OriginConnection(fd: -1, server: self, address: ServerAddress(ip: here, port: address.port), number: 0)
            open += 1
            connection.play(exchange, StagedTransport(stage, parts, end, connection))
        }
    }
}

extension OriginConnection {
    fileprivate func play(_ exchange: ForwardedExchange, _ transport: StagedTransport) {
        // HTTP/1.1 whatever the configuration says: a script says what is answered, not how it is framed.
        self.transport = transport
        attach(exchange)
        exchange.originConnectStart = context.reactor.nowNanoseconds
        context.metrics.add(server.address.secure ? .upstreamConnectsTLS : .upstreamConnectsPlain)
        canWrite = true
        server.connectSucceeded(multiplexed: false)
        start(exchange, reused: false)
    }
}

extension UnreachableReason {
    fileprivate var error: ErrorKind {
        switch self {
        case .dns: .dns
        case .connect: .connect
        case .connectTimeout: .connectTimeout
        case .tls: .tls
        }
    }
}

/// A connection whose other end is a script.
private final class StagedTransport: Transport {
    private let stage: OriginStage
    private let upstream: String
    private let server: Int
    private let player: StagedPlayer
    private weak var exchange: ForwardedExchange?
    private var reader = StagedRequestReader()

    init(_ stage: OriginStage, _ parts: [StagedPart], _ end: StagedEnd, _ connection: OriginConnection) {
        self.stage = stage
        upstream = connection.server.settings.name
        server = connection.server.index
        player = StagedPlayer(parts, end, connection)
        super.init()
    }

    override func send(_ output: inout OutputBuffer) -> IOResult {
        let bytes = output.chain.copyBytes()
        output.dropFirst(bytes.count)
        if exchange == nil { exchange = player.connection?.exchange }
        if let request = reader.take(bytes) {
            stage.received(request, upstream: upstream, server: server, exchange)
            player.begin()
        }
        return .moved(bytes.count, drained: false)
    }

    override func receive(into buffer: inout ReadBuffer) -> IOResult {
        guard player.inbox.isEmpty else {
            let inbox = player.inbox
            let taken = buffer.append(copying: inbox.span)
            player.inbox.removeFirst(taken)
            return .moved(taken, drained: player.inbox.isEmpty && !player.isOver)
        }
        guard player.isOver else { return .wouldBlock }
        switch player.end {
        case .silence: return .wouldBlock
        case .close: return .endOfStream
        case .reset: return .failed(104)  // ECONNRESET
        }
    }
}

/// Brings the parts of an answer at their times. A channel without a descriptor: what is due now comes at the end of
/// the turn, as events of the reactor do.
private final class StagedPlayer: Channel {
    let end: StagedEnd
    weak var connection: OriginConnection?
    var inbox: [UInt8] = []
    private(set) var isOver = false
    private var parts: ArraySlice<StagedPart>
    private let timer = PartTimer()
    private var isPlaying = false

    init(_ parts: [StagedPart], _ end: StagedEnd, _ connection: OriginConnection) {
        self.parts = parts[...]
        self.end = end
        self.connection = connection
        super.init(fd: -1)
        timer.player = self
    }

    func begin() {
        guard !isPlaying else { return }
        isPlaying = true
        waitForNext()
    }

    private func waitForNext() {
        guard let connection else { return }
        let delay = parts.first?.delay ?? 0
        if delay > 0 { connection.context.reactor.schedule(timer, after: UInt64(delay)) } else { connection.context.reactor.later(self) }
    }

    override func resume() { playNext() }

    fileprivate func playNext() {
        guard let connection, connection.state != .closed else { return }
        let part = parts.popFirst()
        if let part { inbox += part.bytes }
        // The end is an event of its own, behind the last bytes: what they say has gone on by then.
        isOver = parts.isEmpty && (part == nil || end == .silence)
        if !isOver { waitForNext() }
        connection.ready(isOver && end != .silence ? [.readable, .hangup] : .readable)
    }
}

private final class PartTimer: Timer {
    weak var player: StagedPlayer?
    override func fire() { player?.playNext() }
}

/// Reads what a gateway writes to a server.
private struct StagedRequestReader {
    private var bytes: [UInt8] = []
    private var position = 0
    private var decoder: BodyDecoder?
    private var request = StagedRequest()

    /// The whole request, once, when it is complete.
    mutating func take(_ more: [UInt8]) -> StagedRequest? {
        bytes += more
        if decoder == nil, !readHead() { return nil }
        return readBody()
    }

    private mutating func readHead() -> Bool {
        var head = Head()
        var parser = RequestParser(allowsConnect: true)
        guard case .complete(let consumed) = parser.parse(bytes.span, into: &head) else { return false }
        request.method = head.text(head.methodName)
        request.target = head.text(head.path) + (head.hasQuery ? "?" + head.text(head.query) : "")
        for field in head.fields { request.fields.append((head.text(field.name), head.text(field.value))) }
        decoder = BodyDecoder(head.body)
        position = consumed
        return true
    }

    private mutating func readBody() -> StagedRequest? {
        var trailers = Head()
        while var decoder {
            if decoder.isDone { return finish() }
            let step = decoder.next(bytes.span.extracting(droppingFirst: position), trailers: &trailers)
            self.decoder = decoder
            switch step {
            case .data(let skip, let count):
                request.body += bytes[position + skip..<position + skip + count]
                position += skip + count
            case .needMore(let consumed):
                position += consumed
                return nil
            case .end: return finish()
            case .failed: return nil
            }
        }
        return nil
    }

    private mutating func finish() -> StagedRequest {
        decoder = nil
        bytes = []
        return request
    }
}
