public import Buffers
public import HTTP

/// Reads request heads (RFC 9112): one reading of every message, or a refusal.
///
/// `parse` is given all unread bytes each time. A head that is there whole is read in one pass. For one that comes
/// in pieces the parser remembers how far it looked for the end, so that no byte is scanned again and again.
public struct RequestParser {
    private let limits: HeadLimits
    private let allowsConnect: Bool
    private var finder = HeadFinder()
    private var inPieces = false
    /// The connection may be used for another request afterwards (RFC 9112 section 9.3).
    public private(set) var persistent = true
    /// `Expect: 100-continue` was sent.
    public private(set) var expectsContinue = false
    /// The request asks to go on with one other protocol, such as WebSocket, and has no body.
    public private(set) var wantsUpgrade = false

    /// - Parameter allowsConnect: CONNECT is `methodNotAllowed` without.
    public init(limits: HeadLimits = HeadLimits(), allowsConnect: Bool = false) {
        self.limits = limits
        self.allowsConnect = allowsConnect
    }

    /// Makes the parser ready for the next head.
    public mutating func reset() {
        finder = HeadFinder()
        inPieces = false
        persistent = true
        expectsContinue = false
        wantsUpgrade = false
    }

    /// What the head that was just read asks of its connection; the parser is ready for the next one.
    public mutating func take() -> (persistent: Bool, expectsContinue: Bool, wantsUpgrade: Bool) {
        defer { reset() }
        return (persistent, expectsContinue, wantsUpgrade)
    }

    /// The same as `parse` on what is unread, which a whole head leaves.
    public mutating func read(_ input: inout ReadBuffer, into head: inout Head) -> ParseResult {
        let result = parse(input.bytes, into: &head)
        if case .complete(let consumed) = result { input.consume(consumed) }
        return result
    }

    /// After `.failed` the head still has the request line, if that was good: for the log.
    public mutating func parse(_ bytes: borrowing Span<UInt8>, into head: inout Head) -> ParseResult {
        guard bytes.count > 0 else { return .needMore }
        // One empty line before a request is tolerated (RFC 9112 section 2.2).
        guard bytes[0] == ASCII.carriageReturn else { return parseHead(bytes, &head) }
        if bytes.count == 1 { return .needMore }
        guard bytes[1] == ASCII.lineFeed else { return .failed(.badRequest, "a request begins with CR") }
        let rest = bytes.extracting(droppingFirst: 2)
        guard rest.count > 0 else { return .needMore }
        guard rest[0] != ASCII.carriageReturn else { return .failed(.badRequest, "empty lines before a request") }
        let result = parseHead(rest, &head)
        if case .complete(let consumed) = result { return .complete(consumed: consumed + 2) }
        return result
    }

    private mutating func parseHead(_ bytes: borrowing Span<UInt8>, _ head: inout Head) -> ParseResult {
        var late: ParseResult?
        if inPieces {
            switch finder.find(bytes, limits) {
            case .needMore: return .needMore
            case .failed(let kind, let note): late = .failed(kind, note)
            case .end: break
            }
        }
        head.reset()
        do throws(HeadStop) {
            return .complete(consumed: try read(bytes, &head))
        } catch .refused(let kind, let note) {
            keepRequestLine(bytes, &head)
            return .failed(kind, note)
        } catch {
            keepRequestLine(bytes, &head)
            if let late { return late }
            return waitForMore(bytes)
        }
    }

    /// The head is not whole: from now on only its new bytes are looked at.
    private mutating func waitForMore(_ bytes: borrowing Span<UInt8>) -> ParseResult {
        inPieces = true
        switch finder.find(bytes, limits) {
        case .failed(let kind, let note): return .failed(kind, note)
        case .needMore, .end: return .needMore
        }
    }

    private mutating func read(_ bytes: borrowing Span<UInt8>, _ head: inout Head) throws(HeadStop) -> Int {
        var reader = FieldReader(limits: limits, request: true)
        var line = RequestLine()
        let fieldsStart = try line.read(bytes, reader, into: &head)
        guard head.method != .connect || allowsConnect else { throw .refused(.methodNotAllowed, "CONNECT is not served") }
        let end = try reader.read(bytes, from: fieldsStart, into: &head)
        _ = head.arena.append(bytes.extracting(first: end))
        if head.path.isEmpty, head.method != .connect {
            head.path = head.arena.append(head.method == .options && !head.hasQuery ? "*" : "/")
        }
        try checkHost(&head, reader.notes)
        try decideBody(&head, reader.notes)
        persistent = reader.notes.isPersistent(head.version)
        wantsUpgrade = reader.notes.connectionUpgrade && reader.notes.upgrades == 1 && reader.notes.upgradeIsPlain
            && head.version == .http11 && head.body == .none
        return end
    }

    /// Leaves a head that was refused in a state that can be logged: all its ranges are in its arena.
    private func keepRequestLine(_ bytes: borrowing Span<UInt8>, _ head: inout Head) {
        head.removeAllFields()
        head.body = .none
        guard head.arena.count == 0 else { return }
        let end = max(head.methodName.end, head.authority.end, head.path.end, head.query.end)
        _ = head.arena.append(bytes.extracting(first: end))
    }

    // MARK: Fields that decide

    private func checkHost(_ head: inout Head, _ notes: FieldNotes) throws(HeadStop) {
        guard notes.hosts <= 1 else { throw .refused(.badRequest, "more than one Host field") }
        guard let host = head.value(of: .host) else {
            guard head.version == .http10 else { throw .refused(.badRequest, "no Host field") }
            return
        }
        guard Authority.isValid(head.arena[host]) else { throw .refused(.badRequest, "malformed Host field") }
        guard head.authority.isEmpty || head.arena[host].equalsIgnoringCase(head.arena[head.authority]) else {
            throw .refused(.badRequest, "the Host field and the request target disagree")
        }
        head.authority = host
    }

    private mutating func decideBody(_ head: inout Head, _ notes: FieldNotes) throws(HeadStop) {
        expectsContinue = notes.expectContinue && head.version == .http11
        if notes.transferEncodings > 0 {
            guard head.version == .http11 else { throw .refused(.badRequest, "Transfer-Encoding in HTTP/1.0") }
            guard notes.contentLengths == 0 else { throw .refused(.badRequest, "Transfer-Encoding with Content-Length") }
            guard notes.isChunked else {
                throw .refused(notes.isOtherCoding ? .notImplemented : .badRequest, "unusable Transfer-Encoding")
            }
            head.body = .unknown
        } else if let length = notes.contentLength, length > 0 {
            head.body = .known(length)
        } else {
            head.body = .none
        }
        guard head.method != .connect || head.body == .none else { throw .refused(.badRequest, "CONNECT with a body") }
    }
}
