import Buffers

/// Sites, rules and conditions.
extension ConfigurationBuilder {
    mutating func addSite(_ parsed: Parsed) {
        guard let object = parsed.object, let name = object["name"]?.text else { return }
        reporter.context = "site \"\(name)\""
        defer { reporter.context = "" }
        let before = siteIndex[name].map { configuration.sites[$0].position }
        guard isFirst("site", name, at: object["name"]?.position ?? object.position, before: before) else { return }
        var site = Site(name: name, hosts: hosts(object["hosts"]), position: object.position)
        if let upstream = object["upstream"], let text = upstream.text {
            site.upstream = resolve(text, in: upstreamIndex, "upstream", .unknownUpstream, at: upstream.position)
        }
        if let connect = object["connect"], let text = connect.text {
            site.connect = resolve(text, in: upstreamIndex, "upstream", .unknownUpstream, at: connect.position)
            if let index = site.connect { mayTunnel(configuration.upstreams[index], at: connect.position) }
        }
        site.request = rules(object["request"], .request, name)
        site.response = rules(object["response"], .response, name)
        site.error = rules(object["error"], .error, name)
        siteIndex[name] = configuration.sites.count
        for host in site.hosts { hostOwners[host] = configuration.sites.count }
        configuration.sites.append(site)
        addPart(.site, name, parsed.node)
    }

    /// A tunnel is the whole of a connection.
    private func mayTunnel(_ upstream: Upstream, at position: SourcePosition) {
        guard upstream.wire == .http2 || upstream.servers.contains(where: \.http2) else { return }
        reporter.report(
            .actionShape, "`connect` cannot go to upstream `\(upstream.name)`, which speaks HTTP/2", at: position,
            label: "a tunnel is a connection of its own: an upstream with `http://` or `https://` and without `protocol: http2`")
    }

    private func hosts(_ parsed: Parsed?) -> [HostPattern] {
        var hosts: [HostPattern] = []
        for element in parsed?.list ?? [] {
            guard let host = element.host else { continue }
            if let owner = hostOwners[host].map({ configuration.sites[$0] }) {
                reporter.report(
                    .duplicateHost, "the host `\(element.node.scalar ?? "")` belongs to site \"\(owner.name)\" already", at: element.position,
                    label: "see \(place(owner.position))")
            } else if hosts.contains(host) {
                reporter.report(.duplicateHost, "the host `\(element.node.scalar ?? "")` is named twice", at: element.position)
            } else {
                hosts.append(host)
            }
        }
        return hosts
    }

    private mutating func rules(_ parsed: Parsed?, _ phase: Phase, _ site: String) -> [Rule] {
        let outer = reporter.context
        defer { reporter.context = outer }
        var rules: [Rule] = []
        // Rules whose condition is as its author wrote it; of the others nothing more can be said.
        var understood: [Rule] = []
        var names: [String: SourcePosition] = [:]
        for element in parsed?.list ?? [] {
            guard !reporter.isFull else { break }
            guard let object = element.object else { continue }
            let title = object["name"]?.text
            let name = title ?? Self.fileName(place(object.position))
            reporter.context = "\(outer), \(phase.name) rule" + (title.map { " \"\($0)\"" } ?? "")
            if let title, !isFirst("rule", title, at: object["name"]?.position ?? object.position, before: names[title]) { continue }
            names[name] = object.position
            let errors = reporter.errorCount
            var condition: [Condition] = []
            if let match = object["match"] { condition += self.match(match, phase) }
            if let when = object["when"], let text = when.text, let root = expression(text, when.node, phase) { condition.append(root) }
            let whole = condition.isEmpty ? nil : Expression(root: condition.count == 1 ? condition[0] : .and(condition))
            let isUnderstood = reporter.errorCount == errors
            let captures = whole.map { Self.groups($0.root) } ?? []
            var actions = ActionBuilder(builder: self, phase: phase, captures: captures).build(object["do"]?.actions ?? [])
            if object["do"] == nil { actions = [] }
            rules.append(Rule(
                id: "\(site)/\(name)", name: name, shadow: object["mode"]?.text == "shadow", condition: whole, actions: actions,
                position: object.position))
            if isUnderstood, let rule = rules.last { understood.append(rule) }
            addPart(.rule, "\(site)/\(name)", element.node, group: "\(site), \(phase.name) rules")
        }
        reporter.context = outer
        Lint.unreachable(understood, phase, reporter)
        return rules
    }

    private static func fileName(_ place: String) -> String { Paths.split(place).name }

    private func expression(_ text: String, _ node: YAMLNode, _ phase: Phase) -> Condition? {
        var parser = ExpressionParser(phase: phase, lists: lists)
        let root = parser.parse(text)
        reporter.report(parser.problems, in: node, context: "in `when`")
        for name in parser.usedLists { reporter.mention("list", name) }
        return root
    }

    /// Names of the groups of a condition's patterns.
    private static func groups(_ condition: Condition) -> Set<String> {
        switch condition {
        case .and(let parts), .or(let parts): return parts.reduce(into: []) { $0.formUnion(groups($1)) }
        case .not(let inner): return groups(inner)
        case .compare(let comparison):
            guard case .pattern(let text) = comparison.right else { return [] }
            return PatternGroups.names(text)
        default: return []
        }
    }

    // MARK: match

    /// Each key is a field, each value what it must equal; `*` in a value is a wildcard, a list means any of it.
    private func match(_ parsed: Parsed, _ phase: Phase) -> [Condition] {
        var conditions: [Condition] = []
        for entry in parsed.named {
            let name = entry.key.text ?? ""
            let range = 0..<name.unicodeScalars.count
            guard let (info, member) = Fields.find(name) else {
                var parser = ExpressionParser(phase: phase, lists: lists)
                _ = parser.parse("exists(\(name))")
                let problem = parser.problems.first { $0.code == .unknownField }
                reporter.report(
                    .unknownField, "unknown field `\(name)`", at: entry.key.position, label: problem?.label ?? "",
                    suggestion: problem?.suggestion, context: "in `match`")
                continue
            }
            if let problem = ExpressionParser.availability(info, name, phase, range) {
                reporter.report([problem], in: entry.key.node)
                continue
            }
            let use = FieldUse(id: info.id, name: member, type: info.type, written: name)
            let values: [YAMLNode] = if case .sequence(let nodes) = entry.value.node.content { nodes } else { [entry.value.node] }
            let parts = values.compactMap { equality(use, $0) }
            if parts.count == values.count, !parts.isEmpty { conditions.append(parts.count == 1 ? parts[0] : .or(parts)) }
        }
        return conditions
    }

    private func equality(_ use: FieldUse, _ node: YAMLNode) -> Condition? {
        guard let text = node.scalar else {
            reporter.report(.wrongKind, "expected a single value or a list, found \(node.kind)", at: node.position)
            return nil
        }
        switch use.type {
        case .text:
            let operation: Comparison.Operator = text.contains("*") ? .like : .equal
            return .compare(Comparison(left: use, operation: operation, right: .text(Array(text.utf8))))
        case .integer:
            if let number = Units.integer(text) { return .compare(Comparison(left: use, operation: .equal, right: .integer(number))) }
        case .boolean:
            if text == "true" || text == "false" { return .compare(Comparison(left: use, operation: .equal, right: .boolean(text == "true"))) }
        case .address:
            if let range = AddressRange(text) { return .compare(Comparison(left: use, operation: .isIn, right: .addresses([range]))) }
        }
        reporter.report(.typeMismatch, "`\(use.written)` is \(use.type.described)", at: node.position, context: "in `match`")
        return nil
    }
}
