import Buffers
import HTTP
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
            error[H001]: function "hook" is run in the request phase, but hook.js does not export onRequest or fetch or onWebSocketMessage
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

@Suite struct TicketSecrets {
    @Test func workersWithTheSameSecretHaveTheSameKeys() {
        let settings = ["ticket-key": String(repeating: "0f", count: 80), "ticket-rotation": "60"]
        let one = TicketKeyRing(settings)
        let other = TicketKeyRing(settings)
        #expect(one.epoch(at: 3600) == 60)
        #expect(one.keys(at: 60).map(\.bytes) == other.keys(at: 60).map(\.bytes))
        #expect(one.keys(at: 60).count == 3)
        #expect(TicketKeyRing([:]).keys(at: 60).isEmpty, "without a secret there are keys of the process only")
    }

    @Test func aKeyOpensForTwoMoreIntervalsAndThenNoMore() throws {
        let ring = TicketKeyRing(secret: Array(repeating: 7, count: 80), interval: 60)
        let first = try #require(ring.keys(at: 10).first)
        #expect(ring.keys(at: 11)[1].bytes == first.bytes)
        #expect(ring.keys(at: 12)[2].bytes == first.bytes)
        #expect(!ring.keys(at: 13).contains { $0.bytes == first.bytes })
        #expect(Set(ring.keys(at: 10).map(\.bytes)).count == 3)
    }
}

@Suite struct WebSocketProofs {
    /// The example of RFC 6455 section 1.3 and the test vectors of RFC 3174 and RFC 4648.
    @Test func theExamplesOfTheStandards() {
        let digest = SHA1.digest(Array("abc".utf8)).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(digest == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(String(decoding: Base64.encode(Array("foob".utf8)), as: UTF8.self) == "Zm9vYg==")
        let proof = Base64.encode(SHA1.digest(Array("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8)))
        #expect(String(decoding: proof, as: UTF8.self) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    @Test func aKeyIsSixteenBytesAndItsProofIsAccepted() {
        let key = WebSocketKey(RequestID(high: 1, low: 2))
        #expect(key.text.count == 24)
        var head = Head()
        let before = key.isAccepted(by: head)
        head.add(name: Array("sec-websocket-accept".utf8).span, value: key.accept.span)
        let after = key.isAccepted(by: head)
        #expect(!before && after)
    }
}
