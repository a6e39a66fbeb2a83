import Cordon
import Hooks
import Reactor

/// One function as clients of DevTools see it: a cordon of its own, which lives until the function changes, and the clients.
final class InspectedFunction {
    let name: String
    let options: CordonOptions
    private unowned let cordons: WorkerCordons
    private(set) var remote: RemoteFunction?
    private var clients: [Int32: InspectorConnection] = [:]
    private var lastSession: Int32 = 0
    private var messages = InspectionMessages()
    /// Packets that the process has not taken.
    private var outgoing: [InspectionPacket] = []
    private var outgoingBytes = 0
    private let retry = RetryTimer()

    /// Bytes for the process that may wait, and milliseconds until it is tried again.
    private static let outgoingLimit = 32 << 20, patience: UInt64 = 5
    /// The largest message of V8's: parts of heap snapshots are small, the answer to an evaluation need not be.
    private static let messageLimit = 256 << 20

    init(_ name: String, folder: String, _ cordons: WorkerCordons) {
        self.name = name
        self.cordons = cordons
        var options = CordonOptions()
        options.isInspected = true
        options.folder = folder
        self.options = options
        retry.owner = self
    }

    /// Somebody looks: requests that ask for it come here, and nothing that waits is late.
    var isWatched: Bool { !clients.isEmpty }
    private var cordon: TenantCordon? { remote?.owner as? TenantCordon }

    func open(_ source: HookSource, _ rules: [HookRule]) {
        let remote = cordons.loadInspected(source, self)
        for rule in rules { _ = remote.bind(rule) }
        self.remote = remote
    }

    /// Whether one more request may run here.
    var takesCalls: Bool { isWatched && (cordon?.callsUnderWay ?? 0) < Inspection.callLimit }

    /// The function changed or is no longer there.
    func close() {
        sendClientsAway("the function was replaced")
        cordons.worker.cancel(retry)
        if let remote { cordons.unload(remote) }
        remote = nil
    }

    // MARK: Clients

    func join(_ client: InspectorConnection) -> Int32 {
        lastSession += 1
        clients[lastSession] = client
        send(.connect(lastSession))
        return lastSession
    }

    func leave(_ session: Int32) {
        guard clients.removeValue(forKey: session) != nil else { return }
        messages.forget(session)
        send(.disconnect(session))
        holdIfNeeded()
        if clients.isEmpty { cordon?.nobodyWatches() }
    }

    /// A message of a client.
    func deliver(_ session: Int32, _ message: [UInt8]) {
        for part in InspectionPacket.parts(session, message.span) { send(part) }
        guard outgoingBytes > InspectedFunction.outgoingLimit else { return }
        clients[session]?.end("the function does not take so many messages")
    }

    func sendClientsAway(_ reason: String) {
        for client in clients.values { client.end(reason) }
    }

    // MARK: The process

    private func send(_ packet: InspectionPacket) {
        outgoing.append(packet)
        if case .message(_, let part, _) = packet { outgoingBytes += part.count }
        flush()
    }

    fileprivate func flush() {
        while let packet = outgoing.first {
            guard cordon?.send(packet) ?? true else { return cordons.worker.schedule(retry, after: InspectedFunction.patience) }
            outgoing.removeFirst()
            if case .message(_, let part, _) = packet { outgoingBytes -= part.count }
        }
    }

    func received(_ bytes: [UInt8]) {
        switch InspectionPacket(bytes) {
        case .message(let session, let part, let more):
            guard let client = clients[session] else { return }
            if let whole = messages.take(session, part, more: more, limit: InspectedFunction.messageLimit) { client.send(whole) }
            holdIfNeeded()
        case .ended(let session, let reason): clients[session]?.end(reason)
        default: break
        }
    }

    /// A client that does not keep up has the process wait.
    func holdIfNeeded() { cordon?.holdInspection(clients.values.contains { $0.isBehind }) }

    /// The process is gone: the clients may come again.
    func processLost() {
        outgoing.removeAll()
        outgoingBytes = 0
        sendClientsAway("the function's process is gone")
    }
}

private final class RetryTimer: Timer {
    weak var owner: InspectedFunction?
    override func fire() { owner?.flush() }
}
