import CV8

// SAFETY: `raw` lives as long as this Isolate, which is one thread's; what the shim gives is ours and freed here.
extension Isolate {
    /// Begins to sample what runs here, each `microseconds`. False when that is under way already.
    public func startProfile(every microseconds: Int32 = 500) -> Bool { unsafe cv8_profile_start(raw, microseconds) }

    /// Ends it: a `.cpuprofile`, as Chrome's DevTools open it. nil when none was begun.
    public func stopProfile() -> [UInt8]? {
        var count = 0
        return unsafe Self.taken(cv8_profile_stop(raw, &count), count)
    }

    /// All that is on the heap, as a `.heapsnapshot`; nil when that would be longer than `limit` bytes. Stops the thread for
    /// as long as it takes: tens of milliseconds and more.
    public func heapSnapshot(limit: Int = 512 << 20) -> [UInt8]? {
        var count = 0
        return unsafe Self.taken(cv8_heap_snapshot(raw, limit, &count), count)
    }

    private static func taken(_ data: UnsafeMutablePointer<UInt8>?, _ count: Int) -> [UInt8]? {
        guard let data = unsafe data else { return nil }
        defer { unsafe cv8_data_free(data) }
        return unsafe Array(UnsafeBufferPointer(start: data, count: count))
    }
}
