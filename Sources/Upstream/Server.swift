import Buffers
import HTTP
import Reactor
import TLS
import Telemetry

/// One origin server: its addresses, its idle connections, and who waits for one.
final class Server {
    let index: Int
    let address: UpstreamSettings.Server
    let settings: UpstreamSettings
    let tls: ClientContext?
    weak var group: ServerGroup?
    weak var set: UpstreamSet?
    private var idle: [OriginConnection] = []
    private var waiting: [ForwardedExchange] = []
    private(set) var open = 0
    /// Exchanges being served.
    private(set) var busy = 0
    /// Monotonic milliseconds until which the server is passed over.
    private(set) var ejectedUntil: UInt64 = 0
    private var failuresInRow = 0
    private var addresses: [IPAddress] = []
    private var resolvedAt: UInt64 = 0
    private var resolving = false

    /// Exchanges that may wait for a connection.
    static let waitLimit = 1024
    /// Names are looked up again after so many milliseconds.
    static let resolveAgain: UInt64 = 30_000

    init(_ index: Int, _ address: UpstreamSettings.Server, _ settings: UpstreamSettings, _ tls: ClientContext?) {
        self.index = index
        self.address = address
        self.settings = settings
        self.tls = tls
        if let literal = IPAddress(address.host) { addresses = [literal] }
    }

    private var isLiteral: Bool { resolvedAt == 0 && !addresses.isEmpty }

    var label: String { "upstream \(settings.name) server \(address.host):\(address.port)" }

    // MARK: Serving

    func serve(_ exchange: ForwardedExchange) {
        while let connection = idle.popLast() {
            set?.metrics.subtract(.upstreamConnectionsIdle)
            guard connection.isUsable else { continue }
            busy += 1
            set?.metrics.add(.upstreamReuses)
            return connection.begin(exchange, reused: true)
        }
        connectFresh(exchange)
    }

    /// Serves on a new connection (also the one safe retry after a stale one).
    func connectFresh(_ exchange: ForwardedExchange) {
        guard open < settings.maximumConnections else {
            guard waiting.count < Server.waitLimit else {
                return exchange.originFailed(GatewayError(.overloaded, in: .connect, retrySafe: true, note: "\(label): all connections are busy"))
            }
            return wait(exchange)
        }
        guard !addresses.isEmpty else {
            wait(exchange)
            return resolve()
        }
        if !isLiteral, let set, set.reactor.now - resolvedAt > Server.resolveAgain { resolve() }
        connect(exchange)
    }

    private func wait(_ exchange: ForwardedExchange) {
        waiting.append(exchange)
        exchange.waitingAt = self
    }

    private func nextWaiting() -> ForwardedExchange? {
        guard !waiting.isEmpty else { return nil }
        let exchange = waiting.removeFirst()
        exchange.waitingAt = nil
        return exchange
    }

    private func connect(_ exchange: ForwardedExchange) {
        guard let set, let target = addresses.first else { return }
        do {
            let (fd, inProgress) = try Connecting.start(target, port: address.port, reactor: set.reactor)
            let connection = OriginConnection(fd: fd, server: self, set: set)
            open += 1
            busy += 1
            exchange.origin.address = target
            exchange.origin.port = address.port
            try set.reactor.add(connection)
            connection.connect(exchange, inProgress: inProgress)
        } catch {
            connectFailed()
            exchange.originFailed(GatewayError(.connect, in: .connect, retrySafe: true, note: "\(label): \(error)"))
        }
    }

    // MARK: Connections come back

    func exchangeEnded() { busy -= 1 }

    /// The connection is clean and may serve another exchange.
    func giveBack(_ connection: OriginConnection) {
        failuresInRow = 0
        if let exchange = nextWaiting() {
            busy += 1
            return connection.begin(exchange, reused: true)
        }
        guard let set, !set.isRetired, idle.count < settings.keepAlive else { return connection.close() }
        set.metrics.add(.upstreamConnectionsIdle)
        idle.append(connection)
        connection.rest()
    }

    func closed(_ connection: OriginConnection) {
        open -= 1
        if let at = idle.firstIndex(where: { $0 === connection }) {
            idle.remove(at: at)
            set?.metrics.subtract(.upstreamConnectionsIdle)
        }
        if !addresses.isEmpty, let exchange = nextWaiting() { connectFresh(exchange) }
    }

    func closeIdle() {
        let all = idle
        idle.removeAll()
        for connection in all {
            set?.metrics.subtract(.upstreamConnectionsIdle)
            connection.close()
        }
    }

    /// An exchange that was waiting gave up.
    func forget(_ exchange: ForwardedExchange) { waiting.removeAll { $0 === exchange } }

    func connectSucceeded() { failuresInRow = 0 }

    /// Passed over for 100 ms, then longer, at most 10 s.
    func connectFailed() {
        failuresInRow += 1
        guard let set else { return }
        ejectedUntil = set.reactor.now + min(10_000, 100 << UInt64(min(failuresInRow, 7)))
    }

    // MARK: Names

    private func resolve() {
        guard !resolving, let set, let resolver = set.resolver else { return }
        resolving = true
        resolver.resolve(address.host) { [weak self] found in self?.resolved(found) }
    }

    private func resolved(_ found: [IPAddress]) {
        resolving = false
        guard let set else { return }
        resolvedAt = set.reactor.now
        if !found.isEmpty {
            // IPv4 first: the commoner one to be reachable.
            addresses = found.filter { !$0.isV6 } + found.filter { $0.isV6 }
        }
        let all = waiting
        waiting.removeAll()
        for exchange in all {
            exchange.waitingAt = nil
            if addresses.isEmpty {
                set.metrics.add(.upstreamFailuresResolve)
                exchange.originFailed(GatewayError(.dns, in: .connect, retrySafe: true, note: "\(label): the name does not resolve"))
            } else {
                connectFresh(exchange)
            }
        }
    }
}
