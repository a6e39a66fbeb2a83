import Buffers
import CNghttp2
import HTTP

// What streams give to nghttp2.

extension HTTP2Session {
    func submitResponse(_ head: borrowing Head, on stream: HTTP2Stream, endOfStream: Bool) {
        let count = vectors.fill(head, status: head.status)
        // SAFETY: nghttp2 copies names (in lower case) and values before it returns; the provider's
        // pointer is the stream, which outlives its stream in nghttp2.
        var provider = unsafe nghttp2_data_provider()
        unsafe provider.source.ptr = Unmanaged.passUnretained(stream).toOpaque()
        unsafe provider.read_callback = readBody
        let result: Int32
        if endOfStream {
            result = unsafe nghttp2_submit_response(raw, stream.number, vectors.base, count, nil)
        } else {
            result = unsafe nghttp2_submit_response(raw, stream.number, vectors.base, count, &provider)
        }
        if result != 0 { stream.reset(.internalError) }
        noteOutput()
    }

    func submitInterim(_ head: borrowing Head, on stream: HTTP2Stream) {
        let count = vectors.fill(head, status: head.status)
        // SAFETY: nghttp2 copies names and values before it returns.
        unsafe nghttp2_submit_headers(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.number, nil, vectors.base, count, nil)
        noteOutput()
    }

    func submitTrailers(_ stream: HTTP2Stream) {
        guard let trailers = stream.trailers else { return }
        let count = vectors.fill(trailers.head, status: nil)
        // SAFETY: nghttp2 copies names and values before it returns.
        unsafe nghttp2_submit_trailer(raw, stream.number, vectors.base, count)
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
        output.append(copying: frameHead)
        var left = count
        while left > 0, let slice = stream.body.popFirst(upTo: left) {
            left -= slice.count
            output.append(slice)
        }
        counts.dataFramesSent += 1
        counts.dataBytesSent += count
        stream.state.sent += count
        // A client answers DATA with WINDOW_UPDATE for stream and connection, some with PING. One that opens its
        // window by a few bytes at a time pays for them.
        if count >= limits.dribble || stream.body.isEmpty { defence.earn(3) }
        if stream.body.byteCount < limits.lowWater { noteHungry(stream) }
        return output.byteCount >= limits.outputBytes
    }

    private func noteHungry(_ stream: HTTP2Stream) {
        guard !stream.state.hungry, !stream.state.finished else { return }
        stream.state.hungry = true
        hungry.append(stream)
    }
}

/// Fields as nghttp2 wants them; kept between heads.
@safe struct FieldVectors: ~Copyable {
    private(set) var base: UnsafeMutablePointer<nghttp2_nv>
    private var capacity = 64
    private let digits: UnsafeMutablePointer<UInt8>
    /// Text of a request that no head has in one piece.
    private var scratch = ByteArena(capacity: 256)

    init() {
        // SAFETY: both are freed in deinit.
        unsafe base = .allocate(capacity: capacity)
        unsafe digits = .allocate(capacity: 3)
    }

    deinit {
        unsafe base.deallocate()
        unsafe digits.deallocate()
    }

    /// Points at `head`'s fields, without those that HTTP/2 forbids (RFC 9113 section 8.2.2).
    /// The pointers are good while the head is borrowed by the caller.
    /// - Parameter status: nil for trailers.
    mutating func fill(_ head: borrowing Head, status: Int?) -> Int {
        reserve(head.fields.count + 1)
        var count = 0
        if let status {
            // SAFETY: three digits into room for three.
            unsafe digits[0] = UInt8(48 + status / 100 % 10)
            unsafe digits[1] = UInt8(48 + status / 10 % 10)
            unsafe digits[2] = UInt8(48 + status % 10)
            unsafe set(0, FieldVectors.bytes(Span(":status")), UnsafeBufferPointer(start: digits, count: 3))
            count = 1
        }
        for field in head.fields where !field.id.isHopByHop && !field.name.isEmpty {
            unsafe set(count, FieldVectors.bytes(head.bytes(field.name)), FieldVectors.bytes(head.bytes(field.value)))
            count += 1
        }
        return count
    }

