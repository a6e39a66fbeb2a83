/// Exchanges that wait for a connection, first come first served. All of one queue wait equally long, so the
/// first one is also the first whose time is up.
struct WaitQueue {
    private var exchanges: [ForwardedExchange] = []
    private var first = 0

    var count: Int { exchanges.count - first }
    var isEmpty: Bool { count == 0 }

    /// Monotonic milliseconds at which the first one has waited long enough; nil when nobody waits.
    var nextDeadline: UInt64? { isEmpty ? nil : exchanges[first].connectBy }

    mutating func append(_ exchange: ForwardedExchange) { exchanges.append(exchange) }

    mutating func popFirst() -> ForwardedExchange? {
        guard first < exchanges.count else { return nil }
        let exchange = exchanges[first]
        first += 1
        if first == exchanges.count || first >= 256 {
            exchanges.removeFirst(first)
            first = 0
        }
        return exchange
    }

    mutating func remove(_ exchange: ForwardedExchange) {
        guard let at = exchanges[first...].firstIndex(where: { $0 === exchange }) else { return }
        exchanges.remove(at: at)
    }
}
