import HTTP

/// Requests that have no single reading, and why each is refused.
struct RefusedRequest: Sendable, CustomStringConvertible {
    let name: String
    let bytes: [UInt8]
    let kind: ErrorKind

    var description: String { name }

    init(_ name: String, _ text: String, _ kind: ErrorKind = .badRequest) {
        self.name = name
        bytes = text.latin1
        self.kind = kind
    }

    static func line(_ line: String, _ kind: ErrorKind = .badRequest) -> RefusedRequest {
        RefusedRequest("line \(line.debugDescription)", "\(line)\r\nHost: a\r\n\r\n", kind)
    }

    static func field(_ field: String, _ kind: ErrorKind = .badRequest) -> RefusedRequest {
        RefusedRequest("field \(field.debugDescription)", "GET / HTTP/1.1\r\nHost: a\r\n\(field)\r\n\r\n", kind)
    }

    static func host(_ host: String) -> RefusedRequest {
        RefusedRequest("host \(host.debugDescription)", "GET / HTTP/1.1\r\nHost: \(host)\r\n\r\n")
    }

    static func post(_ fields: String, _ kind: ErrorKind = .badRequest, version: String = "1.1") -> RefusedRequest {
        RefusedRequest("POST \(fields.debugDescription)", "POST / HTTP/\(version)\r\nHost: a\r\n\(fields)\r\n\r\n", kind)
    }

    static let all = lines + targets + names + values + hosts + lengths + codings + sizes + others

    static let lines: [RefusedRequest] = [
        "GET HTTP/1.1", "GET /", "GET / ", "GET", " / HTTP/1.1", " GET / HTTP/1.1", "\tGET / HTTP/1.1", "GET  / HTTP/1.1",
        "GET /  HTTP/1.1", "GET / HTTP/1.1 ", "GET\t/ HTTP/1.1", "GET /\tHTTP/1.1", "GET\u{b}/ HTTP/1.1", "GET /\u{c}HTTP/1.1",
        "GET /a b HTTP/1.1", "GET / HTTP/1.1 x", "GET /\r HTTP/1.1", "GET / HTTP/1.1\r", "G\0ET / HTTP/1.1", "GET /\0 HTTP/1.1",
        "GET / HTTP/1.1\0", "GET:T / HTTP/1.1", "GET/ / HTTP/1.1", "GET@ / HTTP/1.1", "GET, / HTTP/1.1", "[GET] / HTTP/1.1",
        "\"GET\" / HTTP/1.1", "G\u{c9}T / HTTP/1.1", "G{} / HTTP/1.1", "(GET) / HTTP/1.1", "G;T / HTTP/1.1", "G=T / HTTP/1.1",
        "\u{7f}GET / HTTP/1.1", "\u{ff}\u{fe} / HTTP/1.1", "HTTP/1.1 200 OK", "Host: b", ":", "{\"method\": \"GET\"}",
        "SSH-2.0-OpenSSH_9.2", "GET / HTTP/1.1\nX: y", "GET /\nHTTP/1.1", String(repeating: "A", count: 40) + " / HTTP/1.1",
        "GET / HTTP/1", "GET / HTTP/1.", "GET / HTTP/.1", "GET / HTTP/11.1", "GET / HTTP/1.10", "GET / HTTP/01.1", "GET / http/1.1",
        "GET / Http/1.1", "GET / HTTP1.1", "GET / HTTPS/1.1", "GET / HTTP/1,1", "GET / HTTP/-1.1", "GET / HTTP/a.b",
        "GET / HTTP/ 1.1", "GET / FOO", "GET / HTTP/1.1x", "GET / HTTP/1.\u{b9}", "GET / HTTP\\1.1",
    ].map { line($0) } + [
        line("GET / HTTP/2.0", .versionNotSupported), line("GET / HTTP/3.0", .versionNotSupported),
        line("GET / HTTP/0.9", .versionNotSupported), line("GET / HTTP/1.2", .versionNotSupported),
        line("GET / HTTP/9.9", .versionNotSupported), line("PRI * HTTP/2.0", .versionNotSupported),
    ]

