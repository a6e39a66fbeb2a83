import Patterns

/// Names and numbers of the groups of a pattern that is known to be valid; 0 is the whole match.
enum PatternGroups {
    static func names(_ pattern: String) -> Set<String> {
        let names = (try? Pattern(pattern))?.groupNames ?? []
        return Set(names.filter { !$0.isEmpty } + (0...names.count).map { String($0) })
    }
}

/// Makes actions from what the schema accepted.
struct ActionBuilder {
    let builder: ConfigurationBuilder
    let phase: Phase
    let captures: Set<String>
    var reporter: Reporter { builder.reporter }

    init(builder: ConfigurationBuilder, phase: Phase, captures: Set<String>) {
        self.builder = builder
        self.phase = phase
        self.captures = captures
    }

    func build(_ parsed: [ParsedAction]) -> [Action] {
        var actions: [Action] = []
        for (index, action) in parsed.enumerated() {
            actions += kinds(action).map { Action(kind: $0, position: action.position) }
            if action.schema.isFinal, index + 1 < parsed.count {
                let next = parsed[index + 1]
                reporter.report(
                    .afterFinal, "`\(next.schema.name)` after `\(action.schema.name)` never happens", at: next.position,
                    label: "`\(action.schema.name)` ends the phase")
                break
            }
        }
        return actions
    }

    private func kinds(_ action: ParsedAction) -> [Action.Kind] {
        let argument = action.argument
        switch action.schema.name {
        case "stop": return [.stop]
        case "drop": return [.drop]
        case "set_header": return headers(argument) { .setHeader(name: $0, value: $1) }
        case "add_header": return headers(argument) { .addHeader(name: $0, value: $1) }
        case "remove_header": return removals(argument)
        case "set_cookie": return (argument?.list ?? []).compactMap { $0.object.flatMap { cookie($0) }.map { .setCookie($0) } }
        case "remove_cookie": return (argument?.list ?? []).compactMap { cookieName($0).map { .removeCookie(name: $0) } }
        case "set_var":
            return (argument?.named ?? []).map { .setVariable(name: $0.key.text ?? "", value: template($0.value)) }
        default: return single(action.schema.name, argument, action).map { [$0] } ?? []
        }
    }

    private func single(_ name: String, _ argument: Parsed?, _ action: ParsedAction) -> Action.Kind? {
        switch name {
        case "route": return argument.flatMap { upstream($0) }.map { .route($0) }
        case "split": return argument?.object.flatMap { split($0, action) }
        case "deny": return .deny(status: UInt16(argument?.integer ?? argument?.object?["status"]?.integer ?? 403))
        case "set_status": return argument?.integer.map { .setStatus(UInt16($0)) }
        case "log": return argument.map { .log(template($0)) }
        case "redirect": return redirect(argument, action)
        case "rewrite": return rewrite(argument, action)
        case "respond": return argument?.object.map { .respond(respond($0, action)) }
        case "run": return run(argument)
        case "rate_limit": return argument?.object.flatMap { rateLimit($0) }
        case "retry": return argument?.object.map { .retry(OriginSettings(reporter: reporter).retry($0)) }
        case "timeout": return argument.map { .timeout(OriginSettings(reporter: reporter).times($0)) }
        case "compress": return compress(argument)
        case "replace_body": return replacements(argument)
        case "mirror": return mirror(argument)
        case "limit_body": return argument?.integer.map { .limitBody($0) }
        default: return nil
        }
    }

    func upstream(_ parsed: Parsed) -> Int? {
        parsed.text.flatMap { builder.resolve($0, in: builder.upstreamIndex, "upstream", .unknownUpstream, at: parsed.position) }
    }

    private func split(_ object: ParsedObject, _ action: ParsedAction) -> Action.Kind? {
        var targets: [Action.WeightedUpstream] = []
        for entry in object["to"]?.named ?? [] {
            guard let weight = entry.value.integer, let index = upstream(entry.key) else { return nil }
            targets.append(Action.WeightedUpstream(upstream: index, weight: weight))
        }
        if object["to"] != nil, !targets.contains(where: { $0.weight > 0 }) {
            reporter.report(.integer, "`split` needs a weight above 0", at: action.position)
        }
        guard let key = object["key"] else { return .split(key: nil, to: targets) }
        return field(key).map { .split(key: $0, to: targets) }
    }

    private func run(_ argument: Parsed?) -> Action.Kind? {
        guard let name = argument?.object?["function"] ?? argument, let text = name.text,
            let function = builder.resolve(text, in: builder.functionIndex, "function", .unknownHook, at: name.position)
        else { return nil }
        guard let args = argument?.object?["args"] else { return .run(function: function, arguments: []) }
        let json = JSONValue.text(args.node)
        if json.count > 100 << 10 { reporter.report(.tooLarge, "`args` is larger than 100 KiB", at: args.position) }
        return .run(function: function, arguments: json)
    }

    // MARK: Templates

    func template(_ parsed: Parsed) -> Template { template(parsed.text ?? "", parsed.node) }

    func template(_ text: String, _ node: YAMLNode) -> Template {
        var parser = TemplateParser(phase: phase, captures: captures)
        let template = parser.parse(text)
        reporter.report(parser.problems, in: node)
        return template
    }

    /// A field value: no control characters in what the author wrote.
    func fieldValue(_ parsed: Parsed) -> Template {
        let template = template(parsed)
        for case .literal(let bytes) in template.pieces where bytes.contains(where: { $0 < 0x20 && $0 != 9 || $0 == 0x7f }) {
            reporter.report(.header, "a header value cannot have line breaks or control characters", at: parsed.position)
            return Template(literal: "")
        }
        return template
    }

