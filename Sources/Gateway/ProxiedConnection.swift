import Buffers
import HTTP
import Reactor
import Rules
import Telemetry

/// A connection from a balancer that speaks the PROXY protocol, until its header has been read. Not a byte behind the
/// header is taken from the socket: TLS or HTTP find their beginning there.
final class ProxiedConnection: Channel {
    private unowned let worker: Worker
    private let listener: ListenerState
    private var client: ClientInfo
    private let start: (ClientInfo) -> Void
    private let deadline = ProxyDeadline()

    /// - Parameter start: goes on with the connection, whose descriptor is nobody's then.
    init(_ worker: Worker, _ listener: ListenerState, _ client: ClientInfo, fd: Int32, start: @escaping (ClientInfo) -> Void) {
        self.worker = worker
        self.listener = listener
        self.client = client
        self.start = start
        super.init(fd: fd)
        deadline.connection = self
    }

    func begin() {
        do {
            try worker.add(self)
            worker.handshakeStarted(self)
            worker.schedule(deadline, after: UInt64(listener.limits.tlsHandshake))
        } catch {
            let fd = self.fd
            self.fd = -1
            worker.connectionClosed(client)
            Listening.reject(fd)
        }
    }

    override func ready(_ events: ReadyEvents) {
        var header = [UInt8](repeating: 0, count: ProxyHeader.longest)
        let count = Peeking.peek(fd, into: &header)
        if count == 0 { return fail() }
        guard count > 0 else { return }
        switch ProxyHeader.parse(header.span.extracting(first: count)) {
        case .needMore: if events.contains(.hangup) || events.contains(.error) { fail() }
        case .failed: fail()
        case .complete(let consumed, let addresses):
            guard Peeking.drop(fd, consumed) else { return fail() }
            finish(addresses)
        }
    }

    private func finish(_ addresses: ProxyHeader.Addresses?) {
        worker.cancel(deadline)
        worker.handshakeEnded(self)
        if let addresses {
            guard worker.readmit(client.address, as: addresses.source, listener.limits) else { return refuse() }
            client.address = addresses.source
            client.port = addresses.sourcePort
            client.destination = Destination(addresses.destination, port: addresses.destinationPort)
        }
        worker.remove(self)
        fd = -1
        start(client)
    }

    private func refuse() {
        worker.metrics.add(.connectionsRefused)
        worker.close(self, reset: true)
        worker.connectionClosed(client)
    }

    func fail() {
        guard fd >= 0 else { return }
        worker.metrics.add(.proxyHeadersRefused)
        worker.cancel(deadline)
        worker.handshakeEnded(self)
        worker.close(self)
        worker.connectionClosed(client)
    }
}

private final class ProxyDeadline: Timer {
    weak var connection: ProxiedConnection?
    override func fire() { connection?.fail() }
}

extension Destination {
    /// Where a client's connection ends here.
    convenience init?(of fd: Int32) {
        guard let end = ConnectionFacts.localEnd(fd) else { return nil }
        self.init(end.address, port: end.port)
    }
}

extension Worker {
    /// A balancer named the client of a connection that was counted as the balancer's own.
    func readmit(_ old: IPAddress, as new: IPAddress, _ limits: Limits) -> Bool {
        let ofAddress = connectionsByAddress[new, default: 0]
        guard ofAddress < limits.connectionsPerAddress else { return false }
        connectionsByAddress[new] = ofAddress + 1
        let left = connectionsByAddress[old, default: 1] - 1
        connectionsByAddress[old] = left > 0 ? left : nil
        return true
    }
}
