import Buffers
import HTTP
import Testing

@testable import Hooks

/// What a body costs that passes a hook: chunks come in and go on in the slabs that they were read into.
@Suite struct ChunkTests {
    /// Gives whole slabs, and sums up what comes out.
    final class SlabCall: FakeCall {
        let pool: SlabPool
        var left = 160
        var made = 0, sum = 0

        init(_ pool: SlabPool) {
            self.pool = pool
            super.init()
        }

        override func pullBody(_ side: HookSide) {
            guard left > 0 else { return bodyEnded(side) }
            left -= 1
            var chain = Chain()
            chain.append(copying: [UInt8](repeating: UInt8(left & 0x7f), count: 64 << 10).span, from: pool)
            if let slice = chain.popFirst() { bodyChunk(side, slice) }
        }

        override func bodyMade(_ side: HookSide) {
            var chain = Chain()
            takeOutput(side, into: &chain)
            made += chain.byteCount
            while let slice = chain.popFirst() { for index in slice.bytes.indices { sum &+= Int(slice.bytes[index]) } }
        }
    }

    private static let sum = (0..<160).reduce(0) { $0 + ($1 & 0x7f) << 16 }

    private func flow(_ code: String, limits: (inout HookLimits) -> Void = { _ in }) throws -> (bench: Bench, call: SlabCall) {
        let bench = try Bench("export default { onResponse(response) { \(code) } }", limits: limits)
        let call = SlabCall(bench.host.pool)
        bench.exchange.response.body = .known(160 << 16)
        #expect(line(bench.run(.response, call)) == "respond stream")
        while !call.done.contains(.response), call.broken.isEmpty, call.isStreaming {
            let before = call.made
            call.bodyRoom(.response)
            if call.made == before { break }
        }
        #expect(call.broken.isEmpty && call.made == 160 << 16)
        return (bench, call)
    }

    @Test(arguments: [
        """
        const reader = response.body.getReader();
        return new Response(new ReadableStream({ async pull(to) {
          const { done, value } = await reader.read();
          if (done) to.close(); else to.enqueue(value);
        } }), response);
        """,
        "return new Response(response.body.pipeThrough(new TransformStream({ transform(chunk, to) { to.enqueue(chunk); } })), response);",
        "return new Response(response.body.pipeThrough(new TransformStream()), response);",
        """
        return new Response(response.body.pipeThrough(new TransformStream({ transform(chunk, to) {
          to.enqueue(chunk.subarray(0, 8000)); to.enqueue(chunk.subarray(8000)); } })), response);
        """,
    ])
    func tenMegabytesPassWithoutACopy(_ code: String) throws {
        let (bench, call) = try flow(code)
        #expect(call.sum == Self.sum)
        #expect(bench.host.pool.copied.hook == 0)
        #expect(bench.host.pool.slabs.highWater <= 132, "8 MiB of them and what is on its way")
    }

    @Test func whatAHookChangesInPlaceGoesOnWithoutACopy() throws {
        let (bench, call) = try flow("""
            return new Response(response.body.pipeThrough(new TransformStream({ transform(chunk, to) {
              for (let i = 0; i < chunk.length; i += 4096) chunk[i] ^= 0x80;
              to.enqueue(chunk);
            } })), response);
            """)
        #expect(call.sum == Self.sum + 160 * 16 * 0x80)
        #expect(bench.host.pool.copied.hook == 0)
    }

    @Test func aBufferThatAHookUsesAgainIsCopied() throws {
        let (bench, call) = try flow("""
            const reader = response.body.getReader({ mode: "byob" });
            let mine = new Uint8Array(32768);
            return new Response(new ReadableStream({ async pull(to) {
              const { done, value } = await reader.read(mine);
              if (done) return to.close();
              to.enqueue(value);
              mine = new Uint8Array(value.buffer);
            } }, { highWaterMark: 0 }), response);
            """)
        #expect(call.sum == Self.sum)
        #expect(bench.host.pool.copied.hook == 160 << 16)
    }

    @Test func aHookThatKeepsWhatItReadsMeetsItsLimitAndTheSlabsComeBack() throws {
        let bench = try Bench("""
            export default { async onResponse(response) {
              const all = [];
              for await (const chunk of response.body) all.push(chunk);
            } }
            """, limits: { $0.externalBytes = 4 << 20 })
        let call = SlabCall(bench.host.pool)
        bench.exchange.response.body = .known(160 << 16)
        guard case .failed(let failure)? = bench.run(.response, call) else {
            Issue.record("\(call.outcomes)")
            return
        }
        #expect(failure.description.contains("buffer"))
        #expect(bench.host.pool.slabs.live <= 64, "no more of them than the limit")
        bench.runtime.unload(bench.function)
        #expect(bench.host.pool.slabs.live == 0)
    }
}
