import Buffers
import HTTP
import Reactor
import Telemetry

/// Asks one server again and again whether it serves, over the same connections as its traffic.
///
/// One per server, worker and generation; its findings are kept in `ServerHealth`. Of several workers one asks, the others
/// hear from it (`HealthBoard`); when it is silent for two periods another one begins to ask.
final class HealthChecker: Timer {
    private unowned let server: Server
    private let context: OriginContext
    private let check: HealthSettings
    private var probe: HealthProbe?
    private var stopped = false
    /// It is this worker that asks.
    private(set) var asks = false

    init(_ check: HealthSettings, _ server: Server) {
        self.check = check
        self.server = server
        context = server.context
    }

    /// The first check comes at once, or, when something is known already, within one period.
    func start() {
        schedule(after: server.health.isKnown ? context.random.next() % max(check.every, 1) : 0)
    }

    func stop() {
        stopped = true
        context.reactor.cancel(self)
        probe?.cancelOrigin()
        probe = nil
    }

    private func schedule(after milliseconds: UInt64) { context.reactor.schedule(self, after: milliseconds) }

    /// Either it is time to ask, or the answer has not come.
    override func fire() {
        guard !stopped else { return }
        if let probe {
            probe.cancelOrigin()
            return ended(passed: false)
        }
        let now = context.reactor.now
        asks = server.shared?.claim(now: now, until: now + 2 * check.every + check.timeout + 1_000) ?? true
        guard asks else { return scheduleNext() }
        let probe = HealthProbe(check, server) { [weak self] in self?.ended(passed: $0) }
        self.probe = probe
        schedule(after: check.timeout)
        server.serve(probe)
    }

    private func ended(passed: Bool) {
        guard !stopped else { return }
        probe = nil
        let metrics = context.metrics
        metrics.add(passed ? .healthChecksPassed : .healthChecksFailed)
        switch server.health.checked(passed: passed, check, now: context.reactor.now) {
        case .wentDown: metrics.add(.healthServersWentDown)
        case .cameUp: metrics.add(.healthServersCameUp)
        case .none: break
        }
        server.shared?.tell(isDown: server.health.isDown)
        scheduleNext()
    }

    private func scheduleNext() {
        // A fifth of spread, so that workers and servers do not ask in step.
        context.reactor.cancel(self)
        schedule(after: check.every * 9 / 10 + context.random.next() % max(check.every / 5, 1))
    }
}

/// One question and its answer.
private final class HealthProbe: ForwardedExchange {
    private let check: HealthSettings
    private let done: (Bool) -> Void
    private var body: [UInt8] = []
    private var isOver = false

    init(_ check: HealthSettings, _ server: Server, _ done: @escaping (Bool) -> Void) {
        self.check = check
        self.done = done
        super.init()
        isProbe = true
        times = ExchangeTimes(server.settings)
        requestBodyEnded = true
        request.authority = request.arena.append(check.host ?? server.authority)
        switch check.kind {
        case .http(let path, _):
            request.setMethod(Span("GET"))
            request.setPath(Array(path.utf8).span)
        case .connect: onlyConnects = true
        case .grpc(let service): askService(service, server)
        }
        request.add(.userAgent, "sluice-health")
    }

    private func askService(_ service: String, _ server: Server) {
        request.setMethod(Span("POST"))
        request.setPath(Span("/grpc.health.v1.Health/Check"))
        request.add(.contentType, "application/grpc")
        request.add(.te, "trailers")
        let message = HealthMessage.request(service)
        requestBody.append(copying: message.span, from: server.context.pool)
        server.context.pool.copied.head += message.count
        request.body = .known(message.count)
    }

    override func originResponded() { if responseBodyEnded { judge() } }

    override func originBodyArrived() {
        while let slice = responseBody.popFirst() {
            if body.count < 64 { body += slice.bytes.array() }
        }
        if responseBodyEnded { judge() } else { originStream?.responseBodyDrained() }
    }

    override func originFailed(_ error: GatewayError) { end(false) }

    private func judge() {
        switch check.kind {
        case .http(_, let statuses): end(statuses.contains { $0.contains(response.status) })
        case .connect: end(true)
        case .grpc: end(response.status == 200 && HealthMessage.isServing(body) && endsWell)
        }
    }

    /// What comes with a status other than OK is not an answer to rely on.
    private var endsWell: Bool { responseTrailers.map { HealthProbe.isOK($0.head) } ?? false }

    private static func isOK(_ trailers: borrowing Head) -> Bool {
        trailers.firstIndex(named: Span("grpc-status")).map { trailers.bytes(trailers.fields[$0].value).equals("0") } ?? false
    }

    private func end(_ passed: Bool) {
        guard !isOver else { return }
        isOver = true
        done(passed)
    }
}

/// The two messages of gRPC's health checking protocol, with gRPC's five bytes before each.
enum HealthMessage {
    /// `HealthCheckRequest {string service = 1}`
    static func request(_ service: String) -> [UInt8] {
        let name = Array(service.utf8.prefix(120))
        let message = name.isEmpty ? [] : [0x0a, UInt8(name.count)] + name
        return [0, 0, 0, 0, UInt8(message.count)] + message
    }

    /// `HealthCheckResponse {ServingStatus status = 1}` with SERVING, 1.
    static func isServing(_ bytes: [UInt8]) -> Bool { bytes == [0, 0, 0, 0, 2, 0x08, 1] }
}
