import HTTP
import HTTP1
import Support

/// The first byte says how large the pieces are and what was asked; the rest is what an origin sent.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let bytes = Array(all.dropFirst())
    let method = all[0] & 128 == 0 ? Method.get : .head
    let reading = requireOneReading(bytes, step: Int(all[0] & 31) + 1) { readResponse($0, cuts: $1, answering: method) }
    guard let reading, reading.failure == nil else {
        require(reading?.failure == nil || reading?.failure == .originProtocol, "a response that is the client's fault")
        return 0
    }
    requireCleanFields(reading)
    require(reading.consumed <= bytes.count, "more consumed than there was")
    require(reading.line[4].allSatisfy { $0 == 9 || $0 >= 32 && $0 != 127 }, "a control byte in a reason")
    if case .untilClose = reading.body { require(!reading.flags[0], "a connection that is used again after a body without end") }
    return 0
}