    static let targets: [RefusedRequest] = [
        "index.html", "?a=b", "\\index", "*", "localhost:80", "http://", "http:///path", "https://", "https:///", "http:/a", "http:a",
        "ftp://a/", "//\u{7f}", "/\u{7}", "/\u{1b}[0m", "/#fragment", "/a<b", "/a>b", "/a\\b", "/\u{80}", "/\u{e9}", "http://b/",
        "http://u@a/", "http://a:b@a/", "http://a:99999/", "http://a:80/", "http://[::1/", "http://a b/", "http://a?b#c", "*?x", "**",
        "javascript:alert(1)", "a/b", "./", "%2F",
    ].map { line("GET \($0) HTTP/1.1") } + [
        line("OPTIONS *x HTTP/1.1"), line("CONNECT / HTTP/1.1"), line("CONNECT a HTTP/1.1"), line("CONNECT http://a/ HTTP/1.1"),
        line("CONNECT a: HTTP/1.1"), line("CONNECT u@a:80 HTTP/1.1"), line("CONNECT a:80 HTTP/1.1", .methodNotAllowed),
        line("connect a:80 HTTP/1.1"),
    ]

    static let names: [RefusedRequest] =
        "()<>@,;\\\"/[]?={}".map { field("X\($0)Y: 1") }
        + (Array(0...9) + [11, 12] + Array(14...32) + [127, 0x80, 0xa0, 0xc3, 0xff]).map { byte in
            field("X\(Character(UnicodeScalar(UInt32(byte)) ?? "?"))Y: 1")
        } + ["X-A : 1", "X-A\t: 1", ": 1", " : 1", "X-A", "x", ":", "::", " X-A: 1", "\tX-A: 1", "X\r: 1", "X\n: 1", "X: 1\n"].map { field($0) }

