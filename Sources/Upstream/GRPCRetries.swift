import Buffers
import HTTP
import Reactor

/// Further attempts by what a server of gRPC says: a status in the head of an answer that has nothing else ("trailers only").
extension ForwardedExchange {
    /// Why an answer that begins so may be followed by another attempt; nil: it goes to the client whatever the policy says.
    /// - Parameter isWhole: nothing follows the head.
    func reasonToRepeat(_ head: borrowing Head, isWhole: Bool) -> RetryReason? {
        if head.status >= 400 { return .status(head.status) }
        guard repeatsGRPC, isWhole, let status = head.grpcStatus else { return nil }
        return .grpc(status, head.grpcPushback)
    }

    /// How a call ended is told by a status of gRPC's own, in a head that says 200.
    public final var callsGRPC: Bool { request.method == .post && request.isGRPC }

    /// Tells the server how often the call was tried before (gRFC A6), on top of what a client that repeats it itself says.
    /// Attempts that reached no server are not among them.
    func countAttempt() {
        let count = Array(String(min(request.grpcPreviousAttempts, ForwardedExchange.mostAttempts) + 1).utf8)
        request.set(name: Span("grpc-previous-rpc-attempts"), value: count.span)
    }
    private static let mostAttempts = 999

    /// The client's own deadline is over, or will be in a moment: whoever tells of it is not at fault.
    fileprivate var isPastDeadline: Bool { attemptTimes.totalIsClients && !hasTime(for: 20) }
}

extension Server {
    /// What a status of gRPC says of the server that sent it.
    func answered(grpcStatus status: Int, _ exchange: ForwardedExchange) {
        guard settings.ejection.grpcStatuses.contains(status) else { return health.answered() }
        if status == GRPCStatus.deadlineExceeded, exchange.isPastDeadline { return }
        attemptFailed(exchange)
    }

    /// The answer is complete; of a call of gRPC its trailers say how it went.
    @inline(__always)
    func answeredWholly(_ exchange: ForwardedExchange) {
        guard exchange.callsGRPC else { return }
        judge(exchange)
    }

    private func judge(_ exchange: ForwardedExchange) {
        guard !exchange.isProbe, exchange.response.status == 200, let status = exchange.responseTrailers?.head.grpcStatus else { return }
        answered(grpcStatus: status, exchange)
    }
}

/// The time between two attempts that a server asked for.
final class RetryPause: Timer {
    /// Milliseconds. A client is told of a longer one, which it can wait for as well as we can.
    static let longest = 1_000

    /// Held while it rests, as what serves it holds it otherwise.
    private var exchange: ForwardedExchange?
    private let failed: Server
    private let group: ServerGroup

    init(_ exchange: ForwardedExchange, _ failed: Server, _ group: ServerGroup) {
        self.exchange = exchange
        self.failed = failed
        self.group = group
    }

    func stop() {
        if isScheduled { group.context.reactor.cancel(self) }
        exchange = nil
    }

    override func fire() {
        guard let exchange else { return }
        self.exchange = nil
        exchange.restIsOver()
        group.askAgain(exchange, than: failed)
    }
}
