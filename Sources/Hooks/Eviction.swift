import Isolates

/// What the isolates of a worker hold, each as it was looked at last. Bytes.
public struct HookCensus: Sendable, Equatable {
    public var isolates = 0
    /// Used of heaps, ArrayBuffers, and V8's global handles.
    public var heapBytes: UInt64 = 0, externalBytes: UInt64 = 0, handleBytes: UInt64 = 0
    /// Contexts that V8 knows of, and those that nobody refers to any more and that are not collected yet.
    public var contexts: UInt64 = 0, detachedContexts: UInt64 = 0
    public var callsUnderWay = 0
}

/// One isolate, looked at.
struct HookFootprint {
    let statistics: IsolateStatistics
    /// The most of its heap that was seen in use: memory that was touched stays with the process.
    let heapPeak: UInt64
    /// When it had been used last (`HookFunction.lastUsed`).
    let used: UInt64
    /// How often nobody looked again, because nobody had used it.
    var skipped = 0

    init(_ statistics: IsolateStatistics, used: UInt64, after last: HookFootprint?) {
        self.statistics = statistics
        self.used = used
        heapPeak = max(statistics.usedHeap, last?.heapPeak ?? 0)
    }

    /// What the isolate holds of physical memory, about. What V8 calls physical is what it has reserved, half of which nobody has
    /// touched when a function is idle. What V8 counts as in use is 1,475 KiB where an idle function takes 1,360 of the process.
    var bytes: UInt64 {
        let counted = heapPeak + statistics.externalBytes + statistics.malloced
        return counted > Self.shared ? counted - Self.shared : 0
    }

    /// Of the heap that V8 counts for each isolate all isolates share about so much, less what V8 does not count.
    private static let shared: UInt64 = 96 << 10

    /// Taken for one that nobody has looked at yet.
    static let typical: UInt64 = 1_400 << 10
}

/// Giving up isolates that nobody uses, so that a thousand functions fit into a worker of bounded memory.
extension HookRuntime {
    /// Looks at the next `count` functions, after those that were looked at last. A look at one costs microseconds, because it
    /// walks through memory that nobody has touched for a while: a thousand at once would be some milliseconds in which no request is
    /// served. So there are `most` of them in one go, and what nobody has used since is passed over.
    public func look(at count: Int, atMost most: Int = 24) {
        guard !functions.isEmpty else { return }
        var looks = 0
        for _ in 0..<min(count, functions.count) where looks < most {
            nextLook = nextLook + 1 < functions.count ? nextLook + 1 : 0
            if functions[nextLook].look() { looks += 1 }
        }
    }

    public var census: HookCensus {
        var census = HookCensus()
        for function in functions {
            census.callsUnderWay += function.callsUnderWay
            guard function.hasIsolate else { continue }
            census.isolates += 1
            guard let statistics = function.seen?.statistics else { continue }
            census.heapBytes += statistics.usedHeap
            census.externalBytes += statistics.externalBytes
            census.handleBytes += statistics.handleBytes
            census.contexts += statistics.contexts
            census.detachedContexts += statistics.detachedContexts
        }
        return census
    }

    /// Lets go of the isolates of the least recently used functions until the rest is within `bytes`, by what `look` saw. A
    /// function keeps its bindings and handlers, loses what its module kept in variables, and gets a new isolate at its next call.
    ///
    /// - Parameter most: isolates let go in one go; freeing one takes some tenths of a millisecond.
    /// - Parameter idle: nanoseconds for which nobody has used them.
    /// - Returns: how many were let go.
    public func evict(beyond bytes: UInt64, atMost most: Int = .max, idle: UInt64 = 0) -> Int {
        var total = footprint
        guard total > bytes else { return 0 }
        let now = host.now
        var evicted = 0
        for function in functions.sorted(by: { $0.lastUsed < $1.lastUsed }) where total > bytes && evicted < most {
            let footprint = function.footprint
            guard footprint > 0, now &- min(function.lastUsed, now) >= idle, function.letGo() else { continue }
            total -= min(total, footprint)
            evicted += 1
        }
        return evicted
    }

    /// The same where nobody's isolate is idle any more: ends what keeps them. Without `all` that is what goes on after a result (WebSockets,
    /// bodies that flow, `waitUntil` work), with it calls that wait for something as well. Of the tenant whose isolates hold most, the function used least
    /// recently; one that is used all the time does not keep its memory at the cost of others.
    ///
    /// - Returns: the function whose isolate was given up.
    public func giveUpHeld(beyond bytes: UInt64, all: Bool = false) -> HookFunction? {
        guard footprint > bytes else { return nil }
        var held: [String: UInt64] = [:]
        for function in functions { held[function.source.tenant, default: 0] += function.footprint }
        let now = host.now
        let candidates = functions.filter {
            $0.footprint > 0 && now &- min($0.lastUsed, now) >= Self.grace && (all || $0.hasResultsOnly)
        }
        let first = candidates.min { a, b in
            let (mine, other) = (held[a.source.tenant] ?? 0, held[b.source.tenant] ?? 0)
            return mine == other ? a.lastUsed < b.lastUsed : mine > other
        }
        first?.giveUp()
        return first
    }

    /// Nanoseconds without a new call or message before what a function holds may have to go.
    private static let grace: UInt64 = 1_000_000_000

    /// Bytes that all isolates hold, by what `look` saw.
    private var footprint: UInt64 { functions.reduce(UInt64(0)) { $0 + $1.footprint } }
}

extension HookFunction {
    /// Bytes; 0 without an isolate.
    var footprint: UInt64 {
        guard loaded != nil else { return 0 }
        return seen?.bytes ?? HookFootprint.typical
    }

    /// Rounds of looking in which a function that nobody uses is passed over: V8 may have collected its garbage meanwhile.
    private static let rounds = 30

    /// False when there was no need.
    func look() -> Bool {
        guard let loaded else { return false }
        if let seen, seen.used == lastUsed, callsUnderWay == 0, seen.skipped < Self.rounds {
            self.seen?.skipped += 1
            return false
        }
        seen = HookFootprint(loaded.isolate.statistics, used: lastUsed, after: seen)
        return true
    }

    /// Bytes of V8 heap and of ArrayBuffers that were in use when it was looked at last.
    public var memoryLastSeen: UInt64 { seen.map { $0.statistics.usedHeap + $0.statistics.externalBytes } ?? memoryInUse }

    /// False while calls are under way.
    func letGo() -> Bool {
        guard loaded != nil, callsUnderWay == 0 else { return false }
        loaded = nil
        seen = nil
        timers.removeAll()
        return true
    }

    /// All its calls have given their results.
    fileprivate var hasResultsOnly: Bool { callsWithExchange == 0 }

    /// Others need its memory more. Its calls fail, as at its own limit.
    fileprivate func giveUp() {
        giveUpIsolate("the function's isolate was given up: memory is short")
        deliver()
    }

    public var hasIsolate: Bool { loaded != nil }
}
