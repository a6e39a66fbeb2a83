import Buffers
public import Gateway
import HTTP
public import Rules

/// A request as it is described outside of rule files: on a command line, in a HAR file, in our access log.
public struct DescribedRequest {
    public var request = RehearsedRequest()
    /// What the origin answered, as far as it is known.
    public var answer = TestAnswer()

    public init() {
        request.client.address = IPAddress("198.51.100.1") ?? .unspecified
        request.client.port = 50_000
    }

    /// Takes the parts of `https://host/path?query`.
    /// - Returns: false when it is no such URL.
    public mutating func take(url: String) -> Bool {
        let secure = url.hasPrefix("https://")
        guard secure || url.hasPrefix("http://"), !url.contains(" ") else { return false }
        let rest = url.dropFirst(secure ? 8 : 7)
        let authority = rest.prefix { !"/?#".contains($0) }
        guard !authority.isEmpty else { return false }
        let target = rest[authority.endIndex...].prefix { $0 != "#" }
        request.scheme = secure ? .https : .http
        request.authority = String(authority)
        request.target = target.hasPrefix("/") ? String(target) : "/" + target
        takeTLS(version: "TLSv1.3", name: String(authority.prefix { $0 != ":" }))
        return true
    }

    private mutating func takeTLS(version: String, name: String) {
        guard request.scheme == .https else { return request.client.tls = nil }
        request.client.tls = TLSInfo(version: version, cipher: "TLS_AES_128_GCM_SHA256", serverName: name.lowercased())
    }

    /// `Name: value`.
    /// - Returns: false when it has no colon.
    public mutating func take(header: String) -> Bool {
        guard let field = Self.field(header) else { return false }
        request.fields.append(field)
        return true
    }

    /// A header of the origin's answer.
    public mutating func take(originHeader: String) -> Bool {
        guard let field = Self.field(originHeader) else { return false }
        answer.fields.append(field)
        return true
    }

    private static func field(_ line: String) -> (name: String, value: String)? {
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
        guard parts.count == 2, !parts[0].isEmpty else { return nil }
        return (parts[0], String(parts[1].drop { $0 == " " }))
    }

    /// - Returns: false when it is not an IP address.
    public mutating func take(client: String) -> Bool {
        guard let address = IPAddress(client) else { return false }
        request.client.address = address
        return true
    }

    /// An entry of a HAR file (HTTP Archive 1.2).
    /// - Returns: why it cannot be used; nil when it can.
    public mutating func take(har text: String, entry number: Int) -> String? {
        guard let entries = JSON(text)?["log"]?["entries"]?.array else { return "it is not a HAR file" }
        guard entries.indices.contains(number) else { return "it has \(entries.count) entries, there is no number \(number)" }
        let sent = entries[number]["request"]
        guard let url = sent?["url"]?.text, take(url: url) else { return "entry \(number) has no http or https URL" }
        request.method = sent?["method"]?.text ?? "GET"
        if sent?["httpVersion"]?.text?.lowercased().contains("2") == true { request.version = .http2 }
        request.fields = Self.fields(sent?["headers"])
        request.body = Array((sent?["postData"]?["text"]?.text ?? "").utf8)
        guard let response = entries[number]["response"], let status = response["status"]?.text.flatMap({ Int($0) }), status >= 200 else { return nil }
        answer.status = status
        answer.fields = Self.fields(response["headers"])
        return nil
    }

    /// Framing and the pseudo-fields of HTTP/2 are written anew.
    private static func fields(_ list: JSON?) -> [(name: String, value: String)] {
        let own: Set<String> = ["content-length", "transfer-encoding", "connection", "content-encoding"]
        return (list?.array ?? []).compactMap { field in
            guard let name = field["name"]?.text, let value = field["value"]?.text, !name.hasPrefix(":"), !own.contains(name.lowercased())
            else { return nil }
            return (name, value)
        }
    }

    /// A line of our access log. It has no header fields but `User-Agent`.
    /// - Returns: why it cannot be used; nil when it can.
    public mutating func take(logLine: String) -> String? {
        guard let line = JSON(logLine), let host = line["host"]?.text, let path = line["path"]?.text else {
            return "it is not a line of the access log"
        }
        let query = line["query"]?.text.map { "?" + $0 } ?? ""
        guard take(url: "\(line["scheme"]?.text ?? "http")://\(host)\(path)\(query)") else { return "its host and path make no URL" }
        request.method = line["method"]?.text ?? "GET"
        request.version = ["HTTP/2": .http2, "HTTP/1.0": .http10][line["protocol"]?.text ?? ""] ?? .http11
        if let client = line["client"]?.text { _ = take(client: client) }
        request.client.port = line["client_port"]?.text.flatMap { UInt16($0) } ?? 50_000
        if let agent = line["user_agent"]?.text { request.fields.append(("User-Agent", agent)) }
        if let version = line["tls"]?.text { takeTLS(version: version, name: line["sni"]?.text ?? "") }
        request.time = line["time"]?.text.flatMap { Int($0) }
        if let status = line["upstream"]?["status"]?.text.flatMap({ Int($0) }), status >= 200 { answer.status = status }
        return nil
    }
}
