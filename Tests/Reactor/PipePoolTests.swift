import Testing

@testable import Reactor

@Suite struct Pipes {
    @Test func `a pipe that cannot be had is not asked for again at once`() throws {
        let reactor = try Reactor(virtual: true)
        var asked: [Bool] = []
        let pool = PipePool(reactor: reactor) { large in
            asked.append(large)
            return large ? nil : try? SplicePipe(reactor: reactor)
        }
        for _ in 0..<3 { #expect(pool.take(for: PipePool.largeBody) != nil) }
        #expect(asked == [true, false, false, false], "a large one is asked for once")
        let none = PipePool(reactor: reactor) { large in
            asked.append(large)
            return nil
        }
        asked = []
        for _ in 0..<3 { #expect(none.take() == nil) }
        #expect(asked == [false])
    }

    @Test func `half of the pipes are for clients that are known to take what they ask for`() throws {
        let reactor = try Reactor()
        let pool = PipePool(reactor: reactor)
        var taken: [SplicePipe] = []
        while let pipe = pool.take(proven: false) { taken.append(pipe) }
        #expect(taken.count == PipePool.limit - PipePool.provenShare)
        let proven = try #require(pool.take())
        for pipe in taken + [proven] { pool.giveBack(pipe) }
        #expect(pool.inUse == 0)
    }
}
