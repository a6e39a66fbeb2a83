import HTTP
import Reactor
import TLS
import Telemetry

/// What goes wrong on an origin connection, and whether it may be tried again.
extension OriginConnection {
    /// What a failed read or write is called in the log.
    func transportFailure(_ code: Int32) -> String {
        if let tls = transport as? TLSTransport, !tls.failure.isEmpty { return tls.failure }
        return SystemError(call: "read", code: code).reason
    }

    /// A kept connection turned out closed before anything was sent on it: nothing happened yet.
    func movedOnUnsent() {
        guard let exchange else { return close() }
        moveToFresh(exchange)
    }

    /// The connection broke. Nothing may be sent twice that can have had an effect (RFC 9110 section 9.2.2).
    func broken(_ why: String) {
        guard let exchange else { return close() }
        // Of raw bytes nobody can tell whether they were all: a clean end would be a lie (RFC 9113 section 8.5).
        if state == .tunnel, exchange.opensTunnel { return fail(.reset, in: .responseBody, why) }
        if state == .tunnel {
            endOfInput = true
            requestDone = true
            _ = tunnelEnded(exchange)
            return
        }
        if isRetrySafe(exchange) {
            exchange.retriedStale = true
            context.metrics.add(.upstreamRetries)
            return moveToFresh(exchange)
        }
        fail(.reset, in: phase, why)
    }

    /// The origin closed a kept connection just when it was used again, and answered nothing: an idempotent
    /// request is repeated, any other only if not a byte of it was sent. A body that has begun to flow is gone.
    private func isRetrySafe(_ exchange: ForwardedExchange) -> Bool {
        guard reused, !receivedAny, state == .awaitingHead, !exchange.retriedStale, bodyBytes == 0 else { return false }
        return !sentAny || (exchange.request.method.isIdempotent && exchange.request.body == .none)
    }

    private func moveToFresh(_ exchange: ForwardedExchange) {
        let server = self.server
        detach()
        close()
        exchange.connectBy = context.reactor.now + times.connect
        server.connectFresh(exchange)
    }

    private var phase: ExchangePhase {
        if state == .body || state == .tunnel { return .responseBody }
        return requestDone ? .responseHead : .requestBody
    }

    /// Ends the exchange's hope in this connection; the exchange is told as the last thing.
    func fail(_ kind: ErrorKind, in phase: ExchangePhase, _ why: String) {
        if kind.side == .origin { context.metrics.count(failure: kind) }
        guard let exchange else { return close() }
        let safe = !sentAny
        let server = self.server
        detach()
        close()
        if kind.side == .origin { server.attemptFailed(exchange) }
        if phase != .responseBody, let reason = RetryReason(kind), let group = server.group,
            group.mayTryAgain(exchange, reason, nothingSent: safe, failed: server)
        {
            return group.again(exchange, than: server, for: reason, nothingSent: safe)
        }
        exchange.endFailed(GatewayError(kind, in: phase, retrySafe: safe, note: "\(server.label): \(why)"))
    }

    // MARK: Time limits

    func giveUpWaiting() {
        switch state {
        case .connecting: connectFailed(.connectTimeout, "no connection within \(times.connect) ms")
        case .handshaking: connectFailed(.connectTimeout, "no TLS handshake within \(times.connect) ms")
        case .awaitingHead:
            if requestDone, !headStarted {
                fail(.firstByteTimeout, in: .responseHead, "no answer within \(times.firstByte) ms")
            } else {
                let what = headStarted ? "the response head was not complete within" : "the origin took no byte for"
                fail(.idleTimeout, in: phase, "\(what) \(times.idle) ms")
            }
        case .body:
            // While the client is slow nothing is expected of the origin; `responseBodyDrained` sets a new limit.
            if !isPaused { fail(.idleTimeout, in: .responseBody, "no byte for \(times.idle) ms") }
        case .tunnel:
            if isPaused { return expect(within: times.idle) }
            context.metrics.add(tunnelTimeout)
            endTunnel()
        case .idle: closeIdle()
        case .closed: break
        }
    }

    /// A tunnel in which neither side said anything for the idle limit ends in order.
    private func endTunnel() {
        guard let exchange else { return close() }
        requestDone = true
        _ = tunnelEnded(exchange)
    }
}
