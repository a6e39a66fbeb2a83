import Rules
import Testing

/// What functions may be granted: namespaces, secrets, plain texts.
@Suite struct BindingTests {
    func rules(_ function: String, top: String = "") -> LoadResult {
        load("""
            sluice: 1
            upstreams: {idp: {servers: ["http://10.0.0.1:80"]}}
            \(top)
            functions:
              f: {file: f.js, \(function)}
            sites:
              - {name: s, hosts: ["*"], upstream: idp, request: [{do: [{run: f}]}]}
            """, ["f.js": ""])
    }

    @Test func `grants are resolved`() throws {
        let result = rules(
            "kv: {SESSIONS: sessions, B: big}, secrets: [KEY, OTHER], vars: {MODE: live, EMPTY: ''}",
            top: """
                kv:
                  sessions: {}
                  big: {path: data/big, size: 1GiB, max_value: 25MiB}
                secrets:
                  KEY: {file: secrets/key.txt, test: abc}
                """)
        let configuration = try #require(result.configuration, "\(result.diagnostics.text)")
        let function = configuration.functions[0]
        #expect(function.stores.map(\.name) == ["SESSIONS", "B"] && function.stores.map(\.namespace) == [0, 1])
        #expect(configuration.namespaces[0].place == .disk(path: nil) && configuration.namespaces[0].size == 64 << 20)
        #expect(configuration.namespaces[1].place == .disk(path: "data/big") && configuration.namespaces[1].largestValue == 25 << 20)
        #expect(function.variables == ["MODE": "live", "EMPTY": ""])
        #expect(function.secrets.map { configuration.secrets[$0].name } == ["KEY", "OTHER"])
        #expect(configuration.secrets[0].testValue == "abc" && configuration.secrets[1].source == .byName)
    }

    @Test(arguments: [
        ("kv: {S: session}", "kv: {sessions: {}}", "U005", "`session` is not defined"),
        ("kv: {idp: sessions}, upstreams: [idp]", "kv: {sessions: {}}", "R005", "`env.idp` is granted twice"),
        ("secrets: [A, A]", "", "R005", "`env.A` is granted twice"),
        ("", "secrets: {A: {}}", "R001", "one of `file`, `env` and `credential`"),
        ("", "secrets: {A: {env: A, credential: a}}", "R001", "one of `file`, `env` and `credential`"),
        ("", "kv: {s: {size: 1KiB}}", "V002", "from 128 KiB"),
        ("", "kv: {s: {max_value: 26MiB}}", "V002", "to 25 MiB"),
        ("", "kv: {..: {}}", "V008", "cannot be the name of a folder"),
        ("", "kv: {a: {path: x}, b: {path: x}}", "R005", "the same path"),
    ])
    func `mistakes are told`(function: String, top: String, code: String, words: String) {
        let result = rules(function.isEmpty ? "timeout: 1s" : function, top: top)
        #expect(result.configuration == nil)
        #expect(result.diagnostics.contains { $0.code.rawValue == code && $0.message.contains(words) }, "\(result.diagnostics.text)")
    }
}
