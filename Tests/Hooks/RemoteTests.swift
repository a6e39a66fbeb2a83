import Buffers
import HTTP
import Testing

@testable import Hooks

/// A worker's end and a cordon's end in one process, joined without a ring.
final class RemotePair {
    final class Worker: RemoteHooks {
        var clock: UInt64 = 1_000_000_000
        var lines: [String] = []
        override var now: UInt64 { clock }
        override func log(_ level: Int, _ function: RemoteFunction, _ call: HookCall?, _ text: String) { lines.append(text) }
    }

    final class Cordon: RemoteServer {
        var clock: UInt64 = 1_000_000_000
        override var now: UInt64 { clock }
    }

    let worker = Worker()
    var cordon = Cordon()
    let function: RemoteFunction
    let binding: HookBinding
    let call: FakeCall
    let exchange = Exchange()

    init(_ code: String, arguments: String = "{}", upstreams: [String] = [], limits change: (inout HookLimits) -> Void = { _ in },
         source more: (inout HookSource) -> Void = { _ in }, call: FakeCall = FakeCall()) throws {
        self.call = call
        var source = HookSource(name: "f", main: "f.js", modules: ["f.js": code])
        source.upstreams = upstreams
        change(&source.limits)
        more(&source)
        function = worker.load(source)
        binding = function.bind(HookRule(name: "rule", file: "rules.yaml", line: 3, arguments: arguments))
        RemotePair.fill(exchange)
        cordon.greet()
        worker.connect()
        try move()
    }

    /// Memory that both sides see, as the ring of a real cordon has it behind it.
    func shareSlabs(_ count: Int = 8) {
        @safe final class Memory {
            let base = UnsafeMutableRawPointer.allocate(byteCount: 8 << 16, alignment: 4096)
            deinit { unsafe base.deallocate() }
        }
        let memory = Memory()
        worker.slabs = unsafe SharedSlabs(base: memory.base, count: count, keeping: memory)
        cordon.slabs = unsafe SharedSlabs(base: memory.base, count: count, keeping: memory)
    }

    static func fill(_ exchange: Exchange) {
        exchange.request.setMethod(Span("GET"))
        exchange.request.authority = exchange.request.arena.append("example.com")
        exchange.request.setPath(Span("/a"))
        exchange.request.add(.userAgent, "test")
        exchange.requestID = RequestID(high: 1, low: 2)
    }

    func start(_ call: FakeCall? = nil, _ phase: HookPhase = .request) throws {
        worker.start(call ?? self.call, function, binding, phase, exchange)
        try move()
    }

    /// Carries messages until neither side has any.
    func move() throws {
        cordon.returnSlabs()
        while worker.outgoing.count > 0 || cordon.outgoing.count > 0 {
            for message in RemotePair.take(&worker.outgoing) { try cordon.receive(message.span) }
            for message in RemotePair.take(&cordon.outgoing) { try worker.receive(message.span) }
            cordon.returnSlabs()
        }
    }

    /// Only what the worker says reaches the other side; answers stay where they are.
    func moveToCordon() throws { for message in RemotePair.take(&worker.outgoing) { try cordon.receive(message.span) } }

    /// A message as a cordon that was taken over may write it.
    static func reply(_ kind: RemoteReply, _ call: UInt64, _ write: (inout WireWriter) -> Void) -> [UInt8] {
        var wire = WireWriter()
        wire.begin(kind.rawValue)
        wire.number32(UInt32(call))
        write(&wire)
        wire.end()
        return take(&wire)[0]
    }

    static func take(_ wire: inout WireWriter) -> [[UInt8]] {
        var messages: [[UInt8]] = [], at = 0
        let all = wire.arena[wire.arena.range(since: 0)].array()
        while at < all.count {
            let length = (0..<4).reduce(0) { $0 | Int(all[at + $1]) << (8 * $1) }
            messages.append(Array(all[at + 4..<at + 4 + length]))
            at += 4 + length
        }
        wire.removeAll()
        return messages
    }
}

