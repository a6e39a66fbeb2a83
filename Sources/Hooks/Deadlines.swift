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
        /// Timers of one moment fire in the order in which they were set (HTML section 8.7).
        fileprivate(set) var order: UInt64 = 0

        init(time: UInt64, function: HookFunction, slot: Int32, epoch: Int32, timer: Int32) {
            self.time = time
            self.function = function
            self.slot = slot
            self.epoch = epoch
            self.timer = timer
        }

        fileprivate func isBefore(_ other: Entry) -> Bool {
            time != other.time ? time < other.time : order < other.order
        }
    }

    private var heap: [Entry] = []
    private var added: UInt64 = 0
    private var sweepAt = 1024

    var earliest: UInt64? { heap.first?.time }
    var count: Int { heap.count }

    mutating func add(_ entry: Entry) {
        if heap.count >= sweepAt { sweep() }
        added += 1
        heap.append(entry)
        heap[heap.count - 1].order = added
        var index = heap.count - 1
        while index > 0, heap[index].isBefore(heap[(index - 1) / 2]) {
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
        heap.sort { $0.isBefore($1) }
        sweepAt = max(1024, heap.count * 2)
    }

    private mutating func sink(_ start: Int) {
        var index = start
        while true {
            var least = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child].isBefore(heap[least]) {
                least = child
            }
            if least == index { return }
            heap.swapAt(index, least)
            index = least
        }
    }
}
