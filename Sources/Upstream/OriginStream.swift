import Buffers
import HTTP
public import Reactor
import Telemetry

/// What works for an exchange at an origin: an HTTP/1.1 connection, or one stream of an HTTP/2 connection.
///
/// No event comes from inside these methods: they note what to do, and it is done at the end of the reactor's turn.
public class OriginStream: Channel {
    /// Changes only while idle, when a newer generation takes the connection over.
    final var server: Server
    final let context: OriginContext
    /// Cut by `detach`, always before the exchange is reused.
    final var exchange: ForwardedExchange?
    /// Of the exchange being served.
    final var times = ExchangeTimes()
    final let timer = OriginTimer()
    /// Monotonic milliseconds; `.max` while nothing is expected of the origin.
    final var deadline = UInt64.max
    /// A tunnel whose client has ended its side (OriginTunnels.swift).
    final var isHalfClosed = false

    init(fd: Int32, server: Server) {
        self.server = server
        context = server.context
        super.init(fd: fd)
        timer.stream = self
    }

    /// `exchange.requestBody` grew or ended.
    public func requestBodyArrived() {}
    /// The exchange took body bytes: reading goes on.
    public func responseBodyDrained() {}
    /// The exchange wants no more of this origin.
    public func cancel() {}

    // MARK: For bodies that the kernel passes on (`OriginSplicing`); never with HTTP/2

    /// Plain bytes in the socket are body bytes.
    public var transportIsPlain: Bool { false }
    /// Bytes of a Content-Length response body that have not been handed on yet; nil for other bodies.
    public var remainingKnownBody: Int? { nil }
    /// Bytes that were received and not handed on: they go first.
    public var hasBufferedBytes: Bool { false }
    /// Lets the rest of a Content-Length body go through `pipe`, which becomes the exchange's `responsePipe`: its bytes
    /// follow those in `responseBody`. `originBodyArrived`, `responseBodyEnded` and `responseBodyDrained` mean what they
    /// always do.
    /// - Returns: false when this body or this connection does not allow it; nothing has changed then.
    public func pass(through pipe: SplicePipe) -> Bool { false }

    // MARK: Time

    /// Sets the time by which something has to happen. The timer moves only when that is earlier than it stands;
    /// coming up too early it looks again.
    final func expect(within milliseconds: UInt64) {
        deadline = context.reactor.now + milliseconds
        if deadline < timer.deadline { context.reactor.schedule(timer, after: milliseconds) }
    }

    final func expectNothing() { deadline = .max }

    fileprivate final func timerFired() {
        let now = context.reactor.now
        guard deadline <= now else {
            if deadline != .max { context.reactor.schedule(timer, after: deadline - now) }
            return
        }
        deadline = .max
        lookAgain()
        if deadline == .max { timeIsUp() }
    }

    /// A loop that was held up sees its timers before the bytes that came meanwhile: look before giving up.
    func lookAgain() {}
    func timeIsUp() {}

    /// The time for the whole exchange is over, and no answer has begun: who has all of the request and owes it is at fault,
    /// unless the time was the client's choice.
    final func isOverdue() {
        guard let exchange, !exchange.attemptTimes.totalIsClients, exchange.requestBodyEnded, exchange.requestBody.isEmpty else { return }
        context.metrics.count(failure: .firstByteTimeout)
        if isConnecting { server.connectFailed() } else { server.attemptFailed(exchange) }
    }

    /// No connection has come about yet.
    var isConnecting: Bool { false }

    // MARK: Attaching

    /// From now on this works for `exchange`.
    final func note(_ exchange: ForwardedExchange, at address: ServerAddress) {
        self.exchange = exchange
        times = exchange.times
        isHalfClosed = false
        exchange.originStream = self
        if exchange.originAttempts > 0 { exchange.anotherAttempt() }
        exchange.noteOriginAttempt(address.ip, port: address.port)
        server.began(exchange)
    }
}

/// Where a connection goes.
struct ServerAddress: Hashable {
    var ip: IPAddress
    var port: UInt16
}

final class OriginTimer: Timer {
    unowned var stream: OriginStream?
    override func fire() { stream?.timerFired() }
}
