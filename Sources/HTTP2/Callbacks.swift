import Buffers
import CNghttp2
import HTTP

// nghttp2's way into the session. Every callback gets the session as user data; it runs only inside a
// call on the session, which its caller holds, so the pointer is good.

/// Makes the C session, announces our settings, and opens the connection's window.
func makeServerSession(_ owner: HTTP2Session, _ limits: HTTP2Limits) -> OpaquePointer? {
    // SAFETY: what is made belongs to the owner, which frees it.
    unsafe makeSession(limits, own: [
        (NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.concurrentStreams), (NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1),
    ]) { raw, callbacks, option in
        // SAFETY: as `makeSession` says.
        // Requests are held to RFC 9113 section 8 by `HeadIntake`, `TrailerIntake` and `dataArrived`, at a third of the price.
        unsafe nghttp2_option_set_no_http_messaging(option, limits.libraryChecks ? 0 : 1)
        unsafe nghttp2_option_set_stream_reset_rate_limit(option, UInt64(4 * limits.glitches), 33)
        unsafe nghttp2_option_set_builtin_recv_extension_type(option, UInt8(NGHTTP2_PRIORITY_UPDATE.rawValue))
        return unsafe nghttp2_session_server_new3(
            &raw, callbacks, Unmanaged.passUnretained(owner).toOpaque(), option, sluice_nghttp2_memory())
    }
}

/// The same for the end towards an origin.
func makeOriginSession(_ owner: HTTP2Session, _ limits: HTTP2Limits) -> OpaquePointer? {
    // SAFETY: what is made belongs to the owner, which frees it.
    unsafe makeSession(limits, own: [(NGHTTP2_SETTINGS_ENABLE_PUSH, 0)]) { raw, callbacks, option in
        // SAFETY: as `makeSession` says.
        unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, onFrameNotSent)
        return unsafe nghttp2_session_client_new3(
            &raw, callbacks, Unmanaged.passUnretained(owner).toOpaque(), option, sluice_nghttp2_memory())
    }
}

/// What both ends have in common; `make` adds what they have not, and creates the session.
private func makeSession(
    _ limits: HTTP2Limits, own settings: [(nghttp2_settings_id, Int)],
    _ make: (_ raw: inout OpaquePointer?, _ callbacks: OpaquePointer?, _ option: OpaquePointer?) -> Int32
) -> OpaquePointer? {
    var raw: OpaquePointer? = nil
    var callbacks: OpaquePointer? = nil
    var option: OpaquePointer? = nil
    // SAFETY: plain creation; callbacks and options are copied by the session and freed here.
    guard unsafe nghttp2_session_callbacks_new(&callbacks) == 0 else { return nil }
    defer { unsafe nghttp2_session_callbacks_del(callbacks) }
    guard unsafe nghttp2_option_new(&option) == 0 else { return nil }
    defer { unsafe nghttp2_option_del(option) }
    unsafe setCallbacks(callbacks)
    unsafe nghttp2_option_set_no_auto_window_update(option, 1)
    unsafe nghttp2_option_set_max_continuations(option, limits.continuations)
    unsafe nghttp2_option_set_max_outbound_ack(option, limits.outboundFrames)
    unsafe nghttp2_option_set_no_closed_streams(option, 1)
    guard unsafe make(&raw, callbacks, option) == 0 else { return nil }
    unsafe announce(raw, limits, settings)
    return unsafe raw
}

private func announce(_ raw: OpaquePointer?, _ limits: HTTP2Limits, _ own: [(nghttp2_settings_id, Int)]) {
    let own = limits.headerTableBytes == 4_096 ? own : own + [(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, limits.headerTableBytes)]
    let settings = own.map { nghttp2_settings_entry(settings_id: Int32($0.0.rawValue), value: UInt32($0.1)) } + [
        nghttp2_settings_entry(
            settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: UInt32(limits.streamWindow)),
        nghttp2_settings_entry(
            settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), value: UInt32(limits.headerListBytes)),
        nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1),
    ]
    // SAFETY: the entries are copied.
    unsafe nghttp2_submit_settings(raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
    unsafe nghttp2_session_set_local_window_size(
        raw, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, Int32(clamping: limits.connectionWindow))
}

