public import Buffers

/// The client end of an exchange as rules and hooks see it.
public struct ClientInfo: Sendable {
    public var address = IPAddress.unspecified
    public var port: UInt16 = 0
    public var tls: TLSInfo?
    /// Where a trusted balancer says that the client connected to; nil: to the address of our own socket.
    public var destination: Destination?
    /// Round trip time in microseconds, when some rule asks for it.
    public var roundTrip: Int?

    public init() {}
}

/// The end of a client's connection that is not the client's. An object: most connections have none.
public final class Destination: Sendable {
    public let address: IPAddress
    public let port: UInt16

    public init(_ address: IPAddress, port: UInt16) {
        self.address = address
        self.port = port
    }
}

/// What the handshake settled. An object, because every exchange of the connection refers to it.
public final class TLSInfo: Sendable {
    /// `TLSv1.2` or `TLSv1.3`.
    public let version: String
    public let cipher: String
    /// The server name the client sent, lower case; empty when it sent none.
    public let serverName: String
    public let clientSubject: String
    public let clientVerified: Bool
    /// JA4 of the ClientHello; empty when it is not known.
    public let fingerprint: String
    public let clientIssuer: String
    /// Hexadecimal: the serial number, and SHA-256 of the certificate.
    public let clientSerial: String
    public let clientFingerprint: String
    /// When the handshake began and ended, monotonic nanoseconds; 0 when that is not known.
    public let handshakeBegan: UInt64
    public let handshakeEnded: UInt64

    public init(
        version: String, cipher: String, serverName: String, clientSubject: String = "", clientVerified: Bool = false,
        fingerprint: String = "", clientIssuer: String = "", clientSerial: String = "", clientFingerprint: String = "",
        handshakeBegan: UInt64 = 0, handshakeEnded: UInt64 = 0
    ) {
        self.handshakeBegan = handshakeBegan
        self.handshakeEnded = handshakeEnded
        self.version = version
        self.cipher = cipher
        self.serverName = serverName
        self.clientSubject = clientSubject
        self.clientVerified = clientVerified
        self.fingerprint = fingerprint
        self.clientIssuer = clientIssuer
        self.clientSerial = clientSerial
        self.clientFingerprint = clientFingerprint
    }
}

/// What the client sent, before any rewrite. Ranges of the request head's arena.
public struct OriginalTarget: Sendable {
    public var method = Method.get
    public var methodName = ByteRange.empty
    public var authority = ByteRange.empty
    public var path = ByteRange.empty
    public var query = ByteRange.empty
    public var hasQuery = false

    public init() {}

    init(of head: borrowing Head) {
        method = head.method
        methodName = head.methodName
        authority = head.authority
        path = head.path
        query = head.query
        hasQuery = head.hasQuery
    }
}

/// What is known of the origin's answer, before response rules changed it.
public struct OriginInfo: Sendable {
    public var status = 0
    /// Index into the configuration's upstreams, or -1.
    public var upstream = -1
    /// Index of the server within its upstream, or -1.
    public var server = -1
    public var address = IPAddress.unspecified
    public var port: UInt16 = 0
    /// Monotonic nanoseconds; 0 means not reached.
    public var connectStart: UInt64 = 0
    public var requestSent: UInt64 = 0
    public var firstByte: UInt64 = 0
    public var attempts = 0
    public var reusedConnection = false
    /// True once a response head from an origin has been received.
    public var called = false

    public init() {}
}

/// The plain values of an exchange.
private struct ExchangeValues {
    var original = OriginalTarget()
    var client = ClientInfo()
    var origin = OriginInfo()
    var requestID = RequestID()
    var site = -1
    var upstream = -1
    var retry: RetryPolicy?
    var attemptTimes = AttemptTimes()
    var balanceKey: UInt64?
    var bodyLimit = Int.max
    var error: GatewayError?
    var failedHook = ""
    var started: UInt64 = 0
    var startedWall = 0
}

/// One request and its response, neutral of protocol: the object that rules and hooks work on.
///
/// The gateway's runner subclasses it and reuses instances, so nothing here is allocated per request.
/// Values are kept in private storage and seen through accessors: the compiler then proves that accesses to them never
/// overlap, where a public stored property is checked at run time each time
/// (docs/decisions/0004-exclusivity-without-a-price.md).
open class Exchange {
    public final var request = Head()
    public final var response = Head()
    /// Ids of rules that matched, in order, for the access log.
    public final var matchedRules: [Int32] = []
    /// Variables shared by rules (`vars.n`) and hooks (`ctx.vars`).
    public final var vars = VariableTable()
    private final var values = ExchangeValues()

