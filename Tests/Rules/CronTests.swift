import Rules
import Testing

@Suite struct CronTests {
    /// `2026-11-26T00:30:00Z`
    static let moment = 1_795_653_000

    func times(_ text: String, from moment: Int = moment, _ count: Int = 3) throws -> [Int] {
        let cron = try #require(CronSchedule(text), "\(text)")
        var found: [Int] = [], at = moment
        for _ in 0..<count {
            at = try #require(cron.next(after: at))
            found.append(at)
        }
        return found
    }

    @Test(arguments: [
        ("* * * * *", [60, 120, 180]), ("*/15 * * * *", [900, 1_800, 2_700]), ("0 * * * *", [1_800, 5_400, 9_000]), ("@hourly", [1_800, 5_400, 9_000]),
        ("30 0 * * *", [86_400, 172_800, 259_200]), ("@daily", [84_600, 171_000, 257_400]), ("5,50-52 0 * * *", [1_200, 1_260, 1_320]),
        ("31/10 0 * * *", [60, 660, 1_260]), ("*/20 * * * * *", [20, 40, 60]), ("0 30 * * * *", [3_600, 7_200, 10_800]),
        // 26 November 2026 is a Thursday.
        ("0 12 * * fri", [127_800, 732_600, 1_337_400]), ("0 12 * * 5", [127_800, 732_600, 1_337_400]), ("0 0 * * 7", [257_400, 862_200, 1_467_000]),
        ("0 0 * * sun", [257_400, 862_200, 1_467_000]), ("0 0 1 jan *", [3_108_600, 34_644_600, 66_267_000]),
        ("0 0 28 * fri", [84_600, 171_000, 689_400]), ("0 0 */7 * *", [257_400, 430_200, 1_035_000]),
    ])
    func `the next times are found`(text: String, seconds: [Int]) throws {
        #expect(try times(text).map { $0 - Self.moment } == seconds, "\(text)")
    }

    @Test func `a day that only leap years have comes`() throws {
        // 29 February 2028.
        #expect(try times("0 0 29 2 *", 1) == [1_835_395_200])
    }

    @Test(arguments: [
        "", "*", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5-1 * * * *",
        "a * * * *", "1,,2 * * * *", "-1 * * * *", "1- * * * *", "*/ * * * *", "@often", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "１ * * * *", "1/2/3 * * * *",
    ])
    func `what is no schedule, or never comes, is refused`(text: String) {
        #expect(CronSchedule(text) == nil, "\(text)")
    }
}
