import Buffers
import Codings
import Testing

/// A pipeline that is fed and emptied as the gateway does it.
final class Bench {
    let pool = SlabPool()
    let coders = CoderPool()

    func plan(decode: ContentCoding? = nil, _ pairs: [(String, String)] = [], encode: ContentCoding? = nil, flushes: Bool = false) -> BodyPipeline.Plan {
        var plan = BodyPipeline.Plan()
        plan.decode = decode
        plan.encode = encode
        plan.flushes = flushes
        if !pairs.isEmpty {
            plan.search = SearchTexts(pairs.map { Array($0.0.utf8) })
            plan.replacements = pairs.map { Array($0.1.utf8) }
        }
        return plan
    }

    /// Feeds pieces of `size` bytes and takes at most `room` bytes out at a time.
    func run(_ plan: BodyPipeline.Plan, _ bytes: [UInt8], size: Int = 1 << 30, room: Int = 65_536) throws -> [UInt8] {
        guard let pipeline = BodyPipeline(plan, coders, pool) else { throw Busy() }
        defer { pipeline.close() }
        var input = Chain()
        var result: [UInt8] = []
        var start = 0
        while !pipeline.isFinished {
            let end = min(start + size, bytes.count)
            if input.isEmpty, start < end {
                input.append(copying: bytes.span.extracting(start..<end), from: pool)
                start = end
            }
            try pipeline.run(&input, ended: start == bytes.count, room: room)
            let held = pipeline.output.byteCount
            #expect(held < room + 65_536 + 64)
            result += pipeline.output.copyBytes()
            pipeline.output.removeAll()
        }
        #expect(pipeline.bytesOut == result.count)
        return result
    }
}

struct Busy: Error {}

private func text(_ count: Int) -> [UInt8] {
    var generator = SplitMix(state: 7)
    let words = ["alpha", "beta", "<p>", "</p>", "\n", "gateway", " ", "0123456789"].map { Array($0.utf8) }
    var bytes: [UInt8] = []
    while bytes.count < count { bytes += words[Int(generator.next() % UInt64(words.count))] }
    return Array(bytes.prefix(count))
}

private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

@Suite struct PipelineTests {
    static let encoders: [ContentCoding] = [.gzip, .brotli, .zstd]

    @Test(arguments: encoders)
    func `what is encoded decodes to itself, whatever the sizes of pieces and room`(coding: ContentCoding) throws {
        let bench = Bench()
        for count in [0, 1, 100, 70_000, 1_000_000] {
            let body = text(count)
            for (size, room) in [(1 << 30, 65_536), (1_000, 65_536), (16_384, 1)] {
                let encoded = try bench.run(bench.plan(encode: coding), body, size: size, room: room)
                if count > 1_000 { #expect(encoded.count < count / 3) }
                let decoded = try bench.run(bench.plan(decode: coding), encoded, size: max(size / 10, 1), room: room)
                #expect(decoded == body)
            }
        }
        #expect(bench.coders.working == 0)
    }

    @Test(arguments: encoders)
    func `with flushes every piece is readable at once`(coding: ContentCoding) throws {
        let bench = Bench()
        let encoder = try #require(BodyPipeline(bench.plan(encode: coding, flushes: true), bench.coders, bench.pool))
        let decoder = try #require(BodyPipeline(bench.plan(decode: coding), bench.coders, bench.pool))
        defer {
            encoder.close()
            decoder.close()
        }
        var input = Chain()
        for number in 0..<20 {
            let piece = Array("event \(number)\n".utf8)
            input.append(copying: piece.span, from: bench.pool)
            try encoder.run(&input, ended: false, room: 65_536)
            try decoder.run(&encoder.output, ended: false, room: 65_536)
            let read = decoder.output.copyBytes()
            #expect(read == piece)
            decoder.output.removeAll()
            // Nothing more to say, nothing more is sent.
            try encoder.run(&input, ended: false, room: 65_536)
            let more = encoder.output.byteCount
            #expect(more == 0)
        }
    }

    @Test(arguments: encoders)
    func `a body that is not what it says fails, also when it is cut off`(coding: ContentCoding) throws {
        let bench = Bench()
        let encoded = try bench.run(bench.plan(encode: coding), text(50_000))
        #expect(throws: CodingError.self) { try bench.run(bench.plan(decode: coding), Array(encoded.dropLast(5))) }
        #expect(throws: CodingError.self) { try bench.run(bench.plan(decode: coding), Array("not encoded at all, sorry".utf8)) }
        var damaged = encoded
        for index in stride(from: 20, to: damaged.count, by: 50) { damaged[index] ^= 0x55 }
        #expect(throws: (any Error).self) {
            // A damaged stream may decode to something else before it is found out.
            if try bench.run(bench.plan(decode: coding), damaged) != text(50_000) { throw Busy() }
        }
        #expect(bench.coders.working == 0)
    }

    @Test func `several gzip members are one body, and deflate is understood`() throws {
        let bench = Bench()
        let one = try bench.run(bench.plan(encode: .gzip), Array("one ".utf8))
        let two = try bench.run(bench.plan(encode: .gzip), Array("two".utf8))
        for size in [1, 7, 1 << 20] {
            #expect(try bench.run(bench.plan(decode: .gzip), one + two, size: size) == Array("one two".utf8))
        }
        let zlib: [UInt8] = [0x78, 0x9c, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x06, 0x2c, 0x02, 0x15]
        #expect(try bench.run(bench.plan(decode: .deflate), zlib) == Array("hello".utf8))
    }

