import Buffers
import HTTP
import Testing

@testable import HTTP2

/// A request that remembers what came back.
private final class Request: HTTP2OriginStream {
    var events: [String] = []
    var received: [UInt8] = []
    var trailerFields: [String] = []
    var consumes = true

    override func interim() { events.append("interim \(head.status)") }
    override func headComplete(endOfStream: Bool) { events.append("head \(head.status)") }
    override func dataArrived(_ slice: consuming Slice) {
        received += slice.bytes.array()
        if consumes { consumed(slice.count) }
    }
    override func endOfRequest(trailers: borrowing Head) {
        events.append("end")
        for field in trailers.fields { trailerFields.append(trailers.text(field.name)) }
    }
    override func requestSent() { events.append("sent") }
    override func closed(_ code: HTTP2ErrorCode) { events.append("closed \(code.rawValue)") }
}

/// The client's end over an origin made of raw frames.
private final class Line {
    let pool = SlabPool()
    let session: HTTP2OriginSession
    private var input: ReadBuffer
    private var output: OutputBuffer
    private let headers = HeaderBlockReader()

    init(settings: [(UInt16, UInt32)]? = [], _ change: (inout HTTP2Limits) -> Void = { _ in }) {
        var limits = HTTP2Limits()
        change(&limits)
        session = HTTP2OriginSession(pool: pool, limits: limits)
        input = ReadBuffer(pool: pool)
        output = OutputBuffer(pool: pool)
        guard let settings else { return }
        _ = frames()
        send(Frame.settings(settings), Frame(type: Frame.Kind.settings, flags: 1, stream: 0))
    }

    deinit { session.close() }

    @discardableResult
    func send(_ frames: Frame...) -> Bool {
        let bytes = frames.flatMap(\.bytes)
        var at = 0
        while at < bytes.count {
            // SAFETY: at most the free room is copied.
            unsafe input.withFreeSpace { free in
                let count = min(free.count, bytes.count - at)
                unsafe free.copyBytes(from: bytes[at..<(at + count)])
                at += count
                return count
            }
            if case .failed = session.receive(&input, now: 1) { return false }
        }
        return true
    }

    func frames() -> [Frame] {
        var bytes: [UInt8] = []
        while session.wantsWrite {
            session.writeOutput(&output)
            if output.isEmpty { break }
            while let slice = output.popFirst() { bytes += slice.bytes.array() }
            output.dropFirst(0)
        }
        if bytes.starts(with: preface) { bytes.removeFirst(preface.count) }
        return Frame.parse(bytes)
    }

    func fields(_ frame: Frame) -> [String] { (headers.decode(frame.payload) ?? []).map { "\($0.name)=\($0.value)" } }

    func open(_ request: Request, _ method: String = "GET", body: BodyLength = .none, ends: Bool = true, _ fields: [(String, String)] = []) -> Bool {
        var head = Head()
        head.setMethod(Array(method.utf8).span)
        head.setPath(Array("/a".utf8).span)
        head.setQuery(Array("b=c".utf8).span)
        head.authority = head.arena.append("origin.test")
        head.body = body
        for (name, value) in fields { head.add(name: Array(name.utf8).span, value: Array(value.utf8).span) }
        return session.open(request, head, secure: false, endOfStream: ends)
    }
}

private let ok = [(":status", "200")]

