import Buffers
import HTTP
import HTTP1
import Testing

@Suite struct WriterTests {
    private let pool = SlabPool()

    private func rewritten(_ text: String, connection: ConnectionOption = .keepAlive, _ change: (inout Head) -> Void = { _ in }) -> String? {
        var parser = RequestParser(allowsConnect: true)
        var head = Head()
        let bytes = text.latin1
        guard case .complete = parser.parse(bytes.span, into: &head) else { return nil }
        change(&head)
        var output = OutputBuffer(pool: pool)
        RequestWriter.write(head, to: &output, connection: connection)
        return String(decoding: written(&output), as: UTF8.self)
    }

    private func answered(
        _ text: String, answering method: Method = .get, connection: ConnectionOption = .keepAlive, client: HTTPVersion = .http11,
        _ change: (inout Head) -> Void = { _ in }
    ) -> String? {
        var parser = ResponseParser()
        var head = Head()
        let bytes = text.latin1
        guard case .complete = parser.parse(bytes.span, into: &head, answering: method) else { return nil }
        change(&head)
        var output = OutputBuffer(pool: pool)
        ResponseWriter.write(head, to: &output, connection: connection, clientVersion: client)
        return String(decoding: written(&output), as: UTF8.self)
    }

    @Test func aRequestKeepsOrderAndSpelling() {
        let text = "GET /a?b HTTP/1.1\r\nHost: x\r\naccept: */*\r\nX-B:2\r\nX-b:  3 \r\nCookie: c\r\n\r\n"
        #expect(rewritten(text) == "GET /a?b HTTP/1.1\r\nHost: x\r\naccept: */*\r\nX-B: 2\r\nX-b: 3\r\nCookie: c\r\n\r\n")
    }

    @Test func hostComesFirstAndFromTheAuthority() {
        let text = "GET http://A:80/ HTTP/1.0\r\nX: 1\r\n\r\n"
        #expect(rewritten(text) == "GET / HTTP/1.1\r\nHost: A:80\r\nX: 1\r\n\r\n")
        let changed = rewritten("GET / HTTP/1.1\r\nX: 1\r\nHost: a\r\n\r\n") { $0.authority = $0.arena.append("b:1") }
        #expect(changed == "GET / HTTP/1.1\r\nHost: b:1\r\nX: 1\r\n\r\n")
    }