struct RemoteTests {
    @Test(arguments: [("fetch() { return new Response('from fetch'); }", "respond from fetch"), ("onRequest() { return new Response('from onRequest'); }", "respond from onRequest"),
                      ("5", "failed unavailable")])
    func aCallThatComesBeforeItsFunctionIsLoadedFindsTheHandler(handler: String, expected: String) throws {
        let pair = try RemotePair("export default { onRequest() {} };")
        let late = pair.worker.load(HookSource(name: "late", main: "late.js", modules: ["late.js": "export default { \(handler) };"]))
        let binding = late.bind(HookRule(name: "rule", file: "rules.yaml", line: 4))
        pair.worker.start(pair.call, late, binding, .request, pair.exchange)
        try pair.move()
        #expect(line(pair.call.outcomes.last).hasPrefix(expected))
    }

    @Test func editsOfACordonReachTheExchange() throws {
        let pair = try RemotePair("""
            export default { onRequest(request, env, ctx) {
              request.headers.set("x-a", request.headers.get("user-agent") + ctx.args.n + ctx.requestId.length);
              request.headers.delete("user-agent");
              ctx.vars.set("v", "1");
              ctx.state.kept = 1;
            } };
            """, arguments: "{\"n\":7}")
        #expect(pair.function.handlers == 1)
        try pair.start()
        guard case .proceed(.unchanged)? = pair.call.outcomes.first else { Issue.record("\(pair.call.outcomes)"); return }
        #expect(pair.exchange.request.text(of: "x-a") == "test732")
        #expect(pair.exchange.request.text(of: "user-agent") == nil)
        #expect(pair.exchange.vars.count == 1)
        #expect(!pair.call.state.isEmpty)
        #expect(pair.call.isIdle && pair.worker.callsUnderWay == 0)
    }

    @Test func aFunctionThatOnlyFetchesIsRunInThatPhase() throws {
        let pair = try RemotePair("export default { async fetch(request) { const r = await fetch(request); return new Response(r.body, {status: 299}); } };")
        try pair.start()
        #expect(pair.call.sent == [.unchanged] && pair.call.phase == .fetch)
        pair.exchange.response.status = 200
        pair.exchange.response.body = .known(3)
        pair.call.originArrived()
        try pair.move()
        guard case .respond(.unchanged)? = pair.call.outcomes.first else { Issue.record("\(pair.call.outcomes)"); return }
        #expect(pair.exchange.response.status == 299)
    }

    @Test func bodiesSubrequestsAndTailsPass() throws {
        let pair = try RemotePair("""
            export default { async onRequest(request, env, ctx) {
              const text = await request.text();
              const reply = await env.up.fetch("/x", {method: "POST", body: text});
              ctx.waitUntil(new Promise(() => {}));
              return new Response(reply.status + await reply.text());
            } };
            """, upstreams: ["up"])
        pair.exchange.request.body = .known(3)
        try pair.start()
        #expect(pair.call.bodiesWanted == [.request])
        pair.call.bodyArrived(.request, Array("abc".utf8))
        try pair.move()
        #expect(pair.call.subrequests.first?.body == Array("abc".utf8))
        var head = Head()
        head.status = 201
        pair.call.subrequestFinished(1, head, body: Array("def".utf8))
        try pair.move()
        guard case .respond(.bytes(let body))? = pair.call.outcomes.first else { Issue.record("\(pair.call.outcomes)"); return }
        #expect(body == Array("201def".utf8))
        #expect(!pair.call.isIdle)
        pair.cordon.clock += 40_000_000_000
        pair.cordon.fireTimers(pair.cordon.clock)
        try pair.move()
        #expect(pair.call.releases == 1 && pair.call.isIdle)
    }

    @Test func aThrownErrorKeepsItsPlace() throws {
        let pair = try RemotePair("export default { onRequest() {\n  null.x;\n} };")
        try pair.start()
        guard case .failed(let failure)? = pair.call.outcomes.first else { Issue.record("\(pair.call.outcomes)"); return }
        #expect(failure.kind == .error && failure.file == "f.js" && failure.line == 2 && failure.rule == "rule")
    }

