/// Warnings about rules that are right by themselves.
enum Lint {
    /// A rule without condition that ends the phase hides everything below it.
    static func unreachable(_ rules: [Rule], _ phase: Phase, _ reporter: Reporter) {
        guard let wall = rules.firstIndex(where: { !$0.shadow && isAlways($0.condition) && $0.actions.contains { isFinal($0.kind) } }) else { return }
        for rule in rules[(wall + 1)...] {
            reporter.report(
                .unreachable,
                "rule \"\(rule.name)\" can never run: rule \"\(rules[wall].name)\" (line \(rules[wall].position.line)) ends the \(phase.name) phase for every path",
                at: rule.position, context: "\(reporter.context), \(phase.name) rule \"\(rule.name)\"")
        }
    }

    private static func isAlways(_ condition: Expression?) -> Bool {
        guard let condition else { return true }
        if case .constant(true) = condition.root { return true }
        return false
    }

    private static func isFinal(_ kind: Action.Kind) -> Bool {
        switch kind {
        case .respond, .deny, .drop, .redirect, .stop: true
        default: false
        }
    }
}
