import Rules
import RuleSupport
import Support

/// The first byte is the phase, the rest an expression.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let phase = Phase.allCases[Int(all[0]) % 3]
    let text = String(decoding: all.dropFirst(), as: UTF8.self)
    let lists: [String: NamedList.Values] = ["l": .strings(["a", "/a/b.css"]), "n": .addresses([AddressRange("10.0.0.0/8")].compactMap { $0 })]
    let outcome = RuleParsers.expression(text, phase: phase, lists: lists)
    let errors = outcome.problems.filter { $0.code.severity == .error }
    require((outcome.condition == nil) == !errors.isEmpty, "a condition and errors, or neither")
    for problem in outcome.problems {
        require(!problem.message.isEmpty, "a problem without words")
        require(problem.range.upperBound <= text.unicodeScalars.count + 1, "a place behind the end: \(problem)")
    }
    guard let condition = outcome.condition else { return 0 }
    // With an index, without it, and negated.
    let rules = (0..<14).map { RuleParsers.rule($0, when: $0 == 13 ? .not(condition) : condition, []) }
    let generation = Generation(RuleParsers.configuration(rules))
    let matched = matchedRules(generation, asksEveryRule: false)
    require(matched == matchedRules(generation, asksEveryRule: true), "the index changes what matches: \(text)")
    require(matched.count == 13 || matched == [13], "neither the condition nor its opposite is true")
    return 0
}
