/// What `sluice help CODE` says.
extension DiagnosticCode {
    /// The code as somebody types it, in either case.
    public init?(typed text: String) { self.init(rawValue: text.uppercased()) }

    /// Whether somebody who types this means a code: a letter and digits.
    public static func looksLikeCode(_ text: String) -> Bool {
        guard let first = text.first, first.isASCII, first.isLetter, (2...5).contains(text.utf8.count) else { return false }
        return text.dropFirst().allSatisfy { $0.isASCII && $0.isNumber }
    }

    /// The codes that are most like an unknown one: one digit beside it, else all of its letter.
    public static func near(_ text: String) -> [DiagnosticCode] {
        let wanted = Array(text.uppercased().unicodeScalars)
        let close = allCases.filter { NearestWord.edits(wanted, Array($0.rawValue.unicodeScalars)) <= 1 }
        if !close.isEmpty { return close }
        return allCases.filter { $0.rawValue.unicodeScalars.first == wanted.first }
    }

    /// `E007 (error)` and what it means.
    public var help: String { "\(rawValue) (\(severity.rawValue))\n\n\(explanation)\n" }
}
