import Buffers
import Foundation
import HTTP
import Rules
import Testing

@testable import Hooks

/// Members of the API that other platforms' code and the declarations promise.
struct MemberTests {
    /// The value of an expression in a handler that has `request`, `ctx` and an exchange of the test's making.
    private func value(_ expression: String, _ prepare: (Exchange) -> Void = { _ in }) throws -> String {
        let bench = try Bench("export default { async onRequest(request, env, ctx) { return new Response(String(await (\(expression)))); } };")
        prepare(bench.exchange)
        guard case .respond(let body)? = bench.run() else { return "no answer" }
        return text(body)
    }

    private static func showCertificate(_ exchange: Exchange) {
        exchange.client.tls = TLSInfo(
            version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", serverName: "shop.example", clientSubject: "CN=ann", clientVerified: true,
            fingerprint: "t13d1516h2_8daaf6152771_02713d6af862", clientIssuer: "CN=our own", clientSerial: "0a1b", clientFingerprint: "00ff")
    }

    @Test func theClientsHandshake() throws {
        #expect(try value("JSON.stringify(ctx.client.tls)") == """
            {"version":"TLSv1.3","cipher":"TLS_AES_128_GCM_SHA256","sni":"shop.example","ja4":null,"certificate":null}
            """)
        #expect(try value("JSON.stringify([ctx.client.tls.ja4, ctx.client.tls.certificate])", Self.showCertificate) == """
            ["t13d1516h2_8daaf6152771_02713d6af862",{"subject":"CN=ann","issuer":"CN=our own","serial":"0a1b","fingerprint":"00ff","verified":true}]
            """)
        #expect(try value("ctx.client.tls") { $0.client.tls = nil } == "null")
    }

    @Test func theTraceContext() throws {
        let own = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        #expect(try value("ctx.traceparent") { $0.request.add(name: Span("traceparent"), value: Array(own.utf8).span) } == own)
        let made = "00-00000000000000010000000000000abc-0000000000000abc-00"
        #expect(try value("ctx.traceparent") == made)
        #expect(try value("ctx.traceparent") { $0.request.add(name: Span("traceparent"), value: Span("00-zz-1-01")) } == made)
    }

    @Test func theBudgetIsWhatIsLeft() throws {
        let bench = try Bench("""
            export default { async onRequest(request, env, ctx) {
              const { subrequests, memory, cpuMs } = ctx.budget;
              const kept = new Uint8Array(1 << 20);
              env.up.fetch("/");
              for (let n = 0; n < 20; n++) await null;
              return Response.json([subrequests, ctx.budget.subrequests, memory - ctx.budget.memory >= kept.length, cpuMs, memory < 80 << 20 && memory > 60 << 20]);
            } };
            """, upstreams: ["up"], limits: { ($0.cpuMicroseconds, $0.subrequests) = (30_000, 7) })
        guard case .respond(let body)? = bench.run() else {
            Issue.record("no answer")
            return
        }
        #expect(text(body) == "[7,6,true,30,true]")
    }

    private func event(_ code: String, compat: [String] = [], arguments: String = #"{"listId":1234,"nested":{"a":1}}"#, _ prepare: (Exchange) -> Void = { _ in }) throws -> String {
        let bench = try Bench(
            "addEventListener('request', (event) => event.respondWith(new Response(String(\(code)))));", arguments: arguments, source: { $0.heldBack = compat })
        prepare(bench.exchange)
        guard case .respond(let body)? = bench.run() else { return "no answer" }
        return text(body)
    }

    @Test func argumentsAsAzionsCodeReadsThem() throws {
        #expect(try event("[event.args.listId, event.args('listId'), event.args('none'), event.args('toString'), event.args.nested.a]") == "1234,1234,,,1")
        #expect(try event("JSON.stringify(event.args) + Object.keys(event.args)") == #"{"listId":1234,"nested":{"a":1}}listId,nested"#)
        #expect(try event("[event.args.name, event.args.length, event.args('name')]", arguments: #"{"name":"n","length":9}"#) == "n,9,n")
        #expect(try event("Object.isFrozen(event.args)") == "true")
    }

    @Test func anEarlierDayKeepsArgumentsAsTheyWere() throws {
        let before = Compatibility.heldBack(at: Compatibility.first)
        #expect(before == ["event_args_function", "request_metadata_names"])
        #expect(try event("typeof event.args", compat: before) == "object")
        #expect(try event("typeof event.args") == "function")
        #expect(try event("[Object.keys(event.request.metadata).length, event.request.metadata.geoip_asn]", compat: before) == "7,")
    }

    static let metadata = [
        "geoip_asn", "geoip_city", "geoip_city_continent_code", "geoip_city_country_code", "geoip_city_country_name", "geoip_continent_code",
        "geoip_country_code", "geoip_country_name", "geoip_region", "geoip_region_name", "remote_addr", "remote_port", "remote_user",
        "server_protocol", "ssl_cipher", "ssl_protocol", "ssl_server_name", "ssl_ja4", "ssl_client_s_dn", "ssl_client_i_dn", "ssl_client_serial",
        "ssl_client_fingerprint", "ssl_client_verify", "request_id",
    ]

    @Test func everyNameOfAzionsMetadata() throws {
        for name in Self.metadata {
            #expect(try event("typeof event.request.metadata['\(name)']") == "string", "\(name)")
            #expect(HookDeclarations.text.contains(name), "\(name) is declared")
        }
        #expect(try event("Object.keys(event.request.metadata).length") == "\(Self.metadata.count)")
        #expect(try event("['remote_addr', 'remote_port', 'server_protocol', 'ssl_protocol', 'ssl_client_verify', 'geoip_asn'].map((one) => event.request.metadata[one])")
            == "192.0.2.7,4711,HTTP/1.1,TLSv1.3,NONE,")
        #expect(try event("[event.request.metadata.geoip_country_code, event.request.metadata.ssl_client_verify]") {
            $0.vars.set(Span("geoip_country_code"), Span("BR"))
            Self.showCertificate($0)
        } == "BR,SUCCESS")
    }

    @Test func cloudflaresFacts() throws {
        #expect(try value("JSON.stringify(request.cf)") == """
            {"httpProtocol":"HTTP/1.1","tlsVersion":"TLSv1.3","tlsCipher":"TLS_AES_128_GCM_SHA256","botManagement":{},"tlsClientAuth":\
            {"certPresented":"0","certVerified":"NONE","certSubjectDN":"","certIssuerDN":"","certSerial":"","certFingerprintSHA256":""}}
            """)
        #expect(try value("[request.cf.country, request.cf.asn, request.cf.city, request.cf.botManagement.ja4.slice(0, 4), request.cf.tlsClientAuth.certVerified]") {
            for (name, value) in [("geoip_country_code", "BR"), ("geoip_asn", "64496"), ("geoip_city", "Olinda")] { $0.vars.set(Array(name.utf8).span, Array(value.utf8).span) }
            Self.showCertificate($0)
        } == "BR,64496,Olinda,t13d,SUCCESS")
    }

    @Test func schedulerWaits() throws {
        let bench = try Bench("""
            export default { async onRequest() {
              await scheduler.wait(20);
              const controller = new AbortController();
              setTimeout(() => controller.abort(new Error("enough")), 5);
              return new Response(await scheduler.wait(1000, { signal: controller.signal }).catch((error) => error.message));
            } };
            """)
        #expect(bench.run() == nil)
        bench.advance(milliseconds: 19)
        #expect(bench.call.outcomes.isEmpty)
        bench.advance(milliseconds: 2)
        bench.advance(milliseconds: 6)
        guard case .respond(let body)? = bench.call.outcomes.first else {
            Issue.record("no answer")
            return
        }
        #expect(text(body) == "enough")
        #expect(try evaluate("scheduler.wait(5, { signal: AbortSignal.abort(new TypeError('x')) })") == "TypeError: x")
    }

    @Test func theOthersOfTheContract() throws {
        try check([
            ("crypto.subtle.timingSafeEqual(new Uint8Array([1, 2]), new Uint8Array([1, 2]))", "true"),
            ("crypto.subtle.timingSafeEqual(new Uint8Array([1, 2]), new Uint8Array([1, 3]))", "false"),
            ("crypto.subtle.timingSafeEqual(new Uint8Array(1), new Uint8Array(2))", "TypeError: timingSafeEqual: the buffers have different lengths"),
            ("new Response(new Blob(['abc']).stream().pipeThrough(new IdentityTransformStream())).text()", "abc"),
            ("new Response(new Blob(['abc']).stream().pipeThrough(new FixedLengthStream(3))).text()", "abc"),
            ("new Response(new Blob(['abc']).stream().pipeThrough(new FixedLengthStream(2))).text().catch((error) => error.name)", "TypeError"),
            ("new HTMLRewriter().on('p', { element(one) { one.setAttribute('x', '1'); }, text(one) { if (one.text) one.replace(one.text.toUpperCase()); } })"
                + ".onDocument({ end(one) { one.append('!'); } }).transform(new Response('<p>a</p>')).text()", "<p x=\"1\">A</p>!"),
            ("typeof Azion.upgradeWebSocket", "function"), ("typeof Azion.KV", "function"), ("Azion.env.get('MODE')", "test"),
        ])
    }

    // MARK: The reference

    @Test func everyMemberIsDocumented() { #expect(HookReference.undocumented == []) }

    private static var document: URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("docs/HOOK-API.md")
    }

    @Test func theReferenceIsCurrent() throws {
        let text = try String(contentsOf: Self.document, encoding: .utf8)
        #expect(text == HookReference.markdown(changes: Compatibility.markdown), "sluice types --reference > docs/HOOK-API.md")
        for name in ["Context", "Budget", "WebSocketPair", "upgradeWebSocket()", "KVNamespace", "Azion"] { #expect(text.contains("\n## \(name)\n"), "\(name)") }
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["WRITE_REFERENCE"] != nil)) func writeTheReference() throws {
        try HookReference.markdown(changes: Compatibility.markdown).write(to: Self.document, atomically: true, encoding: .utf8)
    }
}
