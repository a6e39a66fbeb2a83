/// A value with `${...}` in it.
public struct Template: Sendable {
    public enum Piece: Sendable {
        case literal([UInt8])
        case field(FieldUse)
        /// A named group of a pattern of the same rule.
        case capture(String)
    }
    public var pieces: [Piece]

    /// The whole text when nothing in it varies.
    public var constant: [UInt8]? {
        var bytes: [UInt8] = []
        for piece in pieces {
            guard case .literal(let text) = piece else { return nil }
            bytes += text
        }
        return bytes
    }

    /// Names of the groups it uses.
    var captures: [String] {
        pieces.compactMap {
            if case .capture(let name) = $0 { return name }
            return nil
        }
    }

    public init(_ pieces: [Piece]) { self.pieces = pieces }
    init(literal text: String) { pieces = text.isEmpty ? [] : [.literal(Array(text.utf8))] }
}

/// Reads `text ${field} text`. `$${` stands for the two characters `${`.
struct TemplateParser {
    let phase: Phase
    /// Groups of the rule's patterns.
    let captures: Set<String>
    private(set) var problems: [ExpressionProblem] = []

    init(phase: Phase, captures: Set<String>) {
        self.phase = phase
        self.captures = captures
    }

    mutating func parse(_ text: String) -> Template {
        let scalars = Array(text.unicodeScalars)
        var pieces: [Template.Piece] = []
        var literal = String.UnicodeScalarView()
        var index = 0
        while index < scalars.count {
            guard scalars[index] == "$" else {
                literal.append(scalars[index])
                index += 1
                continue
            }
            if Self.match(scalars, index, "$${") {
                literal.append(contentsOf: "${".unicodeScalars)
                index += 3
                continue
            }
            guard Self.match(scalars, index, "${") else {
                literal.append("$")
                index += 1
                continue
            }
            guard let end = scalars[index...].firstIndex(of: "}") else {
                problems.append(ExpressionProblem(
                    code: .templateSyntax, message: "`${` has no end", range: index..<scalars.count, label: "add `}`, or write `$${` for the characters themselves"))
                break
            }
            if !literal.isEmpty { pieces.append(.literal(Array(String(literal).utf8))) }
            literal = String.UnicodeScalarView()
            let name = String(String.UnicodeScalarView(scalars[index + 2..<end]))
            if let piece = variable(name, index + 2..<end) { pieces.append(piece) }
            index = end + 1
        }
        if !literal.isEmpty { pieces.append(.literal(Array(String(literal).utf8))) }
        return Template(pieces)
    }

    private static func match(_ scalars: [Unicode.Scalar], _ index: Int, _ text: String) -> Bool {
        scalars[index...].starts(with: text.unicodeScalars)
    }

    private mutating func variable(_ name: String, _ range: Range<Int>) -> Template.Piece? {
        let shown = range.isEmpty ? range.lowerBound - 2..<range.upperBound + 1 : range
        if name.hasPrefix("match.") {
            let group = String(name.dropFirst(6))
            if captures.contains(group) { return .capture(group) }
            let nearest = NearestWord.find(group, among: captures.sorted())
            problems.append(ExpressionProblem(
                code: .unknownCapture, message: "no pattern of this rule has a group named `\(group)`", range: shown,
                label: nearest.map { "did you mean `match.\($0)`?" } ?? "add `(?<\(group)>...)` to a `matches`", suggestion: nearest.map { "match.\($0)" }))
            return nil
        }
        guard let (info, member) = Fields.find(variable: name) else {
            let nearest = Fields.suggest(name)?.name ?? Fields.suggestMember(name)?.name
            problems.append(ExpressionProblem(
                code: .unknownVariable, message: "unknown variable `${\(name)}`", range: shown,
                label: Fields.reasonAgainst(variable: name) ?? nearest.map { "did you mean `\($0)`?" } ?? "", suggestion: nearest))
            return nil
        }
        if let problem = ExpressionParser.availability(info, name, phase, shown) {
            problems.append(problem)
            return nil
        }
        return .field(FieldUse(id: info.id, name: member, type: info.type, written: name))
    }
}
