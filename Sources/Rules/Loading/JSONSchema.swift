/// The rule language as JSON Schema (draft 7, which editors know best), written from the table that the loader runs from.
///
/// Editors read YAML with a resolver of their own: `yes`, `1.2` and `0777` are no texts to them. So wherever the loader
/// takes text, the schema takes numbers and booleans as well.
public enum RuleSchema {
    public static let identifier = "https://sluice.dev/schema/rules-1.json"

    /// For rule files, and for test files with `config:`.
    public static var json: String {
        var writer = SchemaWriter()
        let rules = writer.reference(to: Schema.root, nil)
        let tests = writer.reference(to: Schema.testFile, nil)
        let whole = SchemaText.object([
            ("$schema", .string("http://json-schema.org/draft-07/schema#")), ("$id", .string(identifier)),
            ("title", .string("Sluice rule file")),
            ("if", .object([("required", .array([.string("config")]))])), ("then", tests), ("else", rules),
            ("definitions", .object(writer.definitions.sorted { $0.name < $1.name }.map { ($0.name, $0.schema) })),
        ])
        return whole.text("") + "\n"
    }
}

/// A small document model: order matters to readers.
indirect enum SchemaText {
    case string(String)
    case raw(String)
    case array([SchemaText])
    case object([(String, SchemaText)])

    static func integer(_ number: Int) -> SchemaText { .raw(String(number)) }

    func text(_ margin: String) -> String {
        switch self {
        case .string(let text): return JSONText.quoted(text)
        case .raw(let text): return text
        case .array(let elements):
            let parts = elements.map { $0.text(margin + "  ") }
            let line = "[" + parts.joined(separator: ", ") + "]"
            guard line.utf8.count > 100 || line.contains("\n") else { return line }
            return "[\n" + parts.map { "\(margin)  \($0)" }.joined(separator: ",\n") + "\n\(margin)]"
        case .object(let members):
            guard !members.isEmpty else { return "{}" }
            let parts = members.map { "\(JSONText.quoted($0.0)): \($0.1.text(margin + "  "))" }
            let line = "{" + parts.joined(separator: ", ") + "}"
            guard line.utf8.count > 100 || line.contains("\n") else { return line }
            return "{\n" + parts.map { "\(margin)  \($0)" }.joined(separator: ",\n") + "\n\(margin)}"
        }
    }
}

private struct SchemaWriter {
    private(set) var definitions: [(name: String, schema: SchemaText)] = []

    /// Rules are the same but for the actions that their phase allows: each phase has its own definition.
    mutating func reference(to object: SchemaObject, _ phase: Phase?) -> SchemaText {
        let name = Self.slug(object.title) + (phase.map { "-\($0.name)" } ?? "")
        if !definitions.contains(where: { $0.name == name }) {
            definitions.append((name, .raw("null")))
            let schema = schema(of: object, phase)
            if let index = definitions.firstIndex(where: { $0.name == name }) { definitions[index].schema = schema }
        }
        return .object([("$ref", .string("#/definitions/\(name)"))])
    }

    private static func slug(_ title: String) -> String {
        var words = title.filter { $0.isLetter || $0.isNumber || $0 == " " || $0 == "_" }.split(separator: " ")
        if let first = words.first, ["a", "an"].contains(first), words.count > 1 { words.removeFirst() }
        return words.joined(separator: "-")
    }

    private mutating func schema(of object: SchemaObject, _ phase: Phase?) -> SchemaText {
        var properties: [(String, SchemaText)] = []
        for key in object.keys {
            let inner = object.title == Schema.site.title ? Phase.allCases.first { $0.name == key.name } : phase
            properties.append((key.name, documented(type(key.type, inner), key.doc)))
        }
        var members: [(String, SchemaText)] = [
            ("type", .string("object")), ("properties", .object(properties)),
            ("patternProperties", .object([("^x-", .raw("true"))])), ("additionalProperties", .raw("false")),
        ]
        let required = object.keys.filter(\.required).map { SchemaText.string($0.name) }
        if !required.isEmpty { members.append(("required", .array(required))) }
        return .object(members)
    }

    private func documented(_ schema: SchemaText, _ doc: String) -> SchemaText {
        guard case .object(let members) = schema else { return schema }
        // Beside a `$ref` draft 7 ignores everything else.
        if let first = members.first, first.0 == "$ref" {
            return .object([("description", .string(doc)), ("allOf", .array([schema]))])
        }
        return .object([("description", .string(doc))] + members)
    }

