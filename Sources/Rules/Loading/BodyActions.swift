import Codings

/// Actions that change or copy bodies.
extension Schema {
    static let bodies: [ActionSchema] = [
        ActionSchema(
            name: "compress", argument: .either(.oneOrMany(.choice(codings)), compress), phases: [.response],
            doc: "Compress the answer if the client takes it and it is worth it."),
        ActionSchema(
            name: "replace_body", argument: .oneOrMany(.object(replaceBody)), phases: [.response],
            doc: "Replace text in the answer's body, while it streams."),
        ActionSchema(
            name: "mirror", argument: .either(.name, mirror), phases: [.request],
            doc: "Send a copy of the request to another upstream; its answer is dropped."),
    ]

    static let codings = ["zstd", "br", "gzip"]

    static let compress = SchemaObject(title: "`compress`", keys: [
        SchemaKey("codings", .oneOrMany(.choice(codings)), "What to offer; the earlier one of those a client likes equally. Default zstd, br, gzip."),
        SchemaKey("min_size", .size, "Smaller bodies go as they are. Default 256B."),
        SchemaKey("types", .oneOrMany(.text(maximum: 128)), "Content types, `text/*` or `*` too. Default: what shrinks, such as text, JSON, JavaScript, XML, SVG, WebAssembly."),
    ])

    static let replaceBody = SchemaObject(title: "`replace_body`", keys: [
        SchemaKey("find", .template, required: true, "Text to look for, 1 to 1024 bytes, as it stands: no pattern, no `${...}`."),
        SchemaKey("with", .template, required: true, "What to put in its place. Values of `${...}` are escaped for HTML, XML or JSON by the answer's type."),
    ])

    static let mirror = SchemaObject(title: "`mirror`", keys: [
        SchemaKey("to", .name, required: true, "The upstream."),
        SchemaKey("percent", .integer(1...100), "How many of the requests. Default 100."),
    ])
}

extension ActionBuilder {
    func compress(_ argument: Parsed?) -> Action.Kind? {
        guard let argument else { return nil }
        let object = argument.object
        let written = (object?["codings"] ?? (object == nil ? argument : nil))?.list.compactMap(\.text) ?? Schema.codings
        let codings = written.compactMap { ContentCoding(Array($0.utf8).span) }
        let types = object?["types"]?.list ?? []
        for type in types where !Self.isMediaType(type.text ?? "") {
            reporter.report(.text, "`\(type.text ?? "")` is not a content type", at: type.position, label: "for example `text/html`, `text/*` or `*`")
        }
        return .compress(CompressSettings(
            codings: codings, minimum: object?["min_size"]?.integer ?? 256,
            types: types.isEmpty ? .compressible : MediaTypes(types.compactMap(\.text))))
    }

    private static func isMediaType(_ text: String) -> Bool {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        return text == "*" || parts.count == 2 && parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy { Names.isTokenByte($0) } }
    }

    func replacements(_ argument: Parsed?) -> Action.Kind? {
        let elements = argument?.list ?? []
        if elements.count > SearchTexts.mostTexts {
            reporter.report(.tooLarge, "`replace_body` takes at most \(SearchTexts.mostTexts) texts", at: elements[0].position)
        }
        let pairs = elements.compactMap { element -> Replacement? in
            guard let object = element.object, let find = object["find"], let with = object["with"] else { return nil }
            let text = template(find)
            guard let constant = text.constant, (1...SearchTexts.longestText).contains(constant.count) else {
                reporter.report(
                    .text, "`find` is a text of 1 to \(SearchTexts.longestText) bytes without `${...}`", at: find.position)
                return nil
            }
            return Replacement(find: constant, with: template(with))
        }
        return pairs.isEmpty ? nil : .replaceBody(pairs)
    }

    func mirror(_ argument: Parsed?) -> Action.Kind? {
        guard let name = argument?.object?["to"] ?? argument, let index = upstream(name) else { return nil }
        return .mirror(upstream: index, percent: argument?.object?["percent"]?.integer ?? 100)
    }
}
