import Reactor

/// Brings copies of access log lines from the workers to those who watch. Costs nothing while nobody does.
final class TailHub: Channel {
    /// Watchers at once.
    static let limit = 16
    /// Lines taken in one turn of the loop: whatever comes in, the supervisor goes on looking after its workers.
    static let share = 64

    let lines: ControlSocket
    let sink: ControlSocket
    private var watchers: [ObjectIdentifier: AdminConnection] = [:]

    init() throws(SystemError) {
        (lines, sink) = try ControlSocket.pair()
        try sink.descriptor.setNonBlocking(true)
        super.init(fd: lines.descriptor.number)
    }

    var isWatched: Bool { !watchers.isEmpty }
    /// Workers get a copy of it.
    var descriptor: Int32 { sink.descriptor.number }

    func add(_ watcher: AdminConnection) { watchers[ObjectIdentifier(watcher)] = watcher }
    func remove(_ watcher: AdminConnection) { watchers[ObjectIdentifier(watcher)] = nil }
    var isFull: Bool { watchers.count >= TailHub.limit }

    override func ready(_ events: ReadyEvents) {
        for _ in 0..<TailHub.share {
            guard let receipt = try? lines.receive() else { return }
            guard case .packet(let packet) = consume receipt else { return }
            for watcher in watchers.values { watcher.stream(packet.bytes) }
        }
    }
}

extension Supervisor {
    /// Begins to send lines to a connection.
    /// - Returns: why not; nil when it does.
    func watch(_ connection: AdminConnection) -> String? {
        do {
            let hub = try tail ?? makeTail()
            guard !hub.isFull else { return "\(TailHub.limit) others watch already" }
            let first = !hub.isWatched
            hub.add(connection)
            if first { for worker in workers { worker?.send(.tail, passing: hub.descriptor) } }
            return nil
        } catch {
            return "\(error)"
        }
    }

    private func makeTail() throws -> TailHub {
        let hub = try TailHub()
        try reactor.addLevelTriggered(hub)
        tail = hub
        return hub
    }

    func unwatch(_ connection: AdminConnection) {
        guard let tail, tail.isWatched else { return }
        tail.remove(connection)
        if !tail.isWatched { for worker in workers { worker?.send(.endTail) } }
    }

    /// A worker that is born while somebody watches sends lines too.
    func letWorkerJoinTail(_ worker: WorkerProcess) {
        if let tail, tail.isWatched { worker.send(.tail, passing: tail.descriptor) }
    }
}
