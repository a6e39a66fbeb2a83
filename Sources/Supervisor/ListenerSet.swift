import Reactor

/// The listening sockets: for each configured address one per worker, all held open here, so that
/// a replaced worker finds the connections that its predecessor had not accepted.
struct ListenerSet {
    struct Entry {
        /// As configured; the port may be 0.
        let configured: ConfigurationBundle.Listener
        /// With the real port.
        let actual: ConfigurationBundle.Listener
        /// One per worker.
        let sockets: [Int32]
        var key: String { "\(configured.name)@\(configured.endpoint)" }
    }

    private(set) var entries: [Entry] = []
    let workers: Int
    /// What this process was handed: by a predecessor, or by the service manager.
    private(set) var handed: HandedSockets

    init(workers: Int, handed: HandedSockets = HandedSockets()) {
        self.workers = workers
        self.handed = handed
    }

    /// What a new configuration changes.
    struct Change {
        var added: [Entry] = []
        var removed: [Entry] = []
        /// Entries whose sockets live on under another name.
        fileprivate var renamedSockets: Set<Int32> = []
    }

    /// Opens what `wanted` needs beyond what is open. Nothing here changes until `apply`.
    /// - Throws: the first address that cannot be had; what was opened for the change is closed again.
    mutating func prepare(_ wanted: [ConfigurationBundle.Listener]) throws(ListenError) -> Change {
        var change = Change()
        change.removed = entries.filter { !wanted.contains($0.configured) }
        do throws(ListenError) {
            for listener in wanted where !entries.contains(where: { $0.configured == listener }) {
                change.added.append(try entry(for: listener, &change))
            }
        } catch {
            abandon(change)
            throw error
        }
        return change
    }

    private mutating func entry(
        for listener: ConfigurationBundle.Listener, _ change: inout Change
    ) throws(ListenError) -> Entry {
        // Only the name changed: the sockets with their queues stay.
        let same = change.removed.first {
            $0.configured.address == listener.address && $0.configured.port == listener.port && listener.port != 0
        }
        if let same {
            change.renamedSockets.formUnion(same.sockets)
            return Entry(configured: listener, actual: listener, sockets: same.sockets)
        }
        if let (actual, sockets) = try handed.take(for: listener, workers: workers) {
            return Entry(configured: listener, actual: actual, sockets: sockets)
        }
        let (sockets, port) = try ListeningSocket.openGroup(listener, count: workers)
        var actual = listener
        actual.port = port
        return Entry(configured: listener, actual: actual, sockets: sockets)
    }

    /// Closes what `prepare` opened: the change will not happen.
    func abandon(_ change: Change) {
        for entry in change.added {
            for socket in entry.sockets where !change.renamedSockets.contains(socket) { ListeningSocket.close(socket) }
        }
    }

    /// Makes the change. Sockets of removed addresses are closed here; workers close theirs.
    mutating func apply(_ change: Change) {
        let removed = Set(change.removed.map(\.key))
        entries.removeAll { removed.contains($0.key) }
        entries.append(contentsOf: change.added)
        for entry in change.removed {
            for socket in entry.sockets where !change.renamedSockets.contains(socket) { ListeningSocket.close(socket) }
        }
    }

    mutating func closeAll() {
        for entry in entries { entry.sockets.forEach(ListeningSocket.close) }
        entries = []
        handed.closeAll()
    }

    /// Closes what a predecessor handed over and nobody asked for.
    mutating func closeUnclaimed() { handed.closeOffers() }
}
