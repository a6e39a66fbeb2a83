import HTTP
import Testing

@testable import Hooks

struct EvictionTests {
    private func load(_ runtime: HookRuntime, _ name: String) throws -> (HookFunction, HookBinding) {
        let code = "let n = 0; export default { onRequest(request, env, ctx) { n++; return new Response(ctx.args.word + n); } };"
        let function = try runtime.load(HookSource(name: name, main: "a.js", modules: ["a.js": code]))
        return (function, try function.bind(HookRule(name: name, file: "r.yaml", line: 1, arguments: "{\"word\":\"w\"}")))
    }

    private func run(_ runtime: HookRuntime, _ function: (HookFunction, HookBinding)) -> String {
        let exchange = Exchange()
        fillExchange(exchange)
        guard case .finished(let outcome) = runtime.start(FakeCall(), function.0, function.1, .request, exchange) else { return "pending" }
        return line(outcome)
    }

    @Test func theLeastRecentlyUsedGoFirstAndComeBackWithTheirBindings() throws {
        let host = FakeHost()
        let runtime = HookRuntime(host: host)
        let all = try (0..<4).map { try load(runtime, "f\($0)") }
        for index in [2, 0, 3, 1] {
            host.clock += 1_000_000
            #expect(run(runtime, all[index]) == "respond w1")
        }
        #expect(runtime.census.heapBytes == 0)
        runtime.look(at: 3)
        runtime.look(at: 1)
        let census = runtime.census
        #expect(census.isolates == 4 && census.contexts == 4 && census.heapBytes > 4 * 100_000)
        #expect(census.detachedContexts == 0 && census.callsUnderWay == 0)
        let one = all[0].0.footprint
        #expect(one > 100_000)
        #expect(runtime.evict(beyond: 10 * one) == 0)
        #expect(runtime.evict(beyond: one * 5 / 2) == 2)
        #expect(all.map(\.0.hasIsolate) == [false, true, false, true])
        #expect(all[2].0.handles(.request))
        #expect(run(runtime, all[2]) == "respond w1")
        #expect(run(runtime, all[1]) == "respond w2")
    }

    @Test func whatNobodyHasUsedIsNotLookedAtAgain() throws {
        let host = FakeHost()
        let runtime = HookRuntime(host: host)
        let all = try (0..<3).map { try load(runtime, "f\($0)") }
        runtime.look(at: 3, atMost: 2)
        #expect(all.count { $0.0.seen != nil } == 2)
        runtime.look(at: 3)
        #expect(all.allSatisfy { $0.0.seen != nil })
        let before = all.map { $0.0.memoryLastSeen }
        host.clock += 1_000_000
        #expect(run(runtime, all[1]) == "respond w1")
        #expect(all[0].0.look() == false && all[2].0.look() == false)
        #expect(all[1].0.look())
        #expect(all[0].0.memoryLastSeen == before[0] && all[1].0.memoryLastSeen > before[1])
        // Now and then all the same: garbage is collected without a call.
        #expect((0..<40).contains { _ in all[0].0.look() })
    }

    @Test func aFunctionWithCallsUnderWayKeepsItsIsolate() throws {
        let bench = try Bench("export default { onRequest() { return new Promise((resolve) => setTimeout(resolve, 50)); } };")
        #expect(line(bench.run()) == "pending")
        #expect(bench.runtime.evict(beyond: 0) == 0)
        bench.advance(milliseconds: 60)
        #expect(bench.call.outcomes.count == 1)
        #expect(bench.runtime.evict(beyond: 0) == 1)
    }
}
