public import HTTP

/// How large a head may be. Sizes in bytes.
public struct HeadLimits: Sendable {
    /// Request line: `uriTooLong` beyond.
    public var line = 8 << 10
    /// The whole head: `headTooLarge` beyond.
    public var total = 64 << 10
    /// One field line.
    public var field = 8 << 10
    /// Number of fields.
    public var fields = 100

    public init() {}
}

/// What a look at the unread bytes came to.
public enum ParseResult: Sendable, Equatable {
    /// The head is not complete.
    case needMore
    /// The head is in the `Head`; its bytes can be dropped.
    case complete(consumed: Int)
    case failed(ErrorKind, String)
}
