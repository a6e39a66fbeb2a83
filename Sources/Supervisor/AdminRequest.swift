/// The head of a request to the admin address: strict, bounded, without a body.
///
/// Pure: bytes in, verdict out. Only GET and HEAD exist here.
struct AdminRequest: Equatable {
    /// Largest head.
    static let limit = 8192

    let isHead: Bool
    /// Path without the query.
    let path: String

    enum Verdict: Equatable {
        case incomplete
        case request(AdminRequest)
        /// Answer with this status and close.
        case refused(status: Int, reason: String)
    }

    static func parse(_ bytes: borrowing Span<UInt8>) -> Verdict {
        guard let end = endOfHead(bytes) else {
            return bytes.count >= limit ? .refused(status: 431, reason: "Request Header Fields Too Large") : .incomplete
        }
        guard end <= limit else { return .refused(status: 431, reason: "Request Header Fields Too Large") }
        var head = ""
        head.reserveCapacity(end)
        for index in 0..<end {
            let byte = bytes[index]
            guard byte == 0x0D || byte == 0x0A || byte == 0x09 || (byte >= 0x20 && byte < 0x7F) else { return bad }
            head.unicodeScalars.append(Unicode.Scalar(byte))
        }
        return verdict(head)
    }

    private static let bad = Verdict.refused(status: 400, reason: "Bad Request")

    /// Index behind the empty line, nil when it has not come.
    private static func endOfHead(_ bytes: borrowing Span<UInt8>) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 0...(bytes.count - 4)
        where bytes[index] == 0x0D && bytes[index + 1] == 0x0A && bytes[index + 2] == 0x0D && bytes[index + 3] == 0x0A {
            return index + 4
        }
        return nil
    }

    private static func verdict(_ head: String) -> Verdict {
        // CRLF is one Character in Swift, so a bare CR or LF stays behind in a line.
        var lines = head.split(separator: "\r\n", omittingEmptySubsequences: false)
        lines.removeLast(2)
        guard let first = lines.first, !lines.contains(where: { $0.contains("\r") || $0.contains("\n") }) else { return bad }
        let parts = first.split(separator: " ", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[2] == "HTTP/1.1" || parts[2] == "HTTP/1.0", parts[1].hasPrefix("/") else { return bad }
        guard fieldsAreFine(lines.dropFirst(), needsHost: parts[2] == "HTTP/1.1") else { return bad }
        guard parts[0] == "GET" || parts[0] == "HEAD" else { return .refused(status: 405, reason: "Method Not Allowed") }
        let path = parts[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)[0]
        return .request(AdminRequest(isHead: parts[0] == "HEAD", path: String(path)))
    }

    private static func fieldsAreFine(_ lines: ArraySlice<Substring>, needsHost: Bool) -> Bool {
        var hosts = 0
        for line in lines {
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { return false }
            let name = line[..<colon]
            guard name.utf8.allSatisfy(isTokenByte) else { return false }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            switch name.lowercased() {
            case "host": hosts += 1
            case "transfer-encoding": return false
            case "content-length": if value != "0" { return false }
            default: break
            }
        }
        return needsHost ? hosts == 1 : hosts <= 1
    }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
