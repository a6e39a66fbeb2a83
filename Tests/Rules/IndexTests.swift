import Buffers
import HTTP
@testable import Rules
import Testing

@Suite struct IndexTests {
    // MARK: Radix trees

    @Test func `a radix tree finds what a scan over all its texts finds`() {
        var random = SplitMix(state: 5)
        let letters = Array("ab/".utf8)
        func text() -> [UInt8] { (0..<Int(random.next() % 7)).map { _ in random.pick(letters) } }
        for _ in 0..<300 {
            var entries: [[UInt8]: RadixForest.Entry] = [:]
            for rule in 0..<Int32(1 + random.next() % 40) {
                let key = text()
                if random.next() % 2 == 0 { entries[key, default: .init(text: key)].exact.append(rule) } else { entries[key, default: .init(text: key)].prefix.append(rule) }
            }
            var forest = RadixForest()
            let root = forest.plant(entries.values.sorted { $0.text.lexicographicallyPrecedes($1.text) })
            for _ in 0..<30 {
                let asked = text()
                var found: [Int32] = []
                forest.walk(asked.span, from: root) { found += forest.postings[$0.indices] }
                let wanted = entries.values.flatMap { entry in
                    (asked.starts(with: entry.text) ? entry.prefix : []) + (asked == entry.text ? entry.exact : [])
                }
                #expect(found.sorted() == wanted.sorted())
            }
        }
    }

    @Test func `lists are read as one, in order and each rule once`() {
        var forest = RadixForest()
        let lists = [[1, 4, 9], [2, 4], [], [9], [0, 12]].map { forest.list($0) }
        func read(from first: Int32) -> [Int32] {
            var candidates = Candidates()
            for list in lists { candidates.add(list, of: forest.postings, from: first) }
            var all: [Int32] = []
            while let next = candidates.next(of: forest.postings) { all.append(next) }
            return all
        }
        #expect(read(from: 0) == [0, 1, 2, 4, 9, 12])
        #expect(read(from: 3) == [4, 9, 12])
        #expect(read(from: 13) == [])
    }

    // MARK: What a condition needs

    func options(_ expression: String) throws -> [[String]] {
        let loaded = load(site(request: "- when: >\n    \(expression)\n  do: [stop]"))
        let condition = try #require(loaded.configuration?.sites[0].request[0].condition, "\(loaded.diagnostics.text)")
        return IndexPlan.options(condition.root).map { keys in
            keys.map { "\($0.source.lowercase ? "lower " : "")\($0.source.field.written)\($0.isPrefix ? ">" : "=")\(String(decoding: $0.text, as: UTF8.self))" }
        }
    }

    @Test(arguments: [
        ("path == \"/a\" and method == \"GET\"", [["path=/a"], ["method=GET"]]),
        ("path in {\"/a\" \"/b\"} or path starts_with \"/c\"", [["path=/a", "path=/b", "path>/c"]]),
        ("path like \"/a/*.css\"", [["path>/a/"]]),
        ("path like \"/a\"", [["path=/a"]]),
        ("path like \"*.css\"", []),
        ("path matches \"^/p/(?<id>[0-9]+)$\"", [["path>/p/"]]),
        ("path matches \"p|q\"", []),
        ("host == \"A.example\"", [["host=a.example"]]),
        ("host matches \"^a\"", []),
        ("lower(header.x) == \"a\"", [["lower header.x=a"]]),
        ("path == \"/a\" or exists(header.x)", []),
        ("not (not path == \"/a\" or method == \"GET\")", [["path=/a"]]),
        ("path != \"/a\"", []),
        ("not path == \"/a\"", []),
        ("any(header.x == \"a\")", []),
        ("len(path) == 3", []),
        ("body.size in {1..3 9}", [["body.size=1", "body.size=2", "body.size=3", "body.size=9"]]),
        ("body.size in {1..300}", []),
        ("false", [[]]),
        ("path starts_with \"\"", []),
    ] as [(String, [[String]])])
    func `what a request must have follows from the condition`(expression: String, wanted: [[String]]) throws {
        #expect(try options(expression) == wanted)
    }

    // MARK: The whole

    /// Rules by what tells them apart.
    static let kinds: [(name: String, condition: @Sendable (Int) -> String)] = [
        ("exact path", { "path == \"/p/\($0)\"" }), ("prefix", { "path starts_with \"/p/\($0)/\"" }),
        ("host", { "host == \"h\($0).example\" and path starts_with \"/\"" }),
        ("method and path", { "method == \"POST\" and path == \"/p/\($0)\"" }),
        ("pattern", { "path matches \"^/p/\($0)/[a-z]+$\"" }),
        ("header", { "path == \"/\" and header.x-tenant == \"t\($0)\"" }),
    ]

    @Test(arguments: 0..<6)
    func `among ten thousand rules few are asked`(kind: Int) throws {
        var rules = ""
        for number in 0..<10_000 { rules += "- {name: r\(number), when: '\(Self.kinds[kind].condition(number))', do: [{set_var: {a: b}}]}\n" }
        let configuration = try #require(load(site(request: rules)).configuration)
        let generation = Generation(configuration)
        let targets = ["/p/77", "/p/77/", "/", "/p/77", "/p/77/abc", "/"]
        let sent = Sent(
            method: kind == 3 ? "POST" : "GET", host: kind == 2 ? "H77.example" : "shop.example", target: targets[kind],
            headers: kind == 5 ? [("X-Tenant", "t77")] : [])
        let exchange = sent.exchange()
        var runner = RuleRunner()
        let hasSite = runner.begin(generation, exchange)
        #expect(hasSite)
        runner.enter(.request, exchange)
        #expect(runner.next(exchange) == .done)
        #expect(exchange.matchedRules.map { generation.ruleID($0) } == ["test/r77"])
        #expect(runner.asked <= 2)
    }

    @Test func `what a rule changes counts for the rules below it`() throws {
        var rules = "- {name: to, when: path == \"/old\", do: [{rewrite: /p/500}, {set_header: {X-Tenant: t9}}]}\n"
        for number in 0..<1_000 { rules += "- {name: r\(number), when: path == \"/p/\(number)\", do: [{set_var: {a: b}}]}\n" }
        for number in 0..<1_000 { rules += "- {name: h\(number), when: header.x-tenant == \"t\(number)\", do: [{set_var: {a: b}}]}\n" }
        let generation = Generation(try #require(load(site(request: rules)).configuration))
        #expect(run(generation, Sent(target: "/old").exchange()).matched == ["test/to", "test/r500", "test/h9"])
    }

    @Test func `a hook may change what the index was asked for`() throws {
        var rules = "- {name: hook, do: [{run: f}]}\n"
        for number in 0..<100 { rules += "- {name: r\(number), when: path == \"/p/\(number)\", do: [{set_var: {a: b}}]}\n" }
        let loaded = load(site(request: rules, top: "functions: {f: {file: f.js}}"), ["f.js": ""])
        let generation = Generation(try #require(loaded.configuration, "\(loaded.diagnostics.text)"))
        let exchange = Sent(target: "/p/1").exchange()
        var runner = RuleRunner()
        _ = runner.begin(generation, exchange)
        runner.enter(.request, exchange)
        guard case .run = runner.next(exchange) else { throw Missing() }
        exchange.request.path = exchange.request.arena.append("/p/2")
        #expect(runner.next(exchange) == .done)
        #expect(exchange.matchedRules.map { generation.ruleID($0) } == ["test/hook", "test/r2"])
    }
}
