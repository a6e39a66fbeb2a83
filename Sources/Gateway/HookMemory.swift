import Hooks
import Telemetry

/// The memory of a worker's isolates: watched, and bounded.
extension WorkerHooks {
    /// Isolates let go in one turn of the loop: freeing one takes half a millisecond. More where it is urgent.
    private static let evictionsAtOnce = 2, urgentEvictions = 8

    /// A function was loaded before anybody called it: those that came first, and have shown what handlers they have, make room for it.
    func makeRoomForLoaded() {
        let evicted = runtime.evict(beyond: room, atMost: WorkerHooks.evictionsAtOnce)
        if evicted > 0 { worker.metrics.add(.isolatesEvicted, evicted) }
    }

    /// The end of a turn in which functions were called that had none: a hundred of them may come between two looks, and those used least
    /// recently make room for them at once.
    func makeRoom(forNewcomers count: Int) {
        guard count > 0 else { return }
        // Beyond what the next look would call urgent: letting one go takes half a millisecond.
        note(evicted: runtime.evict(beyond: worker.overload.isolateBytes / 8 * 9, atMost: min(2 * count, WorkerHooks.urgentEvictions)))
    }

    private func note(evicted: Int) {
        guard evicted > 0 else { return }
        worker.metrics.add(.isolatesEvicted, evicted)
        countIsolates()
    }

    /// Ten times a second: looks at some of the isolates, a hundred that were used within half a second, and gives up those that were not used for
    /// longest. What WebSockets and waiting calls hold stays until the worker itself is short of memory.
    /// - Parameter budget: bytes that they may hold together.
    func makeRoom(_ metrics: Metrics, within budget: UInt64) {
        runtime.look(at: runtime.functions.count / 10 + 1)
        let census = runtime.census
        metrics.set(.isolateHeapBytes, Int(clamping: census.heapBytes))
        metrics.set(.isolateBufferBytes, Int(clamping: census.externalBytes))
        metrics.set(.isolateHandleBytes, Int(clamping: census.handleBytes))
        metrics.set(.isolateContexts, Int(clamping: census.contexts))
        metrics.set(.isolateContextsDetached, Int(clamping: census.detachedContexts))
        metrics.set(.hookCallsOpen, census.callsUnderWay)
        metrics.set(.hookBodyBytes, waiting.bytes)
        note(evicted: makeRoom(within: budget))
    }

    private func makeRoom(within budget: UInt64) -> Int {
        let pressure = worker.overload.memory, refuses = worker.overload.state.stopsAccepting
        if pressure >= Overload.endsHeldHooks || refuses {
            // Those in use are not made anew again and again because of those that hold on to theirs: they go when nothing else is left.
            let idle = runtime.evict(beyond: budget, atMost: WorkerHooks.urgentEvictions, idle: 1_000_000_000)
            if idle > 0 { return idle }
            if runtime.giveUpHeld(beyond: budget, all: refuses) != nil { return 1 }
        }
        let urgent = runtime.evict(beyond: budget / 8 * 9, atMost: WorkerHooks.urgentEvictions)
        return urgent > 0 ? urgent : runtime.evict(beyond: budget, atMost: WorkerHooks.evictionsAtOnce)
    }
}
