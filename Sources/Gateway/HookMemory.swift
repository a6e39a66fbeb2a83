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

    /// Ten times a second: looks at some of the isolates, a hundred that were used within half a second, and gives up those that were not used for
    /// longest.
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
        var evicted = runtime.evict(beyond: budget / 8 * 9, atMost: WorkerHooks.urgentEvictions)
        if evicted == 0 { evicted = runtime.evict(beyond: budget, atMost: WorkerHooks.evictionsAtOnce) }
        guard evicted > 0 else { return }
        metrics.add(.isolatesEvicted, evicted)
        countIsolates()
    }
}
