import CLinux

/// How often a key may pass.
public struct RateLimit: Sendable, Equatable {
    /// The most requests per period.
    public static let countLimit = Int(SLUICE_RATE_COUNT_LIMIT)

    /// Stands for the rule: the same key of two rules is counted twice.
    public var rule: UInt64
    /// At least one second.
    public var periodNanoseconds: UInt64
    /// 1 to `countLimit` requests per period.
    public var count: Int
    /// 0: a sliding window, at most `count` in any period. Else a token bucket that holds `burst` tokens and gets
    /// `count` per period.
    public var burst: Int

    public init(rule: UInt64, periodNanoseconds: UInt64, count: Int, burst: Int = 0) {
        self.rule = rule
        self.periodNanoseconds = max(periodNanoseconds, 1_000_000_000)
        self.count = min(max(count, 1), RateLimit.countLimit)
        self.burst = min(max(burst, 0), Int(UInt32.max))
    }
}

/// What a rate limit says of one request.
public struct RateVerdict: Sendable, Equatable {
    public var isAllowed: Bool
    /// Requests that could pass now.
    public var remaining: Int
    /// Nanoseconds until the next may pass; 0 when this one did.
    public var retryAfter: UInt64
    /// Nanoseconds until the window ends or the bucket is full.
    public var reset: UInt64
    /// Another key that still counted lost its place: more keys are busy than the table holds.
    public var hasEvicted: Bool
}

/// What is counted of each rule, by its stable id.
public enum RuleTally: UInt32, Sendable, CaseIterable {
    /// Its condition held and it was carried out.
    case matched
    /// The same in `mode: shadow`.
    case shadowed
    /// It refused a request by its rate limit (in `mode: shadow`: it would have).
    case limited
}

extension SharedRegion {
    /// Counts one request of `key` if the limit lets it pass. Exact over all workers as long as no key is evicted.
    /// - Parameter now: monotonic nanoseconds.
    public func charge(_ limit: RateLimit, key: borrowing Span<UInt8>, now: UInt64) -> RateVerdict {
        var plain = sluice_rate_limit()
        plain.rule = limit.rule
        plain.period_ns = limit.periodNanoseconds
        plain.count = UInt32(limit.count)
        plain.burst = UInt32(limit.burst)
        var verdict = sluice_rate_verdict()
        unsafe key.withUnsafeBufferPointer { bytes in
            // SAFETY: C reads `count` bytes of the key; the mapping lives as long as self.
            unsafe sluice_rates_charge(region, &plain, bytes.baseAddress, bytes.count, now, &verdict)
        }
        return RateVerdict(
            isAllowed: verdict.allowed == 1, remaining: Int(verdict.remaining), retryAfter: verdict.retry_ns,
            reset: verdict.reset_ns, hasEvicted: verdict.evicted == 1)
    }

    /// The number under which a rule is counted, from its stable id.
    public static func tallyKey(_ id: String) -> UInt64 {
        var fingerprint = Fingerprint()
        fingerprint.add(id.utf8)
        return fingerprint.value == 0 ? 1 : fingerprint.value
    }

    /// The place of a rule's counters; nil when more rules than there is room for were counted since the start.
    public func tallySlot(_ key: UInt64) -> Int32? {
        // SAFETY: the mapping lives as long as self; key is not 0.
        let slot = unsafe sluice_tally_slot(region, key)
        return slot < 0 ? nil : slot
    }

    public func add(_ amount: UInt64, to tally: RuleTally, slot: Int32) {
        // SAFETY: C checks the slot.
        unsafe sluice_tally_add(region, slot, tally.rawValue, amount)
    }

    /// Counters of a rule in the order of `RuleTally`; nil when it has never been counted.
    public func tallies(_ key: UInt64) -> [UInt64]? {
        // SAFETY: the mapping lives as long as self.
        let slot = unsafe sluice_tally_find(region, key)
        guard slot >= 0 else { return nil }
        // SAFETY: as above.
        return RuleTally.allCases.map { unsafe sluice_tally_read(region, slot, $0.rawValue) }
    }
}
