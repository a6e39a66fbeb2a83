/// Limits of a listener. Sizes in bytes, times in milliseconds.
///
/// Every default is the one of the table in `docs/RULES.md`; each exists so that a hostile peer meets a bound.
public struct Limits: Sendable, Equatable {
    /// Request line: 414 beyond.
    public var requestLine = 8 << 10
    /// A whole header section: 431 (request) or 502 (response) beyond.
    public var headerBytes = 64 << 10
    /// One field line.
    public var headerField = 8 << 10
    /// Fields of one section.
    public var headerFields = 100
    public var trailerBytes = 8 << 10
    public var trailerFields = 32
    /// Request body: 413 beyond; nil is unlimited (bodies stream).
    public var body: Int?
    /// Body held in memory for a hook: 413 beyond.
    public var bufferedBody = 1 << 20
    /// Buffered bytes of one exchange in one direction, then backpressure.
    public var exchangeBuffer = 256 << 10
    /// For the whole request head: 408 and close beyond.
    public var headTimeout = 10_000
    /// Body progress: at least `bodyRateBytes` per `bodyRateTime`, both directions.
    public var bodyRateBytes = 1 << 10
    public var bodyRateTime = 10_000
    public var tlsHandshake = 10_000
    /// Handshakes of one worker under way at once; beyond, the oldest that lasts over a second is given up.
    public var handshakes = 256
    /// Idle keep-alive connection of a client.
    public var keepAlive = 75_000
    /// Requests on one connection, then close or GOAWAY.
    public var requestsPerConnection = 10_000
    /// A response that the client does not read.
    public var writeStall = 60_000
    /// Bytes per second that a client must take of a response, over each `writeStall`.
    public var writeRate = 240
    /// Connections of one worker, all listeners together with this limit; and of one client address.
    public var connections = 20_000
    public var connectionsPerAddress = 1_000
    /// Bytes one worker may use, of the top-level limits; 0: its share of four fifths of the machine's or control group's.
    public var memory = 0
    /// HTTP/2: resets by the client or provoked, faults of heads, in half a minute.
    public var resets = 200
    /// Control frames: so many at once, and so many more a second.
    public var controlBurst = 1_000
    public var controlRate = 33
    public var continuations = 8
    public var emptyData = 10
    /// Frames of our own that wait for a client that does not read.
    public var queuedFrames = 1_000
    /// Bytes of the table by which a client compresses its heads (RFC 7541 section 4.2).
    public var headerTable = 4 << 10
    /// Largest ClientHello, bytes.
    public var clientHello = 16 << 10
    public var streamWindow = 64 << 10
    public var connectionWindow = 1 << 20
    /// Concurrent HTTP/2 streams of one connection.
    public var streams = 100

    public init() {}
}
