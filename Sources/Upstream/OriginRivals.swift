import Reactor

/// Attempts at a name's further addresses while the first one takes its time (RFC 8305): whichever connects first wins.
final class OriginRivals: Timer {
    /// Milliseconds between two attempts (RFC 8305 section 8).
    private static let delay: UInt64 = 250

    private unowned let connection: OriginConnection
    private var running: [OriginRival] = []
    private var last: Int

    init(_ connection: OriginConnection, after number: Int) {
        self.connection = connection
        last = number
        super.init()
        connection.context.reactor.schedule(self, after: OriginRivals.delay)
    }

    func stop() {
        connection.context.reactor.cancel(self)
        for rival in running { connection.context.reactor.close(rival) }
        running = []
    }

    /// The oldest attempt that is still under way.
    func takeFirst() -> OriginRival? { running.isEmpty ? nil : running.removeFirst() }

    override func fire() { startNext() }

    private func startNext() {
        let reactor = connection.context.reactor
        while connection.state == .connecting, let address = connection.server.address(last + 1) {
            last += 1
            do throws(SystemError) {
                let (fd, inProgress) = try connection.server.start(address)
                let rival = OriginRival(self, fd: fd, address: address, number: last)
                do throws(SystemError) {
                    try reactor.add(rival)
                } catch {
                    reactor.close(rival)
                    return
                }
                running.append(rival)
                if !inProgress { return won(rival) }
                reactor.schedule(self, after: OriginRivals.delay)
                return
            } catch { continue }
        }
    }

    fileprivate func ended(_ rival: OriginRival) {
        guard Connecting.result(rival.fd) != nil else { return won(rival) }
        connection.context.reactor.close(rival)
        running.removeAll { $0 === rival }
        startNext()
    }

    private func won(_ rival: OriginRival) {
        running.removeAll { $0 === rival }
        guard connection.state == .connecting else { return connection.context.reactor.close(rival) }
        connection.moveTo(rival, connected: true)
    }
}

/// One such attempt.
final class OriginRival: Channel {
    private unowned let rivals: OriginRivals
    let address: ServerAddress
    let number: Int

    init(_ rivals: OriginRivals, fd: Int32, address: ServerAddress, number: Int) {
        self.rivals = rivals
        self.address = address
        self.number = number
        super.init(fd: fd)
    }

    override func ready(_ events: ReadyEvents) {
        if events.contains(.writable) || events.contains(.error) { rivals.ended(self) }
    }
}
