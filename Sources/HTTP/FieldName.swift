import Buffers

/// Field names that the gateway or its users ask for often. A field whose name is not here is `.other`
/// and is found by comparing its text.
public enum FieldName: UInt8, Sendable, CaseIterable {
    case other
    case accept, acceptEncoding, acceptLanguage, age, authorization
    case cacheControl, connection, contentEncoding, contentLength, contentType, cookie
    case date, etag, expect, expires, forwarded, host, http2Settings, keepAlive
    case lastModified, location, origin
    case proxyAuthenticate, proxyAuthorization, proxyConnection, proxyStatus
    case range, referer, retryAfter, server, setCookie, sluiceInspect, sluiceTrace
    case te, trailer, transferEncoding, upgrade, userAgent, vary, via
    case wwwAuthenticate, xForwardedFor, xForwardedHost, xForwardedProto, xRealIP, xRequestID

    /// The usual spelling (RFC 9110, RFC 9112); empty for `.other`.
    public var text: StaticString {
        switch self {
        case .other: ""
        case .accept: "Accept"
        case .acceptEncoding: "Accept-Encoding"
        case .acceptLanguage: "Accept-Language"
        case .age: "Age"
        case .authorization: "Authorization"
        case .cacheControl: "Cache-Control"
        case .connection: "Connection"
        case .contentEncoding: "Content-Encoding"
        case .contentLength: "Content-Length"
        case .contentType: "Content-Type"
        case .cookie: "Cookie"
        case .date: "Date"
        case .etag: "ETag"
        case .expect: "Expect"
        case .expires: "Expires"
        case .forwarded: "Forwarded"
        case .host: "Host"
        case .http2Settings: "HTTP2-Settings"
        case .keepAlive: "Keep-Alive"
        case .lastModified: "Last-Modified"
        case .location: "Location"
        case .origin: "Origin"
        case .proxyAuthenticate: "Proxy-Authenticate"
        case .proxyAuthorization: "Proxy-Authorization"
        case .proxyConnection: "Proxy-Connection"
        case .proxyStatus: "Proxy-Status"
        case .range: "Range"
        case .referer: "Referer"
        case .retryAfter: "Retry-After"
        case .server: "Server"
        case .setCookie: "Set-Cookie"
        case .sluiceInspect: "Sluice-Inspect"
        case .sluiceTrace: "Sluice-Trace"
        case .te: "TE"
        case .trailer: "Trailer"
        case .transferEncoding: "Transfer-Encoding"
        case .upgrade: "Upgrade"
        case .userAgent: "User-Agent"
        case .vary: "Vary"
        case .via: "Via"
        case .wwwAuthenticate: "WWW-Authenticate"
        case .xForwardedFor: "X-Forwarded-For"
        case .xForwardedHost: "X-Forwarded-Host"
        case .xForwardedProto: "X-Forwarded-Proto"
        case .xRealIP: "X-Real-IP"
        case .xRequestID: "X-Request-Id"
        }
    }

    /// Fields that describe one connection and never travel on (RFC 9110 section 7.6.1).
    public var isHopByHop: Bool {
        switch self {
        case .connection, .keepAlive, .proxyConnection, .te, .trailer, .transferEncoding, .upgrade, .http2Settings:
            true
        default:
            false
        }
    }

    /// Fields that rules and hooks may not write: they decide where a message ends or who is spoken to.
    public var isFraming: Bool {
        switch self {
        case .contentLength, .expect: true
        default: isHopByHop
        }
    }

    /// The known name that equals `name` without case, or `.other`.
    public init(matching name: borrowing Span<UInt8>) { self = FieldName.find(name, lowercased) { $0.caselessKey } }

    /// The same of a name in which every byte is a letter, a digit or `-`.
    public init(matchingPlain name: borrowing Span<UInt8>) { self = FieldName.find(name, { $0 | 0x20 }, { $0.nameKey }) }

    /// The known name that is `name` in lower case, as HTTP/2 writes it, or `.other`: also for one with capitals.
    public init(matchingLower name: borrowing Span<UInt8>) { self = FieldName.find(name, { $0 }, { $0.exactKey }) }

    @inline(__always)
    private static func find(_ name: borrowing Span<UInt8>, _ lower: (UInt8) -> UInt8, _ key: (borrowing Span<UInt8>) -> CaselessKey) -> FieldName {
        guard name.count > 1, name.count <= 19 else { return .other }
        let candidate = candidate(length: name.count, first: lower(name[0]), last: lower(name[name.count - 1]))
        return candidate != .other && key(name) == known.keys[Int(candidate.rawValue)] ? candidate : .other
    }

    /// One value, because each lazy one is asked whether it is there at each use.
    private struct Known {
        var keys = InlineArray<64, CaselessKey>(repeating: .none)
        var candidates = InlineArray<1024, FieldName>(repeating: .other)
    }

    private static let known: Known = {
        var known = Known()
        for name in FieldName.allCases where name != .other {
            let text = Span<UInt8>(name.text)
            known.keys[Int(name.rawValue)] = text.caselessKey
            known.candidates[slot(length: text.count, first: lowercased(text[0]), last: lowercased(text[text.count - 1]))] = name
        }
        return known
    }()

    /// Length, first and last letter leave at most one known name; a test holds that true.
    private static func candidate(length: Int, first: UInt8, last: UInt8) -> FieldName {
        // Read in place: a local copy of the table would cost a kilobyte of memcpy for every name.
        known.candidates[slot(length: length, first: first, last: last)]
    }

    @inline(__always)
    static func slot(length: Int, first: UInt8, last: UInt8) -> Int {
        (length &* 31 &+ Int(first) &* 37 &+ Int(last) &* 57) & 1023
    }
}

/// Request methods (RFC 9110 section 9, RFC 5789).
public enum Method: UInt8, Sendable, CaseIterable {
    case get, head, post, put, delete, connect, options, trace, patch, other

    public var text: StaticString {
        switch self {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .connect: "CONNECT"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .patch: "PATCH"
        case .other: ""
        }
    }

    /// Methods are case-sensitive (RFC 9110 section 9.1).
    public init(matching name: borrowing Span<UInt8>) {
        let guess: Method =
            switch (name.count, name.count > 1 ? name[1] : 0) {
            case (3, UInt8(ascii: "E")): .get
            case (3, UInt8(ascii: "U")): .put
            case (4, UInt8(ascii: "E")): .head
            case (4, UInt8(ascii: "O")): .post
            case (5, UInt8(ascii: "A")): .patch
            case (5, UInt8(ascii: "R")): .trace
            case (6, _): .delete
            case (7, UInt8(ascii: "O")): .connect
            case (7, UInt8(ascii: "P")): .options
            default: .other
            }
        self = name.equals(guess.text) ? guess : .other
    }

    /// May be repeated without changing what it means (RFC 9110 section 9.2.2).
    public var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        default: false
        }
    }
}
