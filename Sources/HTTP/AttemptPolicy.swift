/// When a request is sent to an origin again. A plain value: it travels with each exchange.
public struct RetryPolicy: Sendable, Equatable {
    public struct Conditions: OptionSet, Sendable, Hashable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// No connection came about, or a stream was refused: nobody looked at what was sent.
        public static let connect = Conditions(rawValue: 1)
        /// The connection broke, or the answer was no HTTP.
        public static let reset = Conditions(rawValue: 2)
        /// The origin did not answer in time.
        public static let timeout = Conditions(rawValue: 4)
    }

    /// Attempts in all, the first one included. 1...10.
    public var tries = 2
    public var conditions: Conditions = .connect
    /// One bit per status from 400 to 599.
    private var statuses = SIMD4<UInt64>()
    /// Statuses of gRPC that are a reason, in an answer that has nothing else.
    public var grpcStatuses = GRPCStatusSet()
    /// Retries per hundred requests, beyond a small reserve.
    public var budget = 20
    /// Milliseconds from the sent request to the first byte of its answer, for each attempt; 0 is the upstream's own.
    public var perTry = 0
    /// Also methods that may have an effect each time (RFC 9110 section 9.2.2).
    public var anyMethod = false
    /// Largest body kept for another attempt.
    public var bodyBytes = 64 << 10

    public init() {}

    public mutating func add(status: Int) {
        guard (400..<600).contains(status) else { return }
        statuses[(status - 400) >> 6] |= 1 << UInt64((status - 400) & 63)
    }

    public func covers(status: Int) -> Bool {
        guard (400..<600).contains(status) else { return false }
        return statuses[(status - 400) >> 6] >> UInt64((status - 400) & 63) & 1 == 1
    }

    /// More than a connection that did not come about may be repeated: the request's body is worth keeping.
    public var repeatsSentRequests: Bool { tries > 1 && (conditions != .connect || statuses != SIMD4() || !grpcStatuses.isEmpty) }
}

/// Times that a rule sets for one exchange, in milliseconds; 0 leaves the upstream's.
public struct AttemptTimes: Sendable, Equatable {
    public var connect = 0
    public var firstByte = 0
    public var idle = 0
    /// From the request's way to the origin until its answer is complete.
    public var total = 0
    /// `total` is what the client said it would wait: that it is over is no failure of the origin's.
    public var totalIsClients = false

    public init() {}
}
