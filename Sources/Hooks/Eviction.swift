import Isolates

/// Giving up isolates that nobody uses, so that a thousand functions fit into a worker of bounded memory.
extension HookRuntime {
    /// Lets go of the isolates of the least recently used functions until the rest is within `bytes`. A function keeps its
    /// bindings and handlers, loses what its module kept in variables, and gets a new isolate at its next call.
    ///
    /// - Returns: how many were let go.
    public func evict(beyond bytes: UInt64) -> Int {
        var total = functions.reduce(UInt64(0)) { $0 + $1.footprint }
        guard total > bytes else { return 0 }
        var evicted = 0
        for function in functions.sorted(by: { $0.lastUsed < $1.lastUsed }) where total > bytes {
            let footprint = function.footprint
            guard footprint > 0, function.letGo() else { continue }
            total -= footprint
            evicted += 1
        }
        return evicted
    }
}

extension HookFunction {
    /// What the isolate holds of physical memory: its heap with what is committed for it, its buffers, and what it costs by
    /// being there; 0 without one.
    var footprint: UInt64 {
        guard let loaded else { return 0 }
        let statistics = loaded.isolate.statistics
        return statistics.physicalHeap + statistics.externalBytes + statistics.malloced + HookFunction.overhead
    }

    /// What an isolate costs beyond what V8 counts: tables, code space, mappings (measured: 1.27 MB in all when idle).
    private static let overhead: UInt64 = 384 << 10

    /// False while calls are under way.
    func letGo() -> Bool {
        guard loaded != nil, callsUnderWay == 0 else { return false }
        loaded = nil
        timers.removeAll()
        return true
    }

    public var hasIsolate: Bool { loaded != nil }
}
