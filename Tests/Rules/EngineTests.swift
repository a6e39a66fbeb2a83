import Buffers
import HTTP
import Rules
import Testing

@Suite struct EngineTests {
    func generation(_ text: String, _ others: [String: String] = [:]) throws -> Generation {
        let result = load(text, others)
        return Generation(try #require(result.configuration, "\(result.diagnostics.text)"))
    }

    @Test func `a site is found by exact host, then the longest wildcard, then the default`() throws {
        let made = try generation("""
            sluice: 1
            sites:
              - {name: any, hosts: ["*"]}
              - {name: exact, hosts: [a.example.com, "EXAMPLE.org"]}
              - {name: wide, hosts: ["*.example.com"]}
              - {name: deep, hosts: ["*.b.example.com"]}
            """)
        func site(_ host: String) -> String {
            let exchange = Sent(host: host).exchange()
            var runner = RuleRunner()
            return runner.begin(made, exchange) ? made.configuration.sites[exchange.site].name : "none"
        }
        #expect(site("a.example.com") == "exact")
        #expect(site("A.Example.Com:8080") == "exact")
        #expect(site("a.example.com.") == "exact")
        #expect(site("example.org") == "exact")
        #expect(site("x.example.com") == "wide")
        #expect(site("b.example.com") == "wide")
        #expect(site("x.y.b.example.com") == "deep")
        #expect(site("example.com") == "any")
        #expect(site("[::1]:80") == "any")
        #expect(site("") == "any")
        #expect(site(String(repeating: "a.", count: 4_000) + "example.com") == "any")
        #expect(site(".example.com") == "any")
    }

    @Test func `without a default site an unknown host has none`() throws {
        let made = try generation("sluice: 1\nsites: [{name: s, hosts: [a.example]}]")
        var runner = RuleRunner()
        let exchange = Sent(host: "b.example").exchange()
        let found = runner.begin(made, exchange)
        #expect(!found)
        #expect(exchange.site == -1)
    }

    @Test func `header actions set, add and remove, values from templates`() throws {
        let made = try generation(site(request: """
            - name: all
              do:
                - set_header: {X-Request-Id: "${request.id}", X-Client-Ip: "${remote_addr}", X-One: only}
                - add_header: {X-Many: [a, "${method} ${host} ${arg.q}"]}
                - remove_header: [Cookie, x-secret]
                - set_header: {Host: "inner.example"}
            """))
        let exchange = Sent(target: "/?q=1%0d%0aX", headers: [("x-one", "1"), ("Cookie", "a=b"), ("X-One", "2"), ("X-Secret", "s")]).exchange()
        let ran = run(made, exchange)
        #expect(ran.last == .done)
        #expect(ran.matched == ["test/all"])
        #expect(exchange.request.text(of: "x-request-id") == "00000000000000010000000000000abc")
        #expect(exchange.request.text(of: "x-client-ip") == "192.0.2.7")
        #expect(exchange.request.text(of: "x-one") == "only")
        #expect(exchange.request.fields.map { exchange.request.text($0.name) } == ["x-one", "X-Request-Id", "X-Client-Ip", "X-Many", "X-Many"])
        #expect(exchange.request.fields.last.map { exchange.request.text($0.value) } == "GET shop.example.com 1  X")
        #expect(exchange.request.text(exchange.request.authority) == "inner.example")
        #expect(exchange.upstream == 0)
    }

    @Test func `redirect carries the client's own target`() throws {
        let made = try generation(site(request: """
            - name: first
              when: path == "/old"
              do: [{rewrite: {path: /new, query: "x=1"}}]
            - name: https only
              when: scheme == "http"
              do: [{redirect: {to: "https://shop.example.com${request_uri}", status: 301}}]
            """))
        let exchange = Sent(target: "/old?a=b").exchange()
        let ran = run(made, exchange)
        guard case .respond(let reply) = ran.last else { throw Missing() }
        #expect(reply.origin == .redirect)
        #expect(made.ruleID(reply.rule) == "test/https only")
        #expect(exchange.response.status == 301)
        #expect(exchange.response.text(of: "location") == "https://shop.example.com/old?a=b")
        #expect(exchange.path == "/new")
        #expect(exchange.query == "x=1")
        #expect(ran.matched == ["test/first", "test/https only"])
    }

    @Test func `a redirect cannot be turned to another host by the client`() throws {
        let made = try generation(site(request: "- do: [{redirect: \"${uri}\"}]"))
        let exchange = Sent(target: "//evil.example/x").exchange()
        _ = run(made, exchange)
        #expect(exchange.response.text(of: "location") == "/evil.example/x")
    }

    @Test func `groups of the pattern are there for the rule's actions`() throws {
        let made = try generation(site(request: """
            - name: old product links
              when: path matches "^/p/(?<id>[0-9]+)(/(?<rest>.*))?$"
              do:
                - rewrite: {path: "/product/${match.id}"}
                - set_header: {X-Rest: "[${match.rest}]", X-Path: "${path}"}
            """))
        let exchange = Sent(target: "/p/42/a/b").exchange()
        _ = run(made, exchange)
        #expect(exchange.path == "/product/42")
        #expect(exchange.request.text(of: "x-rest") == "[a/b]")
        #expect(exchange.request.text(of: "x-path") == "/product/42")
        let other = Sent(target: "/p/7").exchange()
        _ = run(made, other)
        #expect(other.path == "/product/7")
        #expect(other.request.text(of: "x-rest") == "[]")
    }

    @Test func `a rewritten path cannot climb or end early`() throws {
        let made = try generation(site(request: "- do: [{rewrite: {path: \"/files/${arg.n}\"}}, {set_header: {X: \"${path}\"}}]"))
        func path(_ query: String) -> String {
            let exchange = Sent(target: "/x?n=\(query)").exchange()
            _ = run(made, exchange)
            return exchange.path
        }
        #expect(path("a") == "/files/a")
        #expect(path("..") == "/")
        #expect(path("../../etc") == "/files/..%2F..%2Fetc")
        #expect(path("a%3fb%23c d%25") == "/files/a%3Fb%23c%20d%25")
        #expect(path("") == "/files/")
    }

    @Test func `conditions see the current request, original what was sent`() throws {
        let made = try generation(site(request: """
            - {name: a, do: [{rewrite: /new}]}
            - {name: b, when: path == "/new" and original.path == "/old", do: [{route: other}]}
            - {name: c, when: path == "/old", do: [{deny: 403}]}
            """))
        let exchange = Sent(target: "/old?q=1").exchange()
        let ran = run(made, exchange)
        #expect(ran.matched == ["test/a", "test/b"])
        #expect(exchange.upstream == 1)
        #expect(exchange.query == "q=1")
    }

    @Test func `respond renders text, JSON and files`() throws {
        let made = try generation(site(request: """
            - {match: {path: /text}, do: [{respond: {status: 201, body: "hello ${host}", headers: {X-A: "1"}}}]}
            - {match: {path: /json}, do: [{respond: {status: 502, json: {error: "try \\"again\\"", n: 1, ok: true, path: "<${header.x}>", list: [a, "2"]}}}]}
            - {match: {path: /file}, do: [{respond: {status: 503, file: errors/down.html}}]}
            - {match: {path: /empty}, do: [{respond: {status: 204}}]}
            """), ["errors/down.html": "<h1>${down}</h1>"])
        func answer(_ path: String) -> (Int, String, String?) {
            let exchange = Sent(target: path, headers: [("X", "q\"\\\u{1}é")]).exchange()
            let ran = run(made, exchange)
            return (exchange.response.status, ran.last.body(made, exchange), exchange.response.text(of: "content-type"))
        }
        #expect(answer("/text") == (201, "hello shop.example.com", "text/plain; charset=utf-8"))
        #expect(answer("/json") == (502, "{\"error\":\"try \\\"again\\\"\",\"n\":1,\"ok\":true,\"path\":\"<q\\\"\\\\\\u0001\\u00C3\\u00A9>\",\"list\":[\"a\",\"2\"]}", "application/json"))
        #expect(answer("/file") == (503, "<h1>${down}</h1>", "text/html; charset=utf-8"))
        #expect(answer("/empty") == (204, "", nil))
    }

    @Test func `final actions end the phase, shadow rules change nothing`() throws {
        let made = try generation(site(request: """
            - {name: ghost, mode: shadow, do: [{deny: 403}]}
            - {name: one, when: path == "/stop", do: [{set_header: {A: "1"}}, stop]}
            - {name: two, when: path == "/drop", do: [drop]}
            - {name: three, when: path == "/deny", do: [deny]}
            - {name: four, do: [{set_var: {seen: "${path}"}}, {log: "saw ${vars.seen}"}]}
            - {name: five, when: vars.seen == "/go", do: [{set_header: {B: "${vars.seen}"}}]}
            """))
        let stopped = run(made, Sent(target: "/stop").exchange())
        #expect(stopped.steps == [.done])
        #expect(stopped.matched == ["test/ghost (shadow)", "test/one"])
        #expect(run(made, Sent(target: "/drop").exchange()).last == .drop)
        let denied = Sent(target: "/deny").exchange()
        guard case .respond(let reply) = run(made, denied).last else { throw Missing() }
        #expect(reply.origin == .deny)
        #expect(denied.response.status == 403)
        let gone = Sent(target: "/go").exchange()
        let ran = run(made, gone)
        guard case .log(let line) = ran.steps[0] else { throw Missing() }
        #expect(gone.request.text(line.text) == "saw /go")
        #expect(gone.request.text(of: "b") == "/go")
        #expect(ran.last == .done)
    }

    @Test func `run hands the hook its function and arguments, then the phase goes on`() throws {
        let made = try generation(site(request: """
            - name: token
              do: [{run: {function: authz, args: {audience: app, scopes: {GET: read}, n: 5, s: "5", deep: [~, true, 1.5e3, 0777, no]}}}, {run: plain}]
            - {name: after, do: [{set_header: {A: "1"}}]}
            """, top: "functions: {authz: {file: authz.js}, plain: {file: authz.js}}"), ["authz.js": ""])
        let exchange = Sent().exchange()
        let ran = run(made, exchange)
        guard case .run(let call) = ran.steps[0], case .run(let second) = ran.steps[1] else { throw Missing() }
        #expect(call.function == 0)
        #expect(made.ruleID(call.rule) == "test/token")
        #expect(made.withBytes(call.arguments) { $0.text() }
            == "{\"audience\":\"app\",\"scopes\":{\"GET\":\"read\"},\"n\":5,\"s\":\"5\",\"deep\":[null,true,1.5e3,\"0777\",\"no\"]}")
        #expect(second.function == 1)
        #expect(second.arguments.isEmpty)
        #expect(exchange.request.text(of: "a") == "1")
    }

