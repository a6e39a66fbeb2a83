import Buffers
import HTTP
import Testing

@testable import Hooks

/// Sub-requests whose bodies flow, in the worker's process and in a cordon.
@Suite struct AnswerTests {
    enum Lane: CaseIterable { case inline, cordon }

    /// A call in either lane.
    final class Place {
        private var bench: Bench?
        private var pair: RemotePair?
        let call: FakeCall
        private let pool = SlabPool()

        init(_ lane: Lane, _ body: String, limits: (inout HookLimits) -> Void = { $0.cpuMicroseconds = 5_000_000 }) throws {
            let code = "export default { async onRequest(request, env, ctx) { \(body) } }"
            if lane == .inline {
                let bench = try Bench(code, upstreams: ["up"], limits: limits)
                call = bench.call
                self.bench = bench
                bench.run()
            } else {
                let pair = try RemotePair(code, upstreams: ["up"], limits: limits)
                call = pair.call
                self.pair = pair
                pair.exchange.request.setMethod(Span("POST"))
                pair.exchange.request.body = .known(8)
                try pair.start()
            }
        }

        func settle() throws { try pair?.move() }
        var id: Int32 { call.subrequests.last?.id ?? 0 }
        var result: String { line(call.outcomes.first) }
        var isOver: Bool { call.isIdle && call.openSubrequests.isEmpty && call.asks.isEmpty && call.flowing.isEmpty && call.streams.parts == 0 }

        func answer(_ status: Int = 200) throws {
            var head = Head()
            head.status = status
            call.subrequestAnswered(id, head)
            try settle()
        }

        /// The hook has to have asked for it.
        func give(_ text: String, _ id: Int32? = nil) throws {
            let id = id ?? self.id
            #expect(call.parts.first == id, "nothing is given that was not asked for")
            if !call.parts.isEmpty { call.parts.removeFirst() }
            var chain = Chain()
            chain.append(copying: Array(text.utf8).span, from: pool)
            if let slice = chain.popFirst() { call.answerChunk(id, slice) }
            try settle()
        }

        func end() throws {
            #expect(call.parts == [id])
            call.parts.removeAll()
            call.answerEnded(id)
            try settle()
        }

        func room() throws {
            call.askRoom(id)
            try settle()
        }
    }

    @Test(arguments: Lane.allCases)
    func theHeadComesBeforeTheBodyAndChunksAsTheyAreAskedFor(_ lane: Lane) throws {
        let place = try Place(lane, """
            const answer = await env.up.fetch("/");
            ctx.state.status = answer.status;
            const reader = answer.body.getReader(), found = [];
            for (;;) { const { done, value } = await reader.read(); if (done) break; found.push(new TextDecoder().decode(value)); }
            return new Response(found.join("|"));
            """)
        try place.answer(203)
        #expect(place.call.parts == [place.id])
        try place.give("one")
        try place.give("two")
        #expect(place.result == "pending" && place.call.parts == [place.id])
        try place.end()
        #expect(place.result == "respond one|two" && place.isOver)
    }

    @Test(arguments: Lane.allCases, ["text", "json", "arrayBuffer", "clone"])
    func readersOfTheWholeCollectIt(_ lane: Lane, _ how: String) throws {
        let read = ["text": "await answer.text()", "json": "(await answer.json()).a", "arrayBuffer": "(await answer.arrayBuffer()).byteLength",
            "clone": "(await Promise.all([answer.clone().text(), answer.text()])).join()"][how] ?? ""
        let place = try Place(lane, "const answer = await env.up.fetch('/'); return new Response(String(\(read)));")
        try place.answer()
        try place.give("{\"a\":")
        try place.give("1}")
        try place.end()
        #expect(place.result == "respond " + (["json": "1", "arrayBuffer": "7", "clone": "{\"a\":1},{\"a\":1}"][how] ?? "{\"a\":1}"))
        #expect(place.isOver)
    }

    @Test(arguments: Lane.allCases)
    func anAnswerThatNobodyReadsIsCancelledWithTheCall(_ lane: Lane) throws {
        let place = try Place(lane, "const answer = await env.up.fetch('/'); return new Response(String(answer.status));")
        try place.answer(204 + 1)
        #expect(place.result == "respond 205" && place.call.parts.isEmpty)
        #expect(place.call.cancelled == [place.id] && place.isOver)
    }

    @Test(arguments: Lane.allCases)
    func anAnswerMayBecomeTheResponseAndFlowsAsTheClientTakesIt(_ lane: Lane) throws {
        let place = try Place(lane, "return await env.up.fetch('/');")
        try place.answer()
        #expect(place.result == "respond stream" && place.call.isStreaming && place.call.parts.isEmpty)
        place.call.bodyRoom(.response)
        try place.settle()
        try place.give("a")
        try place.give("b")
        #expect(place.call.output[.response] == "ab")
        try place.end()
        #expect(place.call.done == [.response] && place.call.releases == 1 && place.isOver)
    }

    @Test(arguments: Lane.allCases)
    func anAnswerThatBreaksOffIsARejectionAndAbortingOneCancelsIt(_ lane: Lane) throws {
        let place = try Place(lane, """
            const out = [], first = await env.up.fetch("/");
            await first.text().catch((error) => out.push(error.name, error.message));
            const control = new AbortController(), second = await env.up.fetch("/", { signal: control.signal });
            const text = second.text();
            control.abort(new Error("enough"));
            await text.catch((error) => out.push(error.message));
            const third = await env.up.fetch("/");
            await third.body.cancel();
            return new Response(out.join());
            """)
        try place.answer()
        try place.give("half")
        place.call.parts.removeAll()
        place.call.subrequestFailed(place.id, "upstream failed: origin_closed")
        try place.settle()
        let second = place.id
        try place.answer()
        #expect(place.call.cancelled == [second])
        let third = place.id
        try place.answer()
        #expect(place.call.cancelled == [second, third])
        #expect(place.result == "respond TypeError,upstream failed: origin_closed,enough" && place.isOver)
    }

