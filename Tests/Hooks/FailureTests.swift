import Buffers
import HTTP
import Testing

@testable import Hooks

/// Errors with their place, limits, and what is left afterwards.
@Suite struct FailureTests {
    private func failure(_ outcome: HookOutcome?) throws -> HookFailure {
        guard case .failed(let failure)? = outcome else {
            Issue.record("not failed: \(line(outcome))")
            throw HookFailure(.error, function: "", message: "not failed")
        }
        return failure
    }

    @Test func aThrownErrorCarriesFileLineColumnFunctionAndRule() throws {
        let bench = try Bench("""
            import { check } from "./lib/check.js";
            export default { onRequest(request) { check(request); } }
            """, modules: ["hooks/lib/check.js": "export function check(request) {\n  throw new RangeError('bad ' + request.method);\n}"])
        let found = try failure(bench.run())
        #expect(found.kind == .error)
        #expect("\(found)" == "hooks/lib/check.js:2:9: RangeError: bad POST (function under test, rule \"the rule\")")
        #expect(bench.function.counters.failures(.error) == 1)
    }

    @Test func aRejectionAndAThrowInATimerCarryTheirPlaceToo() throws {
        let bench = try Bench("""
            export default { async onRequest(request) {
              await null;
              null.x;
            } }
            """)
        #expect(line(bench.run()).contains("hooks/a.js:3:8: TypeError"))
        let timer = try Bench("""
            export default { onRequest() {
              setTimeout(() => { throw new Error("late"); }, 1);
              return new Promise(() => {});
            } }
            """)
        timer.run()
        timer.advance(milliseconds: 1)
        #expect(line(timer.call.outcomes.first).contains("hooks/a.js:2:28: Error: late"))
    }

    @Test func valuesThatAreNoErrorsCanBeThrown() throws {
        for value in ["'text'", "undefined", "null", "42", "Symbol('s')", "{ toString() { throw 1; } }", "Object.create(null)"] {
            let bench = try Bench("export default { onRequest() { throw \(value); } }")
            #expect(try failure(bench.run()).kind == .error, "\(value)")
            let rejected = try Bench("export default { async onRequest() { await 0; throw \(value); } }")
            #expect(try failure(rejected.run()).kind == .error, "\(value)")
        }
    }

    @Test func aReturnValueThatAPhaseCannotUseIsABadReturn() throws {
        for value in ["5", "'x'", "{}", "[]", "() => 1", "true", "new URL('http://a/')"] {
            let bench = try Bench("export default { onRequest() { return \(value); } }")
            #expect(try failure(bench.run()).kind == .badReturn, "\(value)")
            let later = try Bench("export default { async onRequest() { await 0; return \(value); } }")
            #expect(try failure(later.run()).kind == .badReturn, "\(value)")
        }
        #expect(try failure(try Bench("export default { fetch() {} }").run(.fetch)).kind == .badReturn)
        #expect(try failure(try Bench("export default { onResponse(r, e, c) { return c.request; } }").run(.response)).kind == .badReturn)
    }

    @Test func passThroughOnExceptionIsTold() throws {
        let bench = try Bench("export default { onRequest(r, e, ctx) { ctx.passThroughOnException(); throw new Error('x'); } }")
        #expect(try failure(bench.run()).passThrough)
        let plain = try Bench("export default { onRequest() { throw new Error('x'); } }")
        #expect(!(try failure(plain.run()).passThrough))
    }

    @Test func anEndlessLoopIsStoppedAtTheCPULimitAndTheFunctionServesOn() throws {
        let bench = try Bench("""
            export default { onRequest(request) { if (request.headers.has("x-twice")) while (true) {} return new Response("fine"); } }
            """, limits: { $0.cpuMicroseconds = 20_000 })
        let found = try failure(bench.run())
        #expect(found.kind == .cpu)
        #expect(found.message.contains("20.0 ms"))
        bench.exchange.request.remove(named: Span("x-twice"))
        #expect(line(bench.run()) == "respond fine")
        #expect(bench.host.depth == 0)
    }

    @Test func theCPULimitCountsAllTurnsOfACall() throws {
        let bench = try Bench("""
            export default { async onRequest() {
              for (let i = 0; i < 50; i++) {
                const end = Date.now() + 8;
                while (Date.now() < end) {}
                await new Promise((done) => setTimeout(done, 1));
              }
            } }
            """, limits: { $0.cpuMicroseconds = 30_000 })
        bench.run()
        for _ in 0..<50 where bench.call.outcomes.isEmpty { bench.advance(milliseconds: 1) }
        #expect(try failure(bench.call.outcomes.first).kind == .cpu)
    }

    @Test func endlessMicrotasksAreStoppedToo() throws {
        let bench = try Bench("export default { async onRequest() { for (;;) await null; } }", limits: { $0.cpuMicroseconds = 20_000 })
        #expect(try failure(bench.run()).kind == .cpu)
        #expect(bench.call.isIdle)
    }

    @Test func aCallThatNeverSettlesEndsAtItsWallLimit() throws {
        let bench = try Bench("export default { onRequest() { return new Promise(() => {}); } }", limits: { $0.wallMilliseconds = 250 })
        bench.run()
        #expect(bench.runtime.nextDeadline == bench.host.clock + 250_000_000)
        bench.advance(milliseconds: 249)
        #expect(bench.call.outcomes.isEmpty)
        bench.advance(milliseconds: 1)
        #expect(try failure(bench.call.outcomes.first).kind == .wall)
        #expect(bench.runtime.nextDeadline == nil)
        #expect(bench.call.isIdle)
    }

