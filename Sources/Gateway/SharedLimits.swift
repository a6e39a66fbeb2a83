import Buffers
import HTTP
import KeyValue
import Reactor
import Rules
import Stores
import Telemetry

/// A rate limit that several gateways count together, and what holds while their Redis is gone.
struct SharedLimit {
    let limiter: RedisLimiter
    let otherwise: RateLimitSettings.Otherwise
}

extension WorkerStores {
    /// By `LimitCheck.limit`; empty when no limit has a store.
    func limits(_ rules: Generation, _ namespaces: [KeyValueNamespace], _ opened: [OpenNamespace]) -> [SharedLimit?] {
        // A rehearsal counts here: it has no Redis, and time is its own.
        guard worker.stage == nil, rules.limits.contains(where: { $0.settings.store != nil }) else { return [] }
        return rules.limits.map { plan in
            guard let store = plan.settings.store, case .redis(let place) = namespaces[store].place, let client = opened[store].client else { return nil }
            let limiter = RedisLimiter(
                client, prefix: place.prefix, rule: SharedRegion.tallyKey(plan.id), count: plan.settings.count, period: plan.settings.period,
                burst: plan.settings.burst)
            return SharedLimit(limiter: limiter, otherwise: plan.settings.otherwise)
        }
    }
}

extension ExchangeRunner {
    /// Asks the Redis of a limit.
    /// - Returns: the verdict when it is known at once; nil: `advance` goes on when it has come.
    func ask(_ limit: SharedLimit, _ check: LimitCheck) -> LimitVerdict? {
        let (high, low) = (requestID.high, requestID.low)
        let key = rules.withLimitKey { $0.array() }
        var verdict: LimitVerdict?
        var hasReturned = false
        hooks.awaitedLimit = check
        // Held, not weak: a weak reference would make each retain of this runner dear for ever. It is over with the timeout.
        limit.limiter.charge(key) { result in
            // The runner may serve another request by now.
            guard self.requestID.high == high, self.requestID.low == low, self.hooks.awaitedLimit == check else { return }
            self.hooks.awaitedLimit = nil
            let found = self.verdict(result, limit, check)
            if hasReturned { self.limitIsKnown(check, found) } else { verdict = found }
        }
        hasReturned = true
        return verdict
    }

    private func verdict(_ result: Result<RedisLimiter.Verdict, StoreFailure>, _ limit: SharedLimit, _ check: LimitCheck) -> LimitVerdict {
        switch result {
        case .success(let found):
            return LimitVerdict(isAllowed: found.isAllowed, remaining: found.remaining, retryAfter: found.retryAfter, reset: found.reset)
        case .failure(let failure):
            worker.metrics.add(.rateLimitUnreachable)
            worker.stores.noteLimit(failure, generation?.rules.ruleID(check.rule) ?? "")
            switch limit.otherwise {
            case .local: return countHere(check)
            case .allow, .deny:
                return LimitVerdict(isAllowed: limit.otherwise == .allow, remaining: 0, retryAfter: 1_000_000_000, reset: 1_000_000_000)
            }
        }
    }

    private func limitIsKnown(_ check: LimitCheck, _ verdict: LimitVerdict) {
        guard station == .requestRules else { return }
        if let reply = settle(check, verdict) { answer(reply) } else { advance() }
    }
}
