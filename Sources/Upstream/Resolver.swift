import Buffers
public import Reactor

/// Turns names into addresses on a thread of its own and brings the answer back to the reactor's.
public final class Resolver {
    private let thread: NameLookup
    private var waiting: [UInt64: ([IPAddress]) -> Void] = [:]
    private var next: UInt64 = 0

    public init(reactor: Reactor) throws(SystemError) {
        thread = try NameLookup(reactor: reactor)
        thread.onAnswer { [weak self] id, addresses in self?.waiting.removeValue(forKey: id)?(addresses) }
    }

    /// Calls `answer` on the reactor's thread; with nothing when the name does not resolve.
    func resolve(_ name: String, _ answer: @escaping ([IPAddress]) -> Void) {
        next += 1
        waiting[next] = answer
        thread.look(up: name, id: next)
    }
}

/// What is known of a server's addresses, and whether to ask again.
struct ServerAddresses {
    /// Names are looked up again after so many milliseconds; the last good answer serves until then and beyond.
    static let goodFor: UInt64 = 30_000
    /// A name that did not resolve is not asked for again before so many milliseconds.
    static let badFor: UInt64 = 1_000

    /// In the order in which they are tried.
    private(set) var known: [IPAddress]
    private let isLiteral: Bool
    private var askedAt: UInt64?
    private var failed = false
    private(set) var isAsking = false

    init(host: String) {
        let literal = IPAddress(host)
        isLiteral = literal != nil
        known = literal.map { [$0] } ?? []
    }

    /// True when a lookup should begin.
    func shouldAsk(now: UInt64) -> Bool {
        guard !isLiteral, !isAsking else { return false }
        guard let askedAt else { return true }
        return now - askedAt >= (failed ? ServerAddresses.badFor : ServerAddresses.goodFor)
    }

    /// True when there is no address and no use in waiting for one.
    func isHopeless(now: UInt64) -> Bool { known.isEmpty && !isAsking && !shouldAsk(now: now) }

    mutating func ask() { isAsking = true }

    mutating func answer(_ found: [IPAddress], now: UInt64) {
        isAsking = false
        askedAt = now
        failed = found.isEmpty
        // IPv4 first: the commoner one to be reachable.
        if !found.isEmpty { known = found.filter { !$0.isV6 } + found.filter(\.isV6) }
    }
}
