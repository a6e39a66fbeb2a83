/// Collects the diagnostics of one load, with the files they point into.
final class Reporter {
    /// Errors and warnings that are kept, each.
    static let most = 200
    /// A longer line is not shown: to hide what is secret in it, all of it would have to be read for each diagnostic.
    static let longestLine = 8 << 10
    private(set) var files: [SourceFile] = []
    private(set) var diagnostics: [Diagnostic] = []
    private(set) var errorCount = 0
    private var warningCount = 0
    /// `site "shop", request rule "x"`: where reading is at the moment.
    var context = ""

    private var mentioned: Set<String> = []

    /// Notes that something refers to a name.
    func mention(_ what: String, _ name: String) { mentioned.insert("\(what) \(name)") }
    func isMentioned(_ what: String, _ name: String) -> Bool { mentioned.contains("\(what) \(name)") }

    /// Nothing that is found from here on would be kept, and the file is refused: reading may stop.
    var isFull: Bool { errorCount >= Self.most }

    /// Counts a diagnostic in; false when there are enough of its kind. Warnings never keep an error out: it refuses the file.
    private func counts(_ severity: Severity) -> Bool {
        switch severity {
        case .error:
            errorCount += 1
            return errorCount <= Self.most
        case .warning, .hint:
            warningCount += 1
            return warningCount <= Self.most
        }
    }

    private func shownLine(_ file: SourceFile?, _ number: Int) -> String {
        guard let file, file.length(ofLine: number) <= Self.longestLine else { return "" }
        return Redaction.hidden(file.line(number))
    }

    func add(file name: String, text: String) -> SourceFile {
        let file = SourceFile(name: name, index: files.count, text: text)
        files.append(file)
        return file
    }

    func report(
        _ code: DiagnosticCode, _ message: String, at position: SourcePosition, label: String = "", suggestion: String? = nil,
        context: String? = nil
    ) {
        guard counts(code.severity) else { return }
        let index = Int(position.file)
        let file = files.indices.contains(index) ? files[index] : nil
        diagnostics.append(Diagnostic(
            code: code, severity: code.severity, message: Redaction.hiddenAddresses(message), file: file?.name ?? "", position: position,
            context: context ?? self.context, label: label, suggestion: suggestion, source: shownLine(file, Int(position.line))))
    }

    /// With a guess at what was meant.
    func report(_ code: DiagnosticCode, _ message: String, at position: SourcePosition, wrong: String, known: some Sequence<String>) {
        let nearest = isFull ? nil : NearestWord.find(wrong, among: known)
        report(code, message, at: position, label: nearest.map { "did you mean `\($0)`?" } ?? "", suggestion: nearest)
    }

    /// Problems inside a scalar: expressions and templates.
    func report(_ problems: [ExpressionProblem], in node: YAMLNode, context: String? = nil) {
        guard !problems.isEmpty, !isFull, files.indices.contains(Int(node.position.file)) else { return }
        let map = ScalarMap(node, in: files[Int(node.position.file)])
        for problem in problems {
            // What is unknown or mistyped stands in the expression itself; a wrong phase is about the rule.
            let own = problem.code.rawValue.hasPrefix("E") && problem.code != .phase ? context : nil
            report(
                problem.code, problem.message, at: map.position(problem.range), label: problem.label,
                suggestion: problem.suggestion, context: own)
        }
    }

    /// Errors first, each kind in the order of the files.
    var sorted: [Diagnostic] {
        diagnostics.enumerated().sorted { a, b in
            let left = (a.element.severity == .error ? 0 : 1, a.element.position.file, a.element.position.line, a.element.position.column)
            let right = (b.element.severity == .error ? 0 : 1, b.element.position.file, b.element.position.line, b.element.position.column)
            return left == right ? a.offset < b.offset : left < right
        }.map(\.element)
    }
}
