import Buffers

/// Reads an expression: grammar here, types in `TypeRules`.
///
///     or         := and { ("or" | "||") and }
///     and        := not { ("and" | "&&") not }
///     not        := ("not" | "!") not | primary
///     primary    := "(" or ")" | "true" | "false" | call | operand [operator right]
///     operand    := field | lower(operand) | len(operand)
struct ExpressionParser {
    static let maximumLength = 16 << 10
    static let maximumDepth = 48
    static let maximumTokens = 4_000

    let phase: Phase
    let lists: [String: NamedList.Values]
    private var tokens: [Token] = []
    private var index = 0
    private var depth = 0
    /// Problems after which reading went on.
    private(set) var problems: [ExpressionProblem] = []
    /// Lists that the expression names.
    var usedLists: Set<String> = []

    init(phase: Phase, lists: [String: NamedList.Values]) {
        self.phase = phase
        self.lists = lists
    }

    /// The condition, or nil with at least one error among `problems`.
    mutating func parse(_ text: String) -> Condition? {
        do throws(ExpressionProblem) {
            guard text.utf8.count <= Self.maximumLength else {
                throw ExpressionProblem(code: .tooComplex, message: "the expression is longer than \(Self.maximumLength) bytes", range: 0..<1)
            }
            tokens = try Lexer.tokens(text)
            guard tokens.count <= Self.maximumTokens else {
                throw ExpressionProblem(code: .tooComplex, message: "the expression has more than \(Self.maximumTokens) words", range: 0..<1)
            }
            let condition = try or()
            guard current.kind == .end else { throw unexpectedRest() }
            return problems.contains { $0.code.severity == .error } ? nil : condition
        } catch {
            problems.append(error)
            return nil
        }
    }

    // MARK: Tokens

    var current: Token { tokens[index] }
    /// Where the last taken token ended.
    var previousEnd: Int { index > 0 ? tokens[index - 1].range.upperBound : 0 }
    private var following: Token { tokens[min(index + 1, tokens.count - 1)] }

    mutating func advance() { if index < tokens.count - 1 { index += 1 } }

    mutating func take(_ symbol: String) -> Bool {
        guard current.kind == .symbol(symbol) || current.kind == .word(symbol) else { return false }
        advance()
        return true
    }

    mutating func expect(_ symbol: String) throws(ExpressionProblem) {
        guard take(symbol) else {
            throw ExpressionProblem(
                code: .expressionSyntax, message: "expected `\(symbol)`, found \(current.described)", range: shown(current.range))
        }
    }

    /// A range that can be underlined even at the end of the text.
    func shown(_ range: Range<Int>) -> Range<Int> { range.isEmpty ? max(0, range.lowerBound - 1)..<max(1, range.upperBound) : range }

    mutating func report(_ problem: ExpressionProblem) { problems.append(problem) }

    // MARK: Grammar

    private mutating func enter() throws(ExpressionProblem) {
        depth += 1
        guard depth <= Self.maximumDepth else {
            throw ExpressionProblem(code: .tooComplex, message: "the expression is nested deeper than \(Self.maximumDepth) levels", range: current.range)
        }
    }

    private mutating func or() throws(ExpressionProblem) -> Condition {
        try enter()
        defer { depth -= 1 }
        let start = index
        var parts: [Condition] = []
        var mixed: Range<Int>?
        repeat {
            let from = index
            let part = try and()
            if case .and = part, !isParenthesized(from) { mixed = tokens[from].range.lowerBound..<tokens[index - 1].range.upperBound }
            parts.append(part)
        } while take("or") || take("||")
        if parts.count > 1, let mixed { warnMixed(mixed, from: start) }
        return parts.count == 1 ? parts[0] : .or(parts)
    }

    /// Whether the part that began at `from` is one parenthesis up to here.
    private func isParenthesized(_ from: Int) -> Bool {
        guard tokens[from].kind == .symbol("("), index > from, tokens[index - 1].kind == .symbol(")") else { return false }
        var level = 0
        for at in from..<index {
            if tokens[at].kind == .symbol("(") { level += 1 }
            if tokens[at].kind == .symbol(")") { level -= 1 }
            if level == 0 { return at == index - 1 }
        }
        return false
    }

    private mutating func warnMixed(_ range: Range<Int>, from start: Int) {
        let whole = tokens[start].range.lowerBound..<tokens[max(start, index - 1)].range.upperBound
        report(ExpressionProblem(
            code: .mixedOperators, message: "`a or b and c` is read as `a or (b and c)`; add parentheses", range: whole,
            label: "here `and` binds before `or`"))
    }

    private mutating func and() throws(ExpressionProblem) -> Condition {
        var parts = [try not()]
        while take("and") || take("&&") { parts.append(try not()) }
        return parts.count == 1 ? parts[0] : .and(parts)
    }

    private mutating func not() throws(ExpressionProblem) -> Condition {
        guard take("not") || take("!") else { return try primary() }
        try enter()
        defer { depth -= 1 }
        return .not(try not())
    }

    private mutating func primary() throws(ExpressionProblem) -> Condition {
        if take("(") {
            let inner = try or()
            try expect(")")
            return inner
        }
        guard case .word(let word) = current.kind else {
            throw ExpressionProblem(
                code: .expressionSyntax, message: "expected a field, found \(current.described)", range: shown(current.range))
        }
        if word == "true" || word == "false" {
            advance()
            return .constant(word == "true")
        }
        if following.kind == .symbol("("), !["lower", "len"].contains(word) { return try call(word) }
        let left = try operand()
        return try comparison(left)
    }

