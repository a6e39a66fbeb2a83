/// The reference of the hook API as a document, made from `Prelude/types.d.ts`: its comments are the text.
public enum HookReference {
    /// One thing that is declared, with its members.
    struct Entry {
        var title: String
        var words: String
        var members: [(signature: String, words: String)] = []
    }

    /// - Parameter changes: the table of compatibility dates.
    public static func markdown(changes: String) -> String {
        var out = """
            # The hook API, member by member

            Made from `Sources/Hooks/Prelude/types.d.ts` by `sluice types --reference`; do not edit. The guide is [HOOKS.md](HOOKS.md).
            Everything of the Web API that is not here is as its standard says; [HOOKS.md](HOOKS.md#what-is-different-here) lists the differences.


            """
        for entry in entries(of: HookDeclarations.text) {
            out += "## \(entry.title)\n\n\(entry.words)\n\n"
            guard !entry.members.isEmpty else { continue }
            out += "| | |\n|---|---|\n"
            for member in entry.members { out += "| `\(cell(member.signature))` | \(cell(member.words)) |\n" }
            out += "\n"
        }
        return out + """
            ## Compatibility dates

            With `compat: YYYY-MM-DD` a function keeps the behaviour of that day: what the table says it was before, for every line
            with a later date. Without it a function sees the newest. `sluice types` and `sluice explain` show the day of a function.

            \(changes)
            """
    }

    private static func cell(_ text: String) -> String { text.replacing("|", with: "\\|") }

    /// What has no words yet, as `Interface.member`.
    static var undocumented: [String] {
        entries(of: HookDeclarations.text).flatMap { entry in
            (entry.words.isEmpty ? [entry.title] : []) + entry.members.filter(\.words.isEmpty).map { "\(entry.title): \($0.signature)" }
        }
    }

    /// The file's shape is our own: a declaration begins a line, its members follow on lines of their own, deeper.
    static func entries(of text: String) -> [Entry] {
        var entries: [Entry] = [], words = "", open: (entry: Entry, indent: Int)?
        for line in text.split(separator: "\n") {
            let indent = line.prefix { $0 == " " }.count, rest = line.dropFirst(indent)
            if rest.hasPrefix("//") || rest.hasPrefix("declare namespace") || rest.hasPrefix("type ") { continue }
            if rest.hasPrefix("/**") {
                words = String(rest.dropFirst(3).dropLast(2)).trimmed
                continue
            }
            if var now = open {
                if rest.hasPrefix("}") {
                    entries.append(now.entry)
                    open = nil
                } else if indent == now.indent + 2 {
                    now.entry.members.append((signature(rest), words))
                    open = now
                }
            } else if let title = title(rest) {
                let entry = Entry(title: title, words: words)
                if rest.hasSuffix("{") { open = (entry, indent) } else { entries.append(entry) }
            }
            words = ""
        }
        return entries
    }

    private static func title(_ line: Substring) -> String? {
        let words = line.split { !$0.isLetter && !$0.isNumber }
        guard let kind = words.firstIndex(where: { ["interface", "class", "function", "const"].contains($0) }), words.count > kind + 1 else { return nil }
        return words[kind] == "function" ? "\(words[kind + 1])()" : String(words[kind + 1])
    }

    private static func signature(_ line: Substring) -> String {
        var text = String(line).replacing("readonly ", with: "")
        if text.hasSuffix(";") { text.removeLast() }
        return text
    }
}

extension String {
    fileprivate var trimmed: String {
        var text = Substring(self)
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
