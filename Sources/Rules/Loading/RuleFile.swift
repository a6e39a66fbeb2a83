/// What a load found.
public struct LoadResult: Sendable {
    /// nil when there is at least one error.
    public var configuration: Configuration?
    /// Errors first, each kind in the order of the files.
    public var diagnostics: [Diagnostic]
    /// Every file that was read or looked for: enough to load again in another process.
    public var filesRead: FileBundle
}

/// The way in: from a path to a configuration.
public enum RuleFile {
    static let maximumFiles = 256
    static let maximumIncludeDepth = 16

    /// Reads a rule file and everything it names. Never throws and never stops at the first mistake.
    public static func load(_ path: String, provider: any FileProvider) -> LoadResult {
        let files = RecordingFiles(provider)
        var collector = FileCollector(provider: files)
        collector.read(path)
        var builder = ConfigurationBuilder(reporter: collector.reporter, provider: files)
        let configuration = builder.build(collector.documents)
        let diagnostics = collector.reporter.sorted
        return LoadResult(
            configuration: diagnostics.errorCount == 0 ? configuration : nil, diagnostics: diagnostics, filesRead: files.bundle)
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

    private mutating func read(_ path: String, _ bytes: [UInt8], depth: Int) {
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
        if depth == 0 { checkVersion(node) }
        guard let root = reader.read(node, .object(Schema.root))?.object else { return }
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
