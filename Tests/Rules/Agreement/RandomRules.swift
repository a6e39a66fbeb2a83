/// Rule files and requests from a small world, so that rules often meet requests and each other.
struct RandomRules {
    var random: SplitMix

    init(seed: UInt64) { random = SplitMix(state: seed) }

    private static let paths = ["/", "/a", "/ab", "/a/b", "/a/b/c", "/a/bc", "/b", "/b/a.css", "/long/path/with/parts", "/long/path/else"]
    private static let heads = ["/", "/a", "/a/", "/a/b", "/ab", "/b", "/long/path/", "/long/path/w", "a", ""]
    private static let words = ["1", "2", "ab", "AB", "", "x y"]
    private static let hosts = ["a.example", "b.example", "A.Example", "x.b.example", "deep.x.b.example", "c.test"]
    private static let patterns = [
        "^/a(?<g>/.*)?$", "^/(?<g>[a-z]+)/b", "b", "\\\\.css$", "^/a/b{1,2}c?$", "/path/(with|else)", "^/a|c$", "^(?i)/A", "x+", "^/long/.*parts$",
        "[/]b", "^/ab?", "^\\\\/a\\\\/b", "(?:a|b)/b/c",
    ]
    static let variables = ["v", "w"]

    mutating func below(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }
    private mutating func chance(_ percent: Int) -> Bool { below(100) < percent }

    // MARK: Requests

    mutating func request() -> NaiveRequest {
        var request = NaiveRequest()
        request.method = random.pick(["GET", "GET", "POST", "PUT"])
        request.authority = random.pick(Self.hosts + ["a.example:8080", "b.example."])
        request.path = random.pick(Self.paths)
        if chance(40) { request.query = random.pick(["", "q=1", "q=ab&q=2", "x=1&q=AB", "q=x+y", "q=%61b", "q"]) }
        for _ in 0..<below(3) { request.headers.append((random.pick(["x-one", "x-two", "user-agent"]), random.pick(["1", "2", "ab", "AB"]))) }
        if chance(30) { request.headers.append(("cookie", random.pick(["c=1", "d=2; c=ab", "c=", "cc=1"]))) }
        request.client = random.pick(["192.0.2.7", "10.1.2.3", "10.200.0.1"])
        request.status = random.pick([200, 200, 301, 404, 500])
        for _ in 0..<below(2) { request.responseHeaders.append((random.pick(["x-one", "content-type"]), random.pick(["1", "ab", "text/html"]))) }
        return request
    }

    // MARK: Files

    mutating func file() -> String {
        var out = "sluice: 1\nlists: {words: [\"1\", ab, /a, /a/b]}\nupstreams: {u: {servers: [\"http://h\"]}, w: {servers: [\"http://h\"]}}\nsites:\n"
        for (name, hosts) in [("one", "a.example"), ("two", "\"*.b.example\", b.example"), ("rest", "\"*\"")] {
            out += "- name: \(name)\n  hosts: [\(hosts)]\n  upstream: u\n"
            for phase in ["request", "response"] {
                let count = random.pick([0, 3, 14, 30])
                if count > 0 { out += "  \(phase):\n" }
                for number in 0..<count { out += rule(number, isResponse: phase == "response") }
            }
        }
        return out
    }

    private mutating func rule(_ number: Int, isResponse: Bool) -> String {
        var out = "  - name: r\(number)\n"
        var hasGroup = false
        if chance(92) {
            let condition = condition(isResponse: isResponse, depth: 2)
            hasGroup = condition.contains("?<g>")
            out += "    when: '\(condition.replacing("'", with: "''"))'\n"
        }
        if chance(15) { out += "    match: {path: [\"\(random.pick(Self.paths))\", \"\(random.pick(Self.heads))*\"]}\n" }
        if chance(10) { out += "    mode: shadow\n" }
        let actions = (0..<1 + below(2)).map { _ in action(isResponse: isResponse, hasGroup: hasGroup) }
        return out + "    do: [\(actions.joined(separator: ", "))]\n"
    }

