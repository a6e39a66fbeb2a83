import Buffers
import HTTP
import HTTP2
import Telemetry

/// WebSocket to origins that speak HTTP/2: the upgrade goes as extended CONNECT on a stream of its own (RFC 8441).
extension ForwardedExchange {
    /// The upgrade that is asked for is WebSocket's, which both versions of HTTP know.
    final var asksForWebSocket: Bool { ForwardedExchange.asksForWebSocket(request) }

    private static func asksForWebSocket(_ request: borrowing Head) -> Bool {
        guard request.method == .get, request.body == .none, let value = request.value(of: .upgrade) else { return false }
        return request.bytes(value).equalsIgnoringCase("websocket")
    }

    /// What was 200 on the stream is 101 for whoever asked for an upgrade.
    final func becomeUpgraded() {
        response.status = 101
        response.body = .none
        response.set(.upgrade, "websocket")
        upgradedByConnect = true
        requestBodyEnded = false
    }
}

extension Server {
    /// Serves on a connection that takes extended CONNECT; false when one has yet to be made, or to say what it takes.
    func serveWebSocket(_ exchange: ForwardedExchange) -> Bool {
        if let connection = multiplexed.first(where: { $0.hasRoom && $0.session.allowsExtendedConnect }) {
            if connection.served > 0 { context.metrics.add(.upstreamReuses) }
            connection.begin(exchange)
            return true
        }
        guard multiplexed.contains(where: { $0.session.hasSettings && !$0.session.allowsExtendedConnect }) else { return false }
        giveUp(exchange, .originProtocol, "the server takes no WebSocket over HTTP/2 (its SETTINGS allow no extended CONNECT)")
        return true
    }
}
