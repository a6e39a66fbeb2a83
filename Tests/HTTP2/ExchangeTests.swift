import Buffers
import HTTP
import Testing

@testable import HTTP2

@Suite struct ExchangeTests {
    @Test func aRequestBecomesAHead() throws {
        let harness = Harness()
        harness.send(.get(1, [("accept", "*/*"), ("cookie", "a=1"), ("x-own", "é"), ("cookie", "b=2")], path: "/a/b?c=d&e"))
        let stream = try #require(harness.announced.first)
        #expect(stream.events == ["head", "end"])
        #expect(stream.head.method == .get && stream.head.version == .http2 && stream.head.scheme == .https)
        #expect(stream.head.text(stream.head.path) == "/a/b")
        #expect(stream.head.text(stream.head.query) == "c=d&e")
        #expect(stream.head.text(stream.head.authority) == "example.test")
        #expect(stream.field("Host") == "example.test")
        #expect(stream.field("cookie") == "a=1; b=2")
        #expect(stream.field("X-Own") == "é")
        #expect(stream.head.body == .none)
        #expect(stream.head.fields.count == 4)
    }

    @Test func aHostFieldAloneNamesTheAuthority() throws {
        let harness = Harness()
        harness.send(.headers(1, [(":method", "GET"), (":scheme", "https"), (":path", "/"), ("host", "h.test:81")]))
        let stream = try #require(harness.announced.first)
        #expect(stream.head.text(stream.head.authority) == "h.test:81")
    }

    @Test func aResponseIsWrittenInLowerCaseWithoutHopByHopFields() throws {
        let harness = Harness()
        harness.onHead = { $0.answer(Array("hello".utf8), fields: [
            ("Content-Type", "text/plain"), ("Connection", "close"), ("Keep-Alive", "5"), ("Transfer-Encoding", "chunked"),
            ("X-Odd-CASE", "V"),
        ]) }
        harness.send(.get(1))
        let frames = harness.frames()
        let head = harness.fields(frames[0]).map { "\($0.name): \($0.value)" }
        #expect(head == [":status: 200", "content-type: text/plain", "x-odd-case: V"])
        #expect(frames[1] == .data(1, Array("hello".utf8), end: true))
        #expect(harness.announced.first?.closedCode == .noError)
        #expect(harness.recycled == 1)
        #expect(harness.session.activeStreams == 0)
    }

    @Test func aResponseWithoutBodyIsOneFrame() {
        let harness = Harness()
        harness.onHead = { $0.answer() }
        harness.send(.get(1))
        let frames = harness.frames()
        #expect(frames.count == 1 && frames[0].ends)
    }

    @Test func interimResponsesComeBeforeTheFinalOne() throws {
        let harness = Harness()
        harness.onHead = { stream in
            var hints = Head()
            hints.status = 103
            hints.add(name: Span("Link"), value: Span("</a.css>"))
            stream.sendInterim(hints)
            stream.answer()
        }
        harness.send(.get(1))
        let frames = harness.frames()
        #expect(harness.fields(frames[0]).map(\.value) == ["103", "</a.css>"])
        #expect(!frames[0].ends && frames[1].ends)
    }

    @Test func streamsAreAnsweredInTheOrderOfTheirAnswersAndShareTheConnection() throws {
        let harness = Harness()
        harness.send(.windowUpdate(0, 1_000_000), .get(1, path: "/first"), .get(3, path: "/second"))
        #expect(harness.announced.count == 2)
        let body = pattern(40_000)
        harness.announced[1].answer(body)
        harness.announced[0].answer(body)
        #expect(harness.wanted == 1, "one request for output, however many frames")
        let data = harness.frames().filter { $0.type == Frame.Kind.data }
        for id in [UInt32(1), 3] { expectSame(data.filter { $0.stream == id }.flatMap(\.payload), body) }
        #expect(data.map(\.stream).prefix(3) != [3, 3, 3], "no stream has the connection for itself")
    }

    @Test func trailersTravelBothWays() throws {
        let harness = Harness()
        harness.onEnd = { stream in
            stream.answer(Array("body".utf8), finish: false)
            var trailers = Head()
            trailers.add(name: Span("Grpc-Status"), value: Span("0"))
            stream.finish(trailers: trailers)
        }
        harness.send(.post(1), .data(1, Array("question".utf8)), .headers(1, [("x-sum", "42")]))
        let stream = try #require(harness.announced.first)
        #expect(stream.received == Array("question".utf8))
        #expect(stream.trailerFields.map { "\($0.0)=\($0.1)" } == ["x-sum=42"])
        let frames = harness.frames().filter { $0.type != Frame.Kind.windowUpdate }
        #expect(frames.count == 3)
        #expect(frames[1] == .data(1, Array("body".utf8)))
        #expect(harness.fields(frames[2]).map { "\($0.name)=\($0.value)" } == ["grpc-status=0"])
        #expect(frames[2].ends)
    }

