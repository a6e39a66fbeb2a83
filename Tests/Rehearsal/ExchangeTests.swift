import Rehearsal
import Testing

/// What is played is what serves: rules, origins, failures, hooks, time.
@Suite struct ExchangeTests {
    func expectPass(_ run: TestRun, _ tests: Int, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(run.problem == nil && run.failed == 0, "\(run.complaints)", sourceLocation: sourceLocation)
        #expect(run.outcomes.count == tests, sourceLocation: sourceLocation)
    }

    @Test func `an answer of the origin passes through rules of both phases`() {
        expectPass(play(configuration(
            request: """
                - name: tell
                  do: [{set_header: {X-Told: "${client.ip}"}}, {remove_header: Cookie}]
                - name: rewrite
                  when: path matches "^/p/(?<id>[0-9]+)$"
                  do: [{rewrite: {path: "/product/${match.id}"}}]
                """,
            response: """
                - name: sign
                  when: status == 201
                  do: [{set_header: {X-Signed: "yes"}}, {remove_header: Server}]
                """,
            tests: """
                - name: all of it
                  send: {method: POST, url: "https://shop.example.com/p/42?a=b", headers: {Cookie: x=1, X-Two: [a, b]}, body: hello, client_ip: 203.0.113.9}
                  origin: {status: 201, headers: {Server: secret, X-Own: "1"}, body: made}
                  expect:
                    status: 201
                    headers: {x-signed: "yes", X-Own: "1", Content-Length: "4"}
                    headers_absent: [Server, Connection]
                    body: made
                    rules: [test/tell, test/rewrite, test/sign]
                    only_rules: [test/tell, test/rewrite, test/sign]
                    upstream: main
                    site: test
                    origin_called: true
                    calls: {main: 1, other: 0}
                    error: none
                    request:
                      method: POST
                      uri: /product/42?a=b
                      path: /product/42
                      query: a=b
                      headers: {X-Told: 203.0.113.9, X-Forwarded-For: 203.0.113.9, X-Two: "a, b", Host: shop.example.com}
                      headers_present: [Via, X-Request-Id]
                      headers_match: {X-Request-Id: "^[0-9a-f]{32}$"}
                      headers_absent: Cookie
                      body: hello
                """)), 1)
    }

    @Test func `an answer by rule does not call the origin, and a drop closes`() {
        expectPass(play(configuration(
            request: """
                - name: no
                  when: path == "/no"
                  do: [{respond: {status: 418, json: {why: "${path}", n: 1}}}]
                - name: gone
                  when: path == "/gone"
                  do: [drop]
                - name: early
                  when: path == "/early"
                  do: [{redirect: {to: "/late", status: 308}}]
                """,
            tests: """
                - name: respond
                  send: {url: "http://a/no"}
                  expect: {status: 418, origin_called: false, json: {n: 1, why: /no}, json_contains: {why: /no}, headers: {content-type: application/json}}
                - name: drop
                  send: {url: "http://a/gone"}
                  expect: {closed: true, origin_called: false, not_rules: test/no}
                - name: redirect
                  send: {url: "http://a/early"}
                  expect: {status: 308, headers: {Location: /late}}
                - name: default answer of an origin
                  send: {url: "http://a/"}
                  expect: {status: 200, body: ""}
                """)), 4)
    }

    @Test func `every way to fail reaches the error rules`() {
        let ways = ["dns": "dns", "connect": "connect", "connect_timeout": "timeout", "tls": "tls", "timeout": "timeout",
                    "reset": "reset", "protocol": "protocol"]
        let tests = ways.sorted { $0.key < $1.key }.map { way, kind in
            """
            - name: \(way)
              send: {url: "http://a/"}
              origin: {fail: \(way)}
              expect: {status: 503, body: "\(kind)", error: \(kind), rules: [test/down]}
            """
        }
        expectPass(play(configuration(
            error: "- name: down\n  do: [{respond: {status: 503, body: \"${error.kind}\"}}]",
            tests: tests.joined(separator: "\n"))), ways.count)
    }

