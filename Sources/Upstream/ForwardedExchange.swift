public import Buffers
public import HTTP

/// An exchange that goes to an origin. The gateway's runner and hooks' sub-requests subclass it.
open class ForwardedExchange: Exchange {
    /// Bytes that wait to go to the origin.
    public final var requestBody = Chain()
    public final var requestBodyEnded = false
    /// Bytes from the origin that wait for the client.
    public final var responseBody = Chain()
    public final var responseBodyEnded = false
    /// The connection that works for this exchange.
    public final var originStream: OriginConnection?
    /// The server this exchange waits at for a connection or an address.
    final var waitingAt: Server?
    /// The client asked for an upgrade that may be passed on.
    public final var wantsUpgrade = false

    /// A final head is in `response`.
    open func originResponded() {}
    /// An interim head (1xx, not 101) is in `response`.
    open func originInterim() {}
    /// `responseBody` grew, or `responseBodyEnded` became true.
    open func originBodyArrived() {}
    /// What was queued for the origin is sent: the client may go on.
    open func originWantsBody() {}
    /// The origin cannot be had, or broke off. At most once, and nothing follows.
    open func originFailed(_ error: GatewayError) {}
    /// 101: both directions are raw bytes from now on, through the same chains.
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
        requestBodyEnded = false
        responseBody.removeAll()
        responseBodyEnded = false
        originStream = nil
        waitingAt = nil
        wantsUpgrade = false
    }
}
