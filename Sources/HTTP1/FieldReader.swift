import Buffers
import HTTP

/// Reads field lines where they were received and notes what decides about framing and the connection.
///
/// One pass: each byte of a field is looked at once (values eight at a time), and ranges are offsets into the span,
/// which become ranges of the head's arena when the whole head is copied there.
struct FieldReader {
    let limits: HeadLimits
    var lineStart = 0
    var notes = FieldNotes()

    init(limits: HeadLimits, request: Bool) {
        self.limits = limits
        notes.request = request
    }

    /// Reads from `start` to the end of the empty line, whose offset is the result.
    mutating func read(_ bytes: borrowing Span<UInt8>, from start: Int, into head: inout Head) throws(HeadStop) -> Int {
        var at = start
        while true {
            lineStart = at
            guard at < bytes.count else { throw .incomplete }
            if bytes[at] == ASCII.carriageReturn { return try endOfLine(bytes, at) }
            if let line = bytes.usualLine(from: at), limits.breach(at: line.end, lineStart: at, startLine: false) == nil {
                try add(FieldName(matchingPlain: bytes.extracting(at..<line.colon)), bytes, at..<line.colon, line.value..<line.end, &head)
                at = line.end + 2
                continue
            }
            let colon = try endOfName(bytes, at)
            var from = colon + 1
            while from < bytes.count, isBlank(bytes[from]) { from += 1 }
            let end = try endOfText(bytes, from)
            let next = try endOfLine(bytes, end)
            var to = end
            while to > from, isBlank(bytes[to - 1]) { to -= 1 }
            try add(FieldName(matching: bytes.extracting(at..<colon)), bytes, at..<colon, from..<to, &head)
            at = next
        }
    }

    @inline(__always)
    private mutating func add(
        _ id: FieldName, _ bytes: borrowing Span<UInt8>, _ name: Range<Int>, _ value: Range<Int>, _ head: inout Head
    ) throws(HeadStop) {
        guard head.fields.count < limits.fields else { throw .refused(.headTooLarge, "the head has more fields than the limit") }
        head.appendField(id, name: ByteRange(start: name.lowerBound, count: name.count), value: ByteRange(start: value.lowerBound, count: value.count))
        if FieldNotes.concerns(id) { try notes.note(id, bytes.extracting(value)) }
    }

    /// The offset of the colon behind a field name that begins at `start`.
    private func endOfName(_ bytes: borrowing Span<UInt8>, _ start: Int) throws(HeadStop) -> Int {
        var at = bytes.endOfName(from: start)
        if at > start, at < bytes.count, bytes[at] == UInt8(ascii: ":") { return at }
        // Few names have other token characters than letters, digits and "-".
        while at < bytes.count, ASCIISet.token.contains(bytes[at]) { at = bytes.endOfName(from: at + 1) }
        guard at < bytes.count else { throw .incomplete }
        if at > start, bytes[at] == UInt8(ascii: ":") { return at }
        let note =
            switch (isBlank(bytes[at]), at > start) {
            case (true, true): "white space before the colon of a field"
            case (true, false): "a folded line"
            case (false, _): "malformed field name"
            }
        throw refusal(at, note)
    }

    /// The offset of the first byte from `start` on that is no text: the CR of a good line.
    @inline(__always)
    func endOfText(_ bytes: borrowing Span<UInt8>, _ start: Int) throws(HeadStop) -> Int {
        let at = bytes.endOfText(from: start)
        guard at < bytes.count else { throw .incomplete }
        return at
    }

    /// The offset behind the CRLF that has to be at `at`.
    @inline(__always)
    func endOfLine(_ bytes: borrowing Span<UInt8>, _ at: Int, startLine: Bool = false) throws(HeadStop) -> Int {
        if bytes[at] == ASCII.carriageReturn {
            guard at + 1 < bytes.count else { throw .incomplete }
            if bytes[at + 1] == ASCII.lineFeed {
                if let breach = limits.breach(at: at, lineStart: lineStart, startLine: startLine) { throw breach }
                return at + 2
            }
        }
        throw refusal(at, bytes[at] == ASCII.carriageReturn ? "CR without LF" : bytes[at] == ASCII.lineFeed
            ? "a line ends in LF alone" : "a control byte in a head", startLine: startLine)
    }

