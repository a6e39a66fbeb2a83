/// Test runs as people and machines read them.
public enum TestReport {
    public enum Format: String, Sendable, CaseIterable { case text, json, junit, tap }

    public static func text(_ runs: [TestRun], as format: Format, coverage: Bool) -> String {
        switch format {
        case .text: plain(runs, coverage: coverage)
        case .json: json(runs).pretty + "\n"
        case .junit: junit(runs)
        case .tap: tap(runs)
        }
    }

    // MARK: Text

    private static func plain(_ runs: [TestRun], coverage: Bool) -> String {
        var out = ""
        for run in runs {
            out += run.notes.isEmpty ? "" : run.notes + "\n"
            if let problem = run.problem { out += "\(problem)\n\(run.file): no test was run\n\n" }
            for outcome in run.outcomes where !outcome.passed {
                out += "FAIL  \(outcome.name)\n" + outcome.failures.map(\.text).joined() + "\n"
            }
        }
        if coverage { out += self.coverage(runs) }
        return out + summary(runs) + "\n"
    }

    private static func coverage(_ runs: [TestRun]) -> String {
        var out = ""
        for run in runs where run.problem == nil && !run.rules.isEmpty {
            let covered = run.rules.count - run.unmatched.count
            out += "\(run.file): \(covered) of \(run.rules.count) rules matched (\(100 * covered / run.rules.count)%)\n"
            for rule in run.unmatched { out += "  never matched: \(rule.id)  \(rule.place)\n" }
        }
        return out
    }

    private static func summary(_ runs: [TestRun]) -> String {
        let total = runs.reduce(0) { $0 + $1.outcomes.count }
        let failed = runs.reduce(0) { $0 + $1.failed }
        let unmatched = runs.reduce(0) { $0 + $1.unmatched.count }
        let time = runs.reduce(0) { $0 + $1.outcomes.reduce(0) { $0 + $1.microseconds } }
        var line = "\(total) test\(total == 1 ? "" : "s"), \(failed) failed, \(time / 1000) ms"
        if unmatched > 0 { line += "; \(unmatched) rule\(unmatched == 1 ? " was" : "s were") never matched" }
        return line
    }

    // MARK: JSON

    private static func json(_ runs: [TestRun]) -> JSON {
        .object([
            ("tests", .integer(runs.reduce(0) { $0 + $1.outcomes.count })), ("failed", .integer(runs.reduce(0) { $0 + $1.failed })),
            ("files", .array(runs.map(json))),
        ])
    }

    private static func json(_ run: TestRun) -> JSON {
        .object([
            ("file", .string(run.file)), ("problem", JSON(run.problem)), ("tests", .array(run.outcomes.map(json))),
            ("rules", .array(run.rules.map {
                .object([("id", .string($0.id)), ("place", .string($0.place)), ("matches", .integer($0.matches))])
            })),
        ])
    }

    private static func json(_ outcome: TestOutcome) -> JSON {
        .object([
            ("name", .string(outcome.name)), ("passed", .boolean(outcome.passed)), ("microseconds", .integer(outcome.microseconds)),
            ("failures", .array(outcome.failures.map {
                .object([
                    ("message", .string($0.message)), ("file", .string($0.file)), ("line", .integer($0.line)),
                    ("column", .integer($0.column)), ("text", .string($0.text)),
                ])
            })),
        ])
    }

    // MARK: JUnit

    private static func junit(_ runs: [TestRun]) -> String {
        let total = runs.reduce(0) { $0 + $1.outcomes.count }
        let failed = runs.reduce(0) { $0 + $1.failed }
        var out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"sluice test\" tests=\"\(total)\" failures=\"\(failed)\">\n"
        for run in runs {
            let time = seconds(run.outcomes.reduce(0) { $0 + $1.microseconds })
            let broken = run.problem == nil ? 0 : 1
            out += "  <testsuite name=\"\(xml(run.file))\" tests=\"\(run.outcomes.count + broken)\" failures=\"\(run.failed - broken)\" errors=\"\(broken)\" time=\"\(time)\">\n"
            if let problem = run.problem {
                out += "    <testcase name=\"loads\" classname=\"\(xml(run.file))\"><error message=\"the file does not load\">\(xml(problem))</error></testcase>\n"
            }
            for outcome in run.outcomes { out += junit(outcome, run.file) }
            out += "  </testsuite>\n"
        }
        return out + "</testsuites>\n"
    }

    private static func junit(_ outcome: TestOutcome, _ file: String) -> String {
        let start = "    <testcase name=\"\(xml(outcome.name))\" classname=\"\(xml(file))\" time=\"\(seconds(outcome.microseconds))\""
        guard let first = outcome.failures.first else { return start + "/>\n" }
        let text = outcome.failures.map(\.text).joined(separator: "\n")
        return "\(start) file=\"\(xml(first.file))\" line=\"\(first.line)\">\n      <failure message=\"\(xml(first.message))\">\(xml(text))</failure>\n    </testcase>\n"
    }

    private static func seconds(_ microseconds: Int) -> String {
        let digits = String(microseconds % 1_000_000)
        return "\(microseconds / 1_000_000)." + String(repeating: "0", count: 6 - digits.count) + digits
    }

    /// Text for XML 1.0, which has no place for control characters.
    private static func xml(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "&": out += "&amp;"
            case "\"": out += "&quot;"
            case "\n", "\t": out.unicodeScalars.append(scalar)
            case _ where scalar.value < 0x20 || scalar.value == 0xFFFE || scalar.value == 0xFFFF: out += "\u{FFFD}"
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out
    }

    // MARK: TAP

    private static func tap(_ runs: [TestRun]) -> String {
        var lines: [String] = []
        var number = 0
        func point(_ passed: Bool, _ name: String, _ details: [String]) {
            number += 1
            let safe = Difference.shown(name).replacing("#", with: "\\#")
            lines.append("\(passed ? "ok" : "not ok") \(number) - \(safe)")
            guard !passed else { return }
            lines.append("  ---")
            lines += details.map { "  \($0)" }
            lines.append("  ...")
        }
        for run in runs {
            if let problem = run.problem { point(false, "\(run.file) loads", block("text", problem)) }
            for outcome in run.outcomes {
                var details: [String] = []
                if let first = outcome.failures.first {
                    details = ["message: \(JSON.quoted(first.message))", "file: \(JSON.quoted(first.file))", "line: \(first.line)"]
                        + block("text", outcome.failures.map(\.text).joined(separator: "\n"))
                }
                point(outcome.passed, outcome.name, details)
            }
        }
        return (["TAP version 14", "1..\(number)"] + lines).joined(separator: "\n") + "\n"
    }

    private static func block(_ key: String, _ text: String) -> [String] {
        ["\(key): |"] + text.split(separator: "\n").map { "  \($0)" }
    }
}
