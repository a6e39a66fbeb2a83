import CNghttp2

// RFC 9218: the client's wishes (`Priority` field, PRIORITY_UPDATE) order the DATA of its streams; nghttp2 keeps the
// queue. What clients say of priorities in the manner of RFC 7540 is ignored.

extension HTTP2Session {
    /// How many streams that have not begun a client may prioritise: no more than it may open.
    private var prioritisedMost: Int { limits.concurrentStreams }

    /// PRIORITY_UPDATE for a stream. nghttp2 has taken it in.
    func priorityUpdated(_ id: Int32) {
        guard id > history.highest, prioritised.count < prioritisedMost, !prioritised.contains(id) else { return }
        prioritised.append(id)
    }

    /// Without a wish of the client, streams share the connection instead of going one after the other.
    func settlePriority(_ stream: HTTP2Stream) {
        let wished = prioritised.firstIndex(of: stream.id)
        if let wished { prioritised.swapAt(wished, prioritised.count - 1) }
        if wished != nil { prioritised.removeLast() }
        guard wished == nil, !stream.intake.hasPriority else { return }
        var priority = nghttp2_extpri(urgency: UInt32(NGHTTP2_EXTPRI_DEFAULT_URGENCY), inc: 1)
        // SAFETY: the structure is only read inside the call.
        unsafe nghttp2_session_change_extpri_stream_priority(raw, stream.id, &priority, 0)
    }
}
