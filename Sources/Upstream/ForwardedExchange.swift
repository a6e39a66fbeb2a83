public import Buffers
public import HTTP
public import Reactor

/// The fields behind a chunked body. Few exchanges have them, so they are made only then.
public final class Trailers {
    public private(set) var head = Head()

    /// nil when there are none.
    public init?(_ fields: borrowing Head) {
        guard !fields.fields.isEmpty else { return nil }
        head.copy(from: fields)
    }
}

/// What is under way between a client and an origin.
private struct Passage {
    var responseIsTapped = false
    var tappedBodyEnded = false
    var tappedBacklog = 0
    var clientBacklog = 0
    var requestBodyEnded = false
    var responseBodyEnded = false
    var wantsUpgrade = false
    var upgradedByConnect = false
    var requestTrailers: Trailers?
    var responseTrailers: Trailers?
    var responsePipe: SplicePipe?
    var originStream: OriginStream?
}

/// An exchange that goes to an origin. The gateway's runner and hooks' sub-requests subclass it.
///
/// No event is delivered from inside `UpstreamSet.open`, `cancelOrigin` or a method of `originStream`: events come
/// from the reactor's loop only, so a caller never finds its exchange changed by its own call.
open class ForwardedExchange: Exchange {
    /// Bytes that wait to go to the origin.
    public final var requestBody = Chain()
    /// Bytes from the origin that wait for the client.
    public final var responseBody = Chain()
    /// Seen through accessors, as `Exchange` explains.
    private final var passage = Passage()

    public final var requestBodyEnded: Bool { get { passage.requestBodyEnded } set { passage.requestBodyEnded = newValue } }
    /// Known when `requestBodyEnded`; they reach the origin when the body goes there in chunks.
    public final var requestTrailers: Trailers? { get { passage.requestTrailers } set { passage.requestTrailers = newValue } }
    public final var responseBodyEnded: Bool { get { passage.responseBodyEnded } set { passage.responseBodyEnded = newValue } }
    /// True while someone (a hook) reads the origin's body and puts another in its place: what the origin sends then
    /// goes to `tappedBody`, and `responseBody` is theirs.
    public final var responseIsTapped: Bool { get { passage.responseIsTapped } set { passage.responseIsTapped = newValue } }
    public final var tappedBody = Chain()
    public final var tappedBodyEnded: Bool { get { passage.tappedBodyEnded } set { passage.tappedBodyEnded = newValue } }
    /// Bytes taken from `tappedBody` that still wait to be read: the origin is made to wait for them too.
    public final var tappedBacklog: Int { get { passage.tappedBacklog } set { passage.tappedBacklog = newValue } }
    /// Bytes that the client's side has taken and its kernel has not.
    public final var clientBacklog: Int { get { passage.clientBacklog } set { passage.clientBacklog = newValue } }
    /// Known when `responseBodyEnded`.
    public final var responseTrailers: Trailers? { get { passage.responseTrailers } set { passage.responseTrailers = newValue } }
    /// Holds body bytes that follow those in `responseBody`, once `OriginStream.pass(through:)` agreed. Whoever
    /// took it from its pool gives it back.
    public final var responsePipe: SplicePipe? { get { passage.responsePipe } set { passage.responsePipe = newValue } }
    public final var hasResponsePipe: Bool { passage.responsePipe != nil }
    /// The connection, or the stream of one, that works for this exchange.
    public final var originStream: OriginStream? { get { passage.originStream } set { passage.originStream = newValue } }
    /// The client asked for an upgrade that may be passed on.
    public final var wantsUpgrade: Bool { get { passage.wantsUpgrade } set { passage.wantsUpgrade = newValue } }
    /// The upgrade went to the origin as extended CONNECT (RFC 8441): its answer proves nothing, which it need not.
    public final var upgradedByConnect: Bool { get { passage.upgradedByConnect } set { passage.upgradedByConnect = newValue } }
    /// CONNECT: a connection of its own becomes the tunnel.
    final var opensTunnel: Bool { passage.wantsUpgrade && request.method == .connect }
    /// The server this exchange waits at: for a connection, for an address, or to be told of a failure.
    final var waitingAt: Server?
    /// Monotonic milliseconds until which there has to be a connection.
    final var connectBy: UInt64 = 0
    /// How long each step may take.
    final var times = ExchangeTimes()
    /// Attempts so far, without those on connections that had gone stale.
    final var tries = 1
    /// A health check: no retries, and its failures are judged by its checker alone.
    final var isProbe = false
    /// Wants to know whether a connection comes about, nothing else.
    final var onlyConnects = false
    /// The connection that comes about stays, for others.
    final var leavesConnection = false
    /// The part of the request's body that was handed to an origin, for another attempt.
    private var sentBody = Chain()
    private var keepsBody = false
    /// Bytes of the body went that were not kept.
    private var lostBody = false
    private var totalTimer: TotalTimer?
    /// Between two attempts.
    private var pause: RetryPause?
    /// A call of gRPC that is repeated by its status.
    private(set) final var repeatsGRPC = false
    /// Largest body kept for another attempt.
    private var replayBytes = 0
    /// The one retry after a stale connection is used up.
    final var retriedStale = false
    /// Connections that went away before they had looked at it.
    final var moves = 0

