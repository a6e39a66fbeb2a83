/// Whether a worker whose hook is over its time runs on in it, or only does not get its turn. Decides only.
///
/// On a machine that has more to do than it can, a worker may wait for longer than its hook may take: to kill it then would cost requests
/// for nothing. So after the first look at a call that is over its time, it has to be seen using the processor, or nothing for long.
struct HookSuspicion {
    /// Nanoseconds of processor time in which the worker could have ended the call.
    static let turn: UInt64 = 20_000_000
    /// Nanoseconds after which a call that does not even run is ended all the same: it is stuck in the kernel.
    static let patience: UInt64 = 5_000_000_000

    private var call: UInt64 = 0
    private var since: UInt64 = 0
    private var processor: UInt64 = 0

    /// - Parameters:
    ///   - call: which call it is in; not 0.
    ///   - now: monotonic nanoseconds.
    ///   - used: processor time of the worker so far, in nanoseconds; 0: it cannot be told.
    /// - Returns: true when the call does not stop.
    mutating func look(call: UInt64, now: UInt64, used: UInt64) -> Bool {
        guard self.call == call else {
            self.call = call
            since = now
            processor = used
            return false
        }
        return used == 0 || used >= processor &+ HookSuspicion.turn || now >= since &+ HookSuspicion.patience
    }
}
