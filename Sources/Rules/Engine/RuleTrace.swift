import Buffers
import HTTP

/// A condition with what it came to.
public struct TracedCondition: Sendable {
    /// As in the rule file, nearly: `path starts_with "/admin"`, `and`, `not`.
    public var text: String
    public var isTrue: Bool
    /// What the field said; nil for `and`, `or`, `not`, and when the field is missing.
    public var found: String?
    public var isMissing = false
    public var parts: [TracedCondition] = []
}

/// Something that happened while rules ran.
public enum TraceEvent: Sendable {
    case phase(Phase)
    /// A rule was asked. `changes`: what its actions did, a line each.
    case rule(id: String, place: String, matched: Bool, shadow: Bool, condition: TracedCondition?, changes: [String])
    /// A hook, a limit, an answer: whoever runs the rules says what.
    case note(String, changes: [String])
}

/// Keeps what happens to one exchange, rule by rule. A runner that has one asks every rule.
public final class RuleTrace {
    public private(set) var events: [TraceEvent] = []
    private let explainer: Explainer
    private var before: ExchangePicture?

    public init(_ explainer: Explainer) { self.explainer = explainer }

    /// Adds a line about something that rules do not do themselves.
    public func note(_ text: String) { events.append(.note(text, changes: [])) }

    func enter(_ phase: Phase) { events.append(.phase(phase)) }

    func asked(_ rule: Int, matched: Bool, shadow: Bool, condition: TracedCondition?, _ exchange: Exchange) {
        settle(exchange)
        events.append(.rule(
            id: explainer.ids[rule], place: explainer.places[rule], matched: matched, shadow: shadow, condition: condition, changes: []))
        before = ExchangePicture(exchange, explainer.upstreams)
    }

    /// Attributes what changed since the last look to the last event.
    func settle(_ exchange: Exchange) {
        guard let picture = before else { return }
        let now = ExchangePicture(exchange, explainer.upstreams)
        before = now
        let changes = now.changes(since: picture)
        guard !changes.isEmpty, let last = events.popLast() else { return }
        switch last {
        case .phase: events.append(last)
        case .rule(let id, let place, let matched, let shadow, let condition, let before):
            events.append(.rule(id: id, place: place, matched: matched, shadow: shadow, condition: condition, changes: before + changes))
        case .note(let text, let before): events.append(.note(text, changes: before + changes))
        }
    }

    func leaves(_ rule: Int) -> ExplainedRule { explainer.rules[rule] }
    var leafProgram: Generation { explainer.leaves }
}

/// Finds out why a rule matched: its condition taken apart, each part compiled like a rule of its own.
public final class Explainer: Sendable {
    let rules: [ExplainedRule]
    let ids: [String]
    let places: [String]
    let upstreams: [String]
    /// Every part of every condition as a rule; numbers as in `ExplainedRule`.
    let leaves: Generation

    public init(_ generation: Generation) {
        let configuration = generation.configuration
        var parts = configuration
        var explained: [ExplainedRule] = []
        var places: [String] = []
        var count = 0
        for index in configuration.sites.indices {
            var leaves: [Rule] = []
            for phase in Phase.allCases {
                for rule in configuration.sites[index].rules(phase) {
                    places.append(configuration.describe(rule.position))
                    explained.append(ExplainedRule(root: rule.condition.map { ExplainedCondition($0.root, &leaves, &count, rule.position) }))
                }
            }
            parts.sites[index].request = leaves
            parts.sites[index].response = []
            parts.sites[index].error = []
        }
        rules = explained
        ids = (0..<explained.count).map { generation.ruleID(Int32($0)) }
        self.places = places
        upstreams = configuration.upstreams.map(\.name)
        leaves = Generation(parts)
    }
}

struct ExplainedRule: Sendable {
    var root: ExplainedCondition?
}

/// A condition with the numbers of the rules that its parts became.
struct ExplainedCondition: Sendable {
    var text: String
    var number: Int
    /// The field's value explains the outcome.
    var showsField = false
    var parts: [ExplainedCondition] = []

    init(_ condition: Condition, _ leaves: inout [Rule], _ count: inout Int, _ position: SourcePosition) {
        let description = ConditionText(condition)
        text = description.text
        let shown = description.field.map { Action(kind: .log(Template([.field($0)])), position: position) }
        showsField = shown != nil
        number = count
        count += 1
        leaves.append(Rule(
            id: "", name: "", condition: Expression(root: condition), actions: shown.map { [$0] } ?? [], position: position))
        switch condition {
        case .and(let inner), .or(let inner): parts = inner.map { ExplainedCondition($0, &leaves, &count, position) }
        case .not(let inner): parts = [ExplainedCondition(inner, &leaves, &count, position)]
        default: break
        }
    }
}

extension RuleRunner {
    /// Evaluates every part of a rule's condition, whether or not the outcome depends on it.
    mutating func trace(_ trace: RuleTrace, rule: Int, matched: Bool, shadow: Bool, _ exchange: Exchange) {
        let condition = trace.leaves(rule).root.map { traced($0, trace.leafProgram, exchange) }
        trace.asked(rule, matched: matched, shadow: shadow, condition: condition, exchange)
    }

    private mutating func traced(_ condition: ExplainedCondition, _ leaves: Generation, _ exchange: Exchange) -> TracedCondition {
        let rule = leaves.program.rules[condition.number]
        scratch.removeAll()
        var result = TracedCondition(text: condition.text, isTrue: evaluate(rule.condition, leaves, exchange))
        if condition.showsField, let value = shown(rule, leaves, exchange) {
            result.found = value.text
            result.isMissing = value.isMissing
        }
        result.parts = condition.parts.map { part in traced(part, leaves, exchange) }
        return result
    }

    /// What the field of a part says.
    private mutating func shown(_ rule: CompiledRule, _ leaves: Generation, _ exchange: Exchange) -> (text: String?, isMissing: Bool)? {
        guard let first = rule.operations.indices.first, case .log(let value) = leaves.program.operations[first],
            let piece = value.pieces.indices.first, case .field(let field) = leaves.program.pieces[piece]
        else { return nil }
        scratch.removeAll()
        guard let located = text(field, leaves, exchange) else { return (nil, true) }
        return (withBytes(located, leaves, exchange) { $0.text() }, false)
    }
}
