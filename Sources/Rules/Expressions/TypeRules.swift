import Buffers
import Patterns

/// Operators and the types they take.
extension ExpressionParser {
    /// The right side as written, before types are compared.
    struct RightSide {
        enum Value {
            case string(String)
            case integer(Int)
            case boolean(Bool)
            case address(AddressRange)
            case list(String)
            case set([Token])
            case operand(Operand)
        }
        var value: Value
        var range: Range<Int>
    }

    private static let operators: [String: Comparison.Operator] = [
        "==": .equal, "eq": .equal, "!=": .notEqual, "ne": .notEqual, "<": .less, "lt": .less, "<=": .lessOrEqual,
        "le": .lessOrEqual, ">": .greater, "gt": .greater, ">=": .greaterOrEqual, "ge": .greaterOrEqual, "in": .isIn,
        "contains": .contains, "starts_with": .startsWith, "ends_with": .endsWith, "matches": .matches, "~": .matches,
        "like": .like, "wildcard": .like,
    ]

    mutating func comparison(_ left: Operand) throws(ExpressionProblem) -> Condition {
        let place = current.range
        let name: String
        switch current.kind {
        case .word(let word): name = word
        case .symbol(let symbol): name = symbol
        default: name = ""
        }
        if name == "not" {
            advance()
            guard take("in") else {
                throw ExpressionProblem(
                    code: .expressionSyntax, message: "`not` stands before what it negates", range: place, label: "write `not \(left.written) ...`")
            }
            return .not(compare(left, "in", place, try right(of: left)))
        }
        guard Self.operators[name] != nil else { return try withoutOperator(left, name, place) }
        advance()
        return compare(left, name, place, try right(of: left))
    }

    private mutating func withoutOperator(_ left: Operand, _ word: String, _ place: Range<Int>) throws(ExpressionProblem) -> Condition {
        if case .word = current.kind, word != "and", word != "or" {
            let nearest = NearestWord.find(word, among: Self.operators.keys.sorted().filter { $0.count > 2 || $0 == "in" })
            throw ExpressionProblem(
                code: .unknownOperator, message: "unknown operator `\(word)`", range: place,
                label: nearest.map { "did you mean `\($0)`?" } ?? "", suggestion: nearest)
        }
        guard let use = left.use else { return .constant(false) }
        if use.type == .boolean { return .flag(use) }
        report(ExpressionProblem(
            code: .typeMismatch, message: "`\(left.written)` is \(left.type?.described ?? "a value"), not a condition", range: left.range,
            label: "compare it, or write `exists(\(left.written))`"))
        return .constant(false)
    }

    mutating func right(of left: Operand) throws(ExpressionProblem) -> RightSide {
        let token = current
        let value: RightSide.Value
        switch token.kind {
        case .string(let text): value = .string(text)
        case .integer(let number): value = .integer(number)
        case .address(let range): value = .address(range)
        case .list(let name): value = .list(name)
        case .symbol("{"): return try set()
        case .word("true"), .word("false"): value = .boolean(token.kind == .word("true"))
        case .word:
            let operand = try operand()
            return RightSide(value: .operand(operand), range: operand.range)
        default:
            throw ExpressionProblem(
                code: .expressionSyntax, message: "expected a value, found \(token.described)", range: shown(token.range),
                label: left.type == .text ? "strings stand in double quotes" : "")
        }
        advance()
        return RightSide(value: value, range: token.range)
    }

    private mutating func set() throws(ExpressionProblem) -> RightSide {
        let start = current.range.lowerBound
        advance()
        var elements: [Token] = []
        while !take("}") {
            if take(",") { continue }
            switch current.kind {
            case .string, .integer, .integerRange, .address: elements.append(current)
            default:
                throw ExpressionProblem(
                    code: .expressionSyntax, message: "expected a value or `}`, found \(current.described)", range: shown(current.range))
            }
            advance()
        }
        return RightSide(value: .set(elements), range: start..<previousEnd)
    }

