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
}
