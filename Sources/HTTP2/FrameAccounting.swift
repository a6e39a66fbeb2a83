import Buffers
import CNghttp2

// What each received frame costs the client, and which frames end the connection.

extension HTTP2Session {
    /// Looks at the frames in `bytes` as far as they are allowed.
    /// - Returns: how many bytes nghttp2 may have, and the failure that stops the rest.
    func account(for bytes: borrowing Span<UInt8>) -> (allowed: Int, failure: (code: HTTP2ErrorCode, note: String)?) {
        var at = 0
        arrivals.begin()
        while let (head, begins) = walker.next(bytes, &at) {
            frameBegins(head)
            if role == .server, UInt32(head.type) == NGHTTP2_PRIORITY.rawValue { checkDependency(head, bytes.extracting(at..<bytes.count)) }
            guard let found = failure else { continue }
            failure = nil
            return (max(begins, 0), found)
        }
        return (bytes.count, nil)
    }

    private func frameBegins(_ head: FrameHead) {
        if role == .client { return originFrameBegins(head) }
        switch UInt32(head.type) {
        case NGHTTP2_DATA.rawValue:
            refuseIfOver(head.stream)
            let ends = head.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
            if !defence.data(empty: head.length == 0 && !ends) { calm(.emptyData, "too many empty DATA frames") }
        case NGHTTP2_RST_STREAM.rawValue:
            counts.resetsReceived += 1
            arrivals.end(head.stream)
            countGlitch(.resets, "too many resets")
        case NGHTTP2_CONTINUATION.rawValue:
            break
        case NGHTTP2_SETTINGS.rawValue:
            // A change of the initial window touches every stream (RFC 9113 section 6.9.2).
            if !defence.control(cost: 1 + (streams.count + arrivals.count) / 8) { calm(.settings, "too many SETTINGS frames") }
        case NGHTTP2_PRIORITY.rawValue where head.stream == 0:
            fail(.protocolError, "PRIORITY on stream 0")
        case NGHTTP2_PRIORITY.rawValue where head.length != 5:
            fail(.frameSizeError, "PRIORITY of another length than 5")
        case NGHTTP2_PRIORITY.rawValue:
            if !defence.control(cost: limits.priorityCost) { calm(.priority, "too many PRIORITY frames") }
        case NGHTTP2_PING.rawValue:
            if !defence.control() { calm(.ping, "too many PING frames") }
        case NGHTTP2_WINDOW_UPDATE.rawValue:
            if !defence.control() { calm(.windowUpdate, "too many WINDOW_UPDATE frames") }
        default:
            // HEADERS too: a new stream earns more than it costs, one that is over does not.
            if UInt32(head.type) == NGHTTP2_HEADERS.rawValue { headersBegin(head.stream) }
            if !defence.control() { calm(.frames, "too many control frames") }
        }
    }

    /// A stream cannot depend on itself (RFC 7540 section 5.3.1). What else such frames say is ignored, this one by
    /// nghttp2 altogether.
    private func checkDependency(_ head: FrameHead, _ payload: borrowing Span<UInt8>) {
        guard payload.count >= 4, head.length == 5 else { return }
        let parent = Int32(payload[0] & 0x7f) << 24 | Int32(payload[1]) << 16 | Int32(payload[2]) << 8 | Int32(payload[3])
        if parent == head.stream { fail(.protocolError, "a stream that depends on itself") }
    }

    /// Numbers of new streams only grow (RFC 9113 section 5.1.1).
    private func headersBegin(_ id: Int32) {
        guard id & 1 == 1, id > history.highest else { return refuseIfOver(id) }
        switch arrivals.headers(id) {
        case .fine: break
        case .over: refuseIfOver(id)
        case .back: fail(.protocolError, "a stream number that goes back")
        }
    }

    /// DATA and HEADERS of a stream that is over are errors (RFC 9113 section 5.1), except that they may have been
    /// on their way when we reset the stream. nghttp2 ignores them all.
    private func refuseIfOver(_ id: Int32) {
        // Reset by the client in this very read: nghttp2 has not seen it yet.
        if arrivals.hasEnded(id) { return fail(.streamClosed, "a frame of a stream that is over") }
        guard id & 1 == 1, id <= history.highest else { return }
        // SAFETY: the session is alive.
        guard unsafe nghttp2_session_find_stream(raw, id) == nil else { return }
        switch history.fate(of: id) {
        case .resetByUs: break
        case .closed: fail(.streamClosed, "a frame of a stream that is over")
        case .unknown: fail(.protocolError, "a stream number that goes back")
        }
    }
}

/// Streams that begin and end in one read, which nghttp2 has not seen yet.
struct Arrivals {
    /// New ones, in order.
    private var fresh: [Int32] = []
    /// Those that the client resets.
    private var ended: [Int32] = []

    var count: Int { fresh.count }

    mutating func begin() {
        if !fresh.isEmpty { fresh.removeAll(keepingCapacity: true) }
        if !ended.isEmpty { ended.removeAll(keepingCapacity: true) }
    }

    mutating func end(_ id: Int32) { ended.append(id) }

    func hasEnded(_ id: Int32) -> Bool { ended.contains(id) }

    enum Standing { case fine, over, back }

    /// HEADERS of a stream that is new to nghttp2: its first, or trailers.
    mutating func headers(_ id: Int32) -> Standing {
        if ended.contains(id) { return .over }
        if id > fresh.last ?? 0 {
            fresh.append(id)
            return .fine
        }
        return fresh.contains(id) ? .fine : .back
    }
}