    private func headers(_ argument: Parsed?, _ make: (String, Template) -> Action.Kind) -> [Action.Kind] {
        (argument?.named ?? []).flatMap { entry in
            let values = entry.value.list.isEmpty ? [entry.value] : entry.value.list
            return values.map { make(entry.key.text ?? "", fieldValue($0)) }
        }
    }

    private func removals(_ argument: Parsed?) -> [Action.Kind] {
        (argument?.list ?? []).compactMap { element in
            guard let name = element.text else { return nil }
            if name.lowercased() == "host", phase == .request {
                reporter.report(.protectedHeader, "a request needs its `Host`", at: element.position, label: "use `set_header` to change it")
                return nil
            }
            return .removeHeader(name: name)
        }
    }

    // MARK: Redirect and rewrite

    private func redirect(_ argument: Parsed?, _ action: ParsedAction) -> Action.Kind? {
        guard let argument, let target = argument.object?["to"] ?? (argument.text == nil ? nil : argument) else { return nil }
        let status = argument.object?["status"]
        let number = status?.integer ?? 302
        if ![301, 302, 303, 307, 308].contains(number) {
            reporter.report(.status, "\(number) does not redirect", at: status?.position ?? action.position, label: "301, 302, 303, 307 or 308")
        }
        let to = fieldValue(target)
        if case .literal(let bytes)? = to.pieces.first, !Self.isTarget(bytes) {
            reporter.report(.url, "a redirect goes to `/path` or `https://host/path`", at: target.position)
        }
        return .redirect(to: to, status: UInt16(number))
    }

    private static func isTarget(_ bytes: [UInt8]) -> Bool {
        let text = String(decoding: bytes, as: UTF8.self)
        return text.hasPrefix("/") || text.hasPrefix("http://") || text.hasPrefix("https://") || text.hasPrefix("?") || text.hasPrefix("#")
    }

    private func rewrite(_ argument: Parsed?, _ action: ParsedAction) -> Action.Kind? {
        let short = argument?.text == nil ? nil : argument
        let path = argument?.object?["path"] ?? short
        let query = argument?.object?["query"]
        if path == nil, query == nil {
            reporter.report(.missingKey, "`rewrite` needs `path` or `query`", at: action.position)
            return nil
        }
        return .rewrite(path: path.map { pathTemplate($0) }, query: query.map { fieldValue($0) })
    }

    private func pathTemplate(_ parsed: Parsed) -> Template {
        let template = fieldValue(parsed)
        for case .literal(let bytes) in template.pieces {
            if bytes.contains(where: { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }) {
                reporter.report(.text, "a path has no `?` and no `#`", at: parsed.position, label: "write `rewrite: {path: ..., query: ...}`")
            } else if bytes.contains(where: { $0 <= 0x20 || $0 >= 0x7f }) {
                reporter.report(.text, "a path is percent-encoded ASCII without spaces", at: parsed.position)
            }
        }
        if case .literal(let bytes)? = template.pieces.first, bytes.first != UInt8(ascii: "/") {
            reporter.report(.text, "a path begins with `/`", at: parsed.position)
        }
        return template
    }

    // MARK: Respond

    private func respond(_ object: ParsedObject, _ action: ParsedAction) -> Action.Response {
        var response = Action.Response(status: UInt16(object["status"]?.integer ?? 200), headers: [], body: nil)
        for entry in object["headers"]?.named ?? [] { response.headers.append((entry.key.text ?? "", fieldValue(entry.value))) }
        let bodies = ["body", "json", "file"].filter { object[$0] != nil }
        if bodies.count > 1 {
            reporter.report(.actionShape, "`respond` has one of `body`, `json` and `file`", at: object.position)
        }
        var type = ""
        if let body = object["body"] {
            response.body = template(body)
            type = "text/plain; charset=utf-8"
        } else if let json = object["json"] {
            response.body = JSONValue.template(json.node) { template($0, $1) }
            response.isJSON = true
            type = "application/json"
        } else if let file = object["file"], let path = file.text {
            response.body = contents(path, file.position)
            type = MediaType.of(path)
        }
        if !type.isEmpty, !response.headers.contains(where: { $0.name.lowercased() == "content-type" }) {
            response.headers.append(("Content-Type", Template(literal: type)))
        }
        if response.status == 204 || response.status == 304, response.body != nil {
            reporter.report(.status, "an answer with status \(response.status) has no body", at: object.position)
        }
        return response
    }

    private func contents(_ path: String, _ position: SourcePosition) -> Template {
        do {
            let bytes = try builder.provider.read(path, limit: 1 << 20)
            return Template(bytes.isEmpty ? [] : [.literal(bytes)])
        } catch {
            let why = if case .unreadable(let why) = error { why } else { "it does not exist" }
            reporter.report(.fileUnreadable, "the file `\(path)` cannot be read: \(why)", at: position)
            return Template([])
        }
    }
}

/// Content-Type by the end of a file's name.
enum MediaType {
    static func of(_ path: String) -> String {
        let name = Paths.split(path).name.lowercased()
        let types = [
            ".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".txt": "text/plain; charset=utf-8",
            ".json": "application/json", ".xml": "application/xml", ".css": "text/css; charset=utf-8",
            ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon",
        ]
        return types.first { name.hasSuffix($0.key) }?.value ?? "application/octet-stream"
    }
}
