import Gateway
import Rehearsal
import Support

/// The first byte says what the rest is: an entry of a HAR file, a line of an access log (strangers have written parts of
/// both), a URL, or an Azion configuration.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let text = String(decoding: all.dropFirst(), as: UTF8.self)
    readsTheSame(text)
    var described = DescribedRequest()
    switch all[0] & 3 {
    case 0: if described.take(har: text, entry: Int(all[0] >> 6)) == nil { requireTarget(described) }
    case 1: if described.take(logLine: text) == nil { requireTarget(described) }
    case 2: if described.take(url: text) { requireTarget(described) }
    default:
        guard let taken = AzionImport(text) else { return 0 }
        require(taken.yaml.contains("sluice: 1"), "an import without a rule file")
        require(taken.omissions.allSatisfy { !$0.isEmpty }, "something was left out without a word")
    }
    return 0
}

private func readsTheSame(_ text: String) {
    guard let value = JSON(text) else { return }
    for written in [value.compact, value.pretty] {
        guard let again = JSON(written) else { fatalError("what was written is no JSON: \(written)") }
        require(again.compact == value.compact, "JSON reads otherwise the second time")
        require(again.compact.contains("e") || again.matches(value), "a value that is not itself")
    }
}

private func requireTarget(_ described: DescribedRequest) {
    require(described.request.target.hasPrefix("/"), "a target without a slash")
    require(!described.request.authority.isEmpty, "no host")
}
