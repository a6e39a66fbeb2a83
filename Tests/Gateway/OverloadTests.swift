import Testing

@testable import Gateway

@Suite struct OverloadTests {
    private func after(_ pressures: Overload.Pressure...) -> Overload {
        var overload = Overload()
        for pressure in pressures { _ = overload.update(pressure) }
        return overload
    }

    @Test func nothingIsGivenUpWithoutPressure() {
        let calm = after(Overload.Pressure(memory: 0.89, connections: 0.89, descriptors: 0.89))
        #expect(!calm.stopsAccepting && !calm.closesIdle && !calm.refuses)
    }

    @Test func memoryIsShedInOrder() {
        let first = after(Overload.Pressure(memory: 0.90))
        #expect(first.stopsAccepting && !first.closesIdle && !first.refuses)
        let second = after(Overload.Pressure(memory: 0.95))
        #expect(second.stopsAccepting && second.closesIdle && !second.refuses)
        let third = after(Overload.Pressure(memory: 0.98))
        #expect(third.stopsAccepting && third.closesIdle && third.refuses)
    }

    @Test func isolatesHaveTheirPartOfTheMemoryAndGiveItUpFirst() {
        let gibi = 1 << 30
        #expect(Overload.isolateBytes(limit: 16 * gibi, memory: 0.5) == 1_408 << 20)
        #expect(Overload.isolateBytes(limit: 256 << 20, memory: 0.79) == 128 << 20)
        #expect([0.80, 0.84, 0.87, 2].map { Overload.isolateBytes(limit: gibi, memory: $0) >> 20 } == [384, 256, 128, 128])
        #expect(Overload.isolateBytes(limit: 0, memory: 9) == 0)
        // Before anything that a client would notice.
        #expect(!after(Overload.Pressure(memory: 0.88)).stopsAccepting)
    }

    @Test func connectionsAndDescriptorsMakeIdleOnesGoFirst() {
        let connections = after(Overload.Pressure(connections: 0.95))
        #expect(connections.closesIdle && !connections.stopsAccepting && !connections.refuses)
        let descriptors = after(Overload.Pressure(descriptors: 0.97))
        #expect(descriptors.closesIdle && descriptors.stopsAccepting && !descriptors.refuses)
    }

    @Test func whatWasGivenUpComesBackOnlyWhenThereIsClearlyRoom() {
        let near = after(Overload.Pressure(memory: 0.98), Overload.Pressure(memory: 0.95))
        #expect(near.refuses)
        let far = after(Overload.Pressure(memory: 0.98), Overload.Pressure(memory: 0.93))
        #expect(!far.refuses && far.closesIdle)
        let calm = after(Overload.Pressure(memory: 0.98), Overload.Pressure(memory: 0.5))
        #expect(!calm.refuses && !calm.closesIdle && !calm.stopsAccepting)
    }

    @Test func aChangeIsToldOnce() {
        var overload = Overload()
        let told = [0.99, 0.99, 0].map { overload.update(Overload.Pressure(memory: $0)) }
        #expect(told == [true, false, true])
        #expect(overload.text == "over")
    }
}
