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
    var requestBodyEnded = false
    var responseBodyEnded = false
    var wantsUpgrade = false
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
    /// Known when `responseBodyEnded`.
    public final var responseTrailers: Trailers? { get { passage.responseTrailers } set { passage.responseTrailers = newValue } }
    /// Holds body bytes that follow those in `responseBody`, once `OriginStream.pass(through:)` agreed. Whoever
    /// took it from its pool gives it back.
    public final var responsePipe: SplicePipe? { get { passage.responsePipe } set { passage.responsePipe = newValue } }
    /// The connection, or the stream of one, that works for this exchange.
    public final var originStream: OriginStream? { get { passage.originStream } set { passage.originStream = newValue } }
    /// The client asked for an upgrade that may be passed on.
    public final var wantsUpgrade: Bool { get { passage.wantsUpgrade } set { passage.wantsUpgrade = newValue } }
    /// The server this exchange waits at: for a connection, for an address, or to be told of a failure.
    final var waitingAt: Server?
    /// Monotonic milliseconds until which there has to be a connection.
    final var connectBy: UInt64 = 0
    /// The one retry on another server is used up.
    final var triedAnotherServer = false
    /// The one retry after a stale connection is used up.
    final var retriedStale = false

    /// A final head is in `response`. Without a body `responseBodyEnded` is already true and nothing follows.
    open func originResponded() {}
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

    /// Ends whatever an origin does for this exchange. No event follows.
    public final func cancelOrigin() {
        originStream?.cancel()
        originStream = nil
        waitingAt?.forget(self)
        waitingAt = nil
    }

    open override func reset() {
        super.reset()
        requestBody.removeAll()
        responseBody.removeAll()
        passage = Passage()
        waitingAt = nil
    }
}
