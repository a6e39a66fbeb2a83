import HTTP
import Isolates
import Testing

@testable import Hooks

/// `isolation: request`: no call sees what another one left.
struct WorldTests {
    private final class TidyHost: HookHost {
        var clock: UInt64 = 1_000_000_000
        var wants = 0
        override var now: UInt64 { clock }
        override func wantsTidying() { wants += 1 }
    }

    private static let leaky = """
        let n = 0;
        export default {
          onRequest(request, env, ctx) {
            n++;
            const seen = [n, String(globalThis.secret), String({}.polluted), String([].last)].join(" ");
            globalThis.secret = "s";
            Object.prototype.polluted = "p";
            Array.prototype.last = "l";
            Headers.prototype.get = () => "forged";
            return new Response(ctx.args.word + " " + seen + " " + request.headers.get("x-none"));
          },
        };
        """

    private let host = TidyHost()

    private func load(_ code: String, _ isolation: HookSource.Isolation = .request) throws -> (HookRuntime, HookFunction, HookBinding) {
        let runtime = HookRuntime(host: host)
        var source = HookSource(name: "f", main: "a.js", modules: ["a.js": code])
        source.isolation = isolation
        let function = try runtime.load(source)
        return (runtime, function, try function.bind(HookRule(name: "r", file: "r.yaml", line: 1, arguments: "{\"word\":\"w\"}")))
    }

    private func run(_ loaded: (HookRuntime, HookFunction, HookBinding), _ call: FakeCall = FakeCall()) -> String {
        let exchange = Exchange()
        fillExchange(exchange)
        guard case .finished(let outcome) = loaded.0.start(call, loaded.1, loaded.2, .request, exchange) else { return "pending" }
        return line(outcome)
    }

    @Test func everyCallFindsTheWorldAsItWas() throws {
        let loaded = try load(Self.leaky)
        for _ in 0..<5 {
            #expect(run(loaded) == "respond w 1 undefined undefined undefined forged")
            loaded.0.tidy()
        }
        #expect(host.wants == 5)
    }

    @Test func withTheDefaultTheyShareOne() throws {
        let loaded = try load(Self.leaky, .worker)
        #expect(run(loaded) == "respond w 1 undefined undefined undefined forged")
        #expect(run(loaded) == "respond w 2 s p l forged")
        #expect(host.wants == 0)
        #expect(loaded.1.counters.worldsMade == 0)
    }

    @Test func withoutTidyingItIsTheSameOnlyLater() throws {
        let loaded = try load(Self.leaky)
        for _ in 0..<100 { #expect(run(loaded) == "respond w 1 undefined undefined undefined forged") }
        #expect(loaded.1.counters.worldsMade == 100)
        #expect((loaded.1.loaded?.worldsInUse ?? 9) <= 2)
    }

    @Test func callsAtOnceAreApart() throws {
        let loaded = try load("""
            let n = 0;
            export default { async onRequest(request, env, ctx) {
              const mine = ++n;
              await new Promise((done) => setTimeout(done, 10));
              return new Response(`${mine} of ${n}`);
            } };
            """)
        let calls = (0..<5).map { _ in FakeCall() }
        for call in calls { #expect(run(loaded, call) == "pending") }
        loaded.0.tidy()
        host.clock += 11_000_000
        loaded.0.fireTimers(host.clock)
        for call in calls { #expect(call.outcomes.map(line) == ["respond 1 of 1"]) }
        loaded.0.tidy()
        #expect(loaded.1.loaded?.worldsInUse == 1)
    }

    @Test func aWorldStaysAsLongAsItsCall() throws {
        let loaded = try load("""
            let n = 0;
            export default { onRequest(request, env, ctx) {
              ctx.waitUntil((async () => { for (let i = 0; i < 3; i++) { await new Promise((done) => setTimeout(done, 10)); n++; } console.log("n is", n); })());
              return new Response("now");
            } };
            """)
        let call = FakeCall()
        #expect(run(loaded, call) == "respond now")
        loaded.0.tidy()
        #expect(run(loaded) == "respond now")
        for _ in 0..<3 {
            host.clock += 11_000_000
            loaded.0.fireTimers(host.clock)
        }
        #expect(call.releases == 1)
        loaded.0.tidy()
        #expect(loaded.1.loaded?.worldsInUse == 1)
    }

    @Test func tooManyCallsAtOnceEndInTheirPolicy() throws {
        let loaded = try load("export default { onRequest() { return new Promise(() => setTimeout(() => {}, 1e6)); } };")
        let calls = (0...HookFunction.worldLimit).map { _ in FakeCall() }
        for call in calls.dropLast() { #expect(run(loaded, call) == "pending") }
        #expect(run(loaded, calls[HookFunction.worldLimit]).contains("no world for one more call"))
        calls[0].cancel()
        #expect(run(loaded, calls[HookFunction.worldLimit]) == "pending")
        for call in calls.dropFirst() { call.cancel() }
    }

    @Test func aThousandWorldsLeaveNoMemoryBehind() throws {
        let loaded = try load("const big = new Array(10_000).fill(1.5); export default { onRequest() { return new Response(String(big.length)); } };")
        for _ in 0..<1_000 {
            #expect(run(loaded) == "respond 10000")
            loaded.0.tidy()
        }
        #expect(loaded.1.counters.isolatesMade == 1)
        #expect(loaded.1.memoryInUse < 64 << 20)
        #expect(loaded.1.loaded?.worldsInUse == 1)
    }

    /// What V8 does not survive: its marking reads the keys of weak tables, and one that is being read from a snapshot has keys that are
    /// not there yet. A world is read while V8 marks, sooner or later (docs/decisions, weak tables and snapshots).
    @Test func noWeakTableOfTheSnapshotHoldsAnything() throws {
        let source = """
            for (const type of [WeakMap, WeakSet]) {
              for (const name of ["set", "add"]) if (name in type.prototype) type.prototype[name] = () => { throw new Error("a weak table that is not empty"); };
            }

            """ + HookPrelude.source
        do throws(JSError) {
            _ = try Prelude(name: HookPrelude.name, source: source, operations: HookPrelude.operations, entries: HookPrelude.entries)
        } catch {
            Issue.record("\(error.message) \(error.stack)")
        }
    }

    @Test func aRuleThatIsBoundLaterIsKnownInEveryWorld() throws {
        let loaded = try load("export default { onRequest(request, env, ctx) { return new Response(ctx.args.word); } };")
        #expect(run(loaded) == "respond w")
        loaded.0.tidy()
        let second = try loaded.1.bind(HookRule(name: "q", file: "r.yaml", line: 2, arguments: "{\"word\":\"v\"}"))
        #expect(run((loaded.0, loaded.1, second)) == "respond v")
        #expect(run(loaded) == "respond w")
    }

    @Test func aHandlerThatIsStoppedTakesItsWorldAlong() throws {
        let loaded = try load("let n = 0; export default { onRequest(request) { if (n++ > 0) return new Response('used'); while (true) {} } };")
        let first = run(loaded)
        #expect(first.contains("CPU limit"))
        loaded.0.tidy()
        #expect(run(loaded).contains("CPU limit"))
    }
}
