import Buffers
import HTTP
import Reactor
import TLS
import Telemetry

/// One origin server: its addresses, its idle connections, who waits for one, and how it fared lately.
///
/// A channel without a descriptor: what must not happen inside a caller's call happens in `resume`.
final class Server: Channel {
    let index: Int
    let address: UpstreamSettings.Server
    let settings: UpstreamSettings
    let tls: ClientContext?
    let context: OriginContext
    unowned var group: ServerGroup?
    /// Where smooth weighted round robin stands.
    var turnCredit = 0
    /// Last in, first out: the warmest connection serves, the others age out.
    private(set) var idle: [OriginConnection] = []
    var waiting = WaitQueue()
    /// HTTP/2 connections that take further exchanges.
    var multiplexed: [MultiplexedConnection] = []
    /// The newest connection speaks HTTP/2: the next ones will too.
    var speaksHTTP2: Bool
    /// Connections whose protocol is not known yet.
    private(set) var dialing = 0
    /// Offers HTTP/1.1 alone, for exchanges that want to be upgraded.
    let tlsForUpgrades: ClientContext?
    /// Exchanges for which a connection is opened at the end of the turn: one that is given up at once costs nothing.
    private var starting: [ForwardedExchange] = []
    private var failed: [(exchange: ForwardedExchange, error: GatewayError)] = []
    var addresses: ServerAddresses
    private let timer = WaitTimer()
    /// Connections that exist, in whatever state.
    var open = 0
    /// Exchanges being served, without health checks.
    private(set) var busy = 0
    /// Exchanges that the server has to serve: those for which a connection is awaited are as good as running.
    var load: Int { busy + waiting.count + starting.count }
    private(set) var health = ServerHealth()
    private(set) var checker: HealthChecker?
    /// What all workers know of it.
    let shared: HealthEntry?
    /// The last ejection that another worker told of, or this one.
    var knownEjection: UInt64 = 0
    /// Connections that are being opened ahead of need.
    var warmUps: [WarmUp] = []
    /// Monotonic milliseconds before which no further ones are.
    var nextWarmUp: UInt64 = 0
    /// What the cookie of a client says that stays with this server, and its hash.
    let cookieText: String
    let cookieKey: UInt64

    init(_ index: Int, _ address: UpstreamSettings.Server, _ settings: UpstreamSettings, _ tls: TLSContexts?, _ context: OriginContext) {
        self.index = index
        self.address = address
        self.settings = settings
        self.tls = tls?.usual
        tlsForUpgrades = tls?.upgrades
        speaksHTTP2 = settings.wire(of: address) == .http2
        self.context = context
        // A Unix socket needs no address: one that stands for it.
        addresses = ServerAddresses(host: address.path == nil ? address.host : "0.0.0.0", port: address.port)
        cookieText = settings.sticky == nil ? "" : StickyCookies.value(of: address.path ?? "\(address.host):\(address.port)", settings.stickyKey)
        cookieKey = Rendezvous.hash(cookieText)
        shared = context.board.map { $0.entry(key: Server.healthKey(address, settings), now: context.reactor.now) }
        super.init(fd: -1)
        timer.server = self
        if let check = settings.health { checker = HealthChecker(check, self) }
    }

    /// Begins to ask how the server fares.
    func startChecks() { checker?.start() }
    func stopChecks() { checker?.stop() }

    /// What was learnt of the same server in an older generation still holds; nil: it is new to its group.
    func inheritHealth(of twin: Server?) {
        guard let twin else {
            health.upSince = context.reactor.now
            return
        }
        health = twin.health
        knownEjection = twin.knownEjection
        if settings.health == nil { health.forgetChecks() }
    }

    deinit {
        context.reactor.cancel(timer)
        checker?.stop()
    }

    /// `host:port`, in brackets where it is IPv6.
    var authority: String { address.path != nil ? "localhost" : address.host.contains(":") ? "[\(address.host)]:\(address.port)" : name }
    var name: String { address.path ?? "\(address.host):\(address.port)" }
    var label: String { "upstream \(settings.name) server \(name)" }

    // MARK: Serving

    func serve(_ exchange: ForwardedExchange) {
        guard settings.maximumRequests == 0 || load < settings.maximumRequests || exchange.isProbe else {
            context.metrics.add(.upstreamLimitRequests)
            return giveUp(exchange, .overloaded, "\(load) requests are being served")
        }
        exchange.connectBy = context.reactor.now + exchange.times.connect
        if exchange.onlyConnects || exchange.opensTunnel { return connectFresh(exchange) }
        if !multiplexed.isEmpty, serveMultiplexed(exchange) { return }
        guard let connection = idle.popLast() else { return connectFresh(exchange) }
        context.metrics.subtract(.upstreamConnectionsIdle)
        context.metrics.add(.upstreamReuses)
        connection.begin(exchange, reused: true)
    }