    static let values: [RefusedRequest] =
        (Array(0...8) + [11, 12] + Array(14...31) + [127]).map { byte in
            field("X-A: a\(Character(UnicodeScalar(UInt32(byte)) ?? "?"))b")
        } + [
            field("X-A: a\rb"), field("X-A: a\r"), field("X-A: a\rX-B: b"), field("X-A: a\nX-B: b"), field("X-A: a\n\nGET /evil HTTP/1.1\nHost: x"),
            field("X-A: 1\r\n 2"), field("X-A: 1\r\n\t2"), field("X-A: 1\r\n "), field("X-A:\r\n 1"), field("X-A: \0"),
            RefusedRequest("LF LF ends the fields", "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\n\n"),
            RefusedRequest("CRLF LF ends the fields", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
            RefusedRequest("LF CRLF ends the fields", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
            RefusedRequest("only LF", "GET / HTTP/1.1\nHost: a\n\n"),
            RefusedRequest("CR alone everywhere", "GET / HTTP/1.1\rHost: a\r\r"),
            RefusedRequest("CR CR LF", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
            RefusedRequest("folded Host", "GET / HTTP/1.1\r\nHost:\r\n a\r\n\r\n"),
            RefusedRequest("folded line first", "GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n"),
        ]

    static let hosts: [RefusedRequest] = [
        "", " ", "local host", "a/admin", "u@a", "a:b@c", "a, a", "a?x", "a#x", "http://a", "a:http", "a:+80", "a:99999", "a:80:80", "a:-1",
        ":80", "[::1", "::1]", "[::zz]", "[]", "[::1]x", "[1.2.3.4]", "[:::]", "[1::2::3]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]",
        "[::1.2.3]", "[::1.2.3.400]", "[fe80::1%25eth0]", "[v1.x]", "[:1]", "[1:]", "[12345::]", "a\\b", "\"a\"", "<a>", "a\tb", "a^b", "{a}", "a|b",
        "a`b", "\u{e9}", "a%", "a%zz", "a%4", "a: 80", "a :80", "a:0x50", "a:080808", String(repeating: "a", count: 256),
    ].map { host($0) } + [
        RefusedRequest("no Host", "GET / HTTP/1.1\r\nX: 1\r\n\r\n"),
        RefusedRequest("no fields at all", "GET / HTTP/1.1\r\n\r\n"),
        RefusedRequest("Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
        RefusedRequest("Host twice in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
        RefusedRequest("two Hosts in two spellings", "GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n"),
        RefusedRequest("absolute target with another Host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest("absolute target with another port", "GET http://a:81/ HTTP/1.1\r\nHost: a:82\r\n\r\n"),
        RefusedRequest("absolute target without Host", "GET http://a/ HTTP/1.1\r\nX: 1\r\n\r\n"),
        RefusedRequest("empty Host in HTTP/1.0", "GET / HTTP/1.0\r\nHost:\r\n\r\n"),
    ]

    static let lengths: [RefusedRequest] = [
        "+5", "-5", "-0", "0x5", "5 5", "5,5", "5, 5", "5 ,5", "5;5", "5.0", "5e0", "", " ", "five", "5a", "a5", "\"5\"", "0b1", "5_0", "١",
        "9223372036854775808", "18446744073709551616", "99999999999999999999", "1000000000000000000", "5\t5", "5\u{a0}", "٥",
    ].map { post("Content-Length: \($0)") } + [
        post("Content-Length: 5\r\nContent-Length: 5"), post("Content-Length: 5\r\nContent-Length: 6"),
        post("Content-Length: 0\r\ncontent-length: 5"), post("Content-Length:\r\nContent-Length: 5"),
        post("Content-Length : 5"), post("Content-Length\t: 5"), post("Content-Length: 5\r\n 0"),
    ]

    static let codings: [RefusedRequest] = [
        "xchunked", "chunkedx", "chunked, identity", "identity, chunked", "chunked, chunked", ", chunked", "chunked,", "", ",", "chunked;q=1",
        "\"chunked\"", "'chunked'", "chunked chunked", ": chunked", "cow", "chunked\u{ff}", "trailers", "identity", "gzip, chunked",
        "chunked, gzip", "c hunked", "chunke\u{131}", "CHUNKED\u{a0}",
    ].map { post("Transfer-Encoding: \($0)") } + [
        post("Transfer-Encoding: gzip", .notImplemented), post("Transfer-Encoding: deflate", .notImplemented),
        post("Transfer-Encoding: compress", .notImplemented), post("Transfer-Encoding: \u{b}chunked"), post("Transfer-Encoding: chunked\u{b}"),
        post("Transfer-Encoding: chunked\0"), post("Transfer-Encoding : chunked"), post("Transfer-Encoding:\r\n chunked"),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"), post("Transfer-Encoding: chunked\r\nContent-Length: 5"),
        post("Content-Length: 5\r\nTransfer-Encoding: chunked"), post("Content-Length: 0\r\nTransfer-Encoding: chunked"),
        post("Transfer-Encoding: identity\r\nContent-Length: 5"), post("Transfer-Encoding: chunked", version: "1.0"),
        post("Transfer-Encoding: identity", version: "1.0"),
    ]

    private static func many(_ count: Int, _ value: String) -> String {
        (0..<count).map { "X-\($0): \(value)\r\n" }.joined()
    }

    static let sizes: [RefusedRequest] = [
        RefusedRequest("request line over 8 KiB", "GET /\(String(repeating: "a", count: 9000)) HTTP/1.1\r\nHost: a\r\n\r\n", .uriTooLong),
        RefusedRequest("query over 8 KiB", "GET /?\(String(repeating: "a", count: 60_000)) HTTP/1.1\r\nHost: a\r\n\r\n", .uriTooLong),
        RefusedRequest("method over 8 KiB", "\(String(repeating: "A", count: 9000)) / HTTP/1.1\r\nHost: a\r\n\r\n", .uriTooLong),
        RefusedRequest("version over 8 KiB", "GET / \(String(repeating: "A", count: 9000))\r\nHost: a\r\n\r\n", .uriTooLong),
        RefusedRequest("101 fields", "GET / HTTP/1.1\r\nHost: a\r\n\(many(100, "1"))\r\n", .headTooLarge),
        RefusedRequest("300 fields", "GET / HTTP/1.1\r\nHost: a\r\n\(many(299, "1"))\r\n", .headTooLarge),
        RefusedRequest("a head of 120 KB", "GET / HTTP/1.1\r\nHost: a\r\n\(many(30, String(repeating: "v", count: 4000)))\r\n", .headTooLarge),
        RefusedRequest("a field of 9 KB", "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "v", count: 9000))\r\n\r\n", .headTooLarge),
        RefusedRequest("a name of 9 KB", "GET / HTTP/1.1\r\nHost: a\r\n\(String(repeating: "X", count: 9000)): 1\r\n\r\n", .headTooLarge),
        RefusedRequest("9 KB of white space", "GET / HTTP/1.1\r\nHost: a\r\nX:\(String(repeating: " ", count: 9000))1\r\n\r\n", .headTooLarge),
        RefusedRequest("a NUL behind 9 KB", "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "v", count: 9000))\0\r\n\r\n", .headTooLarge),
    ]

    static let others: [RefusedRequest] = [
        post("Expect: 200-ok", .expectationFailed), post("Expect:", .expectationFailed), post("Expect: 100-continue, other", .expectationFailed),
        post("Expect: 100-continue\r\nExpect: x", .expectationFailed), post("Expect: 100continue", .expectationFailed),
        RefusedRequest("two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest("LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest("CR first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest("CRLF LF first", "\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        RefusedRequest("a TLS hello", "\u{16}\u{3}\u{1}\0\u{7c}\u{1}\0\0\u{78}\u{3}\u{3}\r\n\r\n"),
        RefusedRequest("NULs", String(repeating: "\0", count: 64) + "\r\n\r\n"),
        RefusedRequest("HTTP/0.9", "GET /\r\n\r\n"),
    ]
}
