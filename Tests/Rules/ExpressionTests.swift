import HTTP
import Rules
import Testing

@Suite struct ExpressionTests {
    let sent = Sent(
        method: "POST", host: "WWW.Example.COM:8443", target: "/Shop/p/42?a=1&b=x%20y&empty=&%63=3",
        headers: [("Content-Type", "application/json"), ("X-Tag", "one"), ("x-tag", "two"), ("Cookie", "sid=s1; theme=dark"), ("Cookie", "beta=1")],
        client: "10.1.2.3", body: .known(120))

    @Test(arguments: [
        ("method == \"POST\"", true), ("method eq \"GET\"", false), ("method != \"GET\"", true), ("method ne \"POST\"", false),
        ("scheme == \"http\"", true), ("host == \"www.example.com\"", true), ("host ends_with \".EXAMPLE.com\"", true),
        ("host matches \"^WWW\"", true), ("path == \"/Shop/p/42\"", true), ("path starts_with \"/Shop\"", true),
        ("path starts_with \"/shop\"", false), ("lower(path) starts_with \"/shop\"", true), ("path ends_with \"42\"", true),
        ("path contains \"/p/\"", true), ("path like \"/Shop/*/42\"", true), ("path like \"*.css\"", false),
        ("path matches \"^/Shop/p/[0-9]+$\"", true), ("path ~ \"x\"", false), ("query contains \"b=x\"", true),
        ("uri == \"/Shop/p/42?a=1&b=x%20y&empty=&%63=3\"", true), ("http_version == \"1.1\"", true),
        ("arg.a == \"1\"", true), ("arg.b == \"x y\"", true), ("arg.c == \"3\"", true), ("arg.empty == \"\"", true),
        ("exists(arg.empty)", true), ("exists(arg.none)", false), ("arg.none == \"\"", false), ("arg.none != \"x\"", false),
        ("not arg.none == \"x\"", true), ("arg[\"a\"] == \"1\"", true),
        ("header.content-type starts_with \"application/\"", true), ("header[\"Content-Type\"] contains \"json\"", true),
        ("header.x-tag == \"one\"", true), ("header.host == \"WWW.Example.COM:8443\"", true), ("header.x-tag == \"two\"", false), ("any(header.x-tag == \"two\")", true),
        ("any(lower(http.request.headers[\"x-tag\"][*]) == \"one\")", true), ("exists(header.x-none)", false),
        ("cookie.sid == \"s1\"", true), ("cookie.theme == \"dark\"", true), ("cookie.beta == \"1\"", true), ("exists(cookie.si)", false),
        ("body.size > 100", true), ("body.size <= 119", false), ("body.size in {1..50 120}", true), ("body.size in {}", false),
        ("client.ip == 10.1.2.3", true), ("client.ip in 10.0.0.0/8", true), ("client.ip in 2001:db8::/32", false),
        ("client.ip in {10.1.2.4 10.1.2.0/24}", true), ("not client.ip in {10.1.2.3}", false), ("client.ip not in 10.0.0.0/8", false),
        ("client.port ge 50000", true), ("client.port lt 50000", false), ("method in {\"GET\" \"POST\"}", true),
        ("method in {\"GET\", \"HEAD\"}", false), ("len(path) == 10", true), ("len(lower(path)) == 1", nil),
        ("http.request.uri.path == \"/Shop/p/42\"", true), ("http.host eq \"www.example.com\" and ip.src in 10.0.0.0/8", true),
        ("starts_with(path, \"/Shop\") && !ends_with(path, \"/\")", true), ("contains(lower(path), \"shop\")", true),
        ("request.id == \"00000000000000010000000000000abc\"", true), ("site == \"test\"", true), ("exists(tls.version)", false),
        ("not tls.client.verified", true), ("original.path == path", true), ("original.host == \"www.example.com\"", true),
        ("path == host", false), ("true", true), ("not true or false", false), ("(path == \"/\" or true) and true", true),
        ("exists(query) and not exists(vars.x)", true), ("original.arg.b == \"x y\"", true),
    ] as [(String, Bool?)])
    func `expressions are true when they should be`(expression: String, expected: Bool?) {
        #expect(evaluate(expression, sent) == expected, "\(expression)")
    }

