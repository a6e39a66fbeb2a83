import Buffers
@testable import Gateway
@testable import Supervisor
import Support

/// What anybody on this machine may send to the admin address and to the inspector.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    admin(bytes)
    inspector(bytes)
    return 0
}

private func admin(_ bytes: [UInt8]) {
    let whole = AdminRequest.parse(bytes.span)
    for end in cuts(bytes.count, step: 1 + bytes.count / 16) {
        let early = AdminRequest.parse(bytes.span.extracting(first: end))
        require(early == .incomplete || early == whole, "more bytes change a verdict: \(early) and \(whole)")
    }
    guard case .request(let request) = whole else { return }
    require(request.path.utf8.first == UInt8(ascii: "/"), "a path that is none")
    require(request.body.utf8.count <= AdminRequest.bodyLimit, "a body over its limit")
    for text in [request.path, request.query, request.host, request.token ?? "", request.origin ?? "", request.accept] {
        require(text.utf8.allSatisfy { $0 == 9 || $0 >= 32 && $0 < 127 }, "a control byte in a head")
    }
    for name in ["a", "function", "seconds"] { _ = request.parameter(name) }
}

private func inspector(_ bytes: [UInt8]) {
    let whole = InspectorRequest.parse(bytes.span)
    for end in cuts(bytes.count, step: 1 + bytes.count / 16) {
        let early = InspectorRequest.parse(bytes.span.extracting(first: end))
        require(early == .incomplete || early == whole, "more bytes change a verdict: \(early) and \(whole)")
    }
    guard case .request(let request) = whole else { return }
    require(request.length <= bytes.count, "a head longer than what came")
    // An address has no letter beyond those of numbers to the base of sixteen; a port has digits.
    let host = request.host.lowercased()
    let name = host.hasPrefix("localhost") ? host.dropFirst(9) : host[...]
    require(name.utf8.allSatisfy { "0123456789abcdef.:[]".utf8.contains($0) }, "a name of somebody else: \(host)")
}
