import HTTP
import Isolates
import Testing

@testable import Hooks

/// `waitUntil` work that ends before the result of its handler was put into effect.
@Suite struct TailTests {
    private static let busy = "ctx.waitUntil((async () => { for (let i = 0; i < 30; i++) await 0; })());"

    @Test("What a handler answered stands, and nobody is told of an end twice", arguments: ["", "async "], ["Promise.resolve()", "short()", "failing()"])
    func theAnswerStands(_ kind: String, _ work: String) throws {
        let bench = try Bench("""
            const short = async () => { for (let i = 0; i < 30; i++) await 0; };
            const failing = async () => { await short(); throw new Error("late"); };
            export default { \(kind)onRequest(request, env, ctx) { ctx.waitUntil(\(work)); return new Response("no entry", { status: 403 }); } };
            """)
        guard case .respond(.bytes(let body))? = bench.run() else { Issue.record("the answer is lost"); return }
        #expect(body == Array("no entry".utf8) && bench.exchange.response.status == 403)
        #expect(bench.call.isIdle && bench.call.releases == 0)
    }

    @Test func aDenialStands() throws {
        let bench = try Bench("export default { onRequest(request, env, ctx) { \(TailTests.busy) ctx.deny(451); } };")
        #expect(line(bench.run()) == "deny 451")
    }

    @Test func anEndInTheTurnOfALaterResultIsToldWithIt() throws {
        let bench = try Bench("""
            export default { async onRequest(request, env, ctx) {
              await new Promise((done) => setTimeout(done, 5));
              \(TailTests.busy)
              return new Response("late");
            } };
            """)
        let result = bench.runtime.start(bench.call, bench.function, bench.binding, .request, bench.exchange)
        guard case .pending = result else { Issue.record("it waits"); return }
        bench.advance(milliseconds: 5)
        #expect(bench.call.outcomes.count == 1 && bench.call.releases == 0 && bench.call.isIdle)
    }

    @Test("A cordon says the same", arguments: ["", "async "])
    func inACordon(_ kind: String) throws {
        let pair = try RemotePair("export default { \(kind)onRequest(request, env, ctx) { \(TailTests.busy) return new Response('no entry', { status: 403 }); } };")
        try pair.start()
        guard case .respond(.bytes(let body))? = pair.call.outcomes.first else { Issue.record("\(pair.call.outcomes)"); return }
        #expect(body == Array("no entry".utf8) && pair.exchange.response.status == 403)
        #expect(pair.call.isIdle && pair.call.releases == 0 && pair.worker.callsUnderWay == 0)
    }
}

/// Turns that are too short for the watchdog to meet them.
@Suite struct ShortTurnTests {
    @Test("Many short turns end at the CPU limit as one long one does", arguments: [
        "for (;;) await new Promise((done) => setTimeout(done, 0));",
        "ctx.waitUntil((async () => { for (;;) await new Promise((done) => setTimeout(done, 0)); })()); return new Response('x');",
    ])
    func endAtTheLimit(_ code: String) throws {
        let bench = try Bench("export default { async onRequest(request, env, ctx) { \(code) } };", limits: {
            $0.cpuMicroseconds = 3_000
            $0.wallMilliseconds = 3_600_000
            $0.tailMilliseconds = 3_600_000
        })
        bench.run()
        var turns = 0
        while !bench.call.isIdle, turns < 200_000 {
            bench.advance(milliseconds: 1)
            turns += 1
        }
        #expect(bench.call.isIdle, "it went on")
        #expect(bench.call.cpuNanoseconds < 500_000_000)
    }
}

/// What a call has the gateway hold, and V8's limits do not see.
@Suite struct HeldBytesTests {
    private func caught(_ code: String, limits: (inout HookLimits) -> Void = { _ in }) throws -> (line: String, bench: Bench) {
        let bench = try Bench("""
            const long = "x".repeat(1 << 19);
            export default { async onRequest(request, env, ctx) {
              try { \(code) } catch (error) { return new Response(`${error.name}: ${error.message}`); }
              return new Response("no limit");
            } };
            """, upstreams: ["up"], limits: limits)
        return (line(bench.run()), bench)
    }

    @Test func theSameVariableAgainAndAgain() throws {
        #expect(try caught("for (let i = 0; i < 1000; i++) ctx.vars.set('a', long);").line.contains("RangeError: one call hands the gateway more"))
    }

    @Test(arguments: [
        "const headers = new Headers(); for (let i = 0; i < 9; i++) headers.set('x-' + i, long); return new Response('x', { headers });",
        "ctx.state.all = long.repeat(3); return new Response('x');",
        "return new Request(`http://a/${long}${long}${long}`, request);",
        "return new Response('x', { statusText: long + long + long });",
    ])
    func whatAResultCarries(_ code: String) throws {
        let (line, _) = try caught(code)
        #expect(line.contains("one call hands the gateway more"), "\(line)")
    }