    @Test func whatALostCordonHeldRunsAgainUnlessItIsToBlameOrWasSeenOutside() throws {
        let pair = try RemotePair("""
            export default { async onRequest(request, env) {
              if (request.headers.has("x-ask")) await env.up.fetch("/");
              await new Promise((resolve) => setTimeout(resolve, 5));
              return new Response("done");
            } };
            """, upstreams: ["up"])
        let innocent = FakeCall(), guilty = FakeCall(), seen = FakeCall()
        try pair.start(innocent)
        try pair.start(guilty)
        pair.exchange.request.add(name: Span("x-ask"), value: Span("1"))
        try pair.start(seen)
        let number = guilty.numberElsewhere
        let culprit = pair.worker.disconnect(running: number) {
            pair.worker.failure($0.numberElsewhere == number ? .cpu : .unavailable, $0, "lost")
        }
        #expect(culprit === pair.function)
        #expect(innocent.outcomes.isEmpty)
        for (call, kind) in [(guilty, HookFailure.Kind.cpu), (seen, .unavailable)] {
            guard case .failed(let failure)? = call.outcomes.first else { Issue.record("\(call.outcomes)"); continue }
            #expect(failure.kind == kind && call.isIdle)
        }
        #expect(seen.cancelled == [1])
        pair.exchange.request.remove(named: Span("x-ask"))
        pair.cordon = RemotePair.Cordon()
        pair.worker.connect()
        try pair.move()
        pair.cordon.clock += 10_000_000
        pair.cordon.fireTimers(pair.cordon.clock)
        try pair.move()
        guard case .respond(.bytes)? = innocent.outcomes.first else { Issue.record("\(innocent.outcomes)"); return }
        #expect(pair.worker.repeats == 1)
        // A second loss is one too many.
        let again = FakeCall()
        try pair.start(again)
        _ = pair.worker.disconnect(running: 0) { pair.worker.failure(.unavailable, $0, "lost") }
        pair.worker.connect()
        _ = pair.worker.disconnect(running: 0) { pair.worker.failure(.unavailable, $0, "lost") }
        #expect(again.outcomes.count == 1)
    }

    @Test func aCallThatIsOverItsWallEndsHereToo() throws {
        let pair = try RemotePair("export default { onRequest() { return new Promise(() => {}); } };") { $0.wallMilliseconds = 100 }
        try pair.start()
        pair.worker.clock += 1_000_000_000
        pair.worker.endOverdueCalls(pair.worker.clock)
        guard case .failed(let failure)? = pair.call.outcomes.first else { Issue.record("\(pair.call.outcomes)"); return }
        #expect(failure.kind == .wall)
        // What the cordon says of it later names nobody.
        pair.cordon.clock += 1_000_000_000
        pair.cordon.fireTimers(pair.cordon.clock)
        try pair.move()
        #expect(pair.call.outcomes.count == 1 && pair.call.isIdle)
    }

    @Test func aProcessThatDiesInsideACallThatWasGivenUpIsStillKnownForIt() throws {
        let pair = try RemotePair("export default { async onRequest() { await new Promise(() => {}); } };", limits: { $0.wallMilliseconds = 500 })
        try pair.start()
        pair.call.cancel()
        let culprit = pair.worker.disconnect(running: pair.call.numberElsewhere) { pair.worker.failure(.cpu, $0, "lost") }
        #expect(culprit === pair.function && pair.call.isIdle && pair.call.outcomes.isEmpty && pair.call.releases == 1)
    }

    // MARK: A hostile cordon

    private func hangingPair() throws -> RemotePair {
        let pair = try RemotePair("export default { onRequest() { return new Promise(() => {}); } };", upstreams: ["up"])
        try pair.start()
        return pair
    }

