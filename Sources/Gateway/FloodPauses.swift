import Buffers
import HTTP
import Reactor
import Rules
import Telemetry

/// Addresses whose connections were ended for a flood. A budget per connection alone is worth little: whoever used it up
/// would connect again at once. Their next connections begin later each time, and one after the other.
struct FloodPauses {
    private struct Record {
        /// When the next connection may begin, monotonic milliseconds as all times here.
        var next: UInt64 = 0
        var floods = 0
        var forgottenAt: UInt64 = 0
    }

    /// Milliseconds between two connections of such an address.
    static let spacing: UInt64 = 50
    /// A pause doubles so often.
    static let doublings = 4
    /// Without another flood an address is as good as any after so long.
    static let memory: UInt64 = 60_000
    /// Addresses known at once; beyond, some are forgotten early.
    static let capacity = 4_096

    private var records: [IPAddress: Record] = [:]

    /// - Parameter pause: how long the next connection waits the first time; 0 makes nobody wait.
    mutating func flooded(_ address: IPAddress, now: UInt64, pause: UInt64) {
        guard pause > 0 else { return }
        if records.count >= FloodPauses.capacity { makeRoom(now) }
        var record = records[address] ?? Record()
        if record.forgottenAt <= now { record = Record() }
        record.next = max(record.next, now + pause << UInt64(min(record.floods, FloodPauses.doublings)))
        record.floods += 1
        record.forgottenAt = now + FloodPauses.memory
        records[address] = record
    }

    /// Milliseconds that a new connection of this address has to wait. Counts it.
    mutating func wait(_ address: IPAddress, now: UInt64) -> UInt64 {
        guard !records.isEmpty, var record = records[address] else { return 0 }
        guard record.forgottenAt > now else {
            records[address] = nil
            return 0
        }
        let start = max(record.next, now)
        record.next = start + FloodPauses.spacing
        records[address] = record
        return start - now
    }

    private mutating func makeRoom(_ now: UInt64) {
        records = records.filter { $0.value.forgottenAt > now }
        while records.count >= FloodPauses.capacity { records.remove(at: records.startIndex) }
    }
}

/// A connection that waits for its beginning. What its client sends stays in the kernel; if the client leaves, so does it.
final class HeldConnection: Channel {
    private let worker: Worker
    private let listener: ListenerState
    private let client: ClientInfo
    private let timer = HeldTimer()
    private let begin: () -> Void

    private init(_ worker: Worker, _ listener: ListenerState, _ client: ClientInfo, fd: Int32, begin: @escaping () -> Void) {
        self.worker = worker
        self.listener = listener
        self.client = client
        self.begin = begin
        super.init(fd: fd)
    }

    static func hold(
        _ worker: Worker, _ listener: ListenerState, _ client: ClientInfo, _ fd: Int32, milliseconds: UInt64, then begin: @escaping () -> Void
    ) {
        worker.metrics.add(.connectionsHeld)
        let connection = HeldConnection(worker, listener, client, fd: fd, begin: begin)
        do {
            try worker.add(connection)
            connection.timer.connection = connection
            worker.schedule(connection.timer, after: milliseconds)
        } catch {
            worker.connectionClosed(client)
            Listening.reject(fd)
        }
    }

    override func ready(_ events: ReadyEvents) {
        guard events.contains(.hangup) || events.contains(.error) else { return }
        worker.cancel(timer)
        timer.connection = nil
        worker.close(self)
        worker.connectionClosed(client)
    }

    fileprivate func timeIsUp() {
        worker.remove(self)
        fd = -1
        begin()
    }
}

/// Holds the connection while it waits.
private final class HeldTimer: Timer {
    var connection: HeldConnection?
    override func fire() {
        let due = connection
        connection = nil
        due?.timeIsUp()
    }
}