    /// Points at a request's pseudo-fields and fields. Those that belong to one connection, Host and Expect stay behind;
    /// the length goes by `head.body`.
    /// - Parameter webSocket: an upgrade that goes as extended CONNECT, which knows no key (RFC 8441 section 5).
    mutating func fillRequest(_ head: borrowing Head, secure: Bool, webSocket: Bool = false) -> Int {
        reserve(head.fields.count + 7)
        scratch.removeAll()
        let target = scratch.append(head.bytes(head.path))
        if head.hasQuery { _ = scratch.append("?") }
        let query = scratch.append(head.bytes(head.query))
        let length = appendLength(head.body)
        let whole = ByteRange(start: Int(target.start), count: query.end - Int(target.start))
        // SAFETY: as `set` and `bytes` say: heads, static text and scratch stay as they are until nghttp2 has copied them.
        unsafe set(0, FieldVectors.bytes(Span(":method")), FieldVectors.bytes(webSocket ? Span("CONNECT") : head.bytes(head.methodName)))
        unsafe set(1, FieldVectors.bytes(Span(":scheme")), FieldVectors.bytes(secure ? Span("https") : Span("http")))
        unsafe set(2, FieldVectors.bytes(Span(":authority")), FieldVectors.bytes(head.bytes(head.authority)))
        unsafe set(3, FieldVectors.bytes(Span(":path")), FieldVectors.bytes(scratch[whole]))
        var count = 4
        if webSocket {
            // SAFETY: see above.
            unsafe set(count, FieldVectors.bytes(Span(":protocol")), FieldVectors.bytes(Span("websocket")))
            count += 1
        }
        // SAFETY: see above.
        for field in head.fields where FieldVectors.travels(field) {
            if webSocket, field.id == .other, head.bytes(field.name).equalsIgnoringCase("Sec-WebSocket-Key") { continue }
            unsafe set(count, FieldVectors.bytes(head.bytes(field.name)), FieldVectors.bytes(head.bytes(field.value)))
            count += 1
        }
        // SAFETY: see above.
        if let length { unsafe set(count, FieldVectors.bytes(Span("content-length")), FieldVectors.bytes(scratch[length])) }
        count += length == nil ? 0 : 1
        guard FieldVectors.takesTrailers(head) else { return count }
        // SAFETY: see above.
        unsafe set(count, FieldVectors.bytes(Span("te")), FieldVectors.bytes(Span("trailers")))
        return count + 1
    }

    private mutating func appendLength(_ body: BodyLength) -> ByteRange? {
        guard case .known(let count) = body else { return nil }
        return scratch.append("\(count)")
    }

    private static func travels(_ field: Field) -> Bool {
        switch field.id {
        case .host, .expect, .contentLength, .proxyAuthorization: false
        default: !field.id.isHopByHop && !field.name.isEmpty
        }
    }

    /// `TE: trailers` is the one value that HTTP/2 knows, and gRPC asks for it (RFC 9113 section 8.2.2).
    private static func takesTrailers(_ head: borrowing Head) -> Bool {
        head.value(of: .te).map { head.bytes($0).firstRange(of: Span("trailers")) != nil } ?? false
    }

    // SAFETY: the pointer leaves the closure; callers use it only while the span's owner is borrowed.
    private static func bytes(_ span: borrowing Span<UInt8>) -> UnsafeBufferPointer<UInt8> {
        unsafe span.withUnsafeBufferPointer { unsafe $0 }
    }

    private func set(_ index: Int, _ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>) {
        // SAFETY: index is below the capacity; nghttp2 does not write through these pointers.
        unsafe (base + index).initialize(
            to: nghttp2_nv(
                name: UnsafeMutablePointer(mutating: name.baseAddress), value: UnsafeMutablePointer(mutating: value.baseAddress),
                namelen: name.count, valuelen: value.count, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)))
    }

    private mutating func reserve(_ needed: Int) {
        guard needed > capacity else { return }
        while capacity < needed { capacity *= 2 }
        // SAFETY: entries are trivial and rewritten before use.
        unsafe base.deallocate()
        unsafe base = .allocate(capacity: capacity)
    }
}