    private mutating func condition(isResponse: Bool, depth: Int) -> String {
        guard depth > 0, chance(45) else { return comparison(isResponse: isResponse) }
        switch below(5) {
        case 0: return "not (\(condition(isResponse: isResponse, depth: depth - 1)))"
        case 1, 2:
            return "(" + (0..<2 + below(2)).map { _ in condition(isResponse: isResponse, depth: depth - 1) }.joined(separator: " and ") + ")"
        default:
            return "(" + (0..<2 + below(2)).map { _ in condition(isResponse: isResponse, depth: depth - 1) }.joined(separator: " or ") + ")"
        }
    }

    private mutating func comparison(isResponse: Bool) -> String {
        if isResponse, chance(25) {
            return random.pick(["status == 404", "status in {200 301..304}", "status >= 400", "response.header.x-one == \"1\"", "exists(response.header.content-type)"])
        }
        switch below(14) {
        case 0, 1: return "path == \"\(random.pick(Self.paths))\""
        case 2, 3: return "path starts_with \"\(random.pick(Self.heads))\""
        case 4: return "path matches \"\(random.pick(Self.patterns))\""
        case 5: return "path like \"\(random.pick(["/a*", "*b", "/a/*/c", "/b", "*"]))\""
        case 6: return "path in {\"\(random.pick(Self.paths))\" \"\(random.pick(Self.paths))\"}"
        case 7: return "method \(random.pick(["==", "!="])) \"\(random.pick(["GET", "POST"]))\""
        case 8: return "host == \"\(random.pick(Self.hosts))\""
        case 9: return text("header.\(random.pick(["x-one", "x-two", "user-agent"]))")
        case 10: return text("arg.q")
        case 11: return text("cookie.c")
        case 12: return text("vars.\(random.pick(Self.variables))")
        default: return odd()
        }
    }

    private mutating func text(_ field: String) -> String {
        switch below(7) {
        case 0: "exists(\(field))"
        case 1: "lower(\(field)) == \"ab\""
        case 2: "len(\(field)) >= \(below(3))"
        case 3: "any(\(field) == \"\(random.pick(Self.words))\")"
        case 4: "\(field) != \"\(random.pick(Self.words))\""
        default: "\(field) == \"\(random.pick(Self.words))\""
        }
    }

    private mutating func odd() -> String {
        random.pick([
            "client.ip in 10.0.0.0/8", "not client.ip in {192.0.2.0/24 10.1.0.0/16}", "true", "false", "uri ends_with \"1\"",
            "path in $words", "lower(path) starts_with \"/A\"", "path contains \"b\"", "header.host == \"a.example\"", "host ends_with \"example\"",
            "host matches \"^A.e\"", "original.path == \"/a\"", "query == \"q=1\"", "path == header.x-one", "len(path) < 4", "site == \"one\"",
        ])
    }

    private mutating func action(isResponse: Bool, hasGroup: Bool) -> String {
        let group = hasGroup ? random.pick(["", "${match.g}"]) : ""
        let value = random.pick(["1", "ab", "${path}", "${method}", "${vars.v}", "${header.x-one}", "p${arg.q}"]) + group
        switch below(isResponse ? 14 : 18) {
        case 0: return random.pick(["stop", "drop", "{deny: 403}", "{redirect: {to: \"/to${path}\", status: 301}}", "{redirect: /x}"])
        case 1, 2, 3: return "{set_header: {\(random.pick(["X-One", "x-two"])): \"\(value)\"}}"
        case 4: return "{add_header: {\(random.pick(["X-One", "X-Two"])): [\"\(value)\", ab]}}"
        case 5: return "{remove_header: [\(random.pick(["x-one", "X-Two", "Cookie"]))]}"
        case 6, 7, 8, 9: return "{set_var: {\(random.pick(Self.variables)): \"\(value)\"}}"
        case 10 where isResponse, 11 where isResponse: return "{set_status: \(random.pick([200, 404, 500]))}"
        case 14: return "{rewrite: {path: \"\(random.pick(Self.paths))\"}}"
        case 15: return "{rewrite: {path: \"/a${path}\", query: \"q=${arg.q}\"}}"
        case 16: return "{set_header: {Host: \(random.pick(["a.example", "b.example"]))}}"
        case 17: return "{route: w}"
        default: return "{set_var: {w: \"\(random.pick(["1", "ab"]))\"}}"
        }
    }
}
