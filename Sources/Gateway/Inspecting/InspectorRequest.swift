import Buffers
import HTTP

/// What a client of DevTools asks over HTTP: strict, bounded, and only from this machine's own names.
///
/// Pure: bytes in, verdict out.
struct InspectorRequest: Equatable {
    /// Largest head, in bytes.
    static let headLimit = 8192

    enum Verdict: Equatable {
        case incomplete
        case request(InspectorRequest)
        case refused(status: Int, why: String)
    }

    var path: String
    /// As the client wrote it, with the port.
    var host: String
    /// `Sec-WebSocket-Key` of a client that wants a WebSocket.
    var webSocketKey: String?
    /// Bytes of the head.
    var length = 0

    static func parse(_ bytes: Span<UInt8>) -> Verdict {
        guard let end = headEnd(bytes) else {
            return bytes.count > headLimit ? .refused(status: 431, why: "the head is too long") : .incomplete
        }
        let lines = bytes.extracting(0..<end - 4).text().split(separator: "\r\n", omittingEmptySubsequences: false)
        let start = (lines.first ?? "").split(separator: " ", omittingEmptySubsequences: false)
        guard start.count == 3, start[2] == "HTTP/1.1", start[1].hasPrefix("/") else { return .refused(status: 400, why: "not a request of HTTP/1.1") }
        guard start[0] == "GET" else { return .refused(status: 405, why: "only GET is known") }
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { return .refused(status: 400, why: "not a header field") }
            let name = line[..<colon].lowercased()
            guard fields[name] == nil || name != "host" else { return .refused(status: 400, why: "two Host fields") }
            fields[name] = trimmed(line[line.index(after: colon)...])
        }
        return judge(String(start[1]), fields, length: end)
    }

    private static func judge(_ path: String, _ fields: [String: String], length: Int) -> Verdict {
        let host = fields["host"] ?? ""
        // A name of somebody else's that leads here is DNS rebinding.
        guard isOwnName(host) else { return .refused(status: 403, why: "the inspector is asked by IP address or as localhost") }
        if let origin = fields["origin"], !isTrusted(origin) { return .refused(status: 403, why: "pages of the web may not debug") }
        var request = InspectorRequest(path: path, host: host, length: length)
        if fields["upgrade"]?.lowercased() == "websocket" {
            guard fields["sec-websocket-version"] == "13", let key = fields["sec-websocket-key"], key.utf8.count == 24 else {
                return .refused(status: 400, why: "not a WebSocket of version 13")
            }
            request.webSocketKey = key
        }
        return .request(request)
    }

    /// One byte behind the empty line.
    private static func headEnd(_ bytes: Span<UInt8>) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 3..<min(bytes.count, headLimit)
        where bytes[index] == 10 && bytes[index - 1] == 13 && bytes[index - 2] == 10 && bytes[index - 3] == 13 { return index + 1 }
        return nil
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }

    /// An IP address or localhost, with or without a port.
    static func isOwnName(_ host: String) -> Bool {
        var name = Substring(host)
        if name.hasPrefix("[") {
            guard let end = name.firstIndex(of: "]"), IPAddress(String(name[name.index(after: name.startIndex)..<end])) != nil else { return false }
            return isPort(name[name.index(after: end)...])
        }
        if let colon = name.firstIndex(of: ":") {
            guard isPort(name[colon...]) else { return false }
            name = name[..<colon]
        }
        return name.lowercased() == "localhost" || IPAddress(String(name)) != nil
    }

    /// The same host with a port further by so many, which is where another worker listens; nil: there is no such port.
    static func host(_ host: String, portFurtherBy distance: Int) -> String? {
        if distance == 0 { return host }
        guard let colon = host.lastIndex(of: ":"), let port = Int(host[host.index(after: colon)...]), (1...65_535).contains(port + distance) else { return nil }
        return "\(host[..<colon]):\(port + distance)"
    }

    private static func isPort(_ text: Substring) -> Bool { text.isEmpty || text.hasPrefix(":") && UInt16(text.dropFirst()) != nil }

    /// DevTools and editors; pages of the web have an origin of http or https.
    static func isTrusted(_ origin: String) -> Bool {
        let scheme = origin.prefix { $0 != ":" }.lowercased()
        return ["devtools", "chrome-devtools", "vscode-webview", "vscode-file"].contains(scheme) || origin == "https://chrome-devtools-frontend.appspot.com"
    }
}
