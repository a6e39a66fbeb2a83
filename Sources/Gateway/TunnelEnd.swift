import Buffers
import Hooks
import Upstream

/// Who takes a client's bytes in the place of the origin once an exchange is a tunnel: hooks that look at messages
/// (`WebSocketRelay`), or one that ends the WebSocket itself (`HookSocket`). Without one, bytes pass as they are.
class TunnelEnd {
    /// Bytes of the client that hold it back.
    var clientBacklog: Int { 0 }

    /// Bytes of the client, not in the exchange's own chain: what waits there for the origin is made here.
    func take(_ slice: consuming Slice) {}
    func take(_ chain: inout Chain) {}

    /// The client sent more (`take`), or its end.
    func clientSent() {}
    func originSent() {}
    /// The origin took what it was sent.
    func originHasRoom() {}
    /// The client took what it was sent.
    func clientHasRoom() {}

    /// The exchange is over.
    func stop() {}

    /// A pending call is done. False when the call is none of this end's.
    func finished(_ call: GatewayHookCall, _ outcome: HookOutcome) -> Bool { false }
}

extension ExchangeRunner {
    func forgetTunnel() {
        let end = tunnelEnd
        tunnelEnd = nil
        end?.stop()
        messageHooks.removeAll()
    }

    /// Bytes of a client that speaks through a tunnel.
    func acceptTunneled(_ slice: consuming Slice) {
        if let tunnelEnd { tunnelEnd.take(slice) } else { requestBody.append(slice) }
    }

    func acceptTunneled(_ chain: inout Chain) {
        if let tunnelEnd { tunnelEnd.take(&chain) } else { requestBody.append(contentsOf: &chain) }
    }
}
