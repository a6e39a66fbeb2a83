import Buffers
import HTTP
import Testing

@testable import Hooks

/// Bodies: read, replaced, handed on; sub-requests; the whole exchange in fetch().
@Suite struct BodyTests {
    @Test func aBodyIsReadOnceAndMayBeReplaced() throws {
        let bench = try Bench("""
            export default { async onRequest(request) {
              const data = await request.json();
              return new Request(request, { body: JSON.stringify({ ...data, seen: true }) });
            } }
            """)
        bench.call.body = "{\"a\":1}"
        #expect(line(bench.run()) == "proceed {\"a\":1,\"seen\":true}")
        #expect(bench.call.bodiesWanted == [.request])
        #expect(bench.exchange.request.body == .known(19))
        #expect(bench.exchange.request.text(of: "content-length") == nil)
        #expect(bench.exchange.request.text(of: "user-agent") == "curl/8")
    }

    @Test func aBodyThatWasReadStillGoesOnWhenNothingIsReturned() throws {
        let bench = try Bench("export default { async onRequest(request) { console.log(await request.text()); } }")
        bench.call.body = "hello"
        #expect(line(bench.run()) == "proceed unchanged")
        #expect(bench.host.lines == ["under test 1: hello"])
    }

    @Test func everyWayToReadABodyGivesTheSameBytes() throws {
        let bench = try Bench("""
            export default { async onResponse(response) {
              const copies = [1, 2, 3, 4].map(() => response.clone());
              const out = [await copies[0].text(), new TextDecoder().decode(await copies[1].arrayBuffer()),
                           new TextDecoder().decode(await copies[2].bytes())];
              let streamed = "";
              for await (const chunk of copies[3].body) streamed += new TextDecoder().decode(chunk);
              const reader = response.body.getReader();
              const { value } = await reader.read();
              out.push(streamed, new TextDecoder().decode(value), String((await reader.read()).done), String(response.bodyUsed));
              return new Response(out.join("|"));
            } }
            """)
        bench.call.body = "äb"
        #expect(line(bench.run(.response)) == "respond äb|äb|äb|äb|äb|true|true")
        #expect(bench.call.bodiesWanted == [.response])
    }

    @Test func aSecondReadOfOneObjectIsATypeError() throws {
        let bench = try Bench("""
            export default { async onResponse(response) { await response.text(); await response.text(); } }
            """)
        bench.call.body = "x"
        #expect(line(bench.run(.response)).contains("TypeError: text: the body was read already"))
    }

    @Test func aBodyThatCannotBeReadRejects() throws {
        let bench = try Bench("""
            export default { async onRequest(request) {
              try { await request.text(); } catch (error) { return new Response(error.message, { status: 413 }); }
            } }
            """)
        #expect(bench.run() == nil)
        bench.call.bodyFailed(.request, "the body is larger than 64 KiB")
        #expect(line(bench.call.outcomes.first) == "respond the body is larger than 64 KiB")
    }

    @Test func aStreamMadeByTheHookBecomesTheBody() throws {
        let bench = try Bench("""
            export default { onRequest() {
              let n = 0;
              return new Response(new ReadableStream({ pull(c) {
                if (n++ === 3) c.close(); else c.enqueue(new TextEncoder().encode(`part${n} `)); } }));
            } }
            """)
        #expect(line(bench.run()) == "respond stream")
        #expect(bench.call.drain() == "part1 part2 part3 ")
        #expect(bench.call.done == [.response])
        #expect(bench.call.isIdle)
    }

    @Test func aSubrequestReachesTheNamedUpstreamAndItsAnswerComesBack() throws {
        let bench = try Bench("""
            export default { async onRequest(request, env, ctx) {
              const reply = await env.idp.fetch("/introspect?x=1", {
                method: "POST", headers: { "x-a": "b", "content-length": "9" }, body: new URLSearchParams({ token: "t t" }) });
              const data = await reply.json();
              return new Response(`${reply.status} ${reply.ok} ${reply.headers.get("x-from")} ${data.active} ${reply.url}`);
            } }
            """, upstreams: ["other", "idp"])
        #expect(bench.run() == nil)
        let sub = try #require(bench.call.subrequests.first)
        #expect(sub.upstream == 1)
        #expect(sub.head.method == .post)
        #expect(sub.head.text(sub.head.path) == "/introspect")
        #expect(sub.head.text(sub.head.query) == "x=1")
        #expect(sub.head.text(sub.head.authority) == "idp")
        #expect(sub.head.text(of: "x-a") == "b")
        #expect(sub.head.text(of: "content-length") == nil)
        #expect(String(decoding: sub.body, as: UTF8.self) == "token=t+t")
        var answer = Head()
        answer.status = 201
        answer.add(name: Span("X-From"), value: Span("idp"))
        bench.call.subrequestFinished(sub.id, answer, body: Array("{\"active\":true}".utf8))
        #expect(line(bench.call.outcomes.first) == "respond 201 true idp true http://idp/introspect?x=1")
        #expect(bench.function.counters.subrequests == 1)
    }

