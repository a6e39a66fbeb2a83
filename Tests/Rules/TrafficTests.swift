import Buffers
import HTTP
import Rules
import Testing

@Suite struct TrafficTests {
    func generation(_ text: String) throws -> Generation {
        let result = load(text)
        return Generation(try #require(result.configuration, "\(result.diagnostics.text)"))
    }

    private let refuse = LimitVerdict(isAllowed: false, remaining: 0, retryAfter: 2_100_000_000, reset: 5_000_000_000)

    @Test func `a refused request gets the status, when to come back, and what the limit is`() throws {
        let made = try generation(site(request: """
            - name: login "brute" force
              when: path == "/login"
              do: [{rate_limit: {key: [client.ip], rate: 5/min, burst: 10}}]
            - name: after
              do: [{set_header: {X-After: yes}}]
            """))
        let exchange = Sent(target: "/login").exchange()
        var runner = RuleRunner()
        guard runner.begin(made, exchange) else { throw Missing() }
        runner.enter(.request, exchange)
        guard case .limit(let check) = runner.next(exchange) else { throw Missing() }
        #expect(made.limits[Int(check.limit)].settings.count == 5)
        #expect(made.limits[Int(check.limit)].settings.period == 60_000)
        #expect(made.limits[Int(check.limit)].id == "test/login \"brute\" force")
        guard let reply = runner.settle(check, refuse, exchange) else { throw Missing() }
        #expect(reply.origin == .limit)
        #expect(exchange.response.status == 429)
        runner.addLimitFields(exchange)
        #expect(exchange.response.text(of: "retry-after") == "3")
        #expect(exchange.response.text(of: "ratelimit") == #""test/login \"brute\" force";r=0;t=5"#)
        #expect(exchange.response.text(of: "ratelimit-policy") == #""test/login \"brute\" force";q=5;w=60"#)
        let next = runner.next(exchange)
        #expect(next == .done)
        #expect(exchange.request.text(of: "x-after") == nil)
    }

    @Test func `a request that may pass goes on, and its answer says what is left`() throws {
        let made = try generation(site(request: """
            - name: fair
              do: [{rate_limit: {key: header.x-key, rate: 100/s}}]
            - name: after
              do: [{set_header: {X-After: yes}}]
            """))
        let exchange = Sent(headers: [("X-Key", "k")]).exchange()
        let ran = run(made, exchange) { _ in LimitVerdict(isAllowed: true, remaining: 41, retryAfter: 0, reset: 1) }
        #expect(ran.last == .done)
        #expect(exchange.request.text(of: "x-after") == "yes")
    }

    @Test func `status, retry_after and headers can be chosen`() throws {
        let made = try generation(site(request: """
            - do: [{rate_limit: {rate: 20/10s, status: 503, retry_after: false, headers: false}}]
            """))
        #expect(made.limits[0].settings.period == 10_000)
        #expect(made.limits[0].settings.key.map(\.written) == ["client.ip"])
        let exchange = Sent().exchange()
        let ran = run(made, exchange) { _ in refuse }
        guard case .respond = ran.last else { throw Missing() }
        #expect(exchange.response.status == 503)
        #expect(exchange.response.fields.isEmpty)
    }

    @Test func `in shadow mode a limit counts and never refuses, and nothing else of the rule happens`() throws {
        let made = try generation(site(request: """
            - name: trial
              mode: shadow
              do: [{set_header: {X-Trial: yes}}, {rate_limit: {rate: 1/s}}, {deny: 403}]
            """))
        let exchange = Sent().exchange()
        var asked = 0
        let ran = run(made, exchange) { check in
            asked += 1
            #expect(check.isShadow)
            return refuse
        }
        #expect(asked == 1)
        #expect(ran.last == .done)
        #expect(ran.matched == ["test/trial (shadow)"])
        #expect(exchange.request.text(of: "x-trial") == nil)
    }

    private func key(_ made: Generation, _ sent: Sent) -> [UInt8] {
        let exchange = sent.exchange()
        var runner = RuleRunner()
        guard runner.begin(made, exchange) else { return [] }
        runner.enter(.request, exchange)
        guard case .limit = runner.next(exchange) else { return [] }
        return runner.withLimitKey { span in (0..<span.count).map { span[$0] } }
    }

    @Test func `keys tell lists of values apart, and a missing value from an empty one`() throws {
        let made = try generation(site(request: "- do: [{rate_limit: {key: [header.a, header.b], rate: 1/s}}]"))
        let keys = [
            key(made, Sent(headers: [("A", "xy"), ("B", "z")])), key(made, Sent(headers: [("A", "x"), ("B", "yz")])),
            key(made, Sent(headers: [("A", "xy")])), key(made, Sent(headers: [("A", "xy"), ("B", "")])), key(made, Sent()),
        ]
        #expect(Set(keys).count == keys.count)
        #expect(!keys.contains([]))
    }

    @Test func `IPv6 clients are counted by their network of 64 bits, IPv4 clients by address`() throws {
        let made = try generation(site(request: "- do: [{rate_limit: {rate: 1/s}}]"))
        func key(_ client: String) -> [UInt8] { self.key(made, Sent(client: client)) }
        #expect(key("2001:db8::1") == key("2001:db8::2:3"))
        #expect(key("2001:db8::1") != key("2001:db8:0:1::1"))
        #expect(key("192.0.2.1") != key("192.0.2.2"))
    }

    @Test func `what a rate limit cannot be is said at its place`() {
        func codes(_ limit: String) -> [String] {
            load(site(request: "- do: [{rate_limit: {\(limit)}}]")).diagnostics.map { $0.code.rawValue }
        }
        #expect(codes("rate: 5").contains("V014"))
        #expect(codes("rate: 5/fortnight").contains("V014"))
        #expect(codes("rate: 0/s").contains("V014"))
        #expect(codes("rate: 5/500ms").contains("V014"))
        #expect(codes("key: [client.ip]").contains("R001"))
        #expect(codes("rate: 5/s, key: [client.pi]").contains("T001"))
        #expect(codes("rate: 5/s, key: [status]").contains("E007"))
        #expect(codes("rate: 5/s, status: 200").contains("V009"))
        #expect(codes("rate: 5/s") == [])
        #expect(load(site(response: "- do: [{rate_limit: {rate: 5/s}}]")).diagnostics.map { $0.code.rawValue } == ["R013"])
    }

    @Test func `limit_body sets the smallest of its limits`() throws {
        let made = try generation(site(request: "- do: [{limit_body: 1MiB}, {limit_body: 2KiB}]"))
        let exchange = Sent(method: "POST").exchange()
        _ = run(made, exchange)
        #expect(exchange.bodyLimit == 2_048)
        exchange.reset()
        #expect(exchange.bodyLimit == .max)
    }

    @Test func `a cookie for the client has safe attributes unless the rule says otherwise`() throws {
        let made = try generation(site(response: """
            - do:
                - set_cookie: {name: sid, value: "${arg.v}"}
                - set_cookie: {name: t, value: x, path: /a, domain: example.com, max_age: 90s, secure: false, http_only: true, same_site: strict}
            """))
        let exchange = Sent(target: "/?v=a%3b%20b%0d%0aSet-Cookie").exchange()
        exchange.answer(200)
        _ = run(made, exchange, .response)
        let set = exchange.response.fields.filter { $0.id == .setCookie }.map { exchange.response.text($0.value) }
        #expect(set == [
            "sid=a%3B%20b%0D%0ASet-Cookie; Path=/; Secure; SameSite=Lax",
            "t=x; Path=/a; Domain=example.com; Max-Age=90; HttpOnly; SameSite=Strict",
        ])
    }

    @Test func `a cookie for the origin replaces the one the client sent`() throws {
        let made = try generation(site(request: "- do: [{set_cookie: {name: b, value: \"${cookie.b}-new\"}}]"))
        let exchange = Sent(headers: [("Cookie", "a=1; b=2"), ("Cookie", "b=3")]).exchange()
        _ = run(made, exchange)
        #expect(exchange.request.fields.filter { $0.id == .cookie }.map { exchange.request.text($0.value) } == ["a=1; b=2-new"])
        let bare = Sent().exchange()
        _ = run(made, bare)
        #expect(bare.request.text(of: "cookie") == "b=-new")
    }

    @Test func `cookies are removed by their whole name`() throws {
        let made = try generation(site(request: "- do: [{remove_cookie: [b, only]}]", response: "- do: [{remove_cookie: b}]"))
        let exchange = Sent(headers: [("Cookie", "a=1;b=2; bb=3; xb=4; b"), ("cookie", "only=1")]).exchange()
        _ = run(made, exchange)
        #expect(exchange.request.fields.filter { $0.id == .cookie }.map { exchange.request.text($0.value) } == ["a=1; bb=3; xb=4"])
        exchange.answer(200, [("Set-Cookie", "b=1; Path=/"), ("Set-Cookie", "bb=2"), ("Set-Cookie", " b=3")])
        _ = run(made, exchange, .response)
        #expect(exchange.response.fields.filter { $0.id == .setCookie }.map { exchange.response.text($0.value) } == ["bb=2"])
    }

    @Test func `cookies that browsers would refuse are refused at load`() {
        func codes(_ phase: String, _ cookie: String) -> [String] {
            let rule = "- do: [{set_cookie: {\(cookie)}}]"
            return load(phase == "request" ? site(request: rule) : site(response: rule)).diagnostics.map { $0.code.rawValue }
        }
        #expect(codes("response", "name: \"a b\", value: x") == ["V013"])
        #expect(codes("response", "name: a, value: x, same_site: none, secure: false") == ["V005"])
        #expect(codes("response", "name: __Host-a, value: x, path: /b") == ["V013"])
        #expect(codes("response", "name: a, value: x, domain: \"*.example.com\"") == ["V011"])
        #expect(codes("response", "name: a, value: x, path: \"/;b\"") == ["V013"])
        #expect(codes("request", "name: a, value: x, secure: true") == ["R011"])
    }

    @Test func `parts of a configuration keep their digest when only the layout changes`() throws {
        let one = try generation(site(request: "- {name: a, do: [{deny: 403}]}\n- {name: b, do: [stop]}")).configuration
        let two = try generation(site(request: "- name: a\n  do:\n    - deny: 403\n- name: b\n  do: [drop]")).configuration
        func digest(_ configuration: Configuration, _ name: String) -> UInt64? { configuration.parts.first { $0.name == name }?.digest }
        #expect(digest(one, "test/a") == digest(two, "test/a"))
        #expect(digest(one, "test/b") != digest(two, "test/b"))
        #expect(digest(one, "test") == digest(two, "test"))
        #expect(one.parts.map(\.kind) == [.upstream, .upstream, .rule, .rule, .site, .site])
    }
}
