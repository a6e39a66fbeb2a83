import ArgumentParser
import Foundation
import Rules

/// How findings are written.
enum FindingsFormat: String, CaseIterable, ExpressibleByArgument {
    case text, json, sarif

    func write(_ diagnostics: [Diagnostic]) -> String {
        switch self {
        case .text: diagnostics.isEmpty ? "" : diagnostics.text + "\n" + diagnostics.summary
        case .json: diagnostics.json
        case .sarif: diagnostics.sarif(version: Version.text)
        }
    }
}

/// Findings that another process of this program wrote as JSON.
enum Findings {
    private struct Written: Decodable {
        var code: String
        var message: String
        var file: String?
        var line: Int?
        var column: Int?
        var length: Int?
        var context: String?
        var label: String?
        var suggestion: String?
    }

    /// Text that is no list of findings (the process died, say) is one finding itself.
    static func read(_ text: String, in configuration: Configuration, _ files: FileBundle) -> [Diagnostic] {
        guard let written = try? JSONDecoder().decode([Written].self, from: Data(text.utf8)), !written.isEmpty else {
            return [Diagnostic(code: .notServable, severity: .error, message: text, file: "", position: .none)]
        }
        return written.map { each in
            let file = each.file.flatMap { configuration.files.firstIndex(of: $0) } ?? -1
            let position = SourcePosition(file: file, line: each.line ?? 0, column: each.column ?? 0, length: each.length ?? 1)
            var diagnostic = Diagnostic(
                DiagnosticCode(rawValue: each.code) ?? .notServable, each.message, at: position, in: configuration, files,
                context: each.context ?? "", label: each.label ?? "")
            diagnostic.suggestion = each.suggestion
            return diagnostic
        }
    }
}
