@testable import Rules
import Testing

/// `compat:` of a function.
@Suite struct CompatTests {
    func function(_ compat: String) -> LoadResult {
        load(site(request: "- do: [{run: f}]", top: "functions: {f: {file: f.js\(compat)}}"), ["f.js": ""])
    }

    @Test(arguments: ["2026-11-01", "2026-11-25", "2026-11-26"]) func `a day that is known is kept`(day: String) throws {
        let result = function(", compat: \(day)")
        #expect(result.diagnostics.isEmpty, "\(result.diagnostics.text)")
        #expect(result.configuration?.functions[0].compat?.description == day)
    }

    @Test(arguments: [
        ("2026-10-31", "before the first behaviour"), ("2026-11-27", "in the future"), ("2999-01-01", "in the future"), ("2026-13-01", "is no day"),
        ("2026-02-29", "is no day"), ("2026-1-1", "is no day"), ("latest", "is no day"), ("20261126", "is no day"),
    ]) func `other days are refused with the days that can be written`(day: String, words: String) {
        let result = function(", compat: \"\(day)\"")
        #expect(result.configuration == nil)
        #expect(result.diagnostics.map(\.code) == [.date])
        #expect(result.diagnostics.first?.message.contains(words) == true, "\(result.diagnostics.text)")
        #expect(result.diagnostics.first?.label == "write a day from 2026-11-01 to 2026-11-26")
    }

    @Test func `a function without a day sees the newest behaviour, and a hint says so`() throws {
        let result = function("")
        let configuration = try #require(result.configuration)
        #expect(result.diagnostics.isEmpty)
        #expect(Compatibility.heldBack(at: configuration.functions[0].compat) == [])
        let hints = Lint.hints(configuration, FileBundle([:]))
        #expect(hints.map(\.code) == [.unpinned])
        #expect(hints.summary == "1 hint")
        #expect(hints[0].text.hasPrefix("hint[L009]: the function `f` has no `compat` day"))
        let pinned = try #require(function(", compat: 2026-11-01").configuration)
        #expect(Lint.hints(pinned, FileBundle([:])).isEmpty)
    }

    @Test func `the table is in order and within the days that can be written`() {
        #expect(Compatibility.changes.map(\.since) == Compatibility.changes.map(\.since).sorted())
        #expect(Compatibility.changes.allSatisfy { $0.since > Compatibility.first && $0.since <= Compatibility.newest })
        #expect(Set(Compatibility.changes.map(\.name)).count == Compatibility.changes.count)
        #expect(Compatibility.heldBack(at: Compatibility.newest) == [])
        #expect(Compatibility.heldBack(at: Compatibility.first) == Compatibility.changes.map(\.name))
    }
}