    @Test func aSubrequestThatFailsRejectsAndOneThatIsAbortedIsCancelled() throws {
        let bench = try Bench("""
            export default { async onRequest(request, env, ctx) {
              const out = [];
              try { await env.idp.fetch("/"); } catch (error) { out.push(error.name + " " + error.message); }
              try { await env.idp.fetch("/", { signal: AbortSignal.timeout(300) }); } catch (error) { out.push(error.name); }
              return new Response(out.join("; "));
            } }
            """, upstreams: ["idp"])
        bench.run()
        bench.call.subrequestFailed(bench.call.subrequests[0].id, "connection refused")
        #expect(bench.call.subrequests.count == 2)
        bench.advance(milliseconds: 300)
        #expect(bench.call.cancelled == [bench.call.subrequests[1].id])
        #expect(line(bench.call.outcomes.first) == "respond TypeError connection refused; TimeoutError")
    }

    @Test func fetchContinuesToTheOriginAndReturnsItsResponseWithTheBodyUntouched() throws {
        let bench = try Bench("""
            export default { async fetch(request, env, ctx) {
              const out = new Request(request);
              out.headers.set("x-to-origin", "1");
              const response = await fetch(out);
              const copy = new Response(response.body, response);
              copy.headers.set("x-edge", String(response.status));
              return copy;
            } }
            """)
        #expect(bench.run(.fetch) == nil)
        #expect(bench.call.sent == [.unchanged])
        #expect(bench.exchange.request.text(of: "x-to-origin") == "1")
        bench.call.originArrived()
        #expect(line(bench.call.outcomes.first) == "respond unchanged")
        #expect(bench.exchange.response.text(of: "x-edge") == "200")
    }

    @Test func fetchMaySendAnotherBodyAndReadTheAnswer() throws {
        let bench = try Bench("""
            export default { async fetch(request, env, ctx) {
              const response = await ctx.next(new Request(request, { method: "POST", body: "mine" }));
              return new Response((await response.text()).toUpperCase(), response);
            } }
            """)
        bench.run(.fetch)
        #expect(bench.call.sent == [.bytes(Array("mine".utf8))])
        bench.call.body = "origin text"
        bench.call.originArrived()
        #expect(line(bench.call.outcomes.first) == "respond ORIGIN TEXT")
        #expect(bench.exchange.response.text(of: "content-type") == "text/plain")
    }

    @Test func anOriginFailureThatFetchDoesNotCatchIsToldApartFromABug() throws {
        let bench = try Bench("export default { fetch(request) { return fetch(request); } }")
        bench.run(.fetch)
        bench.call.originFailed("connect timeout")
        guard case .failed(let failure)? = bench.call.outcomes.first else { Issue.record("not failed"); return }
        #expect(failure.kind == .origin)
        #expect(failure.message == "TypeError: connect timeout")
    }

    @Test func fetchOfAnUngrantedHostOrOutsideFetchOrTwiceIsRefused() throws {
        #expect(line(try Bench("export default { fetch() { return fetch('https://evil.example/'); } }").run(.fetch))
            .contains("evil.example is not granted"))
        #expect(line(try Bench("export default { async onRequest(request) { await fetch(request); } }").run())
            .contains("in onRequest return the Request"))
        let twice = try Bench("export default { async fetch(r) { await Promise.all([fetch(r.clone()), fetch(r)]); } }")
        #expect(line(twice.run(.fetch)).contains("sent to the origin already"))
    }

    @Test func waitUntilWorkGoesOnAfterTheAnswerAndIsBounded() throws {
        let code = """
            export default { onRequest(request, env, ctx) {
              ctx.waitUntil((async () => {
                await new Promise((done) => setTimeout(done, 10));
                await env.logs.fetch("/hit", { method: "POST", body: "b" });
                try { request.headers.get("a"); } catch (error) { console.log(error.message); }
              })());
              return new Response("now");
            } }
            """
        let bench = try Bench(code, upstreams: ["logs"])
        #expect(line(bench.run()) == "respond now")
        #expect(!bench.call.isIdle)
        #expect(bench.call.exchange == nil)
        bench.advance(milliseconds: 10)
        #expect(bench.call.subrequests.count == 1)
        #expect(bench.call.releases == 0)
        bench.call.subrequestFinished(bench.call.subrequests[0].id, Head(), body: [])
        #expect(bench.call.releases == 1)
        #expect(bench.call.isIdle)
        #expect(bench.host.lines.first?.contains("used after its request ended") == true)

        let slow = try Bench(code, upstreams: ["logs"], limits: { $0.tailMilliseconds = 100 })
        slow.run()
        slow.advance(milliseconds: 50)
        slow.advance(milliseconds: 50)
        #expect(slow.call.releases == 1)
        #expect(slow.call.cancelled.count == 1)
    }
}