private func setCallbacks(_ callbacks: OpaquePointer?) {
    // SAFETY: the functions live for ever; see the note at the top for what they are given.
    unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, onBeginHeaders)
    unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks, onHeader)
    unsafe nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, onInvalidHeader)
    unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, onFrame)
    unsafe nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, onInvalidFrame)
    unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, onData)
    unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, onStreamClose)
    unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, onFrameSent)
    unsafe nghttp2_session_callbacks_set_send_data_callback(callbacks, onSendData)
}

private let stop = NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
private let refused = NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue

/// Runs `body` with the session behind a callback's user data; ends the call on it when it has failed.
@inline(__always)
private func with(_ user: UnsafeMutableRawPointer?, _ body: (HTTP2Session) -> Int32) -> Int32 {
    guard let user = unsafe user else { return stop }
    // SAFETY: see the note at the top.
    return unsafe Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef { session in
        let result = body(session)
        return session.failure == nil ? result : stop
    }
}

extension HTTP2Session {
    /// The stream that nghttp2 has under this id, if the gateway works on it.
    fileprivate func stream(_ id: Int32) -> HTTP2Stream? {
        // SAFETY: user data is a stream that `streams` holds; it is set once and its stream in nghttp2 ends first.
        guard id != 0, let pointer = unsafe nghttp2_session_get_stream_user_data(raw, id) else { return nil }
        return unsafe Unmanaged<HTTP2Stream>.fromOpaque(pointer).takeUnretainedValue()
    }
}

private let onBeginHeaders:
    @convention(c) (OpaquePointer?, UnsafePointer<nghttp2_frame>?, UnsafeMutableRawPointer?) -> Int32 = { _, frame, user in
        // SAFETY: see the note at the top; the frame is valid during the callback.
        unsafe with(user) { session in
            guard let frame = unsafe frame else { return 0 }
            let id = unsafe frame.pointee.hd.stream_id
            unsafe session.collected.pointee.isOpen = false
            if unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
                guard session.beginStream(id) else { return refused }
                unsafe session.collected.pointee.begin()
                return 0
            }
            session.trailers.reset()
            session.trailerIntake = TrailerIntake()
            session.decoding = session.stream(id)
            if session.role == .client { session.beginResponse() }
            return 0
        }
    }

private let onHeader:
    @convention(c) (
        OpaquePointer?, UnsafePointer<nghttp2_frame>?, UnsafePointer<UInt8>?, Int, UnsafePointer<UInt8>?, Int, UInt8,
        UnsafeMutableRawPointer?
    ) -> Int32 = { _, _, name, nameCount, value, valueCount, _, user in
        // SAFETY: see the note at the top; nghttp2 gives that many bytes for the length of the callback.
        guard let user = unsafe user, let name = unsafe name, let value = unsafe value else { return 0 }
        return unsafe Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef { session in
            // The fields of requests are what there is most of; a session that has failed gets no callbacks.
            let collected = unsafe session.collected
            if unsafe collected.pointee.isOpen {
                if unsafe collected.pointee.add(name, nameCount, value, valueCount) { return 0 }
                session.calm(.headers, "a header list four times over the limit")
                return stop
            }
            let nameBytes = unsafe Span(_unsafeStart: name, count: nameCount)
            let valueBytes = unsafe Span(_unsafeStart: value, count: valueCount)
            if session.takeField(nameBytes, valueBytes) { return 0 }
            return session.failure == nil ? refused : stop
        }
    }

extension HTTP2Session {
    /// A field of a response or of trailers. False: the stream was reset.
    fileprivate func takeField(_ name: borrowing Span<UInt8>, _ value: borrowing Span<UInt8>) -> Bool {
        guard let stream = decoding else { return true }
        if role == .client, !stream.state.headSeen {
            guard !stream.responseIntake.take(name, value, into: &stream.head, limits) else { return true }
        } else if trailerIntake.take(name, value, into: &trailers, limits) {
            return true
        }
        refuse(stream, .protocolError)
        return false
    }
}

private let onInvalidHeader:
    @convention(c) (
        OpaquePointer?, UnsafePointer<nghttp2_frame>?, UnsafePointer<UInt8>?, Int, UnsafePointer<UInt8>?, Int, UInt8,
        UnsafeMutableRawPointer?
    ) -> Int32 = { _, _, _, _, _, _, _, user in
        // SAFETY: see the note at the top.
        unsafe with(user) { session in
            if let stream = session.decoding { session.refuse(stream, .protocolError) }
            return refused
        }
    }

