import HTTP
import HTTP2
import Reactor
import Telemetry

/// What a server does with connections that serve many exchanges at once.
extension Server {
    /// Serves on an HTTP/2 connection that has room; false when there is none.
    func serveMultiplexed(_ exchange: ForwardedExchange) -> Bool {
        guard !exchange.onlyConnects, !exchange.opensTunnel else { return false }
        guard !exchange.wantsUpgrade || settings.wire(of: address) == .http2 else { return false }
        if exchange.wantsUpgrade, exchange.asksForWebSocket { return serveWebSocket(exchange) }
        for connection in multiplexed where connection.hasRoom {
            if connection.served > 0 { context.metrics.add(.upstreamReuses) }
            connection.begin(exchange)
            return true
        }
        return false
    }

    /// A connection on its way will probably serve this exchange too: no need for one of its own.
    func shouldAwaitConnection(_ exchange: ForwardedExchange) -> Bool {
        guard !exchange.onlyConnects, !exchange.opensTunnel else { return false }
        guard exchange.wantsUpgrade else { return isDialing && speaksHTTP2 }
        guard settings.wire(of: address) == .http2 else { return false }
        // What a connection allows is known with its SETTINGS only.
        return isDialing && speaksHTTP2 || exchange.asksForWebSocket && multiplexed.contains { !$0.session.hasSettings }
    }

    /// A new connection turned out to speak HTTP/2.
    func adopt(_ connection: MultiplexedConnection, first exchange: ForwardedExchange) {
        do throws(SystemError) {
            try context.reactor.add(connection)
        } catch {
            connection.close("\(error)")
            return giveUp(exchange, .overloaded, "\(error)")
        }
        multiplexed.append(connection)
        if exchange.leavesConnection {
            connection.rest()
            exchange.originResponded()
        } else if exchange.wantsUpgrade, exchange.asksForWebSocket {
            connection.rest()
            enqueue(exchange)
        } else {
            connection.begin(exchange)
        }
        roomAppeared()
    }

    /// Those who wait are served at the end of the turn.
    func roomAppeared() {
        if !waiting.isEmpty { context.reactor.later(self) }
    }

    /// The connection takes no new exchanges.
    func forget(_ connection: MultiplexedConnection) { multiplexed.removeAll { $0 === connection } }

    func closedMultiplexed() {
        open -= 1
        roomAppeared()
    }

    /// The exchange's connection or stream came to nothing before the origin can have acted.
    func serveAgain(_ exchange: ForwardedExchange) {
        if !serveMultiplexed(exchange) { connectFresh(exchange) }
    }

    func retireMultiplexed() {
        for connection in multiplexed { connection.retire() }
    }

    /// Takes the connections of the same server in an older generation over, with what they are serving.
    func adoptMultiplexed(of twin: Server) {
        for connection in twin.multiplexed {
            twin.open -= 1
            open += 1
            connection.server = self
        }
        if !twin.multiplexed.isEmpty { speaksHTTP2 = true }
        multiplexed += twin.multiplexed
        twin.multiplexed.removeAll()
    }
}
