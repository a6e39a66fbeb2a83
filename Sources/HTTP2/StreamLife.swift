import Buffers
import CNghttp2
import HTTP

// How streams begin and end, and what the client's faults cost it.

extension HTTP2Session {
    /// A new request. False: the stream was refused.
    func beginStream(_ id: Int32) -> Bool {
        counts.streams += 1
        decoding = nil
        history.highest = id
        guard active < limits.concurrentStreams else {
            refuse(id, .refusedStream)
            return false
        }
        let stream = makeStream()
        stream.number = id
        stream.link = self
        stream.owner = self
        stream.slot = streams.count
        streams.append(stream)
        // SAFETY: the session's list holds the stream until it is closed and its work has ended.
        unsafe nghttp2_session_set_stream_user_data(raw, id, Unmanaged.passUnretained(stream).toOpaque())
        decoding = stream
        defence.earn(4)
        if counts.streams >= limits.requestsPerConnection { finishShutdown() }
        return true
    }

    /// Resets a stream for a fault of the client.
    func refuse(_ id: Int32, _ code: HTTP2ErrorCode, _ kind: HTTP2Flood = .provoked) {
        submitReset(id, code)
        counts.streamErrors += 1
        countGlitch(kind, "too many faults or refused streams")
    }

    /// Resets a stream whose head is malformed.
    func refuse(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        guard !stream.state.faultCounted else { return }
        stream.state.faultCounted = true
        refuse(stream.number, code, .malformed)
    }

    func countGlitch(_ kind: HTTP2Flood, _ note: StaticString) {
        counts.glitches += 1
        if !defence.glitch() { calm(kind, note) }
    }

    /// The client asked too much.
    func calm(_ kind: HTTP2Flood, _ note: StaticString) {
        if failure == nil { flood = kind }
        fail(.enhanceYourCalm, note)
    }

    func fail(_ code: HTTP2ErrorCode, _ note: StaticString) {
        if failure == nil { failure = (code, "\(note)") }
    }

    /// A request's head is complete.
    func headComplete(_ stream: HTTP2Stream, endOfStream: Bool) {
        guard !stream.state.faultCounted, !stream.state.closed else { return }
        // SAFETY: lives as long as this object.
        guard case .fine = unsafe stream.takeHead(collected, limits, endOfStream: endOfStream) else {
            return refuse(stream, .protocolError)
        }
        settlePriority(stream)
        active += 1
        stream.state.announced = true
        stream.state.requestEnded = endOfStream
        stream.state.expected = stream.intake.bodyBytes ?? .max
        pool.copied.head += stream.head.arena.count
        if let refusal = stream.intake.refusal {
            // Decoding it cost us far more than sending it cost the client.
            countGlitch(.headers, "too many heads beyond the limits")
            return stream.headRefused(refusal)
        }
        stream.headComplete(endOfStream: endOfStream)
        if endOfStream, stream.link != nil { stream.endOfRequest(trailers: trailers) }
    }

    func requestEnded(_ stream: HTTP2Stream) {
        guard stream.state.announced, !stream.state.requestEnded, !stream.state.faultCounted else { return }
        if stream.state.lacksBytes, !stream.state.resetByUs { return refuse(stream, .protocolError) }
        stream.state.requestEnded = true
        if stream.link != nil { stream.endOfRequest(trailers: trailers) }
    }

    /// The stream is over for nghttp2.
    func streamClosed(_ stream: HTTP2Stream, _ code: HTTP2ErrorCode) {
        guard !stream.state.closed else { return }
        stream.state.closed = true
        if decoding === stream { decoding = nil }
        if stream.state.unconsumed > 0 {
            // SAFETY: the session is alive. The connection's window must not shrink with streams that end early.
            unsafe nghttp2_session_consume_connection(raw, stream.state.unconsumed)
            stream.state.unconsumed = 0
        }
        stream.body.removeAll()
        stream.link = nil
        if role == .client { active -= 1 }
        if stream.state.announced { stream.closed(code) }
        letGo(stream)
    }

    func workEnded(_ stream: HTTP2Stream) {
        active -= 1
        letGo(stream)
    }

    /// Gives the stream back when neither side needs it.
    private func letGo(_ stream: HTTP2Stream) {
        let state = stream.state
        guard state.closed, state.workEnded || !state.announced, stream.slot >= 0 else { return }
        let last = streams.removeLast()
        if last !== stream {
            streams[stream.slot] = last
            last.slot = stream.slot
        }
        stream.owner = nil
        if streams.isEmpty { packed.releaseIfEmpty() }
        stream.prepareForReuse()
        recycle(stream)
    }

    // MARK: Body in

    /// Body bytes arrived: a slice of what was read, or a packed copy when small pieces pile up.
    func dataArrived(_ stream: HTTP2Stream, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        counts.dataBytesReceived += count
        // One that is closing or was never announced takes no more: its bytes count as gone on.
        guard stream.state.announced, !stream.state.faultCounted, !stream.state.resetByUs else {
            return consume(count, on: stream.number)
        }
        // More than its content-length: malformed (RFC 9113 section 8.1.1).
        guard count <= stream.state.expected - stream.state.received else {
            refuse(stream, .protocolError)
            return consume(count, on: stream.number)
        }
        stream.state.unconsumed += count
        stream.state.received += count
        // A slice keeps its whole slab. Tiny pieces that a slow origin leaves lying could hold 16 KiB each.
        if count < HTTP2Session.packedBelow, stream.state.unconsumed > HTTP2Session.packedBeyond {
            return unsafe pack(bytes, count, for: stream)
        }
        // SAFETY: nghttp2 gives a pointer into the input, which `receive` keeps until the end of the call.
        guard let base = unsafe inputBase else { return }
        let offset = unsafe bytes - base
        precondition(offset >= 0 && offset + count <= inputCount, "DATA outside the input")
        stream.dataArrived(inputSlice(offset, count))
    }

    private static var packedBelow: Int { 1024 }
    private static var packedBeyond: Int { 8192 }

    private func inputSlice(_ offset: Int, _ count: Int) -> Slice {
        var slice = input.shareFirst()
        slice.dropFirst(offset)
        slice.dropLast(slice.count - count)
        return slice
    }

    private func pack(_ bytes: UnsafePointer<UInt8>, _ count: Int, for stream: HTTP2Stream) {
        // SAFETY: `count` bytes are readable during the callback.
        packed.append(copying: unsafe Span(_unsafeStart: bytes, count: count))
        pool.copied.head -= count
        pool.copied.body += count
        while let slice = packed.popFirst() { stream.dataArrived(slice) }
    }

    func consume(_ count: Int, on id: Int32) {
        // SAFETY: the session is alive; a stream that is gone counts for the connection only.
        guard let raw = unsafe raw else { return }
        unsafe nghttp2_session_consume(raw, id, count)
        noteOutput()
    }
}