private let onFrame:
    @convention(c) (OpaquePointer?, UnsafePointer<nghttp2_frame>?, UnsafeMutableRawPointer?) -> Int32 = { _, frame, user in
        // SAFETY: see the note at the top; the frame is valid during the callback.
        unsafe with(user) { session in
            guard let frame = unsafe frame else { return 0 }
            let type = unsafe UInt32(frame.pointee.hd.type)
            // SAFETY: the frame is valid during the callback.
            if unsafe frame.pointee.hd.stream_id == 0 { unsafe session.originFrame(type, frame.pointee.hd.flags) }
            if type == NGHTTP2_PRIORITY_UPDATE.rawValue {
                // SAFETY: nghttp2 gives this payload to frames of this type, since it was told to read them.
                let update = unsafe frame.pointee.ext.payload?.assumingMemoryBound(to: nghttp2_ext_priority_update.self)
                if let update = unsafe update { unsafe session.priorityUpdated(update.pointee.stream_id) }
            }
            // SAFETY: the frame is valid during the callback.
            let isAnswer = unsafe frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0
            if type == NGHTTP2_PING.rawValue, isAnswer, session.role == .server { session.pingAnswered() }
            guard type == NGHTTP2_HEADERS.rawValue || type == NGHTTP2_DATA.rawValue,
                let stream = unsafe session.stream(frame.pointee.hd.stream_id)
            else { return 0 }
            let ends = unsafe frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
            session.decoding = nil
            if session.role == .client {
                session.responseFrame(stream, isHead: type == NGHTTP2_HEADERS.rawValue, endOfStream: ends)
                return 0
            }
            if type == NGHTTP2_HEADERS.rawValue, unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST {
                session.trailers.reset()
                session.headComplete(stream, endOfStream: ends)
            } else if ends {
                if type == NGHTTP2_DATA.rawValue { session.trailers.reset() }
                session.requestEnded(stream)
            } else if type == NGHTTP2_HEADERS.rawValue {
                // Trailers end their request (RFC 9113 section 8.1).
                session.refuse(stream, .protocolError)
            }
            return 0
        }
    }

private let onInvalidFrame:
    @convention(c) (OpaquePointer?, UnsafePointer<nghttp2_frame>?, Int32, UnsafeMutableRawPointer?) -> Int32 = {
        _, frame, code, user in
        // SAFETY: see the note at the top; the frame is valid during the callback.
        unsafe with(user) { session in
            guard let frame = unsafe frame else { return 0 }
            let stream = unsafe session.stream(frame.pointee.hd.stream_id)
            let isMessage = code == NGHTTP2_ERR_HTTP_HEADER.rawValue || code == NGHTTP2_ERR_HTTP_MESSAGING.rawValue
            let kind: HTTP2Flood = isMessage ? .malformed : .provoked
            if stream?.state.faultCounted != true { session.countGlitch(kind, "too many frames that broke a stream") }
            stream?.state.faultCounted = true
            return 0
        }
    }

private let onData:
    @convention(c) (OpaquePointer?, UInt8, Int32, UnsafePointer<UInt8>?, Int, UnsafeMutableRawPointer?) -> Int32 = {
        _, _, id, bytes, count, user in
        // SAFETY: see the note at the top; the bytes are valid during the callback.
        unsafe with(user) { session in
            guard let bytes = unsafe bytes, count > 0 else { return 0 }
            guard let stream = session.stream(id) else {
                session.consume(count, on: id)
                return 0
            }
            unsafe session.dataArrived(stream, bytes, count)
            return 0
        }
    }

private let onStreamClose: @convention(c) (OpaquePointer?, Int32, UInt32, UnsafeMutableRawPointer?) -> Int32 = {
    _, id, code, user in
    // SAFETY: see the note at the top. Streams close also while the GOAWAY of a failed session is sent.
    guard let user = unsafe user else { return stop }
    unsafe Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef { session in
        session.history.closed(id)
        if let stream = session.stream(id) { session.streamClosed(stream, HTTP2ErrorCode(rawValue: code)) }
    }
    return 0
}

private let onFrameSent:
    @convention(c) (OpaquePointer?, UnsafePointer<nghttp2_frame>?, UnsafeMutableRawPointer?) -> Int32 = { _, frame, user in
        // SAFETY: see the note at the top. Sending goes on after a failure: its GOAWAY must get out.
        guard let user = unsafe user, let frame = unsafe frame else { return 0 }
        unsafe Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef { session in
            unsafe session.frameSent(frame)
        }
        return 0
    }

