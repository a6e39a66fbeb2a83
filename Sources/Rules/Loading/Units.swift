/// Sizes and times as they are written in rule files.
enum Units {
    private static let sizes: [(unit: String, factor: Int)] = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
        ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000), ("B", 1),
    ]
    private static let times: [(unit: String, factor: Int)] = [
        ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]

    /// `64KiB` as bytes; nil when it is not a whole number with a unit, or does not fit.
    static func bytes(_ text: String) -> Int? { parse(text, sizes) }

    /// `50ms` as milliseconds.
    static func milliseconds(_ text: String) -> Int? { parse(text, times) }

    /// Decimal digits only; nil otherwise. No sign, no `0x`, no `1_000`, no `007`.
    static func integer(_ text: String) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 &- 48 < 10 }), text == "0" || !text.hasPrefix("0") else { return nil }
        return Int(text)
    }

    private static func parse(_ text: String, _ units: [(unit: String, factor: Int)]) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text[digits.endIndex...].drop { $0 == " " }
        guard let number = integer(String(digits)), let found = units.first(where: { $0.unit == unit }) else { return nil }
        let (value, overflow) = number.multipliedReportingOverflow(by: found.factor)
        return overflow || value > 1 << 50 ? nil : value
    }

    /// `64 KiB`, for messages.
    static func describe(bytes: Int) -> String {
        for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] where bytes >= factor && bytes % factor == 0 {
            return "\(bytes / factor) \(unit)"
        }
        return "\(bytes) bytes"
    }
}
