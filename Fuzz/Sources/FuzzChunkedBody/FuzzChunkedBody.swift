import Buffers
import HTTP
import HTTP1
import Support

private struct Decoded: Equatable {
    var body: [UInt8] = []
    var trailers: [[[UInt8]]] = []
    var consumed: Int?
    var failed = false
}

/// The first byte says how large the pieces are; the rest is a chunked body.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let bytes = Array(all.dropFirst())
    let whole = decode(bytes, cuts: [bytes.count])
    let pieces = decode(bytes, cuts: cuts(bytes.count, step: Int(all[0] & 31) + 1))
    require(whole == pieces, "a body in pieces is another one: \(whole) and \(pieces)")
    guard let consumed = whole.consumed else { return 0 }
    require(naive(Array(bytes[..<consumed])) == whole.body, "a naive decoder finds another body")
    var rest = Array(bytes[..<consumed])
    rest.removeLast()
    require(decode(rest, cuts: [rest.count]).consumed == nil, "a body that ends before its end")
    return 0
}

private func decode(_ bytes: [UInt8], cuts: [Int]) -> Decoded {
    var decoder = BodyDecoder(.unknown)
    var trailers = Head()
    var result = Decoded()
    var start = 0
    for end in cuts {
        feeding: while true {
            let unread = bytes.span.extracting(start..<end)
            switch decoder.next(unread, trailers: &trailers) {
            case .data(let skip, let count):
                require(count > 0, "a step of no bytes")
                result.body += unread.extracting(skip..<skip + count).array()
                start += skip + count
            case .needMore(let consumed):
                start += consumed
                break feeding
            case .end(let consumed):
                result.consumed = start + consumed
                for field in trailers.fields { result.trailers.append([trailers.bytes(field.name).array(), trailers.bytes(field.value).array()]) }
                return result
            case .failed:
                result.failed = true
                result.body = []
                return result
            }
        }
    }
    return result
}

/// Decodes a body that is known to be good, in the simplest way.
private func naive(_ bytes: [UInt8]) -> [UInt8]? {
    var body: [UInt8] = []
    var rest = bytes[...]
    while let end = rest.firstIndex(of: 13) {
        let digits = rest[..<end].prefix { $0 != 59 }
        guard let size = Int(String(decoding: digits, as: UTF8.self), radix: 16) else { return nil }
        rest = rest[(end + 2)...]
        if size == 0 { return body }
        guard rest.count >= size + 2 else { return nil }
        body += rest.prefix(size)
        rest = rest.dropFirst(size + 2)
    }
    return nil
}
