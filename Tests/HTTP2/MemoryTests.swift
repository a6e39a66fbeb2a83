import Testing

@testable import HTTP2

/// The memory that nghttp2 has of us: freed blocks wait for the next stream.
@Suite struct MemoryTests {
    @Test func blocksAreWholeAndTheirOwnWhateverTheirSize() throws {
        guard let memory = SessionMemory() else { return }
        var state: UInt64 = 7
        func roll(_ sides: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % sides
        }
        // Around the ends of the classes, in their middle, and beyond all of them.
        let sizes = [
            0, 1, 31, 32, 33, 40, 64, 100, 512, 1_000, 2_016, 2_017, 2_047, 2_048, 2_049, 2_936, 3_040, 3_041, 3_072, 4_096,
            8_192, 8_193, 16_384, 16_394, 17_392, 17_408, 17_409, 70_000,
        ]
        for _ in 0..<20_000 {
            let choice = memory.count == 0 ? 0 : memory.count > 200 ? 3 : roll(4)
            switch choice {
            case 0, 1: try #require(memory.take(sizes[roll(sizes.count)], zeroed: choice == 1))
            case 2: try #require(memory.resize(roll(memory.count), to: sizes[roll(sizes.count)]))
            default: try #require(memory.give(roll(memory.count)))
            }
        }
        while memory.count > 0 { try #require(memory.give(0)) }
        #expect(SessionMemory.kept > 0)
    }

    @Test func whatIsKeptIsBounded() throws {
        guard let memory = SessionMemory() else { return }
        for _ in 0..<3_000 { try #require(memory.take(1_000, zeroed: false)) }
        while memory.count > 0 { try #require(memory.give(memory.count - 1)) }
        #expect(SessionMemory.kept <= (1 << 20) + 8_192)
    }

    /// What an idle session holds shares pages; of those that are free only so many stay in memory.
    @Test func pagesOfSessionsThatEndedAreGivenBack() throws {
        guard let memory = SessionMemory() else { return }
        for _ in 0..<200 {
            try #require(memory.take(2_936, zeroed: true))
            try #require(memory.take(16_394, zeroed: false))
        }
        let before = SessionMemory.freeSlots
        for _ in 0..<400 { try #require(memory.give(memory.count - 1)) }
        let after = SessionMemory.freeSlots
        #expect(after.warm == 64)
        #expect(after.cold - before.cold == 200 - (64 - before.warm), "\(before) \(after)")
        // Those that were given back serve as well.
        for _ in 0..<100 { try #require(memory.take(2_936, zeroed: true) && memory.take(16_394, zeroed: false)) }
        #expect(SessionMemory.freeSlots.warm == 0)
        #expect(SessionMemory.freeSlots.cold == after.cold - 36)
        while memory.count > 0 { try #require(memory.give(0)) }
    }
}
