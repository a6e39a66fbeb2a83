import Buffers
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

    private static let socket = """
        const kept = [];
        export default { fetch(request) {
          const [client, server] = Object.values(new WebSocketPair());
          server.accept();
          setInterval(() => kept.push(server), 10);
          return new Response(null, { status: 101, webSocket: client });
        } };
        """

    /// A function of a tenant with a WebSocket that is open.
    private func open(_ runtime: HookRuntime, _ name: String, of tenant: String) throws -> (HookFunction, FakeCall) {
        var source = HookSource(name: name, main: "a.js", modules: ["a.js": Self.socket])
        source.tenant = tenant
        let function = try runtime.load(source)
        let binding = try function.bind(HookRule(name: name, file: "r.yaml", line: 1, arguments: "{}"))
        let exchange = Exchange(), call = FakeCall()
        fillExchange(exchange)
        exchange.request.setMethod(Span("GET"))
        exchange.request.add(.upgrade, "websocket")
        guard case .finished = runtime.start(call, function, binding, .fetch, exchange) else { return (function, call) }
        return (function, call)
    }

    @Test func whatAWebSocketHoldsEndsWhenNothingElseIsLeft() throws {
        let host = FakeHost()
        let runtime = HookRuntime(host: host)
        let (lone, loneCall) = try open(runtime, "lone", of: "a")
        host.clock += 1_000_000
        let (first, firstCall) = try open(runtime, "first", of: "b")
        host.clock += 1_000_000
        let (second, secondCall) = try open(runtime, "second", of: "b")
        #expect(loneCall.isSocketOpen && firstCall.isSocketOpen && secondCall.isSocketOpen)
        #expect(runtime.evict(beyond: 0) == 0 && runtime.giveUpHeld(beyond: 0) == nil, "all were used a moment ago")
        host.clock += 2_000_000_000
        #expect(runtime.giveUpHeld(beyond: .max) == nil)
        firstCall.socketMessage(HookMessage(Array("hello".utf8), isText: true, fromClient: true))
        host.clock += 500_000_000
        #expect(runtime.giveUpHeld(beyond: 0) === second, "of the tenant that holds most, and that nobody spoke to lately")
        #expect(!second.hasIsolate && !secondCall.isSocketOpen && secondCall.isIdle)
        host.clock += 2_000_000_000
        #expect(runtime.giveUpHeld(beyond: 0) === lone && runtime.giveUpHeld(beyond: 0) === first)
        #expect(!loneCall.isSocketOpen && !firstCall.isSocketOpen && runtime.giveUpHeld(beyond: 0) == nil)
        runtime.fireTimers(host.clock)
        let (_, again) = try open(runtime, "again", of: "b")
        #expect(again.isSocketOpen)
    }

    @Test func callsThatWaitEndOnlyWhereAllHaveTo() throws {
        let bench = try Bench("export default { onRequest() { return new Promise(() => {}); } };")
        #expect(line(bench.run()) == "pending")
        bench.host.clock += 2_000_000_000
        #expect(bench.runtime.giveUpHeld(beyond: 0) == nil && bench.call.outcomes.isEmpty)
        #expect(bench.runtime.giveUpHeld(beyond: 0, all: true) != nil && bench.call.outcomes.count == 1)
        guard case .failed(let failure) = bench.call.outcomes[0] else { return #expect(Bool(false)) }
        #expect(failure.kind == .memory && failure.message.contains("memory is short"))
    }
}