    @Test func `response rules see and change the answer, origin fields stay as they came`() throws {
        let made = try generation(site(response: """
            - name: security
              when: response.header.content-type starts_with "text/html"
              do: [{set_header: {X-Content-Type-Options: nosniff, Server: sluice}}, {remove_header: [X-Powered-By]}, {set_status: 206}]
            - name: after
              when: origin.header.server == "nginx" and response.header.server == "sluice" and origin.status == 200 and status == 206
              do: [{set_header: {X-Was: "${upstream_http_server} ${upstream_status}"}}]
            - name: mask
              when: origin.status >= 500
              do: [{respond: {status: 502, json: {error: try again, was: "${response.header.server}"}}}]
            - name: moved
              when: status == 404 and path starts_with "/blog/"
              do: [{redirect: {to: "https://blog.example.com${request_uri}", status: 302}}]
            """))
        let page = Sent().exchange()
        page.answer(200, [("Content-Type", "text/html"), ("Server", "nginx"), ("X-Powered-By", "php")])
        #expect(run(made, page, .response).matched == ["test/security", "test/after"])
        #expect(page.response.fields.map { page.response.text($0.name) } == ["Content-Type", "Server", "X-Content-Type-Options", "X-Was"])
        #expect(page.response.text(of: "x-was") == "nginx 200")
        #expect(page.response.status == 206)

        let failed = Sent().exchange()
        failed.answer(500, [("Server", "nginx"), ("Set-Cookie", "a=b")])
        let ran = run(made, failed, .response)
        #expect(ran.last.body(made, failed) == "{\"error\":\"try again\",\"was\":\"nginx\"}")
        #expect(failed.response.fields.map { failed.response.text($0.name) } == ["Content-Type"])
        #expect(failed.response.status == 502)
        #expect(failed.response.body == .known(35))

        let missing = Sent(target: "/blog/x?y").exchange()
        missing.answer(404)
        _ = run(made, missing, .response)
        #expect(missing.response.text(of: "location") == "https://blog.example.com/blog/x?y")
    }

