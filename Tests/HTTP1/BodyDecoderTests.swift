import Buffers
import HTTP
import HTTP1
import Testing

@Suite struct BodyDecoderTests {
    @Test func aKnownLengthEndsWhereItSays() {
        let result = decode(Array("hello, next request".utf8), as: .known(5))
        #expect(result == DecodedBody(body: Array("hello".utf8), consumed: 5))
        #expect(decode([], as: .known(0)).consumed == 0)
        #expect(decode(Array("hell".utf8), as: .known(5)).consumed == nil)
    }

    @Test func noBodyTakesNothing() {
        #expect(decode(Array("GET".utf8), as: .none) == DecodedBody(consumed: 0))
    }

    @Test func untilCloseTakesAllAndNeverEnds() {
        let decoder = BodyDecoder(.untilClose)
        #expect(decoder.endsWithConnection)
        #expect(decode(Array("all of it".utf8), as: .untilClose, cuts: [3]) == DecodedBody(body: Array("all of it".utf8)))
    }

    @Test func bytesThatWentAnotherWayCount() {
        var decoder = BodyDecoder(.known(10))
        decoder.skipKnown(4)
        #expect(decoder.remainingKnown == 6)
        decoder.skipKnown(7)
        #expect(decoder.remainingKnown == 6)
        decoder.skipKnown(6)
        #expect(decoder.isDone)
    }

