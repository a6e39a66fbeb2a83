import Buffers
import HTTP
import Testing

@testable import Hooks

/// Runs by the clock: a handler without a request.
@Suite struct ScheduledTests {
    func bench(_ code: String) throws -> Bench {
        let bench = try Bench(code, arguments: "{\"cron\":\"*/5 * * * *\"}")
        bench.exchange.reset()
        bench.exchange.vars.set(Array("scheduled_time".utf8).span, Array("1795653000".utf8).span)
        return bench
    }

    @Test func `the handler is told what is due`() throws {
        let bench = try bench("""
            export default { async scheduled(event, env, ctx) {
              console.log(event.cron, event.scheduledTime, event.type, env.MODE, ctx.args.cron);
              ctx.waitUntil(Promise.resolve().then(() => console.log("later")));
              return new Response("nobody reads this");
            } };
            """)
        #expect(bench.function.handles(.scheduled) && !bench.function.handles(.request))
        guard case .proceed(.unchanged)? = bench.run(.scheduled) else { Issue.record("\(bench.call.outcomes)"); return }
        #expect(bench.host.lines.first == "under test 1: */5 * * * * 1795653000000 scheduled test */5 * * * *" && bench.host.lines.last?.hasSuffix("later") == true)
    }

    @Test func `code in service-worker style has an event`() throws {
        let bench = try bench("""
            addEventListener("scheduled", (event) => {
              event.waitUntil((async () => { console.log(event.type, event.cron, event.scheduledTime); })());
            });
            """)
        guard case .proceed? = bench.run(.scheduled) else { Issue.record("\(bench.call.outcomes)"); return }
        #expect(bench.host.lines == ["under test 1: scheduled */5 * * * * 1795653000000"])
    }

    @Test func `what it throws or never ends is a failure`() throws {
        let thrown = try bench("export default { scheduled() { throw new Error('no'); } };")
        guard case .failed(let failure)? = thrown.run(.scheduled) else { Issue.record("it did not fail"); return }
        #expect(failure.kind == .error && failure.message == "Error: no")
        let endless = try bench("export default { async scheduled() { await new Promise(() => {}); } };")
        #expect(endless.run(.scheduled) == nil)
        endless.advance(milliseconds: 10_001)
        guard case .failed(let failure)? = endless.call.outcomes.first else { Issue.record("\(endless.call.outcomes)"); return }
        #expect(failure.kind == .wall)
    }

    @Test func `a cordon runs it too`() throws {
        let pair = try RemotePair("export default { scheduled(event) { console.log(event.cron, event.scheduledTime); } };", arguments: "{\"cron\":\"@daily\"}")
        pair.exchange.vars.set(Array("scheduled_time".utf8).span, Array("60".utf8).span)
        try pair.start(nil, .scheduled)
        guard case .proceed? = pair.call.outcomes.first else { Issue.record("\(pair.call.outcomes)"); return }
        #expect(pair.worker.lines == ["@daily 60000"])
    }
}
