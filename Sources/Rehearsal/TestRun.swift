import Gateway
import HTTP
public import Rules
import Upstream

/// What became of one test.
public struct TestOutcome: Sendable {
    public var name: String
    public var passed: Bool { failures.isEmpty }
    /// Each with its place, source line and caret.
    public var failures: [TestFailure]
    /// Real microseconds.
    public var microseconds: Int
}

public struct TestFailure: Sendable {
    public var message: String
    public var file: String
    public var line: Int
    public var column: Int
    /// As a person reads it: place, line, caret, comparison and what happened.
    public var text: String
}

/// A rule that tests may match.
public struct CoveredRule: Sendable {
    public var id: String
    public var place: String
    /// How many requests matched it.
    public var matches: Int
}

/// All tests of one file, and which rules they matched.
public struct TestRun: Sendable {
    public var file: String
    public var outcomes: [TestOutcome] = []
    public var rules: [CoveredRule] = []
    /// Why no test could run: diagnostics, or a hook that does not load.
    public var problem: String?
    /// Warnings of the loader.
    public var notes = ""

    public var failed: Int { outcomes.count { !$0.passed } + (problem == nil ? 0 : 1) }
    public var unmatched: [CoveredRule] { rules.filter { $0.matches == 0 } }

    /// Loads the file and runs its tests.
    /// - Parameter filter: runs only tests whose name contains this.
    public static func run(_ path: String, filter: String? = nil, provider: any FileProvider = RehearsalFiles()) -> TestRun {
        var run = TestRun(file: path)
        let loaded = RuleFile.loadTests(path, provider: provider)
        guard let configuration = loaded.configuration else {
            run.problem = loaded.diagnostics.text + loaded.diagnostics.summary
            return run
        }
        run.notes = loaded.diagnostics.text
        do {
            var player = TestPlayer(gateway: try RehearsalGateway(configuration, files: loaded.filesRead), loaded: loaded)
            for test in loaded.tests where filter.map({ test.name.localizedContains($0) }) ?? true {
                if test.isFresh { player.gateway = try RehearsalGateway(configuration, files: loaded.filesRead) }
                run.outcomes.append(player.play(test))
            }
            run.rules = rules(configuration, player.matches)
        } catch {
            run.problem = "error: \(error)"
        }
        return run
    }

    private static func rules(_ configuration: Configuration, _ matches: [String: Int]) -> [CoveredRule] {
        configuration.sites.flatMap { site in
            (site.request + site.response + site.error).map { rule in
                let id = rule.shadow ? rule.id + " (shadow)" : rule.id
                return CoveredRule(id: id, place: configuration.describe(rule.position), matches: matches[id] ?? 0)
            }
        }
    }
}

extension String {
    /// Whether the other text is in this one, whatever its case.
    fileprivate func localizedContains(_ other: String) -> Bool { lowercased().contains(other.lowercased()) }
}

/// Plays the tests of one file on one gateway.
private struct TestPlayer {
    var gateway: RehearsalGateway
    let loaded: LoadResult
    private(set) var matches: [String: Int] = [:]

    init(gateway: RehearsalGateway, loaded: LoadResult) {
        self.gateway = gateway
        self.loaded = loaded
    }

    mutating func play(_ test: TestCase) -> TestOutcome {
        let clock = ContinuousClock()
        let began = clock.now
        // A day passes between tests, so that limits and health of one do not reach into the next.
        gateway.pass(milliseconds: 86_400_000)
        gateway.fill(test.entries.map { ($0.namespace, $0.key, $0.value ?? "") })
        var failures: [TestFailure] = []
        for (number, step) in test.steps.enumerated() {
            gateway.pass(milliseconds: step.wait)
            let answer = play(step, time: number == 0 ? test.time : nil)
            let check = ExpectationCheck(answer: answer)
            for expectation in step.expectations {
                guard let miss = check.miss(expectation) else { continue }
                failures.append(failure(miss, expectation, test, step, answer))
            }
        }
        let took = (clock.now - began).components
        let microseconds = Int(took.seconds) * 1_000_000 + Int(took.attoseconds / 1_000_000_000_000)
        return TestOutcome(name: test.name, failures: failures, microseconds: microseconds)
    }

    private mutating func play(_ step: TestStep, time: Int?) -> RehearsedAnswer {
        let script = OriginScript(step.answers)
        var request = RehearsedRequest(step.request)
        request.time = time
        var answer = RehearsedAnswer()
        for _ in 0..<step.count {
            if let function = step.scheduled {
                answer = gateway.playSchedule(of: function, time: request.time) { script.outcome($0) } ?? answer
            } else {
                answer = gateway.play(request) { script.outcome($0) }
            }
            request.time = nil
            for rule in answer.rules { matches[rule, default: 0] += 1 }
        }
        return answer
    }

    private func failure(
        _ miss: Miss, _ expectation: Expectation, _ test: TestCase, _ step: TestStep, _ answer: RehearsedAnswer
    ) -> TestFailure {
        let diagnostic = loaded.diagnostic(
            .expectation, miss.message, at: expectation.position, label: miss.label, context: "test \"\(test.name)\"")
        var text = diagnostic.text
        for line in miss.difference { text += "     \(line)\n" }
        text += "   = \(AnswerText.summary(step, answer))\n"
        return TestFailure(
            message: miss.message, file: diagnostic.file, line: Int(diagnostic.position.line),
            column: Int(diagnostic.position.column), text: text)
    }
}

extension RehearsedRequest {
    init(_ request: TestRequest) {
        self.init()
        method = request.method
        scheme = request.scheme
        authority = request.authority
        target = request.target
        fields = request.fields
        body = request.body
        version = request.version
        client = request.client
    }
}

/// One line about what happened.
enum AnswerText {
    static func summary(_ step: TestStep, _ answer: RehearsedAnswer) -> String {
        let request = step.request
        let url = "\(request.scheme == .https ? "https" : "http")://\(request.authority)\(request.target)"
        var parts = ["rules: \(answer.rules.isEmpty ? "none" : answer.rules.joined(separator: ", "))"]
        parts += answer.calls.map { "\($0.isSubrequest ? "sub-request" : "origin") \($0.upstream): \($0.request.method) \($0.request.target)" }
        parts += answer.hooks.map { "hook \($0.function) (\($0.phase)): \($0.outcome)" }
        if let error = answer.error { parts.append("error: \(error.name)\(error.note.isEmpty ? "" : " (\(error.note))")") }
        let result = answer.status == 0 ? "no answer" : "\(answer.status) \(StatusName.of(answer.status))"
        if let function = step.scheduled { return Difference.shown("schedule of \(function); " + parts.joined(separator: "; ")) }
        return Difference.shown("\(request.method) \(url) -> \(result); " + parts.joined(separator: "; "))
    }
}