    // MARK: Types

    private mutating func type(_ type: SchemaType, _ phase: Phase?) -> SchemaText {
        switch type {
        case .list(let element): return list(self.type(element, phase))
        case .oneOrMany(let element):
            let one = self.type(element, phase)
            return anyOf([one, list(one)])
        case .named(let element): return map(self.type(element, phase), names: "^[A-Za-z0-9_.-]{1,64}$")
        case .headers(let element), .fields(let element):
            return map(self.type(element, phase), names: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$")
        case .match: return .object([("type", .string("object"))])
        case .object(let object): return reference(to: object, phase)
        case .either(let short, let object): return anyOf([self.type(short, phase), reference(to: object, phase)])
        case .actions: return actions(phase ?? .request)
        case .json, .anything: return .object([])
        default: return scalar(type)
        }
    }

    private func anyOf(_ schemas: [SchemaText]) -> SchemaText { .object([("anyOf", .array(schemas))]) }

    private func list(_ element: SchemaText) -> SchemaText { .object([("type", .string("array")), ("items", element)]) }

    private func map(_ value: SchemaText, names: String) -> SchemaText {
        .object([
            ("type", .string("object")), ("propertyNames", .object([("pattern", .string(names))])), ("additionalProperties", value),
        ])
    }

    private func scalar(_ type: SchemaType) -> SchemaText {
        switch type {
        case .integer(let range), .status(let range):
            return .object([("type", .string("integer")), ("minimum", .integer(range.lowerBound)), ("maximum", .integer(range.upperBound))])
        case .boolean: return .object([("type", .string("boolean"))])
        case .size: return pattern("^(0|[1-9][0-9]*) *(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$", "64KiB")
        case .time: return pattern("^(0|[1-9][0-9]*) *(ms|s|m|h|d)$", "500ms")
        case .rate: return pattern("^[1-9][0-9]*/.+$", "100/s")
        case .choice(let words): return choice(words)
        case .endpoint: return pattern("^(unix:.+|.*:[0-9]+)$", "0.0.0.0:443")
        case .server: return pattern("^[a-z0-9]+://[^/?#@]+/?$", "http://127.0.0.1:8080")
        case .host: return pattern("^(\\*|(\\*\\.)?[A-Za-z0-9_.:\\[\\]-]+)$", "shop.example.com")
        case .header: return pattern("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$", "X-Name")
        case .text, .name, .title, .file: return text(minimum: 1)
        default: return text(minimum: 0)
        }
    }

    private func text(minimum: Int) -> SchemaText {
        let types = SchemaText.array(["string", "number", "boolean"].map { .string($0) })
        return .object([("type", types)] + (minimum > 0 ? [("minLength", .integer(minimum))] : []))
    }

    private func pattern(_ pattern: String, _ example: String) -> SchemaText {
        .object([("type", .string("string")), ("pattern", .string(pattern)), ("examples", .array([.string(example)]))])
    }

    /// `1.2` without quotes is a number to an editor.
    private func choice(_ words: [String]) -> SchemaText {
        var values: [SchemaText] = words.map { .string($0) }
        for word in words where JSONValue.literal(word) != nil { values.append(.raw(word)) }
        return .object([("enum", .array(values))])
    }

    // MARK: Actions

    private mutating func actions(_ phase: Phase) -> SchemaText {
        let name = "actions-\(phase.name)"
        if !definitions.contains(where: { $0.name == name }) {
            definitions.append((name, .raw("null")))
            let usable = Schema.actions.filter { $0.available && $0.phases.contains(phase) }
            let words = usable.filter { $0.argument == nil || $0.name == "deny" }.map { SchemaText.string($0.name) }
            var properties: [(String, SchemaText)] = []
            for action in usable {
                let argument = action.argument.map { type($0, phase) } ?? .object([("type", .string("null"))])
                properties.append((action.name, documented(argument, action.doc)))
            }
            let long = SchemaText.object([
                ("type", .string("object")), ("properties", .object(properties)), ("additionalProperties", .raw("false")),
                ("minProperties", .integer(1)), ("maxProperties", .integer(1)),
            ])
            let element = anyOf([.object([("enum", .array(words))]), long])
            let schema = SchemaText.object([("type", .string("array")), ("minItems", .integer(1)), ("items", element)])
            if let index = definitions.firstIndex(where: { $0.name == name }) { definitions[index].schema = schema }
        }
        return .object([("$ref", .string("#/definitions/\(name)"))])
    }
}