    static let accepted: [(String, String, [[String]])] = [
        ("0\r\n\r\n", "", []),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", []),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", []),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789", []),
        ("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello", []),
        ("5;a=b\r\nhello\r\n0;last\r\n\r\n", "hello", []),
        ("5;\r\nhello\r\n0\r\n\r\n", "hello", []),
        ("5;a=\"b;c\t\u{80}\"\r\nhello\r\n0\r\n\r\n", "hello", []),
        ("5;\(String(repeating: "e", count: 1000))\r\nhello\r\n0\r\n\r\n", "hello", []),
        ("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n", []),
        ("0\r\nX-Sum: 5\r\n\r\n", "", [["X-Sum", "5"]]),
        ("1\r\nx\r\n0\r\nA:1\r\nb:\t2 \r\nC:\r\n\r\n", "x", [["A", "1"], ["b", "2"], ["C", ""]]),
        ("0\r\nGrpc-Status: 0\r\nCache-Control: no-store\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", "", [["Grpc-Status", "0"]]),
        ("0\r\n\(String(repeating: "T: v\r\n", count: 32))\r\n", "", Array(repeating: ["T", "v"], count: 32)),
    ]

    @Test(arguments: accepted.indices)
    func chunksAndTrailersAreFound(index: Int) {
        let (text, body, trailers) = Self.accepted[index]
        let next = "GET / HTTP/1.1".latin1
        let result = decode(text.latin1 + next, as: .unknown)
        #expect(result == DecodedBody(body: body.latin1, trailers: trailers, consumed: text.latin1.count))
    }

    @Test(arguments: accepted.indices)
    func chunksComeOutTheSameHoweverTheyArrive(index: Int) {
        let bytes = Self.accepted[index].0.latin1
        let whole = decode(bytes, as: .unknown)
        #expect(decode(bytes, as: .unknown, cuts: Array(0..<bytes.count)) == whole)
        for cut in 0..<bytes.count { #expect(decode(bytes, as: .unknown, cuts: [cut]) == whole) }
        for end in 0..<bytes.count {
            let part = decode(Array(bytes[..<end]), as: .unknown)
            #expect(part.consumed == nil && !part.failed)
        }
    }

    static let refused: [String] = {
        let tail = "\r\nhello\r\n0\r\n\r\n"
        let sizes = [
            "+5", "-5", "0x5", " 5", "\t5", "5 ", "5\t", "", "g", "00000000000000005", "10000000000000000", "ffffffffffffffff",
            "8000000000000000", "0_5", "5,5", "5\0", "\"5\"", ";a=b", "5;a\rb", "5;a\0b", "5;a\nb", "5;a\u{7f}b", "5.0", "5\r", "5h",
            "5;\(String(repeating: "e", count: 1025))", "\r\n5", "5 ;a", "5\u{b}",
        ]
        return sizes.map { $0 + tail } + [
            "5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "4\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\n\r\n", "5\r\nhello\r\n0\r\n\n", "5\r\nhello\r\r\n0\r\n\r\n", "5\r\nhello\r\n-0\r\n\r\n", "6\r\nhello\r\n0\r\n\r\n",
            "0\r\nX-A : 1\r\n\r\n", "0\r\nX-A\r\n\r\n", "0\r\nX-A: 1\r\n 2\r\n\r\n", "0\r\nX-A: \0\r\n\r\n", "0\r\nX-A: 1\nX-B: 2\r\n\r\n",
            "0\r\n: 1\r\n\r\n", "0\r\n X: 1\r\n\r\n", "0\r\nX-A: a\rb\r\n\r\n", "0\r\nX: 1\r\n\n", "0\r\nX-A: \(String(repeating: "v", count: 9000))\r\n\r\n",
            "0\r\n\(String(repeating: "X: 1\r\n", count: 33))\r\n", "0\r\n\(String(repeating: "X: \(String(repeating: "v", count: 900))\r\n", count: 10))\r\n",
            "0\r\nContent-Length: 5\r\n\r\n", "0\r\ntransfer-encoding: chunked\r\n\r\n", "0\r\nHost: a\r\n\r\n", "0\r\nAuthorization: x\r\n\r\n",
            "0\r\nCookie: a=1\r\n\r\n", "0\r\nSet-Cookie: a=1\r\n\r\n", "0\r\nConnection: close\r\n\r\n", "0\r\nUpgrade: x\r\n\r\n",
            "0\r\nTrailer: X\r\n\r\n", "0\r\nTE: x\r\n\r\n", "0\r\nExpect: 100-continue\r\n\r\n", "0\r\nProxy-Authorization: x\r\n\r\n",
        ]
    }()

    @Test(arguments: refused)
    func malformedChunksAreRefused(text: String) {
        let bytes = text.latin1
        #expect(decode(bytes, as: .unknown).failed)
        #expect(decode(bytes, as: .unknown, cuts: Array(0..<bytes.count)).failed)
    }

    /// A client that sends a size line or a trailer for ever is stopped although its line never ends.
    @Test(arguments: ["5;", "0\r\nX: "])
    func linesWithoutEndAreRefusedAtTheirLimit(start: String) {
        let bytes = (start + String(repeating: "e", count: 10_000)).latin1
        #expect(decode(bytes, as: .unknown).failed)
        #expect(decode(bytes, as: .unknown, cuts: Array(0..<bytes.count)).failed)
    }

    @Test func extensionsOutOfProportionToTheDataAreRefused() {
        let chunk = "1;\(String(repeating: "e", count: 1000))\r\nx\r\n"
        #expect(decode((String(repeating: chunk, count: 10) + "0\r\n\r\n").latin1, as: .unknown).consumed != nil)
        #expect(decode(String(repeating: chunk, count: 20).latin1, as: .unknown).failed)
        // Data makes up for it, and chunks of one byte are no offence.
        let large = "2000;\(String(repeating: "e", count: 1000))\r\n\(String(repeating: "x", count: 0x2000))\r\n"
        #expect(decode((String(repeating: large, count: 50) + "0\r\n\r\n").latin1, as: .unknown).consumed != nil)
        let small = "0000000001\r\nx\r\n"
        #expect(decode((String(repeating: small, count: 5000) + "0\r\n\r\n").latin1, as: .unknown).body.count == 5000)
    }

    @Test func randomBodiesInRandomChunksAndPiecesComeOutWhole() {
        var random = Seeded(state: 42)
        for _ in 0..<300 {
            let body = (0..<Int.random(in: 0...2000, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            var coded: [UInt8] = []
            var at = 0
            while at < body.count {
                let count = Int.random(in: 1...min(700, body.count - at), using: &random)
                let line = String(count, radix: 16, uppercase: Bool.random(using: &random)) + (Bool.random(using: &random) ? ";x=\"y\"" : "")
                coded += line.latin1 + [13, 10] + body[at..<at + count] + [13, 10]
                at += count
            }
            coded += "0\r\nT: \(body.count)\r\n\r\nnext".latin1
            let cuts = (0..<Int.random(in: 0...30, using: &random)).map { _ in Int.random(in: 0...coded.count, using: &random) }.sorted()
            let result = decode(coded, as: .unknown, cuts: cuts)
            #expect(result == DecodedBody(body: body, trailers: [["T", "\(body.count)"]], consumed: coded.count - 4))
        }
    }
}
