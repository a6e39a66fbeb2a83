import Buffers
import Isolates

// What outlives its answer, and its client: `waitUntil` work, within `tailMilliseconds` and what is left of the call's CPU limit.

extension HookFunction {
    /// The calls of one function that may go on after their exchanges, in a process.
    static let mostTails = 10_000

    /// The exchange is given up: nobody waits for a result.
    func abandon(_ call: HookCall) {
        guard call.function === self, call.slot >= 0 else { return }
        let epoch = call.epoch
        if leave(call) {
            keepTail(of: call)
            // Nobody is told of an end that comes before this returns.
            call.progress.resultWaits = true
        } else if call.slot >= 0 {
            forget(call)
            end(call)
        }
        deliver()
        if call.slot >= 0, call.epoch == epoch { call.progress.resultWaits = false }
    }

    /// Ends what only the answer of a call is made of. True: the call is there and has `waitUntil` work.
    func leave(_ call: HookCall) -> Bool {
        guard let loaded, call.slot >= 0 else { return false }
        let epoch = call.epoch
        call.endExchange()
        call.dropStreams()
        call.progress.wallDeadline = 0
        call.progress.wallLeft = 0
        // Should it end in this turn, then whoever leaves sees that it has.
        call.progress.resultWaits = true
        let result = turn(call, loaded) { $0.call(HookEntry.leave.rawValue, call.slot, epoch) }
        guard call.slot >= 0, call.epoch == epoch else { return false }
        call.progress.resultWaits = false
        guard case .int(let goesOn) = result else { return false }
        return goesOn == 1
    }

    /// Has a call stay for its `waitUntil` work; where too many do already, until the loop's next look at what is due.
    func keepTail(of call: HookCall) {
        call.endExchange()
        call.progress.hasTail = true
        setTailDeadline(call)
    }

    func setTailDeadline(_ call: HookCall) {
        let time = callsUnderWay <= Self.mostTails ? source.limits.tailMilliseconds &* 1_000_000 : 0
        setWallDeadline(call, host.now &+ time)
    }
}

extension HookCall {
    /// Nobody takes the bodies that it makes, and nobody gives it any.
    final func dropStreams() {
        guard streams.isBusy || streams.bytes != 0 else { return }
        streams.rest()
        requestOutput.removeAll()
        responseOutput.removeAll()
    }
}
