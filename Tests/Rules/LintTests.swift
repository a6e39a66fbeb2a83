import HTTP
@testable import Rules
import Testing

@Suite struct LintTests {
    /// Warnings of a file with these request rules, each `condition -> actions`.
    func warnings(_ rules: [(String, String)]) -> [String] {
        let text = rules.enumerated().map { "- {name: r\($0.offset), when: '\($0.element.0)', do: [\($0.element.1)]}" }.joined(separator: "\n")
        return load(site(request: text)).diagnostics.map(\.message)
    }

    func condition(_ expression: String) throws -> Condition {
        let loaded = load(site(request: "- when: >\n    \(expression)\n  do: [stop]", top: "lists: {l: [/a, /b], n: [10.1.0.0/16, 10.2.0.0/16]}"))
        return try #require(loaded.configuration?.sites[0].request[0].condition, "\(loaded.diagnostics.text)").root
    }

    // MARK: One condition follows from another

    @Test(arguments: [
        ("path == \"/a\"", "path == \"/a\""), ("path == \"/a/b\"", "path starts_with \"/a\""), ("path == \"/a\"", "path in {\"/b\" \"/a\"}"),
        ("path in {\"/a\" \"/b\"}", "path in $l"), ("path starts_with \"/a/b\"", "path starts_with \"/a\""),
        ("path == \"/a\" and method == \"GET\"", "path == \"/a\""), ("path == \"/a\"", "path == \"/a\" or method == \"GET\""),
        ("path == \"/a\" or path == \"/b\"", "path in $l"), ("path matches \"^/a/[0-9]+$\"", "path starts_with \"/a/\""),
        ("path like \"/a/*.css\"", "path starts_with \"/a\""), ("path starts_with \"/a/b\"", "path like \"/a*\""),
        ("path == \"/x.css\"", "path matches \"[.]css$\""), ("path == \"/x.css\"", "path ends_with \".css\""),
        ("path ends_with \"x.css\"", "path ends_with \".css\""), ("path contains \"abc\"", "path contains \"b\""),
        ("path == \"/a\"", "path != \"/b\""), ("host == \"A.example\"", "host ends_with \".EXAMPLE\""), ("status == 404", "status >= 400"),
        ("status in {404 410}", "status in {400..499}"), ("status > 500", "status >= 400"), ("header.x == \"1\"", "exists(header.x)"),
        ("header.x == \"1\"", "any(header.x == \"1\")"), ("client.ip == 10.1.2.3", "client.ip in 10.0.0.0/8"), ("client.ip in $n", "client.ip in 10.0.0.0/8"),
        ("not path starts_with \"/a\"", "not path == \"/ab\""), ("lower(path) == \"/a\"", "lower(path) starts_with \"/\""), ("false", "path == \"/a\""),
    ])
    func `a narrower condition is seen to be one`(narrow: String, wide: String) throws {
        let inResponse = narrow.contains("status")
        let (p, q) = inResponse ? try (response(narrow), response(wide)) : try (condition(narrow), condition(wide))
        #expect(Implication.holds(p, q))
    }

    func response(_ expression: String) throws -> Condition {
        let loaded = load(site(response: "- when: >\n    \(expression)\n  do: [stop]"))
        return try #require(loaded.configuration?.sites[0].response[0].condition).root
    }

    @Test(arguments: [
        ("path starts_with \"/a\"", "path == \"/a\""), ("path == \"/a\" or method == \"GET\"", "path == \"/a\""), ("path in $l", "path == \"/a\""),
        ("path == \"/a\"", "original.path == \"/a\""), ("any(header.x == \"1\")", "header.x == \"1\""), ("path starts_with \"/a\"", "path starts_with \"/a/\""),
        ("lower(path) == \"/a\"", "path == \"/a\""), ("client.ip in 10.0.0.0/8", "client.ip in 10.1.0.0/16"), ("exists(header.x)", "header.x != \"1\""),
        ("not header.x == \"1\"", "header.x != \"1\""), ("path != \"/a\"", "path == \"/b\""), ("path matches \"^/a\"", "path matches \"^/\""),
    ])
    func `what does not follow is not taken for it`(p: String, q: String) throws {
        #expect(try !Implication.holds(condition(p), condition(q)))
    }

    @Test func `what is proved is true of random requests`() throws {
        var random = RandomRules(seed: 77)
        var proved = 0
        for _ in 0..<150 {
            guard let configuration = load(random.file()).configuration else { continue }
            let rules = configuration.sites.flatMap(\.request).filter { $0.condition != nil && !$0.shadow }.prefix(20).map { $0 }
            let requests = (0..<10).map { _ in random.request() }
            for p in rules {
                for q in rules where p.id != q.id {
                    guard let a = p.condition, let b = q.condition, Implication.holds(a.root, b.root) else { continue }
                    proved += 1
                    for request in requests {
                        let (first, second) = (matches(a, request, configuration), matches(b, request, configuration))
                        #expect(!first || second, "\(a.root)\n\(b.root)\n\(request)")
                    }
                }
            }
        }
        #expect(proved > 500)
    }

