import Buffers
import HTTP
import Testing

@testable import Hooks

/// What a call brings along (a field's text that came before) and what it leaves to its result (one edit).
@Suite struct ResultTests {
    private static let copies = "export default { onRequest(request) { request.headers.set('x-copy', request.headers.get('user-agent')); } }"

    /// Runs the request phase with this `User-Agent`; the field `x-copy` afterwards.
    private func copy(_ bench: Bench, _ agent: String?) -> String? {
        fillExchange(bench.exchange)
        bench.exchange.request.remove(.userAgent)
        if let agent { bench.exchange.request.add(.userAgent, Array(agent.utf8).span) }
        guard line(bench.run()) == "proceed unchanged" else { return "failed" }
        return bench.exchange.request.text(of: "x-copy")
    }

    private func copied(_ head: borrowing Head) -> [UInt8]? {
        guard let value = head.value(named: Span("x-copy")) else { return nil }
        return head.bytes(value).array()
    }

    @Test func aTextThatComesAgainIsWhatItWasAndNothingElse() throws {
        let bench = try Bench(Self.copies)
        for agent in ["curl/8", "curl/8", "curl/8", "curl/8", "wget/1", "curl/8", "wget/1", "wget/1", "curl/9", "curl/8"] {
            #expect(copy(bench, agent) == agent)
        }
        let expected = bench.function.expectations.request.code
        #expect(expected >= 0, "the field is brought along from its third time on")
    }

    /// A name has no number until somebody asks for it, and nothing is brought along for none.
    @Test func theFirstReadOfANameIsTheField() throws {
        let bench = try Bench("""
            export default {
              onRequest(request) { return new Response(String(request.headers.get('x-first'))); },
              onResponse(response) { return new Response(String(response.headers.get('x-second'))); },
            }
            """)
        bench.exchange.request.add(name: Span("x-first"), value: Span("1"))
        bench.exchange.response.add(name: Span("x-second"), value: Span("2"))
        #expect(line(bench.run(.response)) == "respond 2")
        #expect(line(bench.run(.request)) == "respond 1")
    }

    @Test func manyTextsAndLongOnesKeepTheirPlaces() throws {
        let bench = try Bench(Self.copies)
        for round in 0..<3 {
            for number in 0..<200 {
                let agent = String(repeating: "agent \(number % 50) ", count: 1 + number % 40)
                let trimmed = String(agent.dropLast())
                #expect(copy(bench, trimmed) == trimmed, "round \(round)")
            }
        }
    }

    @Test func whatIsMissingOrTwiceIsNotBroughtAlong() throws {
        let bench = try Bench("""
            export default { onRequest(request) { return new Response(String(request.headers.get('user-agent'))); } }
            """)
        for _ in 0..<4 {
            fillExchange(bench.exchange)
            #expect(line(bench.run()) == "respond curl/8")
        }
        fillExchange(bench.exchange)
        bench.exchange.request.remove(.userAgent)
        #expect(line(bench.run()) == "respond null")
        fillExchange(bench.exchange)
        bench.exchange.request.add(.userAgent, "two")
        #expect(line(bench.run()) == "respond curl/8, two")
    }

    @Test func otherFieldsAndEditsComeBeforeWhatWasBrought() throws {
        let bench = try Bench("""
            export default { onRequest(request) {
              const { headers } = request, seen = [];
              seen.push(headers.get('x-one'), headers.get('x-two'), headers.get('x-one'));
              headers.set('x-one', 'mine');
              seen.push(headers.get('x-one'), headers.get('x-two'));
              return new Response(seen.join());
            } }
            """)
        for _ in 0..<5 {
            fillExchange(bench.exchange)
            bench.exchange.request.add(name: Span("X-One"), value: Span("1"))
            bench.exchange.request.add(name: Span("X-Two"), value: Span("2"))
            #expect(line(bench.run()) == "respond 1,2,1,mine,2")
        }
    }

    @Test func whatIsBroughtInVainIsForgotten() throws {
        let bench = try Bench("""
            let calls = 0;
            export default { onRequest(request) { if (++calls < 5) request.headers.get('user-agent'); } }
            """)
        for _ in 0..<5 { _ = copy(bench, "curl/8") }
        #expect(bench.function.expectations.request.code >= 0)
        for _ in 0..<8 { _ = copy(bench, "curl/8") }
        #expect(bench.function.expectations.request.code == -1)
    }

