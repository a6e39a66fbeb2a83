/// Exchanges that wait for a connection, first come first served. All of one queue wait equally long, so the
/// first one is also the first whose time is up.
struct WaitQueue {
    private var exchanges: [ForwardedExchange] = []
    private var start = 0

    var count: Int { exchanges.count - start }
    var isEmpty: Bool { count == 0 }

    /// Monotonic milliseconds at which the first one has waited long enough; nil when nobody waits.
    var nextDeadline: UInt64? { isEmpty ? nil : exchanges[start].connectBy }

    var first: ForwardedExchange? { isEmpty ? nil : exchanges[start] }

    mutating func append(_ exchange: ForwardedExchange) { exchanges.append(exchange) }

    mutating func popFirst() -> ForwardedExchange? {
        guard start < exchanges.count else { return nil }
        let exchange = exchanges[start]
        start += 1
        if start == exchanges.count || start >= 256 {
            exchanges.removeFirst(start)
            start = 0
        }
        return exchange
    }

    mutating func remove(_ exchange: ForwardedExchange) {
        guard let at = exchanges[start...].firstIndex(where: { $0 === exchange }) else { return }
        exchanges.remove(at: at)
    }
}