    private func matches(_ expression: Expression, _ request: NaiveRequest, _ configuration: Configuration) -> Bool {
        var alone = configuration
        let rule = Rule(id: "x", name: "x", condition: expression, actions: [], position: .none)
        alone.sites = [Site(name: "one", hosts: [.any], request: [rule], position: .none)]
        var interpreter = NaiveInterpreter(alone, request)
        return interpreter.run(.request).hasPrefix("[\"x\"]")
    }

    // MARK: Unreachable rules

    @Test func `a rule behind one that ends the phase for all it matches is told`() {
        #expect(warnings([("path starts_with \"/a\"", "{deny: 403}"), ("path == \"/a/b\"", "{route: other}")]) == [
            "rule \"r1\" can never run: rule \"r0\" (line 11) ends the request phase for everything it matches",
        ])
        #expect(warnings([("path in {\"/a\" \"/b\"}", "stop"), ("path == \"/b\" and method == \"GET\"", "{route: other}")]).count == 1)
        #expect(warnings([("exists(header.x)", "stop"), ("header.x == \"1\"", "{route: other}")]).count == 1)
    }

    @Test func `a rule that can still run is not`() {
        let wide = "path starts_with \"/a\""
        #expect(warnings([(wide, "{route: other}"), ("path == \"/a\"", "stop")]).isEmpty)
        #expect(warnings([("path == \"/a\"", "stop"), (wide, "{route: other}")]).isEmpty)
        // What stands between may change what the first rule looked at.
        #expect(warnings([(wide, "stop"), ("path == \"/b\"", "{rewrite: /a}"), ("path == \"/a\"", "{route: other}")]).isEmpty)
        #expect(warnings([(wide, "stop"), ("path == \"/b\"", "{set_header: {X: y}}"), ("path == \"/a\"", "{route: other}")]).count == 1)
        #expect(warnings([("header.x == \"1\"", "stop"), ("path == \"/b\"", "{set_header: {X: \"1\"}}"), ("header.x == \"1\"", "{route: other}")]).isEmpty)
        #expect(load(site(request: "- {when: '\(wide)', mode: shadow, do: [stop]}\n- {when: 'path == \"/a\"', do: [stop]}")).diagnostics.isEmpty)
    }

    @Test func `ten thousand rules are looked at in no time`() {
        var rules: [(String, String)] = []
        for number in 0..<5_000 { rules.append(("path == \"/p/\(number)\"", "stop")) }
        for number in 0..<5_000 { rules.append(("path == \"/p/\(number)\" and method == \"GET\"", "stop")) }
        // The reporter stops at its limit; the search has found them all before.
        #expect(warnings(rules).count == Reporter.most)
        #expect(warnings((0..<10_000).map { ("header.x\($0) != \"1\"", "stop") }).isEmpty)
    }

    @Test func `an error behind more warnings than are kept still refuses the file`() {
        let rules = (0...Reporter.most + 50).map { _ in "- {when: 'path == \"/a\"', do: [stop]}" }.joined(separator: "\n")
        let found = load(site(request: rules, response: "- {do: [{run: {function: nowhere}}]}"))
        #expect(found.configuration == nil)
        #expect(found.diagnostics.first?.severity == .error)
        #expect(found.diagnostics.warningCount == Reporter.most)
    }

    // MARK: Names nobody uses

    @Test func `functions, upstreams and lists that nobody uses are told where they stand`() {
        let found = load("""
            sluice: 1
            lists: {used: [a], idle: [b]}
            upstreams: {used: {servers: ["http://a"]}, granted: {servers: ["http://a"]}, idle: {servers: ["http://a"]}}
            functions: {used: {file: f.js, upstreams: [granted]}, idle: {file: f.js}}
            sites: [{name: s, hosts: ["*"], upstream: used, request: [{when: path in $used, do: [{run: used}]}]}]
            """, ["f.js": ""]).diagnostics
        #expect(found.map { "\($0.position.line):\($0.position.column)+\($0.position.length) \($0.code.rawValue)" } == [
            "2:20+4 L008", "3:78+4 L007", "4:55+4 L006",
        ])
        #expect(found.allSatisfy { $0.severity == .warning })
    }

    @Test func `a misspelt name is one error, not also an unused one`() {
        let found = load("sluice: 1\nupstreams: {shop: {servers: [\"http://a\"]}}\nsites: [{name: s, hosts: [\"*\"], upstream: shp}]").diagnostics
        #expect(found.map(\.code) == [.unknownUpstream])
    }
}