    @Test func whatRulesChangedIsWritten() {
        let changed = rewritten("GET /a?b HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n") { head in
            head.setPath(Span("/new"))
            head.set(name: Span("B"), value: Span("changed"))
            head.remove(named: Span("A"))
            head.add(name: Span("D"), value: Span("4"))
        }
        #expect(changed == "GET /new?b HTTP/1.1\r\nHost: x\r\nB: changed\r\nC: 3\r\nD: 4\r\n\r\n")
        let query = rewritten("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n") { $0.setQuery(Span("c")) }
        #expect(query == "GET /a?c HTTP/1.1\r\nHost: x\r\n\r\n")
        let none = rewritten("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n") { $0.removeQuery() }
        #expect(none == "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(rewritten("GET /a? HTTP/1.1\r\nHost: x\r\n\r\n") == "GET /a? HTTP/1.1\r\nHost: x\r\n\r\n")
        let post = rewritten("GET / HTTP/1.1\r\nHost: x\r\n\r\n") { $0.setMethod(Span("POST")) }
        #expect(post == "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    }

    @Test func framingFollowsTheBody() {
        let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\r\n"
        #expect(rewritten(chunked) == "POST / HTTP/1.1\r\nHost: x\r\nA: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        #expect(rewritten(chunked) { $0.body = .known(7) } == "POST / HTTP/1.1\r\nHost: x\r\nA: 1\r\nContent-Length: 7\r\n\r\n")
        let known = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0012\r\n\r\n"
        #expect(rewritten(known) == "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n")
        #expect(rewritten("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n") == "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    }

    @Test(arguments: [
        "Connection: close", "Connection: keep-alive", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: trailers", "TE: gzip",
        "Trailer: X-Sum", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "Proxy-Authorization: Basic x", "Expect: 100-continue",
        "Connection: X-Private\r\nX-Private: 1", "Connection: close, x-PRIVATE , foo\r\nX-Private: 1\r\nFoo: 2",
        "X-Private: 1\r\nConnection: close\r\nConnection: X-Private", "Connection: ,,X-Private,,\r\nX-Private: 1\r\nX-Private: 2",
    ])
    func fieldsOfTheConnectionDoNotPass(fields: String) {
        #expect(rewritten("GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\n\(fields)\r\nB: 2\r\n\r\n") == "GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\nB: 2\r\n\r\n")
    }

    @Test(arguments: [
        "Authorization: Basic x", "Cookie: a=1", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Forwarded-Host: h", "X-Real-IP: 1.2.3.4",
        "X-Forwarded-Port: 443", "X-Forwarded-Client-Cert: x", "Forwarded: for=x", "Content-Type: text/plain", "Content-Encoding: gzip",
        "Origin: null", "Via: 1.1 x", "X-Request-Id: 1", "Range: bytes=0-1", "User-Agent: x", "Cache-Control: no-store", "Referer: x", "Accept: */*",
    ])
    func connectionCannotRemoveWhatOthersRelyOn(field: String) {
        let name = field.prefix { $0 != ":" }
        for list in ["\(name)", "\(name.uppercased())", "close, \(name), Host, Content-Length"] {
            let result = rewritten("GET / HTTP/1.1\r\nHost: x\r\nConnection: \(list)\r\n\(field)\r\n\r\n")
            #expect(result == "GET / HTTP/1.1\r\nHost: x\r\n\(field)\r\n\r\n")
        }
    }

    @Test func anUpgradePassesOnlyWhenItIsMeant() {
        let text = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n"
        #expect(rewritten(text) == "GET / HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: k\r\n\r\n")
        #expect(rewritten(text, connection: .upgrade)
            == "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\n\r\n")
        #expect(rewritten(text, connection: .close)?.hasSuffix("Connection: close\r\n\r\n") == true)
    }

    @Test func aConnectRequestNamesItsAuthority() {
        let text = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"
        #expect(rewritten(text) == text)
    }

    @Test func aResponseKeepsStatusReasonAndFields() {
        let text = "HTTP/1.1 404 Nothing here\r\nServer: s\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 3\r\n\r\n"
        #expect(answered(text) == "HTTP/1.1 404 Nothing here\r\nServer: s\r\nSet-Cookie: a\r\nset-cookie: b\r\nContent-Length: 3\r\n\r\n")
        #expect(answered("HTTP/1.0 503\r\n\r\n") == "HTTP/1.1 503 Service Unavailable\r\n\r\n")
        #expect(answered("HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n") == "HTTP/1.1 299 Status\r\nContent-Length: 0\r\n\r\n")
        #expect(answered("HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n") == "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n")
    }

    @Test func responsesSayWhatBecomesOfTheConnection() {
        let text = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        #expect(answered(text) == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        #expect(answered(text, connection: .close) == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        #expect(answered(text, client: .http10) == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n")
        let upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        #expect(answered(upgrade, connection: .upgrade)
            == "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    }

    @Test func responsesWithoutABodyHaveNoFraming() {
        #expect(answered("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n") == "HTTP/1.1 204 No Content\r\n\r\n")
        #expect(answered("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: x\r\n\r\n") == "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n")
        #expect(answered("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", answering: .head) == "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        #expect(answered("HTTP/1.1 200 OK\r\n\r\n") { $0.body = .unknown } == "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    }

    @Test func interimResponsesHaveTheirFieldsOnly() {
        var output = OutputBuffer(pool: pool)
        ResponseWriter.writeInterim(status: 100, to: &output)
        var head = Head()
        head.status = 103
        head.add(name: Span("Link"), value: Span("</a>"))
        head.add(.connection, "close")
        head.add(.contentLength, "5")
        ResponseWriter.writeInterim(head, to: &output)
        let text = String(decoding: written(&output), as: UTF8.self)
        #expect(text == "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    }

    @Test func chunksAndTrailersAreFramed() {
        var output = OutputBuffer(pool: pool)
        BodyWriter.beginChunk(0x1f, to: &output)
        output.append(copying: Array(repeating: UInt8(ascii: "x"), count: 31).span)
        BodyWriter.endChunk(to: &output)
        var trailers = Head()
        trailers.add(name: Span("Grpc-Status"), value: Span("0"))
        trailers.add(.contentLength, "5")
        trailers.add(.setCookie, "a")
        trailers.add(name: Span("X-Sum"), value: Span("1"))
        BodyWriter.endBody(trailers: trailers, to: &output)
        let bytes = written(&output)
        #expect(String(decoding: bytes, as: UTF8.self) == "1f\r\n\(String(repeating: "x", count: 31))\r\n0\r\nGrpc-Status: 0\r\nX-Sum: 1\r\n\r\n")
        let read = decode(bytes, as: .unknown)
        #expect(read.trailers == [["Grpc-Status", "0"], ["X-Sum", "1"]] && read.consumed == bytes.count)
    }
}
