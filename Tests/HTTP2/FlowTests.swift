import Buffers
import HTTP
import Testing

@testable import HTTP2

@Suite struct FlowTests {
    /// DATA frames of at most 16 KiB.
    private func upload(_ stream: UInt32, _ bytes: [UInt8], piece: Int = 16_384) -> [UInt8] {
        stride(from: 0, to: bytes.count, by: piece).flatMap { at in
            let end = min(at + piece, bytes.count)
            return Frame.data(stream, Array(bytes[at..<end]), end: end == bytes.count).bytes
        }
    }

    @Test func bodyBytesAreHandedOnWithoutACopy() throws {
        let harness = Harness()
        let sent = pattern(60_000)
        harness.send(raw: Frame.post(1).bytes + upload(1, sent))
        expectSame(harness.announced[0].received, sent)
        #expect(harness.announced[0].endedCleanly)
        #expect(harness.pool.copied.body == 0)
        let before = harness.pool.copied
        harness.announced[0].answer(sent)
        let frames = harness.frames().filter { $0.type == Frame.Kind.data }
        expectSame(frames.flatMap(\.payload), sent)
        #expect(harness.pool.copied.body == 0)
        #expect(harness.pool.copied.head - before.head < 400, "frame heads and one response head")
    }

    @Test func theClientsWindowStaysShutUntilItsBytesWentOn() throws {
        let harness = Harness()
        harness.consumes = false
        harness.send(raw: Frame.post(1).bytes + upload(1, pattern(60_000)))
        #expect(!harness.frames().contains { $0.type == Frame.Kind.windowUpdate })
        harness.announced[0].consumed(60_000)
        #expect(harness.frames().contains { $0.type == Frame.Kind.windowUpdate && $0.stream == 0 } == false)
        harness.send(.post(3))
        harness.announced[1].consumed(5)
        #expect(harness.frames().isEmpty, "nothing arrived on that stream")
    }

    @Test func aStreamsWindowOpensByWhatWentOn() throws {
        let harness = Harness()
        harness.consumes = false
        harness.send(raw: Frame.post(1).bytes + Array(upload(1, pattern(65_536)).prefix(16_393 * 3)))
        harness.announced[0].consumed(40_000)
        let updates = harness.frames().filter { $0.type == Frame.Kind.windowUpdate && $0.stream == 1 }
        #expect(updates.map { $0.number(0) } == [40_000])
    }

    @Test func moreThanTheWindowIsAFault() {
        let harness = Harness()
        harness.consumes = false
        harness.send(raw: Frame.post(1).bytes + upload(1, pattern(70_000)))
        #expect(harness.frames().contains { $0.type == Frame.Kind.goAway && $0.code == 3 || $0 == .reset(1, 3) })
    }

    @Test func theConnectionsWindowComesBackFromStreamsThatEndedEarly() {
        let harness = Harness { $0.connectionWindow = 131_072 }
        harness.consumes = false
        var total = 0
        for turn in 0..<10 {
            let id = UInt32(2 * turn + 1)
            harness.send(raw: Frame.post(id).bytes + Array(upload(id, pattern(49_152)).prefix(16_393 * 2)))
            #expect(harness.announced.last?.received.count == 32_768)
            harness.send(.reset(id))
            for frame in harness.frames() where frame.type == Frame.Kind.windowUpdate && frame.stream == 0 {
                total += Int(frame.number(0))
            }
        }
        #expect(total >= 10 * 32_768 - 65_536)
    }

    @Test func sendingStopsAtTheClientsWindowAndGoesOnWhenItOpens() throws {
        let harness = Harness()
        let body = pattern(200_000)
        harness.send(.get(1))
        harness.announced[0].answer(body)
        var received = harness.frames().filter { $0.type == Frame.Kind.data }.flatMap(\.payload)
        #expect(received.count == 65_535)
        #expect(!harness.session.wantsWrite)
        harness.send(.windowUpdate(0, 1_000_000), .windowUpdate(1, 10))
        received += harness.frames().filter { $0.type == Frame.Kind.data }.flatMap(\.payload)
        #expect(received.count == 65_545)
        harness.send(.windowUpdate(1, 1_000_000))
        let rest = harness.frames().filter { $0.type == Frame.Kind.data }
        received += rest.flatMap(\.payload)
        expectSame(received, body)
        #expect(rest.last?.ends == true)
    }

    @Test func outputStopsWhenItHoldsEnough() throws {
        let harness = Harness { $0.outputBytes = 65_536 }
        harness.send(.windowUpdate(0, 10_000_000), .settings([(4, 10_000_000)]), .get(1))
        harness.announced[0].answer(pattern(1_000_000))
        let written = harness.writeOnce()
        #expect(written >= 65_536 && written < 65_536 + 2 * 16_400)
        #expect(harness.session.wantsWrite)
    }

    @Test func aStreamIsAskedForMoreWhileItSends() throws {
        let harness = Harness { $0.lowWater = 20_000 }
        let pieces = 30
        var given = 0
        harness.onNeedsBody = { stream in
            guard given < pieces else { return stream.finish() }
            given += 1
            stream.give(pattern(16_384))
        }
        harness.send(.windowUpdate(0, 10_000_000), .settings([(4, 10_000_000)]), .get(1))
        harness.announced[0].answer(finish: false)
        let frames = harness.frames().filter { $0.type == Frame.Kind.data }
        #expect(frames.flatMap(\.payload).count == pieces * 16_384)
        #expect(frames.last?.ends == true)
        #expect(harness.announced[0].closedCode == .noError)
    }

    @Test func aLateBodyWakesTheStream() throws {
        let harness = Harness()
        harness.send(.get(1))
        harness.announced[0].answer(finish: false)
        #expect(harness.frames().count == 1)
        #expect(harness.announced[0].needs == 1)
        let before = harness.wanted
        harness.announced[0].give(Array("later".utf8))
        harness.announced[0].finish()
        #expect(harness.wanted == before + 1)
        #expect(harness.frames() == [.data(1, Array("later".utf8), end: true)])
    }

    @Test func manySmallPiecesOfASlowReaderDoNotHoldASlabEach() throws {
        let harness = Harness()
        harness.consumes = false
        harness.keepsBody = true
        var sent: [UInt8] = []
        harness.send(.post(1), .data(1, pattern(9000)))
        sent += pattern(9000)
        // Each read brings one byte of body and 8 KiB of something else.
        for turn in 0..<200 {
            harness.send(.data(1, [UInt8(turn)]), Frame(type: 200, stream: 0, payload: Array(repeating: 0, count: 8192)))
            sent.append(UInt8(turn))
        }
        expectSame(harness.announced[0].received, sent)
        #expect(harness.pool.slabs.live <= 5)
        #expect(harness.pool.copied.body == 200)
    }
}
