/// The actions of rules.
extension Schema {
    private static let everywhere: Set<Phase> = [.request, .response, .error]

    static let actions: [ActionSchema] = basic + traffic + bodies + origins

    private static let basic: [ActionSchema] = [
        ActionSchema(name: "route", argument: .name, phases: [.request], doc: "Choose the upstream."),
        ActionSchema(name: "split", argument: .object(split), phases: [.request], doc: "Choose an upstream by weight."),
        ActionSchema(
            name: "respond", argument: .object(respond), phases: everywhere, doc: "Answer now, without the origin.", isFinal: true),
        ActionSchema(
            name: "deny", argument: .either(.status(400...599), deny), phases: everywhere, doc: "Answer with an error status (403).", isFinal: true),
        ActionSchema(name: "drop", argument: nil, phases: everywhere, doc: "Close the connection without an answer.", isFinal: true),
        ActionSchema(
            name: "redirect", argument: .either(.template, redirect), phases: everywhere, doc: "Send the client elsewhere (302).", isFinal: true),
        ActionSchema(name: "rewrite", argument: .either(.template, rewrite), phases: [.request], doc: "Change path or query for the origin and for later rules."),
        ActionSchema(name: "set_header", argument: .headers(.template), phases: everywhere, doc: "Replace header fields: of the request in request rules, else of the response."),
        ActionSchema(name: "add_header", argument: .headers(.oneOrMany(.template)), phases: everywhere, doc: "Append header fields."),
        ActionSchema(name: "remove_header", argument: .oneOrMany(.header), phases: everywhere, doc: "Delete header fields."),
        ActionSchema(name: "set_status", argument: .status(200...599), phases: [.response], doc: "Change the response's status."),
        ActionSchema(name: "set_var", argument: .named(.template), phases: everywhere, doc: "Set variables, read as `vars.NAME`."),
        ActionSchema(name: "log", argument: .template, phases: everywhere, doc: "Write a line to the log."),
        ActionSchema(name: "run", argument: .either(.name, run), phases: everywhere, doc: "Call a hook function."),
        ActionSchema(name: "stop", argument: nil, phases: everywhere, doc: "End this phase.", isFinal: true),
    ]

    static func action(_ name: String) -> ActionSchema? { actions.first { $0.name == name } }

    static let respond = SchemaObject(title: "`respond`", keys: [
        SchemaKey("status", .status(200...599), "Default 200."),
        SchemaKey("headers", .headers(.template), "Fields of the answer."),
        SchemaKey("body", .template, "Text of the answer."),
        SchemaKey("json", .json, "JSON of the answer; strings may have `${...}`."),
        SchemaKey("file", .file(mustExist: true), "File with the body, at most 1 MiB, read at load."),
    ])

    static let split = SchemaObject(title: "`split`", keys: [
        SchemaKey("key", .text(maximum: 256), "Field whose value decides, so that a client stays where it is. Default, and when missing: by request."),
        SchemaKey("to", .named(.integer(0...1_000_000)), required: true, "Weight of each upstream."),
    ])

    static let deny = SchemaObject(title: "`deny`", keys: [
        SchemaKey("status", .status(400...599), "Default 403."),
    ])

    static let redirect = SchemaObject(title: "`redirect`", keys: [
        SchemaKey("to", .template, required: true, "Where to."),
        SchemaKey("status", .status(300...399), "301, 302 (default), 303, 307 or 308."),
    ])

    static let rewrite = SchemaObject(title: "`rewrite`", keys: [
        SchemaKey("path", .template, "New path."),
        SchemaKey("query", .template, "New query, without `?`; empty removes it."),
    ])

    static let run = SchemaObject(title: "`run`", keys: [
        SchemaKey("function", .name, required: true, "Name of the function."),
        SchemaKey("args", .json, "Arguments, as `ctx.args`; at most 100 KiB."),
    ])
}
