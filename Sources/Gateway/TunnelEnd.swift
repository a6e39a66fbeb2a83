import Buffers
import HTTP1
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

    /// Bytes of messages of which a part has arrived.
    var gatheredBytes: Int { 0 }
    /// Others need the room: the WebSocket ends.
    func dropGathered() {}
    /// Its place among what waits, where that is much.
    final var gathered: WaitingBody?

    /// The exchange is over.
    func stop() {}

    /// A pending call is done. False when the call is none of this end's.
    func finished(_ call: GatewayHookCall, _ outcome: HookOutcome) -> Bool { false }
}

extension WebSocketReader {
    /// Takes what the chain begins with, up to the end of a message or control frame; nil: look again, while there is more.
    mutating func next(from chain: inout Chain) -> Event? {
        let (count, event) = take(chain.firstBytes)
        chain.dropFirst(count)
        return event
    }
}

extension ExchangeRunner {
    func forgetTunnel() {
        let end = tunnelEnd
        tunnelEnd = nil
        end?.stop()
        if let end { worker.hooks?.forgetGathered(end) }
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