    @Test func bodiesOfSubrequestsThatWait() throws {
        let (line, bench) = try caught(
            "const all = Array.from({ length: 20 }, () => env.up.fetch('/', { method: 'POST', body: long })); await Promise.all(all);",
            limits: { $0.memoryBytes = 8 << 20 })
        #expect(line.contains("limits.memory wait to be sent"))
        #expect(bench.function.tally.subrequests == 16)
    }

    /// One call's bound was each call's: a hundred clients were a hundred times as much.
    @Test func theCallsOfAFunctionHaveOneBoundTogether() throws {
        let bench = try Bench("""
            const long = "x".repeat(5 << 20);
            export default { async onRequest(request, env) {
              const answers = [env.up.fetch("/", { method: "POST", body: "short" }), env.up.fetch("/", { method: "POST", body: long })];
              try { await Promise.all(answers); } catch (error) { return new Response(error.message); }
              return new Response("sent");
            } };
            """, upstreams: ["up"], limits: { $0.memoryBytes = 8 << 20 })
        #expect(line(bench.run()) == "pending")
        let second = FakeCall(), third = FakeCall(), exchange = Exchange()
        fillExchange(exchange)
        func start(_ call: FakeCall) -> String {
            if case .finished(let outcome) = bench.runtime.start(call, bench.function, bench.binding, .request, exchange) { return line(outcome) }
            return line(call.outcomes.last)
        }
        #expect(start(second).contains("limits.memory wait to be sent"))
        bench.call.cancel()
        #expect(start(third) == "pending" && third.subrequests.count == 2)
    }

    @Test func nativeObjectsAreBounded() throws {
        let (line, _) = try caught("""
            const all = [], kind = { name: "ECDSA", namedCurve: "P-256" };
            for (let i = 0; i < 3000; i++) all.push(await crypto.subtle.generateKey(kind, true, ["sign"]));
            """)
        #expect(line.contains("limit of native memory is reached"), "\(line)")
    }

    /// Each attempt collected all garbage once more: thousands of them had a core for minutes.
    @Test func whatIsFullIsFullUntilTheNextTurn() throws {
        let bench = try Bench("""
            let all = [];
            export default { onRequest() {
              let refused = 0;
              for (let i = 0; i < 20_000; i++) try { all.push(new CompressionStream("gzip")); } catch { refused++; }
              const made = all.length;
              all = [];
              return new Response(`${made > 20 && made + refused === 20_000}`);
            } };
            """)
        for _ in 0..<2 { #expect(line(bench.run()) == "respond true") }
    }

    @Test func whatWasSentMakesRoom() throws {
        let bench = try Bench("""
            const long = "x".repeat(1 << 19);
            export default { async onRequest(request, env) {
              for (let i = 0; i < 40; i++) await env.up.fetch("/", { method: "POST", body: long });
              return new Response("all");
            } };
            """, upstreams: ["up"], limits: { $0.memoryBytes = 8 << 20 })
        _ = bench.runtime.start(bench.call, bench.function, bench.binding, .request, bench.exchange)
        for number in 0..<40 { bench.call.subrequestFinished(bench.call.subrequests[number].id, Head(), body: []) }
        #expect(line(bench.call.outcomes.last) == "respond all" && bench.call.heldBytes == 0)
    }
}

/// `waitUntil` work whose exchange is given up.
@Suite struct LeftTailTests {
    private static let code = """
        const wait = (time) => new Promise((done) => setTimeout(done, time));
        export default { async onRequest(request, env, ctx) {
          ctx.waitUntil((async () => { await wait(10); console.log("work"); })());
          ctx.signal.addEventListener("abort", () => console.log("told"));
          WHAT
          await wait(1000);
          console.log("handler");
        } };
        """

    @Test func itGoesOnWithinItsTime() throws {
        let bench = try Bench(LeftTailTests.code.replacing("WHAT", with: ""))
        bench.run()
        bench.call.cancel()
        #expect(!bench.call.isIdle && bench.call.releases == 0)
        bench.advance(milliseconds: 10)
        #expect(bench.call.isIdle && bench.call.releases == 1 && bench.call.outcomes.isEmpty)
        #expect(bench.host.lines == ["under test 1: told", "under test 1: work"])
        bench.advance(milliseconds: 5_000)
        #expect(bench.host.lines.count == 2 && bench.function.callsUnderWay == 0)
    }

    @Test func whatNeverEndsIsStoppedAtItsLimit() throws {
        let bench = try Bench("""
            export default { async onRequest(request, env, ctx) { ctx.waitUntil(new Promise(() => {})); await new Promise(() => {}); } };
            """, limits: { $0.tailMilliseconds = 500 })
        bench.run()
        bench.call.cancel()
        bench.advance(milliseconds: 499)
        #expect(!bench.call.isIdle)
        bench.advance(milliseconds: 1)
        #expect(bench.call.isIdle && bench.call.releases == 1 && bench.call.tailWasStopped)
    }

