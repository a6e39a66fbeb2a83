extension RuleTrace {
    /// The whole trace for people, indented.
    public var text: String {
        var out = ""
        for event in events {
            switch event {
            case .phase(let phase): out += "\n\(phase.name) rules\n"
            case .note(let text, let changes): out += "    = \(text)\n" + changes.map { "      \($0)\n" }.joined()
            case .rule(let id, let place, let matched, let shadow, let condition, let changes):
                out += "  \(matched ? "+" : "-") \(id)\(shadow ? " (shadow: nothing is done)" : "")  \(place)\n"
                if let condition { out += Self.text(condition, "      ") } else { out += "      always\n" }
                out += changes.map { "    => \($0)\n" }.joined()
            }
        }
        return out
    }

    private static func text(_ condition: TracedCondition, _ margin: String) -> String {
        var line = "\(margin)\(condition.isTrue ? "yes" : "no ")  \(condition.text)"
        if let found = condition.found { line += "   it is \(JSONText.quoted(String(found.prefix(200))))" }
        if condition.isMissing { line += "   it is missing" }
        return line + "\n" + condition.parts.map { text($0, margin + "  ") }.joined()
    }

    /// The same as a JSON array on one line.
    public var json: String {
        var out = JSONText()
        out.open("[")
        for event in events { Self.write(event, &out) }
        out.close("]")
        return out.text
    }

    private static func write(_ event: TraceEvent, _ out: inout JSONText) {
        out.separator()
        out.open("{")
        switch event {
        case .phase(let phase): out.field("phase", phase.name)
        case .note(let text, let changes):
            out.field("note", text)
            write(changes, &out)
        case .rule(let id, let place, let matched, let shadow, let condition, let changes):
            out.field("rule", id)
            out.field("place", place)
            out.key("matched")
            out.value(raw: "\(matched)")
            if shadow {
                out.key("shadow")
                out.value(raw: "true")
            }
            if let condition {
                out.key("condition")
                write(condition, &out)
            }
            write(changes, &out)
        }
        out.close("}")
    }

    private static func write(_ changes: [String], _ out: inout JSONText) {
        guard !changes.isEmpty else { return }
        out.key("changes")
        out.value(raw: "[" + changes.map { JSONText.quoted($0) }.joined(separator: ",") + "]")
    }

    private static func write(_ condition: TracedCondition, _ out: inout JSONText) {
        out.separator()
        out.open("{")
        out.field("text", condition.text)
        out.key("true")
        out.value(raw: "\(condition.isTrue)")
        if let found = condition.found { out.field("value", found) }
        if !condition.parts.isEmpty {
            out.key("parts")
            out.separator()
            out.open("[")
            for part in condition.parts { write(part, &out) }
            out.close("]")
        }
        out.close("}")
    }
}
