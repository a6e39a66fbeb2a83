import Buffers
import HTTP
import Hooks

extension ExchangeRunner {
    /// A request hook wants fields on the answer. One that failed has changed nothing.
    func keepLaterFields(_ call: GatewayHookCall, _ outcome: HookOutcome) {
        if case .failed = outcome { return }
        hooks.laterFields += call.laterFields
    }

    func addLaterFields() {
        let parts = hooks.laterFields.split(separator: 10, omittingEmptySubsequences: false)
        for index in stride(from: 0, to: parts.count - 1, by: 2) {
            response.add(name: Array(parts[index]).span, value: Array(parts[index + 1]).span)
        }
        hooks.laterFields = []
    }
}
