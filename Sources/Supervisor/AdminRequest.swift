/// A request to the admin API: strict, bounded, read whole before it is answered.
///
/// Pure: bytes in, verdict out.
struct AdminRequest: Equatable {
    /// Largest head, in bytes.
    static let headLimit = 8192
    /// Largest body, in bytes: bodies are small JSON objects.
    static let bodyLimit = 16 * 1024

    enum Method: String { case get = "GET", head = "HEAD", post = "POST" }

    var method = Method.get
    /// Path without the query.
    var path: String
    /// The query without `?`, not decoded.
    var query = ""
    var host = ""
    /// The token of `Authorization: Bearer TOKEN`.
    var token: String?
    var origin: String?
    var accept = ""
    /// `Sec-Fetch-Site`: a browser says where a request comes from.
    var fetchSite: String?
    var body = ""

    var isHead: Bool { method == .head }

    enum Verdict: Equatable {
        case incomplete
        case request(AdminRequest)
        /// Answer with this status and close.
        case refused(status: Int, reason: String)
    }

    static func parse(_ bytes: borrowing Span<UInt8>) -> Verdict {
        guard let end = endOfHead(bytes) else {
            return bytes.count >= headLimit ? .refused(status: 431, reason: "Request Header Fields Too Large") : .incomplete
        }
        guard end <= headLimit else { return .refused(status: 431, reason: "Request Header Fields Too Large") }
        var head = ""
        head.reserveCapacity(end)
        for index in 0..<end {
            let byte = bytes[index]
            guard byte == 0x0D || byte == 0x0A || byte == 0x09 || (byte >= 0x20 && byte < 0x7F) else { return bad }
            head.unicodeScalars.append(Unicode.Scalar(byte))
        }
        var reader = HeadReader()
        if let refusal = reader.read(head) { return refusal }
        return finish(reader, bytes, end)
    }

    private static let bad = Verdict.refused(status: 400, reason: "Bad Request")

    private static func finish(_ reader: HeadReader, _ bytes: borrowing Span<UInt8>, _ end: Int) -> Verdict {
        var request = reader.request
        guard reader.length <= bodyLimit else { return .refused(status: 413, reason: "Content Too Large") }
        guard bytes.count >= end + reader.length else { return .incomplete }
        var body: [UInt8] = []
        for index in end..<(end + reader.length) { body.append(bytes[index]) }
        guard let text = String(validating: body, as: UTF8.self) else { return bad }
        request.body = text
        return .request(request)
    }

    /// Index behind the empty line, nil when it has not come.
    private static func endOfHead(_ bytes: borrowing Span<UInt8>) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 0...(bytes.count - 4)
        where bytes[index] == 0x0D && bytes[index + 1] == 0x0A && bytes[index + 2] == 0x0D && bytes[index + 3] == 0x0A {
            return index + 4
        }
        return nil
    }

    /// The value of a query parameter, percent-decoded; nil when it is not there or not UTF-8.
    func parameter(_ name: String) -> String? {
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts[0] == name[...] { return parts.count == 2 ? AdminRequest.decoded(parts[1]) : "" }
        }
        return nil
    }

    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                let digits = rest.prefix(2)
                // What reads numbers would take a sign for a digit.
                guard digits.count == 2, digits.allSatisfy(isHexDigit), let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16) else { return nil }
                bytes.append(value)
                rest = rest.dropFirst(2)
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 || (byte | 0x20) &- 97 < 6 }
}

/// Reads the lines of a head.
private struct HeadReader {
    var request = AdminRequest(path: "")
    /// Bytes of the body.
    var length = 0

    private static let bad = AdminRequest.Verdict.refused(status: 400, reason: "Bad Request")

    /// - Returns: why the head is refused; nil when it is fine.
    mutating func read(_ head: String) -> AdminRequest.Verdict? {
        // CRLF is one Character in Swift, so a bare CR or LF stays behind in a line.
        var lines = head.split(separator: "\r\n", omittingEmptySubsequences: false)
        lines.removeLast(2)
        guard let first = lines.first, !lines.contains(where: { $0.contains("\r") || $0.contains("\n") }) else { return HeadReader.bad }
        let parts = first.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[2] == "HTTP/1.1" || parts[2] == "HTTP/1.0", parts[1].hasPrefix("/") else { return HeadReader.bad }
        guard readFields(lines.dropFirst(), needsHost: parts[2] == "HTTP/1.1") else { return HeadReader.bad }
        guard let method = AdminRequest.Method(rawValue: String(parts[0])) else {
            return .refused(status: 405, reason: "Method Not Allowed")
        }
        let target = parts[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        request.method = method
        request.path = String(target[0])
        request.query = target.count == 2 ? String(target[1]) : ""
        return nil
    }

    private mutating func readFields(_ lines: ArraySlice<Substring>, needsHost: Bool) -> Bool {
        var hosts = 0
        var lengths = 0
        for line in lines {
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { return false }
            let name = line[..<colon]
            guard name.utf8.allSatisfy(HeadReader.isTokenByte) else { return false }
            let value = HeadReader.trimmed(line[line.index(after: colon)...])
            switch name.lowercased() {
            case "host":
                hosts += 1
                request.host = value
            case "transfer-encoding": return false
            case "content-length":
                lengths += 1
                guard let number = HeadReader.number(value) else { return false }
                length = number
            case "authorization": request.token = HeadReader.bearer(value)
            case "origin": request.origin = value
            case "accept": request.accept = value
            case "sec-fetch-site": request.fetchSite = value
            default: break
            }
        }
        return lengths <= 1 && (needsHost ? hosts == 1 : hosts <= 1)
    }

    private static func number(_ text: String) -> Int? {
        !text.isEmpty && text.utf8.count <= 9 && text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) ? Int(text) : nil
    }

    private static func bearer(_ value: String) -> String? {
        let parts = value.split(separator: " ", maxSplits: 1)
        return parts.count == 2 && parts[0].lowercased() == "bearer" ? String(parts[1]) : nil
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
