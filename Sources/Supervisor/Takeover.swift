import Reactor
import Telemetry

/// What a process that takes another one's place was handed, and its way to answer.
final class Takeover {
    let channel: ControlSocket
    var sockets = HandedSockets()
    var region: SharedRegion?
    /// Listening sockets of the admin address and the control socket, by what the configuration calls them.
    private var admins: [String: (endpoint: String, socket: Int32)] = [:]
    private(set) var facts: [String: String] = [:]
    private(set) var strikes: [String: StrikeBook.Entry] = [:]
    private(set) var tokens: [AdminToken] = []
    /// All that was counted before us.
    private(set) var totals: [String: UInt64] = [:]
    /// What could not be taken over, for the log.
    private(set) var losses: [String] = []

    /// Reads everything, if this process is to take a place; nil when it just starts.
    static func receive() throws -> Takeover? {
        guard let channel = TakeoverStart.channel() else { return nil }
        let takeover = Takeover(channel)
        while true {
            switch try channel.receive() {
            case .wouldBlock: continue
            case .peerGone: throw TakeoverFailed(description: "the gateway that is to be upgraded is gone")
            case .packet(var packet):
                guard let message = try TakeoverMessage.decode(packet.bytes) else { continue }
                if message == .end { return takeover }
                try takeover.take(message, &packet)
            }
        }
    }

    private init(_ channel: ControlSocket) { self.channel = channel }

    private func take(_ message: TakeoverMessage, _ packet: inout ControlPacket) throws {
        switch message {
        case .shared: takeRegion(try packet.takeDescriptor("shared memory"))
        case .listener(let configured, let port, let index):
            let socket = try packet.takeDescriptor("listener \(configured.name)").release()
            if index >= 0 {
                sockets.offer(configured, port: port, socket)
            } else {
                sockets.activated.append(.init(name: configured.name, address: configured.address, port: port, descriptor: socket))
            }
        case .admin(let name, let endpoint):
            admins[name] = (endpoint, try packet.takeDescriptor("the admin address").release())
        case .facts(let facts): self.facts.merge(facts) { $1 }
        case .strikes(let function, let fingerprint, let strikes, let cordonStrikes, let moved):
            self.strikes[function] = StrikeBook.Entry(
                strikes: strikes, cordonStrikes: cordonStrikes, moved: moved, fingerprint: fingerprint)
        case .token(let secret, let role, let name, let expires):
            guard let role = AdminRole(name: role) else { return }
            tokens.append(AdminToken(secret: secret, role: role, expires: expires, name: name))
        case .totals(let totals): self.totals = totals
        case .end: break
        }
    }

    private func takeRegion(_ memory: consuming OwnedDescriptor) {
        do {
            region = try SharedRegion(adopting: memory)
        } catch {
            losses.append("counters of rules, sites and functions and rate limits begin anew: the other version lays its memory out differently")
        }
    }

    func takeAdmin(_ name: String) -> (endpoint: String, socket: Int32)? { admins.removeValue(forKey: name) }

    func closeUnclaimed() {
        for admin in admins.values { ListeningSocket.close(admin.socket) }
        admins = [:]
    }

    func number(_ fact: String) -> Int { facts[fact].flatMap { Int($0) } ?? 0 }

    /// Tells that this process cannot take the place, and why.
    func refuse(_ reason: String) {
        _ = try? channel.send(WorkerMessage.refused(generation: 0, reason: reason).encoded())
    }
}

struct TakeoverFailed: Error, CustomStringConvertible {
    let description: String
}

/// The process whose place was taken, while it finishes its requests.
final class Predecessor: Channel {
    private unowned let supervisor: Supervisor
    private let socket: ControlSocket

    init(_ supervisor: Supervisor, _ socket: ControlSocket) throws(SystemError) {
        self.supervisor = supervisor
        self.socket = socket
        try socket.descriptor.setNonBlocking(true)
        super.init(fd: socket.descriptor.number)
    }

    func sayReady(generation: UInt64) {
        _ = try? socket.send(WorkerMessage.ready(generation: generation).encoded())
    }

    override func ready(_ events: ReadyEvents) {
        while true {
            guard let receipt = try? socket.receive() else { return leave() }
            switch consume receipt {
            case .wouldBlock: return
            case .peerGone: return leave()
            case .packet(let packet):
                guard let message = try? TakeoverMessage.decode(packet.bytes), case .totals(let totals) = message else { continue }
                supervisor.inherited = MetricTotals(named: totals)
            }
        }
    }

    private func leave() {
        supervisor.reactor.remove(self)
        supervisor.predecessorEnded()
    }
}

extension Supervisor {
    /// The process before this one has finished all that it had.
    func predecessorEnded() {
        predecessor = nil
        if phase == .starting {
            log.warning("upgrade", "the gateway that was to be upgraded ended before this one was ready; going on alone")
        } else {
            log.info("upgrade", "the gateway before this one has finished its requests and is gone")
        }
    }
}
