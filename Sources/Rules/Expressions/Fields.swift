/// What an expression's operand is.
public enum ValueType: Sendable {
    case text, integer, boolean, address

    /// With its article, for messages.
    var described: String {
        switch self {
        case .text: "a string"
        case .integer: "a number"
        case .boolean: "true or false"
        case .address: "an IP address"
        }
    }

    var noun: String {
        switch self {
        case .text: "string"
        case .integer: "number"
        case .boolean: "true or false"
        case .address: "IP address"
        }
    }
}

/// A value of an exchange that rules can ask for.
public enum FieldID: UInt8, Sendable, CaseIterable {
    case method, scheme, host, path, query, uri, httpVersion
    case argument, header, cookie, bodySize
    case clientIP, clientPort, tlsVersion, tlsCipher, tlsServerName, tlsSubject, tlsVerified
    case tlsIssuer, tlsSerial, tlsFingerprint
    case time, site, requestID, variable
    case originalMethod, originalHost, originalPath, originalQuery, originalURI, originalArgument
    case status, responseHeader
    case originStatus, originHeader, originAddress, originUpstream, originTime
    case errorKind, errorHook
    case fingerprint, roundTrip
}

/// One row of the table of fields.
struct FieldInfo: Sendable {
    /// As written; ends with a dot for a family (`header.`).
    var name: String
    var id: FieldID
    var type: ValueType = .text
    /// First phase in which it has a value.
    var phase: Phase = .request
    var available = true
    var doc: String

    var isFamily: Bool { name.hasSuffix(".") }
}

/// A field in an expression or template, resolved.
public struct FieldUse: Sendable, Equatable {
    public var id: FieldID
    /// The `n` of `header.n`: lower case for headers, as written otherwise; empty for plain fields.
    public var name: String
    public var type: ValueType
    /// As its author wrote it.
    public var written: String
}

