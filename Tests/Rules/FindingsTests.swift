import Foundation
@testable import Rules
import Testing

/// How findings are told to programs, and what they keep to themselves.
@Suite struct FindingsTests {
    // MARK: SARIF

    struct Log: Decodable {
        struct Text: Decodable { var text: String }
        struct Region: Decodable { var startLine: Int, startColumn: Int, endColumn: Int }
        struct Artifact: Decodable { var uri: String }
        struct Physical: Decodable { var artifactLocation: Artifact, region: Region }
        struct Place: Decodable { var physicalLocation: Physical }
        struct Replacement: Decodable { var deletedRegion: Region, insertedContent: Text }
        struct Change: Decodable { var artifactLocation: Artifact, replacements: [Replacement] }
        struct Fix: Decodable { var description: Text, artifactChanges: [Change] }
        struct Result: Decodable { var ruleId: String, ruleIndex: Int, level: String, message: Text, locations: [Place]?, fixes: [Fix]? }
        struct Descriptor: Decodable { var id: String, shortDescription: Text, help: Text }
        struct Driver: Decodable { var name: String, version: String, rules: [Descriptor] }
        struct Tool: Decodable { var driver: Driver }
        struct Run: Decodable { var tool: Tool, columnKind: String, results: [Result] }
        var version: String
        var runs: [Run]
    }

    @Test func `SARIF has what its schema asks for, and the facts`() throws {
        let found = load(site(request: """
            - {when: 'pth == "/"', do: [{route: other}, stop, {deny: 403}]}
            - {do: [{route: othr}]}
            """)).diagnostics
        #expect(found.count == 3)
        let text = found.sarif(version: "1.2.3")
        let log = try JSONDecoder().decode(Log.self, from: Data(text.utf8))
        #expect(text.contains("\"$schema\":\"https://docs.oasis-open.org/sarif/sarif/v2.1.0/"))
        #expect(log.version == "2.1.0" && log.runs.count == 1)
        let run = log.runs[0]
        #expect(run.tool.driver.name == "sluice" && run.tool.driver.version == "1.2.3")
        #expect(run.columnKind == "unicodeCodePoints")
        #expect(run.results.count == 3)
        for (result, wanted) in zip(run.results, found) {
            #expect(run.tool.driver.rules[result.ruleIndex].id == result.ruleId)
            #expect(result.ruleId == wanted.code.rawValue)
            #expect(["error", "warning"].contains(result.level))
            #expect(result.message.text.hasPrefix(wanted.message))
            let place = try #require(result.locations?.first).physicalLocation
            #expect(place.artifactLocation.uri == "rules.yaml")
            #expect(place.region.startLine == Int(wanted.position.line) && place.region.startColumn == Int(wanted.position.column))
            #expect(place.region.endColumn == place.region.startColumn + Int(wanted.position.length))
        }
        let fix = try #require(run.results[0].fixes?.first?.artifactChanges.first?.replacements.first)
        #expect(fix.insertedContent.text == "path")
        #expect(fix.deletedRegion.endColumn - fix.deletedRegion.startColumn == 3)
    }

    @Test func `SARIF without findings is a run without results`() throws {
        let log = try JSONDecoder().decode(Log.self, from: Data([Diagnostic]().sarif(version: "1").utf8))
        #expect(log.runs[0].results.isEmpty)
    }

    @Test func `a path in SARIF is a URI`() {
        func uri(_ file: String) -> Bool {
            let one = Diagnostic(code: .name, severity: .error, message: "m", file: file, position: SourcePosition(file: 0, line: 1, column: 1))
            return [one].sarif(version: "1").contains(file.hasPrefix("/") ? "\"uri\":\"file:///etc/a%20b%25.yaml\"" : "\"uri\":\"conf/%C3%A4.yaml\"")
        }
        #expect(uri("/etc/a b%.yaml") && uri("conf/ä.yaml"))
    }

    // MARK: Secrets

    @Test(arguments: [
        ("- set_heder: {Authorization: Bearer abc.def}", "- set_heder: {Authorization: ****** *******}"),
        ("when: header.authorizaton == \"a\" and header.authorization == \"Basic eHg=\"", "when: header.authorizaton == \"a\" and header.authorization == \"***** ****\""),
        ("password: hunter2", "password: *******"), ("{a_token: \"x,y\", b: c}", "{a_token: \"***\", b: c}"),
        ("servers: [\"https://me:pw@host:1/x\"]", "servers: [\"https://**:**@host:1/x\"]"),
        ("set_header: {Cookie: \"sid=${vars.sid}; k=1\"}", "set_header: {Cookie: \"****${vars.sid}* ***\"}"),
        ("secrets: [JWT_KEY]", "secrets: [JWT_KEY]"), ("when: exists(cookie.sid)", "when: exists(cookie.sid)"),
        ("when: exists(cookie.sid) and path matches \"[\"", "when: exists(cookie.sid) and path matches \"[\""),
        ("when: starts_with(cookie.sid, \"abc\")", "when: starts_with(cookie.sid, \"***\")"),
        ("x-api-key: [one, two]", "x-api-key: [***, two]"), ("Cookie: päss", "Cookie: ****"),
    ])
    func `what looks like a secret is not shown`(line: String, shown: String) {
        #expect(Redaction.hidden(line) == shown)
    }

