import Buffers
import CNghttp2

// What each received frame costs the client, and which frames end the connection.

extension HTTP2Session {
    /// Looks at the frames in `bytes` as far as they are allowed.
    /// - Returns: how many bytes nghttp2 may have, and the failure that stops the rest.
    func account(for bytes: borrowing Span<UInt8>) -> (allowed: Int, failure: (code: HTTP2ErrorCode, note: String)?) {
        var at = 0
        fresh.removeAll(keepingCapacity: true)
        while let (head, begins) = walker.next(bytes, &at) {
            frameBegins(head)
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
            if !defence.data(empty: head.length == 0 && !ends) { calm("too many empty DATA frames") }
        case NGHTTP2_RST_STREAM.rawValue:
            counters.resetsReceived += 1
            countGlitch("too many resets")
        case NGHTTP2_CONTINUATION.rawValue:
            break
        case NGHTTP2_SETTINGS.rawValue:
            // A change of the initial window touches every stream (RFC 9113 section 6.9.2).
            if !defence.control(cost: 1 + streams.count / 8) { calm("too many SETTINGS frames") }
        case NGHTTP2_PRIORITY.rawValue where head.stream == 0:
            fail(.protocolError, "PRIORITY on stream 0")
        case NGHTTP2_PRIORITY.rawValue where head.length != 5:
            fail(.frameSizeError, "PRIORITY of another length than 5")
        default:
            // HEADERS too: a new stream earns more than it costs, one that is over does not.
            if UInt32(head.type) == NGHTTP2_HEADERS.rawValue { headersBegin(head.stream) }
            if !defence.control() { calm("too many control frames") }
        }
    }

    /// Numbers of new streams only grow (RFC 9113 section 5.1.1). `fresh` holds those of this read, which nghttp2
    /// has not seen yet.
    private func headersBegin(_ id: Int32) {
        guard id & 1 == 1, id > history.highest else { return refuseIfOver(id) }
        if id > fresh.last ?? 0 {
            fresh.append(id)
        } else if !fresh.contains(id) {
            fail(.protocolError, "a stream number that goes back")
        }
    }

    /// DATA and HEADERS of a stream that is over are errors (RFC 9113 section 5.1), except that they may have been
    /// on their way when we reset the stream. nghttp2 ignores them all.
    private func refuseIfOver(_ id: Int32) {
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