    public final var original: OriginalTarget { get { values.original } set { values.original = newValue } }
    public final var client: ClientInfo { get { values.client } set { values.client = newValue } }
    public final var origin: OriginInfo { get { values.origin } set { values.origin = newValue } }
    /// Parts of `origin`, for those who need one: `origin` is read and written as a whole.
    public final var originUpstream: Int { get { values.origin.upstream } set { values.origin.upstream = newValue } }
    public final var originServer: Int { get { values.origin.server } set { values.origin.server = newValue } }
    public final var originAttempts: Int { values.origin.attempts }
    public final var originConnectStart: UInt64 { get { values.origin.connectStart } set { values.origin.connectStart = newValue } }
    public final var originRequestSent: UInt64 { get { values.origin.requestSent } set { values.origin.requestSent = newValue } }
    public final var originFirstByte: UInt64 { get { values.origin.firstByte } set { values.origin.firstByte = newValue } }
    public final var originReusedConnection: Bool { get { values.origin.reusedConnection } set { values.origin.reusedConnection = newValue } }
    /// The address of `client`.
    public final var clientAddress: IPAddress { values.client.address }
    /// 32 lower-case hexadecimal digits; also sent as `X-Request-Id`.
    public final var requestID: RequestID { get { values.requestID } set { values.requestID = newValue } }
    /// Bytes of request body that rules allow.
    public final var bodyLimit: Int { get { values.bodyLimit } set { values.bodyLimit = newValue } }
    /// Index of the site in the configuration, or -1 before one is chosen.
    public final var site: Int { get { values.site } set { values.site = newValue } }
    /// Index of the upstream that rules chose, or -1.
    public final var upstream: Int { get { values.upstream } set { values.upstream = newValue } }
    /// What a rule says of further attempts and of times; nil and zeros leave the upstream's.
    public final var retry: RetryPolicy? { get { values.retry } set { values.retry = newValue } }
    public final var attemptTimes: AttemptTimes { get { values.attemptTimes } set { values.attemptTimes = newValue } }
    /// What decides between an upstream's servers, where it balances by a value: its `BalanceKey`.
    public final var balanceKey: UInt64? { get { values.balanceKey } set { values.balanceKey = newValue } }
    /// Set while error rules run.
    public final var error: GatewayError? { get { values.error } set { values.error = newValue } }
    /// Name of the hook that failed, for `error.hook`.
    public final var failedHook: String { get { values.failedHook } set { values.failedHook = newValue } }
    /// Monotonic nanoseconds at which the head was complete.
    public final var started: UInt64 { get { values.started } set { values.started = newValue } }
    /// Wall-clock seconds since 1970 at the same moment.
    public final var startedWall: Int { get { values.startedWall } set { values.startedWall = newValue } }

    public init() { matchedRules.reserveCapacity(32) }

    /// Makes the object ready for the next exchange. Only the client stays, for the next exchange of its connection.
    open func reset() {
        request.reset()
        response.reset()
        if !matchedRules.isEmpty { matchedRules.removeAll(keepingCapacity: true) }
        vars.removeAll()
        forgetValues()
    }

    /// All but the client. One by one: another value in the place of the whole costs a copy and the end of what it holds, and a
    /// function of the struct one access to all of it, after which every other access is checked.
    @inline(__always)
    private final func forgetValues() {
        values.original = OriginalTarget()
        values.origin = OriginInfo()
        values.requestID = RequestID()
        values.site = -1
        values.upstream = -1
        values.retry = nil
        values.attemptTimes = AttemptTimes()
        values.balanceKey = nil
        values.bodyLimit = .max
        if values.error != nil { values.error = nil }
        if !values.failedHook.isEmpty { values.failedHook = "" }
        values.started = 0
        values.startedWall = 0
    }

    /// An attempt at a server begins.
    public final func noteOriginAttempt(_ address: IPAddress, port: UInt16) {
        values.origin.attempts += 1
        values.origin.address = address
        values.origin.port = port
    }

    /// The origin answered with a final head.
    public final func noteOriginAnswer(_ status: Int) {
        values.origin.called = true
        values.origin.status = status
    }

    /// Keeps what the client sent; call once when the head is complete.
    public final func keepOriginal() {
        values.original = OriginalTarget(of: request)
    }
}

/// 128 random bits as 32 lower-case hexadecimal digits.
public struct RequestID: Sendable {
    public private(set) var high: UInt64 = 0
    public private(set) var low: UInt64 = 0

    public init() {}

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The digits, as a value that can be borrowed as a span.
    public var digits: InlineArray<32, UInt8> {
        var digits = InlineArray<32, UInt8>(repeating: 48)
        for index in 0..<16 {
            digits[index] = RequestID.digit(high, index)
            digits[16 + index] = RequestID.digit(low, index)
        }
        return digits
    }

    private static func digit(_ word: UInt64, _ index: Int) -> UInt8 {
        let nibble = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * index)) & 15
        return nibble < 10 ? 48 + nibble : 87 + nibble
    }

    public var text: String {
        let digits = digits
        return digits.span.text()
    }
}

/// A small table of named values that live as long as their exchange.
public struct VariableTable: ~Copyable {
    private var arena = ByteArena(capacity: 128)
    private var entries: [(name: ByteRange, value: ByteRange)] = []

    public init() {}

    public var isEmpty: Bool { entries.isEmpty }
    public var count: Int { entries.count }
    /// Bytes of all text, also of what was replaced.
    public var byteCount: Int { arena.count }

    public borrowing func forEach(_ body: (borrowing Span<UInt8>, borrowing Span<UInt8>) -> Void) {
        for entry in entries { body(arena[entry.name], arena[entry.value]) }
    }

    public mutating func removeAll() {
        guard !entries.isEmpty else { return }
        arena.removeAll()
        entries.removeAll(keepingCapacity: true)
    }

    public mutating func set(_ name: borrowing Span<UInt8>, _ value: borrowing Span<UInt8>) {
        let range = arena.append(value)
        for index in entries.indices where arena[entries[index].name].equals(name) {
            entries[index].value = range
            return
        }
        entries.append((arena.append(name), range))
    }

    /// The value's range, to be read with `bytes`.
    public borrowing func value(_ name: borrowing Span<UInt8>) -> ByteRange? {
        for entry in entries where arena[entry.name].equals(name) { return entry.value }
        return nil
    }

    @_lifetime(borrow self)
    public borrowing func bytes(_ range: ByteRange) -> Span<UInt8> { arena[range] }

    /// All of them as text, for people.
    public borrowing func texts() -> [(name: String, value: String)] {
        var texts: [(name: String, value: String)] = []
        for entry in entries { texts.append((arena[entry.name].text(), arena[entry.value].text())) }
        return texts
    }
}
