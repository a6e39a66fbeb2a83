/// What a load found.
public struct LoadResult: Sendable {
    /// nil when there is at least one error.
    public var configuration: Configuration?
    /// Errors first, each kind in the order of the files.
    public var diagnostics: [Diagnostic]
    /// The test cases of all files, empty when there is an error.
    public var tests: [TestCase] = []
    /// Every file that was read or looked for: enough to load again in another process.
    public var filesRead: FileBundle
}

extension LoadResult {
    /// A diagnostic about a place in a file that was read.
    public func diagnostic(
        _ code: DiagnosticCode, _ message: String, at position: SourcePosition, label: String = "", context: String = ""
    ) -> Diagnostic {
        let names = configuration?.files ?? []
        let file = names.indices.contains(Int(position.file)) ? names[Int(position.file)] : ""
        let lines = (filesRead.files[file] ?? []).split(separator: 10, omittingEmptySubsequences: false)
        let number = Int(position.line) - 1
        let line = lines.indices.contains(number) ? String(decoding: lines[number], as: UTF8.self) : ""
        return Diagnostic(
            code: code, severity: code.severity, message: message, file: file, position: position, context: context, label: label,
            suggestion: nil, source: line)
    }
}

/// The way in: from a path to a configuration.
public enum RuleFile {
    static let maximumFiles = 256
    static let maximumIncludeDepth = 16

    /// Reads a rule file and everything it names. Never throws and never stops at the first mistake.
    public static func load(_ path: String, provider: any FileProvider) -> LoadResult {
        load(provider) { $0.read(path) }
    }

    /// Reads a file with tests: a rule file with `tests:`, or a test file, which names its rule file by `config:`.
    public static func loadTests(_ path: String, provider: any FileProvider) -> LoadResult {
        load(provider) { $0.readTests(path) }
    }

    private static func load(_ provider: any FileProvider, _ read: (inout FileCollector) -> Void) -> LoadResult {
        let files = RecordingFiles(provider)
        var collector = FileCollector(provider: files)
        read(&collector)
        var builder = ConfigurationBuilder(reporter: collector.reporter, provider: files)
        let configuration = builder.build(collector.documents)
        let tests = TestBuilder(builder: builder).tests(collector.documents.map(\.root))
        let diagnostics = collector.reporter.sorted
        let isGood = diagnostics.errorCount == 0
        return LoadResult(
            configuration: isGood ? configuration : nil, diagnostics: diagnostics, tests: isGood ? tests : [],
            filesRead: files.bundle)
    }
}

/// One file that could be read as YAML.
struct Document {
    var root: ParsedObject
    var directory: String
}

/// Reads the main file and what it includes.
struct FileCollector {
    let provider: any FileProvider
    let reporter = Reporter()
    private(set) var documents: [Document] = []
    private var seen: Set<String> = []

    init(provider: any FileProvider) { self.provider = provider }

    mutating func read(_ path: String) {
        let place = SourcePosition.none
        guard let text = text(of: path, named: place) else { return }
        read(path, text, depth: 0)
    }

    /// A test file is read after the rule file that it names, so that its tests can refer to that file's rules.
    mutating func readTests(_ path: String) {
        guard let bytes = text(of: path, named: .none) else { return }
        guard let config = Self.config(of: bytes) else { return read(path, bytes, depth: 0) }
        let main = Paths.join(Paths.split(path).directory, config)
        if provider.exists(main) { read(main) }
        read(path, bytes, depth: 0, as: Schema.testFile)
    }

    /// What a file names as its `config:`, nil for a file that is no test file.
    private static func config(of bytes: [UInt8]) -> String? {
        var profile = YAMLProfile(file: 0)
        guard let text = profile.text(of: bytes), case .mapping(let pairs)? = profile.read(text)?.content else { return nil }
        return pairs.first { $0.key.scalar == "config" }?.value.scalar
    }

    /// The bytes of a file, or nil with the failure reported where the file was named.
    private func text(of path: String, named place: SourcePosition) -> [UInt8]? {
        do {
            return try provider.read(path, limit: YAMLProfile.maximumBytes)
        } catch {
            switch error {
            case .missing: reporter.report(.fileMissing, "the rule file `\(path)` does not exist", at: place)
            case .unreadable(let why): reporter.report(.fileUnreadable, "the rule file `\(path)` cannot be read: \(why)", at: place)
            }
            return nil
        }
    }

