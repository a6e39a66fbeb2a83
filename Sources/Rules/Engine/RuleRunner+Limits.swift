import Buffers
public import HTTP

/// A `rate_limit` that wants to know whether the request may pass.
public struct LimitCheck: Sendable, Equatable {
    public var rule: Int32
    /// Index into `Generation.limits`.
    public var limit: Int32
    /// The rule is in shadow mode: counted, never refused.
    public var isShadow: Bool
}

/// The answer to a `LimitCheck`.
public struct LimitVerdict: Sendable, Equatable {
    public var isAllowed: Bool
    public var remaining: Int
    /// Nanoseconds until the next may pass.
    public var retryAfter: UInt64
    /// Nanoseconds until the window ends or the bucket is full.
    public var reset: UInt64

    public init(isAllowed: Bool, remaining: Int, retryAfter: UInt64, reset: UInt64) {
        self.isAllowed = isAllowed
        self.remaining = remaining
        self.retryAfter = retryAfter
        self.reset = reset
    }

    /// Whole seconds, rounded up: who comes back after them is let in.
    static func seconds(_ nanoseconds: UInt64) -> Int { Int((nanoseconds + 999_999_999) / 1_000_000_000) }
}

/// What the counters need to know of a `rate_limit`.
public struct LimitPlan: Sendable {
    /// Stays the same over reloads: the rule's id, with a number for its second limit and on.
    public let id: String
    public let settings: RateLimitSettings
    let fields: Slots
    /// `"name"` and `"name";q=100;w=60`, for the answer's fields.
    let label: ByteRange
    let policy: ByteRange
}

/// A limit that was asked, for the fields of the answer.
struct LimitReport: Sendable {
    var limit: Int32
    var remaining: Int
    var reset: Int
}

/// Rate limits: the runner makes the key, the gateway counts, the runner settles.
extension RuleRunner {
    /// Lends the key of the check that `next` just returned.
    public borrowing func withLimitKey<Result>(_ body: (borrowing Span<UInt8>) -> Result) -> Result {
        body(limitKey[ByteRange(start: 0, count: limitKey.count)])
    }

    /// Values with their lengths, so that no two lists of values make the same key. A missing value is a value of its own.
    mutating func makeLimitKey(_ limit: Int32, _ generation: Generation, _ exchange: Exchange) {
        limitKey.removeAll()
        for index in generation.limits[Int(limit)].fields.indices {
            let field = generation.program.limitFields[index]
            if field.id == .clientIP || field.id == .originAddress {
                guard let address = address(field, exchange) else { continue }
                // An IPv6 subscriber has a whole /64 to send from.
                limitKey.append(byte: address.isV6 ? 6 : 4)
                append(address.isV6 ? address.high : address.low)
            } else if let value = text(field, generation, exchange) {
                limitKey.append(byte: 1)
                append(UInt64(value.range.count))
                copyToLimitKey(value, generation, exchange)
            } else {
                limitKey.append(byte: 0)
            }
        }
    }

    private mutating func append(_ word: UInt64) {
        for shift in 0..<8 { limitKey.append(byte: UInt8(truncatingIfNeeded: word >> (8 * UInt64(shift)))) }
    }

    private mutating func copyToLimitKey(_ value: Located, _ generation: Generation, _ exchange: Exchange) {
        switch value.store {
        case .request: _ = Access.copy(exchange.request, value.range, to: &limitKey)
        case .response: _ = Access.copy(exchange.response, value.range, to: &limitKey)
        case .variables: _ = Access.copy(exchange.vars, value.range, to: &limitKey)
        case .captures: _ = Access.copy(captureText, value.range, to: &limitKey)
        case .scratch: _ = Access.copy(scratch, value.range, to: &limitKey)
        case .constants: _ = Access.copy(generation.program.constants, value.range, to: &limitKey)
        }
    }

    /// Takes the verdict. Ask `next` when the request may go on.
    /// - Returns: the refusal.
    public mutating func settle(_ check: LimitCheck, _ verdict: LimitVerdict, _ exchange: Exchange) -> Reply? {
        guard let generation, !check.isShadow else { return nil }
        let settings = generation.limits[Int(check.limit)].settings
        if settings.sendsFields {
            limitReports.append(LimitReport(
                limit: check.limit, remaining: verdict.remaining, reset: LimitVerdict.seconds(verdict.reset)))
        }
        guard !verdict.isAllowed else { return nil }
        guard case .respond(let refusal) = reply(.limit, Int(settings.status), .none, check.rule, exchange) else { return nil }
        if settings.sendsRetryAfter {
            let value = Self.append(decimal: max(1, LimitVerdict.seconds(verdict.retryAfter)), to: &exchange.response.arena)
            exchange.response.add(.retryAfter, range: value)
        }
        return refusal
    }

    /// Adds `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers) to the answer that is about to leave.
    public mutating func addLimitFields(_ exchange: Exchange) {
        guard !limitReports.isEmpty, let generation else { return }
        for report in limitReports {
            let plan = generation.limits[Int(report.limit)]
            let policy = Access.copy(generation.program.constants, plan.policy, to: &exchange.response.arena)
            exchange.response.appendField(name: exchange.response.arena.append("RateLimit-Policy"), value: policy)
            let mark = exchange.response.arena.count
            _ = Access.copy(generation.program.constants, plan.label, to: &exchange.response.arena)
            _ = exchange.response.arena.append(";r=")
            _ = Self.append(decimal: report.remaining, to: &exchange.response.arena)
            _ = exchange.response.arena.append(";t=")
            _ = Self.append(decimal: report.reset, to: &exchange.response.arena)
            let value = exchange.response.arena.range(since: mark)
            exchange.response.appendField(name: exchange.response.arena.append("RateLimit"), value: value)
        }
        limitReports.removeAll(keepingCapacity: true)
    }

    static func append(decimal number: Int, to arena: inout ByteArena) -> ByteRange {
        let mark = arena.count
        var divisor = 1
        while number / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            arena.append(byte: UInt8(48 + number / divisor % 10))
            divisor /= 10
        }
        return arena.range(since: mark)
    }
}
