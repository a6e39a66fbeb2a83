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

    @Test func `a secret may be a key`() throws {
        let result = rules("keys: {JWT: {secret: KEY, algorithm: HMAC, hash: SHA-256, usages: [sign, verify]}, OPEN: {secret: PEM, format: pem, algorithm: ECDSA, curve: P-256, usages: [verify]}}", top: "secrets: {KEY: {env: K}}")
        let configuration = try #require(result.configuration, "\(result.diagnostics.text)")
        let keys = configuration.functions[0].keys
        #expect(keys.map(\.name) == ["JWT", "OPEN"] && keys.map { configuration.secrets[$0.secret].name } == ["KEY", "PEM"])
        #expect(keys.map(\.format) == [.raw, .pem] && keys.map(\.hash) == ["SHA-256", ""] && keys.map(\.curve) == ["", "P-256"])
        #expect(keys[0].algorithm == "HMAC" && keys[0].usages == ["sign", "verify"])
    }

    @Test(arguments: [
        ("kv: {S: session}", "kv: {sessions: {}}", "U005", "`session` is not defined"),
        ("kv: {idp: sessions}, upstreams: [idp]", "kv: {sessions: {}}", "R005", "`env.idp` is granted twice"),
        ("secrets: [A, A]", "", "R005", "`env.A` is granted twice"),
        ("secrets: [A], keys: {A: {secret: B, algorithm: HKDF, usages: [deriveBits]}}", "", "R005", "`env.A` is granted twice"),
        ("keys: {A: {secret: B, usages: [sign]}}", "", "R001", "algorithm"),
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

extension BindingTests {
    @Test func `a namespace may be in Redis`() throws {
        let result = rules("kv: {S: s, T: t, U: u}", top: """
            secrets: {REDIS: {env: REDIS_PASSWORD}}
            kv:
              s: {redis: "redis://redis.example:7000/2", prefix: "shop:", timeout: 200ms, password: REDIS, user: sluice}
              t: {redis: "rediss://[::1]", max_value: 2MiB}
              u: {redis: "unix:/run/redis.sock"}
            """)
        let configuration = try #require(result.configuration, "\(result.diagnostics.text)")
        let places = configuration.namespaces.map { namespace -> RedisPlace? in if case .redis(let place) = namespace.place { place } else { nil } }
        let (first, second, third) = (try #require(places[0]), try #require(places[1]), try #require(places[2]))
        #expect(first.host == "redis.example" && first.port == 7000 && first.database == 2 && first.prefix == "shop:" && first.timeout == 200)
        #expect(first.user == "sluice" && first.password.map { configuration.secrets[$0].source } == .environment("REDIS_PASSWORD"))
        #expect(second.host == "::1" && second.port == 6379 && second.isSecure && second.prefix == "sluice:t:")
        #expect(third.path == "/run/redis.sock")
    }

    @Test(arguments: [
        ("redis://user:pa55word@host", "V007"), ("http://host", "V007"), ("redis://", "V007"), ("redis://host/x", "V007"), ("redis://host\", size: \"1MiB", "R011"),
    ])
    func `a URL that cannot be used is refused without repeating a password`(url: String, code: String) {
        let result = rules("kv: {S: s}", top: "kv: {s: {redis: \"\(url)\"}}")
        #expect(result.diagnostics.contains { $0.code.rawValue == code }, "\(result.diagnostics.text)")
        #expect(!result.diagnostics.text.contains("pa55word"))
    }
}

extension BindingTests {
    @Test func `hosts outside are granted by scheme, name and port`() throws {
        let result = rules(
            "egress: [api.example.com, '*.Example.org', 'http://10.0.0.7:8080', 'https://[::1]:8443']",
            top: "egress: {private: [10.0.0.0/24], timeouts: {connect: 1s}}")
        let configuration = try #require(result.configuration, "\(result.diagnostics.text)")
        let grants = configuration.functions[0].egress
        func allows(_ secure: Bool, _ host: String, _ port: UInt16) -> Bool { grants.contains { $0.allows(isSecure: secure, host, port) } }
        #expect(allows(true, "api.example.com", 443) && !allows(false, "api.example.com", 80) && !allows(true, "api.example.com", 8443))
        #expect(allows(true, "a.example.org", 443) && allows(true, "a.b.example.org", 443) && !allows(true, "example.org", 443))
        #expect(!allows(true, "evilexample.org", 443) && !allows(true, ".example.org", 443) && !allows(true, "xapi.example.com", 443))
        #expect(allows(false, "10.0.0.7", 8080) && allows(true, "::1", 8443))
        #expect(configuration.egress.allowed == [AddressRange("10.0.0.0/24")] && configuration.egress.connect == 1_000)
    }

    @Test(arguments: ["*", "*.com", "https://", "ftp://host", "host/path", "a*.example.com", "user@host", "host:port", "*.10.0.0.1", ""])
    func `grants that are too wide or no hosts are refused`(text: String) {
        let result = rules("egress: [\"\(text)\"]")
        #expect(result.configuration == nil, "\(text)")
    }
}

extension BindingTests {
    @Test func `schedules are read, and a function that has one is used`() throws {
        let result = load("""
            sluice: 1
            functions: {f: {file: f.js, schedule: ["*/5 * * * *", "@daily"], overlap: allow}, g: {file: f.js, schedule: "0 1 * * *"}}
            """, ["f.js": ""])
        let configuration = try #require(result.configuration, "\(result.diagnostics.text)")
        #expect(result.diagnostics.isEmpty, "\(result.diagnostics.text)")
        #expect(configuration.functions[0].schedules.map(\.cron.text) == ["*/5 * * * *", "@daily"] && configuration.functions[0].mayOverlap)
        #expect(configuration.functions[1].schedules.count == 1 && !configuration.functions[1].mayOverlap)
    }

    @Test(arguments: [("schedule: '* * *'", "V003"), ("schedule: ['@daily', '@daily']", "R005"), ("overlap: maybe", "V005")])
    func `schedules that are none are told`(function: String, code: String) {
        #expect(rules(function).diagnostics.contains { $0.code.rawValue == code })
    }
}

extension BindingTests {
    @Test func `a rate limit may be counted in Redis`() throws {
        func limits(_ argument: String) -> LoadResult {
            load("""
                sluice: 1
                upstreams: {a: {servers: ["http://10.0.0.1:80"]}}
                kv: {shared: {redis: "redis://127.0.0.1"}, disk: {}}
                sites: [{name: s, hosts: ["*"], upstream: a, request: [{do: [{rate_limit: {rate: 5/s, \(argument)}}]}]}]
                """)
        }
        let good = limits("store: shared, unreachable: local")
        let configuration = try #require(good.configuration, "\(good.diagnostics.text)")
        guard case .rateLimit(let settings)? = configuration.sites[0].request[0].actions.first?.kind else { Issue.record("no limit"); return }
        #expect(settings.store == 0 && settings.otherwise == .local)
        for (argument, code) in [("store: disk", "R011"), ("store: none", "U005"), ("unreachable: deny", "R011"), ("store: shared, unreachable: maybe", "V005")] {
            #expect(limits(argument).diagnostics.contains { $0.code.rawValue == code }, "\(argument)")
        }
    }
}
