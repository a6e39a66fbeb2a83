import Buffers
import HTTP
import HTTP1
import Support

/// The first byte says how large the pieces are; the rest is what a client sent.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let bytes = Array(all.dropFirst())
    guard let reading = requireOneReading(bytes, step: Int(all[0] & 31) + 1, { readRequest($0, cuts: $1) }), reading.failure == nil
    else { return 0 }
    requireCleanFields(reading)
    require(reading.consumed <= bytes.count, "more consumed than there was")
    let connect = reading.line[0] == Array("CONNECT".utf8)
    let path = reading.line[2]
    require(connect ? path.isEmpty : path == [42] || path.first == 47, "a path that does not begin with a slash")
    require((path + reading.line[3]).allSatisfy { ASCIISet.target.contains($0) }, "a byte that no target has")
    let authority = reading.line[1]
    let isValid = Authority.isValid(authority.span)
    require(authority.isEmpty || isValid, "an authority that is none")
    let hosts = reading.fields.filter { $0[2] == [FieldName.host.rawValue] }.count
    require(hosts <= 1, "two Host fields")
    return 0
}