    @Test func `calls of gRPC are repeated by their status, when their server says`() {
        let call = "send: {url: \"http://a/t/Call\", method: POST, headers: {Content-Type: application/grpc}, body: x}"
        let failure = "status: 200, headers: {Content-Type: application/grpc, Grpc-Status: \"14\", Grpc-Retry-Pushback-Ms: \"%\"}"
        func failing(_ pushback: String) -> String { failure.replacing("%", with: pushback) }
        expectPass(play(configuration(
            request: "- name: again\n  do: [{retry: {tries: 3, grpc_status: [unavailable, aborted]}}]",
            tests: """
                - name: after a pause
                  \(call)
                  origin: [{\(failing("900"))}, {status: 200, body: fine}]
                  expect: {body: fine, calls: {main: 2}}
                - name: never
                  \(call)
                  origin: [{\(failing("-1"))}, {status: 200, body: fine}]
                  expect: {body: "", headers: {Grpc-Status: "14"}, calls: {main: 1}}
                - name: nothing but gRPC
                  send: {url: "http://a/t/Call", method: POST, headers: {Content-Type: application/grpc-web}, body: x}
                  origin: [{\(failing("0"))}, {status: 200, body: fine}]
                  expect: {body: "", calls: {main: 1}}
                """)), 3)
    }

    @Test func `an answer that is cut cuts the client`() {
        expectPass(play(configuration(tests: """
            - name: cut
              send: {url: "http://a/"}
              origin: {body: half, fail: cut}
              expect: {closed: true, status: 200, error: reset}
            """)), 1)
    }

    @Test func `answers come in turn, by upstream, method and path`() {
        expectPass(play(configuration(
            request: "- name: away\n  when: header.to == \"other\"\n  do: [{route: other}]",
            tests: """
                - name: in turn
                  steps:
                    - send: {url: "http://a/"}
                      repeat: 3
                      origin: [{status: 201}, {status: 202}, {status: 203}]
                      expect: {status: 203, calls: {main: 1}}
                - name: by upstream
                  send: {url: "http://a/", headers: {to: other}}
                  origin: {status: 500}
                  origins: {other: [{method: POST, status: 201}, {path: "/x*", status: 202}, {status: 203}]}
                  expect: {status: 203, upstream: other}
                """)), 2)
    }

    @Test func `time passes on the test's clock only`() {
        let clock = ContinuousClock()
        let took = clock.measure {
            expectPass(play(configuration(
                request: "- name: night\n  when: time >= 1764108000\n  do: [{set_header: {X-Night: \"${time}\"}}]",
                response: "- name: slow\n  when: origin.time_ms >= 4000\n  do: [{set_header: {X-Slow: \"1\"}}]",
                tests: """
                    - name: a slow origin
                      time: 2025-11-25T21:59:59Z
                      steps:
                        - send: {url: "http://a/"}
                          origin: {delay: 4s, body_delay: 50s, body: late}
                          expect: {status: 200, body: late, headers: {X-Slow: "1"}, not_rules: test/night}
                        - send: {url: "http://a/"}
                          wait: 1s
                          origin: {delay: 6s}
                          expect: {status: 504, error: first_byte_timeout, rules: [test/night]}
                    """)), 1)
        }
        #expect(took < .seconds(30))
    }