    @Test func anAnswerBeforeTheEndOfTheRequestAsksForNoMore() throws {
        let harness = Harness()
        harness.onHead = { stream in
            stream.answer(Array("no".utf8))
            // The session knows when the answer is out; saying it too early must not cut the answer.
            stream.reset(.noError)
        }
        harness.send(.post(1))
        let frames = harness.frames()
        #expect(frames[1].ends)
        #expect(frames[2] == .reset(1, 0))
        #expect(harness.announced.first?.closedCode == .noError)
    }

    @Test func aResetByTheClientIsHeardOnceAndNothingIsSentAfter() throws {
        let harness = Harness()
        harness.endsWork = false
        harness.send(.get(1))
        harness.send(.reset(1))
        let stream = try #require(harness.announced.first)
        #expect(stream.events == ["head", "end", "closed"])
        #expect(stream.closedCode == .cancel)
        stream.answer(Array("late".utf8))
        #expect(harness.frames().isEmpty)
        #expect(harness.session.activeStreams == 1)
        stream.workEnded()
        stream.workEnded()
        #expect(harness.session.activeStreams == 0 && harness.recycled == 1)
    }

    @Test func aResetByUsDropsWhatWasQueued() throws {
        let harness = Harness()
        harness.send(.get(1))
        harness.announced[0].answer(pattern(100_000))
        harness.announced[0].reset(.internalError)
        #expect(harness.frames().contains(.reset(1, 2)))
        harness.releaseBuffers()
        #expect(harness.pool.slabs.live == 0)
    }

    @Test func closingTellsEveryStreamAndGivesAllSlabsBack() throws {
        let harness = Harness()
        harness.consumes = false
        harness.send(.post(1), .data(1, pattern(5000)), .get(3))
        harness.announced[1].answer(pattern(50_000), finish: false)
        harness.session.close()
        #expect(harness.announced.allSatisfy { $0.closedCode == .cancel })
        #expect(harness.recycled == 2)
        #expect(!harness.session.wantsRead && !harness.session.wantsWrite)
        harness.releaseBuffers()
        #expect(harness.pool.slabs.live == 0)
    }

    @Test func shutdownServesWhatIsOnItsWayAndThenRefuses() throws {
        let harness = Harness()
        harness.send(.get(1))
        harness.session.beginShutdown()
        let frames = harness.frames()
        let notice = try #require(frames.first)
        #expect(notice.type == Frame.Kind.goAway && notice.number(0) == 0x7fff_ffff && notice.code == 0)
        #expect(frames.dropFirst().map(\.type) == [Frame.Kind.ping], "its answer tells that the notice has arrived")
        harness.send(.get(3))
        #expect(harness.announced.count == 2)
        harness.session.finishShutdown()
        #expect(harness.frames().first?.number(0) == 3)
        harness.send(.get(5))
        #expect(harness.announced.count == 2)
        #expect(harness.session.wantsRead)
        for stream in harness.announced { stream.answer() }
        #expect(harness.frames().count == 2)
        #expect(!harness.session.wantsRead)
    }

    @Test func theAnswerToThePingBehindTheNoticeEndsTheConnection() {
        let harness = Harness()
        harness.session.beginShutdown()
        _ = harness.frames()
        harness.send(.get(1), Frame(type: Frame.Kind.ping, flags: 1, stream: 0, payload: [0, 0, 0, 0, 0, 0, 0, 0]))
        #expect(harness.frames().contains { $0.type == Frame.Kind.goAway && $0.number(0) == 1 && $0.code == 0 })
        harness.send(.get(3))
        #expect(harness.announced.count == 1)
    }

    @Test func anIdleConnectionStaysOpenBetweenNoticeAndEnd() {
        let harness = Harness()
        harness.session.beginShutdown()
        _ = harness.frames()
        #expect(harness.session.wantsRead)
        harness.session.finishShutdown()
        _ = harness.frames()
        #expect(!harness.session.wantsRead)
    }

    @Test func theLastAllowedRequestEndsTheConnection() {
        let harness = Harness { $0.requestsPerConnection = 2 }
        harness.onHead = { $0.answer() }
        harness.send(.get(1))
        #expect(!harness.frames().contains { $0.type == Frame.Kind.goAway })
        harness.send(.get(3))
        #expect(harness.frames().contains { $0.type == Frame.Kind.goAway && $0.number(0) == 3 })
        #expect(!harness.session.wantsRead)
    }

    @Test func streamObjectsAreReadyForTheNextRequest() {
        let harness = Harness()
        harness.onHead = { $0.answer() }
        harness.send(.get(1, [("cookie", "a=1")], path: "/x?y"))
        let stream = harness.announced[0]
        _ = harness.frames()
        #expect(stream.id == 0 && stream.head.fields.isEmpty && !stream.head.hasQuery && stream.session == nil)
    }
}
