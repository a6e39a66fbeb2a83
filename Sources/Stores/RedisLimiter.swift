public import KeyValue

/// A rate limit that all gateways with the same Redis count together. One script call for each request, on Redis' clock,
/// by the same two algorithms as the limits in shared memory (rates.c): a sliding window of two counters, or a token bucket.
public final class RedisLimiter {
    public struct Verdict: Sendable, Equatable {
        public var isAllowed: Bool
        public var remaining: Int
        /// Nanoseconds until the next may pass, and until the window ends or the bucket is full.
        public var retryAfter: UInt64
        public var reset: UInt64
    }

    private let client: RedisClient
    private let prefix: [UInt8]
    private let arguments: [[UInt8]]
    /// The script's name in Redis, once it has it.
    private var digest: [UInt8]?

    /// - Parameters:
    ///   - rule: stands for the rule: its keys are its own. A limit that changes begins anew.
    ///   - period: milliseconds.
    ///   - burst: 0 for a sliding window.
    public init(_ client: RedisClient, prefix: String, rule: UInt64, count: Int, period: Int, burst: Int) {
        self.client = client
        self.prefix = Array("\(prefix)limit:\(String(rule, radix: 16)):\(count)/\(period)/\(burst):".utf8)
        arguments = ["\(period * 1_000)", "\(count)", "\(burst)"].map { Array($0.utf8) }
    }

    /// Counts one request of `key` if the limit lets it pass.
    public func charge(_ key: [UInt8], _ answer: @escaping (Result<Verdict, StoreFailure>) -> Void) {
        guard let digest else { return load(key, answer) }
        client.ask([command("EVALSHA", digest, key)]) { result in
            if case .success(let values) = result, case .error(let text)? = values.first, text.hasPrefix("NOSCRIPT") {
                self.digest = nil
                return self.load(key, answer)
            }
            answer(Self.verdict(result, at: 0))
        }
    }

    /// Redis lost the script, or never had it.
    private func load(_ key: [UInt8], _ answer: @escaping (Result<Verdict, StoreFailure>) -> Void) {
        let script = Array(Self.script.utf8)
        client.ask([RESPCommand("SCRIPT", Array("LOAD".utf8), script), command("EVAL", script, key)]) { result in
            if case .success(let values) = result, case .bytes(let digest?)? = values.first { self.digest = digest }
            answer(Self.verdict(result, at: 1))
        }
    }

    private func command(_ name: String, _ script: [UInt8], _ key: [UInt8]) -> RESPCommand {
        RESPCommand([Array(name.utf8), script, [49], prefix + key] + arguments)
    }

    static func verdict(_ result: Result<[RESPValue], StoreFailure>, at index: Int) -> Result<Verdict, StoreFailure> {
        switch result {
        case .failure(let failure): return .failure(failure)
        case .success(let values):
            guard values.indices.contains(index) else { return .failure(StoreFailure(.broken, "Redis gave no verdict")) }
            if case .error(let text) = values[index] { return .failure(StoreFailure(.refused, "Redis refuses: \(text.prefix(200))")) }
            guard case .list(let parts?) = values[index], parts.count == 4, case .number(let allowed) = parts[0],
                case .number(let remaining) = parts[1], case .number(let retry) = parts[2], case .number(let reset) = parts[3]
            else { return .failure(StoreFailure(.broken, "Redis gave no verdict")) }
            return .success(Verdict(
                isAllowed: allowed == 1, remaining: max(remaining, 0), retryAfter: nanoseconds(retry), reset: nanoseconds(reset)))
        }
    }

    /// Of microseconds, which are at most 35 years whatever Redis says.
    private static func nanoseconds(_ microseconds: Int) -> UInt64 { UInt64(min(max(microseconds, 0), 1 << 50)) * 1_000 }

    /// KEYS[1]: what is counted. ARGV: period in microseconds, count, burst. Answers allowed, remaining, and two times in
    /// microseconds.
    private static let script = """
        local t = redis.call('TIME')
        local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
        local period, count, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
        if burst > 0 then
          local interval = period / count
          local room = interval * burst
          local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
          if full + interval - now > room then return {0, 0, math.ceil(full + interval - room - now), math.ceil(full - now)} end
          full = full + interval
          redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1)
          return {1, math.floor((room - (full - now)) / interval), 0, math.ceil(full - now)}
        end
        local kept = redis.call('HMGET', KEYS[1], 's', 'b', 'c')
        local start, before, current = tonumber(kept[1] or '0'), tonumber(kept[2] or '0'), tonumber(kept[3] or '0')
        local passed = math.max(now - start, 0)
        if passed >= 2 * period then
          start, before, current, passed = now, 0, 0, 0
        elseif passed >= period then
          start, before, current, passed = start + period, current, 0, passed - period
        end
        local used = math.floor(before * (period - passed) / period) + current
        if used < count then
          redis.call('HSET', KEYS[1], 's', string.format('%.0f', start), 'b', before, 'c', current + 1)
          redis.call('PEXPIRE', KEYS[1], math.ceil((2 * period - passed) / 1000) + 1)
          return {1, count - used - 1, 0, math.ceil(period - passed)}
        end
        local wait = period - passed
        if current < count and before > 0 then wait = math.max(period * (1 - (count - current) / before) - passed, 0) end
        return {0, 0, math.ceil(wait) + 1, math.ceil(period - passed)}
        """
}
