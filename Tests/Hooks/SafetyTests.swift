import Buffers
import HTTP
import Testing

@testable import Hooks

/// What must never happen: another request's data, another function's globals, a forged head.
@Suite struct SafetyTests {
    @Test func anObjectKeptAfterItsRequestThrowsAndNeverSeesTheNextRequest() throws {
        let bench = try Bench("""
            let kept;
            export default { onRequest(request, env, ctx) {
              if (!kept) { kept = { request, headers: request.headers, ctx, copy: new Request(request), vars: ctx.vars }; return; }
              const tries = {
                get: () => kept.headers.get("user-agent"), all: () => [...kept.headers], set: () => kept.headers.set("a", "b"),
                has: () => kept.request.headers.has("cookie"), url: () => kept.request.url, method: () => kept.request.method,
                copy: () => kept.copy.headers.get("user-agent"), again: () => new Request(kept.request), clone: () => kept.copy.clone(),
                client: () => kept.ctx.client, vars: () => kept.vars.get("x"), id: () => kept.ctx.requestId,
                text: () => kept.copy.text(), next: () => kept.ctx.next() };
              const seen = Object.entries(tries).map(async ([name, run]) => {
                try { return `${name}: ${JSON.stringify(await run())}`; } catch (error) { return error.message === "this object was used after its request ended" ? "ok" : `${name}: ${error}`; }
              });
              return Promise.all(seen).then((all) => new Response(all.join(" ")));
            } }
            """)
        #expect(line(bench.run()) == "proceed unchanged")
        fillExchange(bench.exchange)
        bench.exchange.request.set(.userAgent, "secret of the second client")
        #expect(line(bench.run()) == "respond " + Array(repeating: "ok", count: 14).joined(separator: " "))
    }

    @Test func aResponseKeptAfterItsRequestCannotBeReturnedForAnother() throws {
        let bench = try Bench("""
            let kept;
            export default { onResponse(response) { if (kept) return kept; kept = new Response(response.body, response); } }
            """)
        bench.run(.response)
        #expect(line(bench.run(.response)).contains("used after its request ended"))
    }

    @Test func twoRequestsUnderWayInOneIsolateSeeTheirOwnData() throws {
        let bench = try Bench("""
            export default { async onRequest(request) {
              const before = request.headers.get("user-agent");
              await new Promise((done) => setTimeout(done, before === "one" ? 20 : 10));
              return new Response(before + " " + request.headers.get("user-agent"));
            } }
            """)
        let first = FakeCall(), second = FakeCall(), other = Exchange()
        fillExchange(other)
        bench.exchange.request.set(.userAgent, "one")
        other.request.set(.userAgent, "two")
        _ = bench.runtime.start(first, bench.function, bench.binding, .request, bench.exchange)
        _ = bench.runtime.start(second, bench.function, bench.binding, .request, other)
        bench.advance(milliseconds: 10)
        bench.advance(milliseconds: 10)
        #expect(line(first.outcomes.first) == "respond one one")
        #expect(line(second.outcomes.first) == "respond two two")
    }

    @Test func functionsDoNotShareGlobalsOrPrototypes() throws {
        let first = try Bench("""
            globalThis.shared = "leak"; Object.prototype.polluted = 1; Headers.prototype.get = () => "forged";
            export default { onRequest() {} }
            """)
        var source = HookSource(name: "second", main: "b.js", modules: ["b.js": """
            export default { onRequest(request) {
              return new Response(`${typeof shared} ${({}).polluted} ${request.headers.get("user-agent")}`); } }
            """])
        source.limits.cpuMicroseconds = 5_000_000
        let second = try first.runtime.load(source)
        let binding = try second.bind(HookRule(name: "r", file: "f", line: 1))
        guard case .finished(let outcome) = first.runtime.start(first.call, second, binding, .request, first.exchange) else { return }
        #expect(line(outcome) == "respond undefined undefined curl/8")
    }

    @Test func aHookThatFailsHalfWayHasChangedNothing() throws {
        let bench = try Bench("""
            export default { onRequest(request, env, ctx) {
              request.headers.set("user-agent", "changed"); request.headers.append("x-new", "1");
              throw new Error("half-way");
            } }
            """)
        #expect(line(bench.run()).contains("half-way"))
        #expect(bench.exchange.request.text(of: "user-agent") == "curl/8")
        #expect(bench.exchange.request.text(of: "x-new") == nil)
    }

