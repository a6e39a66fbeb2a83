import Rehearsal
import Rules
import Testing

/// What a failed test says, and in which forms.
@Suite struct ReportTests {
    static let failing = configuration(
        request: "- name: used\n  do: [{set_header: {A: b}}]\n- name: idle\n  when: path == \"/never\"\n  do: [stop]",
        tests: """
            - name: good
              send: {url: "http://a/"}
              expect: {status: 200}
            - name: wrong <status>
              send: {url: "http://a/x"}
              origin: {status: 404, json: {a: 1, b: 2}}
              expect:
                status: 200
                json: {a: 1, b: 3}
            """)

    @Test func `a failure shows place, caret, comparison and what happened`() {
        let run = play(Self.failing)
        #expect(run.failed == 1 && run.failures.count == 2)
        let status = run.failures[0]
        #expect(status.message == "expected status 200, got 404")
        #expect(status.file == "rules.yaml" && status.text.contains("^^^ got 404"))
        #expect(status.text.contains("    status: 200") && status.text.contains("test \"wrong <status>\""))
        #expect(status.text.contains("GET http://a/x -> 404 Not Found; rules: test/used; origin main: GET /x"))
        #expect(run.failures[1].text.contains("-   \"b\": 3") && run.failures[1].text.contains("+   \"b\": 2"))
    }

    @Test func `rules that nothing matched are listed`() {
        let run = play(Self.failing)
        #expect(run.unmatched.map(\.id) == ["test/idle"] && run.rules.first?.matches == 2)
        let text = TestReport.text([run], as: .text, coverage: true)
        #expect(text.contains("rules.yaml: 1 of 2 rules matched (50%)") && text.contains("never matched: test/idle  rules.yaml:"))
        #expect(text.contains("2 tests, 1 failed"))
    }

    @Test func `JUnit, TAP and JSON say the same`() throws {
        let run = play(Self.failing)
        let junit = TestReport.text([run], as: .junit, coverage: false)
        #expect(junit.contains("tests=\"2\" failures=\"1\"") && junit.contains("name=\"wrong &lt;status&gt;\""))
        #expect(junit.contains("<failure message=\"expected status 200, got 404\">"))
        let tap = TestReport.text([run], as: .tap, coverage: false)
        #expect(tap.hasPrefix("TAP version 14\n1..2\nok 1 - good\nnot ok 2 - wrong <status>\n  ---\n  message: \"expected status 200, got 404\"\n"))
        let json = try #require(JSON(TestReport.text([run], as: .json, coverage: false)))
        #expect(json["failed"]?.text == "1" && json["files"]?.array.first?["tests"]?.array.count == 2)
    }

    @Test func `a file that does not load is one failure with its diagnostics`() {
        let run = play(configuration(request: "- name: x\n  do: [{set_heder: {A: b}}]"))
        #expect(run.failed == 1 && run.problem?.contains("error[R012]: unknown action `set_heder`") == true)
        #expect(TestReport.text([run], as: .junit, coverage: false).contains("errors=\"1\""))
        #expect(TestReport.text([run], as: .tap, coverage: false).contains("not ok 1 - rules.yaml loads"))
        let hook = play(configuration(request: "- name: x\n  do: [{run: f}]", top: "functions: {f: {file: f.js}}"), ["f.js": "export default {"])
        #expect(hook.failed == 1 && hook.problem?.contains("f.js") == true)
    }

    @Test func `a test file names its configuration and its mistakes are found`() {
        let main = configuration(request: "- name: no\n  do: [{deny: 403}]")
        let good = "config: ../rules.yaml\ntests:\n  - name: t\n    send: {url: \"http://a/\"}\n    expect: {status: 403, rules: [test/no]}\n"
        let run = TestRun.run("tests/a.yaml", provider: RehearsalFiles(FileBundle(["rules.yaml": main, "tests/a.yaml": good])))
        #expect(run.problem == nil && run.failed == 0 && run.outcomes.count == 1, "\(run.complaints)")
        let bad = good.replacing("test/no]", with: "test/on]").replacing("http://a/", with: "a/")
        let wrong = TestRun.run("tests/a.yaml", provider: RehearsalFiles(FileBundle(["rules.yaml": main, "tests/a.yaml": bad])))
        #expect(wrong.problem?.contains("`a/` is not a URL") == true)
        let unknown = TestRun.run("tests/a.yaml", provider: RehearsalFiles(FileBundle(["rules.yaml": main, "tests/a.yaml": good.replacing("test/no]", with: "test/on]")])))
        #expect(unknown.problem?.contains("error[U010]") == true && unknown.problem?.contains("did you mean `test/no`?") == true)
    }

    @Test func `a filter leaves the other tests out`() {
        let run = play(Self.failing, filter: "GOOD")
        #expect(run.outcomes.map(\.name) == ["good"] && run.failed == 0)
    }

    @Test(arguments: [
        ("a*b*c", "axxbxxc", true), ("a*b*c", "abc", true), ("*", "", true), ("x*", "y", false), ("ab*ba", "aba", false), ("x", "x", true),
    ])
    func `an origin's path may have wildcards`(pattern: String, path: String, fits: Bool) {
        let run = play(configuration(tests: """
            - name: t
              send: {url: "http://a/\(path)"}
              origin: [{path: "/\(pattern)", status: 201}]
              expect: {status: \(fits ? 201 : 200)}
            """))
        #expect(run.failed == 0, "\(run.complaints)")
    }
}
