public import Buffers
public import HTTP

/// One request and its response on an HTTP/2 connection. The gateway subclasses and reuses it.
///
/// Order of events: `headComplete` once (or `headRefused`), `dataArrived` any number of times,
/// `endOfRequest` at most once, `closed` exactly once. After `closed`, methods do nothing, except
/// that `workEnded` must be called once for every stream that heard `headComplete` or `headRefused`.
open class HTTP2Stream {
    /// 0 while the stream is not in use.
    public internal(set) final var id: Int32 = 0
    /// The request's head. May be swapped with another reset head in `headComplete`.
    public final var head = Head()
    /// Nil once the stream is closed.
    public internal(set) final var session: HTTP2Session?

    public init() {}

    // MARK: Events

    /// The head is complete and legal. `endOfStream`: there is no body; `endOfRequest` follows at once.
    open func headComplete(endOfStream: Bool) {}

    /// The head cannot be served: `.headTooLarge` or `.uriTooLong`. `head` holds what fitted.
    /// By itself answers with the error's status.
    open func headRefused(_ error: ErrorKind) {}

    /// Body bytes. Call `consumed` for them when they have gone on; until then the client's window stays shut.
    open func dataArrived(_ slice: consuming Slice) {}

    /// The request is complete. - Parameter trailers: empty when there were none.
    open func endOfRequest(trailers: borrowing Head) {}

    /// Less than `limits.lowWater` is queued for sending, and the response is not finished.
    open func needsBody() {}

    /// The stream is over: in order (`.noError`), reset by either side, or with its connection.
    open func closed(_ code: HTTP2ErrorCode) {}

    // MARK: The response

    /// Body bytes queued and not yet handed to the output.
    public final var queuedBytes: Int { 0 }

    /// An interim response (1xx except 101), before the final one.
    public final func sendInterim(_ head: borrowing Head) {}

    /// The response head. Names are written in lower case, hop-by-hop fields are not written.
    /// - Parameter endOfStream: there is no body.
    public final func sendResponse(_ head: borrowing Head, endOfStream: Bool) {}

    /// Queues body slices.
    public final func appendBody(_ chain: inout Chain) {}

    /// The body is complete.
    public final func finish() {}

    /// The body is complete; these trailers follow it.
    public final func finish(trailers: borrowing Head) {}

    /// Ends the stream with an error.
    public final func reset(_ code: HTTP2ErrorCode) {}

    /// Opens the client's window by bytes that went on.
    public final func consumed(_ count: Int) {}

    /// Nothing works for this request any more (origin, hooks): its place counts as free again.
    public final func workEnded() {}
}
