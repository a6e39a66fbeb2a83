import Buffers
@testable import Gateway
import HTTP
import Rules
import Support

/// What a proxy says of a client: addresses in `X-Forwarded-For`, ids and trace contexts.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    guard bytes.allSatisfy({ $0 == 9 || $0 >= 32 && $0 != 127 }) else { return 0 }
    address(bytes)
    if let id = RequestID(text: bytes.span), let again = RequestID(text: id.digits.span) {
        require(again.high == id.high && again.low == id.low, "an id that reads differently")
    }
    _ = TraceContext.isValid(bytes.span)
    chain(bytes)
    return 0
}

private func address(_ bytes: [UInt8]) {
    guard let address = IPAddress(forwarded: bytes.span) else { return }
    let again = Array(address.text.utf8)
    require(IPAddress(forwarded: again.span) == address, "an address that reads differently: \(address.text)")
}

/// What anybody may send of it, by whichever name, is gone before an origin sees the request.
private func chain(_ bytes: [UInt8]) {
    var head = Head()
    head.setMethod(Array("GET".utf8).span)
    head.add(name: Array("X-Forwarded-For".utf8).span, value: bytes.span)
    Claims.removeAll(&head)
    require(head.fields.isEmpty, "a claim is left")
    for name in ["x_forwarded_for", "X-Forwarded_Host", "X_REAL-IP", "Forwarded"] {
        head.add(name: Array(name.utf8).span, value: bytes.span)
    }
    Claims.removeAll(&head)
    require(head.fields.isEmpty, "a claim by another name is left")
}
