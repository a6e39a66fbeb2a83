/// Reads YAML values by the schema table. Whatever it returns has the type the table says; whatever it
/// cannot read it has reported.
struct SchemaReader {
    let reporter: Reporter
    /// Directory of the file being read: what its paths are relative to.
    let directory: String
    let provider: any FileProvider
    /// Of the rules being read.
    private var phase = Phase.request
    private var site = ""

    init(reporter: Reporter, directory: String, provider: any FileProvider) {
        self.reporter = reporter
        self.directory = directory
        self.provider = provider
    }

    mutating func read(_ node: YAMLNode, _ type: SchemaType) -> Parsed? {
        switch type {
        case .list(let element): return list(node, element)
        case .oneOrMany(let element):
            if case .sequence = node.content { return list(node, element) }
            return read(node, element).map { Parsed(value: .list([$0]), node: node) }
        case .named(let element): return named(node, element) { Names.isName($0) ? nil : (.name, "`\($0)` is not a name") }
        case .headers(let element): return named(node, element) { Names.headerProblem($0) }
        case .fields(let element):
            return named(node, element) { Names.isHeader($0) ? nil : (.header, "`\($0)` is not a header name") }
        case .match: return named(node, .anything) { _ in nil }
        case .object(let schema): return object(node, schema)
        case .either(let short, let schema):
            if case .mapping = node.content { return object(node, schema) }
            return read(node, short)
        case .actions: return actions(node)
        case .json, .anything: return Parsed(value: .node, node: node)
        default:
            guard let text = node.scalar else {
                wrongKind(node, "a single value")
                return nil
            }
            return scalar(text, node, type)
        }
    }

    private func wrongKind(_ node: YAMLNode, _ needed: String) {
        reporter.report(.wrongKind, "expected \(needed), found \(node.kind)", at: node.position)
    }

    // MARK: Lists and maps

    private mutating func list(_ node: YAMLNode, _ element: SchemaType) -> Parsed? {
        guard case .sequence(let nodes) = node.content else {
            wrongKind(node, "a list")
            return nil
        }
        var elements: [Parsed] = []
        for child in nodes where !reporter.isFull {
            if let parsed = read(child, element) { elements.append(parsed) }
        }
        return Parsed(value: .list(elements), node: node)
    }

    private mutating func named(
        _ node: YAMLNode, _ element: SchemaType, check: (String) -> (DiagnosticCode, String)?
    ) -> Parsed? {
        guard case .mapping(let pairs) = node.content else {
            wrongKind(node, "a map")
            return nil
        }
        var entries: [(key: Parsed, value: Parsed)] = []
        for pair in pairs where !reporter.isFull {
            let name = pair.key.scalar ?? ""
            if name.hasPrefix("x-"), case .named = element { continue }
            if let (code, message) = check(name) {
                reporter.report(code, message, at: pair.key.position)
                continue
            }
            if let value = read(pair.value, element) {
                entries.append((Parsed(value: .text(name), node: pair.key), value))
            }
        }
        return Parsed(value: .named(entries), node: node)
    }

    private mutating func object(_ node: YAMLNode, _ schema: SchemaObject) -> Parsed? {
        guard case .mapping(let pairs) = node.content else {
            wrongKind(node, "\(schema.title) (a map)")
            return nil
        }
        let outer = reporter.context
        defer { reporter.context = outer }
        describe(pairs, schema)
        var fields: [String: Parsed] = [:]
        var seen: Set<String> = []
        for pair in pairs where !reporter.isFull {
            let name = pair.key.scalar ?? ""
            guard !name.hasPrefix("x-") else { continue }
            guard let key = schema.key(name) else {
                reporter.report(
                    .unknownKey, "\(schema.title) has no key `\(name)`", at: pair.key.position, wrong: name, known: schema.keys.map(\.name))
                continue
            }
            seen.insert(name)
            if key.inert {
                reporter.report(.keyNotAvailable, "`\(name)` has no effect in this version", at: pair.key.position)
            }
            if schema.title == Schema.site.title, let phase = Phase.allCases.first(where: { $0.name == name }) { self.phase = phase }
            fields[name] = read(pair.value, key.type)
        }
        for key in schema.keys where key.required && !seen.contains(key.name) {
            reporter.report(.missingKey, "\(schema.title) needs the key `\(key.name)`", at: node.position, label: "add `\(key.name):`")
        }
        return Parsed(value: .object(ParsedObject(fields: fields, position: node.position)), node: node)
    }

    /// Sets the context in which diagnostics within a site or rule are reported.
    private mutating func describe(_ pairs: [(key: YAMLNode, value: YAMLNode)], _ schema: SchemaObject) {
        let name = pairs.first { $0.key.scalar == "name" }?.value.scalar
        if schema.title == Schema.site.title {
            site = name ?? "?"
            reporter.context = "site \"\(site)\""
        } else if schema.title == Schema.rule.title {
            let rule = name.map { " \"\($0)\"" } ?? ""
            reporter.context = "site \"\(site)\", \(phase.name) rule\(rule)"
        }
    }

    // MARK: Actions

    private mutating func actions(_ node: YAMLNode) -> Parsed? {
        guard case .sequence(let nodes) = node.content else {
            wrongKind(node, "a list of actions")
            return nil
        }
        var actions: [ParsedAction] = []
        for child in nodes {
            if let action = action(child) { actions.append(action) }
        }
        if nodes.isEmpty { reporter.report(.actionShape, "`do:` names no action", at: node.position) }
        return Parsed(value: .actions(actions), node: node)
    }

    private mutating func action(_ node: YAMLNode) -> ParsedAction? {
        switch node.content {
        case .scalar(let name, _): return action(name, node, nil)
        case .mapping(let pairs):
            if pairs.count == 1, let pair = pairs.first { return action(pair.key.scalar ?? "", pair.key, pair.value) }
            let place = pairs.count > 1 ? pairs[1].key.position : node.position
            reporter.report(.actionShape, "each element of `do:` is one action", at: place, label: "begin a new element with `- `")
        case .sequence: reporter.report(.actionShape, "an action is `name: value`, not a list", at: node.position)
        }
        return nil
    }

    private mutating func action(_ name: String, _ node: YAMLNode, _ argument: YAMLNode?) -> ParsedAction? {
        guard let schema = Schema.action(name) else {
            reporter.report(.unknownAction, "unknown action `\(name)`", at: node.position, wrong: name, known: Schema.actions.map(\.name))
            return nil
        }
        guard schema.available else {
            reporter.report(.actionNotAvailable, "the action `\(name)` is not available in this version", at: node.position)
            return nil
        }
        guard schema.phases.contains(phase) else {
            let places = Phase.allCases.filter { schema.phases.contains($0) }.map { "`\($0.name):`" }.joined(separator: ", ")
            reporter.report(
                .actionPhase, "`\(name)` cannot be used in \(phase.name) rules", at: node.position, label: "it works in \(places)")
            return nil
        }
        guard let type = schema.argument else {
            if let argument, argument.kind != "nothing" {
                reporter.report(.actionShape, "`\(name)` takes no value", at: argument.position)
            }
            return ParsedAction(schema: schema, argument: nil, position: node.position)
        }
        guard let argument else {
            if name == "deny" { return ParsedAction(schema: schema, argument: nil, position: node.position) }
            reporter.report(.actionShape, "`\(name)` needs a value", at: node.position, label: "write `\(name): ...`")
            return nil
        }
        return read(argument, type).map { ParsedAction(schema: schema, argument: $0, position: node.position) }
    }
}
