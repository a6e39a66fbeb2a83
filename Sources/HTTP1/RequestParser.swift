import Buffers
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

/// Reads request heads (RFC 9112): one reading of every message, or a refusal.
///
/// `parse` is given all unread bytes each time; it remembers how far it looked for the end of the head, so
/// that bytes that come one by one are not scanned again and again.
public struct RequestParser {
    private let limits: HeadLimits
    private var finder = HeadFinder()
    /// The connection may be used for another request afterwards (RFC 9112 section 9.3).
    public private(set) var persistent = true
    /// `Expect: 100-continue` was sent.
    public private(set) var expectsContinue = false
    /// `Connection: upgrade` with an `Upgrade` field.
    public private(set) var wantsUpgrade = false

    public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

    /// Makes the parser ready for the next head.
    public mutating func reset() {
        finder = HeadFinder()
        persistent = true
        expectsContinue = false
        wantsUpgrade = false
    }

    public mutating func parse(_ bytes: borrowing Span<UInt8>, into head: inout Head) -> ParseResult {
        // One empty line before a request is tolerated (RFC 9112 section 2.2).
        if bytes.count >= 1, bytes[0] == 13 {
            if bytes.count == 1 { return .needMore }
            guard bytes[1] == 10 else { return .failed(.badRequest, "a request begins with CR") }
            if bytes.count > 2, bytes[2] == 13 { return .failed(.badRequest, "empty lines before a request") }
            let rest = bytes.extracting(droppingFirst: 2)
            guard case .complete(let consumed) = parseHead(rest, &head) else { return lastFailure ?? .needMore }
            return .complete(consumed: consumed + 2)
        }
        return parseHead(bytes, &head)
    }

    private var lastFailure: ParseResult?

    private mutating func parseHead(_ bytes: borrowing Span<UInt8>, _ head: inout Head) -> ParseResult {
        lastFailure = nil
        let result = findAndRead(bytes, &head)
        if case .failed = result { lastFailure = result }
        return result
    }

    private mutating func findAndRead(_ bytes: borrowing Span<UInt8>, _ head: inout Head) -> ParseResult {
        switch finder.find(bytes, limits) {
        case .needMore: return .needMore
        case .failed(let kind, let note): return .failed(kind, note)
        case .end(let end):
            do throws(HeadFailure) {
                try read(bytes.extracting(first: end), &head)
                return .complete(consumed: end)
            } catch {
                return .failed(error.kind, error.note)
            }
        }
    }

    private mutating func read(_ bytes: borrowing Span<UInt8>, _ head: inout Head) throws(HeadFailure) {
        head.reset()
        let base = Int(head.arena.append(bytes).start)
        let lineEnd = try readLine(&head, base)
        var fields = FieldReader(limits: limits, request: true)
        try fields.read(&head, from: lineEnd, to: base + bytes.count)
        try checkHost(&head, fields)
        try decideBody(&head, fields)
        persistent = fields.connectionClose ? false : head.version == .http11 || fields.connectionKeepAlive
        wantsUpgrade = fields.connectionUpgrade && fields.upgradeFields > 0 && head.version == .http11
    }

    // MARK: Request line

    /// Reads `METHOD SP target SP HTTP/1.x CRLF`; returns the offset behind it.
    private func readLine(_ head: inout Head, _ base: Int) throws(HeadFailure) -> Int {
        var at = base
        while CharacterClass.has(head.arena[at], CharacterClass.token) { at += 1 }
        guard at > base, at - base <= 32, head.arena[at] == 32 else { throw HeadFailure(.badRequest, "malformed method") }
        head.methodName = ByteRange(start: base, count: at - base)
        head.method = Method(matching: head.arena[head.methodName])
        let targetStart = at + 1
        at = targetStart
        while CharacterClass.has(head.arena[at], CharacterClass.target) { at += 1 }
        let target = ByteRange(start: targetStart, count: at - targetStart)
        guard !target.isEmpty, head.arena[at] == 32 else { throw HeadFailure(.badRequest, "malformed request target") }
        head.version = try version(head, at + 1)
        try splitTarget(&head, target)
        return at + 11
    }

