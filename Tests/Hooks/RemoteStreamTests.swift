import Buffers
import HTTP
import Testing

@testable import Hooks

/// Bodies that flow between a worker and a cordon.
struct RemoteStreamTests {
    private static let upper = """
        export default { onRequest(request) {
          return new Response(request.body.pipeThrough(new TransformStream({ transform(chunk, out) {
            out.enqueue(new TextEncoder().encode(new TextDecoder().decode(chunk).toUpperCase())); } })));
        } };
        """

    /// Lets the hook make all that there is room for, again and again.
    private func drain(_ pair: RemotePair, _ side: HookSide = .response) throws -> String {
        for _ in 0..<10_000 where !pair.call.done.contains(side) && pair.call.broken.isEmpty {
            let before = pair.call.outputSteps.count
            pair.call.bodyRoom(side)
            try pair.move()
            if pair.call.outputSteps.count == before, !pair.call.done.contains(side) { break }
        }
        return pair.call.output[side] ?? ""
    }

    @Test func aBodyFlowsThroughBothWaysAndTheCallEnds() throws {
        let pair = try RemotePair(Self.upper)
        pair.exchange.request.body = .unknown
        pair.call.chunks = ["ab", "c", "def"]
        try pair.start()
        #expect(line(pair.call.outcomes.first) == "respond stream" && pair.call.isStreaming && !pair.call.isIdle)
        #expect(try drain(pair) == "ABCDEF")
        #expect(pair.call.done == [.response] && pair.call.releases == 1)
        #expect(pair.call.isIdle && pair.worker.callsUnderWay == 0)
    }

    @Test func neitherSideGetsMoreThanItAskedFor() throws {
        let pair = try RemotePair(Self.upper) { $0.cpuMicroseconds = 5_000_000 }
        pair.exchange.request.body = .unknown
        let chunk = String(repeating: "a", count: 10_000)
        try pair.start()
        var given = 0
        // The worker gives whatever is taken, the client takes nothing: it comes to a halt.
        for _ in 0..<1_000 {
            pair.call.bodyRoom(.response)
            try pair.move()
            while pair.call.takesMore(.request) {
                pair.call.give(.request, chunk)
                given += chunk.utf8.count
            }
            try pair.move()
            if given > 1_000_000 { break }
        }
        #expect(given > 1_000_000, "it flows as long as there is room")
        try pair.move()
        let made = pair.call.outputSteps.reduce(0, +)
        while pair.call.takesMore(.request) { pair.call.give(.request, chunk) }
        try pair.move()
        let more = pair.call.outputSteps.reduce(0, +) - made
        #expect(more <= HookCall.outputStep + chunk.utf8.count, "without room it stops: \(more)")
        #expect(pair.call.outputSteps.allSatisfy { $0 <= HookCall.outputStep + 10_000 })
    }

    @Test func anOriginAndAClientAreServedByOneCall() throws {
        let pair = try RemotePair("""
            export default { async fetch(request) {
              const mark = (c) => new TransformStream({ flush(out) { out.enqueue(new TextEncoder().encode(c)); } });
              const response = await fetch(new Request(request, { body: request.body.pipeThrough(mark("1")) }));
              return new Response(response.body.pipeThrough(mark("2")), response);
            } }
            """)
        pair.exchange.request.setMethod(Span("POST"))
        pair.exchange.request.body = .unknown
        pair.call.chunks = ["to", "origin"]
        try pair.start()
        #expect(pair.call.sent == [.stream(length: nil)])
        #expect(try drain(pair, .request) == "toorigin1")
        pair.call.chunks = ["from"]
        pair.exchange.response.status = 200
        pair.exchange.response.body = .unknown
        pair.call.originArrived()
        try pair.move()
        #expect(line(pair.call.outcomes.first) == "respond stream")
        #expect(try drain(pair) == "from2")
        #expect(pair.call.isIdle)
    }

    @Test func aThrowBreaksTheBodyWithItsPlace() throws {
        let pair = try RemotePair("""
            export default { onRequest(request) {
              return new Response(request.body.pipeThrough(new TransformStream({
                transform() {
                  throw new RangeError("no");
                } })));
            } }
            """)
        pair.exchange.request.body = .unknown
        pair.call.chunks = ["x"]
        try pair.start()
        _ = try drain(pair)
        let failure = try #require(pair.call.broken.first)
        #expect(failure.kind == .error && failure.file == "f.js" && failure.line == 4 && failure.rule == "rule")
        #expect(pair.call.releases == 1 && pair.call.isIdle)
    }