    /// A typed comparison; a constant after a problem that was reported.
    mutating func compare(_ left: Operand, _ name: String, _ place: Range<Int>, _ right: RightSide) -> Condition {
        guard let operation = Self.operators[name], let use = left.use, let type = left.type else { return .constant(false) }
        if case .operand(let operand) = right.value, operand.use == nil { return .constant(false) }
        let typed: Comparison.Right?
        switch operation {
        case .isIn: typed = membership(left, type, right)
        case .less, .lessOrEqual, .greater, .greaterOrEqual: typed = ordered(left, type, name, right)
        case .equal, .notEqual: typed = equal(left, type, name, right)
        default: typed = textual(left, type, operation, name, right)
        }
        guard let typed else { return .constant(false) }
        return .compare(Comparison(left: use, transform: left.transform, operation: operation, right: typed))
    }

    // MARK: Each kind of operator

    private mutating func equal(_ left: Operand, _ type: ValueType, _ name: String, _ right: RightSide) -> Comparison.Right? {
        switch (type, right.value) {
        case (.text, .string(let text)): return .text(Array(text.utf8))
        case (.integer, .integer(let number)): return .integer(number)
        case (.boolean, .boolean(let flag)): return .boolean(flag)
        case (.address, .address(let range)):
            if range.prefix == (range.network.isV6 ? 128 : 32) { return .address(range.network) }
            mismatch("cannot compare an IP address with a network", right, "write `\(left.written) in ...`")
        case (_, .operand(let other)) where other.type == type && type != .boolean: return other.use.map { .field($0, other.transform) }
        case (_, .set), (_, .list): mismatch("`\(name)` needs one value", right, "write `\(left.written) in ...`")
        default: mismatch(left, type, name, right)
        }
        return nil
    }

    private mutating func ordered(_ left: Operand, _ type: ValueType, _ name: String, _ right: RightSide) -> Comparison.Right? {
        guard type == .integer else {
            report(ExpressionProblem(
                code: .typeMismatch, message: "`\(name)` compares numbers; `\(left.written)` is \(type.described)", range: left.range))
            return nil
        }
        if case .integer(let number) = right.value { return .integer(number) }
        if case .operand(let other) = right.value, other.type == .integer { return other.use.map { .field($0, other.transform) } }
        mismatch(left, type, name, right)
        return nil
    }

    private mutating func textual(
        _ left: Operand, _ type: ValueType, _ operation: Comparison.Operator, _ name: String, _ right: RightSide
    ) -> Comparison.Right? {
        guard type == .text else {
            report(ExpressionProblem(
                code: .typeMismatch, message: "`\(name)` needs a string; `\(left.written)` is \(type.described)", range: left.range,
                label: type == .address ? "write `\(left.written) in 10.0.0.0/24`" : ""))
            return nil
        }
        switch right.value {
        case .string(let text):
            guard operation == .matches else { return .text(Array(text.utf8)) }
            return pattern(text, right)
        case .operand(let other) where other.type == .text && operation != .matches && operation != .like:
            return other.use.map { .field($0, other.transform) }
        default:
            mismatch("`\(name)` needs a string on its right side", right, quoted(right))
            return nil
        }
    }

    private mutating func pattern(_ text: String, _ right: RightSide) -> Comparison.Right? {
        do {
            _ = try Pattern(text)
            return .pattern(text)
        } catch {
            report(ExpressionProblem(code: .pattern, message: "the pattern is not valid: \(error.message)", range: right.range))
            return nil
        }
    }

    private mutating func membership(_ left: Operand, _ type: ValueType, _ right: RightSide) -> Comparison.Right? {
        switch right.value {
        case .list(let name): return listed(left, type, name, right)
        case .address(let range):
            if type == .address { return .addresses([range]) }
        case .set(let elements): return set(left, type, elements)
        case .string(let text) where type == .address:
            mismatch("`in` needs an address or network without quotes", right, AddressRange(text) == nil ? "" : "write `\(left.written) in \(text)`")
            return nil
        default: break
        }
        if case .address = right.value {
            mismatch(left, type, "in", right)
        } else {
            mismatch("`in` needs a set `{...}`, a list `$name` or a network", right, "")
        }
        return nil
    }

