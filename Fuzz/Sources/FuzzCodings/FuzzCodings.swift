import Buffers
import Codings
import Support

/// The first byte says what a body claims to be, what it is made into and how large the pieces are; the rest is the body.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard count > 1 else { return 0 }
    let all = input(start, count)
    let body = Array(all.dropFirst())
    let coding = codings[Int(all[0] & 3)], other = encoders[Int(all[0] >> 2 & 3) % 3]
    let bench = Bench()
    let whole = bench.run(body, decode: coding, step: body.count)
    let pieces = bench.run(body, decode: coding, step: 1 + Int(all[0] >> 4) * 7)
    require(whole == pieces, "a body in pieces is decoded otherwise")
    // What came out is coded anew and read back; so is what nobody can decode, as it is.
    let plain = whole ?? body
    if let whole, whole.count < 1 << 16, let again = bench.run(body, decode: coding, encode: other, step: body.count) {
        require(bench.run(again, decode: other, step: again.count) == whole, "decoded and encoded at once is another body")
    }
    guard plain.count < 1 << 16, let coded = bench.run(plain, encode: other, step: 1 + plain.count / 3) else { return 0 }
    require(bench.run(coded, decode: other, step: 1 + Int(all[0])) == plain, "what was encoded is decoded to another body")
    accepted(all)
    require(bench.coders.working == 0, "a coder is not given back")
    return 0
}

private let codings: [ContentCoding] = [.gzip, .deflate, .brotli, .zstd]
private let encoders: [ContentCoding] = [.gzip, .brotli, .zstd]

/// The same bytes as a value of `Accept-Encoding`.
private func accepted(_ bytes: [UInt8]) {
    var accepts = AcceptedCodings()
    accepts.add(bytes.span)
    guard let best = accepts.best(of: codings) else { return }
    require(accepts.weight(of: best) > 0, "a coding that the client refuses")
}

private final class Bench {
    let pool = SlabPool()
    let coders = CoderPool()

    /// nil: the body is not what it claims to be.
    func run(_ bytes: [UInt8], decode: ContentCoding? = nil, encode: ContentCoding? = nil, step: Int) -> [UInt8]? {
        var plan = BodyPipeline.Plan()
        plan.decode = decode
        plan.encode = encode
        guard let pipeline = BodyPipeline(plan, coders, pool) else { return nil }
        defer { pipeline.close() }
        var input = Chain()
        var result: [UInt8] = []
        var start = 0
        while !pipeline.isFinished {
            let end = min(start + max(step, 1), bytes.count)
            let before = (start, input.byteCount, result.count)
            if input.isEmpty, start < end {
                input.append(copying: bytes.span.extracting(start..<end), from: pool)
                start = end
            }
            do throws(CodingError) { try pipeline.run(&input, ended: start == bytes.count, room: 65_536) } catch { return nil }
            result += pipeline.output.copyBytes()
            pipeline.output.removeAll()
            // A bomb is somebody else's test.
            if result.count > 4 << 20 { return nil }
            require(pipeline.isFinished || before != (start, input.byteCount, result.count), "no progress")
        }
        require(pipeline.bytesOut == result.count, "not all of it was counted")
        return result
    }
}
