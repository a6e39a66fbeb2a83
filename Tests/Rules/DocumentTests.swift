import Foundation
import Rules
import Testing

/// The tree's own rule files and documents.
@Suite struct DocumentTests {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Certificates are made when the gateway is first started, so they may be missing here.
    struct WithCertificates: FileProvider {
        func read(_ path: String, limit: Int) throws(FileFailure) -> [UInt8] { try DiskFiles().read(path, limit: limit) }
        func exists(_ path: String) -> Bool { path.hasSuffix(".crt") || path.hasSuffix(".key") || DiskFiles().exists(path) }
        func matching(_ pattern: String) -> [String] { DiskFiles().matching(pattern) }
    }

    static func ruleFiles() -> [String] {
        var files = [root.path + "/Rules/sluice.yaml"]
        let examples = root.path + "/Examples"
        for name in (try? FileManager.default.contentsOfDirectory(atPath: examples)) ?? [] {
            let file = "\(examples)/\(name)/sluice.yaml"
            if FileManager.default.fileExists(atPath: file) { files.append(file) }
        }
        return files.filter { FileManager.default.fileExists(atPath: $0) }.sorted()
    }

    @Test func `every rule file of the tree loads without a word`() {
        #expect(!Self.ruleFiles().isEmpty)
        for file in Self.ruleFiles() {
            let result = RuleFile.load(file, provider: WithCertificates())
            #expect(result.configuration != nil && result.diagnostics.isEmpty, "\(file)\n\(result.diagnostics.text)")
        }
    }

    func document() throws -> String {
        try String(contentsOf: Self.root.appendingPathComponent("docs/RULES.md"), encoding: .utf8)
    }

    @Test func `the reference is what the loader's tables say`() throws {
        let text = try document()
        let reference = text.split(separator: "<!-- reference: generated -->\n")[1].split(separator: "<!-- end of reference -->")[0]
        #expect(String(reference) == "\n" + RuleReference.markdown + "\n", "write RuleReference.markdown into docs/RULES.md")
        #expect(text.hasSuffix("<!-- codes: generated -->\n\n" + DiagnosticCode.markdown), "write DiagnosticCode.markdown into docs/RULES.md")
    }

    @Test func `the first example of the document loads`() throws {
        let text = try document()
        let example = String(text.split(separator: "```yaml\n")[1].split(separator: "```")[0])
        let result = load(example, ["tls/shop.crt": "", "tls/shop.key": "", "hooks/authz.js": ""])
        #expect(result.configuration != nil && result.diagnostics.isEmpty, "\(result.diagnostics.text)")
    }

    /// For authors of the document: `WRITE_REFERENCE=1 swift test --filter DocumentTests`.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["WRITE_REFERENCE"] != nil))
    func `write the reference into the document`() throws {
        let text = try document()
        let head = text.split(separator: "<!-- reference: generated -->\n")[0]
        let tail = text.split(separator: "<!-- end of reference -->")[1].split(separator: "<!-- codes: generated -->\n")[0]
        let whole = "\(head)<!-- reference: generated -->\n\n\(RuleReference.markdown)\n<!-- end of reference -->\(tail)<!-- codes: generated -->\n\n\(DiagnosticCode.markdown)"
        try whole.write(to: Self.root.appendingPathComponent("docs/RULES.md"), atomically: true, encoding: .utf8)
    }
}