    @Test(arguments: ["bad\r\nfield", "a b", ""])
    func aFieldThatHTTPDoesNotAllowIsABreach(_ name: String) throws {
        let pair = try hangingPair()
        let message = RemotePair.reply(.finished, pair.call.numberElsewhere) { wire in
            wire.byte(RemoteOutcome.proceed.rawValue)
            wire.flag(false)
            wire.number(1)
            wire.array([])
            wire.number32(0)
            wire.byte(1)
            wire.byte(0)
            wire.byte(1)
            wire.string(name)
            wire.string("x")
            wire.byte(0)
        }
        #expect(throws: WireError.self) { try pair.worker.receive(message.span) }
        #expect(pair.call.outcomes.isEmpty)
    }

    @Test func framingFieldsStayTheGateways() throws {
        let pair = try hangingPair()
        let message = RemotePair.reply(.finished, pair.call.numberElsewhere) { wire in
            wire.byte(RemoteOutcome.proceed.rawValue)
            wire.flag(false)
            wire.number(.max)
            wire.array([])
            wire.number32(0)
            wire.array([])
            for name in ["content-length", "transfer-encoding", "host", "connection"] {
                wire.byte(1)
                wire.byte(0)
                wire.byte(1)
                wire.string(name)
                wire.string("9")
            }
            wire.byte(0)
        }
        try pair.worker.receive(message.span)
        #expect(pair.worker.fieldsRefused == 4)
        #expect(pair.exchange.request.text(of: "content-length") == nil)
        #expect(pair.call.cpuNanoseconds < 10_000_000_000)
    }

    @Test func messagesThatMakeNoSenseAreBreachesAndNeverTraps() throws {
        var generator = Seeded(state: 42)
        let pair = try RemotePair("""
            export default { async onRequest(request, env, ctx) {
              console.log("x");
              env.KV.put("k", "v", { metadata: { a: 1 }, expirationTtl: 9 }).catch(() => {});
              env.KV.list({ prefix: "p", limit: 7 }).catch(() => {});
              fetch("https://out.test/").catch(() => {});
              const reply = await env.up.fetch("/x");
              return new Response("y", {status: 201, headers: {"x-a": "b"}});
            } };
            """, upstreams: ["up"], source: {
                $0.stores = [HookStoreGrant(name: "KV", largestValue: 100)]
                $0.reachesOutside = true
            })
        var seeds: [[UInt8]] = []
        pair.worker.start(pair.call, pair.function, pair.binding, .request, pair.exchange)
        try pair.moveToCordon()
        for message in RemotePair.take(&pair.cordon.outgoing) {
            seeds.append(message)
            try pair.worker.receive(message.span)
        }
        #expect(pair.call.subrequests.map(\.upstream).sorted() == [HookSubrequest.outside, 0])
        let asked = try #require(pair.call.subrequests.first { $0.upstream == 0 })
        pair.call.subrequestFinished(asked.id, Head(), body: [])
        try pair.moveToCordon()
        seeds += RemotePair.take(&pair.cordon.outgoing)
        #expect(seeds.count >= 6)
        for round in 0..<20_000 {
            var message = seeds[round % seeds.count]
            for _ in 0...Int.random(in: 0..<3, using: &generator) {
                let at = Int.random(in: 0..<message.count, using: &generator)
                message[at] = UInt8.random(in: 0...255, using: &generator)
            }
            if round % 3 == 0 { message.removeLast(Int.random(in: 0..<message.count, using: &generator)) }
            if message.isEmpty { continue }
            if pair.call.isIdle { pair.worker.start(pair.call, pair.function, pair.binding, .request, pair.exchange) }
            // The number of the call is kept right, so that what is behind it is looked at.
            if message.count >= 5, message[0] == RemoteReply.store.rawValue
                || (RemoteReply.finished.rawValue...RemoteReply.cancelSubrequest.rawValue).contains(message[0]) {
                for index in 0..<4 { message[1 + index] = UInt8(truncatingIfNeeded: pair.call.numberElsewhere >> UInt64(8 * index)) }
            }
            try? pair.worker.receive(message.span)
            pair.worker.outgoing.removeAll()
        }
    }

    private struct Seeded: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }
}
