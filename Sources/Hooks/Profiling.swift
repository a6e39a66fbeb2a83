import Isolates

/// Looking inside a function that serves.
extension HookFunction {
    /// Begins to sample what the function does. False when it cannot be loaded or is looked at already.
    public func startProfile() -> Bool { readyIsolate()?.isolate.startProfile() ?? false }

    /// A `.cpuprofile`; nil when the isolate that was looked at is gone.
    public func stopProfile() -> [UInt8]? { loaded?.isolate.stopProfile() }

    /// Bytes of V8 heap in use, without ArrayBuffers.
    public var heapInUse: UInt64 { loaded?.isolate.statistics.usedHeap ?? 0 }

    /// A `.heapsnapshot`.
    public func heapSnapshot() -> [UInt8]? { readyIsolate()?.isolate.heapSnapshot() }
}
