public import Buffers
public import Reactor

/// Turns names into addresses off the loop and brings the answer back to it.
public final class Resolver {
    private let thread: NameLookup
    private var waiting: [UInt64: (NameAnswer) -> Void] = [:]
    private var next: UInt64 = 0
    private var servers: [String] = []
    /// Names whose last lookup gave nothing.
    private var failing: Set<String> = []
    /// Lookups that gave nothing, since the beginning.
    public private(set) var failures = 0
    public var unresolved: Int { failing.count }
    /// A name began to fail, or is found again.
    public var onChange: ((_ name: String, _ fails: Bool) -> Void)?
    /// Targets of one service that are looked up.
    private static let mostTargets = 16

    public init(reactor: Reactor) throws(SystemError) {
        thread = try NameLookup(reactor: reactor)
        thread.onAnswer { [weak self] id, answer in self?.waiting.removeValue(forKey: id)?(answer) }
    }

    /// Whom to ask: `address:port` each; none: those of `/etc/resolv.conf`.
    public func use(servers: [String]) {
        // Names of an older configuration may not be asked for any more.
        failing.removeAll()
        guard servers != self.servers else { return }
        self.servers = servers
        thread.use(servers: servers)
    }

    private func ask(_ name: String, service: Bool, _ answer: @escaping (NameAnswer) -> Void) {
        next += 1
        waiting[next] = answer
        thread.look(up: name, id: next, service: service)
    }

    /// The addresses of a name, for whoever is no upstream.
    public func addresses(of name: String, _ answer: @escaping ([IPAddress]) -> Void) {
        ask(name, service: false) { answer(Resolver.interleaved($0.addresses)) }
    }

    /// Calls `answer` on the reactor's thread; with nothing when the name does not resolve.
    func resolve(_ server: UpstreamSettings.Server, _ answer: @escaping (ResolvedAddresses) -> Void) {
        find(server) { [weak self] found in
            self?.note(server.host, fails: found.addresses.isEmpty)
            answer(found)
        }
    }

    private func note(_ name: String, fails: Bool) {
        if fails { failures += 1 }
        guard fails ? failing.insert(name).inserted : failing.remove(name) != nil else { return }
        onChange?(name, fails)
    }

    private func find(_ server: UpstreamSettings.Server, _ answer: @escaping (ResolvedAddresses) -> Void) {
        guard server.isService else {
            return ask(server.host, service: false) { found in
                answer(ResolvedAddresses(
                    addresses: Resolver.interleaved(found.addresses).map { ServerAddress(ip: $0, port: server.port) }, seconds: found.seconds))
            }
        }
        ask(server.host, service: true) { [weak self] found in
            guard let self, !found.services.isEmpty else { return answer(ResolvedAddresses()) }
            self.resolveTargets(Resolver.ordered(found.services), answer)
        }
    }

    private func resolveTargets(_ services: [NamedService], _ answer: @escaping (ResolvedAddresses) -> Void) {
        let targets = Array(services.prefix(Resolver.mostTargets))
        let gathered = GatheredTargets(targets.count)
        for (index, target) in targets.enumerated() {
            ask(target.host, service: false) { found in
                gathered.take(index, Resolver.interleaved(found.addresses).map { ServerAddress(ip: $0, port: target.port) }, found.seconds)
                if gathered.isComplete { answer(gathered.result) }
            }
        }
    }

    /// By priority; among equals each first as often as its weight says (RFC 2782).
    static func ordered(_ services: [NamedService]) -> [NamedService] {
        var left = services.sorted { $0.priority < $1.priority }
        var ordered: [NamedService] = []
        while let first = left.first {
            let equals = left.prefix { $0.priority == first.priority }
            var point = Int.random(in: 0...equals.reduce(0) { $0 + Int($1.weight) })
            let chosen = equals.firstIndex { service in
                point -= Int(service.weight)
                return point <= 0
            }
            ordered.append(left.remove(at: chosen ?? 0))
        }
        return ordered
    }

    /// One family after the other, beginning with the first address's (RFC 8305 section 4).
    static func interleaved(_ addresses: [IPAddress]) -> [IPAddress] {
        guard let first = addresses.first else { return [] }
        let same = addresses.filter { $0.isV6 == first.isV6 }
        let other = addresses.filter { $0.isV6 != first.isV6 }
        var mixed: [IPAddress] = []
        for index in 0..<max(same.count, other.count) {
            if index < same.count { mixed.append(same[index]) }
            if index < other.count { mixed.append(other[index]) }
        }
        return mixed
    }
}

/// Where a name leads.
struct ResolvedAddresses {
    var addresses: [ServerAddress] = []
    /// How long that holds; 0 when nobody said.
    var seconds = 0
}

/// Answers for the targets of a service, as they come in.
private final class GatheredTargets {
    private var parts: [[ServerAddress]]
    private var missing: Int
    private var seconds = Int.max

    init(_ count: Int) {
        parts = Array(repeating: [], count: count)
        missing = count
    }

    func take(_ index: Int, _ found: [ServerAddress], _ seconds: Int) {
        parts[index] = found
        missing -= 1
        if !found.isEmpty, seconds > 0 { self.seconds = min(self.seconds, seconds) }
    }

    var isComplete: Bool { missing == 0 }
    var result: ResolvedAddresses { ResolvedAddresses(addresses: parts.flatMap { $0 }, seconds: seconds == .max ? 0 : seconds) }
}

/// What is known of a server's addresses, and whether to ask again.
struct ServerAddresses {
    /// Milliseconds after which a name is looked up again where its answer does not say; the last good answer serves
    /// until then and beyond.
    static let goodFor: UInt64 = 30_000
    /// What an answer says is kept within these bounds.
    static let bounds: ClosedRange<UInt64> = 1_000...3_600_000
    /// A name that did not resolve is not asked for again before so many milliseconds.
    static let badFor: UInt64 = 1_000

    /// In the order in which they are tried.
    private(set) var known: [ServerAddress]
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
        let seconds = UInt64(max(found.seconds, 0))
        let good = seconds == 0 ? ServerAddresses.goodFor : min(max(seconds * 1_000, ServerAddresses.bounds.lowerBound), ServerAddresses.bounds.upperBound)
        askAt = now + good
        known = found.addresses
    }

    /// The next connection begins with the next target of a service.
    mutating func rotate() { if known.count > 1 { known.append(known.removeFirst()) } }
}
