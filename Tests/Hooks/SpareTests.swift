import HTTP
import Testing

@testable import Hooks

/// Functions that begin in an isolate made ahead, and functions that are loaded when they are first asked for.
struct SpareTests {
    private final class SparingHost: HookHost {
        var spares: [HookSpare] = []
        var asked: [SpareKind] = []
        override func takeSpare(_ kind: SpareKind) -> HookSpare? {
            asked.append(kind)
            return spares.popLast()
        }
    }

    private static let code = """
        let n = 0;
        export default { onRequest(request, env, ctx) { n++; return new Response(ctx.args.word + n + new Uint8Array(4).length); } };
        """

    private func run(_ runtime: HookRuntime, _ function: HookFunction, _ binding: HookBinding) -> String {
        let exchange = Exchange()
        fillExchange(exchange)
        guard case .finished(let outcome) = runtime.start(FakeCall(), function, binding, .request, exchange) else { return "pending" }
        return line(outcome)
    }

    private func rule() -> HookRule { HookRule(name: "r", file: "r.yaml", line: 1, arguments: "{\"word\":\"w\"}") }

    @Test func aRegisteredFunctionIsLoadedByItsFirstCallInAnIsolateMadeAhead() async throws {
        let host = SparingHost()
        let runtime = HookRuntime(host: host)
        let source = HookSource(name: "f", main: "a.js", modules: ["a.js": Self.code])
        let kind = SpareKind(source.limits)
        host.spares = [try #require(await Task.detached { HookSpare(kind) }.value)]
        let function = runtime.register(source)
        let binding = try function.bind(rule())
        #expect(!function.hasIsolate)
        #expect(run(runtime, function, binding) == "respond w14")
        #expect(host.asked == [kind])
        #expect(host.spares.isEmpty)
        #expect(run(runtime, function, binding) == "respond w24")
    }

    @Test func withoutASpareTheIsolateIsMadeOnTheSpot() throws {
        let host = SparingHost()
        let runtime = HookRuntime(host: host)
        let function = runtime.register(HookSource(name: "f", main: "a.js", modules: ["a.js": Self.code]))
        let binding = try function.bind(rule())
        #expect(function.handles(.request))
        #expect(!function.handles(.response))
        #expect(run(runtime, function, binding) == "respond w14")
    }

    @Test func warmingUpLoadsOnceAndNeverAgain() throws {
        let runtime = HookRuntime(host: SparingHost())
        let function = runtime.register(HookSource(name: "f", main: "a.js", modules: ["a.js": Self.code]))
        #expect(function.warmUp())
        #expect(function.hasIsolate)
        #expect(!function.warmUp())
        #expect(runtime.evict(beyond: 0) == 1)
        #expect(!function.warmUp())
    }

    @Test func aRegisteredFunctionThatDoesNotLoadFailsItsCallsWithTheReason() throws {
        let runtime = HookRuntime(host: SparingHost())
        let function = runtime.register(HookSource(name: "f", main: "a.js", modules: ["a.js": "\nthrow new Error('not today');"]))
        let binding = try function.bind(rule())
        #expect(function.handles(.request))
        let exchange = Exchange()
        fillExchange(exchange)
        guard case .finished(.failed(let failure)) = runtime.start(FakeCall(), function, binding, .request, exchange) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.kind == .unavailable)
        #expect(failure.message.contains("a.js:2:7: Error: not today"))
    }

    @Test func bytecodeIsUsedWhenTheIsolateIsMadeAgain() throws {
        let runtime = HookRuntime(host: SparingHost())
        let modules = ["a.js": Self.code]
        let function = runtime.register(HookSource(name: "f", main: "a.js", modules: modules))
        let binding = try function.bind(rule())
        function.bytecode = HookBytecode.make([modules])[0]
        #expect(run(runtime, function, binding) == "respond w14")
        #expect(runtime.evict(beyond: 0) == 1)
        #expect(run(runtime, function, binding) == "respond w14")
        #expect(function.counters.cachesUsed == 2)
        #expect(function.counters.cachesRefused == 0)
    }
}
