@testable import Gateway
import Buffers
import HTTP
import Rules
import Testing

@Suite struct SpanTests {
    private func parse(_ text: String) -> TraceParent? {
        let bytes = Array(text.utf8)
        return TraceParent(bytes.span)
    }

    @Test func aTraceparentBecomesNumbers() throws {
        let parent = try #require(parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
        #expect(parent.traceHigh == 0x0af7_6519_16cd_43dd && parent.traceLow == 0x8448_eb21_1c80_319c)
        #expect(parent.spanID == 0xb7ad_6b71_6920_3331 && parent.isSampled)
        #expect(parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")?.isSampled == false)
    }

    @Test(arguments: [
        "", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
    ]) func whatIsNoneStartsATraceOfItsOwn(_ text: String) { #expect(parse(text) == nil) }

    @Test func phasesAndHooksAreNotedInOrder() {
        let book = SpanBook(traceHigh: 1, traceLow: 2, spanID: 3, parentID: 0, attemptID: 4)
        book.leavePhase(at: 5)
        book.enterPhase(.request, at: 10)
        book.leavePhase(at: 20)
        book.leavePhase(at: 30)
        book.enterPhase(.response, at: 40)
        #expect(book.phases.map(\.name) == ["request rules", "response rules"])
        #expect(book.phases.map(\.ended) == [20, 0])
        for attempt in 0..<20 { book.anotherAttempt(after: OriginInfo(), at: UInt64(attempt), spanID: 9) }
        #expect(book.attempts.count == 16)
    }

    @Test func aStepOfTheClockIsSeenOnceAndItsSecondsAreNot() {
        var watch = ClockWatch()
        #expect(watch.step(wallSeconds: 1_000, monotonicMilliseconds: 5_000) == nil)
        #expect(watch.step(wallSeconds: 1_010, monotonicMilliseconds: 15_999) == nil)
        #expect(watch.step(wallSeconds: 4_611, monotonicMilliseconds: 16_000) == 3_600)
        #expect(watch.step(wallSeconds: 4_612, monotonicMilliseconds: 17_000) == nil)
        #expect(watch.step(wallSeconds: 1_013, monotonicMilliseconds: 18_000) == -3_600)
    }

    private func hidden(_ query: String, _ names: [String]) -> String {
        var settings = AccessLog()
        settings.hiddenParameters = names
        let redaction = LogRedaction(settings)
        let bytes = Array(query.utf8)
        redaction.copyQuery(bytes.span)
        return String(decoding: redaction.query, as: UTF8.self)
    }

    @Test func parametersAreKnownHoweverTheyAreWritten() {
        #expect(hidden("a=1&token=x&b=2", ["token"]) == "a=1&token=[redacted]&b=2")
        #expect(hidden("%74oken=x&t%6Fken=y", ["token"]) == "%74oken=[redacted]&t%6Fken=[redacted]")
        #expect(hidden("tokens=1&Token=2&token", ["token"]) == "tokens=1&Token=2&token")
        #expect(hidden("", ["token"]) == "")
        #expect(hidden("&&=&=x", [""]) == "&&=[redacted]&=[redacted]")
        #expect(hidden("a%=1&a%2=2", ["a%", "a%2"]) == "a%=[redacted]&a%2=[redacted]")
    }
}
