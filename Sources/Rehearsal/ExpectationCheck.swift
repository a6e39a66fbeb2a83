import Gateway
import Patterns
import Rules
import Upstream

/// What is wrong about one expectation.
struct Miss {
    /// `expected status 502, got 500`
    var message: String
    /// For the caret: `got 500`.
    var label: String
    /// Lines of a comparison, empty when one line says all.
    var difference: [String] = []
}

/// Compares what happened with what was expected.
struct ExpectationCheck {
    let answer: RehearsedAnswer

    /// nil: as expected.
    func miss(_ expectation: Expectation) -> Miss? {
        switch expectation.check {
        case .status(let wanted): return compare(expectation.key, String(wanted), String(answer.status))
        case .closed(let wanted): return compare(expectation.key, "\(wanted)", "\(answer.isCut)")
        case .header(let side, let name, let header): return miss(side, name, header)
        case .body(let side, let text): return miss(side, text)
        case .json(let side, let text, let partial): return miss(side, json: text, partial)
        case .method(let wanted): return originPart(expectation.key, wanted) { $0.request.method }
        case .uri(let wanted): return originPart(expectation.key, wanted) { $0.request.target }
        case .path(let wanted): return originPart(expectation.key, wanted) { Self.split($0.request.target).path }
        case .query(let wanted): return originPart(expectation.key, wanted) { Self.split($0.request.target).query }
        case .site(let wanted): return compare("site", wanted, answer.site ?? "none")
        case .upstream(let wanted): return compare("upstream", wanted, answer.upstream ?? "none")
        case .originCalled(let wanted): return compare("origin_called", "\(wanted)", "\(originCall != nil)")
        case .calls(let upstream, let wanted):
            return compare(expectation.key, String(wanted), String(answer.calls.count { $0.upstream == upstream }))
        default: return decision(expectation)
        }
    }

    /// What rules and hooks did.
    private func decision(_ expectation: Expectation) -> Miss? {
        switch expectation.check {
        case .rules(let wanted): return missing(rules: wanted)
        case .onlyRules(let wanted):
            guard wanted != answer.rules else { return nil }
            return Miss(
                message: "other rules matched than expected", label: "matched: \(Self.list(answer.rules))",
                difference: Difference.lines(expected: wanted.joined(separator: "\n"), actual: answer.rules.joined(separator: "\n")))
        case .notRule(let rule):
            guard answer.rules.contains(rule) else { return nil }
            return Miss(message: "the rule `\(rule)` matched", label: "matched: \(Self.list(answer.rules))")
        case .hook(let function, let wanted):
            return compare(expectation.key, wanted, answer.hooks.last { $0.function == function }?.outcome ?? "not called")
        case .error(let wanted):
            let names = answer.error.map { [$0.name, $0.kind] } ?? ["none"]
            guard !names.contains(wanted) else { return nil }
            return Miss(message: "expected error \(wanted), got \(names[0])", label: "got \(names[0])")
        case .log(let text):
            guard !answer.log.contains(where: { $0.contains(text) }) else { return nil }
            return Miss(message: "no log line contains `\(text)`", label: "\(answer.log.count) log lines", difference: answer.log.map { "  \($0)" })
        case .entry(let entry): return miss(entry, expectation.key)
        default: return nil
        }
    }

    private func miss(_ entry: TestEntry, _ key: String) -> Miss? {
        let got = answer.namespaces[entry.namespace]?[entry.key].map { String(decoding: $0, as: UTF8.self) }
        if entry.isJSON, let wanted = entry.value.flatMap({ JSON($0) }), let held = got.flatMap({ JSON($0) }), wanted.matches(held, partial: false) {
            return nil
        }
        return compare(key, entry.value ?? "no entry", got ?? "no entry")
    }

    private func missing(rules wanted: [String]) -> Miss? {
        var rest = answer.rules[...]
        for rule in wanted {
            guard let at = rest.firstIndex(of: rule) else {
                let early = answer.rules.contains(rule)
                return Miss(
                    message: "the rule `\(rule)` did not match" + (early ? " after those before it" : ""),
                    label: "matched: \(Self.list(answer.rules))")
            }
            rest = rest[(at + 1)...]
        }
        return nil
    }

    private static func list(_ names: [String]) -> String { names.isEmpty ? "none" : names.joined(separator: ", ") }

    private func compare(_ key: String, _ wanted: String, _ got: String) -> Miss? {
        wanted == got ? nil : Miss(message: "expected \(key) \(Difference.shown(wanted)), got \(Difference.shown(got))", label: "got \(Difference.shown(got))")
    }

