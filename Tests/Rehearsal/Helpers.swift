import Rehearsal
import Rules

/// Runs the tests of a rule file held in memory.
func play(_ main: String, _ others: [String: String] = [:], file: String = "rules.yaml", filter: String? = nil) -> TestRun {
    var files = others
    files["rules.yaml"] = main
    return TestRun.run(file, filter: filter, provider: RehearsalFiles(FileBundle(files)))
}

/// A configuration with one site, two upstreams and these tests.
func configuration(request: String = "", response: String = "", error: String = "", top: String = "", tests: String = "") -> String {
    func section(_ name: String, _ text: String, _ margin: String) -> String {
        text.isEmpty ? "" : "\(margin)\(name):\n" + text.split(separator: "\n").map { "\(margin)  \($0)\n" }.joined()
    }
    return """
        sluice: 1
        upstreams:
          main: {servers: ["http://127.0.0.1:8080"], timeouts: {first_byte: 5s}}
          other: {servers: ["https://origin.example.com:8443"]}
        \(top)
        sites:
          - name: test
            hosts: ["*"]
            upstream: main

        """ + section("request", request, "    ") + section("response", response, "    ") + section("error", error, "    ")
        + section("tests", tests, "")
}

extension TestRun {
    /// Everything that went wrong, for the message of a failed expectation.
    var complaints: String {
        (problem ?? "") + outcomes.flatMap(\.failures).map(\.text).joined(separator: "\n")
    }
    var failures: [TestFailure] { outcomes.flatMap(\.failures) }
}
