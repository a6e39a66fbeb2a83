import Buffers
import HTTP

/// `METHOD SP target SP HTTP/1.x CRLF` (RFC 9112 section 3). Ranges are offsets into the bytes that are read.
struct RequestLine {
    /// No registered method is longer than 17.
    static let longestMethod = 32

    /// Returns the offset behind the line.
    mutating func read(
        _ bytes: borrowing Span<UInt8>, _ reader: FieldReader, into head: inout Head
    ) throws(HeadStop) -> Int {
        var at = 0
        while at < bytes.count, ASCIISet.token.contains(bytes[at]) { at += 1 }
        guard at < bytes.count else { throw .incomplete }
        guard at > 0, at <= RequestLine.longestMethod, bytes[at] == ASCII.space else {
            throw reader.refusal(at, "malformed method", startLine: true)
        }
        let method = Method(matching: bytes.extracting(first: at))
        let methodName = ByteRange(start: 0, count: at)
        let start = at + 1
        at = bytes.endOfTarget(from: start)
        guard at < bytes.count else { throw .incomplete }
        guard at > start, bytes[at] == ASCII.space else { throw reader.refusal(at, "malformed request target", startLine: true) }
        let target = ByteRange(start: start, count: at - start)
        at += 1
        let versionStart = at
        while at < bytes.count, bytes[at] > 32, bytes[at] != 127 { at += 1 }
        guard at < bytes.count else { throw .incomplete }
        guard bytes[at] != ASCII.space else { throw reader.refusal(at, "more than three words in a request line", startLine: true) }
        let end = try reader.endOfLine(bytes, at, startLine: true)
        head.version = try version(bytes.extracting(versionStart..<at))
        head.method = method
        head.methodName = methodName
        try split(target, bytes, &head)
        return end
    }

    private func version(_ text: borrowing Span<UInt8>) throws(HeadStop) -> HTTPVersion {
        guard text.count == 8, text.extracting(first: 5).equals("HTTP/"), text[6] == UInt8(ascii: "."),
            text[5] &- 48 < 10, text[7] &- 48 < 10
        else { throw .refused(.badRequest, "malformed HTTP version") }
        switch (text[5], text[7]) {
        case (49, 49): return .http11
        case (49, 48): return .http10
        default: throw .refused(.versionNotSupported, "HTTP version not supported")
        }
    }

    /// Origin form, absolute form, `*` for OPTIONS, authority form for CONNECT (RFC 9112 section 3.2).
    private func split(_ target: ByteRange, _ bytes: borrowing Span<UInt8>, _ head: inout Head) throws(HeadStop) {
        let first = bytes[Int(target.start)]
        if head.method == .connect {
            guard Authority.isValidWithPort(bytes.extracting(Int(target.start)..<target.end)) else {
                throw .refused(.badRequest, "malformed request target")
            }
            head.authority = target
        } else if first == UInt8(ascii: "/") {
            splitPath(target, bytes, &head)
        } else if first == UInt8(ascii: "*") {
            guard target.count == 1, head.method == .options else { throw .refused(.badRequest, "malformed request target") }
            head.path = target
        } else {
            try splitAbsolute(target, bytes, &head)
        }
    }

    private func splitPath(_ target: ByteRange, _ bytes: borrowing Span<UInt8>, _ head: inout Head) {
        let start = Int(target.start)
        guard let mark = bytes.extracting(start..<target.end).firstIndex(of: UInt8(ascii: "?")) else {
            head.path = target
            return
        }
        head.path = target.prefix(mark)
        head.query = target.dropFirst(mark + 1)
        head.hasQuery = true
    }

    private func splitAbsolute(_ target: ByteRange, _ bytes: borrowing Span<UInt8>, _ head: inout Head) throws(HeadStop) {
        let text = bytes.extracting(Int(target.start)..<target.end)
        var scheme = 0
        if text.count > 7, text.extracting(first: 7).equalsIgnoringCase("http://") { scheme = 7 }
        if text.count > 8, text.extracting(first: 8).equalsIgnoringCase("https://") { scheme = 8 }
        guard scheme > 0 else { throw .refused(.badRequest, "malformed request target") }
        var end = scheme
        while end < text.count, text[end] != UInt8(ascii: "/"), text[end] != UInt8(ascii: "?") { end += 1 }
        guard Authority.isValid(text.extracting(scheme..<end)) else { throw .refused(.badRequest, "malformed request target") }
        head.authority = ByteRange(start: Int(target.start) + scheme, count: end - scheme)
        splitPath(target.dropFirst(end), bytes, &head)
    }
}
