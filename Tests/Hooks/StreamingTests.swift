import Buffers
import HTTP
import Testing

@testable import Hooks

/// Bodies that flow through a hook: chunk by chunk, with backpressure, and not at all when nobody looks.
@Suite struct StreamingTests {
    /// HOOKS.md, worked example B, unchanged.
    static let banner = """
        export default {
          async onResponse(response, env, ctx) {
            const needle = ctx.args.before;
            const headers = new Headers(response.headers);
            headers.delete("content-length");
            headers.set("x-banner", "1");
            const text = env.motd ? await (await env.motd.fetch("/today")).text() : ctx.args.text;
            let tail = "";
            const body = response.body
              .pipeThrough(new TextDecoderStream())
              .pipeThrough(new TransformStream({
                transform(chunk, out) {
                  let s = tail + chunk, at;
                  while ((at = s.indexOf(needle)) >= 0) {
                    out.enqueue(s.slice(0, at) + `<p class=banner>${text}</p>` + needle);
                    s = s.slice(at + needle.length);
                  }
                  const keep = Math.min(s.length, needle.length - 1);
                  tail = s.slice(s.length - keep);
                  out.enqueue(s.slice(0, s.length - keep));
                },
                flush(out) { out.enqueue(tail); },
              }))
              .pipeThrough(new TextEncoderStream());
            return new Response(body, { status: response.status, headers });
          },
        };
        """

