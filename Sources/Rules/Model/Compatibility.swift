/// A day, as `compat:` names it.
public struct CompatDate: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let year, month, day: Int

    /// `YYYY-MM-DD`; nil for anything else, also for days that no calendar has.
    public init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.map(\.utf8.count) == [4, 2, 2], parts.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }),
            let year = Int(parts[0]), let month = Int(parts[1]), let day = Int(parts[2]), (1...12).contains(month),
            (1...CompatDate.days(in: month, of: year)).contains(day)
        else { return nil }
        self.init(year, month, day)
    }

    init(_ year: Int, _ month: Int, _ day: Int) {
        self.year = year
        self.month = month
        self.day = day
    }

    private static func days(in month: Int, of year: Int) -> Int {
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
    }

    public static func < (a: CompatDate, b: CompatDate) -> Bool { (a.year, a.month, a.day) < (b.year, b.month, b.day) }

    public var description: String {
        func digits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(year)-\(digits(month))-\(digits(day))"
    }
}

/// What hooks see differently from a day on. A function whose `compat:` is an earlier day keeps what was before: code that
/// works goes on working, whatever version of Sluice runs it.
///
/// A change of behaviour that a hook could have relied on gets a line here, with the day after its release's newest one, and
/// asks `realm.since("name")` in the prelude. Lines are never removed. Mending what contradicts a standard and cannot have
/// worked needs none, nor does what is only added.
public enum Compatibility {
    public struct Change: Sendable {
        /// As the prelude asks for it.
        public let name: String
        public let since: CompatDate
        public let before: String
        public let after: String
    }

    /// Behaviour before this day was never released.
    public static let first = CompatDate(2026, 11, 1)
    /// What a later day will mean this version cannot know.
    public static let newest = CompatDate(2026, 11, 26)

    public static let changes = [
        Change(
            name: "event_args_function", since: CompatDate(2026, 11, 26),
            before: "`event.args` is the frozen object of the rule's `args`: `typeof event.args` is `\"object\"`.",
            after: "`event.args` is a function with the same members, as Azion's code has it: `event.args.name` and `event.args(\"name\")`."),
        Change(
            name: "request_metadata_names", since: CompatDate(2026, 11, 26),
            before: "`request.metadata` has seven names; those of places and of client certificates are `undefined`.",
            after: "`request.metadata` has every name, and an empty string where nothing is known."),
    ]

    /// Names of the changes that a function of this day does not see; nil stands for the newest.
    public static func heldBack(at date: CompatDate?) -> [String] {
        guard let date else { return [] }
        return changes.filter { $0.since > date }.map(\.name)
    }

    /// The table, for the reference.
    public static var markdown: String {
        "| since | name | before | from then on |\n|---|---|---|---|\n"
            + changes.map { "| \($0.since) | `\($0.name)` | \($0.before) | \($0.after) |\n" }.joined()
    }
}
