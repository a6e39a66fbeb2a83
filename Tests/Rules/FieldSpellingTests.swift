import HTTP
import Rules
import Testing

@Suite struct FieldSpellingTests {
    func generation(_ text: String) throws -> Generation {
        let result = load(text)
        return Generation(try #require(result.configuration, "\(result.diagnostics.text)"))
    }

    @Test func `groups have numbers, and 0 is the whole match`() throws {
        let made = try generation(site(request: """
            - when: path matches "/([a-z]+)/(?<id>[0-9]+)(/x)?"
              do: [{set_header: {X-All: "${match.0}", X-One: "${match.1}", X-Two: "${match.2}", X-Id: "${match.id}", X-Three: "${match.3}"}}]
            """))
        let exchange = Sent(target: "/v1/p/42").exchange()
        _ = run(made, exchange)
        #expect(exchange.request.text(of: "x-all") == "/p/42")
        #expect(exchange.request.text(of: "x-one") == "p")
        #expect(exchange.request.text(of: "x-two") == "42")
        #expect(exchange.request.text(of: "x-id") == "42")
        #expect(exchange.request.text(of: "x-three") == "")
        #expect(load(site(request: "- {when: path matches \"(a)\", do: [{log: \"${match.2}\"}]}")).diagnostics.map { $0.code.rawValue } == ["T003"])
    }

    @Test func `the round trip time is missing until the gateway asks for it`() throws {
        let made = try generation(site(response: """
            - name: slow
              when: client.rtt_us > 100000
              do: [{set_header: {X-Rtt: "${tcpinfo_rtt}"}}]
            """))
        #expect(made.readsRoundTrip)
        let exchange = Sent().exchange()
        exchange.answer(200)
        #expect(run(made, exchange, .response).matched == [])
        exchange.client.roundTrip = 150_000
        _ = run(made, exchange, .response)
        #expect(exchange.response.text(of: "x-rtt") == "150000")
        #expect(try !generation(site(request: "- do: [stop]")).readsRoundTrip)
    }

    @Test(arguments: [
        "uri", "request_uri", "args", "arg_x", "http_user_agent", "cookie_sid", "remote_addr", "remote_port", "request_method",
        "scheme", "host", "domain", "ssl_client_s_dn", "ssl_client_verify", "ssl_protocol", "ssl_cipher", "request_id",
    ])
    func `Azion's variables of requests are understood`(name: String) {
        #expect(load(site(request: "- do: [{set_header: {X: \"${\(name)}\"}}]")).diagnostics.isEmpty)
    }

    @Test(arguments: ["sent_http_content_type", "status", "tcpinfo_rtt", "upstream_addr", "upstream_http_etag", "upstream_status"])
    func `Azion's variables of responses are understood`(name: String) {
        #expect(load(site(response: "- do: [{set_header: {X: \"${\(name)}\"}}]")).diagnostics.isEmpty)
    }

    @Test(arguments: ["geoip_country_code", "device_group", "remote_user", "request_body", "server_addr"])
    func `Azion's variables without a counterpart say what to do instead`(name: String) {
        let diagnostics = load(site(request: "- do: [{set_header: {X: \"${\(name)}\"}}]")).diagnostics
        #expect(diagnostics.map { $0.code.rawValue } == ["T001"])
        #expect(diagnostics.first.map { !$0.label.isEmpty } == true)
    }

    @Test(arguments: [
        "http.request.uri.path == \"/\"", "http.request.uri.args[\"x\"] == \"1\"", "http.request.headers[\"x\"][0] == \"1\"",
        "http.request.method in {\"GET\" \"HEAD\"}", "ip.src in {10.0.0.0/8}", "http.host eq \"a.example\"", "tcp.srcport > 1024",
        "starts_with(http.request.uri.path, \"/a\") and not ends_with(http.request.uri.path, \".js\")", "lower(http.host) contains \"x\"",
        "http.request.timestamp.sec > 0", "http.request.body.size lt 100", "cf.tls_version eq \"TLSv1.3\"",
        "http.cookie contains \"sid\" or (http.referer eq \"\" and len(http.user_agent) gt 10)", "any(http.request.headers[\"x\"][*] == \"1\")",
    ])
    func `Cloudflare's spellings are understood`(expression: String) {
        let text = load(site(request: "- when: >\n    \(expression)\n  do: [stop]")).diagnostics.text
        #expect(text.isEmpty, "\(text)")
    }
}
