import Patterns
import Support

/// A pattern, a zero byte, and a text: what is looked for before the pattern runs is never what a match can lack.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, let text = String(validating: parts[0], as: UTF8.self), let pattern = try? Pattern(text) else { return 0 }
    let subject = Array(parts[1])
    let literals = PatternLiterals(of: text)
    var captures: [Capture] = []
    let found = pattern.firstMatch(in: subject.span, captures: &captures)
    require(found == pattern.matches(subject.span), "two answers")
    guard found else { return 0 }
    require(subject.starts(with: literals.prefix), "a match without the prefix of \(text)")
    require(holds(subject, literals.required), "a match without what is required by \(text)")
    require(captures.count == pattern.groupNames.count + 1 && captures[0].isSet, "a group without an answer")
    for capture in captures where capture.isSet {
        require(capture.start <= capture.end && capture.start >= captures[0].start && capture.end <= captures[0].end, "a group outside of its match")
    }
    return 0
}

private func holds(_ subject: [UInt8], _ text: [UInt8]) -> Bool {
    text.isEmpty || subject.indices.contains { subject[$0...].starts(with: text) }
}
