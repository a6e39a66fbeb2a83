import Foundation
import Rules
import Testing

/// What the documents show can be loaded and does what they say.
@Suite struct MigratingTests {
    static func blocks(_ document: String, _ language: String) throws -> [String] {
        let text = try String(contentsOf: DocumentTests.root.appendingPathComponent(document), encoding: .utf8)
        return text.components(separatedBy: "```\(language)\n").dropFirst().map { String($0.components(separatedBy: "```")[0]) }
    }

    @Test func `every Sluice side of the page on migrating loads`() throws {
        let blocks = try Self.blocks("docs/MIGRATING.md", "yaml")
        #expect(blocks.count == 4)
        for block in blocks {
            let rules = block.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)" }.joined(separator: "\n")
            let result = load("""
                sluice: 1
                lists: {office: [192.0.2.0/24]}
                upstreams: {app: {servers: ["http://127.0.0.1:1"]}, static: {servers: ["http://127.0.0.1:2"]}}
                functions: {authorize: {file: authorize.js}}
                sites:
                  - name: site
                    hosts: ["*"]
                    upstream: app

                """ + rules, ["authorize.js": ""])
            #expect(result.configuration != nil, "\(block)\n\(result.diagnostics.text)")
        }
    }

    @Test func `the tutorial's file and the page on testing load without a word`() throws {
        for (document, index) in [("docs/TUTORIAL.md", 0), ("docs/TESTING.md", 0)] {
            let result = load(try Self.blocks(document, "yaml")[index])
            #expect(result.configuration != nil && result.diagnostics.isEmpty, "\(result.diagnostics.text)")
            #expect(!result.tests.isEmpty)
        }
    }
}
