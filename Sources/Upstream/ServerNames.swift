import HTTP
import Reactor

/// Where a server's name leads, now and later.
extension Server {
    /// Looks the name up where that is due; false while no address is known.
    func hasAddresses(_ now: UInt64) -> Bool {
        if addresses.shouldAsk(now: now) { resolve() }
        return !addresses.known.isEmpty
    }

    func resolve() {
        guard let resolver = context.resolver else { return addresses.answer(ResolvedAddresses(), now: context.reactor.now) }
        addresses.ask()
        resolver.resolve(address) { found in self.resolved(found) }
    }

    private func resolved(_ found: ResolvedAddresses) {
        addresses.answer(found, now: context.reactor.now)
        guard addresses.known.isEmpty else { return admitWaiting() }
        connectFailed()
        while let exchange = waiting.popFirst() { giveUp(exchange, .dns, "the name does not resolve") }
    }

    /// A server whose connections are kept is asked for in time too: it may have moved, and no new connection would find out.
    func followName(_ now: UInt64) {
        guard open > 0 else { return }
        if addresses.shouldAsk(now: now) { resolve() }
        guard addresses.mayHaveDepartures(now: now) else { return }
        addresses.forgetDepartures(now: now)
        for connection in idle where !isCurrent(connection.address) { connection.closeIdle() }
        for connection in multiplexed where !isCurrent(connection.address) { connection.retire() }
    }

    func isCurrent(_ address: ServerAddress) -> Bool { addresses.serves(address, now: context.reactor.now) }
}
