public import Buffers


/// What `receive` came to.
public enum HTTP2ReceiveResult: Sendable {
    case proceed
    /// The connection is over: a GOAWAY is queued; write the output, then close. The note is for the log.
    case failed(HTTP2ErrorCode, note: String)
}

/// The server's end of one HTTP/2 connection: bytes in, events on streams; messages in, bytes out.
///
/// It does no I/O. The gateway subclasses it to make its own streams. All calls and events are on the
/// worker's thread; events arrive inside `receive`, `writeOutput` and `close`.
open class HTTP2Session {
    public final let limits: HTTP2Limits
    public private(set) final var counters = HTTP2Counters()

    public init(pool: SlabPool, limits: HTTP2Limits = HTTP2Limits()) { self.limits = limits }

    // MARK: For the gateway to override

    /// A stream for a new request: a fresh one or one that `recycle` gave back.
    open func makeStream() -> HTTP2Stream { HTTP2Stream() }

    /// The stream is closed and its work has ended; nothing here refers to it any more.
    open func recycle(_ stream: HTTP2Stream) {}

    /// Frames are waiting that were not before: call `writeOutput` soon (for instance at the end of the turn).
    open func outputWanted() {}

    // MARK: Driving

    /// Takes all of `input`. Body bytes become slices of its slab.
    /// - Parameter now: monotonic milliseconds.
    public final func receive(_ input: inout ReadBuffer, now: UInt64) -> HTTP2ReceiveResult { .proceed }

    /// Serialises waiting frames until `output` holds `limits.outputBytes`. Body slices are moved, not copied.
    /// Streams may ask for more body (`HTTP2Stream.needsBody`) meanwhile; they must not touch `output`.
    public final func writeOutput(_ output: inout OutputBuffer) {}

    /// True when `writeOutput` has something to write.
    public final var wantsWrite: Bool { false }
    /// False when the connection can be closed once its output is sent.
    public final var wantsRead: Bool { true }

    /// Streams whose work has not ended.
    public final var activeStreams: Int { 0 }

    /// Says that the connection will end; requests already on their way are still served (RFC 9113 section 6.8).
    public final func beginShutdown() {}

    /// Refuses new streams from now on. Call about one round trip after `beginShutdown`, or alone.
    public final func finishShutdown() {}

    /// Ends the connection with an error: write the output, then close.
    public final func terminate(_ code: HTTP2ErrorCode) {}

    /// The transport is gone: every open stream hears `closed(.cancel)`. Must be called once.
    public final func close() {}
}
