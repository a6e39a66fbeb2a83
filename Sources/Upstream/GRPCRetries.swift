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
        group.again(exchange, than: failed)
    }
}
