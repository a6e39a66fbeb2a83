import Buffers
import Testing

@testable import Upstream

/// What is known of a name, on a clock of our own.
@Suite struct Addresses {
    private func address(_ last: UInt32) -> ServerAddress { ServerAddress(ip: IPAddress(v4: 0x0a00_0000 + last), port: 80) }

    private func found(_ numbers: [UInt32], seconds: Int = 60, weights: [Int] = []) -> ResolvedAddresses {
        ResolvedAddresses(addresses: numbers.map { address($0) }, seconds: seconds, weights: weights)
    }

    @Test(arguments: [(0, 1_000 as UInt64), (1, 1_000), (60, 60_000), (1 << 30, 3_600_000)])
    func anAnswerHoldsAsLongAsItSaysWithinBounds(_ seconds: Int, _ holds: UInt64) {
        var name = ServerAddresses(host: "a.test", port: 80)
        name.answer(found([1], seconds: seconds), now: 500)
        #expect(!name.shouldAsk(now: 499 + holds) && name.shouldAsk(now: 500 + holds))
    }

    @Test func connectionsToAnAddressThatIsGoneServeForAWhile() {
        var name = ServerAddresses(host: "a.test", port: 80)
        name.answer(found([1, 2]), now: 0)
        name.answer(found([2, 3]), now: 1_000)
        let end = 1_000 + ServerAddresses.departure
        #expect(name.serves(address(1), now: end - 1) && !name.mayHaveDepartures(now: end - 1))
        #expect(!name.serves(address(1), now: end) && name.mayHaveDepartures(now: end))
        #expect(name.serves(address(2), now: end) && name.serves(address(3), now: end))
        name.forgetDepartures(now: end)
        #expect(!name.mayHaveDepartures(now: end + 1) && !name.serves(address(1), now: end + 1))
    }

    @Test func anAddressThatComesBackStays() {
        var name = ServerAddresses(host: "a.test", port: 80)
        name.answer(found([1]), now: 0)
        name.answer(found([2]), now: 1_000)
        name.answer(found([1]), now: 2_000)
        #expect(name.serves(address(1), now: 90_000) && !name.serves(address(2), now: 90_000))
    }

    @Test func aLookupThatFailsTakesNothingAway() {
        var name = ServerAddresses(host: "a.test", port: 80)
        name.answer(found([1]), now: 0)
        name.answer(ResolvedAddresses(), now: 1_000)
        #expect(name.known == [address(1)] && name.serves(address(1), now: 90_000))
    }

    @Test func anAddressThatWasOvertakenIsTriedLastForAWhileAlsoInLaterAnswers() {
        var name = ServerAddresses(host: "a.test", port: 80)
        name.answer(found([1, 2, 3]), now: 0)
        name.wasOvertaken(address(1), now: 0)
        #expect(name.known == [address(2), address(3), address(1)])
        name.answer(found([1, 3]), now: ServerAddresses.lastFor - 1)
        #expect(name.known == [address(3), address(1)])
        name.answer(found([1, 3]), now: ServerAddresses.lastFor)
        #expect(name.known == [address(1), address(3)])
    }

    @Test func theOrderOfAServiceStaysWhateverWasOvertaken() {
        var name = ServerAddresses(host: "a.test", port: 80)
        name.answer(found([1, 2, 3], weights: [3, 1]), now: 0)
        name.wasOvertaken(address(1), now: 0)
        #expect(name.known == [address(1), address(2), address(3)])
    }

    @Test func onlyTheFirstPriorityTakesTurnsByItsWeights() {
        var name = ServerAddresses(host: "a.test", port: 80)
        name.answer(found([1, 2, 3], weights: [3, 1]), now: 0)
        var first: [ServerAddress: Int] = [:]
        for chance in 0..<4_000 {
            name.rotate(UInt64(chance) &* 0x9e37_79b9_7f4a_7c15 >> 11)
            first[name.known[0], default: 0] += 1
            #expect(name.known[2] == address(3))
        }
        #expect((2_700...3_300).contains(first[address(1)] ?? 0) && first[address(3)] == nil)
    }

    @Test func aTargetOfALaterPriorityServesForAWhile() {
        var name = ServerAddresses(host: "a.test", port: 80)
        name.answer(found([1, 2], seconds: 3_600, weights: [1]), now: 0)
        name.connected(to: address(2), now: 1_000)
        let end = 1_000 + ServerAddresses.lastFor
        name.connected(to: address(2), now: end - 1)
        #expect(name.serves(address(2), now: end - 1) && !name.mayHaveDepartures(now: end - 1))
        #expect(!name.serves(address(2), now: end) && name.mayHaveDepartures(now: end), "the first priority may be back")
        name.forgetDepartures(now: end)
        #expect(!name.mayHaveDepartures(now: end))
        name.connected(to: address(2), now: end + 5)
        #expect(name.serves(address(2), now: end + 6), "it is not")
        #expect(name.serves(address(1), now: end + 6))
    }

    @Test func withoutWeightsAllAreAlikeAndAnAddressNeedsNoName() {
        var name = ServerAddresses(host: "a.test", port: 80)
        name.answer(found([1, 2], weights: [0, 0]), now: 0)
        var first = Set<ServerAddress>()
        for chance in 0..<8 as Range<UInt64> {
            name.rotate(chance)
            first.insert(name.known[0])
        }
        #expect(first.count == 2)
        #expect(!ServerAddresses(host: "10.0.0.1", port: 80).shouldAsk(now: .max))
    }
}
