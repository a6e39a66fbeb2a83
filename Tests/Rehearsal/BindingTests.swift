import Rehearsal
import Testing

/// Hooks with namespaces, secrets and texts are tested without any of them being there.
@Suite struct RehearsedBindingTests {
    let counter = """
        export default { async onRequest(request, env) {
          const seen = (await env.SEEN.get("count", "json")) ?? { n: 0 };
          await env.SEEN.put("count", JSON.stringify({ n: seen.n + 1 }), { expirationTtl: 60, metadata: { by: env.MODE } });
          if (request.url.endsWith("/forget")) await env.SEEN.delete("count");
          return new Response(`${seen.n} ${env.KEY} ${env.OTHER}`);
        } };
        """

    func run(_ tests: String) -> TestRun {
        play(configuration(
            request: "- {name: count, do: [{run: f}]}",
            top: """
                kv: {seen: {}}
                secrets: {KEY: {file: not/there.txt, test: k1}}
                functions: {f: {file: f.js, kv: {SEEN: seen}, secrets: [KEY, OTHER], vars: {MODE: m}}}
                """,
            tests: tests), ["f.js": counter])
    }

    @Test func `each test begins with what it says, and time passes for entries`() {
        let result = run("""
            - name: nothing is there
              steps:
                - send: {url: "https://a.example/"}
                  expect: {body: "0 k1 test-OTHER", kv: {seen: {count: {n: 1}, other: null}}}
                - send: {url: "https://a.example/"}
                  expect: {body: "1 k1 test-OTHER"}
                - wait: 61s
                  send: {url: "https://a.example/forget"}
                  expect: {body: "0 k1 test-OTHER", kv: {seen: {count: null}}}
            - name: something is there
              kv: {seen: {count: {n: 41}, text: plain}}
              send: {url: "https://a.example/"}
              expect: {body: "41 k1 test-OTHER", kv: {seen: {count: {n: 42}, text: plain}}}
            """)
        #expect(result.problem == nil && result.failed == 0, "\(result.complaints)")
        #expect(result.outcomes.count == 2)
    }

    @Test func `what is not as expected is told`() {
        let result = run("""
            - name: wrong
              send: {url: "https://a.example/"}
              expect: {kv: {seen: {count: {n: 2}, gone: here}}}
            """)
        #expect(result.failures.map(\.message) == ["expected kv.seen.count {\"n\":2}, got {\"n\":1}", "expected kv.seen.gone here, got no entry"])
    }

    @Test func `hosts outside are played like origins, and redirects are followed to granted ones only`() {
        let hook = """
            export default { async onRequest(request, env, ctx) {
              const target = ctx.args.url;
              try {
                const reply = await fetch(target, { method: "POST", body: "b", headers: { authorization: "a", "content-type": "text/x" } });
                return new Response(`${reply.status} ${reply.url} ${reply.redirected} ${await reply.text()}`);
              } catch (error) { return new Response(error.message, { status: 599 }); }
            } };
            """
        let result = play(configuration(
            request: """
                - {name: other, when: path == "/other", do: [{run: {function: f, args: {url: "https://evil.example/"}}}]}
                - {name: port, when: path == "/port", do: [{run: {function: f, args: {url: "https://api.example:8443/"}}}]}
                - {name: plain, when: path == "/plain", do: [{run: {function: f, args: {url: "http://api.example/"}}}]}
                - {name: dot, when: path == "/dot", do: [{run: {function: f, args: {url: "https://api.example./"}}}]}
                - {name: call, do: [{run: {function: f, args: {url: "https://API.example/start?q=1#frag"}}}]}
                """,
            top: "functions: {f: {file: f.js, egress: [api.example, files.example], limits: {cpu: 2s}}}",
            tests: """
                - name: answered
                  send: {url: "https://a.example/"}
                  origins: {api.example: {status: 201, body: made}}
                  expect: {body: "201 https://api.example/start?q=1#frag false made", calls: {api.example: 1, files.example: 0}}
                - name: redirected
                  send: {url: "https://a.example/"}
                  origins:
                    api.example: {status: 302, headers: {Location: "https://files.example/f"}}
                    files.example: {body: there}
                  expect: {body: "200 https://files.example/f true there", calls: {api.example: 1, files.example: 1}}
                - name: redirected to where it may not go
                  send: {url: "https://a.example/"}
                  origins: {api.example: {status: 307, headers: {Location: "http://169.254.169.254/latest"}}}
                  expect: {status: 599, body_contains: "169.254.169.254 is not granted", calls: {api.example: 1}}
                - name: round and round
                  send: {url: "https://a.example/"}
                  origins: {api.example: {status: 302, headers: {Location: /again}}}
                  expect: {status: 599, body: "fetch: more than 20 redirects", calls: {api.example: 21}}
                - {name: another host, send: {url: "https://a.example/other"}, expect: {status: 599, body_contains: "evil.example is not granted"}}
                - {name: another port, send: {url: "https://a.example/port"}, expect: {status: 599, body_contains: "is not granted"}}
                - {name: without TLS, send: {url: "https://a.example/plain"}, expect: {status: 599, body_contains: "is not granted"}}
                - {name: another spelling, send: {url: "https://a.example/dot"}, expect: {status: 599, body_contains: "is not granted"}}
                """), ["f.js": hook])
        #expect(result.problem == nil && result.failed == 0, "\(result.complaints)")
        #expect(result.outcomes.count == 8)
    }

    @Test func `a schedule is run like a request`() {
        let result = play(configuration(
            request: "- {name: count, when: path == \"/seen\", do: [{run: f}]}",
            top: """
                kv: {seen: {}}
                functions: {f: {file: f.js, kv: {SEEN: seen}, upstreams: [other], schedule: ["*/5 * * * *"]}}
                """,
            tests: """
                - name: it counts
                  time: 2026-11-26T00:30:00Z
                  steps:
                    - scheduled: f
                      origins: {other: {body: pong}}
                      expect: {kv: {seen: {last: "*/5 * * * * 1795653000000 pong"}}, hooks: {f: continue}, calls: {other: 1}}
                    - send: {url: "https://a.example/seen"}
                      expect: {body: "*/5 * * * * 1795653000000 pong"}
                - name: it fails
                  scheduled: f
                  origins: {other: {fail: connect}}
                  expect: {hooks: {f: error}, log_contains: "kind=error", kv: {seen: {last: null}}}
                """), ["f.js": """
                export default {
                  async onRequest(request, env) { return new Response(await env.SEEN.get("last")); },
                  async scheduled(event, env) {
                    const pong = await (await env.other.fetch("/ping")).text();
                    await env.SEEN.put("last", `${event.cron} ${event.scheduledTime} ${pong}`);
                  },
                };
                """])
        #expect(result.problem == nil && result.failed == 0, "\(result.complaints)")
        #expect(result.outcomes.count == 2)
    }
}
