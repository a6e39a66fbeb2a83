import Buffers
import HTTP
import Testing

@testable import Hooks

/// The four handlers, their context and what they may return.
@Suite struct HandlerTests {
    @Test func aHandlerThatReturnsNothingLetsTheRequestGoOnUntouched() throws {
        let bench = try Bench("export default { onRequest(request) { request.headers.get('user-agent'); } }")
        #expect(line(bench.run()) == "proceed unchanged")
        #expect(bench.exchange.request.fields.count == 5)
        #expect(bench.call.isIdle)
        #expect(bench.host.depth == 0)
        #expect(bench.function.callsUnderWay == 0)
    }

    @Test func aRequestReadsAsTheClientSentIt() throws {
        let bench = try Bench("""
            export default { onRequest(request, env, ctx) {
              return Response.json({
                method: request.method, url: request.url, agent: request.headers.get("User-Agent"),
                twice: request.headers.get("x-twice"), none: request.headers.get("x-none"), host: request.headers.get("host"),
                names: [...request.headers.keys()], ip: ctx.client.ip, port: ctx.client.port, tls: ctx.client.tls,
                id: ctx.requestId, rule: ctx.rule, mode: env.MODE, args: ctx.args.deep.list[1] });
            } }
            """, arguments: "{\"deep\":{\"list\":[1,\"two\"]}}")
        #expect(line(bench.run()) == """
            respond {"method":"POST","url":"https://shop.example/cart/7?a=1&b=two","agent":"curl/8","twice":"one, two",\
            "none":null,"host":"shop.example","names":["content-length","host","user-agent","x-twice"],"ip":"192.0.2.7",\
            "port":4711,"tls":{"version":"TLSv1.3","cipher":"TLS_AES_128_GCM_SHA256","sni":"shop.example","ja4":null,"certificate":null},\
            "id":"00000000000000010000000000000abc","rule":{"name":"the rule","file":"rules.yaml","line":12},\
            "mode":"test","args":"two"}
            """)
        #expect(bench.exchange.response.text(of: "content-type") == "application/json")
    }

    @Test func argumentsAreFrozen() throws {
        let bench = try Bench("""
            export default { onRequest(request, env, ctx) { ctx.args.list.push(1); } }
            """, arguments: "{\"list\":[]}")
        #expect(line(bench.run()).contains("TypeError"))
    }

    @Test func aReturnedResponseAnswersAndReplacesWhatWasThere() throws {
        let bench = try Bench("""
            export default { onRequest() { return new Response("no", { status: 401, headers: { "WWW-Authenticate": "Bearer" } }); } }
            """)
        #expect(line(bench.run()) == "respond no")
        let response = bench.exchange.response.status
        #expect(response == 401)
        #expect(bench.exchange.response.text(of: "www-authenticate") == "Bearer")
        #expect(bench.exchange.response.text(of: "set-cookie") == nil)
        #expect(bench.exchange.response.body == .known(2))
    }

    @Test func aReturnedRequestChangesMethodTargetFieldsAndBody() throws {
        let bench = try Bench("""
            export default { onRequest(request) {
              const url = new URL(request.url);
              url.pathname = "/new"; url.searchParams.set("b", "3 4"); url.host = "inner.example:8443";
              return new Request(url, { method: "PUT", headers: { "x-only": "1", connection: "close" }, body: "fresh" });
            } }
            """)
        #expect(line(bench.run()) == "proceed fresh")
        let head = bench.exchange.request.text(bench.exchange.request.path)
        #expect(head == "/new")
        #expect(bench.exchange.request.method == .put)
        #expect(bench.exchange.request.text(bench.exchange.request.query) == "a=1&b=3+4")
        #expect(bench.exchange.request.text(bench.exchange.request.authority) == "inner.example:8443")
        #expect(bench.exchange.request.text(of: "host") == "inner.example:8443")
        #expect(bench.exchange.request.text(of: "x-only") == "1")
        #expect(bench.exchange.request.text(of: "user-agent") == nil)
        #expect(bench.exchange.request.text(of: "connection") == nil)
        #expect(bench.exchange.request.text(of: "content-type") == "text/plain;charset=UTF-8")
        #expect(bench.exchange.request.body == .known(5))
    }

    @Test func denyAndContinueDecideWithoutAResponse() throws {
        #expect(line(try Bench("export default { onRequest(r, e, ctx) { ctx.deny(429); } }").run()) == "deny 429")
        #expect(line(try Bench("export default { firewall(r, e, ctx) { ctx.deny(); } }").run()) == "deny 403")
        #expect(line(try Bench("export default { onRequest(r, e, ctx) { ctx.deny(); ctx.continue(); } }").run()) == "proceed unchanged")
        #expect(line(try Bench("export default { onRequest(r, e, ctx) { ctx.deny(99); } }").run()).contains("RangeError"))
    }

    @Test func onResponseEditsTheResponseAndKeepsItsBodyOutOfTheIsolate() throws {
        let bench = try Bench("""
            export default { onResponse(response, env, ctx) {
              const copy = new Response(response.body, response);
              copy.headers.set("x-path", new URL(ctx.request.url).pathname);
              copy.headers.delete("set-cookie");
              return copy;
            } }
            """)
        #expect(line(bench.run(.response)) == "respond unchanged")
        #expect(bench.exchange.response.text(of: "x-path") == "/cart/7")
        #expect(bench.exchange.response.text(of: "set-cookie") == nil)
        #expect(bench.exchange.response.text(of: "content-type") == "text/plain")
        #expect(bench.call.bodiesWanted.isEmpty)
    }

    @Test func theRequestIsReadOnlyInTheResponsePhase() throws {
        let bench = try Bench("""
            export default { onResponse(response, env, ctx) { ctx.request.headers.set("x", "1"); } }
            """)
        #expect(line(bench.run(.response)).contains("immutable"))
    }

    @Test func onErrorIsToldWhatFailedAndMayAnswer() throws {
        let bench = try Bench("""
            export default { onError(error, env, ctx) {
              return new Response(`${error.kind} ${error.status} ${error.side} ${error.message} ${ctx.request.method}`, { status: 503 });
            } }
            """)
        bench.exchange.error = GatewayError(.connectTimeout, in: .connect, note: "no \"answer\"")
        #expect(line(bench.run(.error)) == "respond timeout 504 origin no \"answer\" POST")
    }

    @Test func asynchronousHandlersMayFinishInTheSameTurnOrLater() throws {
        let bench = try Bench("""
            export default { async onRequest(request) {
              await null;
              if (request.headers.get("x-twice") === null) return;
              await new Promise((resolve) => setTimeout(resolve, 20));
              return new Response("late");
            } }
            """)
        #expect(bench.run() == nil)
        #expect(bench.call.outcomes.isEmpty)
        bench.advance(milliseconds: 19)
        #expect(bench.call.outcomes.isEmpty)
        bench.advance(milliseconds: 1)
        #expect(line(bench.call.outcomes.first) == "respond late")
        bench.exchange.request.remove(named: Span("x-twice"))
        #expect(line(bench.run()) == "proceed unchanged")
    }

    @Test func stateTravelsFromTheRequestPhaseToTheResponsePhaseOfItsExchangeOnly() throws {
        let bench = try Bench("""
            export default {
              onRequest(request, env, ctx) {
                ctx.state.user = { roles: new Set(["a"]), since: new Date(5), bytes: new Uint8Array([1, 200]) };
                ctx.state.self = ctx.state;
              },
              onResponse(response, env, ctx) {
                const { user, self } = ctx.state;
                response.headers.set("x-state", user ? `${[...user.roles]} ${user.since.getTime()} ${user.bytes[1]} ${self === ctx.state}` : "none");
              },
            }
            """)
        bench.run()
        let other = FakeCall()
        other.state = bench.call.state
        bench.run(.response, other)
        #expect(bench.exchange.response.text(of: "x-state") == "a 5 200 true")
        bench.run(.response, FakeCall())
        #expect(bench.exchange.response.text(of: "x-state") == "none")
    }

    @Test func variablesAreSharedWithRules() throws {
        let bench = try Bench("""
            export default { onRequest(r, e, ctx) { ctx.vars.set("out", ctx.vars.get("in") + "!" + ctx.vars.get("none")); } }
            """)
        bench.exchange.vars.set(Span("in"), Span("grün"))
        bench.run()
        let text = value(of: "out", in: bench.exchange.vars)
        #expect(text == "grün!null")
    }

    @Test func serviceWorkerListenersHandleTheSamePhases() throws {
        let code = """
            addEventListener("request", (event) => { event.addRequestHeader("x-seen", event.args.mark); });
            addEventListener("response", (event) => { event.respondWith(new Response("replaced", { status: 203 })); });
            addEventListener("fetch", (event) => { event.respondWith(new Response(event.request.url)); });
            addEventListener("scheduled", () => {});
            addEventListener("error", (event) => { event.respondWith(new Response(event.error.kind)); });
            """
        let bench = try Bench(code, arguments: "{\"mark\":\"m\"}")
        for phase in HookPhase.allCases where phase != .webSocket { #expect(bench.function.handles(phase)) }
        #expect(line(bench.run()) == "proceed unchanged")
        #expect(bench.exchange.request.text(of: "x-seen") == "m")
        #expect(line(bench.run(.response)) == "respond replaced")
        #expect(line(bench.run(.fetch)) == "respond https://shop.example/cart/7?a=1&b=two")
    }

    @Test func aFirewallListenersDecisionWaitsForItsPromise() throws {
        let bench = try Bench("""
            addEventListener("firewall", (event) => event.waitUntil(guard(event)));
            async function guard(event) { await new Promise((done) => setTimeout(done, 5)); event.deny(); }
            """)
        #expect(bench.run() == nil)
        bench.advance(milliseconds: 5)
        #expect(line(bench.call.outcomes.first) == "deny 403")
    }

    private func value(of name: StaticString, in vars: borrowing VariableTable) -> String? {
        guard let range = vars.value(Span(name)) else { return nil }
        return vars.bytes(range).text()
    }
}
