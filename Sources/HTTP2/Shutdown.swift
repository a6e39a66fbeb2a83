import CNghttp2

// How a connection ends in order (RFC 9113 section 6.8): a notice first, then, when all streams that were on their
// way have been seen, the number of the last one.

extension HTTP2Session {
    /// Says that the connection will end; requests already on their way are still served. A PING follows: when its
    /// answer is here, so is every stream that began before the notice arrived, and new ones are refused.
    /// Call `finishShutdown` for a client that does not answer.
    public final func beginShutdown() {
        guard let raw = unsafe raw, shutdown == .none else { return }
        shutdown = .noticed
        // SAFETY: the session is alive.
        unsafe nghttp2_submit_shutdown_notice(raw)
        noteOutput()
    }

    /// Refuses new streams from now on. Alone it tells a client less than `beginShutdown` first.
    public final func finishShutdown() {
        guard let raw = unsafe raw, shutdown != .final else { return }
        shutdown = .final
        // SAFETY: the session is alive; no debug data is given.
        let last = unsafe nghttp2_session_get_last_proc_stream_id(raw)
        unsafe nghttp2_submit_goaway(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, 0, nil, 0)
        noteOutput()
    }

    /// The notice is written; a PING submitted with it would overtake it.
    func noticeSent() {
        guard shutdown == .noticed else { return }
        // SAFETY: the session is alive; without data, the PING carries zeroes.
        unsafe nghttp2_submit_ping(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
    }

    /// The answer to a PING.
    func pingAnswered() { if shutdown == .noticed { finishShutdown() } }

    /// Goes through the streams whose request the gateway heard of and that are not closed.
    public final func forEachStream(_ body: (HTTP2Stream) -> Void) {
        // A stream may end in `body`, and the list is then another.
        var index = streams.count - 1
        while index >= 0 {
            if index < streams.count, streams[index].state.announced, !streams[index].state.closed { body(streams[index]) }
            index -= 1
        }
    }
}
