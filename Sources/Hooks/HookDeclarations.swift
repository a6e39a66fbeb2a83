/// The types of what hooks are given, as TypeScript declarations.
public enum HookDeclarations {
    /// The same for every rule file. `Prelude/types.d.ts`.
    public static var text: String { EmbeddedText.files.first { "\($0.name)" == "types.d" }?.text ?? "" }

    /// A function as its rule file makes it.
    public struct Function: Sendable {
        public var name: String
        /// file:line
        public var place: String
        /// Names in `env` with their types, in the order they shall have.
        public var environment: [(name: String, type: String)]
        /// The `args:` of its uses, as JSON.
        public var arguments: [String]

        public init(name: String, place: String, environment: [(name: String, type: String)], arguments: [String]) {
            self.name = name
            self.place = place
            self.environment = environment
            self.arguments = arguments
        }
    }

    /// The declarations with exactly what these functions are granted: `Sluice.Hook<"NAME">` is the type of a module's
    /// default export.
    public static func text(for functions: [Function]) -> String {
        var out = text.trimmingLineEnds + "\n\n"
        out += "// What the functions of this rule file are granted.\ndeclare namespace Sluice {\n"
        out += "  interface Functions {\n"
        for function in functions {
            out += "    /** \(function.place) */\n    \(jsonText(function.name)): {\n"
            out += "      env: {\(function.environment.isEmpty ? "" : " ")\(function.environment.map { "readonly \(jsonText($0.name)): \($0.type);" }.joined(separator: " "))\(function.environment.isEmpty ? "" : " ")};\n"
            out += "      args: \(argumentType(function.arguments));\n    };\n"
        }
        out += """
              }
              type Env<Name extends keyof Functions> = Functions[Name]["env"];
              type Args<Name extends keyof Functions> = Functions[Name]["args"];
              /** The default export of a function's module, for instance `/** @type {Sluice.Hook<"NAME">} *\\/`. */
              type Hook<Name extends keyof Functions> = Handlers<Env<Name>, Args<Name>>;
            }

            """
        return out
    }

    /// One type for all arguments a function is run with. Without any it is an empty object.
    static func argumentType(_ texts: [String]) -> String {
        var types: [String] = []
        for text in texts.isEmpty ? ["{}"] : texts {
            var reader = TypeReader(text)
            let type = reader.type() ?? "any"
            if !types.contains(type) { types.append(type) }
        }
        return types.joined(separator: " | ")
    }
}

/// Reads JSON that is known to be good, as the type of its value.
private struct TypeReader {
    private var rest: Substring
    init(_ text: String) { rest = text[...] }

    private mutating func skip() { rest = rest.drop { $0.isWhitespace } }

    private mutating func eat(_ character: Character) -> Bool {
        skip()
        guard rest.first == character else { return false }
        rest.removeFirst()
        return true
    }

    mutating func type() -> String? {
        skip()
        switch rest.first {
        case "{": return object()
        case "[": return array()
        case "\"": return string() == nil ? nil : "string"
        case "t", "f":
            rest = rest.drop { $0.isLetter }
            return "boolean"
        case "n":
            rest = rest.drop { $0.isLetter }
            return "null"
        case let first? where first == "-" || first.isNumber:
            rest = rest.drop { $0.isNumber || "+-.eE".contains($0) }
            return "number"
        default: return nil
        }
    }

    private mutating func object() -> String? {
        guard eat("{") else { return nil }
        if eat("}") { return "{}" }
        var members: [String] = []
        repeat {
            skip()
            guard let name = string(), eat(":"), let type = type() else { return nil }
            members.append("readonly \(name): \(type)")
        } while eat(",")
        return eat("}") ? "{ \(members.joined(separator: "; ")) }" : nil
    }

    private mutating func array() -> String? {
        guard eat("[") else { return nil }
        if eat("]") { return "readonly never[]" }
        var types: [String] = []
        repeat {
            guard let type = type() else { return nil }
            if !types.contains(type) { types.append(type) }
        } while eat(",")
        guard eat("]") else { return nil }
        return types.count == 1 && !types[0].contains(" ") ? "readonly \(types[0])[]" : "readonly (\(types.joined(separator: " | ")))[]"
    }

    /// A string with its quotes, as it stands: JSON's escapes are TypeScript's.
    private mutating func string() -> String? {
        guard rest.first == "\"" else { return nil }
        var index = rest.index(after: rest.startIndex)
        while index < rest.endIndex, rest[index] != "\"" {
            if rest[index] == "\\" { index = rest.index(after: index) }
            guard index < rest.endIndex else { return nil }
            index = rest.index(after: index)
        }
        guard index < rest.endIndex else { return nil }
        let end = rest.index(after: index)
        defer { rest = rest[end...] }
        return String(rest[..<end])
    }
}

extension String {
    fileprivate var trimmingLineEnds: String {
        var text = self
        while text.last == "\n" { text.removeLast() }
        return text
    }
}
