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
            self.resolveTargets(Resolver.ordered(found.services), found.seconds, answer)
        }
    }

    private func resolveTargets(_ services: [NamedService], _ seconds: Int, _ answer: @escaping (ResolvedAddresses) -> Void) {
        let targets = Array(services.prefix(Resolver.mostTargets))
        let gathered = GatheredTargets(targets, seconds: seconds)
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
    /// How long that holds; 0 is not at all.
    var seconds = 0
    /// Shares of the first addresses, which are tried before all others; empty: there is no choice among equals.
    var weights: [Int] = []
}

/// Answers for the targets of a service, as they come in.
private final class GatheredTargets {
    private let targets: [NamedService]
    private var parts: [[ServerAddress]]
    private var missing: Int
    private var seconds: Int

    init(_ targets: [NamedService], seconds: Int) {
        self.targets = targets
        self.seconds = seconds
        parts = Array(repeating: [], count: targets.count)
        missing = targets.count
    }

    func take(_ index: Int, _ found: [ServerAddress], _ seconds: Int) {
        parts[index] = found
        missing -= 1
        if !found.isEmpty { self.seconds = min(self.seconds, seconds) }
    }

    var isComplete: Bool { missing == 0 }

    /// Those of the first priority that has any come first, and share the connections by their weights (RFC 2782).
    var result: ResolvedAddresses {
        let there = zip(targets, parts).filter { !$1.isEmpty }
        let first = there.first?.0.priority
        let weights = there.filter { $0.0.priority == first }.flatMap { target, found in found.map { _ in Int(target.weight) } }
        return ResolvedAddresses(addresses: parts.flatMap { $0 }, seconds: seconds, weights: weights)
    }
}
