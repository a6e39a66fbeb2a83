public import Buffers
import CNghttp2
import HTTP

/// What `receive` came to.
public enum HTTP2ReceiveResult: Sendable {
    case proceed
    /// The connection is over: a GOAWAY is queued; write the output, then close. The note is for the log.
    case failed(HTTP2ErrorCode, note: String)
}

/// The server's end of one HTTP/2 connection: bytes in, events on streams; messages in, bytes out.
///
/// It does no I/O. The gateway subclasses it to make its own streams. All calls and events are on the
/// worker's thread; events arrive inside `receive`, `writeOutput` and `close`. After `receive`, call
/// `writeOutput` when `wantsWrite`. Streams and session refer to each other until `close`.
@safe open class HTTP2Session {
    public final let limits: HTTP2Limits
    public final var counters: HTTP2Counters { counts }
    /// Why the connection ended by our decision, once it has: also when nghttp2 found the fault.
    public internal(set) final var failure: (code: HTTP2ErrorCode, note: String)?
    /// With `enhanceYourCalm`: what the client asked too much of.
    public internal(set) final var flood: HTTP2Flood?
    /// Streams whose work has not ended.
    public final var activeStreams: Int { active }

    // Stored where the gateway cannot reach them: accesses need no check then (docs/decisions/0004-exclusivity-without-a-price.md).
    final var counts = HTTP2Counters()
    final var active = 0

    final let pool: SlabPool
    final var raw: OpaquePointer?
    final var defence: FloodDefence
    final var history = StreamHistory()
    final var walker: FrameWalker
    /// Which end this is.
    final let role: Role
    /// What is being received says of streams, before nghttp2 sees it.
    final var arrivals = Arrivals()
    /// Streams that nghttp2 or the gateway still works on.
    final var streams: [HTTP2Stream] = []
    /// The stream whose head or trailers are being decoded.
    final var decoding: HTTP2Stream?
    /// The fields of the request head that is being decoded.
    final let collected: UnsafeMutablePointer<CollectedFields>
    final var trailerIntake = TrailerIntake()
    final var trailers = Head(capacity: 64)
    /// What `receive` was given, for slices of it.
    final var input: Chain = Chain()
    final var inputBase: UnsafePointer<UInt8>?
    final var inputCount = 0
    /// The caller's output while `writeOutput` runs.
    final var output: OutputBuffer
    /// Small body pieces that wait for a slow reader are packed here.
    final var packed: OutputBuffer
    final var hungry: [HTTP2Stream] = []
    /// Streams that a PRIORITY_UPDATE spoke of before they began.
    final var prioritised: [Int32] = []
    private var busy = false
    private var announced = false
    private var closeWanted = false
    final var shutdown = Shutdown.none

    enum Shutdown { case none, noticed, final }
    public enum Role: Sendable { case server, client }

    public init(pool: SlabPool, limits: HTTP2Limits = HTTP2Limits(), role: Role = .server) {
        self.role = role
        walker = FrameWalker(preface: role == .server)
        self.limits = limits
        self.pool = pool
        defence = FloodDefence(limits)
        output = OutputBuffer(pool: pool)
        packed = OutputBuffer(pool: pool)
        // SAFETY: freed in deinit; callbacks use it, and run only inside calls on the session.
        unsafe collected = .allocate(capacity: 1)
        unsafe collected.initialize(to: CollectedFields(limits))
        // SAFETY: the session is freed in deinit or `close`; callbacks run only inside calls on it.
        unsafe inputBase = nil
        unsafe raw = nil
        unsafe raw = role == .server ? makeServerSession(self, limits) : makeOriginSession(self, limits)
        if unsafe raw == nil { failure = (.internalError, "no memory for an HTTP/2 session") }
    }

    deinit {
        // SAFETY: nothing else refers to the session; callbacks run only inside calls on it.
        unsafe nghttp2_session_del(raw)
        unsafe collected.deinitialize(count: 1)
        unsafe collected.deallocate()
    }

    // MARK: For the gateway to override

    /// A stream for a new request: a fresh one or one that `recycle` gave back.
    open func makeStream() -> HTTP2Stream { HTTP2Stream() }

    /// The stream is closed and its work has ended; nothing here refers to it any more.
    open func recycle(_ stream: HTTP2Stream) {}

    /// Frames are waiting that were not before: call `writeOutput` soon (for instance at the end of the
    /// turn). Not called from within `receive` and `writeOutput`.
    open func outputWanted() {}

    // MARK: Driving

    /// Takes all of `input`. Body bytes become slices of its slab.
    /// - Parameter now: monotonic milliseconds.
    public final func receive(_ input: inout ReadBuffer, now: UInt64) -> HTTP2ReceiveResult {
        input.isEmpty ? receiveNothing() : receive(input.takeSlice(input.count), now: now)
    }

    /// The same for who does not want its buffer to be in use meanwhile.
    public final func receive(_ slice: consuming Slice, now: UInt64) -> HTTP2ReceiveResult {
        // SAFETY: only looks whether there is a session.
        guard unsafe raw != nil, failure == nil else { return overAlready }
        defence.tick(now)
        return take(slice)
    }

    private func receiveNothing() -> HTTP2ReceiveResult {
        // SAFETY: only looks whether there is a session.
        unsafe raw != nil && failure == nil ? .proceed : overAlready
    }

    private var overAlready: HTTP2ReceiveResult {
        .failed(failure?.code ?? .internalError, note: failure?.note ?? "the session is closed")
    }

