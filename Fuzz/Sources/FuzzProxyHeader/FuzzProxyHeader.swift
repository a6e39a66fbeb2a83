import Buffers
import HTTP
import Support

/// What a balancer sends before the first byte of a connection.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = input(start, count)
    guard case .complete(let consumed, let addresses) = ProxyHeader.parse(bytes.span) else { return 0 }
    require(consumed > 0 && consumed <= bytes.count && consumed <= ProxyHeader.longest, "a header longer than what came")
    let exact = Array(bytes[..<consumed])
    require(ProxyHeader.parse(exact.span) == .complete(consumed: consumed, addresses: addresses), "what follows changes the header")
    let shorter = Array(bytes[..<(consumed - 1)])
    require(ProxyHeader.parse(shorter.span) == .needMore || shorter.isEmpty, "a header is complete before its end")
    guard let addresses, addresses.source.isV6 == addresses.destination.isV6 else { return 0 }
    for version in [ProxyHeader.Version.v1, .v2] {
        var output = OutputBuffer(pool: SlabPool())
        ProxyHeader.write(version, addresses, to: &output)
        var written: [UInt8] = []
        while let slice = output.popFirst() { written += slice.bytes.array() }
        require(ProxyHeader.parse(written.span) == .complete(consumed: written.count, addresses: addresses), "what is written reads differently")
    }
    return 0
}
