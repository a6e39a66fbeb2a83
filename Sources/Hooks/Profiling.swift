import Isolates

/// Looking inside a function that serves.
extension HookFunction {
    /// Begins to sample what the function does. False when it cannot be loaded or is looked at already.
    public func startProfile() -> Bool { readyIsolate()?.isolate.startProfile() ?? false }

    /// A `.cpuprofile`; nil when the isolate that was looked at is gone.
    public func stopProfile() -> [UInt8]? { loaded?.isolate.stopProfile() }

    /// Bytes of V8 heap in use, without ArrayBuffers. Where that seems to be more than `most`, what nobody refers to any more is collected first.
    public func heapInUse(most: UInt64) -> UInt64 {
        guard let loaded else { return 0 }
        if loaded.isolate.statistics.usedHeap > most { loaded.isolate.lowMemory() }
        return loaded.isolate.statistics.usedHeap
    }

    /// A `.heapsnapshot`.
    public func heapSnapshot() -> [UInt8]? { readyIsolate()?.isolate.heapSnapshot() }
}