    @Test func aLostCordonBreaksBodiesAndCallsThatCanBeginAnewDo() throws {
        let pair = try RemotePair(Self.upper)
        pair.exchange.request.body = .unknown
        pair.call.chunks = ["a"]
        try pair.start()
        pair.call.bodyRoom(.response)
        _ = pair.worker.disconnect(running: 0) { pair.worker.failure(.unavailable, $0, "lost") }
        #expect(pair.call.broken.map(\.message) == ["lost"] && pair.call.releases == 1 && pair.call.isIdle)
    }

    @Test(arguments: [true, false])
    func whatWasReadOfABodyIsReadAgainOrTheCallFails(_ canRewind: Bool) throws {
        final class Rewound: FakeCall {
            var answer = true, rewinds = 0
            override func rewind() -> Bool {
                rewinds += 1
                return answer
            }
        }
        let call = Rewound()
        call.answer = canRewind
        let pair = try RemotePair("""
            export default { async onRequest(request) {
              const text = await request.text();
              await new Promise((resolve) => setTimeout(resolve, 5));
              return new Response(text);
            } };
            """, call: call)
        pair.exchange.request.body = .known(3)
        call.body = "abc"
        try pair.start()
        _ = pair.worker.disconnect(running: 0) { pair.worker.failure(.unavailable, $0, "lost") }
        #expect(call.rewinds == 1)
        guard canRewind else {
            guard case .failed? = call.outcomes.first else { Issue.record("\(call.outcomes)"); return }
            return
        }
        pair.cordon = RemotePair.Cordon()
        pair.worker.connect()
        try pair.move()
        pair.cordon.clock += 10_000_000
        pair.cordon.fireTimers(pair.cordon.clock)
        try pair.move()
        #expect(line(call.outcomes.first) == "respond abc")
        #expect(call.bodiesWanted.count == 2)
    }

    // MARK: A hostile cordon

    private func streaming(length: UInt64 = .max) throws -> RemotePair {
        let pair = try RemotePair("export default { onRequest() { return new Promise(() => {}); } };")
        try pair.start()
        try pair.worker.receive(RemotePair.reply(.finished, pair.call.numberElsewhere) { wire in
            wire.byte(RemoteOutcome.respond.rawValue)
            wire.flag(true)
            wire.number(1)
            wire.array([])
            wire.number32(0)
            wire.array([])
            wire.byte(4)
            wire.number32(200)
            wire.string("")
            wire.byte(6)
            wire.byte(3)
            wire.number(length)
            wire.byte(0)
        }.span)
        #expect(pair.call.isStreaming)
        return pair
    }

    private func made(_ pair: RemotePair, _ count: Int) -> [UInt8] {
        RemotePair.reply(.bodyMade, pair.call.numberElsewhere) { wire in
            wire.byte(1)
            wire.array(Array(repeating: 65, count: count))
        }
    }

    @Test func bytesBeyondTheRoomAreABreach() throws {
        let pair = try streaming()
        #expect(throws: WireError.self) { try pair.worker.receive(made(pair, 1).span) }
        pair.call.bodyRoom(.response)
        try pair.worker.receive(made(pair, HookCall.outputStep).span)
        #expect(throws: WireError.self) { try pair.worker.receive(made(pair, 1).span) }
    }

    @Test func aBodyIsAsLongAsAnnounced() throws {
        let pair = try streaming(length: 10)
        pair.call.bodyRoom(.response)
        #expect(throws: WireError.self) { try pair.worker.receive(made(pair, 11).span) }
        try pair.worker.receive(made(pair, 9).span)
        let done = RemotePair.reply(.bodyDone, pair.call.numberElsewhere) { $0.byte(1) }
        #expect(throws: WireError.self) { try pair.worker.receive(done.span) }
        try pair.worker.receive(made(pair, 1).span)
        try pair.worker.receive(done.span)
        #expect(pair.call.done == [.response])
    }

    @Test func whoAsksForMoreThanItCanTakeIsCut() throws {
        let pair = try streaming()
        let pull = RemotePair.reply(.pullBody, pair.call.numberElsewhere) { $0.byte(0) }
        try pair.worker.receive(pull.span)
        try pair.worker.receive(pull.span)
        #expect(throws: WireError.self) { try pair.worker.receive(pull.span) }
    }
}
