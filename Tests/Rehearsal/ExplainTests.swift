import HTTP
import Rehearsal
import Gateway
import Rules
import Testing

/// `sluice explain`: which rules were asked, why they matched, what they changed.
@Suite struct ExplainTests {
    static let rules = configuration(
        request: """
            - name: office
              when: path starts_with "/admin" and not (client.ip in 192.0.2.0/24 or header.x-key == "k")
              do: [{deny: 403}]
            - name: old
              when: path matches "^/p/(?<id>[0-9]+)$"
              do: [{rewrite: {path: "/product/${match.id}"}}, {set_header: {X-Old: "yes"}}, {set_var: {seen: "1"}}]
            - name: after
              when: path == "/product/7" and vars.seen == "1"
              do: [{route: other}]
            - name: tried
              mode: shadow
              do: [{deny: 451}]
            """,
        response: "- name: sign\n  when: status == 404\n  do: [{set_header: {X-Signed: \"1\"}}]")

    func explain(_ change: (inout DescribedRequest) -> Void) throws -> Explanation {
        var described = DescribedRequest()
        change(&described)
        return try Explanation(
            "rules.yaml", described.request, answer: described.answer, provider: RehearsalFiles(FileBundle(["rules.yaml": Self.rules])))
    }

    @Test func `each part of a condition is shown with what its field said`() throws {
        let explanation = try explain { _ = $0.take(url: "https://a.example/admin/x") }
        let text = explanation.text
        #expect(text.contains("+ test/office"), "\(text)")
        #expect(text.contains("yes  path starts_with \"/admin\"   it is \"/admin/x\""))
        #expect(text.contains("no   client.ip in {192.0.2.0/24}   it is \"198.51.100.1\""))
        #expect(text.contains("no   header.x-key == \"k\"   it is missing"))
        #expect(text.contains("answer: 403 Forbidden") && text.contains("no origin is asked"))
        #expect(!text.contains("test/old"))
    }

    @Test func `later rules see what earlier ones changed, and shadows change nothing`() throws {
        let explanation = try explain {
            _ = $0.take(url: "http://a.example/p/7")
            $0.answer.status = 404
        }
        let text = explanation.text
        #expect(text.contains("=> path: /p/7 -> /product/7") && text.contains("=> request header x-old: none -> yes"), "\(text)")
        #expect(text.contains("=> vars.seen: none -> 1") && text.contains("=> upstream: main -> other"))
        #expect(text.contains("test/tried (shadow) (shadow: nothing is done)") || text.contains("+ test/tried"))
        #expect(text.contains("=> response header x-signed: none -> 1"))
        #expect(text.contains("request to other (server 0): GET /product/7") && text.contains("answer: 404 Not Found"))
        let json = explanation.json
        #expect(json["status"]?.text == "404" && json["upstream"]?.text == "other")
        let old = json["trace"]?.array.first { $0["rule"]?.text == "test/old" }
        #expect(old?["matched"]?.text == "true" && old?["condition"]?["value"]?.text == "/p/7" && old?["changes"]?.array.count == 3)
    }

    @Test func `a HAR entry and a line of the access log describe requests`() throws {
        var described = DescribedRequest()
        let har = """
            {"log": {"entries": [{"request": {"method": "POST", "url": "https://a.example/x?y", "httpVersion": "h2",
             "headers": [{"name": ":path", "value": "/"}, {"name": "X-Key", "value": "k"}], "postData": {"text": "hi"}},
             "response": {"status": 503, "headers": [{"name": "Content-Encoding", "value": "br"}, {"name": "A", "value": "b"}]}}]}}
            """
        let (second, first) = (described.take(har: har, entry: 1), described.take(har: har, entry: 0))
        #expect(second == "it has 1 entries, there is no number 1" && first == nil)
        #expect(described.request.method == "POST" && described.request.target == "/x?y" && described.request.body == Array("hi".utf8))
        #expect(described.request.fields.map(\.name) == ["X-Key"] && described.answer.status == 503 && described.answer.fields.map(\.name) == ["A"])
        var logged = DescribedRequest()
        let line = """
            {"time":1764108000,"client":"203.0.113.9","client_port":4711,"protocol":"HTTP/2","scheme":"https","method":"PUT","host":"a.example:8443",\
            "path":"/x","query":"y=1","user_agent":"curl","tls":"TLSv1.2","sni":"a.example","upstream":{"name":"main","status":404}}
            """
        let (wrong, right) = (logged.take(logLine: "{}"), logged.take(logLine: line))
        #expect(wrong != nil && right == nil)
        #expect(logged.request.authority == "a.example:8443" && logged.request.target == "/x?y=1" && logged.request.time == 1_764_108_000)
        #expect(logged.request.client.port == 4711 && logged.request.client.tls?.version == "TLSv1.2" && logged.answer.status == 404)
    }

    @Test func `a configuration with mistakes says so`() {
        #expect(throws: ExplanationError.self) {
            _ = try Explanation("none.yaml", DescribedRequest().request, answer: TestAnswer(), provider: RehearsalFiles(FileBundle([:])))
        }
    }
}
