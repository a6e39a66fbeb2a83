import Buffers
import HTTP

/// Reads field lines and notes what decides about framing and the connection.
struct FieldReader {
    let limits: HeadLimits
    let request: Bool
    var hosts = 0
    var contentLengths = 0
    var contentLength: Int?
    var transferEncodings = 0
    var isChunked = false
    var unknownCoding = false
    var connectionClose = false
    var connectionKeepAlive = false
    var connectionUpgrade = false
    var upgradeFields = 0
    var expectContinue = false

    init(limits: HeadLimits, request: Bool) {
        self.limits = limits
        self.request = request
    }

    /// Reads from `start` up to the empty line that ends at `end`. The head's lines end in CRLF: the finder saw to it.
    mutating func read(_ head: inout Head, from start: Int, to end: Int) throws(HeadFailure) {
        var at = start
        while at < end - 2 {
            let name = try readName(&head, at)
            at = name.end + 1
            let (value, next) = try readValue(&head, at)
            at = next
            guard head.fields.count < limits.fields else { throw HeadFailure(.headTooLarge, "the head has more fields than the limit") }
            head.appendField(name: name, value: value)
            try note(head.fields[head.fields.count - 1], head)
        }
    }

    private func readName(_ head: inout Head, _ start: Int) throws(HeadFailure) -> ByteRange {
        var at = start
        while CharacterClass.has(head.arena[at], CharacterClass.token) { at += 1 }
        guard at > start, head.arena[at] == UInt8(ascii: ":") else {
            throw HeadFailure(.badRequest, at > start && (head.arena[at] == 32 || head.arena[at] == 9)
                ? "white space before the colon of a field" : "malformed field name")
        }
        return ByteRange(start: start, count: at - start)
    }

    private func readValue(_ head: inout Head, _ start: Int) throws(HeadFailure) -> (ByteRange, Int) {
        var from = start
        while head.arena[from] == 32 || head.arena[from] == 9 { from += 1 }
        var at = from
        while CharacterClass.has(head.arena[at], CharacterClass.value) { at += 1 }
        guard head.arena[at] == 13 else { throw HeadFailure(.badRequest, "a control byte in a field value") }
        var to = at
        while to > from, head.arena[to - 1] == 32 || head.arena[to - 1] == 9 { to -= 1 }
        return (ByteRange(start: from, count: to - from), at + 2)
    }

    private mutating func note(_ field: Field, _ head: borrowing Head) throws(HeadFailure) {
        switch field.id {
        case .host: hosts += 1
        case .contentLength: try noteLength(head.bytes(field.value))
        case .transferEncoding: noteCoding(head.bytes(field.value))
        case .connection: noteConnection(head.bytes(field.value))
        case .upgrade: upgradeFields += 1
        case .expect where request:
            guard head.bytes(field.value).equalsIgnoringCase("100-continue") else {
                throw HeadFailure(.expectationFailed, "an expectation other than 100-continue")
            }
            expectContinue = true
        default: break
        }
    }

    private mutating func noteLength(_ text: borrowing Span<UInt8>) throws(HeadFailure) {
        contentLengths += 1
        guard contentLengths == 1, let length = text.decimal() else {
            throw HeadFailure(.badRequest, "unusable Content-Length")
        }
        contentLength = length
    }

    private mutating func noteCoding(_ text: borrowing Span<UInt8>) {
        transferEncodings += 1
        isChunked = transferEncodings == 1 && text.equalsIgnoringCase("chunked")
        // A coding we do not know is 501 (RFC 9112 section 6.1); a list that hides chunked is an attack.
        unknownCoding = !isChunked && transferEncodings == 1 && text.firstRange(of: Span("chunked")) == nil && text.count > 0
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
            while from < to, text[from] == 32 || text[from] == 9 { from += 1 }
            while to > from, text[to - 1] == 32 || text[to - 1] == 9 { to -= 1 }
            if to > from { return from..<to }
        }
        return nil
    }
}