    @Test func `error rules see what failed`() throws {
        let made = try generation(site(error: """
            - {name: down, when: 'error.kind in {"connect" "timeout" "dns"}', do: [{respond: {status: 503, body: down, headers: {Retry-After: "30"}}}]}
            - {name: hook, when: error.hook == "authz", do: [{respond: {status: 500, body: "${error.kind}"}}]}
            """))
        let down = Sent().exchange()
        down.error = GatewayError(.connectTimeout, in: .connect)
        #expect(run(made, down, .error).matched == ["test/down"])
        #expect(down.response.text(of: "retry-after") == "30")
        let hook = Sent().exchange()
        hook.error = GatewayError(.hookCPU, in: .requestHook)
        hook.failedHook = "authz"
        let ran = run(made, hook, .error)
        #expect(ran.last.body(made, hook) == "hook_cpu")
    }

    @Test(arguments: ["Content-Length", "transfer-encoding", "Connection", "Upgrade", "TE", "Keep-Alive", "Expect", "Trailer"])
    func `fields that frame messages cannot be written`(name: String) {
        for action in ["set_header: {\(name): x}", "add_header: {\(name): x}", "remove_header: \(name)", "respond: {headers: {\(name): x}}"] {
            #expect(load(site(request: "- do: [{\(action)}]")).diagnostics.map(\.code) == [.protectedHeader], "\(action)")
        }
    }