    /// Serves on a new connection, also after a kept one turned out closed.
    func connectFresh(_ exchange: ForwardedExchange) {
        if let stage = context.stage { return connect(exchange, on: stage) }
        let now = context.reactor.now
        if addresses.shouldAsk(now: now) { resolve() }
        if addresses.isHopeless(now: now) { return giveUp(exchange, .dns, "the name does not resolve") }
        let mayOpen = open + starting.count < settings.maximumConnections || exchange.isProbe
        if mayOpen, !addresses.known.isEmpty, !shouldAwaitConnection(exchange) { return startSoon(exchange) }
        if !mayOpen { context.metrics.add(.upstreamLimitConnections) }
        guard waiting.count < settings.maximumWaiting || exchange.isProbe else {
            context.metrics.add(.upstreamLimitPending)
            return giveUp(exchange, .overloaded, "all \(settings.maximumConnections) connections are busy and \(waiting.count) requests wait")
        }
        enqueue(exchange)
    }

    private func startSoon(_ exchange: ForwardedExchange) {
        starting.append(exchange)
        exchange.waitingAt = self
        context.reactor.later(self)
    }

    /// A connection costs as much as several requests, so a crowd of new clients has a few of them in each turn of the loop: requests
    /// on connections that stand do not wait for all.
    private func startConnections() {
        guard !starting.isEmpty else { return }
        let due = starting.prefix(Server.startsPerTurn)
        starting.removeFirst(due.count)
        if !starting.isEmpty { context.reactor.later(self) }
        for exchange in due {
            exchange.waitingAt = nil
            connect(exchange, toAddress: 0)
        }
    }
    private static let startsPerTurn = 1

    /// A connection is on its way, or will be at the end of the turn.
    var isDialing: Bool { dialing > 0 || !starting.isEmpty }

    func enqueue(_ exchange: ForwardedExchange) {
        waiting.append(exchange)
        exchange.waitingAt = self
        let left = exchange.connectBy - min(context.reactor.now, exchange.connectBy)
        if context.reactor.now + left < timer.deadline { context.reactor.schedule(timer, after: left) }
    }

    /// Starts a connection to one of the server's addresses, or to the first after it that lets itself be tried.
    func connect(_ exchange: ForwardedExchange, toAddress first: Int) {
        var reason = "no address left to try"
        if first == 0, address.isService { addresses.rotate(context.random.next()) }
        for number in first..<max(first, addresses.known.count) {
            let target = addresses.known[number]
            do throws(SystemError) {
                let (fd, inProgress) = try start(target)
                let connection = OriginConnection(fd: fd, server: self, address: target, number: number)
                open += 1
                dialing += 1
                return try connection.connect(exchange, inProgress: inProgress)
            } catch {
                if error.isOutOfDescriptors { return giveUp(exchange, .overloaded, "\(error)") }
                reason = "\(error)"
            }
        }
        connectFailed()
        giveUp(exchange, .connect, reason)
    }

    func start(_ target: ServerAddress) throws(SystemError) -> (fd: Int32, inProgress: Bool) {
        if let refusal = context.addresses?.refusal(target.ip) {
            context.metrics.add(.egressRefusedAddress)
            throw SystemError(call: "egress", code: 13, subject: "\(target.ip.text) is refused (\(refusal))")
        }
        guard let path = address.path else { return try Connecting.start(target.ip, port: target.port, reactor: context.reactor) }
        return (try Connecting.startLocal(path, reactor: context.reactor), false)
    }

    /// True when a refused connection need not be the end: the name has further addresses.
    func hasAddress(after number: Int) -> Bool { number + 1 < addresses.known.count }

    /// The address of this number, while there is one: names may lead elsewhere meanwhile.
    func address(_ number: Int) -> ServerAddress? { addresses.known.indices.contains(number) ? addresses.known[number] : nil }

    /// No connection came about: another server once, then the exchange is told, at the end of the turn.
    func giveUp(_ exchange: ForwardedExchange, _ kind: ErrorKind, _ why: String) {
        context.metrics.count(failure: kind)
        if let group, group.mayTryAgain(exchange, .connect, nothingSent: true, failed: self) {
            return group.again(exchange, than: self, for: .connect, nothingSent: true)
        }
        exchange.waitingAt = self
        failed.append((exchange, GatewayError(kind, in: .connect, retrySafe: true, note: "\(label): \(why)")))
        context.reactor.later(self)
    }

    override func resume() {
        startConnections()
        admitWaiting()
        while !failed.isEmpty {
            let (exchange, error) = failed.removeFirst()
            exchange.waitingAt = nil
            exchange.endFailed(error)
        }
    }

    // MARK: Connections come back

    func began(_ exchange: ForwardedExchange) { if !exchange.isProbe { busy += 1 } }

    func ended(_ exchange: ForwardedExchange) { if !exchange.isProbe { busy -= 1 } }

