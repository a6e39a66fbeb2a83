import Buffers
import HTTP
import Testing

@testable import Hooks

/// Chunks that lie in memory which a worker and a cordon share.
@Suite struct SharedSlabTests {
    private static let pass = """
        export default { onRequest(request) {
          return new Response(request.body.pipeThrough(new TransformStream({ transform(chunk, to) { to.enqueue(chunk); } })));
        } };
        """
    private let pool = SlabPool()

    private func pair(_ code: String = pass, slabs: Int = 8, _ change: (inout HookLimits) -> Void = { _ in }) throws -> RemotePair {
        let pair = try RemotePair(code) {
            $0.cpuMicroseconds = 5_000_000
            change(&$0)
        }
        pair.shareSlabs(slabs)
        pair.exchange.request.body = .unknown
        try pair.start()
        return pair
    }

    private func give(_ pair: RemotePair, _ byte: UInt8, _ count: Int = 20_000) throws {
        var chain = Chain()
        chain.append(copying: [UInt8](repeating: byte, count: count).span, from: pool)
        while let slice = chain.popFirst() { pair.call.bodyChunk(.request, slice) }
        try pair.move()
    }

    /// Gives so many chunks to a hook that passes them on, and takes what it makes.
    private func flow(_ pair: RemotePair, _ chunks: Int) throws {
        for index in 0..<chunks {
            pair.call.bodyRoom(.response)
            try pair.move()
            try give(pair, UInt8(65 + index % 26))
        }
        pair.call.bodyEnded(.request)
        try pair.move()
        for _ in 0..<20 where !pair.call.done.contains(.response) {
            pair.call.bodyRoom(.response)
            try pair.move()
        }
    }

    private static func expected(_ chunks: Int) -> String {
        (0..<chunks).map { String(repeating: Character(Unicode.Scalar(UInt8(65 + $0 % 26))), count: 20_000) }.joined()
    }

    @Test func aChunkIsCopiedInOnceAndOutOnce() throws {
        let pair = try pair()
        // As many as there are slabs: V8 has not collected anything by then.
        try flow(pair, 8)
        let same = pair.call.output[.response] == Self.expected(8)
        #expect(same)
        #expect(pair.worker.slabs?.bytesCopied == 2 * 8 * 20_000)
        #expect(pair.worker.pool.copied.hook == 0 && pair.cordon.pool.copied.hook == 0)
        #expect(pair.call.isIdle)
    }

    @Test func withoutAFreeSlabChunksGoThroughTheRing() throws {
        let pair = try pair(slabs: 1)
        try flow(pair, 30)
        let same = pair.call.output[.response] == Self.expected(30)
        #expect(same)
        #expect(pair.worker.pool.copied.hook > 0)
    }

    @Test func aScriptThatWritesToItsChunkSendsWhatItWrote() throws {
        let pair = try pair("""
            export default { onRequest(request) {
              return new Response(request.body.pipeThrough(new TransformStream({ transform(chunk, to) {
                chunk.fill(97, 0, 10); to.enqueue(chunk.subarray(5, 5000)); } })));
            } };
            """)
        try flow(pair, 3)
        let each = { (letter: Character) in String(repeating: "a", count: 5) + String(repeating: letter, count: 4990) }
        let same = pair.call.output[.response] == each("A") + each("B") + each("C")
        #expect(same)
    }

    @Test func slabsComeBackWhenTheirChunksAreGarbage() throws {
        let pair = try pair { $0.externalBytes = 1 << 20 }
        try flow(pair, 200)
        let same = pair.call.output[.response] == Self.expected(200)
        #expect(same)
        #expect(pair.worker.slabs?.bytesCopied ?? 0 > 200 * 20_000, "most of them were used again and again")
    }

    @Test func whatACordonSaysOfSlabsIsChecked() throws {
        let pair = try pair()
        try give(pair, 65)
        let number = pair.call.numberElsewhere
        func refused(_ message: [UInt8]) -> Bool {
            do throws(WireError) {
                try pair.worker.receive(message.span)
                return false
            } catch {
                return true
            }
        }
        func made(_ slab: UInt32, _ start: UInt32, _ count: UInt32) -> [UInt8] {
            RemotePair.reply(.bodyMadeAt, number) { wire in
                wire.byte(1)
                for value in [slab, start, count] { wire.number32(value) }
            }
        }
        #expect(refused(made(0, 0, 100)), "no room was given")
        pair.call.bodyRoom(.response)
        #expect(refused(made(1, 0, 100)), "not lent")
        #expect(refused(made(99, 0, 100)), "there is none")
        #expect(refused(made(0, 0, 20_001)), "more than was written")
        #expect(refused(made(0, 19_999, 2)))
        #expect(refused(made(0, .max, .max)))
        #expect(!refused(made(0, 19_999, 1)))
        #expect(refused(RemotePair.reply(.slabBack, 1) { _ in }), "not lent")
        #expect(refused(RemotePair.reply(.slabBack, 4_000_000_000) { _ in }))
        #expect(!refused(RemotePair.reply(.slabBack, 0) { _ in }))
        #expect(refused(RemotePair.reply(.slabBack, 0) { _ in }), "given back twice")
        #expect(refused(made(0, 0, 1)), "given back")
    }
}
