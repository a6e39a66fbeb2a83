import Testing

@testable import Supervisor

@Suite struct HookSuspicionTests {
    private let second: UInt64 = 1_000_000_000

    @Test func aCallThatUsesTheProcessorDoesNotStop() {
        var suspicion = HookSuspicion()
        let looks = [
            suspicion.look(call: 7, now: 10 * second, used: second),
            suspicion.look(call: 7, now: 10 * second + 10_000_000, used: second + 5_000_000),
            suspicion.look(call: 7, now: 10 * second + 30_000_000, used: second + HookSuspicion.turn),
        ]
        #expect(looks == [false, false, true])
    }

    /// On a machine that has more to do than it can, time goes by without the worker having had a chance.
    @Test func aWorkerThatDoesNotGetItsTurnIsLeftAloneForAWhile() {
        var suspicion = HookSuspicion()
        let looks = [
            suspicion.look(call: 7, now: second, used: second), suspicion.look(call: 7, now: 5 * second, used: second + 1_000),
            suspicion.look(call: 7, now: second + HookSuspicion.patience, used: second + 2_000),
        ]
        #expect(looks == [false, false, true])
    }

    @Test func anotherCallIsLookedAtAnew() {
        var suspicion = HookSuspicion()
        let looks = [suspicion.look(call: 7, now: second, used: second), suspicion.look(call: 8, now: 9 * second, used: 9 * second)]
        #expect(looks == [false, false])
    }
}
