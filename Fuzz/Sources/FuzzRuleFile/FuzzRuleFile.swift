import Rules
import RuleSupport
import Support

/// A rule file. `more.yaml` and a hook lie beside it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    let files = FileBundle(
        files: ["rules.yaml": bytes, "more.yaml": Array("lists: {l: [a, b]}".utf8), "hook.js": Array("export default {}".utf8)],
        known: ["a.crt", "a.key"])
    let result = RuleFile.load("rules.yaml", provider: files)
    require((result.configuration == nil) == (result.diagnostics.errorCount > 0), "a configuration and errors, or neither")
    let lines = bytes.count { $0 == 10 } + 1
    for each in result.diagnostics {
        require(!each.message.isEmpty, "a diagnostic without words")
        if each.file == "rules.yaml", each.position.file >= 0 {
            require((1...lines + 1).contains(Int(each.position.line)), "line \(each.position.line) of \(lines)")
            require(each.position.column >= 1, "column \(each.position.column)")
        }
    }
    _ = result.diagnostics.text
    _ = result.diagnostics.json
    guard let configuration = result.configuration else { return 0 }
    let generation = Generation(configuration)
    require(
        matchedRules(generation, asksEveryRule: false) == matchedRules(generation, asksEveryRule: true), "the index changes what matches")
    let again = RuleFile.load("rules.yaml", provider: result.filesRead)
    require(again.configuration.map { Generation($0).ruleCount } == generation.ruleCount, "what was read does not load again")
    return 0
}
