import Reactor
import Rules
import TLS
import Testing

@testable import Gateway

/// A bundle as the supervisor would hand it over: the rule file and hook modules by path.
private func bundle(_ rules: String, _ modules: [String: String] = [:]) -> ConfigurationBundle {
    var files = modules.map { ConfigurationBundle.File(path: $0.key, bytes: Array($0.value.utf8)) }
    files.append(.init(path: "rules.yaml", bytes: Array(rules.utf8)))
    return ConfigurationBundle(mainFile: "rules.yaml", listeners: [], files: files)
}

private let rules = """
    sluice: 1
    listeners: [{name: plain, address: "127.0.0.1:8080"}]
    upstreams:
      origin: {servers: ["http://127.0.0.1:9000"]}
    functions:
      hook: {file: hook.js}
    sites:
      - name: all
        hosts: ["*"]
        upstream: origin
        request: [{name: first, do: [{run: {function: hook}}]}]
    """

@Suite(.serialized) struct ConfigurationTrialTests {
    @Test func aGoodConfigurationHasNoComplaints() {
        let good = bundle(rules, ["hook.js": "export default { onRequest() {} }"])
        #expect(ConfigurationTrial.complaints(good).map(\.text) == [])
    }

    @Test func aHookThatDoesNotParseIsNamedWithItsPlace() throws {
        let bad = bundle(rules, ["hook.js": "export default {\n  onRequest( {}\n}"])
        let complaints = ConfigurationTrial.complaints(bad)
        #expect(complaints.count == 1)
        #expect(complaints.map(\.code) == [.hookLoad])
        #expect(try #require(complaints.first).text.contains("hook.js:3:"))
    }

    @Test func aHookWithoutTheHandlerOfItsPhaseIsRefused() throws {
        let bad = bundle(rules, ["hook.js": "export default { onResponse() {} }"])
        #expect(ConfigurationTrial.complaints(bad).map(\.text) == ["""
            error[H001]: function "hook" is run in the request phase, but hook.js does not export onRequest or fetch
              --> rules.yaml:11:35   request rule "all/first"
               |
            11 |     request: [{name: first, do: [{run: {function: hook}}]}]
               |                                   ^^^ it exports onResponse

            """])
    }

    @Test func aCertificateThatIsNoneIsNamed() throws {
        let text = rules.replacing(
            "address: \"127.0.0.1:8080\"}",
            with: "address: \"127.0.0.1:8443\", tls: {certificates: [{cert: a.crt, key: a.key}]}}")
        var bad = bundle(text, ["hook.js": "export default { onRequest() {} }", "a.crt": "no certificate", "a.key": "no key"])
        bad.files.sort { $0.path < $1.path }
        let complaint = try #require(ConfigurationTrial.complaints(bad).first).text
        #expect(complaint.contains("listener \"plain\""))
        #expect(complaint.contains("a.crt"))
    }
}

@Suite struct RequestIDs {
    @Test func aHundredThousandIDsDiffer() {
        var random = FastRandom()
        var seen: Set<UInt64> = []
        for _ in 0..<100_000 { seen.insert(random.next()) }
        #expect(seen.count == 100_000)
    }
}

@Suite struct TicketKeyText {
    @Test func keysOfTheRightLengthAreTaken() {
        let one = String(repeating: "0f", count: 80)
        #expect(TicketKeys.decode(one).count == 1)
        #expect(TicketKeys.decode(one + "," + one).count == 2)
        #expect(TicketKeys.decode(one).first?.bytes == Array(repeating: 15, count: 80))
    }

    @Test func anythingElseIsNoKey() {
        for text in ["", "00", String(repeating: "zz", count: 80), String(repeating: "0", count: 161)] {
            #expect(TicketKeys.decode(text).isEmpty)
        }
        #expect(TicketKeys.decode(nil).isEmpty)
    }
}
