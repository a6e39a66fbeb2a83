import Buffers
import HTTP
import Testing

@testable import HTTP2

struct BadRequest: Sendable, CustomTestStringConvertible {
    let what: String
    let fields: [(String, String)]
    var testDescription: String { what }
}

private func bad(_ what: String, _ fields: [(String, String)]) -> BadRequest { BadRequest(what: what, fields: fields) }
private func with(_ what: String, _ name: String, _ value: String) -> BadRequest {
    bad(what, Frame.request([(name, value)], path: "/"))
}
private func path(_ what: String, _ path: String) -> BadRequest { bad(what, Frame.request([], path: path)) }
private func authority(_ what: String, _ text: String) -> BadRequest {
    bad(what, [(":method", "GET"), (":scheme", "https"), (":authority", text), (":path", "/")])
}

private let malformed: [BadRequest] = [
    with("upper-case name", "X-Upper", "1"), with("CR in a value", "x", "a\rb"), with("LF in a value", "x", "a\nb"),
    with("NUL in a value", "x", "a\0b"), with("leading space", "x", " a"), with("trailing space", "x", "a "),
    with("trailing tab", "x", "a\t"), with("space in a name", "x y", "1"), with("empty name", "", "1"),
    with("colon in a name", "x:y", "1"), with("connection", "connection", "close"), with("keep-alive", "keep-alive", "5"),
    with("transfer-encoding", "transfer-encoding", "chunked"), with("upgrade", "upgrade", "h2c"),
    with("proxy-connection", "proxy-connection", "close"), with("te", "te", "gzip"), with("http2-settings", "http2-settings", "AA"),
    with("another host", "host", "other.test"), with("empty host", "host", ""), with("late pseudo-field", ":path", "/again"),
    with("unknown pseudo-field", ":odd", "1"), with("a response's pseudo-field", ":status", "200"),
    with("content-length that is no number", "content-length", "+5"),
    with("content-length without a body", "content-length", "5"),
    path("path without slash", "a"), path("path with a space", "/a b"), path("empty path", ""), path("path with a fragment", "/a#b"),
    path("path with a control byte", "/a\u{1}"), path("star for GET", "*"), path("absolute path", "https://example.test/"),
    authority("user in the authority", "user@example.test"), authority("space in the authority", "a b"),
    authority("port that is no number", "example.test:x"), authority("port too large", "example.test:99999"),
    bad("no path", [(":method", "GET"), (":scheme", "https"), (":authority", "a.test")]),
    bad("no method", [(":scheme", "https"), (":authority", "a.test"), (":path", "/")]),
    bad("no scheme", [(":method", "GET"), (":authority", "a.test"), (":path", "/")]),
    bad("no authority at all", [(":method", "GET"), (":scheme", "https"), (":path", "/")]),
    bad("method twice", [(":method", "GET"), (":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")]),
    bad("method that is no token", [(":method", "GE T"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")]),
    bad("scheme of something else", [(":method", "GET"), (":scheme", "ftp"), (":authority", "a.test"), (":path", "/")]),
    bad("pseudo-field after a field", [(":method", "GET"), (":scheme", "https"), ("x", "1"), (":authority", "a.test"), (":path", "/")]),
    with("capital inside a name", "x-Upper", "1"), with("control byte in a name", "x\u{1}", "1"), with("letter beyond ASCII in a name", "x\u{e9}", "1"),
    with("bracket in a name", "x(", "1"), with("DEL in a name", "x\u{7f}", "1"), with("a name of a colon", ":", "1"),
    with("leading tab", "x", "\ta"), with("a blank alone", "x", " "), with("DEL in a value", "x", "a\u{7f}b"),
    with("control byte behind a tab", "x", "a\tb\u{1}c"), with("control byte behind sixteen", "x", "0123456789abcdef\u{1f}"),
    with("NUL at the end", "x", "0123456789abcdef\0"), with("te with more", "te", "trailers, deflate"), with("empty te", "te", ""),
    with("empty content-length", "content-length", ""), with("negative content-length", "content-length", "-0"),
    with("content-length as a list", "content-length", "0, 0"), with("content-length beyond numbers", "content-length", "99999999999999999999"),
    bad("content-length twice", Frame.request([("content-length", "0"), ("content-length", "0")], path: "/")),
    with("protocol in an ordinary request", ":protocol", "websocket"),
    bad("scheme twice", [(":method", "GET"), (":scheme", "https"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")]),
    bad("path twice", [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/"), (":path", "/")]),
    bad("authority twice", [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":authority", "a.test"), (":path", "/")]),
    bad("empty method", [(":method", ""), (":scheme", "https"), (":authority", "a.test"), (":path", "/")]),
    bad("empty scheme", [(":method", "GET"), (":scheme", ""), (":authority", "a.test"), (":path", "/")]),
    authority("empty authority", ""),
    bad("pseudo-field after a field that is left out", [(":method", "GET"), (":scheme", "https"), ("te", "trailers"), (":authority", "a.test"), (":path", "/")]),
    bad("CONNECT with a path", [(":method", "CONNECT"), (":authority", "a.test:443"), (":path", "/")]),
    bad("CONNECT with a scheme", [(":method", "CONNECT"), (":scheme", "https"), (":authority", "a.test:443")]),
    bad("CONNECT with a host alone", [(":method", "CONNECT"), ("host", "a.test:443")]),
    bad("an extended CONNECT that ends", Frame.request([], method: "CONNECT", path: "/") + [(":protocol", "websocket")]),
    bad("host twice", Frame.request([("host", "example.test"), ("host", "example.test")], path: "/")),
]

@Suite struct RefusalTests {
    @Test(arguments: malformed) func aMalformedRequestIsAStreamErrorAndNeverSeen(request: BadRequest) {
        let harness = Harness()
        harness.send(.headers(1, request.fields))
        #expect(harness.announced.isEmpty)
        #expect(harness.frames() == [.reset(1, 1)])
        #expect(harness.session.activeStreams == 0)
        #expect(harness.session.counters.glitches == 1)
        harness.send(.get(3))
        #expect(harness.announced.count == 1, "the connection goes on")
    }

    @Test(arguments: [("/", "OPTIONS"), ("*", "OPTIONS"), ("/a?", "GET"), ("/%20;x=1?a|b", "GET")])
    func unusualButLegalTargetsPass(path: String, method: String) {
        let harness = Harness()
        harness.send(.headers(1, Frame.request([("te", "trailers"), ("host", "EXAMPLE.test")], method: method, path: path)))
        #expect(harness.announced.count == 1, "\(harness.frames())")
    }

    @Test func aBodyThatDoesNotMatchItsLengthIsAStreamError() {
        for body in [4, 6] {
            let harness = Harness()
            harness.send(.post(1, [("content-length", "5")]), .data(1, pattern(body), end: true))
            #expect(harness.frames().contains(.reset(1, 1)))
            #expect(harness.announced.first?.endedCleanly == false)
            #expect(harness.announced.first?.closedCode == .protocolError)
            #expect(harness.session.counters.glitches == 1)
            #expect(harness.announced.first?.received.count == (body < 5 ? body : 0), "what is too much is not handed on")
            harness.send(.get(3))
            #expect(harness.announced.count == 2, "the connection goes on")
        }
    }

    private static let five = Frame.post(1, [("content-length", "5")])

    @Test(arguments: [
        [.data(1, pattern(3)), .data(1, pattern(3))], [.data(1, pattern(3)), .data(1, pattern(1), end: true)], [.data(1, [], end: true)],
        [.data(1, pattern(4)), .headers(1, [("x-sum", "1")])], [.headers(1, [("x-sum", "1")])],
    ] as [[Frame]]) func framesThatDoNotComeToTheLengthAreAStreamError(frames: [Frame]) {
        let harness = Harness()
        harness.send(raw: ([Self.five] + frames).flatMap(\.bytes))
        #expect(harness.frames().contains(.reset(1, 1)))
        #expect(harness.announced.first?.endedCleanly == false)
        #expect(harness.announced.first?.closedCode == .protocolError)
    }

    /// Padding does not count (RFC 9113 section 8.1.1).
    @Test func framesThatComeToTheLengthAreFine() {
        let padded = Frame(type: Frame.Kind.data, flags: 8, stream: 1, payload: [4, 1, 2, 3, 0, 0, 0, 0])
        for rest in [[Frame.data(1, [4, 5], end: true)], [.data(1, [4, 5]), .data(1, [], end: true)], [.data(1, [4, 5]), .headers(1, [("x-sum", "1")])]] {
            let harness = Harness()
            harness.send(raw: ([Self.five, padded] + rest).flatMap(\.bytes))
            #expect(harness.announced.first?.received == [1, 2, 3, 4, 5])
            #expect(harness.announced.first?.endedCleanly == true)
            #expect(harness.session.counters.glitches == 0)
        }
    }

    @Test(arguments: [
        ("te", "trailers"), ("te", "TRAILERS"), ("x", ""), ("x", "a\tb"), ("x", "a b"), ("x", "caf\u{e9}"), ("x", "0123456789abcde\tf"),
        ("!#$%&'*+-.^_`|~09az", "1"), ("content-length", "0"), ("upgrade-insecure-requests", "1"), ("keep", "1"),
    ]) func anUnusualButLegalFieldPasses(name: String, value: String) {
        let harness = Harness()
        harness.send(.get(1, [(name, value)]))
        #expect(harness.announced.first?.field(name) == value, "\(harness.frames())")
    }

    private static func connect(_ fields: [(String, String)]) -> [(String, String)] { [(":method", "CONNECT")] + fields }

    @Test func aTunnelIsAskedForWithItsOwnPseudoFields() {
        let ordinary = Self.connect([(":authority", "a.test:443")])
        let extended = Self.connect([(":protocol", "websocket"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")])
        for fields in [ordinary, extended] {
            let harness = Harness()
            harness.send(.headers(1, fields, end: false))
            #expect(harness.announced.count == 1, "\(fields)")
        }
    }

    @Test(arguments: [
        [(":protocol", "websocket"), (":scheme", "https"), (":authority", "a.test")],
        [(":protocol", "websocket"), (":authority", "a.test"), (":path", "/")],
        [(":protocol", "websocket"), (":scheme", "https"), (":path", "/"), ("host", "a.test")],
        [(":protocol", ""), (":scheme", "https"), (":authority", "a.test"), (":path", "/")],
        [(":protocol", "a\u{1}"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")],
        [(":protocol", "websocket"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")],
        [(":protocol", "websocket"), (":scheme", "https"), (":authority", "a.test"), (":path", "/"), ("content-length", "5")],
    ]) func aTunnelThatIsAskedForWronglyIsAStreamError(fields: [(String, String)]) {
        let harness = Harness()
        harness.send(.headers(1, Self.connect(fields), end: false))
        #expect(harness.announced.isEmpty)
        #expect(harness.frames() == [.reset(1, 1)])
    }

    /// A tunnel has bytes and no length (RFC 9110 section 9.3.6).
    @Test func theLengthOfATunnelMeansNothing() {
        let harness = Harness()
        harness.send(.headers(1, Self.connect([(":authority", "a.test:443"), ("content-length", "2")]), end: false), .data(1, [1, 2, 3], end: true))
        #expect(harness.announced.first?.endedCleanly == true)
        #expect(harness.announced.first?.received == [1, 2, 3])
    }

    @Test func tooManyOrTooLargeFieldsAreAnswered431() throws {
        let many = (0..<101).map { ("x-\($0)", "v") }
        let large = [("x", String(repeating: "a", count: 9000))]
        for fields in [many, large] {
            let harness = Harness()
            harness.send(.get(1, fields))
            #expect(harness.announced.first?.events.first == "refused head_too_large")
            let frames = harness.frames()
            #expect(harness.fields(try #require(frames.first)).first?.value == "431")
        }
    }

    @Test func oneHundredFieldsPass() {
        let harness = Harness()
        harness.send(.get(1, (0..<99).map { ("x-\($0)", "v") }))
        #expect(harness.announced.first?.events == ["head", "end"])
    }

    @Test func aHeadOverItsSizeIsDecodedAndAnswered431() {
        let harness = Harness()
        let fields = (0..<40).map { ("x-\($0)", String(repeating: "a", count: 2000)) }
        harness.send(raw: split(1, Frame.request(fields, path: "/")).flatMap(\.bytes))
        #expect(harness.announced.first?.events.first == "refused head_too_large")
        _ = harness.frames()
        harness.send(.get(3))
        #expect(harness.announced.count == 2, "the compression state is intact")
    }

    @Test func aPathOverItsLimitIsAnswered414() throws {
        let harness = Harness()
        harness.send(.get(1, path: "/" + String(repeating: "a", count: 8192)))
        #expect(harness.announced.first?.events.first == "refused uri_too_long")
        #expect(harness.fields(try #require(harness.frames().first)).first?.value == "414")
    }

    @Test func aHeaderBombEndsTheConnection() {
        let harness = Harness()
        // One entry of 4,000 bytes in the dynamic table, then one byte for each repetition of it.
        let value = Array(repeating: UInt8(ascii: "a"), count: 4000)
        var block = Frame.block(Frame.request([], path: "/"))
        block += [0x40, 1, UInt8(ascii: "x"), 0x7f] + [UInt8((4000 - 127) & 127 | 128), UInt8((4000 - 127) >> 7)] + value
        block += Array(repeating: 0xbe, count: 200)
        let sent = harness.send(Frame(type: Frame.Kind.headers, flags: 5, stream: 1, payload: block))
        #expect(!sent)
        #expect(harness.frames().contains { $0.type == Frame.Kind.goAway && $0.code == 11 })
        #expect(harness.announced.isEmpty)
    }

    @Test func badTrailersResetTheStream() {
        let faults: [[(String, String)]] = [
            [("content-length", "3")], [("host", "a")], [(":path", "/")], [("Upper", "1")], [(":status", "200")], [("", "1")],
            [("x y", "1")], [("x", " a")], [("x", "a\r\nb")], [("x", "a\0")], [("connection", "close")], [("keep-alive", "5")],
            [("proxy-connection", "close")], [("transfer-encoding", "chunked")], [("upgrade", "h2c")], [("te", "trailers")],
            [("http2-settings", "AA")], [("x-sum", "1"), ("X", "1")],
            (0..<33).map { ("x-\($0)", "v") }, [("x", String(repeating: "a", count: 9000))],
        ]
        for fields in faults {
            let harness = Harness()
            harness.send(.post(1), .data(1, [1, 2, 3]), .headers(1, fields))
            #expect(harness.frames().contains(.reset(1, 1)), "\(fields.first?.0 ?? "")")
            #expect(harness.announced.first?.endedCleanly == false)
            #expect(harness.announced.first?.closedCode == .protocolError)
        }
    }

    @Test func trailersThatDoNotEndTheirRequestResetTheStream() {
        let harness = Harness()
        harness.send(.post(1), .data(1, [1, 2, 3]), .headers(1, [("x-sum", "1")], end: false))
        #expect(harness.frames().contains(.reset(1, 1)))
        #expect(harness.announced.first?.endedCleanly == false)
        #expect(harness.session.counters.glitches == 1)
    }

    /// A head as HEADERS and CONTINUATION of 16 KiB each.
    private func split(_ stream: UInt32, _ fields: [(String, String)]) -> [Frame] {
        let block = Frame.block(fields)
        return stride(from: 0, to: block.count, by: 16_384).map { at in
            let end = min(at + 16_384, block.count)
            let flags: UInt8 = (at == 0 ? Frame.endStream : 0) | (end == block.count ? Frame.endHeaders : 0)
            return Frame(
                type: at == 0 ? Frame.Kind.headers : Frame.Kind.continuation, flags: flags, stream: stream,
                payload: Array(block[at..<end]))
        }
    }
}

struct BadFrames: Sendable, CustomTestStringConvertible {
    let what: String
    let frames: [Frame]
    let code: UInt32
    var testDescription: String { what }
}

private let connectionErrors: [BadFrames] = [
    BadFrames(what: "DATA on stream 0", frames: [.data(0, [1])], code: 1),
    BadFrames(what: "HEADERS on stream 0", frames: [.get(0)], code: 1),
    BadFrames(what: "HEADERS on an even stream", frames: [.get(2)], code: 1),
    BadFrames(what: "stream numbers that go back", frames: [.get(5), .get(3)], code: 1),
    BadFrames(what: "PRIORITY on stream 0", frames: [Frame(type: 2, stream: 0, payload: big(3) + [9])], code: 1),
    BadFrames(what: "PRIORITY of 4 bytes", frames: [Frame(type: 2, stream: 3, payload: big(1))], code: 6),
    BadFrames(what: "DATA after the end of its request", frames: [.get(1), .data(1, [1])], code: 5),
    BadFrames(what: "DATA on an idle stream", frames: [.data(7, [1])], code: 1),
    BadFrames(what: "RST_STREAM on an idle stream", frames: [.reset(7)], code: 1),
    BadFrames(what: "WINDOW_UPDATE on an idle stream", frames: [.windowUpdate(7, 1)], code: 1),
    BadFrames(what: "WINDOW_UPDATE of 0", frames: [.windowUpdate(0, 0)], code: 1),
    BadFrames(what: "a window over 2^31", frames: [.windowUpdate(0, 0x7fff_ffff)], code: 3),
    BadFrames(what: "CONTINUATION without HEADERS", frames: [Frame(type: 9, flags: 4, stream: 1)], code: 1),
    BadFrames(what: "a frame between HEADERS and CONTINUATION", frames: [Frame(type: 1, stream: 1), .ping()], code: 1),
    BadFrames(what: "PUSH_PROMISE from a client", frames: [Frame(type: 5, flags: 4, stream: 1, payload: big(2))], code: 1),
    BadFrames(what: "SETTINGS of odd length", frames: [Frame(type: 4, stream: 0, payload: [1])], code: 6),
    BadFrames(what: "SETTINGS on a stream", frames: [Frame(type: 4, stream: 1)], code: 1),
    BadFrames(what: "SETTINGS ENABLE_PUSH of 2", frames: [.settings([(2, 2)])], code: 1),
    BadFrames(what: "an initial window over 2^31", frames: [.settings([(4, 0x8000_0000)])], code: 3),
    BadFrames(what: "a frame size below 16 KiB", frames: [.settings([(5, 100)])], code: 1),
    BadFrames(what: "PING of 7 bytes", frames: [Frame(type: 6, stream: 0, payload: Array(repeating: 0, count: 7))], code: 6),
    BadFrames(what: "a frame over 16 KiB", frames: [Frame(type: 0, stream: 1, payload: Array(repeating: 0, count: 16_385))], code: 6),
    BadFrames(what: "RST_STREAM of 3 bytes", frames: [.get(1, end: false), Frame(type: 3, stream: 1, payload: [0, 0, 0])], code: 6),
    BadFrames(what: "a damaged header block", frames: [Frame(type: 1, flags: 5, stream: 1, payload: [0xff, 0xff, 0xff, 0xff, 0xff])], code: 9),
    BadFrames(what: "an index of no entry", frames: [Frame(type: 1, flags: 5, stream: 1, payload: [0xfe])], code: 9),
    BadFrames(
        what: "padding longer than its frame",
        frames: [.get(1, end: false), Frame(type: 0, flags: 8, stream: 1, payload: [9, 1])], code: 1),
]

@Suite struct ConnectionErrorTests {
    @Test(arguments: connectionErrors) func aBrokenFrameEndsTheConnectionWithItsCode(bad: BadFrames) {
        let harness = Harness()
        harness.send(raw: bad.frames.flatMap(\.bytes))
        let goAway = harness.frames().first { $0.type == Frame.Kind.goAway }
        #expect(goAway?.code == bad.code)
        #expect(!harness.session.wantsRead)
        #expect(harness.session.failure?.code.rawValue == bad.code)
    }

    @Test func aConnectionThatDoesNotBeginAsHTTP2IsRefused() {
        let harness = Harness(greets: false)
        #expect(!harness.send(raw: Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)))
        #expect(!harness.session.wantsRead)
        #expect(harness.frames().contains { $0.type == Frame.Kind.goAway && $0.code == 1 })
    }

    @Test func framesOfAStreamThatIsOverEndTheConnection() {
        for late in [Frame.data(1, [1]), .get(1)] {
            let harness = Harness()
            harness.onHead = { $0.answer() }
            harness.send(.get(1))
            _ = harness.frames()
            #expect(!harness.send(late))
            #expect(harness.frames().contains { $0.type == Frame.Kind.goAway && $0.code == 5 })
        }
    }

    @Test func lateFramesOfAStreamThatWeResetAreNoFault() {
        let harness = Harness()
        harness.send(.post(1))
        harness.announced[0].reset(.internalError)
        #expect(harness.frames() == [.reset(1, 2)])
        harness.send(.data(1, [1, 2, 3]), .headers(1, [("x-sum", "1")]), .windowUpdate(1, 5), .get(3))
        #expect(harness.announced.count == 2)
        #expect(harness.session.failure == nil && harness.frames().isEmpty)
    }

    @Test func bytesOneByOneMeanTheSame() {
        let harness = Harness()
        for byte in Frame.post(1).bytes + Frame.data(1, Array("slow".utf8), end: true).bytes { harness.send(raw: [byte]) }
        #expect(harness.announced.first?.received == Array("slow".utf8))
        #expect(harness.announced.first?.endedCleanly == true)
    }

    @Test func aGatewayMayEndTheConnection() {
        let harness = Harness()
        harness.onHead = { $0.session?.terminate(.http11Required) }
        harness.send(.get(1))
        #expect(harness.frames().contains { $0.type == Frame.Kind.goAway && $0.code == 13 })
        #expect(!harness.session.wantsRead)
    }

    @Test func closingInsideAnEventWaitsForItsEnd() {
        let harness = Harness()
        harness.onHead = { $0.session?.close() }
        harness.send(.get(1))
        #expect(harness.announced.first?.events == ["head", "end", "closed"])
        #expect(!harness.session.wantsRead)
    }
}