/// All fields, their types and the spellings of other platforms.
enum Fields {
    static let table: [FieldInfo] = [
        FieldInfo(name: "method", id: .method, doc: "Request method, upper case as sent."),
        FieldInfo(name: "scheme", id: .scheme, doc: "`http` or `https`."),
        FieldInfo(name: "host", id: .host, doc: "Host without port; compared without case."),
        FieldInfo(name: "path", id: .path, doc: "Path, percent-encoding as sent."),
        FieldInfo(name: "query", id: .query, doc: "Query without `?`; missing when there is none."),
        FieldInfo(name: "uri", id: .uri, doc: "Path and query."),
        FieldInfo(name: "http_version", id: .httpVersion, doc: "`1.0`, `1.1` or `2`."),
        FieldInfo(name: "arg.", id: .argument, doc: "Query argument, decoded; the first of its name."),
        FieldInfo(name: "header.", id: .header, doc: "Request header; the first of its name."),
        FieldInfo(name: "cookie.", id: .cookie, doc: "Cookie; the first of its name."),
        FieldInfo(name: "body.size", id: .bodySize, type: .integer, doc: "Content-Length; missing when the client did not say."),
        FieldInfo(name: "client.ip", id: .clientIP, type: .address, doc: "Address of the client."),
        FieldInfo(name: "client.port", id: .clientPort, type: .integer, doc: "Port of the client."),
        FieldInfo(name: "tls.version", id: .tlsVersion, doc: "`TLSv1.2` or `TLSv1.3`; missing on plaintext."),
        FieldInfo(name: "tls.cipher", id: .tlsCipher, doc: "Cipher suite."),
        FieldInfo(name: "tls.sni", id: .tlsServerName, doc: "Name the client asked for."),
        FieldInfo(name: "tls.client.subject", id: .tlsSubject, doc: "Subject of the client certificate."),
        FieldInfo(name: "tls.client.verified", id: .tlsVerified, type: .boolean, doc: "Whether a client certificate was verified."),
        FieldInfo(name: "tls.client.issuer", id: .tlsIssuer, doc: "Issuer of the client certificate."),
        FieldInfo(name: "tls.client.serial", id: .tlsSerial, doc: "Its serial number, hexadecimal."),
        FieldInfo(name: "tls.client.fingerprint", id: .tlsFingerprint, doc: "SHA-256 of the client certificate, hexadecimal."),
        FieldInfo(name: "tls.ja4", id: .fingerprint, doc: "JA4 fingerprint of the client's handshake; missing on plaintext."),
        FieldInfo(name: "time", id: .time, type: .integer, doc: "Seconds since 1970 when the request began."),
        FieldInfo(name: "site", id: .site, doc: "Name of the site."),
        FieldInfo(name: "request.id", id: .requestID, doc: "Id of the request, 32 hexadecimal digits."),
        FieldInfo(name: "vars.", id: .variable, doc: "Variable set by a rule or hook."),
        FieldInfo(name: "original.method", id: .originalMethod, doc: "Method the client sent."),
        FieldInfo(name: "original.scheme", id: .scheme, doc: "Scheme the client used."),
        FieldInfo(name: "original.host", id: .originalHost, doc: "Host the client sent."),
        FieldInfo(name: "original.path", id: .originalPath, doc: "Path the client sent."),
        FieldInfo(name: "original.query", id: .originalQuery, doc: "Query the client sent."),
        FieldInfo(name: "original.uri", id: .originalURI, doc: "Path and query the client sent."),
        FieldInfo(name: "original.arg.", id: .originalArgument, doc: "Query argument the client sent."),
        FieldInfo(name: "status", id: .status, type: .integer, phase: .response, doc: "Status of the response."),
        FieldInfo(name: "response.header.", id: .responseHeader, phase: .response, doc: "Response header; the first of its name."),
        FieldInfo(name: "origin.status", id: .originStatus, type: .integer, phase: .response, doc: "Status the origin sent."),
        FieldInfo(name: "origin.header.", id: .originHeader, phase: .response, doc: "Header the origin sent."),
        FieldInfo(name: "origin.address", id: .originAddress, type: .address, phase: .response, doc: "Address of the server that answered."),
        FieldInfo(name: "origin.upstream", id: .originUpstream, phase: .response, doc: "Name of the upstream that answered."),
        FieldInfo(name: "origin.time_ms", id: .originTime, type: .integer, phase: .response, doc: "Milliseconds from the request sent to the first byte of the answer."),
        FieldInfo(name: "client.rtt_us", id: .roundTrip, type: .integer, phase: .response, doc: "Smoothed round trip time to the client, in microseconds."),
        FieldInfo(name: "error.kind", id: .errorKind, phase: .error, doc: "`dns`, `connect`, `tls`, `timeout`, `reset`, `protocol`, `hook_error`, `hook_cpu`, `hook_memory`."),
        FieldInfo(name: "error.hook", id: .errorHook, phase: .error, doc: "Name of the hook that failed."),
    ]

    /// Cloudflare's spellings.
    private static let cloudflare: [String: String] = [
        "http.request.uri.path": "path", "http.request.uri.query": "query", "http.request.uri": "uri",
        "http.request.method": "method", "http.request.version": "http_version", "http.host": "host",
        "http.user_agent": "header.user-agent", "http.referer": "header.referer", "http.cookie": "header.cookie",
        "http.x_forwarded_for": "header.x-forwarded-for", "http.request.headers": "header",
        "http.request.cookies": "cookie", "http.request.uri.args": "arg", "http.response.headers": "response.header",
        "http.response.code": "status", "raw.http.request.uri": "original.uri",
        "raw.http.request.uri.path": "original.path", "raw.http.request.uri.query": "original.query",
        "ip.src": "client.ip", "ip.addr": "client.ip", "tcp.srcport": "client.port", "http.request.body.size": "body.size",
        "http.request.timestamp.sec": "time", "raw.http.request.uri.args": "original.arg", "cf.tls_version": "tls.version",
        "cf.tls_cipher": "tls.cipher", "cf.bot_management.ja4": "tls.ja4",
    ]

