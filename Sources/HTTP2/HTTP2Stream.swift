public import Buffers
import CNghttp2
public import HTTP

/// One request and its response on an HTTP/2 connection. The gateway subclasses and reuses it.
///
/// Order of events: `headComplete` once (or `headRefused`), `dataArrived` any number of times,
/// `endOfRequest` at most once, `closed` exactly once. After `closed`, methods do nothing, except
/// that `workEnded` must be called once for every stream that heard `headComplete` or `headRefused`.
open class HTTP2Stream {
    /// 0 while the stream is not in use.
    public final var id: Int32 { number }
    final var number: Int32 = 0
    /// The request's head. May be swapped with another reset head in `headComplete`.
    public final var head = Head()
    /// An extended CONNECT that asks for WebSocket, or for another protocol (RFC 8441). The head says CONNECT and
    /// has a path; DATA are the protocol's bytes.
    public final var asksForWebSocket: Bool { intake.upgrade == .webSocket }
    public final var asksForOtherProtocol: Bool { intake.upgrade == .other }
    /// Nil once the stream is closed.
    public final var session: HTTP2Session? { link }
    /// What others see by a getter is stored where they cannot reach it: accesses need no check then
    /// (docs/decisions/0004-exclusivity-without-a-price.md).
    final var link: HTTP2Session?

    /// Where the stream counts as active, until `workEnded`.
    final var owner: HTTP2Session?
    final var slot = -1
    final var intake = HeadIntake()
    /// For the client's end.
    final var responseIntake = ResponseIntake()
    final var body = Chain()
    final var trailers: StoredTrailers?
    final var state = StreamState()

    public init() {}

    /// Builds the head from the fields that were decoded.
    final func takeHead(
        _ collected: UnsafeMutablePointer<CollectedFields>, _ limits: HTTP2Limits, endOfStream: Bool
    ) -> HeadIntake.Verdict {
        var taken = HeadIntake()
        // SAFETY: the session's, which calls.
        let verdict = unsafe taken.take(collected.pointee, endOfStream: endOfStream, into: &head, limits)
        unsafe collected.pointee.end()
        intake = taken
        return verdict
    }

    /// Makes the object ready for the next request.
    final func prepareForReuse() {
        number = 0
        slot = -1
        // Intakes begin anew with the next head.
        head.reset()
        body.removeAll()
        trailers?.head.reset()
        state = StreamState()
    }

    // MARK: Events

    /// The head is complete and legal. `endOfStream`: there is no body; `endOfRequest` follows at once.
    open func headComplete(endOfStream: Bool) {}

    /// The head cannot be served: `.headTooLarge` or `.uriTooLong`. `head` holds what fitted.
    /// By itself answers with the error's status.
    open func headRefused(_ error: ErrorKind) {
        var answer = Head()
        answer.status = error.status
        answer.add(.contentLength, "0")
        sendResponse(answer, endOfStream: true)
        workEnded()
    }

    /// Body bytes. Call `consumed` for them when they have gone on; until then the client's window stays shut.
    open func dataArrived(_ slice: consuming Slice) {}

    /// The request is complete. - Parameter trailers: empty when there were none.
    open func endOfRequest(trailers: borrowing Head) {}

    /// Less than `limits.lowWater` is queued for sending, and the response is not finished.
    open func needsBody() {}

    /// The stream is over: in order (`.noError`), reset by either side, or with its connection.
    open func closed(_ code: HTTP2ErrorCode) {}

    // MARK: The client's end, see `HTTP2OriginStream`

    /// A head of status 1xx is complete.
    func interimReceived() {}
    /// All of the request is with the output.
    func requestWritten() {}

    // MARK: The response

    /// Body bytes queued and not yet handed to the output.
    public final var queuedBytes: Int { body.byteCount }
    /// Body bytes handed to the output.
    public final var sentBytes: Int { state.sent }
    /// Body bytes received.
    public final var receivedBytes: Int { state.received }
    /// The client has sent all of its request.
    public final var requestEnded: Bool { state.requestEnded }
    /// The client may send: what it sent has gone on, so that its window is open.
    public final var isAwaited: Bool { state.unconsumed == 0 }

    /// An interim response (1xx except 101), before the final one.
    public final func sendInterim(_ head: borrowing Head) {
        guard let session = link, !state.responded else { return }
        session.submitInterim(head, on: self)
    }

    /// The response head. Names are written in lower case, hop-by-hop fields are not written.
    /// - Parameter endOfStream: there is no body.
    public final func sendResponse(_ head: borrowing Head, endOfStream: Bool) {
        guard let session = link, !state.responded else { return }
        state.responded = true
        state.finished = endOfStream
        session.submitResponse(head, on: self, endOfStream: endOfStream)
    }

    /// Queues body slices.
    public final func appendBody(_ chain: inout Chain) {
        guard let session = link, !state.finished, !state.resetByUs else { return chain.removeAll() }
        body.append(contentsOf: &chain)
        session.resume(self)
    }

    /// The body is complete.
    public final func finish() {
        guard let session = link, !state.finished else { return }
        state.finished = true
        session.resume(self)
    }

    /// The body is complete; these trailers follow it.
    public final func finish(trailers: borrowing Head) {
        guard let session = link, !state.finished else { return }
        if !trailers.fields.isEmpty {
            if self.trailers == nil { self.trailers = StoredTrailers() }
            self.trailers?.head.copy(from: trailers)
            state.hasTrailers = true
        }
        state.finished = true
        session.resume(self)
    }

    /// Ends the stream with an error. What is queued is not sent.
    ///
    /// `.noError` after the end of the response does nothing: when the response has been sent and the request
    /// is not complete, the session asks for no more of it by itself.
    public final func reset(_ code: HTTP2ErrorCode) {
        guard let session = link, !state.resetByUs else { return }
        if code == .noError, state.finished { return }
        state.resetByUs = true
        body.removeAll()
        session.submitReset(id, code)
    }

    /// Opens the client's window by bytes that went on.
    public final func consumed(_ count: Int) {
        guard let session = link, count > 0 else { return }
        let count = min(count, state.unconsumed)
        state.unconsumed -= count
        session.consume(count, on: id)
    }

    /// Nothing works for this request any more (origin, hooks): its place counts as free again.
    public final func workEnded() {
        guard let owner, state.announced, !state.workEnded else { return }
        state.workEnded = true
        owner.workEnded(self)
    }
}

/// Where a stream stands between nghttp2 and the gateway.
struct StreamState {
    /// The gateway heard of the request.
    var announced = false
    var workEnded = false
    var closed = false
    var requestEnded = false
    /// The client's end: the final head has been received.
    var headSeen = false
    var responded = false
    /// The response's body is complete (its bytes may still be queued).
    var finished = false
    var hasTrailers = false
    /// nghttp2 waits for `nghttp2_session_resume_data`.
    var deferred = false
    var resetByUs = false
    /// A fault of this stream was counted against the client already.
    var faultCounted = false
    /// In the session's list of streams that want more body.
    var hungry = false
    /// Body bytes the gateway has and did not report as gone on.
    var unconsumed = 0
    var received = 0
    var sent = 0
    /// Body bytes that the request's content-length allows; the largest number when nobody said.
    var expected = Int.max

    /// The request ends before its content-length.
    var lacksBytes: Bool { expected != .max && received < expected }
}

/// Trailers that wait for the end of their body. Only few streams ever need the room.
final class StoredTrailers {
    var head = Head()
}
