import Testing

@testable import Gateway

@Suite struct ExcerptTests {
    private let source = "one\ntwo\nthree\n\tfour(x);\nfive"

    @Test func aPlaceIsShownWithTheLinesBeforeIt() {
        #expect(SourceExcerpt.text(source, line: 4, column: 7) == """
              2 | two
              3 | three
              4 | \tfour(x);
                | \t     ^

            """)
        #expect(SourceExcerpt.text(source, line: 1, column: 1) == "  1 | one\n    | ^\n")
    }

    @Test func numbersStandBelowEachOther() {
        let long = (1...12).map { "line \($0)" }.joined(separator: "\n")
        #expect(SourceExcerpt.text(long, line: 10, column: 0) == "   8 | line 8\n   9 | line 9\n  10 | line 10\n")
    }

    @Test func aPlaceThatIsNotThereShowsNothing() {
        #expect(SourceExcerpt.text(source, line: 0, column: 0).isEmpty)
        #expect(SourceExcerpt.text(source, line: 6, column: 1).isEmpty)
        #expect(SourceExcerpt.text("", line: 2, column: 1).isEmpty)
    }

    @Test func longLinesAreCut() {
        let text = SourceExcerpt.text(String(repeating: "x", count: 5_000), line: 1, column: 4_000)
        #expect(text.count < 200)
        #expect(!text.contains("^"))
    }

    @Test func timesAreReadable() {
        #expect([0, 4, 5, 120, 12_345, 3_000_000].map { Developer.milliseconds($0) } == ["0.00 ms", "0.00 ms", "0.01 ms", "0.12 ms", "12.35 ms", "3000.00 ms"])
    }
}