    /// Takes the slice as its own: kept in a local variable of `receive` it would be put into a box on the heap, for each read.
    private func take(_ slice: consuming Slice) -> HTTP2ReceiveResult {
        let (allowed, refusal) = account(for: slice.bytes)
        input.append(slice.handOver())
        busy = true
        let result = feed(slice.bytes, allowed)
        input.removeAll()
        busy = false
        if failure == nil { failure = refusal }
        return received(result)
    }

    private func feed(_ bytes: borrowing Span<UInt8>, _ allowed: Int) -> Int {
        // SAFETY: the bytes live as long as the slice that the caller holds; callbacks only read them.
        let result = unsafe bytes.withUnsafeBufferPointer { bytes in
            unsafe inputBase = bytes.baseAddress
            inputCount = bytes.count
            return unsafe nghttp2_session_mem_recv(raw, bytes.baseAddress, allowed)
        }
        unsafe inputBase = nil
        return result
    }

    private func received(_ result: Int) -> HTTP2ReceiveResult {
        if result < 0, failure == nil {
            let code = Int32(clamping: result)
            failure = HTTP2Session.fault(code)
            if code == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue { flood = .continuation }
            if code == NGHTTP2_ERR_FLOODED.rawValue { flood = .unread }
        }
        // SAFETY: the session is alive.
        if failure == nil, unsafe nghttp2_session_get_outbound_queue_size(raw) > limits.outboundFrames {
            calm(.unread, "too many control frames wait for a client that does not read")
        }
        if let failure { unsafe nghttp2_session_terminate_session(raw, failure.code.rawValue) }
        if closeWanted { close() }
        guard let failure else { return .proceed }
        return .failed(failure.code, note: failure.note)
    }

    private static func fault(_ code: Int32) -> (HTTP2ErrorCode, String) {
        // SAFETY: a static string of nghttp2.
        let text = unsafe nghttp2_strerror(code).map { unsafe String(cString: $0) } ?? ""
        switch code {
        case NGHTTP2_ERR_FLOODED.rawValue, NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue: return (.enhanceYourCalm, text)
        case NGHTTP2_ERR_NOMEM.rawValue, NGHTTP2_ERR_CALLBACK_FAILURE.rawValue: return (.internalError, text)
        default: return (.protocolError, text)
        }
    }

    /// Serialises waiting frames until `output` holds `limits.outputBytes`. Body slices are moved, not copied.
    /// Streams may ask for more body (`HTTP2Stream.needsBody`) meanwhile; they must not touch `output`.
    public final func writeOutput(_ output: inout OutputBuffer) {
        guard unsafe raw != nil, !busy else { return }
        announced = false
        busy = true
        swap(&self.output, &output)
        var more = true
        while more {
            let sound = failure == nil
            serialise()
            more = feedHungry() && self.output.byteCount < limits.outputBytes
            // What was sent may have been one reset too many: its GOAWAY goes along.
            if sound, let failure {
                // SAFETY: the session is alive.
                unsafe nghttp2_session_terminate_session(raw, failure.code.rawValue)
                more = true
            }
        }
        swap(&self.output, &output)
        busy = false
        if closeWanted { close() }
    }

    private func serialise() {
        while output.byteCount < limits.outputBytes {
            var bytes: UnsafePointer<UInt8>? = nil
            // SAFETY: the session is alive; the bytes are valid until the next call on it and copied before.
            let count = unsafe nghttp2_session_mem_send(raw, &bytes)
            guard count > 0, let start = unsafe bytes else {
                if count < 0, failure == nil { failure = HTTP2Session.fault(Int32(clamping: count)) }
                return
            }
            output.append(copying: unsafe Span(_unsafeStart: start, count: count))
        }
    }

    /// Asks streams with little left for more; true when there was one.
    private func feedHungry() -> Bool {
        guard !hungry.isEmpty else { return false }
        var asked = false
        while let stream = hungry.popLast() {
            stream.state.hungry = false
            if stream.link != nil, !stream.state.finished, !stream.state.resetByUs {
                asked = true
                stream.needsBody()
            }
        }
        return asked
    }

    /// The head of a request has begun and is not complete.
    public final var isInsideHead: Bool { walker.isInsideBlock }

    /// True when `writeOutput` has something to write.
    public final var wantsWrite: Bool {
        // SAFETY: nil is not passed.
        guard let raw = unsafe raw else { return false }
        return unsafe nghttp2_session_want_write(raw) != 0
    }

    /// False when the connection can be closed once its output is sent.
    public final var wantsRead: Bool {
        // SAFETY: nil is not passed.
        guard let raw = unsafe raw, failure == nil else { return false }
        return unsafe shutdown == .noticed || nghttp2_session_want_read(raw) != 0
    }

    /// Tells the gateway once that there is something to write.
    final func noteOutput() {
        guard !busy, !announced else { return }
        announced = true
        outputWanted()
    }

    // MARK: Ending

    /// Ends the connection with an error: write the output, then close.
    public final func terminate(_ code: HTTP2ErrorCode) {
        guard let raw = unsafe raw, failure == nil else { return }
        failure = (code, "ended by the gateway")
        // SAFETY: the session is alive.
        unsafe nghttp2_session_terminate_session(raw, code.rawValue)
        noteOutput()
    }

    /// The transport is gone: every open stream hears `closed(.cancel)`. Must be called once.
    public final func close() {
        guard !busy else {
            closeWanted = true
            return
        }
        closeWanted = false
        busy = true
        for stream in streams where !stream.state.closed { streamClosed(stream, .cancel) }
        busy = false
        hungry.removeAll()
        decoding = nil
        // SAFETY: no callback is running, and no stream uses the session any more.
        unsafe nghttp2_session_del(raw)
        unsafe raw = nil
    }
}
