import Foundation
import HTTP
import Rules
import Testing

@Suite struct LoaderTests {
    /// The worked examples of the language's contract, as they stand there.
    func example(_ name: String, without lines: [String] = []) throws -> String {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../Fixtures/Rules/\(name).yaml")
        let text = try String(contentsOf: path, encoding: .utf8)
        return text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init).filter { line in
            !lines.contains { line.contains($0) }
        }.joined(separator: "\n")
    }

    let shared = [
        "tls/shop.crt": "", "tls/shop.key": "", "errors/down.html": "<h1>down</h1>", "hooks/ab.js": "", "hooks/authz.js": "", "hooks/banner.js": "",
        "listeners.yaml": "listeners: [{name: plain, address: \"0.0.0.0:80\"}]\n",
        "upstreams.yaml": """
            upstreams:
              app_v1: {servers: ["http://10.0.0.1:80"]}
              app_v2: {servers: ["http://10.0.0.2:80"]}
              idp: {servers: ["https://idp.example:8443"]}
              api: {servers: ["http://[::1]:80"]}

            """,
    ]

    func notAvailable(_ result: LoadResult) -> [String] {
        result.diagnostics.filter { $0.code == .actionNotAvailable || $0.code == .keyNotAvailable }.map { "\($0.severity.rawValue) \($0.message)" }
    }

    @Test func `the shop example loads`() throws {
        let result = load(try example("shop"), shared)
        #expect(result.diagnostics.isEmpty, "\(result.diagnostics.text)")
        let configuration = try #require(result.configuration, "\(result.diagnostics.text)")
        #expect(configuration.listeners.map(\.name) == ["plain", "public"])
        #expect(configuration.listeners[0].address == .tcp(host: "0.0.0.0", port: 80))
        #expect(configuration.listeners[0].protocols == .http1)
        #expect(configuration.listeners[1].protocols == [.http1, .http2])
        #expect(configuration.listeners[1].tls?.certificates[0].certificate.path == "tls/shop.crt")
        #expect(configuration.describe(configuration.listeners[1].position) == "rules.yaml:6:5")
        let shop = configuration.upstreams[0]
        #expect(shop.servers.map { "\($0.secure) \($0.host) \($0.port)" } == ["true 10.0.1.10 8443", "true 10.0.1.11 8443"])
        #expect(shop.balance == .leastRequests)
        #expect(shop.timeouts.connect == 500 && shop.timeouts.firstByte == 5_000 && shop.timeouts.idle == 60_000)
        var health = HealthCheck()
        health.path = "/healthz"
        #expect(shop.health == health)
        let site = configuration.sites[0]
        #expect(site.hosts == [.exact("shop.example.com"), .exact("www.shop.example.com")])
        #expect(site.request.map(\.id) == [
            "shop/https only", "shop/canonical host", "shop/admin from the office only", "shop/login brute force", "shop/old product links", "shop/static files",
            "shop/tell the origin who calls",
        ])
        #expect(site.response.count == 2 && site.error.count == 1)
    }

    @Test func `the functions example loads`() throws {
        let result = load(try example("functions"), shared)
        #expect(notAvailable(result) == [])
        let configuration = try #require(result.configuration, "\(result.diagnostics.text)")
        let authz = configuration.functions[1]
        #expect(authz.limits.cpu == 20 && authz.limits.memory == 64 << 20 && authz.limits.subrequests == 2)
        #expect(authz.onError == .deny(status: 503))
        #expect(authz.secrets.map { configuration.secrets[$0].source } == [.byName])
        #expect(configuration.functions[0].onError == .continue)
        #expect(authz.upstreams.map { configuration.upstreams[$0].name } == ["idp"])
        #expect(configuration.files == ["rules.yaml", "listeners.yaml", "upstreams.yaml"])
        #expect(configuration.sites[0].request[2].shadow)

        let made = Generation(configuration)
        var chosen = [0, 0]
        for user in 0..<2_000 {
            let sent = Sent(host: "app.example.com", headers: [("Cookie", "sid=user\(user)")])
            let (first, second) = (sent.exchange(), sent.exchange())
            _ = run(made, first)
            _ = run(made, second)
            #expect(first.upstream == second.upstream)
            chosen[first.upstream] += 1
        }
        #expect((40...170).contains(chosen[1]))
    }

    @Test func `the API example loads`() throws {
        let result = load(try example("api"), shared)
        // The upstreams of the other examples stand in the same file.
        #expect(result.configuration != nil && result.diagnostics.allSatisfy { $0.code == .unusedUpstream }, "\(result.diagnostics.text)")
        #expect(result.tests.count == 3)
    }

    @Test func `what was read loads again from the bundle alone`() throws {
        let files = shared.merging([
            "conf/rules.yaml": """
                sluice: 1
                include: "sites/*.yaml"
                functions: {f: {file: ../hooks/main.js, timeout: 2s, on_error: {deny: 403}}}
                listeners: [{name: l, address: "127.0.0.1:0", tls: {certificates: [{cert: ../tls/shop.crt, key: ../tls/shop.key}]}}]
                """,
            "conf/sites/b.yaml": "sites: [{name: b, hosts: [b.example], request: [{do: [{run: f}]}]}]",
            "conf/sites/a.yaml": "sites: [{name: a, hosts: [a.example], request: [{do: [{respond: {file: ../../errors/down.html}}]}]}]",
            "conf/sites/.hidden.yaml": "broken: [",
            "hooks/main.js": "import { a } from './lib/a.js';\nexport * from \"./b.js\"; const x = './no.js';\n",
            "hooks/lib/a.js": "import '../b.js'\n", "hooks/b.js": "",
        ]) { $1 }
        let first = RuleFile.load("conf/rules.yaml", provider: FileBundle(files))
        let configuration = try #require(first.configuration, "\(first.diagnostics.text)")
        #expect(configuration.functions[0].moduleFiles.sorted() == ["hooks/b.js", "hooks/lib/a.js", "hooks/main.js"])
        #expect(configuration.functions[0].limits.wall == 2_000)
        #expect(configuration.functions[0].onError == .deny(status: 403))
        #expect(configuration.sites.map(\.name) == ["a", "b"])
        #expect(configuration.sites[1].request[0].id == "b/b.yaml:1")
        #expect(first.filesRead.files.keys.sorted() == [
            "conf/rules.yaml", "conf/sites/a.yaml", "conf/sites/b.yaml", "errors/down.html", "hooks/b.js", "hooks/lib/a.js", "hooks/main.js",
        ])
        let second = RuleFile.load("conf/rules.yaml", provider: first.filesRead)
        #expect(second.diagnostics.isEmpty)
        #expect(second.configuration?.sites.map(\.name) == ["a", "b"])
    }

    @Test func `missing files are named where they are referred to`() {
        let result = load("""
            sluice: 1
            include: [gone.yaml, "none/*.yaml", rules.yaml]
            listeners: [{name: l, address: "0.0.0.0:1", tls: {certificates: [{cert: a.crt, key: a.key}]}}]
            functions: {f: {file: f.js}}
            """)
        #expect(result.diagnostics.map { "\($0.position.line):\($0.position.column) \($0.code.rawValue)" } == [
            "2:11 F001", "2:22 F003", "2:37 F003", "3:73 F001", "3:85 F001", "4:23 F001",
        ])
        let none = RuleFile.load("nowhere.yaml", provider: FileBundle([:]))
        #expect(none.diagnostics.text == "error[F001]: the rule file `nowhere.yaml` does not exist\n")
    }

    @Test func `names, hosts and addresses are used once`() {
        let result = load("""
            sluice: 1
            listeners: [{name: l, address: "0.0.0.0:1"}, {name: l, address: "0.0.0.0:2"}, {name: m, address: "0.0.0.0:1"}]
            admin: {address: "127.0.0.1:9"}
            sites:
              - {name: a, hosts: [x.example, X.example], request: [{name: r, do: [stop]}, {name: r, do: [stop]}]}
              - {name: b, hosts: [x.example, "*.x.example"]}
              - {name: a, hosts: [z.example]}
            """)
        #expect(result.diagnostics.filter { $0.severity == .error }.map { "\($0.position.line) \($0.code.rawValue)" } == [
            "2 R005", "2 R016", "5 R015", "5 R005", "6 R015", "7 R005",
        ])
    }

    @Test(arguments: [
        ("a.example:80", "write it without port and scheme"), ("https://a.example", "write it without port and scheme"),
        ("a.*.example", "`*` stands only at the beginning: `*.example.com`"), ("ä.example", ""), ("-a.example", ""), ("a..b", ""),
    ])
    func `a wrong host says why`(host: String, label: String) {
        let found = load("sluice: 1\nsites: [{name: s, hosts: [\"\(host)\"]}]").diagnostics
        #expect(found.map(\.code) == [.host])
        #expect(found.first?.label == label)
    }

    @Test(arguments: ["10.0.0.1:80", "http://a:b@c", "http://a/path", "http://", "ftp://a", "http://a:99999", "http://a:0", "http://a b"])
    func `a wrong server is refused`(url: String) {
        #expect(load("sluice: 1\nupstreams: {u: {servers: [\"\(url)\"]}}").diagnostics.map(\.code) == [.url])
    }

    @Test func `limits of a listener stand over the common ones`() throws {
        let result = load("""
            sluice: 1
            limits: {body: 1MiB, keep_alive: 5s}
            listeners:
              - {name: a, address: "0.0.0.0:1", limits: {keep_alive: 1s, streams: 7}}
              - {name: b, address: "unix:/run/b.sock"}
            access_log: {path: /var/log/sluice.log}
            admin: {address: "127.0.0.1:9"}
            """)
        let configuration = try #require(result.configuration, "\(result.diagnostics.text)")
        let (a, b) = (configuration.listeners[0], configuration.listeners[1])
        #expect(a.limits.body == 1 << 20 && a.limits.keepAlive == 1_000 && a.limits.streams == 7)
        #expect(b.limits.keepAlive == 5_000 && b.limits.streams == 100)
        #expect(b.address == .unix(path: "/run/b.sock"))
        #expect(configuration.accessLog.destination == .file("/var/log/sluice.log"))
    }

    @Test func `files on disk are read, globbed and refused`() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("rules-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let main = directory.appendingPathComponent("main.yaml").path
        try "sluice: 1\ninclude: \"s-*.yaml\"\n".write(toFile: main, atomically: true, encoding: .utf8)
        try "sites: [{name: s, hosts: [a.example]}]".write(toFile: directory.path + "/s-1.yaml", atomically: true, encoding: .utf8)
        #expect(RuleFile.load(main, provider: DiskFiles()).configuration?.sites.count == 1)
        let asFile = RuleFile.load(directory.path, provider: DiskFiles()).diagnostics
        #expect(asFile.map(\.code) == [.fileUnreadable])
        #expect(asFile.first?.message.hasSuffix("it is a directory") == true)
    }
}
