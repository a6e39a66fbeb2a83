import Buffers
import CNghttp2
import HTTP

// What streams give to nghttp2.

extension HTTP2Session {
    func submitResponse(_ head: borrowing Head, on stream: HTTP2Stream, endOfStream: Bool) {
        var vectors = FieldVectors(head)
        let count = vectors.fill(head, status: head.status)
        // SAFETY: nghttp2 copies names (in lower case) and values before it returns; the provider's
        // pointer is the stream, which outlives its stream in nghttp2.
        var provider = unsafe nghttp2_data_provider()
        unsafe provider.source.ptr = Unmanaged.passUnretained(stream).toOpaque()
        unsafe provider.read_callback = readBody
        let result: Int32
        if endOfStream {
            result = unsafe vectors.lend { unsafe nghttp2_submit_response(raw, stream.number, $0, count, nil) }
        } else {
            result = unsafe vectors.lend { unsafe nghttp2_submit_response(raw, stream.number, $0, count, &provider) }
        }
        if result != 0 { stream.reset(.internalError) }
        noteOutput()
    }

    func submitInterim(_ head: borrowing Head, on stream: HTTP2Stream) {
        var vectors = FieldVectors(head)
        let count = vectors.fill(head, status: head.status)
        // SAFETY: nghttp2 copies names and values before it returns.
        unsafe vectors.lend {
            _ = unsafe nghttp2_submit_headers(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.number, nil, $0, count, nil)
        }
        noteOutput()
    }

    func submitTrailers(_ stream: HTTP2Stream) {
        guard let trailers = stream.trailers else { return }
        var vectors = FieldVectors(trailers.head)
        let count = vectors.fill(trailers.head, status: nil)
        // SAFETY: nghttp2 copies names and values before it returns.
        unsafe vectors.lend { _ = unsafe nghttp2_submit_trailer(raw, stream.number, $0, count) }
    }

    func submitReset(_ id: Int32, _ code: HTTP2ErrorCode) {
        // SAFETY: the session is alive.
        guard let raw = unsafe raw else { return }
        unsafe nghttp2_submit_rst_stream(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, code.rawValue)
        noteOutput()
    }

    /// The stream has more to send, or its end.
    func resume(_ stream: HTTP2Stream) {
        guard stream.state.deferred else { return }
        stream.state.deferred = false
        // SAFETY: the session is alive while the stream has it.
        unsafe nghttp2_session_resume_data(raw, stream.number)
        noteOutput()
    }

    /// How much of the stream's body goes into the next DATA frame of at most `room` bytes.
    func nextData(_ stream: HTTP2Stream, room: Int, _ flags: inout UInt32) -> Int {
        let available = stream.body.byteCount
        if available == 0, !stream.state.finished {
            stream.state.deferred = true
            noteHungry(stream)
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        let count = min(available, room)
        flags |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
        if count == available, stream.state.finished {
            flags |= NGHTTP2_DATA_FLAG_EOF.rawValue
            if stream.state.hasTrailers {
                flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                submitTrailers(stream)
            }
        }
        return count
    }

    /// Moves a DATA frame into the output: its head copied, its slices as they are.
    /// - Returns: true when the output holds enough.
    func sendData(_ stream: HTTP2Stream, frameHead: borrowing Span<UInt8>, _ count: Int) -> Bool {
        let (left, held) = output.append(frame: frameHead, count, of: &stream.body)
        counts.dataFramesSent += 1
        counts.dataBytesSent += count
        stream.state.sent += count
        // A client answers DATA with WINDOW_UPDATE for stream and connection, some with PING. One that opens its
        // window by a few bytes at a time pays for them.
        if count >= limits.dribble || left == 0 { defence.earn(3) }
        if left < limits.lowWater { noteHungry(stream) }
        return held >= limits.outputBytes
    }

    private func noteHungry(_ stream: HTTP2Stream) {
        guard !stream.state.hungry, !stream.state.finished else { return }
        stream.state.hungry = true
        hungry.append(stream)
    }
}