    @Test(arguments: Lane.allCases)
    func aStreamIsSentAsThereIsRoomForIt(_ lane: Lane) throws {
        let place = try Place(lane, """
            let n = 0;
            const body = new ReadableStream({ pull(to) { if (n++ === 20) to.close(); else to.enqueue(new Uint8Array(16384).fill(65)); } });
            const answer = await env.up.fetch("/", { method: "POST", body, duplex: "half" });
            return new Response(await answer.text());
            """)
        let sub = try #require(place.call.subrequests.first)
        #expect(sub.flows && sub.body.isEmpty && sub.head.body == .unknown)
        try place.room()
        #expect(place.call.askedFor[sub.id]?.utf8.count == 65_536, "one step")
        try place.settle()
        #expect(place.call.askedFor[sub.id]?.utf8.count == 65_536 && place.call.askIsFull(sub.id))
        for _ in 0..<6 { try place.room() }
        #expect(place.call.askedFor[sub.id]?.utf8.count == 20 * 16_384 && place.call.asksDone == [sub.id])
        place.call.subrequestFinished(sub.id, Head(), body: Array("ok".utf8))
        try place.settle()
        #expect(place.result == "respond ok" && place.isOver)
    }

    @Test(arguments: Lane.allCases)
    func theBodyOfTheRequestGoesOnWithItsLength(_ lane: Lane) throws {
        let place = try Place(lane, """
            const answer = await env.up.fetch("/", { method: "POST", body: request.body, duplex: "half" });
            return new Response(String(answer.status));
            """)
        place.call.chunks = ["1234", "5678"]
        let sub = try #require(place.call.subrequests.first)
        if lane == .cordon { #expect(sub.head.body == .known(8)) }
        #expect(sub.flows)
        try place.room()
        #expect(place.call.askedFor[sub.id] == "12345678" && place.call.asksDone == [sub.id])
        place.call.subrequestFinished(sub.id, Head(), body: [])
        try place.settle()
        #expect(place.isOver)
    }

    @Test(arguments: Lane.allCases)
    func aStreamThatFailsOrIsNotWantedEndsItsRequest(_ lane: Lane) throws {
        let place = try Place(lane, """
            const out = [];
            const bad = new ReadableStream({ pull() { throw new RangeError("no more"); } });
            await env.up.fetch("/", { method: "POST", body: bad, duplex: "half" }).catch((error) => out.push(error.message));
            const endless = new ReadableStream({ pull(to) { to.enqueue(new Uint8Array(1000)); }, cancel(why) { out.push(why.message); } });
            const answer = await env.up.fetch("/", { method: "POST", body: endless, duplex: "half" });
            out.push(answer.status);
            return new Response(out.join());
            """)
        try place.room()
        #expect(place.call.cancelled == [1] && place.call.subrequests.count == 2)
        try place.room()
        var head = Head()
        head.status = 413
        place.call.subrequestFinished(place.id, head, body: [])
        try place.settle()
        #expect(place.result == "respond no more,the answer came before the whole body was sent,413" && place.isOver)
    }

    @Test func aCordonThatSaysWhatItCannotIsRefused() throws {
        let pair = try RemotePair("""
            export default { async onRequest(request, env) {
              const body = new FixedLengthStream(4).readable;
              await env.up.fetch("/", { method: "POST", body, duplex: "half" });
            } }
            """, upstreams: ["up"])
        try pair.start()
        let number = pair.call.numberElsewhere, id = try #require(pair.call.subrequests.first?.id)
        #expect(pair.call.subrequests[0].head.body == .known(4))
        func refused(_ kind: RemoteReply, _ write: @escaping (inout WireWriter) -> Void) -> Bool {
            do throws(WireError) {
                try pair.worker.receive(RemotePair.reply(kind, number, write).span)
                return false
            } catch {
                return true
            }
        }
        let bytes = [UInt8](repeating: 1, count: 3)
        #expect(refused(.askMade) { $0.number32(UInt32(id)); $0.array(bytes) }, "no room was given")
        pair.call.askRoom(id)
        #expect(refused(.askDone) { $0.number32(UInt32(id)) }, "shorter than announced")
        #expect(refused(.askMade) { $0.number32(UInt32(id)); $0.array(bytes + bytes) }, "longer than announced")
        #expect(!refused(.askMade) { $0.number32(UInt32(id)); $0.array(bytes) })
        let fifth = [bytes[0]]
        #expect(!refused(.askMade) { $0.number32(UInt32(id)); $0.array(fifth) })
        #expect(!refused(.askDone) { $0.number32(UInt32(id)) })
        #expect(pair.call.askedFor[id]?.utf8.count == 4 && pair.call.asksDone == [id])
        #expect(!refused(.askMade) { $0.number32(UInt32(id)); $0.array(bytes) }, "after the end: nobody takes it")
        #expect(!refused(.askDone) { $0.number32(UInt32(id)) })
        #expect(pair.call.askedFor[id]?.utf8.count == 4 && pair.call.asksDone == [id])
        #expect(!refused(.pullAnswer) { $0.number32(UInt32(id)) }, "of an answer that is not there: late, not malformed")
        #expect(pair.call.parts.isEmpty)
        pair.call.subrequestAnswered(id, Head())
        #expect(!refused(.pullAnswer) { $0.number32(UInt32(id)) })
        #expect(refused(.pullAnswer) { $0.number32(UInt32(id)) }, "one chunk at a time")
    }
}
