import Testing

@testable import Supervisor

@Suite struct ServiceWatchdogTests {
    @Test func beatsComeTwiceAsOftenAsAskedFor() {
        var watchdog = ServiceWatchdog(microseconds: "400000")
        #expect(watchdog.isDue(now: 1000))
        #expect(!watchdog.isDue(now: 1199))
        #expect(watchdog.isDue(now: 1200))
    }

    @Test(arguments: [nil, "", "0", "never"])
    func nobodyAsks(_ text: String?) {
        var watchdog = ServiceWatchdog(microseconds: text)
        #expect(!watchdog.isDue(now: 1 << 40))
    }
}
