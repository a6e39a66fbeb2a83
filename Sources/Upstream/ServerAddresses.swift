import Buffers

/// What is known of a server's addresses, and whether to ask again.
struct ServerAddresses {
    /// What an answer says of its life is kept within these bounds; the last good answer serves until then and beyond. Milliseconds.
    static let bounds: ClosedRange<UInt64> = 1_000...3_600_000
    /// A name that did not resolve is not asked for again before so many milliseconds.
    static let badFor: UInt64 = 1_000
    /// Connections to an address go on serving so long after the last answer that had it: names with many addresses tell of a few at
    /// a time. Milliseconds.
    static let departure: UInt64 = 30_000
    /// Addresses that are remembered so.
    private static let mostDeparting = 64

    /// In the order in which they are tried.
    private(set) var known: [ServerAddress]
    /// Shares of the first of them.
    private var weights: [Int] = []
    /// No longer told of, and until when connections to them may serve.
    private var departing: [(address: ServerAddress, until: UInt64)] = []
    /// Others connected before they did, and until when they are tried last (RFC 8305 section 4: what is known of the past).
    private var overtaken: [(address: ServerAddress, until: UInt64)] = []
    /// One that answers nothing would cost each new connection a quarter of a second. Milliseconds.
    static let lastFor: UInt64 = 60_000
    /// Until when connections to targets of a later priority may serve; 0: none came about lately.
    private var reserveUntil: UInt64 = 0
    private let isLiteral: Bool
    private var askAt: UInt64 = 0
    private(set) var isAsking = false

    init(host: String, port: UInt16) {
        let literal = IPAddress(host)
        isLiteral = literal != nil
        known = literal.map { [ServerAddress(ip: $0, port: port)] } ?? []
    }

    /// True when a lookup should begin.
    func shouldAsk(now: UInt64) -> Bool { !isLiteral && !isAsking && now >= askAt }

    /// True when there is no address and no use in waiting for one.
    func isHopeless(now: UInt64) -> Bool { known.isEmpty && !isAsking && !shouldAsk(now: now) }

    mutating func ask() { isAsking = true }

    mutating func answer(_ found: ResolvedAddresses, now: UInt64) {
        isAsking = false
        guard !found.addresses.isEmpty else {
            askAt = now + ServerAddresses.badFor
            return
        }
        let good = UInt64(max(found.seconds, 0)) * 1_000
        askAt = now + min(max(good, ServerAddresses.bounds.lowerBound), ServerAddresses.bounds.upperBound)
        departing.removeAll { found.addresses.contains($0.address) }
        for gone in known where !found.addresses.contains(gone) && departing.count < ServerAddresses.mostDeparting {
            departing.append((gone, now + ServerAddresses.departure))
        }
        known = found.addresses
        weights = found.weights
        putLast(now: now)
    }

    /// Another address's attempt began later and was first.
    mutating func wasOvertaken(_ address: ServerAddress, now: UInt64) {
        overtaken.removeAll { $0.address == address || $0.until <= now }
        guard overtaken.count < ServerAddresses.mostDeparting else { return }
        overtaken.append((address, now + ServerAddresses.lastFor))
        putLast(now: now)
    }

    /// What SRV records say of an order holds whatever happened.
    private mutating func putLast(now: UInt64) {
        guard weights.isEmpty, !overtaken.isEmpty else { return }
        overtaken.removeAll { $0.until <= now }
        let slow = known.filter { address in overtaken.contains { $0.address == address } }
        known = known.filter { !slow.contains($0) } + slow
    }

    /// The next connection begins with another of those that share the load.
    /// - Parameter chance: any number, at random.
    mutating func rotate(_ chance: UInt64) {
        guard weights.count > 1 else { return }
        let total = weights.reduce(0, +)
        var left = Int(truncatingIfNeeded: chance % UInt64(max(total, 1)))
        var chosen = Int(truncatingIfNeeded: chance % UInt64(weights.count))
        // Without weights all are alike.
        if total > 0 {
            chosen = weights.firstIndex { weight in
                left -= weight
                return left < 0
            } ?? 0
        }
        known.swapAt(0, chosen)
        weights.swapAt(0, chosen)
    }

    /// A connection came about. To a target of a later priority it serves for a while, and then those before it are tried again: they
    /// may be back (RFC 2782), and connections that are always busy would never find out.
    mutating func connected(to address: ServerAddress, now: UInt64) {
        if isReserve(address), reserveUntil <= now { reserveUntil = now + ServerAddresses.lastFor }
    }

    private func isReserve(_ address: ServerAddress) -> Bool { !weights.isEmpty && !known.prefix(weights.count).contains(address) }

    /// Some connection may be to an address that is not the server's any more, or to one that has served long enough.
    func mayHaveDepartures(now: UInt64) -> Bool { departing.contains { $0.until <= now } || reserveUntil > 0 && reserveUntil <= now }

    mutating func forgetDepartures(now: UInt64) {
        departing.removeAll { $0.until <= now }
        if reserveUntil <= now { reserveUntil = 0 }
    }

    /// Connections to this address may serve.
    func serves(_ address: ServerAddress, now: UInt64) -> Bool {
        isLiteral || known.contains(address) && (now < reserveUntil || !isReserve(address)) || departing.contains { $0.address == address && $0.until > now }
    }
}
