import Rules
import Testing

/// The sentences of the contract, letter by letter.
@Suite struct DiagnosticTests {
    func text(_ main: String, code: String) -> String {
        load(main).diagnostics.filter { $0.code.rawValue == code }.map(\.text).joined(separator: "\n")
    }

    @Test func `a misspelt action names the right one`() {
        let file = site(request: """
            - name: tell the origin who calls
              do:
                - set_heder: {X-Request-Id: "${request.id}"}
            """)
        #expect(text(file, code: "R012") == """
            error[R012]: unknown action `set_heder`
              --> rules.yaml:13:13   site "test", request rule "tell the origin who calls"
               |
            13 |           - set_heder: {X-Request-Id: "${request.id}"}
               |             ^^^^^^^^^ did you mean `set_header`?

            """)
    }

    @Test func `a misspelt field names the right one and its type`() {
        let file = site(request: """
            - name: admin from the office only
              when: path starts_with "/admin" and client.pi in $office
              do: [{deny: {status: 403}}]
            """, top: "lists: {office: [192.0.2.0/24]}")
        #expect(text(file, code: "E003") == """
            error[E003]: unknown field `client.pi`
              --> rules.yaml:12:45   in `when`
               |
            12 |         when: path starts_with "/admin" and client.pi in $office
               |                                             ^^^^^^^^^ did you mean `client.ip`?  (IP address)

            """)
    }

    @Test func `a field of a later phase says where the rule belongs`() {
        let file = site(request: """
            - name: moved
              when: status == 404
              do: [stop]
            """)
        #expect(text(file, code: "E007") == """
            error[E007]: `status` is known only after the origin has answered
              --> rules.yaml:12:15   site "test", request rule "moved"
               |
            12 |         when: status == 404
               |               ^^^^^^ move this rule to `response:`, or test `method`, `path`, `header.*`

            """)
    }

    @Test func `an address compared with a string says what to write`() {
        let file = site(request: """
            - when: client.ip == "10.0.0.*"
              do: [stop]
            """)
        #expect(text(file, code: "E004") == """
            error[E004]: cannot compare an IP address with a string
              --> rules.yaml:11:28   in `when`
               |
            11 |       - when: client.ip == "10.0.0.*"
               |                            ^^^^^^^^^^ write `client.ip in 10.0.0.0/24`

            """)
    }

    @Test func `an unknown upstream lists the known ones`() {
        let file = """
            sluice: 1
            upstreams:
              shop: {servers: ["http://127.0.0.1:1"]}
              static: {servers: ["http://127.0.0.1:2"]}
              api: {servers: ["http://127.0.0.1:3"]}
            sites:
              - name: shop
                hosts: [a.example]
                request:
                  - name: files
                    do:
                      - route: statik
            """
        #expect(text(file, code: "U002") == """
            error[U002]: upstream `statik` is not defined; defined: api, shop, static
              --> rules.yaml:12:20   site "shop", request rule "files"
               |
            12 |           - route: statik
               |                    ^^^^^^ did you mean `static`?

            """)
    }

    @Test func `a rule below one that always answers is unreachable`() {
        let file = site(request: """
            - name: catch all
              do: [{deny: 404}]
            - name: old links
              when: path == "/old"
              do: [{redirect: /new}]
            """)
        #expect(text(file, code: "L001") == """
            warning[L001]: rule "old links" can never run: rule "catch all" (line 11) ends the request phase for every path
              --> rules.yaml:13:9   site "test", request rule "old links"
               |
            13 |       - name: old links
               |         ^

            """)
    }

    @Test func `mixing and with or asks for parentheses`() {
        let mixed = "path == \"/a\" or path == \"/b\" and method == \"GET\""
        let warnings = load(site(request: "- when: \(mixed)\n  do: [stop]")).diagnostics
        #expect(warnings.map(\.message) == ["`a or b and c` is read as `a or (b and c)`; add parentheses"])
        #expect(load(site(request: "- when: path == \"/a\" or (path == \"/b\" and method == \"GET\")\n  do: [stop]")).diagnostics.isEmpty)
    }

    @Test func `all mistakes of all files come in one run, errors first`() {
        let result = load("""
            sluice: 1
            include: [more.yaml]
            listeners:
              - {name: a, address: "example.com:80"}
            upstreams:
              x: {servers: [10.0.0.1], blance: random}
            sites:
              - name: s
                hosts: [ok.example]
                upstream: y
                request:
                  - {when: "path = 1", do: [stop, log: late]}
            """, ["more.yaml": "x-note: mine\nlimits: {header_bytes: 64}\nlists: {l: [10.0.0.0/8, word]}\n"])
        #expect(result.configuration == nil)
        #expect(result.diagnostics.map { "\($0.file):\($0.position.line):\($0.position.column) \($0.code.rawValue)" } == [
            "rules.yaml:4:24 V006", "rules.yaml:6:17 V007", "rules.yaml:6:28 R002", "rules.yaml:10:15 U002",
            "rules.yaml:12:22 E001", "more.yaml:2:24 V002", "more.yaml:3:25 V012", "rules.yaml:12:39 L005",
        ])
        #expect(result.diagnostics.summary == "7 errors, 1 warning")
    }

    @Test func `carets find their place in quotes, folds and escapes`() {
        func caret(_ rule: String) -> String {
            let found = load(site(request: rule)).diagnostics
            return found.map { "\($0.position.line):\($0.position.column)+\($0.position.length)" }.joined(separator: " ")
        }
        #expect(caret("- when: \"method == \\\"GET\\\" and nope\"\n  do: [stop]") == "11:38+4")
        #expect(caret("- when: 'path == \"it''s\" and nope'\n  do: [stop]") == "11:36+4")
        #expect(caret("- when: >\n    method == \"GET\"\n    and nope\n  do: [stop]") == "13:15+4")
        #expect(caret("- when: |\n    method == \"GET\"\n    and nope\n  do: [stop]") == "13:15+4")
        #expect(caret("- when: method == \"GET\"\n    and nope\n  do: [stop]") == "12:15+4")
    }

    @Test func `JSON carries the same facts`() throws {
        let found = load(site(request: "- do: [{sett_header: {A: b}}]")).diagnostics
        #expect(found.json == """
            [
            {"code":"R012","severity":"error","message":"unknown action `sett_header`","file":"rules.yaml","line":11,"column":15,"length":11,\
            "context":"site \\"test\\", request rule","label":"did you mean `set_header`?","suggestion":"set_header"}
            ]
            """)
    }

    @Test func `every code has an explanation and none is used twice`() {
        #expect(DiagnosticCode.allCases.allSatisfy { !$0.explanation.isEmpty })
        #expect(Set(DiagnosticCode.allCases.map(\.rawValue)).count == DiagnosticCode.allCases.count)
    }
}
