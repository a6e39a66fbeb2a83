import Testing

@testable import Gateway

private final class Body: WaitingBody {
    let size: Int
    init(_ tenant: String, _ size: Int, since: UInt64 = 0) {
        self.size = size << 20
        super.init(tenant: tenant, since: since)
    }
    override var bytes: Int { size }
}

/// Which whole bodies of hooks may wait for their clients, and which have to go.
@Suite struct WaitingBodiesTests {
    private func verdict(_ bodies: [Body], _ count: Int, of tenant: String, most: Int = 100, all: Int = 300, now: UInt64 = 5_000_000_000) -> [Int]? {
        var waiting = WaitingBodies()
        for body in bodies { waiting.add(body) }
        return switch waiting.verdict(count << 20, of: tenant, atMost: most << 20, all: all << 20, now: now) {
        case .room: []
        case .after(let going): going.compactMap { one in bodies.firstIndex { $0 === one } }
        case .none: nil
        }
    }

    @Test func whatIsAloneMayWaitWhateverItsSize() {
        #expect(verdict([], 1000, of: "a") == [])
        #expect(verdict([Body("b", 200)], 150, of: "a", all: 1000) == [])
    }

    @Test func theOldestOfTheTenantMakeRoomAndNoMoreThanAreNeeded() {
        let bodies = [Body("a", 30), Body("b", 90), Body("a", 40), Body("a", 20)]
        #expect(verdict(bodies, 10, of: "a") == [])
        #expect(verdict(bodies, 20, of: "a") == [0])
        #expect(verdict(bodies, 60, of: "a") == [0, 2])
    }

    @Test func whatHasNotHadItsSecondStays() {
        let bodies = [Body("a", 90, since: 4_500_000_000)]
        #expect(verdict(bodies, 20, of: "a") == nil)
        #expect(verdict(bodies, 20, of: "a", now: 6_000_000_000) == [0])
    }

    /// An old WebSocket that has little waiting is not the one that others wait for.
    @Test func whatHasLittleWaitingStays() {
        let bodies = [Body("a", 0), Body("a", 60), Body("a", 39)]
        #expect(verdict(bodies, 10, of: "a") == [1])
    }

    @Test func amongAllTheTenantWithMostMakesRoom() {
        let bodies = [Body("c", 40), Body("b", 60), Body("b", 60), Body("a", 20)]
        #expect(verdict(bodies, 50, of: "a", all: 200) == [1])
        #expect(verdict(bodies, 50, of: "new", all: 200) == [1])
    }
}
