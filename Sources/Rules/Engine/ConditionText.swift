import Buffers

/// A condition as it would be written, for people.
struct ConditionText {
    private(set) var text: String
    /// The field whose value explains the outcome.
    private(set) var field: FieldUse?

    init(_ condition: Condition) {
        switch condition {
        case .constant(let value): text = value ? "true" : "false"
        case .and: text = "and"
        case .or: text = "or"
        case .not: text = "not"
        case .flag(let use):
            text = use.written
            field = use
        case .exists(let use):
            text = "exists(\(use.written))"
            field = use
        case .compare(let comparison):
            let left = Self.transformed(comparison.left.written, comparison.transform)
            let whole = "\(left) \(Self.word(comparison.operation)) \(Self.right(comparison.right))"
            text = comparison.any ? "any(\(whole))" : whole
            field = comparison.left
        }
    }

    private static func transformed(_ name: String, _ transform: Comparison.Transform) -> String {
        switch transform {
        case .none: name
        case .lowercase: "lower(\(name))"
        case .length: "len(\(name))"
        }
    }

    private static func word(_ operation: Comparison.Operator) -> String {
        switch operation {
        case .equal: "=="
        case .notEqual: "!="
        case .less: "<"
        case .lessOrEqual: "<="
        case .greater: ">"
        case .greaterOrEqual: ">="
        case .isIn: "in"
        case .contains: "contains"
        case .startsWith: "starts_with"
        case .endsWith: "ends_with"
        case .matches: "matches"
        case .like: "like"
        }
    }

    private static func right(_ right: Comparison.Right) -> String {
        switch right {
        case .text(let bytes): JSONText.quoted(String(decoding: bytes, as: UTF8.self))
        case .integer(let number): String(number)
        case .boolean(let flag): flag ? "true" : "false"
        case .address(let address): written(address)
        case .field(let use, let transform): transformed(use.written, transform)
        case .texts(let texts): set(texts.map { JSONText.quoted(String(decoding: $0, as: UTF8.self)) })
        case .integers(let ranges): set(ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)..\($0.upperBound)" })
        case .addresses(let ranges): set(ranges.map { "\(written($0.network))/\($0.prefix)" })
        case .pattern(let pattern): JSONText.quoted(pattern)
        }
    }

    private static func written(_ address: IPAddress) -> String {
        var arena = ByteArena(capacity: 64)
        let range = address.append(to: &arena)
        return arena[range].text()
    }

    private static func set(_ members: [String]) -> String {
        let shown = members.prefix(8).joined(separator: " ")
        return members.count > 8 ? "{\(shown) ... \(members.count) in all}" : "{\(shown)}"
    }
}
