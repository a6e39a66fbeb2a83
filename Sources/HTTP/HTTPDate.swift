import Buffers

/// The value of the `Date` field (RFC 9110 section 5.6.7), made once per second.
public struct HTTPDate {
    private var second = Int.min
    private var text: [UInt8] = []

    public init() {}

    /// Adds `Date` to a head that has none (RFC 9110 section 6.6.1).
    /// - Parameter seconds: since 1970, UTC.
    public mutating func add(to head: inout Head, seconds: Int) {
        guard !head.contains(.date) else { return }
        if seconds != second {
            second = seconds
            text = Array(HTTPDate.format(seconds).utf8)
        }
        head.add(.date, text.span)
    }

    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    /// - Parameter seconds: since 1970, at least 0.
    public static func format(_ seconds: Int) -> String {
        let day = seconds / 86_400
        let rest = seconds % 86_400
        let (year, month, date) = civil(day)
        return "\(days[day % 7]), \(two(date)) \(months[month - 1]) \(year) \(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60)) GMT"
    }

    /// `2000-10-10T13:55:36Z` (RFC 3339).
    public static func internet(_ seconds: Int) -> String {
        let (year, month, date) = civil(seconds / 86_400)
        let rest = seconds % 86_400
        return "\(year)-\(two(month))-\(two(date))T\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60))Z"
    }

    /// `10/Oct/2000:13:55:36 +0000`, as in the common log format.
    public static func commonLog(_ seconds: Int) -> String {
        let (year, month, date) = civil(seconds / 86_400)
        let rest = seconds % 86_400
        return "\(two(date))/\(months[month - 1])/\(year):\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60)) +0000"
    }

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

    /// The Gregorian date of a day since 1970-01-01, by counting from March so that leap days come last.
    private static func civil(_ day: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = day + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let date = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, date)
    }
}
