import Buffers
import HTTP
import Rules
import RuleSupport
import Support

/// A `Cookie` field, and what a rule reads of it.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    guard bytes.allSatisfy({ $0 == 9 || $0 >= 32 && $0 != 127 }), bytes.first != 32, bytes.last != 32, bytes.first != 9, bytes.last != 9 else { return 0 }
    let exchange = sampleExchange()
    exchange.request.remove(.cookie)
    exchange.request.add(name: Array("Cookie".utf8).span, value: bytes.span)
    var runner = RuleRunner()
    guard runner.begin(generation, exchange) else { return 0 }
    runner.enter(.request, exchange)
    _ = runner.next(exchange)
    let made = trimmed(Array((exchange.request.text(of: "x-made") ?? "").utf8)[...])
    // As text, which repairs what is no UTF-8.
    let expected = Array(String(decoding: naive(bytes), as: UTF8.self).utf8)
    require(made == expected, "another cookie than in the simplest way: \(made) and \(expected)")
    return 0
}

// Made once: it only reads.
private let generation: Generation = {
    let (template, problems) = RuleParsers.template("${cookie.a}", phase: .request, captures: [])
    require(problems == 0, "the template is good")
    let always = RuleParsers.expression("true", phase: .request).condition
    return Generation(RuleParsers.configuration([RuleParsers.rule(0, when: always, [.setHeader(name: "X-Made", value: template)])]))
}()

/// The first pair of that name. White space around its value is none of a field's.
private func naive(_ bytes: [UInt8]) -> [UInt8] {
    for part in bytes.split(separator: 59, omittingEmptySubsequences: true) {
        let pair = part.drop { $0 == 32 }
        guard let equals = pair.firstIndex(of: 61), pair[..<equals].elementsEqual([97]) else { continue }
        return trimmed(pair[(equals + 1)...])
    }
    return []
}

private func trimmed(_ part: ArraySlice<UInt8>) -> [UInt8] {
    var part = part
    while let first = part.first, first == 32 || first == 9 { part.removeFirst() }
    while let last = part.last, last == 32 || last == 9 { part.removeLast() }
    return Array(part)
}