    /// Both ends of the client's connection, for the PROXY protocol; nil when there is no client.
    open var clientAddresses: ProxyHeader.Addresses? { nil }

    /// A final head is in `response`. Without a body `responseBodyEnded` is already true and nothing follows.
    open func originResponded() {}
    /// An attempt failed (`origin` still tells of it), and another one begins.
    open func anotherAttempt() {}
    /// An interim head (1xx, not 101) is in `response`.
    open func originInterim() {}
    /// `responseBody` grew, or `responseBodyEnded` became true.
    open func originBodyArrived() {}
    /// What waited in `requestBody` is on its way: the client may go on.
    open func originWantsBody() {}
    /// The origin cannot be had, or broke off. At most once, and nothing follows.
    open func originFailed(_ error: GatewayError) {}
    /// 101: both directions are raw bytes from now on, through the same chains. `requestBodyEnded` is false again
    /// and means that the client will send no more; each side may end before the other.
    open func originUpgraded() {}

    /// A piece of the origin's body.
    final func receiveBody(_ slice: consuming Slice) {
        if responseIsTapped { tappedBody.append(slice) } else { responseBody.append(slice) }
    }

    /// The origin's body is complete.
    final func endBody() {
        if responseIsTapped { tappedBodyEnded = true } else { responseBodyEnded = true }
    }

    /// Bytes from the origin that wait for whoever takes them.
    final var responseBacklog: Int { responseIsTapped ? tappedBody.byteCount + tappedBacklog : responseBody.byteCount }

    /// Ends whatever an origin does for this exchange. No event follows.
    public final func cancelOrigin() {
        originStream?.cancel()
        originStream = nil
        waitingAt?.forget(self)
        waitingAt = nil
        pause?.stop()
        pause = nil
    }

    open override func reset() {
        super.reset()
        if keepsBody { sentBody.removeAll() }
        totalTimer?.stop()
        requestBody.removeAll()
        responseBody.removeAll()
        passage = Passage()
        tappedBody.removeAll()
        waitingAt = nil
        pause?.stop()
        pause = nil
    }

    // MARK: For another attempt

    /// Makes the exchange ready for its first attempt.
    final func beginAttempts(_ group: ServerGroup, _ reactor: Reactor) {
        let policy = retry ?? group.settings.retry
        tries = 1
        retriedStale = false
        moves = 0
        lostBody = false
        replayBytes = policy.bodyBytes
        repeatsGRPC = !policy.grpcStatuses.isEmpty && request.isGRPC
        keepsBody = policy.repeatsSentRequests || policy.tries > 1 && group.mayMultiplex
        times = group.times.with(attemptTimes, perTry: policy.perTry)
        guard times.total > 0 else { return }
        let timer = totalTimer ?? TotalTimer(self, reactor)
        totalTimer = timer
        reactor.schedule(timer, after: times.total)
    }

