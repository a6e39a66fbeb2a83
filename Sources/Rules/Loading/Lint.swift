/// Warnings about rules that are right by themselves.
public enum Lint {
    /// A rule that ends the phase hides what stands below it: all rules, when it has no condition; otherwise those
    /// that can match only what it matches.
    static func unreachable(_ rules: [Rule], _ phase: Phase, _ reporter: Reporter) {
        let wall = rules.firstIndex { isFinal($0) && isAlways($0.condition) } ?? rules.count
        var finder = UnreachableFinder(Array(rules[..<wall]))
        for (index, cover) in finder.find() { report(rules[index], behind: rules[cover], phase, "everything it matches", reporter) }
        for rule in rules.dropFirst(wall + 1) { report(rule, behind: rules[wall], phase, "every path", reporter) }
    }

    private static func report(_ rule: Rule, behind wall: Rule, _ phase: Phase, _ what: String, _ reporter: Reporter) {
        reporter.report(
            .unreachable,
            "rule \"\(rule.name)\" can never run: rule \"\(wall.name)\" (line \(wall.position.line)) ends the \(phase.name) phase for \(what)",
            at: rule.position, context: "\(reporter.context), \(phase.name) rule \"\(rule.name)\"")
    }

    private static func isAlways(_ condition: Expression?) -> Bool {
        guard let condition else { return true }
        return Implication.holds(.constant(true), condition.root)
    }

    /// Whether nothing of the phase runs after the rule, once it matches.
    static func isFinal(_ rule: Rule) -> Bool { !rule.shadow && rule.actions.contains { isFinal($0.kind) } }

    private static func isFinal(_ kind: Action.Kind) -> Bool {
        switch kind {
        case .respond, .deny, .drop, .redirect, .stop: true
        default: false
        }
    }

    /// Names that nothing refers to: often the other half of a typing mistake. Only said of files without errors.
    static func unused(_ configuration: Configuration, _ reporter: Reporter) {
        guard reporter.errorCount == 0 else { return }
        for upstream in configuration.upstreams where !reporter.isMentioned("upstream", upstream.name) {
            report(.unusedUpstream, "no site, rule or function uses the upstream `\(upstream.name)`", upstream.name, upstream.position, reporter)
        }
        for function in configuration.functions where !reporter.isMentioned("function", function.name) {
            report(.unusedFunction, "no rule runs the function `\(function.name)`", function.name, function.position, reporter)
        }
        for list in configuration.lists where !reporter.isMentioned("list", list.name) {
            report(.unusedList, "no expression uses the list `$\(list.name)`", list.name, list.position, reporter)
        }
    }

    private static func report(
        _ code: DiagnosticCode, _ message: String, _ name: String, _ position: SourcePosition, _ reporter: Reporter
    ) {
        reporter.report(code, message, at: position.advanced(by: 0, length: name.unicodeScalars.count), label: "remove it, or use it", context: "")
    }
}