    @Test func theBannerExampleChangesABodyWhileItFlows() throws {
        let bench = try Bench(StreamingTests.banner, arguments: #"{"text": "hé", "before": "</body>"}"#)
        bench.call.chunks = ["<body>a</bo", "dy>", "b"]
        #expect(line(bench.run(.response)) == "respond stream")
        #expect(bench.exchange.response.text(of: "x-banner") == "1")
        #expect(bench.exchange.response.body == .unknown)
        #expect(bench.call.drain() == "<body>a<p class=banner>hé</p></body>b")
        #expect(bench.call.isIdle)
        #expect(bench.call.bodiesWanted.isEmpty)
    }

    @Test func theBannerExampleAwaitsAnUpstreamFirst() throws {
        let bench = try Bench(
            StreamingTests.banner, arguments: #"{"text": "no", "before": "</body>"}"#, upstreams: ["motd"])
        bench.call.chunks = ["x</body>"]
        #expect(bench.run(.response) == nil)
        #expect(bench.call.pulls.isEmpty)
        bench.call.subrequestFinished(bench.call.subrequests[0].id, Head(), body: Array("today".utf8))
        #expect(line(bench.call.outcomes.first) == "respond stream")
        #expect(bench.call.drain() == "x<p class=banner>today</p></body>")
    }

    /// What keeps and counts answers on other platforms: a clone is read while, and after, the answer goes out.
    @Test(arguments: ["", "await new Promise((go) => setTimeout(go, 10));"])
    func aCopyIsReadWhileTheBodyIsHandedOn(_ pause: String) throws {
        let bench = try Bench("""
            export default { async onResponse(response, env, ctx) {
              const read = response.clone().text(), also = response.clone().text();
              \(pause)
              ctx.waitUntil(Promise.all([read, also]).then((texts) => console.log(texts.join("|"))));
              return response;
            } };
            """)
        bench.call.chunks = ["ab", "c"]
        var outcome = bench.run(.response)
        if outcome == nil {
            bench.advance(milliseconds: 10)
            outcome = bench.call.outcomes.popLast()
        }
        #expect(line(outcome) == "proceed stream")
        #expect(bench.call.bodiesWanted == [.response])
        #expect(bench.call.drain() == "abc")
        #expect(bench.host.lines == ["under test 1: abc|abc"])
        #expect(bench.call.isIdle)
    }

    @Test func aBodyThatIsHandedOnNeverEntersJavaScript() throws {
        for result in ["response", "new Response(response.body, response)", "new Response(response.body, { headers: { a: 'b' } })"] {
            let bench = try Bench("export default { onResponse(response) { return \(result); } }")
            bench.call.chunks = ["never"]
            #expect(line(bench.run(.response)).hasSuffix(" unchanged"), "\(result)")
            #expect(bench.call.pulls.isEmpty)
            #expect(bench.function.counters.bodyBytesRead == 0)
            #expect(bench.function.counters.bodiesRead == 0)
        }
    }

    @Test func nothingIsReadBeforeThereIsRoomForMore() throws {
        let bench = try Bench("""
            export default { onResponse(response) { return new Response(response.body.pipeThrough(new TransformStream())); } }
            """)
        bench.run(.response)
        // A transform and a pipe hold one chunk each at most; without room nothing more is asked for.
        for _ in 0..<10 where bench.call.pulls.count > 0 { bench.call.give(.response, "x") }
        let asked = bench.call.pulls.count
        #expect(asked <= 4)
        bench.call.bodyRoom(.response)
        #expect(bench.call.output[.response] != nil)
        #expect(bench.call.pulls.count > asked)
    }

    @Test func aHookMakesOneStepAndWaitsForRoom() throws {
        let bench = try Bench("""
            export default { onRequest() {
              let n = 0;
              return new Response(new ReadableStream({ pull(c) {
                if (n++ === 40) c.close(); else c.enqueue(new Uint8Array(16384).fill(65)); } }));
            } }
            """)
        bench.run()
        #expect(bench.call.drain().utf8.count == 40 * 16384)
        #expect(bench.call.outputSteps.allSatisfy { $0 <= HookCall.outputStep + 16384 })
        #expect(bench.call.outputSteps.count >= 10)
    }

    @Test func requestAndResponseBodiesFlowAtTheSameTime() throws {
        let bench = try Bench("""
            export default { async fetch(request) {
              const upper = () => new TransformStream({ transform(chunk, out) {
                out.enqueue(new TextEncoder().encode(new TextDecoder().decode(chunk).toUpperCase())); } });
              const response = await fetch(new Request(request, { body: request.body.pipeThrough(upper()) }));
              return new Response(response.body.pipeThrough(upper()), response);
            } }
            """)
        bench.call.chunks = ["ab", "c"]
        bench.run(.fetch)
        #expect(bench.call.sent == [.stream(length: nil)])
        #expect(bench.call.drain(.request) == "ABC")
        bench.call.chunks = ["xyz"]
        bench.call.originArrived()
        #expect(line(bench.call.outcomes.first) == "respond stream")
        #expect(bench.call.drain() == "XYZ")
        #expect(bench.call.isIdle)
    }

    @Test func aThrowInATransformBreaksTheBodyWithItsPlace() throws {
        let bench = try Bench("""
            export default { onResponse(response) {
              return new Response(response.body.pipeThrough(new TransformStream({
                transform() {
                  throw new RangeError("no");
                } })));
            } }
            """)
        bench.call.chunks = ["x"]
        bench.run(.response)
        _ = bench.call.drain()
        let failure = try #require(bench.call.broken.first)
        #expect(failure.kind == .error)
        #expect("\(failure)".hasPrefix("hooks/a.js:4:"))
        #expect(bench.call.releases == 1)
        #expect(bench.function.callsUnderWay == 0)
    }

    @Test func aBodyThatStandsStillIsGivenUp() throws {
        let bench = try Bench("""
            export default { onRequest() { return new Response(new ReadableStream({ pull() { return new Promise(() => {}); } })); } }
            """, limits: { $0.wallMilliseconds = 100 })
        bench.run()
        bench.advance(milliseconds: 1000)
        #expect(bench.call.broken.isEmpty, "nobody asked for the body yet")
        bench.call.bodyRoom(.response)
        bench.advance(milliseconds: 100)
        #expect(bench.call.broken.first?.kind == .wall)
        #expect(bench.call.isIdle)
    }

    @Test func aStreamHasItsCPULimitForEachMiBAndNotMore() throws {
        let bench = try Bench("""
            export default { onRequest() { return new Response(new ReadableStream({ pull(c) { for (;;) ; } }, { highWaterMark: 0 })); } }
            """, limits: { $0.cpuMicroseconds = 20_000 })
        bench.run()
        bench.call.bodyRoom(.response)
        #expect(bench.call.broken.first?.kind == .cpu)
    }

    /// The stack was used up, and what waited for the chunk behind that waited for ever.
    @Test("A chunk passes a thousand pipes", arguments: ["", "{ transform(chunk, to) { to.enqueue(chunk); } }"])
    func aChunkPassesAThousandPipes(_ how: String) throws {
        let bench = try Bench("""
            export default { async onRequest() {
              let left = 3, stream = new ReadableStream({ pull(to) { to.enqueue(new TextEncoder().encode(`chunk ${left} `)); if (--left === 0) to.close(); } });
              for (let i = 0; i < 1000; i++) stream = stream.pipeThrough(new TransformStream(\(how)));
              return new Response(await new Response(stream).text());
            } }
            """)
        #expect(line(bench.run()) == "respond chunk 3 chunk 2 chunk 1 ")
    }

    @Test func aClientThatGoesAwayCancelsTheSource() throws {
        let bench = try Bench("""
            export default { onRequest() {
              return new Response(new ReadableStream({
                pull(c) { c.enqueue(new Uint8Array(100)); }, cancel(reason) { console.log("cancelled " + reason.message); } }));
            } }
            """)
        bench.run()
        bench.call.bodyRoom(.response)
        bench.call.cancel()
        #expect(bench.host.lines == ["under test 1: cancelled the exchange ended"])
        #expect(bench.function.callsUnderWay == 0)
    }

    @Test func bytesCanBeReadIntoABufferOfTheHook() throws {
        let bench = try Bench("""
            export default { async onRequest(request) {
              const reader = request.body.getReader({ mode: "byob" }), out = [];
              for (let view = new Uint8Array(4);;) {
                const { value, done } = await reader.read(view);
                if (done) break;
                out.push(new TextDecoder().decode(value));
                view = new Uint8Array(value.buffer);
              }
              return new Response(out.join("|"));
            } }
            """)
        bench.call.chunks = ["abcdef", "g"]
        #expect(line(bench.run()) == "respond abcd|ef|g")
    }

    @Test func aBodyOfKnownLengthIsAnnouncedAndHeldToIt() throws {
        let code = { (count: Int) in """
            export default { onRequest() {
              const { readable, writable } = new FixedLengthStream(3);
              const writer = writable.getWriter();
              writer.write(new Uint8Array(\(count)).fill(65)).then(() => writer.close()).catch(() => {});
              return new Response(readable);
            } }
            """ }
        let right = try Bench(code(3))
        #expect(line(right.run()) == "respond stream of 3")
        #expect(right.exchange.response.body == .known(3))
        #expect(right.call.drain() == "AAA")
        for count in [2, 4] {
            let wrong = try Bench(code(count))
            wrong.run()
            _ = wrong.call.drain()
            #expect(wrong.call.broken.count == 1, "\(count) bytes")
        }
    }
}
