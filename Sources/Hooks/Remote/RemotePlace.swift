import Buffers
import HTTP

/// What a call needs to know of its place in another process.
struct RemotePlace {
    var owner: RemoteHooks?
    var function: RemoteFunction?
    var number: UInt32 = 0
    /// The process that is there now was told of it.
    var sent = false
    /// The exchange is given up: it stays for what was given to `waitUntil`, until the cordon says that there is no more of it.
    var left = false
    /// It runs for the second time.
    var repeated = false
}

extension HookCall {
    /// What the cordon knows the call by, and `SharedRing.running` names; 0 for a call in this process.
    public final var numberElsewhere: UInt64 { UInt64(remote.number) }

    func begin(_ function: RemoteFunction, _ number: UInt32, _ binding: HookBinding, _ phase: HookPhase, _ exchange: Exchange) {
        remote = RemotePlace(owner: function.owner, function: function, number: number)
        self.exchange = exchange
        self.phase = phase
        self.binding = binding.index
        cpuNanoseconds = 0
        uses &+= 1
        laterFields = []
        progress = CallProgress()
        streams = StreamProgress()
        socket = SocketProgress()
        socketActions.removeAll()
        links.removeAll()
        closeSubrequests()
    }

    func endElsewhere() {
        remote.owner = nil
        streams = StreamProgress()
        requestOutput.removeAll()
        responseOutput.removeAll()
        exchange = nil
        edits.reset()
    }

    /// Nothing of it has been seen outside yet, and it has had one run only.
    var isRepeatable: Bool { !remote.repeated && !progress.originSent && progress.subrequests == 0 && !progress.wroteStore }
}