    @Test func `line breaks in values are refused at load`() {
        #expect(load(site(request: "- do: [{set_header: {A: \"b\\r\\nC: d\"}}]")).diagnostics.map(\.code) == [.header])
        #expect(load(site(request: "- do: [{set_header: {\"A B\": c}}]")).diagnostics.map(\.code) == [.header])
        #expect(load(site(request: "- do: [{redirect: \"https://a\\0\"}]")).diagnostics.map(\.code) == [.header])
    }

    @Test func `templates name their mistakes`() {
        func message(_ value: String) -> [String] {
            load(site(request: "- {when: 'path matches \"(?<id>x)\"', do: [{set_header: {A: \"\(value)\"}}]}")).diagnostics.map { "\($0.code.rawValue) \($0.label)" }
        }
        #expect(message("${match.id} $${x} $5 ${http_x_y} ${cookie_a} ${arg_b} ${args}") == [])
        #expect(message("${match.ib}") == ["T003 did you mean `match.id`?"])
        #expect(message("${clint.ip}") == ["T001 did you mean `client.ip`?"])
        #expect(message("${path") == ["T002 add `}`, or write `$${` for the characters themselves"])
        #expect(message("${status}").first?.hasPrefix("E007") == true)
    }

    @Test func `a warm runner can be used again and again`() throws {
        let made = try generation(site(request: """
            - {name: a, when: 'path matches "^/(?<w>[a-z]+)" and lower(header.x) == "y"', do: [{set_header: {A: "${match.w}"}}, {route: other}]}
            """))
        var runner = RuleRunner()
        let exchange = Sent(target: "/abc", headers: [("X", "Y")]).exchange()
        for _ in 0..<1_000 {
            let found = runner.begin(made, exchange)
            #expect(found)
            runner.enter(.request, exchange)
            let step = runner.next(exchange)
            #expect(step == .done)
            #expect(exchange.upstream == 1)
        }
        #expect(exchange.request.text(of: "a") == "abc")
        runner.end()
        #expect(runner.generation == nil)
    }
}
