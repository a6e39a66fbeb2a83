import Buffers
import HTTP
import Testing

@testable import HTTP2

/// Each flood is a count of frames after which the connection must have ended with ENHANCE_YOUR_CALM.
@Suite struct FloodTests {
    private let calm: UInt32 = 11

    @Test func rapidResetEndsAtItsBudget() {
        let harness = Harness()
        let sent = harness.flood(1000) { [.get(UInt32(2 * $0 + 1)), .reset(UInt32(2 * $0 + 1))] }
        #expect(sent == 201)
        #expect(harness.goAway == calm)
        harness.session.close()
        #expect(harness.session.activeStreams == 0)
    }

    @Test func resetsProvokedByWindowOverflowEndAtTheSameBudget() {
        let harness = Harness()
        let sent = harness.flood(1000) {
            let id = UInt32(2 * $0 + 1)
            return [.get(id, end: false), .windowUpdate(id, 0x7fff_ffff)]
        }
        #expect(sent == 201)
        #expect(harness.goAway == calm)
    }

    @Test func resetsProvokedByMalformedHeadsEndAtTheSameBudget() {
        let harness = Harness()
        let sent = harness.flood(1000) { [.get(UInt32(2 * $0 + 1), [("connection", "close")])] }
        #expect(sent == 201)
        #expect(harness.goAway == calm)
        #expect(harness.announced.isEmpty)
    }

    @Test func resetsProvokedByWrongLengthsEndAtTheSameBudget() {
        let harness = Harness()
        let sent = harness.flood(1000) {
            let id = UInt32(2 * $0 + 1)
            return [.post(id, [("content-length", "9")]), .data(id, [1], end: true)]
        }
        #expect(sent.map { $0 <= 201 } == true)
        #expect(harness.goAway == calm)
    }

    @Test func anOrdinaryRateOfResetsIsFine() {
        let harness = Harness()
        let sent = harness.flood(600) { turn in
            harness.now += 300
            return [.get(UInt32(2 * turn + 1)), .reset(UInt32(2 * turn + 1))]
        }
        #expect(sent == nil)
    }

    @Test(arguments: [Frame.Kind.ping, Frame.Kind.settings, Frame.Kind.priority, Frame.Kind.windowUpdate, 200])
    func controlFramesEndAtTheirBurst(kind: UInt8) {
        let harness = Harness()
        harness.onHead = { $0.answer() }
        let sent = harness.flood(5000) { _ in
            switch kind {
            case Frame.Kind.ping: [.ping()]
            case Frame.Kind.settings: [.settings()]
            case Frame.Kind.priority: [Frame(type: kind, stream: 5, payload: big(3) + [9])]
            case Frame.Kind.windowUpdate: [.windowUpdate(0, 1)]
            default: [Frame(type: kind, stream: 0)]
            }
        }
        // PRIORITY costs five times as much: it says nothing that anybody needs.
        let most = kind == Frame.Kind.priority ? 201 : 1005
        #expect(sent.map { $0 > most * 9 / 10 && $0 <= most } == true, "\(sent ?? -1)")
        #expect(harness.goAway == calm)
    }

    @Test func aPingEveryFewMillisecondsIsFineForDownloads() {
        let harness = Harness()
        harness.send(.get(1))
        let sent = harness.flood(3000) { _ in
            harness.now += 31
            return [.ping()]
        }
        #expect(sent == nil)
    }

    @Test func windowUpdatesForWhatWasSentAreNeverAFlood() {
        let harness = Harness()
        let piece = pattern(50_000)
        harness.send(.get(1))
        harness.onNeedsBody = { $0.give(piece) }
        harness.announced[0].answer(piece, finish: false)
        let sent = harness.flood(1200) { _ in [.windowUpdate(0, 20_000), .windowUpdate(1, 20_000)] }
        #expect(sent == nil)
    }

    @Test func emptyDataEndsAfterTenInARow() {
        let harness = Harness()
        harness.send(.post(1))
        let sent = harness.flood(100) { _ in [.data(1, [])] }
        #expect(sent == 11)
        #expect(harness.goAway == calm)
    }

    @Test func continuationsEndAtEight() {
        let harness = Harness()
        harness.send(Frame(type: Frame.Kind.headers, stream: 1, payload: Frame.block(Frame.request([], path: "/"))))
        let sent = harness.flood(100) { _ in [Frame(type: Frame.Kind.continuation, stream: 1)] }
        #expect(sent.map { $0 <= 9 } == true)
        #expect(harness.goAway == calm)
    }

    @Test func answersToAClientThatDoesNotReadAreBounded() {
        let harness = Harness { $0.controlBurst = 1_000_000 }
        var frames = 0
        while frames < 3000, harness.send(.ping()) { frames += 1 }
        #expect(frames <= 1001)
        #expect(harness.session.failure?.code == .enhanceYourCalm)
    }

    @Test func aResetStreamCountsUntilItsWorkHasEnded() {
        let harness = Harness { $0.glitches = 1_000 }
        harness.endsWork = false
        for turn in 0..<150 {
            harness.send(.get(UInt32(2 * turn + 1)), .reset(UInt32(2 * turn + 1)))
        }
        #expect(harness.announced.count == 100)
        #expect(harness.session.activeStreams == 100)
        harness.announced[0].workEnded()
        harness.send(.get(1001))
        #expect(harness.announced.count == 101)
        harness.session.close()
        for stream in harness.announced { stream.workEnded() }
        #expect(harness.session.activeStreams == 0)
    }

    @Test func moreStreamsThanAnnouncedAreNotServed() {
        let harness = Harness()
        for turn in 0..<120 { harness.send(.get(UInt32(2 * turn + 1))) }
        #expect(harness.announced.count == 100)
    }

    @Test func aFloodInOneReadStopsAtItsBudgetToo() {
        let harness = Harness()
        var bytes: [UInt8] = []
        for turn in 0..<1000 { bytes += Frame.get(UInt32(2 * turn + 1)).bytes + Frame.reset(UInt32(2 * turn + 1)).bytes }
        #expect(!harness.send(raw: bytes))
        #expect(harness.announced.count <= 201)
        #expect(harness.frames().contains { $0.type == Frame.Kind.goAway && $0.code == calm })
    }
}
