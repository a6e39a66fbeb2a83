import HTTP
import Reactor
import Telemetry

/// Why an attempt may be followed by another.
enum RetryReason {
    case connect, reset, timeout
    case status(Int)
    /// A call of gRPC failed before it brought anything: the status, and what its server asks for.
    case grpc(Int, GRPCPushback)

    /// nil: repeating cannot help.
    init?(_ kind: ErrorKind) {
        switch kind {
        case .dns, .connect, .tls, .connectTimeout, .overloaded: self = .connect
        case .reset, .originProtocol: self = .reset
        case .firstByteTimeout, .idleTimeout: self = .timeout
        default: return nil
        }
    }

    func isCovered(by policy: RetryPolicy) -> Bool {
        switch self {
        case .connect: policy.conditions.contains(.connect)
        case .reset: policy.conditions.contains(.reset)
        case .timeout: policy.conditions.contains(.timeout)
        case .status(let status): policy.covers(status: status)
        case .grpc(let status, _): policy.grpcStatuses.contains(status)
        }
    }

    /// Whether it may be repeated is not told by the method, which is always POST: who names a status means such calls.
    var isOfGRPC: Bool {
        if case .grpc = self { return true }
        return false
    }

    /// Milliseconds until the next attempt; nil: there is none.
    var pause: Int? {
        guard case .grpc(_, let pushback) = self else { return 0 }
        switch pushback {
        case .none: return 0
        case .wait(let time): return time <= RetryPause.longest ? time : nil
        case .never: return nil
        }
    }

    var isConnect: Bool {
        if case .connect = self { return true }
        return false
    }
}

/// How many retries a group's requests have earned. Keeps retries from multiplying the load of an origin in trouble.
struct RetryBudget {
    /// Hundredths of a retry. The reserve lets a quiet service retry too.
    private var tokens = RetryBudget.reserve
    private static let reserve = 1_000
    private static let most = 10_000

    /// A request came: it earns `percent` hundredths of a retry.
    mutating func earn(_ percent: Int) { tokens = min(tokens + percent, max(tokens, RetryBudget.most)) }

    mutating func spend() -> Bool {
        guard tokens >= 100 else { return false }
        tokens -= 100
        return true
    }
}

extension ServerGroup {
    /// Decides whether the exchange gets another attempt, and counts it. Call `again` then.
    /// - Parameter nothingSent: the origin cannot have acted on the request.
    func mayTryAgain(_ exchange: ForwardedExchange, _ reason: RetryReason, nothingSent: Bool, failed: Server) -> Bool {
        guard !exchange.isProbe else { return false }
        let policy = exchange.retry ?? settings.retry
        guard exchange.tries < policy.tries, reason.isCovered(by: policy), exchange.bodyIsReplayable,
            nothingSent || policy.anyMethod || reason.isOfGRPC || exchange.request.method.isIdempotent, let pause = reason.pause,
            exchange.hasTime(for: pause)
        else { return false }
        // Where nothing came about nothing was loaded: another server may always be asked, the same one not at once.
        if reason.isConnect { return servers.count > 1 }
        guard !exchange.wantsUpgrade else { return false }
        guard budget.spend() else {
            context.metrics.add(.upstreamRetriesOverBudget)
            return false
        }
        return true
    }

    /// What `mayTryAgain` agreed to, at once or after the pause that the server asks for.
    func again(_ exchange: ForwardedExchange, than failed: Server, for reason: RetryReason, nothingSent: Bool) {
        if !nothingSent, exchange.callsGRPC { exchange.countAttempt() }
        if let pause = reason.pause, pause > 0 { return exchange.rest(RetryPause(exchange, failed, self), pause, context.reactor) }
        askAgain(exchange, than: failed)
    }

    /// Sends the exchange to another server, or to the same one where it is the only one.
    func askAgain(_ exchange: ForwardedExchange, than failed: Server) {
        exchange.tries += 1
        exchange.rewindBody()
        context.metrics.add(.upstreamRetries)
        let server = pick(exchange, excluding: failed) ?? failed
        exchange.originServer = server.index
        server.serve(exchange)
    }
}

extension Server {
    // MARK: What answers say of a server

    func answered(_ head: borrowing Head, _ exchange: ForwardedExchange) {
        if (502...504).contains(head.status) { return attemptFailed(exchange) }
        guard !exchange.isProbe else { return }
        guard head.status == 200, exchange.callsGRPC else { return health.answered() }
        // Without one here it follows behind the messages: `answeredWholly`.
        if let status = head.grpcStatus { answered(grpcStatus: status, exchange) }
    }

    /// An attempt failed by the server's fault.
    func attemptFailed(_ exchange: ForwardedExchange) {
        let now = context.reactor.now
        // One that is out already gets requests where all are: it cannot be left out twice.
        guard !exchange.isProbe, health.ejectedUntil <= now, health.failed(settings.ejection), let group else { return }
        let out = group.servers.count { $0 !== self && $0.health.ejectedUntil > now }
        guard out == 0 || (out + 1) * 100 <= settings.ejection.maximumPercent * group.servers.count else { return }
        health.eject(settings.ejection, now: now)
        tellEjection()
        context.metrics.add(.upstreamEjections)
    }
}