    /// Notes that the origin gets these bytes, and keeps them while they are few.
    @inline(__always)
    final func bodyGoes(_ slice: borrowing Slice) {
        guard keepsBody, !lostBody, sentBody.byteCount + slice.count <= replayBytes else {
            lostBody = true
            if keepsBody { sentBody.removeAll() }
            return
        }
        sentBody.append(slice.steady())
    }

    final var bodyIsReplayable: Bool { !lostBody }

    /// What was sent is to be sent again.
    final func rewindBody() {
        guard !sentBody.isEmpty else { return }
        sentBody.append(contentsOf: &requestBody)
        swap(&sentBody, &requestBody)
    }

    /// Whether an attempt that begins so many milliseconds from now can bring anything.
    final func hasTime(for milliseconds: Int) -> Bool {
        guard milliseconds > 0, let totalTimer, totalTimer.isScheduled else { return true }
        return totalTimer.isLater(than: milliseconds)
    }

    final func rest(_ pause: RetryPause, _ milliseconds: Int, _ reactor: Reactor) {
        self.pause = pause
        reactor.schedule(pause, after: UInt64(milliseconds))
    }

    final func restIsOver() { pause = nil }

    /// An answer is on its way to the client: there will be no other attempt.
    final func attemptsEnded() {
        if !sentBody.isEmpty { sentBody.removeAll() }
    }

    /// No attempt is left.
    final func endFailed(_ error: GatewayError) {
        attemptsEnded()
        originFailed(error)
    }

    /// Both sides are raw bytes by now: a time for the whole of an answer does not bound them.
    private var isTunnel: Bool { response.status == 101 || opensTunnel && response.status == 200 }

    fileprivate final func totalTimeIsUp() {
        guard originStream != nil || waitingAt != nil || pause != nil, !isTunnel else { return }
        let headSeen = origin.firstByte != 0 && response.status >= 200
        if !headSeen { originStream?.isOverdue() }
        cancelOrigin()
        endFailed(GatewayError(
            headSeen ? .idleTimeout : .firstByteTimeout, in: headSeen ? .responseBody : .responseHead, note: "not complete within \(times.total) ms"))
    }
}

/// Ends an exchange that takes too long in all.
private final class TotalTimer: Timer {
    private weak var exchange: ForwardedExchange?
    private unowned let reactor: Reactor

    init(_ exchange: ForwardedExchange, _ reactor: Reactor) {
        self.exchange = exchange
        self.reactor = reactor
    }

    func stop() { if isScheduled { reactor.cancel(self) } }
    func isLater(than milliseconds: Int) -> Bool { deadline > reactor.now + UInt64(milliseconds) }
    override func fire() { exchange?.totalTimeIsUp() }
}

/// Milliseconds that the steps of one exchange may take.
struct ExchangeTimes {
    var connect: UInt64 = 0
    var firstByte: UInt64 = 0
    var idle: UInt64 = 0
    /// Of a tunnel whose client has ended its side.
    var halfClosed: UInt64 = 0
    /// 0: as long as it takes.
    var total: UInt64 = 0

    init() {}

    init(_ settings: UpstreamSettings) {
        connect = settings.connectTimeout
        firstByte = settings.firstByteTimeout
        idle = settings.idleTimeout
        halfClosed = settings.halfClosedTimeout
        total = settings.totalTimeout
    }

    /// The same with what an exchange asks for itself.
    func with(_ own: AttemptTimes, perTry: Int) -> ExchangeTimes {
        var times = self
        if own.connect > 0 { times.connect = UInt64(own.connect) }
        if own.firstByte > 0 { times.firstByte = UInt64(own.firstByte) }
        if perTry > 0 { times.firstByte = min(times.firstByte, UInt64(perTry)) }
        if own.idle > 0 { times.idle = UInt64(own.idle) }
        if own.total > 0 { times.total = UInt64(own.total) }
        return times
    }
}

/// How many bytes of an answer may wait for a client, by how many it has taken.
public enum Appetite {
    /// For a client that has taken nothing yet.
    public static let least = 32 << 10

    public static func room(taken: Int) -> Int { max(least, taken / 4) }
}