    @Test func waitingForTheOriginDoesNotCountAgainstTheWallLimit() throws {
        let bench = try Bench("""
            export default { async fetch(request) { const r = await fetch(request); await new Promise((d) => setTimeout(d, 60)); return r; } }
            """, limits: { $0.wallMilliseconds = 100 })
        bench.run(.fetch)
        bench.advance(milliseconds: 5_000)
        #expect(bench.call.outcomes.isEmpty)
        bench.call.originArrived()
        bench.advance(milliseconds: 60)
        #expect(line(bench.call.outcomes.first) == "respond unchanged")
    }

    @Test func aMemoryBombIsStoppedAndTheFunctionComesBackWithAFreshIsolate() throws {
        let bench = try Bench("""
            globalThis.made = (globalThis.made ?? 0) + 1;
            const hold = [];
            export default { onRequest(request, env, ctx) {
              if (request.headers.has("x-twice")) for (;;) hold.push({ a: [1, 2, 3], b: hold.length });
              return new Response(`${hold.length} ${ctx.args.kept}`);
            } }
            """, arguments: "{\"kept\":\"yes\"}", limits: { $0.memoryBytes = 32 << 20 })
        let waiting = FakeCall()
        #expect(try failure(bench.run()).kind == .memory)
        #expect(bench.function.handles(.request), "a lost isolate does not change what the module exports")
        bench.exchange.request.remove(named: Span("x-twice"))
        #expect(line(bench.run(.request, waiting)) == "respond 0 yes")
        #expect(bench.function.counters.isolatesMade == 2)
        #expect(bench.function.counters.failures(.memory) == 1)
    }

    @Test func callsThatWaitInALostIsolateFailWithItAndLossesAreRateLimited() throws {
        let bench = try Bench("""
            export default { onRequest(request) {
              if (!request.headers.has("x-twice")) return new Promise(() => {});
              const hold = []; for (;;) hold.push({ a: [1, 2, 3], b: hold.length });
            } }
            """, limits: { $0.memoryBytes = 16 << 20 })
        let waiting = FakeCall(), other = Exchange()
        fillExchange(other)
        other.request.remove(named: Span("x-twice"))
        _ = bench.runtime.start(waiting, bench.function, bench.binding, .request, other)
        for _ in 0..<5 { #expect(try failure(bench.run()).kind == .memory) }
        #expect(try failure(waiting.outcomes.first).kind == .memory)
        #expect(try failure(bench.run()).kind == .unavailable)
        bench.advance(milliseconds: 11_000)
        #expect(try failure(bench.run()).kind == .memory)
    }

    @Test func aHugeBufferIsARangeErrorNotADeath() throws {
        let bench = try Bench("""
            export default { onRequest() { try { new Uint8Array(1 << 30); } catch (error) { return new Response(error.name); } } }
            """)
        #expect(line(bench.run()) == "respond RangeError")
    }

    @Test func tooManySubrequestsOrTimersEndInTheirFailure() throws {
        let bench = try Bench("""
            export default { async onRequest(r, env) { await Promise.all([env.a.fetch("/1"), env.a.fetch("/2"), env.a.fetch("/3")]); } }
            """, upstreams: ["a"], limits: { $0.subrequests = 2 })
        let found = try failure(bench.run())
        #expect(found.kind == .subrequests)
        #expect(found.message.contains("limit of 2 sub-requests"))
        let timers = try Bench("export default { onRequest() { for (;;) setTimeout(() => {}, 1000); } }", limits: { $0.timers = 10 })
        #expect(line(timers.run()).contains("limit of 10 timers"))
    }

    @Test func aCancelledCallIsForgottenAndLateAnswersAreIgnored() throws {
        let bench = try Bench("""
            export default { async onRequest(request, env) { await env.a.fetch("/"); console.log("never"); } }
            """, upstreams: ["a"])
        bench.run()
        bench.call.cancel()
        #expect(bench.call.isIdle)
        bench.call.subrequestFinished(1, Head(), body: [])
        bench.advance(milliseconds: 60_000)
        #expect(bench.call.outcomes.isEmpty)
        #expect(bench.host.lines.isEmpty)
        #expect(bench.function.callsUnderWay == 0)
    }

    @Test func unhandledRejectionsAreLoggedWithTheirPlace() throws {
        let bench = try Bench("export default { onRequest() { Promise.reject(new Error('lost')); } }")
        #expect(line(bench.run()) == "proceed unchanged")
        #expect(bench.host.lines == ["under test 2: Unhandled rejection: hooks/a.js:1:47: Error: lost"])
    }

    @Test(arguments: [
        ("export default {", "hooks/a.js:1:17"), ("import './none.js'; export default {};", "hooks/a.js:1:"),
        ("\n  throw new Error('at load');", "hooks/a.js:2:9"), ("export default {};", "has no handler"),
        ("export default 5;", "not an object"), ("export const a = 1;", "has no handler"), ("await new Promise(() => {});", "hooks/a.js"),
        ("while (true) {}", "did not finish loading"), ("setTimeout(() => {}, 1); export default { onRequest() {} };", "while the module loads"),
    ])
    func aModuleThatCannotServeIsRefusedAtLoadWithItsPlace(_ code: String, _ expected: String) {
        do {
            _ = try Bench(code)
            Issue.record("loaded: \(code)")
        } catch {
            #expect("\(error)".contains(expected), "\(code): \(error)")
            #expect("\(error)".contains("function under test"))
        }
    }

    @Test func argumentsThatAreNotJSONAreRefused() {
        #expect(throws: HookLoadError.self) { try Bench("export default { onRequest() {} }", arguments: "{") }
    }
}
