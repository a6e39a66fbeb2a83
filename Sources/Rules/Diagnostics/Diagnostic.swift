/// How much a diagnostic matters.
public enum Severity: String, Sendable {
    /// The configuration cannot be used.
    case error
    /// It can be used, but probably does not do what its author meant.
    case warning
    /// It is good; something could make it better.
    case hint

    var sarifLevel: String { self == .hint ? "note" : rawValue }
}

/// One thing to say about a rule file: what, where, and what to write instead.
public struct Diagnostic: Sendable {
    public var code: DiagnosticCode
    public var severity: Severity
    /// One line, ends without a full stop.
    public var message: String
    /// The file as the operator named it.
    public var file: String
    public var position: SourcePosition
    /// `site "shop", request rule "x"`; empty when there is none.
    public var context: String
    /// Stands after the caret run; often "did you mean `x`?".
    public var label: String
    /// The word to put in the place of the underlined one, when there is exactly one good guess.
    public var suggestion: String?
    /// The source line, without its end; empty when there is none (the file is missing, say).
    public var source: String

    public init(
        code: DiagnosticCode, severity: Severity, message: String, file: String, position: SourcePosition, context: String = "",
        label: String = "", suggestion: String? = nil, source: String = ""
    ) {
        self.code = code
        self.severity = severity
        self.message = message
        self.file = file
        self.position = position
        self.context = context
        self.label = label
        self.suggestion = suggestion
        self.source = source
    }

    /// Something that others found in a configuration that was loaded from `files`.
    public init(
        _ code: DiagnosticCode, _ message: String, at position: SourcePosition, in configuration: Configuration, _ files: FileBundle,
        context: String = "", label: String = ""
    ) {
        let file = configuration.files.indices.contains(Int(position.file)) ? configuration.files[Int(position.file)] : ""
        let text = files.files[file] ?? []
        let line = text.split(separator: 10, maxSplits: max(0, Int(position.line)), omittingEmptySubsequences: false)
            .dropFirst(max(0, Int(position.line) - 1)).first
        self.init(
            code: code, severity: code.severity, message: message, file: file, position: position, context: context, label: label,
            source: Redaction.hidden(line.map { String(decoding: $0, as: UTF8.self).replacing("\r", with: "") } ?? ""))
    }

    /// `error[R012]: unknown action ...` with place, source line, caret run and label.
    public var text: String {
        var out = "\(severity.rawValue)[\(code.rawValue)]: \(message)\n"
        guard position.file >= 0 else { return out }
        let number = String(position.line)
        let width = max(2, number.count)
        let margin = String(repeating: " ", count: width)
        out += "\(margin)--> \(file):\(position.line):\(position.column)"
        out += context.isEmpty ? "\n" : "   \(context)\n"
        guard !source.isEmpty else { return label.isEmpty ? out : out + "\(margin) = \(label)\n" }
        let shown = excerpt()
        out += "\(margin) |\n"
        out += String(repeating: " ", count: width - number.count) + "\(number) | \(shown.line)\n"
        out += "\(margin) | " + String(repeating: " ", count: shown.indent)
        out += String(repeating: "^", count: shown.length)
        return out + (label.isEmpty ? "\n" : " \(label)\n")
    }

    /// The part of the line around the caret run: a terminal is not a megabyte wide.
    private func excerpt() -> (line: String, indent: Int, length: Int) {
        let longest = 160
        let scalars = Array(source.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? "\u{FFFD}" : $0 })
        let column = min(Int(position.column) - 1, scalars.count)
        var start = 0
        if column > longest - 40 { start = column - 40 }
        let end = min(scalars.count, start + longest)
        var line = String(String.UnicodeScalarView(scalars[start..<end]))
        var indent = column - start
        if start > 0 {
            line = "..." + line
            indent += 3
        }
        if end < scalars.count { line += "..." }
        let length = max(1, min(Int(position.length), end - column))
        return (line, indent, length)
    }

    /// One JSON object on one line.
    public var json: String {
        var out = JSONText()
        out.open("{")
        out.field("code", code.rawValue)
        out.field("severity", severity.rawValue)
        out.field("message", message)
        if position.file >= 0 {
            out.field("file", file)
            out.field("line", Int(position.line))
            out.field("column", Int(position.column))
            out.field("length", Int(position.length))
        }
        if !context.isEmpty { out.field("context", context) }
        if !label.isEmpty { out.field("label", label) }
        if let suggestion { out.field("suggestion", suggestion) }
        out.close("}")
        return out.text
    }
}

extension [Diagnostic] {
    public var errorCount: Int { count { $0.severity == .error } }
    public var warningCount: Int { count { $0.severity == .warning } }
    public var hintCount: Int { count - errorCount - warningCount }

    /// `5 errors, 2 warnings`; an empty string when there is nothing to say.
    public var summary: String {
        let counts = [(errorCount, "error"), (warningCount, "warning"), (hintCount, "hint")]
        return counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s")" }.joined(separator: ", ")
    }

    /// All of them as an operator reads them, a blank line after each.
    public var text: String { map(\.text).joined(separator: "\n") }

    /// A JSON array, one diagnostic per line.
    public var json: String { isEmpty ? "[]" : "[\n" + map(\.json).joined(separator: ",\n") + "\n]" }
}