    /// The connection is clean and may serve another exchange.
    func giveBack(_ connection: OriginConnection) {
        // A health check is not held up by the limit, so it may have left one connection too many.
        guard open <= settings.maximumConnections else { return connection.close() }
        // Who waits for a connection that nobody has used gets the place of this one.
        if let first = waiting.first, first.opensTunnel || first.onlyConnects { return connection.close() }
        if settings.proxyProtocol == nil, let exchange = waiting.popFirst() {
            exchange.waitingAt = nil
            context.metrics.add(.upstreamReuses)
            return connection.begin(exchange, reused: true)
        }
        guard !context.isRetired, settings.proxyProtocol == nil, idle.count < settings.keepAlive, isCurrent(connection.address) else { return connection.close() }
        keep(connection)
        connection.rest()
    }

    private func keep(_ connection: OriginConnection) {
        context.metrics.add(.upstreamConnectionsIdle)
        idle.append(connection)
    }

    /// Forgets an idle connection that is about to be closed.
    func dropIdle(_ connection: OriginConnection) {
        guard let at = idle.firstIndex(where: { $0 === connection }) else { return }
        idle.remove(at: at)
        context.metrics.subtract(.upstreamConnectionsIdle)
    }

    func closed(_ connection: OriginConnection) {
        open -= 1
        if !waiting.isEmpty { context.reactor.later(self) }
    }

    func closeIdle() {
        retireMultiplexed()
        while let connection = idle.popLast() {
            context.metrics.subtract(.upstreamConnectionsIdle)
            connection.close()
        }
    }

    /// Takes over the idle connections of the same server in an older generation.
    func adoptIdle(of twin: Server) {
        adoptMultiplexed(of: twin)
        while idle.count < settings.keepAlive, open < settings.maximumConnections, let connection = twin.idle.popLast() {
            twin.context.metrics.subtract(.upstreamConnectionsIdle)
            twin.open -= 1
            open += 1
            connection.server = self
            keep(connection)
        }
    }

    // MARK: Waiting

    /// Connections for those who wait, as far as there is room.
    func admitWaiting() {
        while let first = waiting.first {
            let canConnect = open + starting.count < settings.maximumConnections && !addresses.known.isEmpty && !shouldAwaitConnection(first)
            guard canConnect || multiplexed.contains(where: \.hasRoom), let exchange = waiting.popFirst() else { return }
            exchange.waitingAt = nil
            if serveMultiplexed(exchange) { continue }
            guard canConnect else { return enqueue(exchange) }
            connect(exchange, toAddress: 0)
        }
    }

    fileprivate func waitedLongEnough() {
        let now = context.reactor.now
        while let exchange = waiting.popExpired(now) {
            exchange.waitingAt = nil
            if addresses.known.isEmpty {
                giveUp(exchange, .dns, "the name was not resolved within \(exchange.times.connect) ms")
            } else {
                giveUp(exchange, .overloaded, "no connection became free within \(exchange.times.connect) ms")
            }
        }
        if let next = waiting.nextDeadline { context.reactor.schedule(timer, after: next - now) }
    }

    /// An exchange that was waiting gave up.
    func forget(_ exchange: ForwardedExchange) {
        waiting.remove(exchange)
        starting.removeAll { $0 === exchange }
        failed.removeAll { $0.exchange === exchange }
    }

    // MARK: Health

    /// A connection came about, or its attempt is over.
    func dialEnded() { dialing -= 1 }

    func connectSucceeded(multiplexed: Bool) {
        speaksHTTP2 = multiplexed || settings.wire(of: address) == .http2
        health.connected()
        // Those who counted on its streams need connections of their own.
        if !multiplexed, !waiting.isEmpty { context.reactor.later(self) }
    }

    func connectFailed() { health.connectFailed(now: context.reactor.now) }
}

private final class WaitTimer: Timer {
    unowned var server: Server?
    override func fire() { server?.waitedLongEnough() }
}

extension SystemError {
    /// EMFILE, ENFILE: no fault of whoever was called.
    fileprivate var isOutOfDescriptors: Bool { code == 24 || code == 23 }
}

extension Metrics {
    /// Counts a failed attempt at an origin.
    func count(failure kind: ErrorKind) {
        switch kind {
        case .dns: add(.upstreamFailuresResolve)
        case .connect: add(.upstreamFailuresConnect)
        case .tls: add(.upstreamFailuresTLS)
        case .connectTimeout:
            add(.upstreamFailuresTimeout)
            add(.timeoutsUpstreamConnect)
        case .firstByteTimeout:
            add(.upstreamFailuresTimeout)
            add(.timeoutsUpstreamFirstByte)
        case .idleTimeout:
            add(.upstreamFailuresTimeout)
            add(.timeoutsUpstreamIdle)
        case .reset: add(.upstreamFailuresReset)
        case .originProtocol: add(.upstreamFailuresProtocol)
        case .overloaded: add(.upstreamFailuresOverloaded)
        default: add(.bugs)
        }
    }
}
