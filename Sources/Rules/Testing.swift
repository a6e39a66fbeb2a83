/// Doors into the parsers for whoever feeds them noise: the fuzz targets.
public enum RuleParsers {
    /// What the parser made of an expression.
    public struct Outcome: Sendable {
        public var condition: Condition?
        /// Code, message and place (Unicode scalars) of each problem.
        public var problems: [(code: DiagnosticCode, message: String, range: Range<Int>)]
    }

    public static func expression(_ text: String, phase: Phase, lists: [String: NamedList.Values] = [:]) -> Outcome {
        var parser = ExpressionParser(phase: phase, lists: lists)
        let condition = parser.parse(text)
        return Outcome(condition: condition, problems: parser.problems.map { ($0.code, $0.message, $0.range) })
    }

    /// A template, and how many problems it has.
    public static func template(_ text: String, phase: Phase, captures: Set<String> = []) -> (template: Template, problems: Int) {
        var parser = TemplateParser(phase: phase, captures: captures)
        let template = parser.parse(text)
        return (template, parser.problems.count)
    }

    /// A site for every host with these request rules.
    public static func configuration(_ rules: [Rule]) -> Configuration {
        var configuration = Configuration()
        configuration.files = ["fuzz"]
        configuration.sites = [Site(name: "fuzz", hosts: [.any], request: rules, position: .none)]
        return configuration
    }

    public static func rule(_ number: Int, when condition: Condition?, _ actions: [Action.Kind]) -> Rule {
        Rule(
            id: "fuzz/\(number)", name: "\(number)", condition: condition.map { Expression(root: $0) },
            actions: actions.map { Action(kind: $0, position: .none) }, position: .none)
    }
}