    @Test(arguments: encoders)
    func `what follows the end of a stream makes the body wrong, in whatever pieces it comes`(coding: ContentCoding) throws {
        let bench = Bench()
        let encoded = try bench.run(bench.plan(encode: coding), Array("whole".utf8))
        for size in [1, encoded.count, 1 << 20] {
            #expect(try bench.run(bench.plan(decode: coding), encoded, size: size) == Array("whole".utf8))
            #expect(throws: CodingError.self) { try bench.run(bench.plan(decode: coding), encoded + [1, 2, 3], size: size) }
        }
    }

    @Test func `a body that grows beyond all measure is stopped, in little memory`() throws {
        let bench = Bench()
        let zeros = [UInt8](repeating: 0, count: 64 << 20)
        let bomb = try bench.run(bench.plan(encode: .gzip), zeros)
        #expect(bomb.count < 100_000)
        let before = bench.pool.slabs.highWater
        #expect(throws: CodingError.self) { try bench.run(bench.plan(decode: .gzip), bomb) }
        #expect(bench.pool.slabs.highWater <= before + 8)
    }

    @Test func `an encoded body can be replaced in and encoded again`() throws {
        let bench = Bench()
        let body = Array("http://inner/ and http://inner/x".utf8)
        for coding in PipelineTests.encoders {
            let encoded = try bench.run(bench.plan(encode: coding), body)
            let changed = try bench.run(bench.plan(decode: coding, [("http://inner/", "https://outer.example/")], encode: .zstd), encoded, size: 3)
            let plain = try bench.run(bench.plan(decode: .zstd), changed)
            #expect(String(decoding: plain, as: UTF8.self) == "https://outer.example/ and https://outer.example/x")
        }
    }

    @Test func `no more coders work at once than the limit`() throws {
        let bench = Bench()
        var all: [BodyPipeline] = []
        while let next = BodyPipeline(bench.plan(encode: .gzip), bench.coders, bench.pool) { all.append(next) }
        #expect(all.count == CoderPool.limit)
        #expect(BodyPipeline(bench.plan(decode: .gzip, encode: .gzip), bench.coders, bench.pool) == nil)
        for pipeline in all { pipeline.close() }
        #expect(bench.coders.working == 0)
        let again = try bench.run(bench.plan(encode: .gzip), text(1000))
        #expect(try bench.run(bench.plan(decode: .gzip), again) == text(1000))
    }
}

@Suite struct ReplacerTests {
    /// The plain meaning: from left to right, at each place the first text that matches.
    private func naive(_ body: [UInt8], _ pairs: [(String, String)]) -> [UInt8] {
        var result: [UInt8] = []
        var index = 0
        while index < body.count {
            if let pair = pairs.first(where: { body[index...].starts(with: $0.0.utf8) }) {
                result += Array(pair.1.utf8)
                index += pair.0.utf8.count
            } else {
                result.append(body[index])
                index += 1
            }
        }
        return result
    }

    @Test func `texts are found over every border between pieces`() throws {
        let bench = Bench()
        let body = Array("abcabcabxabcdabcdeab".utf8)
        let pairs = [("abcde", "1"), ("abcd", "22"), ("ab", "")]
        for size in 1...body.count {
            #expect(try bench.run(bench.plan(pairs), body, size: size) == naive(body, pairs), "pieces of \(size)")
        }
    }

    @Test func `random texts in random bodies in random pieces: as the plain meaning says`() throws {
        let bench = Bench()
        var generator = SplitMix(state: 42)
        func random(_ range: ClosedRange<Int>) -> Int { range.lowerBound + Int(generator.next() % UInt64(range.count)) }
        func word(_ range: ClosedRange<Int>) -> String { String((0..<random(range)).map { _ in "ab".randomElement(using: &generator) ?? "a" }) }
        for _ in 0..<3_000 {
            let body = Array(word(0...60).utf8)
            let pairs = (0..<random(1...4)).map { _ in (word(1...6), word(0...3)) }
            let size = random(1...9)
            #expect(try bench.run(bench.plan(pairs), body, size: size) == naive(body, pairs), "\(body) \(pairs) \(size)")
        }
    }

    @Test func `bytes between matches are moved, not copied, and memory does not grow with the body`() throws {
        let bench = Bench()
        var plan = bench.plan([("needle", "pin")])
        plan.encode = nil
        guard let pipeline = BodyPipeline(plan, bench.coders, bench.pool) else { throw Busy() }
        defer { pipeline.close() }
        var input = Chain()
        let piece = [UInt8](repeating: UInt8(ascii: "n"), count: 60_000)
        var total = 0
        for _ in 0..<200 {
            input.append(copying: piece.span, from: bench.pool)
            try pipeline.run(&input, ended: false, room: 1 << 20)
            total += pipeline.output.byteCount
            // Whole slices and what was kept at their ends.
            let slices = pipeline.output.sliceCount
            #expect(slices <= 3)
            pipeline.output.removeAll()
        }
        try pipeline.run(&input, ended: true, room: 1 << 20)
        let rest = pipeline.output.byteCount
        #expect(total + rest == 200 * 60_000)
        #expect(bench.pool.slabs.highWater <= 4)
    }
}
