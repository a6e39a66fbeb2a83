import Testing

@testable import Gateway

@Suite struct AcceptTroubleTests {
    @Test func itsBeginningIsToldOnceAndThenOnceAMinute() {
        var trouble = AcceptTrouble()
        #expect(trouble.failed(refusing: 3, now: 1_000) == 3)
        #expect(trouble.failed(refusing: 4, now: 1_010) == nil)
        #expect(trouble.failed(refusing: 1, now: 60_999) == nil)
        #expect(trouble.failed(refusing: 1, now: 61_000) == 9)
    }

    @Test func itIsOverAfterASecondWithoutAFailureAndCanBeginAnew() {
        var trouble = AcceptTrouble()
        #expect(trouble.ended(now: 5_000) == nil)
        _ = trouble.failed(refusing: 2, now: 1_000)
        _ = trouble.failed(refusing: 2, now: 1_500)
        #expect(trouble.ended(now: 2_499) == nil)
        #expect(trouble.isOn)
        #expect(trouble.ended(now: 2_500) == 4)
        #expect(!trouble.isOn)
        #expect(trouble.ended(now: 9_000) == nil)
        #expect(trouble.failed(refusing: 1, now: 10_000) == 1)
    }
}