    // MARK: The request at the origin

    /// The last request of the client that reached an origin.
    private var originCall: RehearsedCall? { answer.calls.last { !$0.isSubrequest } }

    private func originPart(_ key: String, _ wanted: String, _ part: (RehearsedCall) -> String) -> Miss? {
        originCall.map { compare(key, wanted, part($0)) } ?? Self.notCalled
    }

    private static let notCalled = Miss(message: "the request did not reach an origin", label: "the origin was not called")

    static func split(_ target: String) -> (path: String, query: String) {
        guard let mark = target.firstIndex(of: "?") else { return (target, "") }
        return (String(target[..<mark]), String(target[target.index(after: mark)...]))
    }

    // MARK: Messages

    private func fields(_ side: Expectation.Side) -> [(name: String, value: String)]? {
        side == .answer ? answer.fields : originCall?.request.fields
    }

    private func body(_ side: Expectation.Side) -> [UInt8]? { side == .answer ? answer.body : originCall?.request.body }

    private func miss(_ side: Expectation.Side, _ name: String, _ header: Expectation.Header) -> Miss? {
        guard let fields = fields(side) else { return Self.notCalled }
        let values = fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        let got = values.isEmpty ? "no `\(name)`" : values.map { "`\(Difference.shown($0))`" }.joined(separator: ", ")
        switch header {
        case .present: return values.isEmpty ? Miss(message: "there is no field `\(name)`", label: Self.names(fields)) : nil
        case .absent: return values.isEmpty ? nil : Miss(message: "there is a field `\(name)`", label: "got \(got)")
        case .equals(let wanted):
            guard !values.contains(wanted), values.joined(separator: ", ") != wanted else { return nil }
            return Miss(message: "expected \(name): \(Difference.shown(wanted)), got \(got)", label: "got \(got)")
        case .matches(let pattern):
            guard !values.contains(where: { Self.matches($0, pattern) }) else { return nil }
            return Miss(message: "no `\(name)` matches `\(pattern)`", label: "got \(got)")
        }
    }

    private static func names(_ fields: [(name: String, value: String)]) -> String {
        fields.isEmpty ? "it has no fields" : "it has " + fields.map(\.name).joined(separator: ", ")
    }

    static func matches(_ text: String, _ pattern: String) -> Bool {
        guard let pattern = try? Pattern(pattern) else { return false }
        return pattern.matches(Array(text.utf8).span)
    }

    private func miss(_ side: Expectation.Side, _ text: Expectation.Text) -> Miss? {
        guard let bytes = body(side) else { return Self.notCalled }
        let body = String(decoding: bytes, as: UTF8.self)
        let short = bytes.isEmpty ? "the body is empty" : "got `\(Difference.shown(body.prefix(60)))`"
        switch text {
        case .equals(let wanted):
            guard body != wanted else { return nil }
            return Miss(message: "the body is not as expected", label: short, difference: Difference.lines(expected: wanted, actual: body))
        case .contains(let wanted):
            return body.contains(wanted) ? nil : Miss(message: "the body does not contain `\(Difference.shown(wanted))`", label: short, difference: Self.quoted(body))
        case .lacks(let unwanted):
            return body.contains(unwanted) ? Miss(message: "the body contains `\(Difference.shown(unwanted))`", label: short, difference: Self.quoted(body)) : nil
        case .matches(let pattern):
            return Self.matches(body, pattern) ? nil : Miss(message: "the body does not match `\(pattern)`", label: short, difference: Self.quoted(body))
        }
    }

    private static func quoted(_ body: String) -> [String] {
        body.split(separator: "\n", omittingEmptySubsequences: false).prefix(20).map { "  \(Difference.shown($0))" }
    }

    private func miss(_ side: Expectation.Side, json text: String, _ partial: Bool) -> Miss? {
        guard let bytes = body(side) else { return Self.notCalled }
        guard let wanted = JSON(text) else { return nil }
        let body = String(decoding: bytes, as: UTF8.self)
        guard let got = JSON(body) else {
            return Miss(message: "the body is not JSON", label: "got `\(Difference.shown(body.prefix(60)))`")
        }
        guard !wanted.matches(got, partial: partial) else { return nil }
        return Miss(
            message: "the body is other JSON than expected", label: "got \(Difference.shown(got.compact.prefix(80)))",
            difference: Difference.lines(expected: wanted.pretty, actual: got.pretty))
    }
}