    @Test func secretsOfCallersAndWorldsOfTheirOwnKeepNoTexts() throws {
        for (name, isolation) in [("authorization", HookSource.Isolation.worker), ("cookie", .worker), ("user-agent", .request)] {
            let bench = try Bench("""
                export default { onRequest(request) { request.headers.set('x-copy', request.headers.get('\(name)')); } }
                """, source: { $0.isolation = isolation })
            for _ in 0..<5 {
                fillExchange(bench.exchange)
                if name != "user-agent" { bench.exchange.request.add(name: Array(name.utf8).span, value: Span("curl/8")) }
                #expect(line(bench.run()) == "proceed unchanged")
                #expect(bench.exchange.request.text(of: "x-copy") == "curl/8")
            }
            #expect(bench.function.expectations.request.code == -1)
        }
    }

    @Test func aKeptObjectSeesNothingThatALaterCallBrings() throws {
        let bench = try Bench("""
            let kept = null;
            export default { onRequest(request) {
              if (kept !== null) { try { kept.headers.get('user-agent'); } catch (error) { return new Response(error.message); } }
              request.headers.get('user-agent');
              kept ??= request;
            } }
            """)
        #expect(copy(bench, "curl/8") == nil)
        for _ in 0..<4 {
            fillExchange(bench.exchange)
            #expect(line(bench.run()) == "respond this object was used after its request ended")
        }
    }

    @Test(arguments: [
        ("headers.set('x-copy', 'a b')", "a b"), ("headers.set('X-Copy', '\\u00e9')", "\u{e9}"), ("headers.set('x-copy', '')", ""),
        ("headers.set('x-copy', 'a' + headers.get('user-agent') + 'b')", "acurl/8b"), ("headers.set('x-copy', '\\u4e2d\\u00e9'.slice(1))", "\u{e9}"),
        ("headers.append('x-copy', 'one')", "one"), ("headers.set('x-copy', 'x'.repeat(512))", String(repeating: "x", count: 512)),
        ("headers.set('x-copy', 'x'.repeat(513))", String(repeating: "x", count: 513)),
        ("headers.set('x-copy', 'one'); headers.set('x-copy', 'two')", "two"), ("headers.set('x-copy', 'one'); headers.set('x-other', 'two')", "one"),
    ])
    func oneEditIsWhatItSays(_ edit: String, _ expected: String) throws {
        for code in ["onRequest({ headers }) { \(edit); }", "async onRequest({ headers }) { await null; \(edit); }",
                     "onRequest({ headers }, env, ctx) { ctx.state.a = 1; ctx.waitUntil(Promise.resolve()); \(edit); }"] {
            let bench = try Bench("export default { \(code) }")
            for _ in 0..<4 {
                fillExchange(bench.exchange)
                #expect(line(bench.run()) == "proceed unchanged")
                #expect(copied(bench.exchange.request) == expected.unicodeScalars.map { UInt8($0.value) })
            }
        }
    }

    @Test func bothPhasesEditTheirOwnHead() throws {
        let bench = try Bench("""
            export default {
              onRequest(request) { request.headers.set('x-copy', request.headers.get('user-agent')); },
              onResponse(response, env, ctx) { response.headers.append('x-copy', ctx.request.headers.get('user-agent')); },
            }
            """)
        for _ in 0..<5 {
            #expect(copy(bench, "curl/8") == "curl/8")
            #expect(bench.exchange.response.text(of: "x-copy") == nil)
            #expect(line(bench.run(.response)) == "proceed unchanged")
            #expect(bench.exchange.response.text(of: "x-copy") == "curl/8")
        }
    }

    @Test(arguments: ["onRequest", "async onRequest"])
    func aValueThatHTTPDoesNotAllowFailsTheCall(_ handler: String) throws {
        let bench = try Bench("""
            export default { \(handler)(request) { request.headers.set('x-copy', 'a\\u0001b'); } }
            """)
        for _ in 0..<3 {
            fillExchange(bench.exchange)
            #expect(line(bench.run()).hasPrefix("failed error:"))
            #expect(bench.exchange.request.text(of: "x-copy") == nil)
            #expect(bench.call.isIdle)
            #expect(bench.function.callsUnderWay == 0)
        }
    }
}