    private mutating func listed(_ left: Operand, _ type: ValueType, _ name: String, _ right: RightSide) -> Comparison.Right? {
        guard let values = lists[name] else {
            let nearest = NearestWord.find(name, among: lists.keys.sorted())
            let defined = lists.isEmpty ? "no lists are defined" : "defined: " + lists.keys.sorted().joined(separator: ", ")
            report(ExpressionProblem(
                code: .unknownList, message: "list `\(name)` is not defined; \(defined)", range: right.range,
                label: nearest.map { "did you mean `$\($0)`?" } ?? "", suggestion: nearest))
            return nil
        }
        usedLists.insert(name)
        switch (values, type) {
        case (.addresses(let ranges), .address): return .addresses(ranges)
        case (.strings(let strings), .text): return .texts(strings.map { Array($0.utf8) })
        case (.addresses, _): mismatch("list `\(name)` holds addresses; `\(left.written)` is \(type.described)", right, "")
        case (.strings, _): mismatch("list `\(name)` holds strings; `\(left.written)` is \(type.described)", right, "")
        }
        return nil
    }

    private mutating func set(_ left: Operand, _ type: ValueType, _ elements: [Token]) -> Comparison.Right? {
        var texts: [[UInt8]] = []
        var integers: [ClosedRange<Int>] = []
        var addresses: [AddressRange] = []
        for element in elements {
            switch (type, element.kind) {
            case (.text, .string(let text)): texts.append(Array(text.utf8))
            case (.integer, .integer(let number)): integers.append(number...number)
            case (.integer, .integerRange(let range)): integers.append(range)
            case (.address, .address(let range)): addresses.append(range)
            default:
                report(ExpressionProblem(
                    code: .typeMismatch, message: "cannot compare \(type.described) with \(element.described)", range: element.range))
                return nil
            }
        }
        switch type {
        case .text: return .texts(texts)
        case .integer: return .integers(integers)
        case .address: return .addresses(addresses)
        case .boolean:
            report(ExpressionProblem(code: .typeMismatch, message: "`\(left.written)` is true or false; test it by itself", range: left.range))
            return nil
        }
    }

    // MARK: Messages

    private mutating func mismatch(_ message: String, _ right: RightSide, _ label: String) {
        report(ExpressionProblem(code: .typeMismatch, message: message, range: right.range, label: label))
    }

    private mutating func mismatch(_ left: Operand, _ type: ValueType, _ name: String, _ right: RightSide) {
        mismatch("cannot compare \(type.described) with \(described(right))", right, remedy(left, type, name, right))
    }

    private func described(_ right: RightSide) -> String {
        switch right.value {
        case .string: "a string"
        case .integer: "a number"
        case .boolean: "true or false"
        case .address: "an IP address"
        case .operand(let operand): operand.type?.described ?? "this"
        case .list, .set: "a set"
        }
    }

    /// What to write instead.
    private func remedy(_ left: Operand, _ type: ValueType, _ name: String, _ right: RightSide) -> String {
        switch (type, right.value) {
        case (.address, .string(let text)):
            if let range = AddressRange(text) {
                let single = range.prefix == (range.network.isV6 ? 128 : 32)
                return "write `\(left.written) \(single ? name : "in") \(text)`"
            }
            if let network = Self.network(fromWildcard: text) { return "write `\(left.written) in \(network)`" }
            return "write an address without quotes"
        case (.integer, .string(let text)) where Units.integer(text) != nil: return "write `\(left.written) \(name) \(text)`"
        case (.text, _): return quoted(right)
        default: return ""
        }
    }

    private func quoted(_ right: RightSide) -> String {
        switch right.value {
        case .integer(let number): "write `\"\(number)\"`"
        case .boolean(let flag): "write `\"\(flag)\"`"
        case .address(let range):
            "write `\"\(range.network.text)\(range.prefix == (range.network.isV6 ? 128 : 32) ? "" : "/\(range.prefix)")\"`"
        default: ""
        }
    }

    /// `10.0.0.*` is `10.0.0.0/24`.
    static func network(fromWildcard text: String) -> String? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let known = parts.prefix { UInt8($0) != nil }
        guard parts.count <= 4, !known.isEmpty, known.count < 4, parts.dropFirst(known.count).allSatisfy({ $0 == "*" || $0.isEmpty }) else { return nil }
        let bytes = known.map(String.init) + Array(repeating: "0", count: 4 - known.count)
        return bytes.joined(separator: ".") + "/\(known.count * 8)"
    }
}
