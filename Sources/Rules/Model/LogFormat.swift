/// A value of an exchange that a log template can name, as `${name}`.
public enum LogField: String, Sendable, CaseIterable {
    /// Seconds since 1970; as in RFC 3339; as in the combined format. All of the request's begin, in UTC.
    case time, timeUTC = "time_utc", timeCLF = "time_clf"
    case id, client, clientPort = "client_port", scheme, method, host, path, query, target, status, grpcStatus = "grpc_status"
    case protocolName = "protocol"
    case bytesIn = "bytes_in", bytesOut = "bytes_out", duration = "duration_ms"
    case site, rules, generation
    case upstream, upstreamAddress = "upstream_address", upstreamStatus = "upstream_status", attempts
    case error, tls, sni
}

/// One piece of a log template.
public enum LogPart: Sendable, Equatable {
    case text([UInt8])
    case field(LogField)
    /// Names in lower case.
    case requestHeader(String)
    case responseHeader(String)
}

/// How an access log line looks.
public enum LogFormat: Sendable, Equatable {
    case json
    case template([LogPart])

    /// The format that web servers have had since 1995, with referrer and user agent.
    public static let combined = LogFormat.template([
        .field(.client), .text(Array(" - - [".utf8)), .field(.timeCLF), .text(Array("] \"".utf8)), .field(.method), .text([32]),
        .field(.target), .text([32]), .field(.protocolName), .text(Array("\" ".utf8)), .field(.status), .text([32]),
        .field(.bytesOut), .text(Array(" \"".utf8)), .requestHeader("referer"), .text(Array("\" \"".utf8)),
        .requestHeader("user-agent"), .text([34]),
    ])
}

/// Reads a template: text with `${field}`, `${header:name}` and `${response_header:name}`.
enum LogTemplate {
    enum Problem: Error, Equatable {
        case unclosed
        case unknown(String)
        case badHeader(String)
    }

    static let known = LogField.allCases.map(\.rawValue) + ["header:NAME", "response_header:NAME"]

    static func parse(_ text: String) throws(Problem) -> [LogPart] {
        var parts: [LogPart] = []
        var rest = text[...]
        while let start = rest.firstRange(of: "${") {
            if start.lowerBound > rest.startIndex { parts.append(.text(Array(rest[..<start.lowerBound].utf8))) }
            guard let end = rest[start.upperBound...].firstIndex(of: "}") else { throw .unclosed }
            parts.append(try part(String(rest[start.upperBound..<end])))
            rest = rest[rest.index(after: end)...]
        }
        if !rest.isEmpty { parts.append(.text(Array(rest.utf8))) }
        return parts
    }

    private static func part(_ name: String) throws(Problem) -> LogPart {
        if let field = LogField(rawValue: name) { return .field(field) }
        for (prefix, isRequest) in [("header:", true), ("response_header:", false)] where name.hasPrefix(prefix) {
            let header = String(name.dropFirst(prefix.count)).lowercased()
            guard Names.isHeader(header) else { throw .badHeader(header) }
            return isRequest ? .requestHeader(header) : .responseHeader(header)
        }
        throw .unknown(name)
    }
}
