import Buffers
import HTTP
import Reactor
import Rules
import Telemetry
import Upstream

/// Limits that rules put on an exchange.
extension ExchangeRunner {
    /// Counts the request for a `rate_limit`; nil when others have to be asked and `advance` goes on later.
    func verdict(_ check: LimitCheck) -> LimitVerdict? {
        if let shared = generation?.sharedLimits, !shared.isEmpty, let limit = shared[Int(check.limit)] { return ask(limit, check) }
        return countHere(check)
    }

    /// Counts on this machine, for all workers.
    func countHere(_ check: LimitCheck) -> LimitVerdict {
        guard let generation else { return LimitVerdict(isAllowed: true, remaining: 0, retryAfter: 0, reset: 0) }
        let limit = generation.limits[Int(check.limit)]
        let shared = worker.context.shared
        let now = worker.nowNanoseconds
        let counted = rules.withLimitKey { shared.charge(limit, key: $0, now: now) }
        if counted.hasEvicted { worker.metrics.add(.rateLimitEvicted) }
        return LimitVerdict(isAllowed: counted.isAllowed, remaining: counted.remaining, retryAfter: counted.retryAfter, reset: counted.reset)
    }

    /// - Returns: the refusal, already in `response`; nil when the request may go on.
    func settle(_ check: LimitCheck, _ verdict: LimitVerdict) -> Reply? {
        worker.metrics.add(verdict.isAllowed ? .rateLimitAllowed : .rateLimitRefused)
        if !verdict.isAllowed { generation?.tallies.count(check.rule, .limited) }
        let reply = rules.settle(check, verdict, self)
        rules.trace?.note(reply == nil ? "rate_limit: passes" : "rate_limit: refused")
        return reply
    }

    /// The client said that it will send more than it may, or has.
    var bodyIsTooLarge: Bool {
        if requestBytes > bodyLimit { return true }
        guard case .known(let count) = request.body, !replacedRequestBody else { return false }
        return count > bodyLimit
    }

    func refuseBody() {
        requestBody.removeAll()
        fail(GatewayError(.bodyTooLarge, in: .requestBody, note: "the request body is larger than \(bodyLimit) bytes"))
    }
}

extension RateLimit {
    init(_ plan: LimitPlan) {
        self.init(
            rule: SharedRegion.tallyKey(plan.id), periodNanoseconds: UInt64(plan.settings.period) * 1_000_000,
            count: plan.settings.count, burst: plan.settings.burst)
    }
}

/// How often each rule of a generation matched. Counted in plain memory, added now and then to the shared counters
/// that are kept by the rule's stable id, so that they outlive generations and workers.
final class RuleTallies {
    private let ids: [String]
    private let shared: SharedRegion
    /// By rule; nil until the rule is first counted, -1 when there is no room for it.
    private var slots: [Int32?]
    private var pending: PendingCounts

    init(_ rules: Generation, shared: SharedRegion) {
        ids = (0..<rules.ruleCount).map { rules.ruleID(Int32($0)) }
        self.shared = shared
        slots = Array(repeating: nil, count: ids.count)
        pending = PendingCounts(places: ids.count, words: RuleTally.allCases.count)
    }

    deinit { flush() }

    /// - Parameter rule: as in `Exchange.matchedRules`, without the complement of shadow rules.
    func count(_ rule: Int32, _ tally: RuleTally) {
        pending.change(Int(rule)) { words, base in words[base + Int(tally.rawValue)] &+= 1 }
    }

    /// Counts what an exchange matched.
    func count(matched rules: [Int32]) {
        for rule in rules { rule < 0 ? count(~rule, .shadowed) : count(rule, .matched) }
    }

    func flush() {
        pending.takeAll { index, counts in
            let slot = slots[index] ?? shared.tallySlot(SharedRegion.tallyKey(ids[index])) ?? -1
            slots[index] = slot
            guard slot >= 0 else { return }
            for tally in RuleTally.allCases where counts[Int(tally.rawValue)] > 0 {
                shared.add(counts[Int(tally.rawValue)], to: tally, slot: slot)
            }
        }
    }
}
