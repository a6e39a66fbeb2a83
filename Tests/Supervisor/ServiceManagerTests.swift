import Testing

@testable import Supervisor

@Suite struct ServiceWatchdogTests {
    @Test func beatsComeTwiceAsOftenAsAskedFor() {
        var watchdog = ServiceWatchdog(microseconds: "400000")
        let due = [1000, 1199, 1200, 1399].map { watchdog.isDue(now: $0) }
        #expect(due == [true, false, true, false])
    }

    @Test(arguments: [nil, "", "0", "never"])
    func nobodyAsks(_ text: String?) {
        var watchdog = ServiceWatchdog(microseconds: text)
        let due = watchdog.isDue(now: 1 << 40)
        #expect(!due)
    }
}
