import Hooks
import Rules

extension Worker {
    /// One event for each failed hook call: which rule, where in the hook, what became of the request, at what cost.
    func noteHookFailure(_ failure: HookFailure, _ policy: String, request: String) {
        log.write(
            "error", "hook_failed", failure.description,
            [
                ("function", failure.function), ("request", request), ("kind", failure.kind.word), ("policy", policy),
                ("rule", failure.rule), ("rule_place", failure.rulePlace), ("hook_place", failure.place),
            ],
            numbers: [
                ("cpu_us", Int(clamping: failure.cpuNanoseconds / 1_000)), ("memory_bytes", Int(clamping: failure.memoryBytes)),
            ])
        developer?.failed(failure, request: request)
    }
}

extension Function.OnError {
    /// The word in rule files, logs and metrics.
    var word: String {
        switch self {
        case .deny: "deny"
        case .continue: "continue"
        case .respond: "respond"
        case .fallback: "fallback"
        }
    }
}