    private mutating func call(_ name: String) throws(ExpressionProblem) -> Condition {
        let place = current.range
        switch name {
        case "exists":
            advance()
            advance()
            let operand = try operand()
            try expect(")")
            return operand.use.map { .exists($0) } ?? .constant(false)
        case "any":
            advance()
            advance()
            let operand = try operand()
            let inner = try comparison(operand)
            try expect(")")
            guard case .compare(var comparison) = inner else { return inner }
            comparison.any = true
            return .compare(comparison)
        case "starts_with", "ends_with", "contains", "matches", "like":
            advance()
            advance()
            let left = try operand()
            try expect(",")
            let right = try right(of: left)
            try expect(")")
            return compare(left, name, place, right)
        default:
            let known = ["exists", "lower", "len", "any", "starts_with", "ends_with", "contains", "matches"]
            let nearest = NearestWord.find(name, among: known)
            throw ExpressionProblem(
                code: .unknownFunction, message: "unknown function `\(name)`", range: place,
                label: nearest.map { "did you mean `\($0)`?" } ?? "", suggestion: nearest)
        }
    }

    // MARK: Operands

    /// A field, possibly within `lower()` or `len()`. `use` is nil after an error that was reported.
    struct Operand {
        var use: FieldUse?
        var transform = Comparison.Transform.none
        var range: Range<Int>
        var written: String

        var type: ValueType? { transform == .length ? .integer : use?.type }
    }

    mutating func operand() throws(ExpressionProblem) -> Operand {
        guard case .word(let word) = current.kind else {
            throw ExpressionProblem(
                code: .expressionSyntax, message: "expected a field, found \(current.described)", range: shown(current.range))
        }
        if word == "lower" || word == "len", following.kind == .symbol("(") { return try transformed(word) }
        let start = current.range
        advance()
        if current.kind == .symbol("[") { return try bracketed(word, start) }
        return Operand(use: resolve(Fields.find(word), word, start), range: start, written: word)
    }

    private mutating func transformed(_ function: String) throws(ExpressionProblem) -> Operand {
        try enter()
        defer { depth -= 1 }
        let start = current.range.lowerBound
        advance()
        advance()
        var inner = try operand()
        try expect(")")
        if let type = inner.use?.type, type != .text || inner.transform != .none {
            report(ExpressionProblem(
                code: .typeMismatch, message: "`\(function)()` needs a string; `\(inner.written)` is \(inner.type?.described ?? type.described)",
                range: inner.range))
            inner.use = nil
        }
        inner.transform = function == "len" ? .length : .lowercase
        inner.range = start..<tokens[index - 1].range.upperBound
        inner.written = "\(function)(\(inner.written))"
        return inner
    }

    /// `header["x"]`, and Cloudflare's `http.request.headers["x"][0]` and `[*]`.
    private mutating func bracketed(_ family: String, _ start: Range<Int>) throws(ExpressionProblem) -> Operand {
        advance()
        guard case .string(let member) = current.kind else {
            throw ExpressionProblem(code: .expressionSyntax, message: "expected a name in quotes, found \(current.described)", range: shown(current.range))
        }
        advance()
        try expect("]")
        if take("[") {
            guard take("*") || current.kind == .integer(0) else {
                throw ExpressionProblem(code: .expressionSyntax, message: "only `[0]` and `[*]` can be asked for", range: shown(current.range))
            }
            if current.kind == .integer(0) { advance() }
            try expect("]")
        }
        let range = start.lowerBound..<tokens[index - 1].range.upperBound
        return Operand(use: resolve(Fields.find(family: family, member: member), family, start), range: range, written: "\(family).\(member)")
    }

    /// Checks that the field exists, is available and has a value in this phase.
    private mutating func resolve(_ found: (info: FieldInfo, name: String)?, _ written: String, _ range: Range<Int>) -> FieldUse? {
        guard let found else {
            report(Self.unknownField(written, range))
            return nil
        }
        if let problem = Self.availability(found.info, written, phase, range) {
            report(problem)
            return nil
        }
        return FieldUse(id: found.info.id, name: found.name, type: found.info.type, written: written)
    }

    private static func unknownField(_ written: String, _ range: Range<Int>) -> ExpressionProblem {
        var problem = ExpressionProblem(code: .unknownField, message: "unknown field `\(written)`", range: range)
        if let info = Fields.suggest(written) {
            problem.label = "did you mean `\(info.name)`?  (\(info.type.noun))"
            problem.suggestion = info.name
        } else if let (name, info) = Fields.suggestMember(written) {
            problem.label = "did you mean `\(name)`?  (\(info.type.noun))"
            problem.suggestion = name
        }
        return problem
    }

    static func availability(_ info: FieldInfo, _ written: String, _ phase: Phase, _ range: Range<Int>) -> ExpressionProblem? {
        guard info.available else {
            return ExpressionProblem(code: .fieldNotAvailable, message: "`\(written)` is not available in this version", range: range)
        }
        guard info.phase.rawValue > phase.rawValue else { return nil }
        if info.phase == .error {
            return ExpressionProblem(
                code: .phase, message: "`\(written)` is known only when the origin or a hook has failed", range: range,
                label: "move this rule to `error:`")
        }
        return ExpressionProblem(
            code: .phase, message: "`\(written)` is known only after the origin has answered", range: range,
            label: "move this rule to `response:`, or test `method`, `path`, `header.*`")
    }

    private func unexpectedRest() -> ExpressionProblem {
        if case .word(let word) = current.kind, let nearest = NearestWord.find(word, among: ["and", "or"]) {
            return ExpressionProblem(
                code: .unknownOperator, message: "unknown operator `\(word)`", range: current.range,
                label: "did you mean `\(nearest)`?", suggestion: nearest)
        }
        return ExpressionProblem(
            code: .expressionSyntax, message: "expected `and` or `or`, found \(current.described)", range: shown(current.range))
    }
}