    @Test func `no format of a finding tells a secret of its line`() {
        let found = load(site(request: """
            - do: [{set_heder: {Authorization: "Bearer s3cr3t", Password: s3cr3t}}]
            """, top: "x-note: 1\nfunctions: {f: {fil: a, x: \"https://u:s3cr3t@h/\"}}")).diagnostics
        #expect(found.count >= 2)
        for text in [found.text, found.json, found.sarif(version: "1")] { #expect(!text.contains("s3cr3t"), "\(text)") }
        let url = load("sluice: 1\nupstreams: {u: {servers: [\"https://u:s3cr3t@h/\"]}}").diagnostics
        let named = load(site(request: "- {name: cookie wall, do: [stop]}\n- {name: the token, do: [stop]}")).diagnostics
        #expect(named.map(\.message) == ["rule \"the token\" can never run: rule \"cookie wall\" (line 11) ends the request phase for every path"])
        #expect(url.count == 1 && !url.text.contains("s3cr3t") && !url.json.contains("s3cr3t"), "\(url.text)")
    }

    // MARK: Codes

    @Test func `a code is found in either case, an unknown one has neighbours`() {
        #expect(DiagnosticCode(typed: "e007") == .phase)
        #expect(DiagnosticCode.phase.help.hasPrefix("E007 (error)\n\n"))
        #expect(DiagnosticCode(typed: "E099") == nil)
        #expect(DiagnosticCode.looksLikeCode("E099") && DiagnosticCode.looksLikeCode("e7") && !DiagnosticCode.looksLikeCode("check"))
        #expect(DiagnosticCode.near("E017").contains(.phase))
        #expect(DiagnosticCode.near("R0012").contains(.unknownAction))
        #expect(DiagnosticCode.near("L099").allSatisfy { $0.rawValue.hasPrefix("L") })
        #expect(DiagnosticCode.near("Q555").isEmpty)
    }

    // MARK: The sentences of the language's contract, all in one run

    @Test func `every typo of two files is told in one run`() {
        let main = """
            sluice: 1
            include: [api.yaml]
            lists: {office: [192.0.2.0/24]}
            upstreams:
              shop: {servers: ["http://127.0.0.1:1"]}
              static: {servers: ["http://127.0.0.1:2"]}
              api: {servers: ["http://127.0.0.1:3"]}
            sites:
              - name: shop
                hosts: [shop.example]
                upstream: shop
                request:
                  - name: admin from the office only
                    when: path starts_with "/admin" and client.pi in $office
                    do: [{deny: 403}]
                  - name: moved
                    when: status == 404
                    do: [{route: statik}]
                  - name: mixed
                    when: method == "GET" or method == "HEAD" and path == "/"
                    do: [{route: api}]
                  - name: tell the origin who calls
                    do:
                      - set_heder: {X-Request-Id: "${request.id}"}
                  - name: catch all
                    do: [{deny: 404}]
                  - name: old links
                    do: [{redirect: /new}]
            """
        let api = """
            sites:
              - name: api
                hosts: [api.example]
                request:
                  - when: client.ip == "10.0.0.*"
                    do: [stop]
            """
        let found = load(main, ["api.yaml": api]).diagnostics
        let said = found.map { "\($0.severity.rawValue)[\($0.code.rawValue)]: \($0.message) | \($0.file):\($0.position.line) | \($0.label)" }
        #expect(said == [
            "error[E003]: unknown field `client.pi` | rules.yaml:14 | did you mean `client.ip`?  (IP address)",
            "error[E007]: `status` is known only after the origin has answered | rules.yaml:17 | move this rule to `response:`, or test `method`, `path`, `header.*`",
            "error[U002]: upstream `statik` is not defined; defined: api, shop, static | rules.yaml:18 | did you mean `static`?",
            "error[R012]: unknown action `set_heder` | rules.yaml:24 | did you mean `set_header`?",
            "error[E004]: cannot compare an IP address with a string | api.yaml:5 | write `client.ip in 10.0.0.0/24`",
            "warning[L004]: `a or b and c` is read as `a or (b and c)`; add parentheses | rules.yaml:20 | here `and` binds before `or`",
            "warning[L001]: rule \"old links\" can never run: rule \"catch all\" (line 25) ends the request phase for every path | rules.yaml:27 | ",
        ])
        #expect(found.summary == "5 errors, 2 warnings")
    }
}
