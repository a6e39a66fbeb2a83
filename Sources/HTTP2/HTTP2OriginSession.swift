public import Buffers
import CNghttp2
public import HTTP

/// The client's end of one HTTP/2 connection: requests out, responses in. What `HTTP2Session` says of events, windows
/// and limits holds here too, with the origin as the peer.
@safe open class HTTP2OriginSession: HTTP2Session {
    /// The origin said GOAWAY: no new streams; those it refuses close with REFUSED_STREAM.
    public fileprivate(set) final var isGoingAway = false

    /// - Parameter limits: `concurrentStreams` is how many requests are sent at once, if the origin allows as many.
    public init(pool: SlabPool, limits: HTTP2Limits) { super.init(pool: pool, limits: limits, role: .client) }

    /// The origin's SETTINGS have been seen.
    public fileprivate(set) final var hasSettings = false
    /// SETTINGS came, the first (`hasSettings` is true) or others: `capacity` may have grown.
    open func settingsArrived() {}

    /// The origin begins to end the connection; `isGoingAway` is true.
    open func goingAway() {}

    /// Requests that may run at once. Before its SETTINGS nobody knows what an origin allows: one.
    public final var capacity: Int {
        // SAFETY: nil is not passed.
        guard let raw = unsafe raw else { return 0 }
        guard hasSettings else { return 1 }
        let allowed = unsafe nghttp2_session_get_remote_settings(raw, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
        return min(limits.concurrentStreams, Int(clamping: allowed))
    }

    /// One more request may begin.
    public final var canOpen: Bool {
        guard let raw = unsafe raw, failure == nil, !isGoingAway, active < capacity else { return false }
        // SAFETY: the session is alive.
        return unsafe nghttp2_session_check_request_allowed(raw) != 0
    }

    /// The origin takes extended CONNECT (RFC 8441 section 3).
    public final var allowsExtendedConnect: Bool {
        guard let raw = unsafe raw, hasSettings else { return false }
        // SAFETY: the session is alive.
        return unsafe nghttp2_session_get_remote_settings(raw, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1
    }

    /// Begins a request. Its body follows by the stream's methods.
    /// - Parameters:
    ///   - secure: the connection has TLS; the client's scheme is told by fields.
    ///   - endOfStream: there is no body and there are no trailers.
    ///   - webSocket: an upgrade that goes as extended CONNECT: what follows are bytes of a tunnel.
    /// - Returns: false when the connection takes no more; nothing has changed then.
    public final func open(
        _ stream: HTTP2OriginStream, _ head: borrowing Head, secure: Bool, endOfStream: Bool, webSocket: Bool = false
    ) -> Bool {
        guard canOpen, stream.link == nil, stream.slot < 0 else { return false }
        stream.state.announced = true
        stream.state.workEnded = true
        stream.state.responded = true
        stream.state.finished = endOfStream
        stream.link = self
        stream.owner = self
        var vectors = FieldVectors(head)
        let count = vectors.fillRequest(head, secure: secure, webSocket: webSocket)
        guard submitRequest(vectors, count, on: stream, endOfStream: endOfStream) else {
            stream.prepareForReuse()
            stream.link = nil
            stream.owner = nil
            return false
        }
        stream.slot = streams.count
        streams.append(stream)
        active += 1
        counts.streams += 1
        defence.earn(4)
        return true
    }

    /// - Parameter count: of the fields in `vectors`, whose head the caller still borrows.
    private func submitRequest(_ vectors: borrowing FieldVectors, _ count: Int, on stream: HTTP2OriginStream, endOfStream: Bool) -> Bool {
        // SAFETY: nghttp2 copies names and values before it returns; the pointer is the stream, which `streams` holds
        // until its stream in nghttp2 has ended.
        let pointer = unsafe Unmanaged.passUnretained(stream).toOpaque()
        var provider = unsafe nghttp2_data_provider()
        unsafe provider.source.ptr = pointer
        unsafe provider.read_callback = readBody
        let id: Int32
        if endOfStream {
            id = unsafe vectors.lend { unsafe nghttp2_submit_request(raw, nil, $0, count, nil, pointer) }
        } else {
            id = unsafe vectors.lend { unsafe nghttp2_submit_request(raw, nil, $0, count, &provider, pointer) }
        }
        guard id > 0 else { return false }
        stream.number = id
        noteOutput()
        return true
    }
}

/// One request to an origin and its response. Subclassed and reused.
///
/// Order of events: `interim` any number of times, `headComplete` once, `dataArrived` any number of times,
/// `endOfRequest` (here: of the response) at most once, `closed` exactly once. Body and trailers of the request go by
/// the methods of `HTTP2Stream`.
open class HTTP2OriginStream: HTTP2Stream {
    /// An interim head (1xx) is in `head`.
    open func interim() {}
    /// The end of the request is with the output.
    open func requestSent() {}

    final override func interimReceived() { interim() }
    final override func requestWritten() { requestSent() }

    /// The origin broke the protocol on this stream, or its head was beyond the limits.
    public final var isFaulty: Bool { state.faultCounted }
}

extension HTTP2Session {
    /// A head or trailers of `decoding` begin.
    func beginResponse() {
        guard let stream = decoding, !stream.state.headSeen else { return }
        stream.head.reset()
        stream.responseIntake = ResponseIntake()
    }

    /// A HEADERS or DATA frame of a response is complete.
    func responseFrame(_ stream: HTTP2Stream, isHead: Bool, endOfStream: Bool) {
        if isHead, !stream.state.headSeen { return responseHead(stream, endOfStream: endOfStream) }
        guard endOfStream else { return }
        if !isHead { trailers.reset() }
        requestEnded(stream)
    }

    private func responseHead(_ stream: HTTP2Stream, endOfStream: Bool) {
        guard !stream.state.faultCounted, !stream.state.closed else { return }
        guard stream.responseIntake.complete(&stream.head) else { return refuse(stream, .protocolError) }
        pool.copied.head += stream.head.arena.count
        guard stream.head.status >= 200 else { return stream.interimReceived() }
        stream.state.headSeen = true
        stream.state.requestEnded = endOfStream
        stream.headComplete(endOfStream: endOfStream)
        trailers.reset()
        if endOfStream, stream.link != nil { stream.endOfRequest(trailers: trailers) }
    }

    /// A connection's frame that streams do not hear of.
    func originFrame(_ type: UInt32, _ flags: UInt8) {
        guard role == .client, let session = self as? HTTP2OriginSession else { return }
        if type == NGHTTP2_GOAWAY.rawValue { return session.goAwayReceived() }
        guard type == NGHTTP2_SETTINGS.rawValue, flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0 else { return }
        session.hasSettings = true
        session.settingsArrived()
    }
}

extension HTTP2OriginSession {
    fileprivate func goAwayReceived() {
        guard !isGoingAway else { return }
        isGoingAway = true
        goingAway()
    }
}

extension HTTP2Session {
    /// The head of a request was not sent: as good as refused (RFC 9113 section 8.7).
    func notSent(_ id: Int32) {
        guard role == .client, let stream = streams.first(where: { $0.id == id }) else { return }
        // SAFETY: the session is alive. A stream that nghttp2 has opened already it will close itself.
        guard unsafe nghttp2_session_find_stream(raw, id) == nil else { return }
        streamClosed(stream, .refusedStream)
    }

    /// What a frame of an origin costs it. Responses are earned by requests, everything else is bounded.
    func originFrameBegins(_ head: FrameHead) {
        switch UInt32(head.type) {
        case NGHTTP2_DATA.rawValue:
            let ends = head.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
            if !defence.data(empty: head.length == 0 && !ends) { calm(.emptyData, "too many empty DATA frames") }
        case NGHTTP2_CONTINUATION.rawValue: break
        case NGHTTP2_RST_STREAM.rawValue: counts.resetsReceived += 1
        case NGHTTP2_SETTINGS.rawValue:
            if !defence.control(cost: 1 + streams.count / 8) { calm(.settings, "too many SETTINGS frames") }
        default: if !defence.control() { calm(.frames, "too many control frames") }
        }
    }
}