extension HTTP2Session {
    fileprivate func frameSent(_ frame: UnsafePointer<nghttp2_frame>) {
        // SAFETY: the frame is valid during the callback; the union's member goes by the frame's type.
        let head = unsafe frame.pointee.hd
        switch UInt32(head.type) {
        case NGHTTP2_DATA.rawValue, NGHTTP2_HEADERS.rawValue:
            guard head.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0, let stream = stream(head.stream_id) else { return }
            if role == .client { return stream.requestWritten() }
            // An answer that is complete before its request: the rest is not wanted (RFC 9113 section 8.1).
            guard !stream.state.requestEnded, stream.state.announced else { return }
            submitReset(head.stream_id, .noError)
        case NGHTTP2_RST_STREAM.rawValue:
            history.resetByUs(head.stream_id)
            // One that nghttp2 decided on, for instance for a body that does not match its content-length.
            guard let stream = stream(head.stream_id), unsafe frame.pointee.rst_stream.error_code != 0,
                !stream.state.resetByUs, !stream.state.faultCounted
            else { return }
            stream.state.faultCounted = true
            counts.streamErrors += 1
            countGlitch(.provoked, "too many streams that had to be reset")
        case NGHTTP2_GOAWAY.rawValue:
            let code = unsafe frame.pointee.goaway.error_code
            if code == 0 { noticeSent() }
            if code != 0, failure == nil { failure = (HTTP2ErrorCode(rawValue: code), "a protocol error of the \(role == .server ? "client" : "origin")") }
        default: break
        }
    }
}

/// Lends the session and the stream behind a DATA callback's pointers.
@inline(__always)
private func withBoth<Result>(
    _ user: UnsafeMutableRawPointer, _ source: UnsafeMutableRawPointer, _ body: (HTTP2Session, HTTP2Stream) -> Result
) -> Result {
    // SAFETY: see the note at the top; the source is the stream that was given with the body, and lives as long as it is sent.
    unsafe Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef { session in
        unsafe Unmanaged<HTTP2Stream>.fromOpaque(source)._withUnsafeGuaranteedRef { body(session, $0) }
    }
}

private let onSendData:
    @convention(c) (
        OpaquePointer?, UnsafeMutablePointer<nghttp2_frame>?, UnsafePointer<UInt8>?, Int,
        UnsafeMutablePointer<nghttp2_data_source>?, UnsafeMutableRawPointer?
    ) -> Int32 = { _, _, head, count, source, user in
        // SAFETY: see the note at the top; the source is the stream that `submitResponse` gave.
        guard let user = unsafe user, let head = unsafe head, let pointer = unsafe source?.pointee.ptr else { return stop }
        let full = unsafe withBoth(user, pointer) { session, stream in
            session.sendData(stream, frameHead: unsafe Span(_unsafeStart: head, count: 9), count)
        }
        return full ? NGHTTP2_ERR_PAUSE.rawValue : 0
    }

let readBody:
    @convention(c) (
        OpaquePointer?, Int32, UnsafeMutablePointer<UInt8>?, Int, UnsafeMutablePointer<UInt32>?,
        UnsafeMutablePointer<nghttp2_data_source>?, UnsafeMutableRawPointer?
    ) -> Int = { _, _, _, room, flags, source, user in
        // SAFETY: as in `onSendData`.
        guard let user = unsafe user, let flags = unsafe flags, let pointer = unsafe source?.pointee.ptr else { return Int(stop) }
        return unsafe withBoth(user, pointer) { session, stream in unsafe session.nextData(stream, room: room, &flags.pointee) }
    }

/// A request whose head could not be sent: the origin has not seen it.
private let onFrameNotSent:
    @convention(c) (OpaquePointer?, UnsafePointer<nghttp2_frame>?, Int32, UnsafeMutableRawPointer?) -> Int32 = { _, frame, _, user in
        // SAFETY: see the note at the top.
        guard let user = unsafe user, let frame = unsafe frame else { return 0 }
        guard unsafe UInt32(frame.pointee.hd.type) == NGHTTP2_HEADERS.rawValue else { return 0 }
        unsafe Unmanaged<HTTP2Session>.fromOpaque(user)._withUnsafeGuaranteedRef { session in
            session.notSent(unsafe frame.pointee.hd.stream_id)
        }
        return 0
    }
