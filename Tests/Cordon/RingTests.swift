import Buffers
import Reactor
import Testing

struct RingTests {
    private func pair() throws -> (SharedRing, SharedRing) {
        let worker = try SharedRing()
        return (worker, try SharedRing(adopting: worker.descriptor.duplicate(), side: .cordon))
    }

    @Test func bytesPassInBothDirectionsAndAroundTheEnd() throws {
        let (worker, cordon) = try pair()
        let piece = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        for _ in 0..<10 {
            for (from, to) in [(worker, cordon), (cordon, worker)] {
                let written = try from.write(piece.span)
                #expect(written == piece.count)
                var arena = ByteArena()
                #expect(try to.read(into: &arena) == piece.count)
                let same = arena[arena.range(since: 0)].equals(piece.span)
                #expect(same)
            }
        }
    }

    @Test func aFullRingTakesWhatFits() throws {
        let (worker, cordon) = try pair()
        let much = [UInt8](repeating: 1, count: SharedRing.capacity + 5)
        let first = try worker.write(much.span), second = try worker.write(much.span)
        #expect(first == SharedRing.capacity && second == 0)
        var arena = ByteArena()
        #expect(try cordon.read(into: &arena) == SharedRing.capacity)
        let third = try worker.write(much.span)
        #expect(third == SharedRing.capacity)
    }

    @Test func aSideIsWokenOnlyWhenItWaits() throws {
        let (worker, cordon) = try pair()
        #expect(!worker.readerMustBeWoken())
        #expect(cordon.prepareToWait(forRoom: false))
        #expect(worker.readerMustBeWoken())
        #expect(!worker.readerMustBeWoken())
        _ = try worker.write([UInt8](repeating: 1, count: 3).span)
        #expect(!cordon.prepareToWait(forRoom: false))
    }

    @Test func cursorsThatCannotBeAreABrokenRing() throws {
        let (worker, cordon) = try pair()
        _ = try cordon.write([UInt8](repeating: 1, count: 100).span)
        var arena = ByteArena()
        _ = try worker.read(into: &arena)
        // Another writer begins at 0: to it, more has been read than was ever written.
        let late = try SharedRing(adopting: worker.descriptor.duplicate(), side: .cordon)
        #expect(throws: RingBroken.self) { try late.write([UInt8](repeating: 1, count: 10).span) }
    }

    @Test func memoryThatCouldShrinkIsRefused() throws {
        let sealed = try SealedMemory.create(name: "other", [1, 2, 3])
        #expect(throws: SystemError.self) { try SharedRing(adopting: sealed.duplicate(), side: .cordon) }
    }
}
