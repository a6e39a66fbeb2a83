/// Timers and wall limits of all functions of a runtime, earliest first. A binary heap; what was cancelled stays
/// until its time and is skipped then, and is swept when it outnumbers what is alive.
struct Deadlines {
    struct Entry {
        /// Nanoseconds on the host's clock.
        var time: UInt64
        let function: HookFunction
        let slot: Int32
        let epoch: Int32
        /// 0: the wall limit of the call.
        let timer: Int32
    }

    private var heap: [Entry] = []
    private var sweepAt = 1024

    var earliest: UInt64? { heap.first?.time }
    var count: Int { heap.count }

    mutating func add(_ entry: Entry) {
        if heap.count >= sweepAt { sweep() }
        heap.append(entry)
        var index = heap.count - 1
        while index > 0, heap[index].time < heap[(index - 1) / 2].time {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
    }

    /// Everything due at `now`, earliest first.
    mutating func takeDue(_ now: UInt64) -> [Entry] {
        var due: [Entry] = []
        while let first = heap.first, first.time <= now {
            due.append(first)
            let last = heap.removeLast()
            if !heap.isEmpty {
                heap[0] = last
                sink(0)
            }
        }
        return due
    }

    /// Forgets entries at the top whose call or timer is gone.
    mutating func dropStale() {
        while let first = heap.first, !first.function.isWaiting(for: first) {
            let last = heap.removeLast()
            guard !heap.isEmpty else { return }
            heap[0] = last
            sink(0)
        }
    }

    private mutating func sweep() {
        heap.removeAll { !$0.function.isWaiting(for: $0) }
        heap.sort { $0.time < $1.time }
        sweepAt = max(1024, heap.count * 2)
    }

    private mutating func sink(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child].time < heap[least].time {
                least = child
            }
            if least == index { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