    /// Azion's (nginx's) variables, in `${...}` only.
    private static let azion: [String: String] = [
        "request_uri": "original.uri", "args": "query", "query_string": "query", "remote_addr": "client.ip",
        "remote_port": "client.port", "request_method": "method", "request_id": "request.id",
        "ssl_client_s_dn": "tls.client.subject", "ssl_protocol": "tls.version", "ssl_cipher": "tls.cipher",
        "ssl_server_name": "tls.sni", "upstream_status": "origin.status", "upstream_addr": "origin.address",
        "domain": "host", "tcpinfo_rtt": "client.rtt_us", "ssl_client_verify": "tls.client.verified",
    ]
    private static let azionFamilies: [(prefix: String, family: String)] = [
        ("sent_http_", "response.header."), ("upstream_http_", "origin.header."), ("http_", "header."),
        ("arg_", "arg."), ("cookie_", "cookie."),
    ]

    /// Azion's variables that have no counterpart, and what to do instead.
    static func reasonAgainst(variable written: String) -> String? {
        let reasons = [
            ("geoip_", "Sluice has no map of addresses to places; use `client.ip in $list`"),
            ("device_group", "match `header.user-agent`, or set a variable in a hook"),
            ("remote_user", "read `header.authorization` in a hook"), ("request_body", "a hook can read the body"),
            ("server_addr", "use `site`"), ("server_port", "use `scheme`"),
            ("upstream_cookie_", "use `origin.header.set-cookie`"),
        ]
        return reasons.first { written.hasPrefix($0.0) }?.1
    }

    private static let byName: [String: FieldInfo] = Dictionary(table.map { ($0.name, $0) }) { first, _ in first }
    private static let families = table.filter(\.isFamily).sorted { $0.name.count > $1.name.count }

    /// The row and the name within a family; nil when there is no such field.
    static func find(_ written: String) -> (info: FieldInfo, name: String)? {
        let name = cloudflare[written] ?? written
        if let info = byName[name], !info.isFamily { return (info, "") }
        for family in families where name.hasPrefix(family.name) && name.count > family.name.count {
            return (family, member(String(name.dropFirst(family.name.count)), of: family))
        }
        return nil
    }

    /// `header["x"]`: the family by its name without dot.
    static func find(family written: String, member name: String) -> (info: FieldInfo, name: String)? {
        guard let info = byName[(cloudflare[written] ?? written) + "."], !name.isEmpty else { return nil }
        return (info, member(name, of: info))
    }

    /// What stands between `${` and `}`.
    static func find(variable written: String) -> (info: FieldInfo, name: String)? {
        if let found = find(azion[written] ?? written) { return found }
        for (prefix, family) in azionFamilies where written.hasPrefix(prefix) && written.count > prefix.count {
            let rest = String(written.dropFirst(prefix.count))
            return find(family + (family.hasSuffix("header.") ? rest.replacing("_", with: "-") : rest))
        }
        return nil
    }

    private static func member(_ name: String, of family: FieldInfo) -> String {
        switch family.id {
        case .header, .responseHeader, .originHeader: name.lowercased()
        default: name
        }
    }

    /// What the author of an unknown name probably meant.
    static func suggest(_ written: String) -> FieldInfo? {
        if let own = azion[written] { return byName[own] }
        if let nearest = NearestWord.find(written, among: table.lazy.filter { !$0.isFamily }.map(\.name)) { return byName[nearest] }
        return nil
    }

    /// `headers.x` where `header.x` was meant: the whole corrected name.
    static func suggestMember(_ written: String) -> (name: String, info: FieldInfo)? {
        for family in families {
            let dots = family.name.count { $0 == "." }
            let parts = written.split(separator: ".", maxSplits: dots, omittingEmptySubsequences: false)
            guard parts.count == dots + 1, let rest = parts.last, !rest.isEmpty else { continue }
            let head = parts.dropLast().joined(separator: ".") + "."
            if NearestWord.find(head, among: [family.name]) != nil { return (family.name + rest, family) }
        }
        return nil
    }
}
