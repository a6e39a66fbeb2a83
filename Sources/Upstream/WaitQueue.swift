/// Exchanges that wait for a connection, first come first served. A rule may give
/// each its own time.
struct WaitQueue {
    private var exchanges: [ForwardedExchange] = []
    private var start = 0

    var count: Int { exchanges.count - start }
    var isEmpty: Bool { count == 0 }

    /// Monotonic milliseconds at which one of them has waited long enough; nil when nobody waits.
    var nextDeadline: UInt64? { exchanges[start...].lazy.map(\.connectBy).min() }

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

    /// One that has waited long enough.
    mutating func popExpired(_ now: UInt64) -> ForwardedExchange? {
        guard let at = exchanges[start...].firstIndex(where: { $0.connectBy <= now }) else { return nil }
        return at == start ? popFirst() : exchanges.remove(at: at)
    }

    mutating func remove(_ exchange: ForwardedExchange) {
        guard let at = exchanges[start...].firstIndex(where: { $0 === exchange }) else { return }
        exchanges.remove(at: at)
    }
}
