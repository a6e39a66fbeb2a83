/// What one HTTP/2 connection may do. Each default has its reason in the limits document.
public struct HTTP2Limits: Sendable {
    /// Streams whose work goes on at once, also work for streams that were already reset.
    public var concurrentStreams = 100
    /// Flow-control windows offered to the client, bytes.
    public var streamWindow = 65_536
    public var connectionWindow = 1_048_576
    /// Decoded header section: names, values and 32 bytes per field (RFC 9113 section 6.5.2).
    public var headerListBytes = 65_536
    public var headerFields = 100
    /// Table by which the peer compresses its heads (RFC 7541 section 4.2). 4,096 is what it has without being told.
    public var headerTableBytes = 4_096
    public var fieldBytes = 8_192
    public var pathBytes = 8_192
    public var trailerBytes = 8_192
    public var trailerFields = 32
    /// Resets by the client, resets it provoked, refused streams: at most so many per `glitchMilliseconds`.
    public var glitches = 200
    public var glitchMilliseconds: UInt64 = 30_000
    public var continuations = 8
    /// SETTINGS, PING, PRIORITY, WINDOW_UPDATE, HEADERS and frames of unknown type: burst and refill; new
    /// streams and DATA sent to the client earn more, except DATA that a tiny window cut down.
    public var controlBurst = 1_000
    public var controlPerSecond = 33
    /// What PRIORITY costs of it: since RFC 9113 it says nothing that anybody needs.
    public var priorityCost = 5
    /// DATA shorter than this, and not the end of what there is, was cut down by the client's window.
    public var dribble = 1_024
    public var emptyDataInRow = 10
    /// Control frames waiting for a client that does not read.
    public var outboundFrames = 1_000
    /// `writeOutput` stops when the output holds this much.
    public var outputBytes = 131_072
    /// A stream asks for more body when less than this is queued.
    public var lowWater = 65_536
    /// Then the connection says GOAWAY and ends when its streams have.
    public var requestsPerConnection = 10_000
    /// nghttp2 holds requests to RFC 9113 section 8 as well: for the test that compares its answers with ours.
    var libraryChecks = false

    public init() {}
}

/// RFC 9113 section 7.
public struct HTTP2ErrorCode: RawRepresentable, Sendable, Equatable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let noError = HTTP2ErrorCode(rawValue: 0)
    public static let protocolError = HTTP2ErrorCode(rawValue: 1)
    public static let internalError = HTTP2ErrorCode(rawValue: 2)
    public static let flowControlError = HTTP2ErrorCode(rawValue: 3)
    public static let settingsTimeout = HTTP2ErrorCode(rawValue: 4)
    public static let streamClosed = HTTP2ErrorCode(rawValue: 5)
    public static let frameSizeError = HTTP2ErrorCode(rawValue: 6)
    public static let refusedStream = HTTP2ErrorCode(rawValue: 7)
    public static let cancel = HTTP2ErrorCode(rawValue: 8)
    public static let compressionError = HTTP2ErrorCode(rawValue: 9)
    public static let connectError = HTTP2ErrorCode(rawValue: 10)
    public static let enhanceYourCalm = HTTP2ErrorCode(rawValue: 11)
    public static let inadequateSecurity = HTTP2ErrorCode(rawValue: 12)
    public static let http11Required = HTTP2ErrorCode(rawValue: 13)
}

/// What a connection was ended for with ENHANCE_YOUR_CALM: one counter each.
public enum HTTP2Flood: UInt8, Sendable, CaseIterable {
    /// Resets by the client (Rapid Reset).
    case resets
    /// Resets that the client provoked in us (MadeYouReset), and streams beyond the limit.
    case provoked
    /// Malformed request heads.
    case malformed
    /// Heads far larger than the limits, or again and again larger (HPACK bomb, cookie crumbs).
    case headers
    case settings, ping, priority, windowUpdate
    case emptyData
    case continuation
    /// HEADERS of streams that are over, frames of unknown type.
    case frames
    /// Our own frames, which the client does not read.
    case unread
}

/// What one connection did, for metrics and logs.
public struct HTTP2Counters: Sendable {
    public var streams = 0
    public var resetsReceived = 0
    public var glitches = 0
    /// Streams reset for a fault of the client.
    public var streamErrors = 0
    public var dataFramesSent = 0
    public var dataBytesReceived = 0
    public var dataBytesSent = 0

    public init() {}
}
