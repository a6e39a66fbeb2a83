/// When something runs: five fields (minute, hour, day of the month, month, day of the week), or six with seconds in
/// front. Times are UTC.
public struct CronSchedule: Sendable, Equatable {
    /// As it was written.
    public let text: String
    private let seconds, minutes, hours, days, months, weekdays: UInt64
    /// A star stands there: the other kind of day decides alone.
    private let anyDay, anyWeekday: Bool

    private static let names: [String: String] = [
        "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *",
        "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
    ]
    private static let monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    private static let dayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

    /// nil: the text is no schedule, or one whose time never comes.
    public init?(_ text: String) {
        self.text = text
        let written = Self.names[text.lowercased()] ?? text
        var fields = written.split(whereSeparator: { $0 == " " || $0 == "\t" }).map { $0.lowercased() }
        if fields.count == 5 { fields.insert("0", at: 0) }
        guard fields.count == 6, let seconds = Self.set(fields[0], 0...59), let minutes = Self.set(fields[1], 0...59),
            let hours = Self.set(fields[2], 0...23), let days = Self.set(fields[3], 1...31),
            let months = Self.set(fields[4], 1...12, Self.monthNames, from: 1), let weekdays = Self.set(fields[5], 0...7, Self.dayNames, from: 0)
        else { return nil }
        (self.seconds, self.minutes, self.hours, self.days, self.months) = (seconds, minutes, hours, days, months)
        // 7 is Sunday too.
        self.weekdays = weekdays & 0x7f | weekdays >> 7 & 1
        anyDay = fields[3].hasPrefix("*")
        anyWeekday = fields[5].hasPrefix("*")
        guard next(after: 0) != nil else { return nil }
    }

    // MARK: Reading

    /// `*`, `5`, `1-5`, `*/10`, `10-40/5`, `1,2,3`, names.
    private static func set(_ field: String, _ range: ClosedRange<Int>, _ names: [String] = [], from first: Int = 0) -> UInt64? {
        var bits: UInt64 = 0
        for part in field.split(separator: ",", omittingEmptySubsequences: false) {
            let halves = part.split(separator: "/", omittingEmptySubsequences: false)
            guard (1...2).contains(halves.count) else { return nil }
            var step = 1
            if halves.count == 2 {
                guard let number = digits(halves[1]), (1...range.upperBound).contains(number) else { return nil }
                step = number
            }
            guard let span = span(halves[0], range, names, first, isOpen: halves.count == 2) else { return nil }
            for value in stride(from: span.lowerBound, through: span.upperBound, by: step) { bits |= 1 << UInt64(value) }
        }
        return bits
    }

    private static func span(
        _ text: Substring, _ range: ClosedRange<Int>, _ names: [String], _ first: Int, isOpen: Bool
    ) -> ClosedRange<Int>? {
        if text == "*" { return range }
        func value(_ text: Substring) -> Int? {
            let found = digits(text) ?? names.firstIndex(of: String(text)).map { $0 + first }
            return found.flatMap { range.contains($0) ? $0 : nil }
        }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard let lower = ends.first.flatMap(value), ends.count <= 2 else { return nil }
        // `5/10` begins at 5 and goes on to the end.
        guard ends.count == 2 else { return lower...(isOpen ? range.upperBound : lower) }
        guard let upper = value(ends[1]), upper >= lower else { return nil }
        return lower...upper
    }

    private static func digits(_ text: Substring) -> Int? {
        (1...2).contains(text.utf8.count) && text.utf8.allSatisfy { $0 &- 48 < 10 } ? Int(text) : nil
    }

    // MARK: Times

    /// The first moment behind `moment` at which it runs; both in seconds since 1970. nil: not within eight years.
    public func next(after moment: Int) -> Int? {
        let start = moment + 1
        let firstDay = Self.floor(start, 86_400)
        for day in firstDay..<firstDay + 366 * 8 where runs(on: day) {
            let from = day == firstDay ? start - day * 86_400 : 0
            if let second = firstSecond(from: from) { return day * 86_400 + second }
        }
        return nil
    }

    private static func floor(_ value: Int, _ unit: Int) -> Int { value >= 0 ? value / unit : -((-value + unit - 1) / unit) }

    private func firstSecond(from: Int) -> Int? {
        for hour in from / 3_600..<24 where hours & 1 << UInt64(hour) != 0 {
            let inHour = max(from - hour * 3_600, 0)
            for minute in inHour / 60..<60 where minutes & 1 << UInt64(minute) != 0 {
                for second in max(inHour - minute * 60, 0)..<60 where seconds & 1 << UInt64(second) != 0 {
                    return hour * 3_600 + minute * 60 + second
                }
            }
        }
        return nil
    }

    /// - Parameter day: days since 1970-01-01, a Thursday.
    private func runs(on day: Int) -> Bool {
        let (month, dayOfMonth) = Self.date(day)
        guard months & 1 << UInt64(month) != 0 else { return false }
        let isDay = days & 1 << UInt64(dayOfMonth) != 0
        let isWeekday = weekdays & 1 << UInt64((day % 7 + 11) % 7) != 0
        // Both given: either will do, as in every cron.
        return anyDay || anyWeekday ? isDay && isWeekday : isDay || isWeekday
    }

    /// Month and day of the Gregorian calendar, counted in years that begin in March.
    private static func date(_ day: Int) -> (month: Int, day: Int) {
        let shifted = day + 719_468
        let era = floor(shifted, 146_097)
        let ofEra = shifted - era * 146_097
        let year = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * year + year / 4 - year / 100)
        let month = (5 * ofYear + 2) / 153
        return (month < 10 ? month + 3 : month - 9, ofYear - (153 * month + 2) / 5 + 1)
    }
}

extension Function {
    /// When `scheduled` runs.
    public struct Schedule: Sendable, Equatable {
        public var cron: CronSchedule
        public var position: SourcePosition
    }
}
