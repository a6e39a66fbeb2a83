public import Buffers
public import HTTP

/// Reads response heads from origins, as strictly as requests are read. Whatever is wrong is `originProtocol`.
public struct ResponseParser {
    private let limits: HeadLimits
    private var finder = HeadFinder()
    private var inPieces = false
    /// The origin keeps the connection open.
    public private(set) var persistent = true

    public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

    public mutating func reset() {
        finder = HeadFinder()
        inPieces = false
        persistent = true
    }

    /// The same as `parse` on what is unread, which a whole head leaves.
    public mutating func read(_ input: inout ReadBuffer, into head: inout Head, answering method: Method) -> ParseResult {
        let result = parse(input.bytes, into: &head, answering: method)
        if case .complete(let consumed) = result { input.consume(consumed) }
        return result
    }

    /// - Parameter method: of the request this answers; HEAD has no body whatever the fields say.
    public mutating func parse(_ bytes: borrowing Span<UInt8>, into head: inout Head, answering method: Method) -> ParseResult {
        guard bytes.count > 0 else { return .needMore }
        if inPieces {
            switch finder.find(bytes, limits) {
            case .needMore: return .needMore
            case .failed(_, let note): return .failed(.originProtocol, note)
            case .end: break
            }
        }
        head.reset()
        do throws(HeadStop) {
            return .complete(consumed: try read(bytes, &head, method))
        } catch {
            head.reset()
            if case .refused(_, let note) = error { return .failed(.originProtocol, note) }
        }
        inPieces = true
        guard case .failed(_, let note) = finder.find(bytes, limits) else { return .needMore }
        return .failed(.originProtocol, note)
    }

    private mutating func read(_ bytes: borrowing Span<UInt8>, _ head: inout Head, _ method: Method) throws(HeadStop) -> Int {
        var reader = FieldReader(limits: limits, request: false)
        let lineEnd = try reader.endOfText(bytes, 0)
        let fieldsStart = try reader.endOfLine(bytes, lineEnd, startLine: true)
        try readStatus(bytes.extracting(first: lineEnd), &head)
        let end = try reader.read(bytes, from: fieldsStart, into: &head)
        persistent = reader.notes.isPersistent(head.version)
        try decideBody(&head, reader.notes, method)
        _ = head.arena.append(bytes.extracting(first: end))
        return end
    }

    /// `HTTP/1.x SP 3DIGIT SP [reason]`; the space before an absent reason may be missing, as some origins do.
    private func readStatus(_ line: borrowing Span<UInt8>, _ head: inout Head) throws(HeadStop) {
        guard line.count >= 12, line.extracting(first: 7).equals("HTTP/1."), line[7] == 49 || line[7] == 48, line[8] == 32,
            line.count == 12 || line[12] == 32
        else { throw .refused(.originProtocol, "malformed status line") }
        guard let status = line.extracting(9..<12).decimal(), status >= 100, status <= 599 else {
            throw .refused(.originProtocol, "malformed status code")
        }
        head.version = line[7] == 49 ? .http11 : .http10
        head.status = status
        if line.count > 13 { head.reason = ByteRange(start: 13, count: line.count - 13) }
    }

    /// RFC 9112 section 6.3.
    private mutating func decideBody(_ head: inout Head, _ notes: FieldNotes, _ method: Method) throws(HeadStop) {
        guard notes.transferEncodings == 0 || notes.contentLengths == 0 else {
            throw .refused(.originProtocol, "Transfer-Encoding with Content-Length")
        }
        guard notes.transferEncodings == 0 || (notes.isChunked && head.version == .http11) else {
            throw .refused(.originProtocol, "unusable Transfer-Encoding")
        }
        if head.status < 200 || head.status == 204 {
            guard notes.transferEncodings == 0, notes.contentLength ?? 0 == 0 else {
                throw .refused(.originProtocol, "a body in a response that cannot have one")
            }
            head.body = .none
        } else if head.status == 304 {
            head.body = .none
        } else if method == .head {
            head.body = notes.contentLength.map { .known($0) } ?? .none
        } else if notes.isChunked {
            head.body = .unknown
        } else if let length = notes.contentLength {
            head.body = .known(length)
        } else {
            head.body = .untilClose
            persistent = false
        }
    }
}
