import Buffers
@testable import Stores
import Support

private enum Outcome: Equatable { case values([RESPValue], unread: Int), failed([RESPValue]) }

/// The first byte says how large the pieces are; the rest is what a Redis sends.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let bytes = Array(all.dropFirst())
    let whole = read(bytes, cuts: [bytes.count])
    require(read(bytes, cuts: cuts(bytes.count, step: Int(all[0] & 31) + 1)) == whole, "an answer in pieces is another one")
    // What a rate limit takes for its verdict.
    if case .values(let values, _) = whole { _ = RedisLimiter.verdict(.success(values), at: 0) }
    return 0
}

private func read(_ bytes: [UInt8], cuts: [Int]) -> Outcome {
    var reader = RESPReader()
    var values: [RESPValue] = []
    var start = 0
    for end in cuts {
        reader.append(bytes.span.extracting(start..<end))
        start = end
        do {
            while let value = try reader.next() { values.append(value) }
        } catch {
            return .failed(values)
        }
    }
    return .values(values, unread: reader.unread)
}