    @Test(arguments: [
        "request.headers.set('a b', '1')", "request.headers.set('', '1')", "request.headers.set('a', 'x\\r\\ny: z')",
        "request.headers.set('a', '\\0')", "request.headers.append('a', '\\u0100')", "new Headers({ 'a:': '1' })",
        "request.headers.set('content-length', '1')", "request.headers.set('Transfer-Encoding', 'chunked')",
        "request.headers.append('connection', 'x')", "request.headers.set('host', 'evil')", "request.headers.set('upgrade', 'h2c')",
        "new Request('file:///etc/passwd', {}); return new Request('file:///etc/passwd')", "return new Request('http://u:p@h/')",
        "return new Request(request, { method: 'CONNECT' })", "return new Request(request, { method: 'a b' })",
        "return new Response('', { status: 199 })", "return new Response('', { status: 600 })",
        "return new Response('', { statusText: 'a\\nb' })", "return Response.error()",
    ])
    func whatHTTPForbidsIsRefused(_ code: String) throws {
        let bench = try Bench("export default { onRequest(request) { \(code) } }")
        let result = line(bench.run())
        #expect(result.hasPrefix("failed"), "\(code): \(result)")
        #expect(result.contains("hooks/a.js:"), "\(code): \(result)")
        #expect(bench.exchange.request.fields.count == 5)
    }

    @Test func theHostRefusesWhatATamperedPreludeLetsThrough() {
        #expect(staged(.set, .request, "a b", "x") == .malformed)
        #expect(staged(.set, .request, "a", "x\r\ny") == .malformed)
        #expect(staged(.set, .request, "a", "x\u{7f}") == .malformed)
        #expect(staged(.append, .response, "Content-Length", "9") == .refused)
        #expect(staged(.append, .response, "Transfer-Encoding", "chunked") == .refused)
        #expect(staged(.set, .request, "host", "h") == .refused)
        #expect(staged(.set, .response, "X-A", "\t ok \u{e4}") == .taken)
        for method in ["CONNECT", "TRACE", "GET /", ""] { #expect(!stages(method) { edits, text in edits.setMethod(text) }, "\(method)") }
        for url in ["http://", "http:///p", "ftp://a/", "http://a b/", "http://u@h/", "https://h/\u{1}", "/p"] {
            #expect(!stages(url) { edits, text in edits.setURL(text) }, "\(url)")
        }
        #expect(stages("https://h:1?q#f") { edits, text in edits.setURL(text) })
        #expect(!stages("") { edits, text in edits.setStatus(101, text) })
        #expect(!stages("a\nb") { edits, text in edits.setStatus(200, text) })
    }

    private func staged(_ action: StagedEdits.Action, _ side: HookSide, _ name: String, _ value: String) -> StagedEdits.Verdict {
        var edits = StagedEdits()
        var arena = ByteArena()
        let name = arena.append(name), value = arena.append(value)
        return edits.add(action, side, arena[name], arena[value])
    }

    private func stages(_ text: String, _ stage: (inout StagedEdits, borrowing Span<UInt8>) -> Bool) -> Bool {
        var edits = StagedEdits()
        var arena = ByteArena()
        let range = arena.append(text)
        return stage(&edits, arena[range])
    }

    @Test func logLinesCannotBeForgedAndAreBounded() throws {
        let bench = try Bench("""
            export default { onRequest() { console.warn("a\\r\\n{\\"level\\":\\"x\\"}\\u001b[2J\\u2028"); for (let i = 0; i < 100; i++) console.log("x".repeat(50)); } }
            """, limits: { $0.logBytes = 200 })
        bench.run()
        #expect(bench.host.lines.first == #"under test 2: a\r\n{"level":"x"}\x1b[2J\u2028"#)
        #expect(bench.host.lines.last?.hasSuffix("[the call's log limit of 200 bytes was reached]") == true)
        #expect(bench.host.lines.count < 6)
        #expect(bench.function.counters.logBytesDropped > 4_000)
    }

    @Test func nothingOfTheHostIsReachable() throws {
        let bench = try Bench("""
            export default { onRequest() {
              let evaluated; try { evaluated = eval("1"); } catch (error) { evaluated = error.name; }
              return new Response([typeof native, typeof realm, typeof require, typeof process, typeof WebAssembly, evaluated,
                Object.keys(globalThis).join(" ")].join());
            } }
            """)
        #expect(line(bench.run()) == "respond undefined,undefined,undefined,undefined,undefined,EvalError,onerror onunhandledrejection onrejectionhandled")
    }
}