    @Test func `hooks see the test's clock, and start anew where a test asks for it`() {
        let hook = """
            let calls = 0;
            export default {
              async onRequest(request) {
                const before = Date.now();
                await new Promise((resolve) => setTimeout(resolve, 2000));
                return new Response(`${++calls} ${new Date(before).toISOString()} ${(Date.now() - before) >= 2000} ${Date.now() - before < 2100}`);
              },
            };
            """
        expectPass(play(configuration(
            request: "- do: [{run: now}]", top: "functions: {now: {file: now.js}}",
            tests: """
                - name: first
                  time: 2031-01-02T03:04:05Z
                  steps:
                    - send: {url: "http://a/"}
                      expect: {body: "1 2031-01-02T03:04:05.000Z true true"}
                    - send: {url: "http://a/"}
                      wait: 1h
                      expect: {body_matches: "^2 2031-01-02T04:04:0[78][.0-9]+Z true true$"}
                - name: second
                  time: 1999-12-31T23:59:59Z
                  send: {url: "http://a/"}
                  expect: {body: "3 1999-12-31T23:59:59.000Z true true"}
                - name: third
                  fresh: true
                  time: 2031-01-02T03:04:05Z
                  send: {url: "http://a/"}
                  expect: {body: "1 2031-01-02T03:04:05.000Z true true"}
                """), ["now.js": hook]), 3)
    }

    @Test func `hooks run in both phases and call upstreams that the test plays`() {
        let hook = """
            export default {
              async onRequest(request, env, ctx) {
                const reply = await env.other.fetch("/check", {method: "POST", body: request.headers.get("x-key") ?? ""});
                if (reply.status !== 200) return new Response("no: " + await reply.text(), {status: 403});
                request.headers.set("x-user", (await reply.json()).user);
                ctx.state.user = "kept";
                console.log("checked");
              },
              onResponse(response, env, ctx) { response.headers.set("x-seen", ctx.state.user); },
            };
            """
        expectPass(play(configuration(
            request: "- name: auth\n  do: [{run: auth}]", response: "- name: seen\n  do: [{run: auth}]",
            top: "functions: {auth: {file: hooks/auth.js, upstreams: [other]}}",
            tests: """
                - name: allowed
                  send: {url: "http://a/", headers: {X-Key: good}}
                  origin: {body: inner}
                  origins: {other: {json: {user: ada}}}
                  expect:
                    status: 200
                    headers: {x-seen: kept}
                    calls: {main: 1, other: 1}
                    request: {headers: {x-user: ada}, path: /}
                    hooks: {auth: continue}
                    log_contains: checked
                - name: refused
                  send: {url: "http://a/"}
                  origins: {other: {status: 401, body: who}}
                  expect: {status: 403, body: "no: who", origin_called: false, calls: {other: 1}, hooks: {auth: respond}}
                """), ["hooks/auth.js": hook]), 2)
    }

    @Test func `a hook that fails ends in its policy`() {
        let hook = "export default { onRequest(request) { if (request.headers.has('boom')) throw new Error('bad luck'); while (request.headers.has('loop')); } };"
        expectPass(play(configuration(
            request: "- name: h\n  do: [{run: h}]", top: "functions: {h: {file: h.js, on_error: {deny: 451}, limits: {cpu: 20ms}}}",
            tests: """
                - name: throws
                  send: {url: "http://a/", headers: {boom: "1"}}
                  expect: {status: 451, error: hook_error, hooks: {h: error}, log_contains: bad luck}
                - name: loops
                  send: {url: "http://a/", headers: {loop: "1"}}
                  expect: {status: 451, error: hook_cpu, hooks: {h: cpu}}
                """), ["h.js": hook]), 2)
    }

    @Test func `a request that cannot be read is refused as on the wire`() {
        expectPass(play(configuration(tests: """
            - name: bad host
              send: {url: "http://a/", headers: {Host: "a b"}}
              expect: {status: 400, origin_called: false}
            - name: head without body
              send: {method: HEAD, url: "http://a/"}
              origin: {body: hidden}
              expect: {status: 200, body: "", headers: {Content-Length: "6"}}
            - name: a large body goes through
              send: {method: PUT, url: "http://a/", http_version: "2", body: "\(String(repeating: "x", count: 60_000))"}
              expect: {status: 200, request: {body_matches: "^x{1000}x*$", headers: {Content-Length: "60000"}}}
            """)), 3)
    }
}
