/// The reference of the rule language, written from the tables that the loader runs from.
/// `docs/RULES.md` holds it between two marks; a test holds the two together.
public enum RuleReference {
    public static var markdown: String {
        var out = "### Fields\n\n| field | type | from | what |\n| --- | --- | --- | --- |\n"
        for field in Fields.table {
            let name = field.isFamily ? field.name + "NAME" : field.name
            let later = field.available ? "" : " Not in this version."
            out += "| `\(name)` | \(field.type.noun) | \(field.phase.name) | \(field.doc)\(later) |\n"
        }
        out += "\n### Actions\n\n| action | phases | what |\n| --- | --- | --- |\n"
        for action in Schema.actions {
            let phases = Phase.allCases.filter { action.phases.contains($0) }.map(\.name).joined(separator: ", ")
            let ends = action.isFinal ? " Ends the phase." : ""
            let later = action.available ? "" : " Not in this version."
            out += "| `\(action.name)` | \(phases) | \(action.doc)\(ends)\(later) |\n"
        }
        for object in actionObjects { out += section(object) }
        out += "\n### Keys\n"
        for object in fileObjects { out += section(object) }
        return out
    }

    private static let actionObjects = [
        Schema.respond, Schema.deny, Schema.redirect, Schema.rewrite, Schema.split, Schema.run, Schema.rateLimit,
        Schema.cookie, Schema.retry, Schema.timeout, Schema.compress, Schema.replaceBody, Schema.mirror,
    ]
    private static let fileObjects = [
        Schema.root, Schema.listener, Schema.listenerTLS, Schema.certificate, Schema.clientCertificates, Schema.admin, Schema.adminTLS, Schema.adminClientCertificates, Schema.adminClient, Schema.adminToken, Schema.drain, Schema.tracing, Schema.debug, Schema.accessLog, Schema.redaction,
        Schema.limits, Schema.forwarding, Schema.resolver, Schema.upstream, Schema.upstreamTimeouts, Schema.upstreamTLS, Schema.upstreamServer, Schema.balance,
        Schema.sticky, Schema.health, Schema.ejection, Schema.function, Schema.functionLimits,
        Schema.onError, Schema.site, Schema.rule,
    ] + testObjects
    private static let testObjects = [
        Schema.testFile, Schema.test, Schema.testStep, Schema.testRequest, Schema.testTLS, Schema.testAnswer, Schema.testExpectation,
        Schema.testOriginRequest,
    ]

    private static func section(_ object: SchemaObject) -> String {
        var out = "\n**\(object.title)**\n\n| key | value | what |\n| --- | --- | --- |\n"
        for key in object.keys {
            let notes = (key.required ? " Required." : "") + (key.inert ? " Without effect in this version." : "")
            out += "| `\(key.name)` | \(describe(key.type)) | \(key.doc)\(notes) |\n"
        }
        return out
    }

    private static func describe(_ type: SchemaType) -> String {
        switch type {
        case .text, .string: "text"
        case .name, .title: "name"
        case .integer(let range): range.count == 1 ? "`\(range.lowerBound)`" : "number"
        case .boolean: "`true`, `false`"
        case .size: "size"
        case .time: "time"
        case .percent: "share, `20%`"
        case .choice(let words): words.map { "`\($0)`" }.joined(separator: ", ")
        case .endpoint: "address"
        case .server: "URL"
        case .host: "host"
        case .file: "file"
        case .status: "status"
        case .rate: "rate"
        case .expression: "expression"
        case .template: "text with `${...}`"
        case .header: "header name"
        case .json: "anything"
        case .list(let element): "list: " + describe(element)
        case .oneOrMany(let element): "one or a list: " + describe(element)
        case .named(let element): "map from names: " + describe(element)
        case .headers(let element): "map from header names: " + describe(element)
        case .fields(let element): "map from header names: " + describe(element)
        case .match: "map from fields"
        case .object(let object): object.title
        case .either(let short, let object): describe(short) + ", or " + object.title
        case .actions: "list of actions"
        case .anything: "anything"
        }
    }
}

extension DiagnosticCode {
    /// All codes with their meaning, as a Markdown table.
    public static var markdown: String {
        "| code | | meaning |\n| --- | --- | --- |\n" + allCases.map { "| \($0.rawValue) | \($0.severity.rawValue) | \($0.explanation) |\n" }.joined()
    }
}