    private func version(_ head: borrowing Head, _ at: Int) throws(HeadFailure) -> HTTPVersion {
        let text = head.arena[ByteRange(start: at, count: min(10, head.arena.count - at))]
        guard text.count == 10, text[8] == 13, text[9] == 10, text.extracting(first: 5).equals("HTTP/"), text[6] == 46,
            text[5] &- 48 < 10, text[7] &- 48 < 10
        else { throw HeadFailure(.badRequest, "malformed HTTP version") }
        guard text[5] == 49 else { throw HeadFailure(.versionNotSupported, "HTTP version not supported") }
        switch text[7] {
        case 49: return .http11
        case 48: return .http10
        default: throw HeadFailure(.versionNotSupported, "HTTP version not supported")
        }
    }

    /// Origin form, absolute form, `*` for OPTIONS; authority form belongs to CONNECT, which is refused.
    private func splitTarget(_ head: inout Head, _ target: ByteRange) throws(HeadFailure) {
        guard head.method != .connect else { throw HeadFailure(.methodNotAllowed, "CONNECT is not served") }
        let first = head.arena[Int(target.start)]
        if first == UInt8(ascii: "/") { return splitPath(&head, target) }
        if first == UInt8(ascii: "*") {
            guard target.count == 1, head.method == .options else { throw HeadFailure(.badRequest, "malformed request target") }
            head.path = target
            return
        }
        try splitAbsolute(&head, target)
    }

    private func splitPath(_ head: inout Head, _ target: ByteRange) {
        if let mark = head.arena[target].firstIndex(of: UInt8(ascii: "?")) {
            head.path = target.prefix(mark)
            head.query = target.dropFirst(mark + 1)
            head.hasQuery = true
        } else {
            head.path = target
        }
    }

    private func splitAbsolute(_ head: inout Head, _ target: ByteRange) throws(HeadFailure) {
        let secure = target.count >= 8 && head.arena[target.prefix(8)].equalsIgnoringCase("https://")
        let plain = target.count >= 7 && head.arena[target.prefix(7)].equalsIgnoringCase("http://")
        guard secure || plain else { throw HeadFailure(.badRequest, "malformed request target") }
        let rest = target.dropFirst(secure ? 8 : 7)
        var end = Int(rest.start)
        while end < rest.end, head.arena[end] != UInt8(ascii: "/"), head.arena[end] != UInt8(ascii: "?") { end += 1 }
        let beginsWithSlash = end < rest.end && head.arena[end] == UInt8(ascii: "/")
        end -= Int(rest.start)
        let path = rest.dropFirst(end)
        head.authority = rest.prefix(end)
        if beginsWithSlash { return splitPath(&head, path) }
        if !path.isEmpty {
            head.query = path.dropFirst(1)
            head.hasQuery = true
        }
        head.path = head.arena.append("/")
    }

    // MARK: Fields that decide

    private func checkHost(_ head: inout Head, _ fields: FieldReader) throws(HeadFailure) {
        guard fields.hosts <= 1 else { throw HeadFailure(.badRequest, "more than one Host field") }
        let host = head.value(of: .host)
        guard host != nil || head.version == .http10 else { throw HeadFailure(.badRequest, "no Host field") }
        let absolute = !head.authority.isEmpty
        if let host {
            guard Authority.isValid(head.arena[host]) else { throw HeadFailure(.badRequest, "malformed Host field") }
            if absolute, !head.arena[host].equalsIgnoringCase(head.arena[head.authority]) {
                throw HeadFailure(.badRequest, "the Host field and the request target disagree")
            }
            head.authority = host
        } else if absolute, !Authority.isValid(head.arena[head.authority]) {
            throw HeadFailure(.badRequest, "malformed request target")
        }
    }

    private mutating func decideBody(_ head: inout Head, _ fields: FieldReader) throws(HeadFailure) {
        expectsContinue = fields.expectContinue && head.version == .http11
        if fields.transferEncodings > 0 {
            guard head.version == .http11 else { throw HeadFailure(.badRequest, "Transfer-Encoding in HTTP/1.0") }
            guard fields.contentLengths == 0 else { throw HeadFailure(.badRequest, "Transfer-Encoding with Content-Length") }
            guard fields.isChunked else { throw HeadFailure(fields.unknownCoding ? .notImplemented : .badRequest, "unusable Transfer-Encoding") }
            head.body = .unknown
        } else if let length = fields.contentLength {
            head.body = length == 0 ? .none : .known(length)
        } else {
            head.body = .none
        }
    }
}
