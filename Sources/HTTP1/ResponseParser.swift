import Buffers
public import HTTP

/// Reads response heads from origins, as strictly as requests are read.
public struct ResponseParser {
    private let limits: HeadLimits
    private var finder = HeadFinder()
    /// The origin keeps the connection open.
    public private(set) var persistent = true

    public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

    public mutating func reset() {
        finder = HeadFinder()
        persistent = true
    }

    /// - Parameter method: of the request this answers; HEAD has no body whatever the fields say.
    public mutating func parse(_ bytes: borrowing Span<UInt8>, into head: inout Head, answering method: Method) -> ParseResult {
        switch finder.find(bytes, limits) {
        case .needMore: return .needMore
        case .failed(_, let note): return .failed(.originProtocol, note)
        case .end(let end):
            do throws(HeadFailure) {
                try read(bytes.extracting(first: end), &head, method)
                return .complete(consumed: end)
            } catch {
                return .failed(.originProtocol, error.note)
            }
        }
    }

    private mutating func read(_ bytes: borrowing Span<UInt8>, _ head: inout Head, _ method: Method) throws(HeadFailure) {
        head.reset()
        let base = Int(head.arena.append(bytes).start)
        let lineEnd = try readLine(&head, base, bytes.count)
        var fields = FieldReader(limits: limits, request: false)
        try fields.read(&head, from: lineEnd, to: base + bytes.count)
        persistent = fields.connectionClose ? false : head.version == .http11 || fields.connectionKeepAlive
        try decideBody(&head, fields, method)
    }

    /// `HTTP/1.x SP 3DIGIT SP [reason] CRLF`; the space before an absent reason may be missing.
    private func readLine(_ head: inout Head, _ base: Int, _ count: Int) throws(HeadFailure) -> Int {
        guard count >= 15 else { throw HeadFailure(.originProtocol, "malformed status line") }
        let (version, status) = try statusLine(head.arena[ByteRange(start: base, count: 12)])
        head.version = version
        head.status = status
        var at = base + 12
        if head.arena[at] == 32 {
            let reason = at + 1
            at = reason
            while CharacterClass.has(head.arena[at], CharacterClass.value) { at += 1 }
            head.reason = ByteRange(start: reason, count: at - reason)
        }
        guard head.arena[at] == 13 else { throw HeadFailure(.originProtocol, "malformed status line") }
        return at + 2
    }

    private func statusLine(_ start: borrowing Span<UInt8>) throws(HeadFailure) -> (HTTPVersion, Int) {
        guard start.extracting(first: 7).equals("HTTP/1."), start[7] == 49 || start[7] == 48, start[8] == 32 else {
            throw HeadFailure(.originProtocol, "malformed status line")
        }
        guard let status = start.extracting(9..<12).decimal(), status >= 100, status <= 599 else {
            throw HeadFailure(.originProtocol, "malformed status code")
        }
        return (start[7] == 49 ? .http11 : .http10, status)
    }

    private mutating func decideBody(_ head: inout Head, _ fields: FieldReader, _ method: Method) throws(HeadFailure) {
        guard fields.transferEncodings == 0 || fields.contentLengths == 0 else {
            throw HeadFailure(.originProtocol, "Transfer-Encoding with Content-Length")
        }
        guard fields.transferEncodings == 0 || (fields.isChunked && head.version == .http11) else {
            throw HeadFailure(.originProtocol, "unusable Transfer-Encoding")
        }
        if head.status < 200 || head.status == 204 || head.status == 304 {
            head.body = .none
        } else if method == .head {
            head.body = fields.contentLength.map { .known($0) } ?? .none
        } else if fields.isChunked {
            head.body = .unknown
        } else if let length = fields.contentLength {
            head.body = .known(length)
        } else {
            head.body = .untilClose
            persistent = false
        }
    }
}
