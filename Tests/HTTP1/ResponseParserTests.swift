import Buffers
import HTTP
import HTTP1
import Testing

@Suite struct ResponseParserTests {
    static let accepted: [String] = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\n\r\nbye",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
        "HTTP/1.1 500 Caf\u{e9}\tclosed\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\u{81}\u{0}",
        "HTTP/1.1 599 \r\nConnection: close\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n",
    ]

    static let refused: [String] = [
        "\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 \r\n\r\n", "HTTP/1.1 20\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 0200 OK\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1 600 x\r\n\r\n",
        "HTTP/1.1 999 x\r\n\r\n", "HTTP/1.1 +20 x\r\n\r\n", "HTTP/1.1 2x0 x\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/0.9 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "ICY 200 OK\r\n\r\n", "HTTP/1.1\t200 OK\r\n\r\n", " HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n", "HTTP/1.1 200 O\rK\r\n\r\n", "HTTP/1.1 200 OK\n\r\n", "HTTP/1.1 200 OK\r\nA: 1\n\r\n",
        "HTTP/1.1 200 O\u{7f}K\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "<html>\r\n\r\n", "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : 1\r\n\r\n", "HTTP/1.1 200 OK\r\n A: 1\r\n\r\n", "HTTP/1.1 200 OK\r\nA: 1\r\n 2\r\n\r\n", "HTTP/1.1 200 OK\r\nA\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: 1\r\n\r\n", "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 \(String(repeating: "x", count: 9000))\r\n\r\n", "HTTP/1.1 200 OK\r\nA: \(String(repeating: "x", count: 9000))\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\(String(repeating: "A: 1\r\n", count: 101))\r\n",
        "HTTP/1.1 200 OK\r\n\(String(repeating: "A: \(String(repeating: "x", count: 4000))\r\n", count: 20))\r\n",
    ]

    private func parse(_ index: Int, answering method: Method = .get) throws -> ParsedHead {
        try #require(parseResponse(Self.accepted[index].latin1, answering: method))
    }

    @Test func theStatusLineIsSplit() throws {
        #expect(try Array(parse(0).line[5...]) == ["http11", "200", "OK"])
        #expect(try Array(parse(1).line[5...]) == ["http11", "200", ""])
        #expect(try Array(parse(2).line[5...]) == ["http11", "200", ""])
        #expect(try Array(parse(3).line[5...]) == ["http10", "404", "Not Found"])
        #expect(try parse(0).consumed == Self.accepted[0].utf8.count - 5)
    }

    @Test func theBodyFollowsFromStatusFieldsAndMethod() throws {
        let expected: [(Int, BodyLength, Method)] = [
            (0, .known(5), .get), (1, .known(0), .get), (3, .untilClose, .get), (5, .unknown, .get), (6, .none, .get), (7, .none, .get),
            (8, .none, .get), (9, .none, .get), (10, .none, .get), (11, .untilClose, .get), (0, .known(5), .head), (3, .none, .head),
            (5, .none, .head), (9, .none, .head),
        ]
        for (index, body, method) in expected {
            #expect(try parse(index, answering: method).body == body, "\(Self.accepted[index]) to \(method)")
        }
    }

    @Test func persistenceFollowsVersionConnectionAndBody() throws {
        let persistent = try Self.accepted.indices.map { try parse($0).flags[0] }
        #expect(persistent == [true, true, true, false, true, true, true, true, true, true, true, false])
    }

    @Test(arguments: accepted)
    func everyAcceptedHeadIsTheSameByteByByteAndInTwoPieces(text: String) throws {
        let bytes = text.latin1
        let whole = try #require(parseResponse(bytes))
        #expect(whole.failure == nil)
        #expect(parseResponse(bytes, cuts: Array(0..<bytes.count)) == whole)
        for cut in 0..<bytes.count { #expect(parseResponse(bytes, cuts: [cut]) == whole) }
    }

    @Test(arguments: refused)
    func malformedResponsesAreTheOriginsFault(text: String) {
        let bytes = text.latin1
        #expect(parseResponse(bytes)?.failure == .originProtocol)
        #expect(parseResponse(bytes, cuts: Array(0..<bytes.count))?.failure == .originProtocol)
    }

    @Test func severalInterimHeadsAreReadOneAfterTheOther() {
        var parser = ResponseParser()
        var head = Head()
        let bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".latin1
        var at = 0
        var statuses: [Int] = []
        while at < bytes.count {
            let result = parser.parse(bytes.span.extracting(droppingFirst: at), into: &head, answering: .post)
            guard case .complete(let consumed) = result else { break }
            statuses.append(head.status)
            at += consumed
            parser.reset()
        }
        #expect(statuses == [100, 103, 200])
    }
}
