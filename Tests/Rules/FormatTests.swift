import Foundation
import Rules
import Testing

/// The formatter changes how a file looks and never what it says.
@Suite struct FormatTests {
    func format(_ text: String) -> String? { RuleFormatter.format(Array(text.utf8)) }

    @Test func `levels have two spaces, comments stay at their places`() {
        let before = """
            # about
            sluice: 1


            upstreams:
                main:   # the origin
                    servers:
                    - "http://127.0.0.1:1"
                    -   "http://127.0.0.1:2"
            #old
            sites:
            -   name: a
                hosts: ["*"]
                request:
                    # first
                    -   when: |
                            path == "/a"
                              or path == "/b"
                        do: [stop]   

                    - name: two
                      do:
                      -  deny: {status: 403,
                            }

            """
        let after = """
            # about
            sluice: 1

            upstreams:
              main:   # the origin
                servers:
                  - "http://127.0.0.1:1"
                  - "http://127.0.0.1:2"
            # old
            sites:
              - name: a
                hosts: ["*"]
                request:
                  # first
                  - when: |
                      path == "/a"
                        or path == "/b"
                    do: [stop]

                  - name: two
                    do:
                      - deny: {status: 403,
            """
        let formatted = format(before)
        #expect(formatted?.hasPrefix(after) == true, "\(formatted ?? "nil")")
        #expect(formatted.flatMap { format($0) } == formatted)
    }

    @Test func `texts keep their blanks and their empty lines`() {
        let text = "a: |\n  one  \n\n\n  two\n\nb: >-\n    folded\n    text\nc: \"x  \n  y\"\n"
        let formatted = format(text)
        #expect(formatted?.contains("  one  \n\n\n  two\n") == true, "\(formatted ?? "nil")")
        #expect(formatted.flatMap { format($0) } == formatted)
    }

    @Test func `what is no YAML is left alone`() {
        #expect(format("a: [1,") == nil && format("\ta: 1") == nil && format("") == nil)
    }

    @Test func `a file with odd lines keeps its meaning`() {
        for text in [
            "a:\n- b\n- c:\n   d: 1\n   e: 2\nf: g\n", "- - a\n  - b\n- c\n", "a: 'it''s'\nb:   x # y\n", "a: >2\n    x\n   y\nb: 1\n",
            "a: plain\n  continued here\nb: 2\n", "k: {a: 1,\n b: [2,\n3]}\nl: 1\n", "a: \"#no\"\nb: x#no\n", "a:\n\n\n  - 1\n\n\n", "a: &x 1\nb: *x\n",
        ] {
            let once = format(text)
            #expect(once != nil && once.flatMap { format($0) } == once, "\(text)\n\(once ?? "nil")")
        }
    }

    @Test func `every file of the tree is formatted and loads the same before and after`() {
        for file in DocumentTests.ruleFiles() {
            guard let data = FileManager.default.contents(atPath: file), let text = format(String(decoding: data, as: UTF8.self)) else {
                Issue.record("\(file) cannot be formatted")
                continue
            }
            #expect(text == String(decoding: data, as: UTF8.self), "sluice fmt \(file)")
            let twisted = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
                String(repeating: " ", count: line.prefix { $0 == " " }.count * 2) + line.drop { $0 == " " }
            }.joined(separator: "\n")
            if let back = format(twisted) { #expect(format(back) == back, "\(file)") }
        }
    }
}
