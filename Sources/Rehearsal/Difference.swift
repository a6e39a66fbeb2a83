/// Two texts, line by line.
enum Difference {
    /// Lines that only the first has begin with `-`, those that only the second has with `+`. Longer texts than
    /// `limit` lines are cut.
    static func lines(expected: String, actual: String, limit: Int = 200) -> [String] {
        let a = Array(expected.split(separator: "\n", omittingEmptySubsequences: false).prefix(limit))
        let b = Array(actual.split(separator: "\n", omittingEmptySubsequences: false).prefix(limit))
        // Longest common run of lines, from behind.
        var common = Array(repeating: Array(repeating: 0, count: b.count + 1), count: a.count + 1)
        for i in a.indices.reversed() {
            for j in b.indices.reversed() {
                common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : max(common[i + 1][j], common[i][j + 1])
            }
        }
        var out: [String] = []
        var (i, j) = (0, 0)
        while i < a.count || j < b.count {
            if i < a.count, j < b.count, a[i] == b[j] {
                out.append("  \(shown(a[i]))")
                i += 1
                j += 1
            } else if i < a.count, j == b.count || common[i + 1][j] >= common[i][j + 1] {
                out.append("- \(shown(a[i]))")
                i += 1
            } else {
                out.append("+ \(shown(b[j]))")
                j += 1
            }
        }
        return out
    }

    /// Safe for a terminal, and no longer than a screen.
    static func shown(_ text: some StringProtocol) -> String {
        let safe = String(String.UnicodeScalarView(text.unicodeScalars.prefix(300).map { $0.value < 0x20 || 0x7f..<0xa0 ~= $0.value ? "\u{FFFD}" : $0 }))
        return text.unicodeScalars.count > 300 ? safe + "..." : safe
    }
}