    func refusal(_ at: Int, _ note: String, startLine: Bool = false) -> HeadStop {
        limits.breach(at: at, lineStart: lineStart, startLine: startLine) ?? .refused(.badRequest, note)
    }
}

/// What the fields of one head say about its body and its connection.
struct FieldNotes {
    var request = true
    var hosts = 0
    var contentLengths = 0
    var contentLength: Int?
    var transferEncodings = 0
    var isChunked = false
    var isOtherCoding = false
    var connectionClose = false
    var connectionKeepAlive = false
    var connectionUpgrade = false
    var upgrades = 0
    var upgradeIsPlain = false
    var expectContinue = false

    @inline(__always)
    static func concerns(_ id: FieldName) -> Bool {
        switch id {
        case .host, .contentLength, .transferEncoding, .connection, .upgrade, .expect: true
        default: false
        }
    }

    mutating func note(_ id: FieldName, _ value: borrowing Span<UInt8>) throws(HeadStop) {
        switch id {
        case .host: hosts += 1
        case .contentLength: try noteLength(value)
        case .transferEncoding: noteCoding(value)
        case .connection: noteConnection(value)
        case .upgrade: noteUpgrade(value)
        case .expect where request: try noteExpectation(value)
        default: break
        }
    }

    private mutating func noteLength(_ text: borrowing Span<UInt8>) throws(HeadStop) {
        contentLengths += 1
        guard contentLengths == 1 else { throw .refused(.badRequest, "more than one Content-Length") }
        guard let length = text.decimal() else { throw .refused(.badRequest, "unusable Content-Length") }
        contentLength = length
    }

    private mutating func noteCoding(_ text: borrowing Span<UInt8>) {
        transferEncodings += 1
        isChunked = transferEncodings == 1 && text.equalsIgnoringCase("chunked")
        // A known coding that we do not do is 501 (RFC 9112 section 6.1); whatever else is here is an attack.
        isOtherCoding = transferEncodings == 1
            && (text.equalsIgnoringCase("gzip") || text.equalsIgnoringCase("deflate") || text.equalsIgnoringCase("compress"))
    }

    private mutating func noteConnection(_ text: borrowing Span<UInt8>) {
        var list = ListReader()
        while let item = list.next(text) {
            let word = text.extracting(item)
            if word.equalsIgnoringCase("close") { connectionClose = true }
            if word.equalsIgnoringCase("keep-alive") { connectionKeepAlive = true }
            if word.equalsIgnoringCase("upgrade") { connectionUpgrade = true }
        }
    }

    /// A list of protocols is not passed on, and neither are HTTP and TLS: the origin would speak past us.
    private mutating func noteUpgrade(_ text: borrowing Span<UInt8>) {
        upgrades += 1
        let end = text.firstIndex(of: UInt8(ascii: "/")) ?? text.count
        let name = text.extracting(first: end)
        var isToken = name.count > 0
        for index in text.indices where index != end && !ASCIISet.token.contains(text[index]) { isToken = false }
        upgradeIsPlain = isToken && !name.equalsIgnoringCase("h2c") && !name.equalsIgnoringCase("http")
            && !name.equalsIgnoringCase("tls")
    }

    private mutating func noteExpectation(_ text: borrowing Span<UInt8>) throws(HeadStop) {
        guard text.equalsIgnoringCase("100-continue") else {
            throw .refused(.expectationFailed, "an expectation other than 100-continue")
        }
        expectContinue = true
    }

    /// RFC 9112 section 9.3.
    func isPersistent(_ version: HTTPVersion) -> Bool {
        connectionClose ? false : version == .http11 || connectionKeepAlive
    }
}

/// Walks the elements of a comma-separated list (RFC 9110 section 5.6.1).
struct ListReader {
    private var at = 0

    mutating func next(_ text: borrowing Span<UInt8>) -> Range<Int>? {
        while at < text.count {
            let end = text.firstIndex(of: UInt8(ascii: ","), from: at) ?? text.count
            var from = at
            var to = end
            at = end + 1
            while from < to, isBlank(text[from]) { from += 1 }
            while to > from, isBlank(text[to - 1]) { to -= 1 }
            if to > from { return from..<to }
        }
        return nil
    }
}
