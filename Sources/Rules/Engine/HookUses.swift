/// One `run` action of a configuration: what a worker prepares when it loads it.
public struct HookUse: Sendable {
    public var call: HookCall
    public var phase: Phase
    /// Where the rule is written.
    public var position: SourcePosition
    /// Where the action is.
    public var action: SourcePosition
}

extension Generation {
    /// All `run` actions, in the order of rules. Each has a distinct (`rule`, `arguments`) pair unless it is
    /// the same function with the same arguments.
    public var hookUses: [HookUse] {
        var uses: [HookUse] = []
        for (index, site) in program.sites.enumerated() {
            for phase in Phase.allCases {
                let written = configuration.sites[index].rules(phase)
                for (offset, rule) in site.phase(phase).rules.indices.enumerated() {
                    collect(rule, phase, written[offset], into: &uses)
                }
            }
        }
        return uses
    }

    private func collect(_ rule: Int, _ phase: Phase, _ written: Rule, into uses: inout [HookUse]) {
        for (operation, action) in zip(program.rules[rule].operations.indices, written.actions) {
            guard case .run(let function, let arguments) = program.operations[operation] else { continue }
            let call = HookCall(function: Int(function), rule: Int32(rule), arguments: arguments)
            uses.append(HookUse(call: call, phase: phase, position: written.position, action: action.position))
        }
    }
}

extension Site {
    func rules(_ phase: Phase) -> [Rule] {
        switch phase {
        case .request: request
        case .response: response
        case .error: error
        }
    }
}
