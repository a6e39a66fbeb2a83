import Reactor

/// Listening sockets that this process did not open itself.
///
/// Those of a predecessor come one per worker and are taken once. Those of the service manager stay open for as long as
/// this process lives, whatever the rule files say: each listener that asks for one gets copies.
struct HandedSockets {
    /// The sockets of one listener of a predecessor.
    struct Offer {
        let configured: ConfigurationBundle.Listener
        /// The real port.
        let port: UInt16
        /// By worker.
        var sockets: [Int32]
    }

    private(set) var offers: [Offer] = []
    var activated: [ActivatedSockets.Socket]

    init(activated: [ActivatedSockets.Socket] = []) { self.activated = activated }

    mutating func offer(_ configured: ConfigurationBundle.Listener, port: UInt16, _ socket: Int32) {
        if let index = offers.firstIndex(where: { $0.configured == configured }) {
            offers[index].sockets.append(socket)
        } else {
            offers.append(Offer(configured: configured, port: port, sockets: [socket]))
        }
    }

    /// The sockets for a listener, one per worker, and where they really listen; nil when nothing fits.
    mutating func take(
        for listener: ConfigurationBundle.Listener, workers: Int
    ) throws(ListenError) -> (ConfigurationBundle.Listener, [Int32])? {
        if let index = offers.firstIndex(where: { HandedSockets.fits($0, listener) }) {
            let offer = offers.remove(at: index)
            var actual = listener
            actual.port = offer.port
            return (actual, try HandedSockets.fill(offer.sockets, actual, workers))
        }
        return try copies(for: listener, workers)
    }

    /// By address; where the kernel chose the port, by name as well.
    private static func fits(_ offer: Offer, _ listener: ConfigurationBundle.Listener) -> Bool {
        guard offer.configured.address == listener.address, offer.configured.port == listener.port else { return false }
        return listener.port != 0 || offer.configured.name == listener.name
    }

    /// As many sockets as there are workers. Sockets too many are closed here; where the kernel lets nobody join the address
    /// (it does not when the first was opened without `SO_REUSEPORT`), workers share what there is.
    private static func fill(
        _ sockets: [Int32], _ actual: ConfigurationBundle.Listener, _ workers: Int
    ) throws(ListenError) -> [Int32] {
        var sockets = sockets
        while sockets.count > workers { ListeningSocket.close(sockets.removeLast()) }
        let missing = workers - sockets.count
        guard missing > 0 else { return sockets }
        do throws(ListenError) {
            return sockets + (try ListeningSocket.openMore(actual, count: missing))
        } catch {
            return sockets + (try share(sockets, missing, actual))
        }
    }

    private static func share(
        _ sockets: [Int32], _ count: Int, _ actual: ConfigurationBundle.Listener
    ) throws(ListenError) -> [Int32] {
        var copies: [Int32] = []
        for index in 0..<count {
            do throws(SystemError) {
                copies.append(try OwnedDescriptor.copy(of: sockets[index % sockets.count]))
            } catch {
                copies.forEach(ListeningSocket.close)
                throw ListenError(actual, code: error.code, step: 0)
            }
        }
        return copies
    }

    /// Sockets of the service manager for a listener: those on its address, or else those with its name.
    private func copies(
        for listener: ConfigurationBundle.Listener, _ workers: Int
    ) throws(ListenError) -> (ConfigurationBundle.Listener, [Int32])? {
        var found = activated.filter { $0.address == listener.address && $0.port == listener.port }
        if found.isEmpty { found = activated.filter { $0.name == listener.name } }
        guard let first = found.first else { return nil }
        found = found.filter { $0.address == first.address && $0.port == first.port }
        var actual = listener
        actual.address = first.address
        actual.port = first.port
        return (actual, try HandedSockets.share(found.map(\.descriptor), workers, actual))
    }

    mutating func closeOffers() {
        for offer in offers { offer.sockets.forEach(ListeningSocket.close) }
        offers = []
    }

    mutating func closeAll() {
        closeOffers()
        for socket in activated { ListeningSocket.close(socket.descriptor) }
    }
}
