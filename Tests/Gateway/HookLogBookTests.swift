import Testing

@testable import Gateway

@Suite struct HookLogBookTests {
    private func verdict(_ book: inout HookLogBook, _ count: Int, of name: String = "f", limit: Int = 1000, at seconds: Double) -> HookLogBook.Verdict {
        book.verdict(on: count, of: name, atMost: limit, now: UInt64(seconds * 1_000_000_000))
    }

    @Test func aSecondHasItsBytesAndEachNameItsOwn() {
        var book = HookLogBook()
        let steps = [
            verdict(&book, 60 << 10, at: 1.1), verdict(&book, 60 << 10, of: "g", at: 1.2), verdict(&book, 5 << 10, at: 1.3),
            verdict(&book, 1, at: 1.9), verdict(&book, 64 << 10, at: 2),
        ]
        #expect(steps == [.written, .written, .firstDropped, .dropped, .written])
    }

    @Test func oneCallMayAlwaysWriteWhatItsLimitSays() {
        var book = HookLogBook()
        let steps = [verdict(&book, 1 << 20, limit: 1 << 20, at: 1), verdict(&book, 1, limit: 1 << 20, at: 1)]
        #expect(steps == [.written, .firstDropped])
    }
}