/// What the gateway says to HTTP/2 origins and hears from them.
@Suite struct OriginSessionTests {
    @Test func aRequestIsWrittenWithoutWhatBelongsToOneConnection() throws {
        let line = Line()
        let request = Request()
        #expect(line.open(request, "POST", body: .known(5), ends: false, [
            ("Host", "x"), ("Connection", "close"), ("Keep-Alive", "1"), ("Transfer-Encoding", "chunked"), ("Expect", "100-continue"),
            ("Content-Length", "99"), ("TE", "gzip, trailers"), ("X-Kept", "1"),
        ]))
        let head = try #require(line.frames().first { $0.type == Frame.Kind.headers })
        #expect(line.fields(head) == [
            ":method=POST", ":scheme=http", ":authority=origin.test", ":path=/a?b=c", "x-kept=1", "content-length=5", "te=trailers",
        ])
        #expect(!head.ends)
    }

    @Test func aResponseArrivesWithInterimBodyAndTrailers() {
        let line = Line()
        let request = Request()
        _ = line.open(request)
        _ = line.frames()
        line.send(
            .headers(1, [(":status", "103"), ("link", "a")], end: false), .headers(1, ok + [("content-length", "5")], end: false),
            .data(1, Array("hello".utf8)), .headers(1, [("x-sum", "1")]))
        #expect(request.events == ["sent", "interim 103", "head 200", "end", "closed 0"])
        #expect(request.received == Array("hello".utf8))
        #expect(request.trailerFields == ["x-sum"])
        #expect(line.session.activeStreams == 0)
    }

    @Test func aBodyGoesOutAsTheOriginsWindowOpens() {
        let line = Line()
        let request = Request()
        _ = line.open(request, "POST", body: .unknown, ends: false)
        let body = pattern(100_000)
        var chain = Chain()
        chain.append(copying: body.span, from: line.pool)
        request.appendBody(&chain)
        request.finish()
        var sent = line.frames().filter { $0.type == Frame.Kind.data }.flatMap(\.payload)
        #expect(sent.count == 65_535)
        #expect(!request.events.contains("sent"))
        line.send(.windowUpdate(1, 50_000), .windowUpdate(0, 50_000))
        sent += line.frames().filter { $0.type == Frame.Kind.data }.flatMap(\.payload)
        expectSame(sent, body)
        #expect(request.events == ["sent"])
    }

    @Test func theWindowOpensOnlyByWhatWentOn() {
        let line = Line { $0.streamWindow = 65_536 }
        let request = Request()
        request.consumes = false
        _ = line.open(request)
        _ = line.frames()
        line.send(.headers(1, ok, end: false))
        for _ in 0..<4 { line.send(.data(1, pattern(16_384))) }
        #expect(!line.frames().contains { $0.type == Frame.Kind.windowUpdate && $0.stream == 1 })
        request.consumed(65_536)
        #expect(line.frames().contains { $0.type == Frame.Kind.windowUpdate && $0.stream == 1 })
    }

    @Test func beforeItsSettingsAnOriginGetsOneRequest() {
        let line = Line(settings: nil)
        #expect(line.open(Request()))
        #expect(!line.open(Request()))
        line.send(.settings([(3, 2)]))
        #expect(line.open(Request()))
        #expect(!line.open(Request()), "the origin allows two")
    }

    @Test func aGoAwayRefusesWhatIsAboveItsLastStream() {
        let line = Line()
        let requests = [Request(), Request()]
        for request in requests { _ = line.open(request) }
        _ = line.frames()
        line.send(Frame(type: Frame.Kind.goAway, stream: 0, payload: big(1) + big(0)))
        #expect(requests[1].events == ["sent", "closed 7"])
        #expect(!line.open(Request()))
        line.send(.headers(1, ok))
        #expect(requests[0].events == ["sent", "head 200", "end", "closed 0"])
    }

    @Test func aRequestThatWasNotSentWhenAGoAwayCameIsRefused() {
        let line = Line()
        let request = Request()
        _ = line.open(request)
        line.send(Frame(type: Frame.Kind.goAway, stream: 0, payload: big(0) + big(0)))
        _ = line.frames()
        #expect(request.events == ["closed 7"])
    }

    @Test func aPushIsAConnectionError() {
        let line = Line()
        _ = line.open(Request())
        _ = line.frames()
        let push = Frame(type: Frame.Kind.pushPromise, flags: 4, stream: 1, payload: big(2) + Frame.block(Frame.request([], method: "GET", path: "/")))
        #expect(!line.send(push) || line.session.failure != nil || line.frames().contains { $0.type == Frame.Kind.goAway })
    }

    @Test(arguments: [
        [], [(":status", "101")], [(":status", "20")], [(":status", "600")], ok + [("content-length", "x")],
        ok + Array(repeating: ("x-a", "b"), count: 200), ok + [("x-a", String(repeating: "b", count: 10_000))],
    ])
    func malformedHeadsAreResetAndNotHeard(_ fields: [(String, String)]) {
        let line = Line()
        let request = Request()
        _ = line.open(request)
        _ = line.frames()
        line.send(.headers(1, fields))
        #expect(line.frames().contains { $0.type == Frame.Kind.reset && $0.stream == 1 })
        #expect(!request.events.contains { $0.hasPrefix("head") })
        #expect(request.events.last?.hasPrefix("closed") == true)
    }

    @Test func everythingIsGivenBackWhenTheConnectionEnds() {
        let line = Line()
        let request = Request()
        request.consumes = false
        _ = line.open(request, "POST", body: .unknown, ends: false)
        _ = line.frames()
        line.send(.headers(1, ok, end: false), .data(1, pattern(1000)))
        line.session.close()
        #expect(request.events == ["head 200", "closed 8"])
    }
}