    @Test(arguments: [
        ("path = \"/\"", "E001 `=` has no meaning here | write `==`"),
        ("path startswith \"/\"", "E002 unknown operator `startswith` | did you mean `starts_with`?"),
        ("path == \"/\" adn method == \"GET\"", "E002 unknown operator `adn` | did you mean `and`?"),
        ("path", "E004 `path` is a string, not a condition | compare it, or write `exists(path)`"),
        ("path == 5", "E004 cannot compare a string with a number | write `\"5\"`"),
        ("body.size == \"5\"", "E004 cannot compare a number with a string | write `body.size == 5`"),
        ("client.ip == \"10.0.0.1\"", "E004 cannot compare an IP address with a string | write `client.ip == 10.0.0.1`"),
        ("client.ip == \"10.0.0.0/8\"", "E004 cannot compare an IP address with a string | write `client.ip in 10.0.0.0/8`"),
        ("client.ip == 10.0.0.0/8", "E004 cannot compare an IP address with a network | write `client.ip in ...`"),
        ("client.ip starts_with \"10.\"", "E004 `starts_with` needs a string; `client.ip` is an IP address | write `client.ip in 10.0.0.0/24`"),
        ("path < \"b\"", "E004 `<` compares numbers; `path` is a string | "),
        ("path in \"/a\"", "E004 `in` needs a set `{...}`, a list `$name` or a network | "),
        ("path in {\"/a\" 5}", "E004 cannot compare a string with a number | "),
        ("client.ip in $ofice", "U004 list `ofice` is not defined; defined: office, words | did you mean `$office`?"),
        ("path in $office", "E004 list `office` holds addresses; `path` is a string | "),
        ("path matches \"(\"", "E005 the pattern is not valid: missing ): ( | "),
        ("path matches \"(?=x)\"", "E005 the pattern is not valid: look-around `(?=` is not available: patterns run in linear time | "),
        ("path == \"/a", "E006 the string has no end | add `\"`"),
        ("client.ip in 10.0.0.0/33", "E006 `10.0.0.0/33` is not an IP address or network | for example 10.0.0.0/8 or 2001:db8::/32"),
        ("lowr(path) == \"/\"", "E010 unknown function `lowr` | did you mean `lower`?"),
        ("exist(path)", "E010 unknown function `exist` | did you mean `exists`?"),
        ("headers.x == \"1\"", "E003 unknown field `headers.x` | did you mean `header.x`?  (string)"),
        ("request_uri == \"/\"", "E003 unknown field `request_uri` | did you mean `original.uri`?  (string)"),
        ("error.kind == \"dns\"", "E007 `error.kind` is known only when the origin or a hook has failed | move this rule to `error:`"),
        ("response.header.server == \"x\"", "E007 `response.header.server` is known only after the origin has answered | move this rule to `response:`, or test `method`, `path`, `header.*`"),
        ("lower(body.size) == \"1\"", "E004 `lower()` needs a string; `body.size` is a number | "),
        ("(path == \"/\"", "E001 expected `)`, found the end | "),
        ("path == ", "E001 expected a value, found the end | strings stand in double quotes"),
    ])
    func `each mistake has its sentence`(expression: String, expected: String) {
        let file = site(request: "- when: >\n    \(expression)\n  do: [stop]", top: "lists: {office: [10.0.0.0/8], words: [a, b]}")
        let found = load(file).diagnostics.map { "\($0.code.rawValue) \($0.message) | \($0.label)" }
        #expect(found == [expected])
    }

    @Test func `lists hold addresses or strings`() {
        let lists = "lists: {office: [10.0.0.0/8, \"2001:db8::/32\"], words: [\"/a\", \"/Shop/p/42\"], many: [\((0..<500).map { "w\($0)" }.joined(separator: ","))]}"
        #expect(evaluate("client.ip in $office", sent, lists: lists) == true)
        #expect(evaluate("client.ip in $office", Sent(client: "2001:db8::5"), lists: lists) == true)
        #expect(evaluate("client.ip in $office", Sent(client: "2001:db9::5"), lists: lists) == false)
        #expect(evaluate("path in $words", sent, lists: lists) == true)
        #expect(evaluate("header.x-tag in $many", Sent(headers: [("x-tag", "w499")]), lists: lists) == true)
        #expect(evaluate("header.x-tag in $many", Sent(headers: [("x-tag", "w500")]), lists: lists) == false)
    }

    @Test func `hostile expressions are refused`() {
        for text in [String(repeating: "(", count: 5_000), String(repeating: "not ", count: 5_000) + "true", String(repeating: "lower(", count: 3_000) + "path"] {
            #expect(evaluate(text) == nil)
        }
        #expect(evaluate(Array(repeating: "path == \"/\"", count: 900).joined(separator: " or ")) == true)
        #expect(evaluate(Array(repeating: "path == \"/\"", count: 2_000).joined(separator: " or ")) == nil)
    }

