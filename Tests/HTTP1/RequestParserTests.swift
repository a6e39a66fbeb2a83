import Buffers
import HTTP
import HTTP1
import Testing

@Suite struct RequestParserTests {
    /// Heads with one reading: what comes out, and that pieces make no difference, are tested over all of them.
    static let accepted: [String] = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        "GET /a/b?c=d&e HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\nX-Empty:\r\nX-Blank: \t \r\nX-Tab:\t1\t2\t\r\n\r\n",
        "GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://Example.com/x?y HTTP/1.1\r\nHost: example.COM\r\n\r\n",
        "GET http://example.com HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "GET https://example.com?q HTTP/1.1\r\nHost: example.com\r\n\r\n",
        "GET http://example.com/ HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\nexpect: 100-Continue\r\n\r\nhello, world",
        "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a.\r\nContent-Length: 000\r\n\r\n",
        "PATCH / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999999999999999\r\n\r\n",
        "x-custom!#$%&'*+-.^_`|~ /%7e|{}^`\" HTTP/1.1\r\nHost: a_b-c.d~e\r\nx!#$%&'*+-.^_`|~0: \u{80}\u{ff} (quoted \"text\")\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n\r\nGET /next HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: [2001:db8::1.2.3.4]:\r\nCookie: \(String(repeating: "c=0123456789; ", count: 300))\r\n\r\n",
        "GET /\(String(repeating: "p", count: 8000)) HTTP/1.1\r\nHost: a\r\n\(String(repeating: "X-Y: z\r\n", count: 99))\r\n",
    ]

    private func parse(_ text: String) throws -> ParsedHead { try #require(parseRequest(text.latin1)) }

    @Test func theRequestLineIsSplit() throws {
        let head = try parse(Self.accepted[4])
        #expect(head.failure == nil)
        #expect(head.line == ["GET", "get", "example.com:8080", "/a/b", "?c=d&e", "http11", "0", ""])
        #expect(head.consumed == Self.accepted[4].utf8.count)
    }

    @Test func fieldsKeepOrderSpellingAndEmptyValues() throws {
        let head = try parse(Self.accepted[4])
        #expect(head.fields == [
            ["Host", "example.com:8080", "host"], ["Accept", "*/*", "accept"], ["X-Empty", "", "other"], ["X-Blank", "", "other"],
            ["X-Tab", "1\t2", "other"],
        ])
    }

    @Test func anEmptyQueryIsAQuery() throws {
        #expect(try parse(Self.accepted[5]).line[4] == "?")
        #expect(try parse(Self.accepted[0]).line[4] == "")
    }

    @Test func anAbsoluteTargetGivesPathAndQueryAndHostGivesTheAuthority() throws {
        #expect(try Array(parse(Self.accepted[6]).line[2...4]) == ["example.COM", "/x", "?y"])
        #expect(try Array(parse(Self.accepted[7]).line[2...4]) == ["example.com", "/", ""])
        #expect(try Array(parse(Self.accepted[8]).line[2...4]) == ["example.com", "/", "?q"])
        #expect(try Array(parse(Self.accepted[9]).line[2...4]) == ["example.com", "/", ""])
    }

    @Test func optionsMayAskForTheWholeServer() throws {
        #expect(try parse(Self.accepted[10]).line[3] == "*")
        #expect(try parse(Self.accepted[11]).line[3] == "*")
    }

    @Test func theBodyFollowsFromTheFields() throws {
        #expect(try parse(Self.accepted[0]).body == .none)
        #expect(try parse(Self.accepted[12]).body == .known(12))
        #expect(try parse(Self.accepted[13]).body == .unknown)
        #expect(try parse(Self.accepted[14]).body == .none)
        #expect(try parse(Self.accepted[15]).body == .known(999_999_999_999_999_999))
    }

    @Test func onlyTheHeadIsConsumed() throws {
        #expect(try parse(Self.accepted[12]).consumed == Self.accepted[12].utf8.count - 12)
        #expect(try parse(Self.accepted[1]).consumed == Self.accepted[1].utf8.count)
    }

    @Test func persistenceFollowsVersionAndConnection() throws {
        let persistent = { (text: String) in try parse(text).flags[0] }
        #expect(try persistent(Self.accepted[0]))
        #expect(try !persistent(Self.accepted[2]))
        #expect(try persistent(Self.accepted[3]))
        #expect(try !persistent(Self.accepted[18]))
        #expect(try !persistent("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close ,y\r\n\r\n"))
    }

    @Test func anExpectationIsNotedInHTTP11Only() throws {
        #expect(try parse(Self.accepted[12]).flags[1])
        #expect(try !parse("POST / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n").flags[1])
    }

    @Test(arguments: [
        ("GET", "1.1", "Connection: Upgrade\r\nUpgrade: websocket", true),
        ("GET", "1.1", "Connection: Upgrade\r\nUpgrade: foo/2", true),
        ("GET", "1.1", "Upgrade: websocket", false),
        ("GET", "1.1", "Connection: Upgrade", false),
        ("GET", "1.0", "Connection: Upgrade\r\nUpgrade: websocket", false),
        ("GET", "1.1", "Connection: Upgrade\r\nUpgrade: h2c", false),
        ("GET", "1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: H2C\r\nHTTP2-Settings: x", false),
        ("GET", "1.1", "Connection: Upgrade\r\nUpgrade: HTTP/2.0", false),
        ("GET", "1.1", "Connection: Upgrade\r\nUpgrade: TLS/1.3", false),
        ("GET", "1.1", "Connection: Upgrade\r\nUpgrade: websocket, h2c", false),
        ("GET", "1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c", false),
        ("GET", "1.1", "Connection: Upgrade\r\nUpgrade:", false),
        ("POST", "1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5", false),
        ("POST", "1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked", false),
    ])
    func oneForeignProtocolWithoutABodyIsAnUpgrade(method: String, version: String, fields: String, wanted: Bool) throws {
        let head = try parse("\(method) / HTTP/\(version)\r\nHost: a\r\n\(fields)\r\n\r\n")
        #expect(head.failure == nil)
        #expect(head.flags[2] == wanted)
    }

    @Test func connectIsServedWhereItIsAllowed() throws {
        let text = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"
        let head = try #require(parseRequest(text.latin1, allowsConnect: true))
        #expect(Array(head.line[1...3]) == ["connect", "example.com:443", ""])
        #expect(try parse(text).failure == .methodNotAllowed)
        for bad in ["CONNECT / HTTP/1.1", "CONNECT a HTTP/1.1", "CONNECT a:80 HTTP/1.1"] {
            #expect(parseRequest("\(bad)\r\nHost: b:80\r\n\r\n".latin1, allowsConnect: true)?.failure == .badRequest)
        }
    }

    @Test(arguments: accepted)
    func everyAcceptedHeadIsTheSameByteByByte(text: String) throws {
        let bytes = text.latin1
        let whole = try #require(parseRequest(bytes))
        #expect(whole.failure == nil, "\(whole)")
        #expect(parseRequest(bytes, cuts: Array(0..<bytes.count)) == whole)
    }

    @Test(arguments: accepted.filter { $0.utf8.count < 2000 })
    func everyAcceptedHeadIsTheSameInTwoPieces(text: String) throws {
        let bytes = text.latin1
        let whole = try #require(parseRequest(bytes))
        for cut in 0..<bytes.count { #expect(parseRequest(bytes, cuts: [cut]) == whole, "cut at \(cut)") }
    }

    @Test func anIncompleteHeadIsNeverRefusedNorAccepted() {
        let bytes = Self.accepted[4].latin1
        for end in 0..<bytes.count { #expect(parseRequest(Array(bytes[..<end])) == nil) }
    }

    @Test func theTableIsAsLargeAsPromised() {
        #expect(RefusedRequest.all.count >= 300)
    }

    @Test(arguments: RefusedRequest.all)
    func malformedRequestsAreRefusedWithTheirReason(request: RefusedRequest) {
        #expect(parseRequest(request.bytes)?.failure == request.kind)
    }

    @Test(arguments: RefusedRequest.all)
    func malformedRequestsAreRefusedAlikeByteByByte(request: RefusedRequest) {
        #expect(parseRequest(request.bytes, cuts: Array(0..<request.bytes.count))?.failure == request.kind)
    }

    @Test func aRefusedHeadKeepsItsRequestLineForTheLog() {
        var parser = RequestParser()
        var head = Head()
        let bytes = "GET /a?b HTTP/1.1\r\nHost: x\r\nBad Field: 1\r\n\r\n".latin1
        let result = parser.parse(bytes.span, into: &head)
        #expect(result == .failed(.badRequest, "white space before the colon of a field"))
        let (line, fields) = describe(head)
        #expect(Array(line[0...4]) == ["GET", "get", "", "/a", "?b"])
        #expect(fields.isEmpty)
    }

    @Test func aParserIsReused() {
        var parser = RequestParser()
        var head = Head()
        let bytes = "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n".latin1
        let first = parser.parse(bytes.span.extracting(first: 10), into: &head)
        #expect(first == .needMore)
        guard case .complete(let consumed) = parser.parse(bytes.span, into: &head) else { Issue.record("no head"); return }
        parser.reset()
        let second = parser.parse(bytes.span.extracting(droppingFirst: consumed), into: &head)
        #expect(second == .complete(consumed: bytes.count - consumed))
        let line = describe(head).0
        #expect(line[3] == "/2" && line[2] == "b")
        let persistent = parser.persistent
        #expect(persistent)
    }

    /// The buffer that a connection reads into holds 64 KiB: a head must be refused before it is full.
    @Test func aHeadThatFillsTheReadBufferIsRefusedWhileItStillFits() {
        var limits = HeadLimits()
        limits.total = 1 << 20
        limits.fields = 10_000
        for ending in ["v", "\r"] {
            let filler = "X: \(String(repeating: "v", count: 4000))\r\n"
            var text = "\r\nGET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: filler, count: 17)
            text = String(text.prefix(ReadBuffer.largestUnread - 1)) + ending
            let bytes = text.latin1
            #expect(parseRequest(bytes, limits: limits)?.failure == .headTooLarge)
            #expect(parseRequest(bytes, cuts: [10, 60_000, bytes.count - 1], limits: limits)?.failure == .headTooLarge)
        }
    }

    @Test func limitsAreExact() {
        var limits = HeadLimits()
        limits.line = 16
        limits.field = 10
        limits.fields = 2
        limits.total = 60
        let good = "GET /xx HTTP/1.1\r\nHost: a\r\nX: 3456789\r\n\r\n"
        #expect(parseRequest(good.latin1, limits: limits)?.failure == nil)
        #expect(parseRequest("GET /xxx HTTP/1.1\r\nHost: a\r\n\r\n".latin1, limits: limits)?.failure == .uriTooLong)
        #expect(parseRequest("GET / HTTP/1.1\r\nHost: a\r\nX: 34567890\r\n\r\n".latin1, limits: limits)?.failure == .headTooLarge)
        #expect(parseRequest("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 1\r\n\r\n".latin1, limits: limits)?.failure == .headTooLarge)
        limits.total = 30
        #expect(parseRequest(good.latin1, limits: limits)?.failure == .headTooLarge)
    }
}