    @Test("What waits for the exchange is told", arguments: ["await request.text();", "for await (const chunk of request.body);"])
    func whatWaitsForTheExchangeIsTold(_ what: String) throws {
        let bench = try Bench("""
            export default { async onRequest(request, env, ctx) {
              const read = (async () => { try { \(what) } catch (error) { console.log(error.name); } })();
              ctx.waitUntil(read);
              await read;
              throw new Error("nobody hears of it");
            } };
            """)
        bench.run()
        bench.call.cancel()
        #expect(bench.call.isIdle && bench.call.releases == 0 && bench.call.outcomes.isEmpty)
        #expect(bench.host.lines == ["under test 1: AbortError"])
    }

    @Test("An end that comes while it is given up is told by the call alone", arguments: ["", "async "])
    func anEndAtOnce(_ kind: String) throws {
        let bench = try Bench("""
            export default { async onRequest(request, env, ctx) {
              let end; ctx.waitUntil(new Promise((done) => { end = done; }));
              ctx.signal.addEventListener("abort", \(kind)() => end());
              await new Promise(() => {});
            } };
            """)
        bench.run()
        bench.call.cancel()
        #expect(bench.call.isIdle && bench.call.releases == 0)
    }

    @Test("A handler that throws leaves it", arguments: ["throw new Error('no');", "await wait(1); throw new Error('no');"])
    func aHandlerThatThrowsLeavesIt(_ what: String) throws {
        let bench = try Bench(LeftTailTests.code.replacing("WHAT", with: what))
        let outcome = bench.run()
        bench.advance(milliseconds: 1)
        #expect(line(outcome ?? bench.call.outcomes.first).contains("Error: no"))
        #expect(!bench.call.isIdle && bench.call.releases == 0)
        bench.advance(milliseconds: 9)
        #expect(bench.call.isIdle && bench.call.releases == 1 && bench.host.lines.last == "under test 1: work")
    }

    @Test func theWallLimitOfItsHandlerLeavesIt() throws {
        let bench = try Bench("""
            export default { async onRequest(request, env, ctx) {
              ctx.waitUntil(new Promise((done) => setTimeout(() => { console.log("work"); done(); }, 150)));
              await new Promise(() => {});
            } };
            """, limits: { $0.wallMilliseconds = 100 })
        bench.run()
        bench.advance(milliseconds: 100)
        #expect(line(bench.call.outcomes.first).contains("wall limit") && !bench.call.isIdle)
        bench.advance(milliseconds: 50)
        #expect(bench.call.isIdle && bench.call.releases == 1 && bench.host.lines == ["under test 1: work"])
    }

    @Test func aBodyThatBreaksLeavesIt() throws {
        let bench = try Bench("""
            export default { onRequest(request, env, ctx) {
              ctx.waitUntil(new Promise((done) => setTimeout(() => { console.log("work"); done(); }, 10)));
              return new Response(new ReadableStream({ pull(to) { to.error(new Error("broken")); } }, { highWaterMark: 0 }));
            } };
            """)
        bench.run()
        bench.call.bodyRoom(.response)
        #expect(bench.call.broken.count == 1 && !bench.call.isIdle && !bench.call.isStreaming)
        bench.advance(milliseconds: 10)
        #expect(bench.call.isIdle && bench.call.releases == 1 && bench.host.lines == ["under test 1: work"])
    }

    @Test func inACordon() throws {
        let pair = try RemotePair(LeftTailTests.code.replacing("WHAT", with: ""))
        try pair.start()
        pair.call.cancel()
        try pair.move()
        #expect(!pair.call.isIdle && pair.call.releases == 0)
        pair.cordon.clock += 10_000_000
        pair.cordon.fireTimers(pair.cordon.clock)
        try pair.move()
        #expect(pair.call.isIdle && pair.call.releases == 1 && pair.call.outcomes.isEmpty && pair.worker.callsUnderWay == 0)
        #expect(pair.worker.lines.last == "work")
    }

    /// The result was on its way when the client left.
    @Test("A result that crosses is the end of its call", arguments: ["return new Response('x');", "ctx.waitUntil(new Promise(() => {})); return new Response('x');"])
    func aResultThatCrosses(_ what: String) throws {
        let pair = try RemotePair("export default { async onRequest(request, env, ctx) { \(what) } };", limits: { $0.tailMilliseconds = 1_000 })
        pair.worker.start(pair.call, pair.function, pair.binding, .request, pair.exchange)
        try pair.moveToCordon()
        pair.call.cancel()
        try pair.move()
        pair.cordon.clock += 1_000_000_000
        pair.cordon.fireTimers(pair.cordon.clock)
        try pair.move()
        #expect(pair.call.isIdle && pair.call.releases == 1 && pair.call.outcomes.isEmpty && pair.worker.callsUnderWay == 0)
    }
}