    @Test func `match is short for equality, wildcards and alternatives`() {
        func matches(_ map: String, _ sent: Sent) -> Bool? {
            load(site(request: "- {match: {\(map)}, do: [stop]}")).configuration.map { !run(Generation($0), sent.exchange()).matched.isEmpty }
        }
        #expect(matches("host: www.example.com, path: /Shop/*", sent) == true)
        #expect(matches("method: [GET, POST], client.ip: 10.0.0.0/8, body.size: 120", sent) == true)
        #expect(matches("method: [GET, PUT]", sent) == false)
        #expect(matches("header.x-tag: one, tls.client.verified: true", sent) == false)
        #expect(matches("hots: x", sent) == nil)
    }
}

/// A tree that is evaluated by the engine and, in the plainest way, by the test.
indirect enum Tree {
    case leaf(String, Bool)
    case not(Tree), and(Tree, Tree), or(Tree, Tree)

    var text: String {
        switch self {
        case .leaf(let text, _): text
        case .not(let a): "not (\(a.text))"
        case .and(let a, let b): "(\(a.text)) and (\(b.text))"
        case .or(let a, let b): "(\(a.text)) or (\(b.text))"
        }
    }
    var value: Bool {
        switch self {
        case .leaf(_, let value): value
        case .not(let a): !a.value
        case .and(let a, let b): a.value && b.value
        case .or(let a, let b): a.value || b.value
        }
    }
}

@Suite struct ExpressionPropertyTests {
    let paths = ["/", "/a", "/a/b", "/ab", "/A"]
    let methods = ["GET", "POST"]
    let tags = [nil, "x", "y", ""] as [String?]

    func leaf(_ random: inout SplitMix, path: String, method: String, tag: String?) -> Tree {
        let word = random.pick(["", "/", "a", "/a", "b", "/A", "x", "y"])
        switch random.next() % 11 {
        case 0: return .leaf("path == \"\(word)\"", path == word)
        case 1: return .leaf("path != \"\(word)\"", path != word)
        case 2: return .leaf("path starts_with \"\(word)\"", path.hasPrefix(word))
        case 3: return .leaf("path ends_with \"\(word)\"", path.hasSuffix(word))
        case 4: return .leaf("path contains \"\(word)\"", word.isEmpty || path.contains(word))
        case 5: return .leaf("method == \"GET\"", method == "GET")
        case 6: return .leaf("exists(header.x-t)", tag != nil)
        case 7: return .leaf("header.x-t == \"\(word)\"", tag == word)
        case 8: return .leaf("header.x-t != \"\(word)\"", tag != nil && tag != word)
        case 9: return .leaf("path matches \"^/[ab]+$\"", path == "/a" || path == "/ab")
        default: return .leaf("len(path) > 2", path.utf8.count > 2)
        }
    }

    func tree(_ random: inout SplitMix, _ depth: Int, _ leaf: (inout SplitMix) -> Tree) -> Tree {
        guard depth > 0 else { return leaf(&random) }
        switch random.next() % 4 {
        case 0: return leaf(&random)
        case 1: return .not(tree(&random, depth - 1, leaf))
        case 2: return .and(tree(&random, depth - 1, leaf), tree(&random, depth - 1, leaf))
        default: return .or(tree(&random, depth - 1, leaf), tree(&random, depth - 1, leaf))
        }
    }

    /// Many expressions as the rules of one file: the compiled program against the plain reading.
    @Test func `compiled expressions agree with a naive evaluator on random inputs`() throws {
        var random = SplitMix(state: 2_026)
        for _ in 0..<60 {
            let (path, method, tag) = (random.pick(paths), random.pick(methods), random.pick(tags))
            var trees: [Tree] = []
            for _ in 0..<50 { trees.append(tree(&random, 5) { leaf(&$0, path: path, method: method, tag: tag) }) }
            let rules = trees.enumerated().map { "- {name: r\($0), do: [{set_var: {v: x}}], when: '\($1.text)'}" }
            let result = load(site(request: rules.joined(separator: "\n")))
            let configuration = try #require(result.configuration, "\(result.diagnostics.text)")
            let sent = Sent(method: method, target: path, headers: tag.map { [("X-T", $0)] } ?? [])
            let matched = Set(run(Generation(configuration), sent.exchange()).matched)
            for (index, tree) in trees.enumerated() {
                #expect(matched.contains("test/r\(index)") == tree.value, "\(tree.text) on \(path) \(method) \(tag ?? "-")")
            }
        }
    }
}
