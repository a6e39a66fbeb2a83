import HTTP
import Reactor
import Rules
import TLS
import Telemetry

/// A connection from an address that has flooded the worker, before its beginning: who it is shows in its ClientHello, which stays in
/// the kernel for TLS to read, and then it waits as long as `FloodPauses` says. If the client leaves meanwhile, so does it.
final class ScreenedConnection: Channel {
    private enum State { case looking, held }

    private let worker: Worker
    private let listener: ListenerState
    private let client: ClientInfo
    private let timer = ScreeningTimer()
    private let begin: () -> Void
    private var state = State.looking

    private init(_ worker: Worker, _ listener: ListenerState, _ client: ClientInfo, _ fd: Int32, begin: @escaping () -> Void) {
        self.worker = worker
        self.listener = listener
        self.client = client
        self.begin = begin
        super.init(fd: fd)
    }

    /// - Parameter begin: goes on with the connection, whose descriptor is nobody's then.
    static func screen(_ worker: Worker, _ listener: ListenerState, _ client: ClientInfo, _ fd: Int32, then begin: @escaping () -> Void) {
        if listener.tls == nil {
            let wait = worker.floods.wait(client.address, "", now: worker.now)
            guard wait > 0 else { return begin() }
            return ScreenedConnection(worker, listener, client, fd, begin: begin).watch(for: wait, .held)
        }
        ScreenedConnection(worker, listener, client, fd, begin: begin).watch(for: UInt64(listener.limits.tlsHandshake), .looking)
    }

    private func watch(for milliseconds: UInt64, _ state: State) {
        do {
            try worker.add(self)
            timer.connection = self
            hold(milliseconds, state)
        } catch {
            let fd = self.fd
            self.fd = -1
            worker.connectionClosed(client)
            Listening.reject(fd)
        }
    }

    private func hold(_ milliseconds: UInt64, _ state: State) {
        self.state = state
        if state == .held { worker.metrics.add(.connectionsHeld) }
        worker.schedule(timer, after: milliseconds)
    }

    override func ready(_ events: ReadyEvents) {
        if state == .looking, events.contains(.readable) { look() }
        if fd >= 0, events.contains(.hangup) || events.contains(.error) { end() }
    }

    private func look() {
        var bytes = [UInt8](repeating: 0, count: HandshakePreview.longest)
        let count = Peeking.peek(fd, into: &bytes)
        guard count > 0 else { return }
        guard let fingerprint = HandshakePreview.fingerprint(bytes[..<count]) else { return }
        let wait = worker.floods.wait(client.address, fingerprint, now: worker.now)
        if wait > 0 { hold(wait, .held) } else { goOn() }
    }

    private func goOn() {
        forget()
        worker.remove(self)
        fd = -1
        begin()
    }

    private func forget() {
        worker.cancel(timer)
        timer.connection = nil
    }

    private func end() {
        forget()
        worker.close(self)
        worker.connectionClosed(client)
    }

    fileprivate func timeIsUp() {
        if state == .held { return goOn() }
        worker.metrics.add(.timeoutsHandshake)
        end()
    }
}

/// Holds the connection while it waits.
private final class ScreeningTimer: Timer {
    var connection: ScreenedConnection?
    override func fire() { connection?.timeIsUp() }
}
