import Buffers
import Isolates
import Testing

/// Chunks that scripts get in the slab they were read into.
@Suite struct LoanTests {
    private let pool = SlabPool()

    private func slab(_ byte: UInt8 = 1, _ count: Int = 64 << 10) -> Slice {
        var chain = Chain()
        chain.append(copying: [UInt8](repeating: byte, count: count).span, from: pool)
        return chain.popFirst()!
    }

    /// What `entry` returned for a chunk; nil when it was not lent.
    private func lend(_ slice: borrowing Slice, to rig: Rig, _ entry: Int = Rig.take) -> Int32? {
        rig.isolate.beginTurn(cpuMicroseconds: 10_000_000, wallMilliseconds: 60_000)
        defer { rig.isolate.endTurn() }
        return rig.isolate.call(entry, 0, 0, 0, lending: slice)?.int
    }

    /// V8 lets go of buffers on a thread of its own.
    private func collect(_ rig: Rig, until done: () -> Bool) {
        for _ in 0..<1_000 where !done() { rig.isolate.lowMemory() }
    }

    @Test func aScriptReadsAndWritesWhereTheBytesLie() throws {
        let rig = try Rig()
        let slice = slab(7)
        #expect(lend(slice, to: rig) == 64 << 10)
        #expect(rig.notes("native.note(String(chunks[0][65535])); chunks[0][3] = 9; native.note(String(chunks[0].buffer.byteLength))") == ["7", "65536"])
        let written = slice.bytes[3]
        #expect(written == 9)
        #expect(rig.isolate.statistics.bytesCopiedIn == 0)
        #expect(rig.isolate.statistics.externalBytes == 64 << 10)
    }

    @Test func theSlabComesBackWithTheGarbageAndAtTheLatestWithTheIsolate() throws {
        var rig: Rig? = try Rig()
        for _ in 0..<4 { _ = lend(slab(), to: rig!) }
        #expect(pool.slabs.live == 4)
        rig!.isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        _ = rig!.isolate.call(Rig.drop)
        rig!.isolate.endTurn()
        collect(rig!) { pool.slabs.live == 0 }
        #expect(pool.slabs.live == 0 && rig!.isolate.statistics.externalBytes == 0)
        _ = lend(slab(), to: rig!)
        #expect(pool.slabs.live == 1)
        rig = nil
        #expect(pool.slabs.live == 0)
    }

    @Test func aScriptThatKeepsChunksHoldsHalfOfItsBuffersThatWay() throws {
        var limits = IsolateLimits()
        limits.externalBytes = 1 << 20
        let rig = try Rig(limits: limits)
        for _ in 0..<8 { #expect(lend(slab(), to: rig) == 64 << 10) }
        #expect(lend(slab(), to: rig) == nil, "the ninth would be more than a half")
        #expect(pool.slabs.live == 8 && rig.isolate.statistics.externalBytes == 512 << 10)
        #expect(rig.notes("new Uint8Array(500 << 10); native.note('room')") == ["room"])
        rig.isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        _ = rig.isolate.call(Rig.drop)
        rig.isolate.endTurn()
        collect(rig) { pool.slabs.live == 0 }
        #expect(lend(slab(), to: rig) == 64 << 10)
    }

    @Test func aLongStreamUsesFewSlabs() throws {
        let rig = try Rig()
        // 512 MiB that nobody keeps.
        var lent = 0
        for _ in 0..<8_192 where lend(slab(), to: rig, Rig.measure) == 65_537 { lent += 1 }
        #expect(lent == 8_192)
        #expect(pool.slabs.highWater <= 160, "at most 8 MiB of them at a time, of 16 MiB of buffers: \(pool.slabs.highWater)")
        #expect(rig.isolate.statistics.bytesCopiedIn == 0)
    }

    @Test func aChunkGoesOnWhereItLiesAlsoThroughTransfersAndViews() throws {
        var rig: Rig? = try Rig()
        let operations = rig!.operations
        _ = lend(slab(5), to: rig!)
        #expect(rig!.notes("""
            native.note(String(native.pass(chunks[0].subarray(4096, 8192))));
            const moved = native.transfer(chunks[0].buffer);
            native.note(String(native.pass(chunks[0])));
            native.note(String(native.pass(new Uint8Array(moved, 8192))));
            native.note(String(native.pass(new Uint8Array(8192))));
            native.note(String(native.pass(moved.slice(0))));
            """) == ["true", "false", "true", "false", "false"])
        #expect(operations.passed.byteCount == 4096 + 57_344)
        rig = nil
        #expect(pool.slabs.live == 1, "what is on its way keeps the slab")
        let bytes = operations.passed.copyBytes()
        #expect(bytes == [UInt8](repeating: 5, count: 4096 + 57_344))
        operations.passed.removeAll()
        #expect(pool.slabs.live == 0)
    }

    @Test func aStoppedIsolateTakesNothing() throws {
        let rig = try Rig()
        rig.isolate.beginTurn(cpuMicroseconds: 20_000, wallMilliseconds: 10_000)
        _ = rig.isolate.call(Rig.spin)
        _ = rig.isolate.runMicrotasks()
        let slice = slab()
        let result = rig.isolate.call(Rig.take, 0, 0, 0, lending: slice)
        #expect(result?.termination == .cpu)
        rig.isolate.endTurn()
    }
}
