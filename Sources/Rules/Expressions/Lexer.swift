/// A piece of an expression. `range` counts Unicode scalars from the expression's start.
struct Token: Equatable {
    enum Kind: Equatable {
        /// A word: field, keyword or function.
        case word(String)
        case string(String)
        case integer(Int)
        /// `1..5`
        case integerRange(ClosedRange<Int>)
        case address(AddressRange)
        case list(String)
        case symbol(String)
        case end
    }
    var kind: Kind
    var range: Range<Int>

    /// As the author reads it, for messages.
    var described: String {
        switch kind {
        case .word(let text): "`\(text)`"
        case .string: "a string"
        case .integer, .integerRange: "a number"
        case .address: "an address"
        case .list(let name): "`$\(name)`"
        case .symbol(let text): "`\(text)`"
        case .end: "the end"
        }
    }
}

/// Something wrong in an expression; becomes a diagnostic once its place in the file is known.
struct ExpressionProblem: Error, Equatable {
    var code: DiagnosticCode
    var message: String
    var range: Range<Int>
    var label = ""
    var suggestion: String?
}

/// Cuts an expression into tokens.
struct Lexer {
    private let scalars: [Unicode.Scalar]
    private var index = 0

    static func tokens(_ text: String) throws(ExpressionProblem) -> [Token] {
        var lexer = Lexer(scalars: Array(text.unicodeScalars))
        var tokens: [Token] = []
        while let token = try lexer.next() { tokens.append(token) }
        let end = lexer.scalars.count
        tokens.append(Token(kind: .end, range: end..<end))
        return tokens
    }

    private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

    private func peek(_ ahead: Int = 0) -> Unicode.Scalar {
        index + ahead < scalars.count ? scalars[index + ahead] : "\0"
    }

    private func text(_ range: Range<Int>) -> String { String(String.UnicodeScalarView(scalars[range])) }

    private mutating func next() throws(ExpressionProblem) -> Token? {
        while index < scalars.count, peek() == " " || peek() == "\n" { index += 1 }
        guard index < scalars.count else { return nil }
        let first = peek()
        if first == "\"" { return try string() }
        if first == "'" {
            throw ExpressionProblem(
                code: .literal, message: "strings stand in double quotes", range: index..<index + 1, label: "write `\"`")
        }
        if first == "$" { return try list() }
        if looksLikeAddress() { return try address() }
        if Self.isDigit(first) { return try number() }
        if Self.isWordStart(first) { return word() }
        return try symbol()
    }

    private mutating func string() throws(ExpressionProblem) -> Token {
        let start = index
        index += 1
        var value = String.UnicodeScalarView()
        while index < scalars.count {
            let scalar = peek()
            if scalar == "\"" {
                index += 1
                return Token(kind: .string(String(value)), range: start..<index)
            }
            // Only `\"` and `\\` are escapes, so that `"\d"` is the pattern its author meant.
            if scalar == "\\", peek(1) == "\"" || peek(1) == "\\" { index += 1 }
            value.append(peek())
            index += 1
        }
        throw ExpressionProblem(
            code: .literal, message: "the string has no end", range: start..<scalars.count, label: "add `\"`")
    }

    private mutating func list() throws(ExpressionProblem) -> Token {
        let start = index
        index += 1
        while Self.isWord(peek()) { index += 1 }
        guard index > start + 1 else {
            throw ExpressionProblem(code: .expressionSyntax, message: "a list name must follow `$`", range: start..<index)
        }
        return Token(kind: .list(text(start + 1..<index)), range: start..<index)
    }

    /// Hexadecimal digits and a colon, or four numbers with dots, come before words and numbers.
    private func looksLikeAddress() -> Bool {
        var at = index
        while at < scalars.count, Self.isHex(scalars[at]) { at += 1 }
        guard at < scalars.count else { return false }
        if scalars[at] == ":" { return true }
        guard scalars[at] == ".", at > index, at + 1 < scalars.count, Self.isDigit(scalars[at + 1]) else { return false }
        return scalars[index..<at].allSatisfy(Self.isDigit)
    }

    private mutating func address() throws(ExpressionProblem) -> Token {
        let start = index
        while Self.isHex(peek()) || peek() == ":" || peek() == "." || peek() == "/" || peek() == "*" { index += 1 }
        let written = text(start..<index)
        guard let range = AddressRange(written) else {
            throw ExpressionProblem(
                code: .literal, message: "`\(written)` is not an IP address or network", range: start..<index,
                label: "for example 10.0.0.0/8 or 2001:db8::/32")
        }
        return Token(kind: .address(range), range: start..<index)
    }

    private mutating func number() throws(ExpressionProblem) -> Token {
        let start = index
        while Self.isDigit(peek()) { index += 1 }
        let first = Units.integer(text(start..<index))
        if peek() == ".", peek(1) == ".", Self.isDigit(peek(2)) {
            index += 2
            let second = index
            while Self.isDigit(peek()) { index += 1 }
            if let first, let last = Units.integer(text(second..<index)), first <= last {
                return Token(kind: .integerRange(first...last), range: start..<index)
            }
        } else if let first, !Self.isWord(peek()) {
            return Token(kind: .integer(first), range: start..<index)
        }
        while Self.isWord(peek()) { index += 1 }
        throw ExpressionProblem(code: .literal, message: "`\(text(start..<index))` is not a number", range: start..<index)
    }

    private mutating func word() -> Token {
        let start = index
        while Self.isWord(peek()) { index += 1 }
        return Token(kind: .word(text(start..<index)), range: start..<index)
    }

    private mutating func symbol() throws(ExpressionProblem) -> Token {
        let start = index
        let pair = index + 1 < scalars.count ? text(index..<index + 2) : ""
        if ["==", "!=", "<=", ">=", "&&", "||"].contains(pair) {
            index += 2
            return Token(kind: .symbol(pair), range: start..<index)
        }
        let one = text(index..<index + 1)
        guard ["<", ">", "(", ")", "{", "}", "[", "]", ",", "!", "~", "*"].contains(one) else {
            throw ExpressionProblem(
                code: .expressionSyntax, message: "`\(one)` has no meaning here", range: start..<start + 1,
                label: one == "=" ? "write `==`" : "")
        }
        index += 1
        return Token(kind: .symbol(one), range: start..<index)
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { scalar >= "0" && scalar <= "9" }
    private static func isHex(_ scalar: Unicode.Scalar) -> Bool {
        isDigit(scalar) || (scalar >= "a" && scalar <= "f") || (scalar >= "A" && scalar <= "F")
    }
    private static func isWordStart(_ scalar: Unicode.Scalar) -> Bool {
        (scalar >= "a" && scalar <= "z") || (scalar >= "A" && scalar <= "Z") || scalar == "_"
    }
    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        isWordStart(scalar) || isDigit(scalar) || scalar == "." || scalar == "-"
    }
}
