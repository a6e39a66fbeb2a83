import Buffers
import HTTP
import Rules
import RuleSupport
import Support

/// The first byte is the phase, the rest a value with `${...}`.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let text = String(decoding: all.dropFirst(), as: UTF8.self)
    let (template, problems) = RuleParsers.template(text, phase: Phase.allCases[Int(all[0]) % 3], captures: ["g"])
    if problems == 0, !text.contains("${") { require(template.constant == Array(text.utf8), "a value without `${` is not itself") }
    guard problems == 0, isAllowed(template) else { return 0 }
    let condition = RuleParsers.expression("path matches \"^/(?<g>[a-z]+)\"", phase: .request).condition
    let generation = Generation(RuleParsers.configuration([RuleParsers.rule(0, when: condition, [
        .setHeader(name: "X-Made", value: template), .setVariable(name: "made", value: template), .rewrite(path: template, query: template),
        .redirect(to: template, status: 302),
    ])]))
    let exchange = sampleExchange()
    var runner = RuleRunner()
    guard runner.begin(generation, exchange) else { return 0 }
    runner.enter(.request, exchange)
    guard case .respond = runner.next(exchange) else { fatalError("the redirect did not end the phase") }
    let made = exchange.request.text(of: "x-made") ?? "missing"
    require(made != "missing" && isClean(made), "a field value with control characters: \(made.debugDescription)")
    let path = exchange.request.text(exchange.request.path)
    require(path.utf8.first == 47, "a path without a slash: \(path)")
    require(!path.utf8.contains { $0 <= 0x20 || $0 >= 0x7f || $0 == 63 || $0 == 35 }, "a path that is none: \(path.debugDescription)")
    require(!path.split(separator: "/").contains { $0 == "." || $0 == ".." }, "dot segments: \(path)")
    let location = exchange.response.text(of: "location") ?? "missing"
    require(isClean(location), "a location with control characters: \(location.debugDescription)")
    return 0
}

/// What the loader lets an author write as a path: `ActionBuilder` refuses the rest.
private func isAllowed(_ template: Template) -> Bool {
    for case .literal(let bytes) in template.pieces {
        if bytes.contains(where: { $0 <= 0x20 || $0 >= 0x7f || $0 == 63 || $0 == 35 }) { return false }
    }
    if case .literal(let first)? = template.pieces.first { return first.first == 47 }
    return true
}

private func isClean(_ text: String) -> Bool { !text.unicodeScalars.contains { $0.value < 0x20 && $0.value != 9 || $0.value == 0x7f } }