    private mutating func read(_ path: String, _ bytes: [UInt8], depth: Int, as schema: SchemaObject = Schema.root) {
        seen.insert(path)
        var profile = YAMLProfile(file: reporter.files.count)
        let text = profile.text(of: bytes)
        let file = reporter.add(file: path, text: text ?? String(decoding: bytes.prefix(1 << 20), as: UTF8.self))
        let node = text.flatMap { profile.read($0) }
        for problem in profile.problems { report(problem, file) }
        guard let node else {
            if profile.problems.isEmpty { reporter.report(.syntax, "the file is empty", at: SourcePosition(file: file.index, line: 1, column: 1)) }
            return
        }
        let directory = Paths.split(path).directory
        var reader = SchemaReader(reporter: reporter, directory: directory, provider: provider)
        if depth == 0, schema.title == Schema.root.title { checkVersion(node) }
        guard let root = reader.read(node, .object(schema))?.object else { return }
        documents.append(Document(root: root, directory: directory))
        for pattern in root["include"]?.list ?? [] { include(pattern, directory, depth) }
    }

    private func checkVersion(_ node: YAMLNode) {
        guard case .mapping(let pairs) = node.content, !pairs.contains(where: { $0.key.scalar == "sluice" }) else { return }
        reporter.report(.version, "the main rule file has no `sluice: 1`", at: node.position, label: "add `sluice: 1` before this line")
    }

    private mutating func include(_ pattern: Parsed, _ directory: String, _ depth: Int) {
        guard let text = pattern.text else { return }
        guard depth < RuleFile.maximumIncludeDepth, seen.count < RuleFile.maximumFiles else {
            reporter.report(.include, "too many files are included", at: pattern.position)
            return
        }
        let path = Paths.join(directory, text)
        guard text.contains("*") || text.contains("?") else {
            if seen.contains(path) {
                reporter.report(.include, "`\(path)` has been read before", at: pattern.position, label: "include each file once")
            } else if let bytes = self.text(of: path, named: pattern.position) {
                read(path, bytes, depth: depth + 1)
            }
            return
        }
        guard !Paths.split(path).directory.contains("*") else {
            reporter.report(.include, "`*` may stand only in the last part of a path", at: pattern.position)
            return
        }
        let found = provider.matching(path)
        if found.isEmpty { reporter.report(.include, "no file matches `\(path)`", at: pattern.position) }
        for path in found where !seen.contains(path) && seen.count < RuleFile.maximumFiles {
            if let bytes = self.text(of: path, named: pattern.position) { read(path, bytes, depth: depth + 1) }
        }
    }

    /// What YAML itself says is often far from what the author did: two habits get their own words.
    private func report(_ problem: YAMLProfile.Problem, _ file: SourceFile) {
        let place = SourcePosition(file: file.index, line: problem.line, column: problem.column, length: problem.length)
        guard problem.code == .syntax else {
            return reporter.report(problem.code, problem.message, at: place, label: problem.label)
        }
        for line in [problem.line, problem.line - 1] where line > 0 {
            let text = file.line(line)
            if let column = Self.quotedExpression(text) {
                return reporter.report(
                    .yamlQuoting, "an expression that starts with a quote must be written as a block scalar (`when: >`)",
                    at: SourcePosition(file: file.index, line: line, column: column), label: "YAML ends the value at the closing quote")
            }
            if let column = Self.bracketInFlowMap(text) {
                return reporter.report(
                    .yamlQuoting, "`[\"...\"]` cannot stand inside `{...}` or `[...]` in YAML",
                    at: SourcePosition(file: file.index, line: line, column: column, length: 2), label: "write the dotted form, for example `header.x-name`")
            }
        }
        reporter.report(problem.code, problem.message, at: place, label: problem.label)
    }

    /// `when: "GET" == method`
    private static func quotedExpression(_ line: String) -> Int? {
        guard let range = line.firstRange(of: "when:") else { return nil }
        let rest = line[range.upperBound...].drop { $0 == " " }
        guard let quote = rest.first, quote == "\"" || quote == "'" else { return nil }
        return line.distance(from: line.startIndex, to: rest.startIndex) + 1
    }

    /// `{key: cookie["sid"]}`
    private static func bracketInFlowMap(_ line: String) -> Int? {
        guard line.contains("{"), let range = line.firstRange(of: "[\"") else { return nil }
        guard range.lowerBound > line.startIndex, line[line.index(before: range.lowerBound)].isLetter else { return nil }
        return line.distance(from: line.startIndex, to: range.lowerBound) + 1
    }
}
