/// What the supervisor says to a worker. Descriptors travel beside the bytes.
public enum SupervisorMessage: Sendable, Equatable {
    /// First packet of a worker's life, with the shared memory. `settings` are options of the command
    /// line that workers need.
    case welcome(worker: Int, workers: Int, settings: [String: String])
    /// With a listening socket. `key` names the socket for `closeListener`.
    case openListener(key: String, listener: ConfigurationBundle.Listener)
    /// Stop accepting there and close it. Its connections go on.
    case closeListener(key: String)
    /// With a bundle: use it for new requests. Answered by `ready` or `refused`.
    case configure(generation: UInt64)
    /// Functions that must not run; replaces the list sent before.
    case fence([String])
    /// Stop accepting, finish what runs, then leave. `milliseconds` is how long that may take; idle connections may
    /// send a last request for `idleMilliseconds`.
    case drain(milliseconds: UInt64, idleMilliseconds: UInt64)
    /// Open log files anew (they were rotated).
    case reopenLogs
    /// With a socket: send a copy of each access log line there, until `endTail`.
    case tail
    case endTail
    /// To a scratch process only: load and check the configuration at this path, then answer
    /// `loaded` or `rejected`.
    case examine(path: String)
    /// The cordon that the worker asked for as `id` has ended, or could not be started (`.exited(-1)`).
    case cordonEnded(id: UInt64, end: ProcessEnd)
    /// Functions that run in a cordon from now on unless they are pinned; replaces the list sent before. `fatal`: those
    /// that cost a worker its life.
    case move([String], fatal: [String])
    /// With sealed memory: what the process may begin its JavaScript from. Comes before the first configuration.
    case snapshot
    /// Look inside a function for so long, 0 for its heap as it is now. Answered by `looked`.
    case look(id: UInt64, function: String, milliseconds: UInt64)
    /// Say how the origin servers stand. Answered by `looked` with `OriginReport`s.
    case origins(id: UInt64)

    public func encoded() -> [UInt8] {
        var writer = PacketWriter()
        switch self {
        case .welcome(let worker, let workers, let settings):
            writer.byte(1)
            writer.count(worker)
            writer.count(workers)
            writer.list(settings.sorted { $0.key < $1.key }) { writer, entry in
                writer.string(entry.key)
                writer.string(entry.value)
            }
        case .openListener(let key, let listener):
            writer.byte(2)
            writer.string(key)
            writer.string(listener.name)
            writer.string(listener.address)
            writer.number(UInt64(listener.port))
        case .closeListener(let key):
            writer.byte(3)
            writer.string(key)
        case .configure(let generation):
            writer.byte(4)
            writer.number(generation)
        case .fence(let names):
            writer.byte(5)
            writer.list(names) { $0.string($1) }
        case .drain(let milliseconds, let idleMilliseconds):
            writer.byte(6)
            writer.number(milliseconds)
            writer.number(idleMilliseconds)
        case .reopenLogs:
            writer.byte(7)
        case .examine(let path):
            writer.byte(8)
            writer.string(path)
        case .cordonEnded(let id, let end):
            writer.byte(20)
            writer.number(id)
            writer.processEnd(end)
        case .move(let names, let fatal):
            writer.byte(21)
            writer.list(names) { $0.string($1) }
            writer.list(fatal) { $0.string($1) }
        case .snapshot:
            writer.byte(22)
        case .look(let id, let function, let milliseconds):
            writer.byte(23)
            writer.number(id)
            writer.string(function)
            writer.number(milliseconds)
        case .origins(let id):
            writer.byte(26)
            writer.number(id)
        case .tail:
            writer.byte(9)
        case .endTail:
            writer.byte(10)
        }
        return writer.bytes
    }

    public init(decoding bytes: [UInt8]) throws(PacketError) {
        var reader = PacketReader(bytes)
        switch try reader.byte() {
        case 1:
            let worker = Int(truncatingIfNeeded: try reader.number())
            let workers = Int(truncatingIfNeeded: try reader.number())
            guard worker >= 0, worker < SharedRegion.workerCapacity else {
                throw PacketError(what: "worker number \(worker) out of range", offset: 1)
            }
            let pairs = try reader.list { (reader) throws(PacketError) in (try reader.string(), try reader.string()) }
            self = .welcome(
                worker: worker, workers: workers, settings: Dictionary(pairs, uniquingKeysWith: { $1 }))
        case 2:
            let key = try reader.string()
            let name = try reader.string()
            let address = try reader.string()
            guard let port = UInt16(exactly: try reader.number()) else {
                throw PacketError(what: "port out of range", offset: reader.offset)
            }
            self = .openListener(key: key, listener: .init(name: name, address: address, port: port))
        case 3: self = .closeListener(key: try reader.string())
        case 4: self = .configure(generation: try reader.number())
        case 5: self = .fence(try reader.list { (reader) throws(PacketError) in try reader.string() })
        case 6: self = .drain(milliseconds: try reader.number(), idleMilliseconds: try reader.number())
        case 7: self = .reopenLogs
        case 8: self = .examine(path: try reader.string())
        case 20: self = .cordonEnded(id: try reader.number(), end: try reader.processEnd())
        case 21: self = .move(
            try reader.list { (reader) throws(PacketError) in try reader.string() },
            fatal: try reader.list { (reader) throws(PacketError) in try reader.string() })
        case 22: self = .snapshot
        case 23: self = .look(id: try reader.number(), function: try reader.string(), milliseconds: try reader.number())
        case 26: self = .origins(id: try reader.number())
        case 9: self = .tail
        case 10: self = .endTail
        case let kind: throw PacketError(what: "unknown message \(kind) from the supervisor", offset: 0)
        }
        try reader.expectEnd()
    }
}

/// What a worker (or scratch process) says to the supervisor.
public enum WorkerMessage: Sendable, Equatable {
    /// This generation is in use and its listeners are served.
    case ready(generation: UInt64)
    /// The generation was not taken; what was in use still is.
    case refused(generation: UInt64, reason: String)
    /// Everything is finished; the process ends now.
    case drained
    /// Scratch process: the configuration is good. The bundle comes along. `notes` are warnings.
    case loaded(notes: String)
    /// Scratch process: the configuration is bad, and these are all the reasons.
    case rejected(diagnostics: String)
    /// Start a cordon; its end of the socket to this worker comes along. Answered by `cordonEnded`, some day.
    case wantCordon(id: UInt64, tenant: String)
    case killCordon(id: UInt64)
    /// A cordon died inside this function, or had to be killed.
    case cordonStrike(function: String)
    /// This function held the worker's loop up too long, too often.
    case slow(function: String)
    /// With sealed memory: the snapshot that this process had to make, before it ran anybody's code.
    case snapshot
    /// With sealed memory, unless `failure` says why there is nothing.
    case looked(id: UInt64, failure: String)

    public func encoded() -> [UInt8] {
        var writer = PacketWriter()
        switch self {
        case .ready(let generation):
            writer.byte(1)
            writer.number(generation)
        case .refused(let generation, let reason):
            writer.byte(2)
            writer.number(generation)
            writer.string(WorkerMessage.shortened(reason))
        case .drained:
            writer.byte(3)
        case .loaded(let notes):
            writer.byte(4)
            writer.string(WorkerMessage.shortened(notes))
        case .rejected(let diagnostics):
            writer.byte(5)
            writer.string(WorkerMessage.shortened(diagnostics))
        case .wantCordon(let id, let tenant):
            writer.byte(20)
            writer.number(id)
            writer.string(tenant)
        case .killCordon(let id):
            writer.byte(21)
            writer.number(id)
        case .cordonStrike(let function):
            writer.byte(22)
            writer.string(function)
        case .slow(let function):
            writer.byte(23)
            writer.string(function)
        case .snapshot:
            writer.byte(24)
        case .looked(let id, let failure):
            writer.byte(25)
            writer.number(id)
            writer.string(WorkerMessage.shortened(failure))
        }
        return writer.bytes
    }

    public init(decoding bytes: [UInt8]) throws(PacketError) {
        var reader = PacketReader(bytes)
        switch try reader.byte() {
        case 1: self = .ready(generation: try reader.number())
        case 2: self = .refused(generation: try reader.number(), reason: try reader.string())
        case 3: self = .drained
        case 4: self = .loaded(notes: try reader.string())
        case 5: self = .rejected(diagnostics: try reader.string())
        case 20: self = .wantCordon(id: try reader.number(), tenant: try reader.string())
        case 21: self = .killCordon(id: try reader.number())
        case 22: self = .cordonStrike(function: try reader.string())
        case 23: self = .slow(function: try reader.string())
        case 24: self = .snapshot
        case 25: self = .looked(id: try reader.number(), failure: try reader.string())
        case let kind: throw PacketError(what: "unknown message \(kind) from a worker", offset: 0)
        }
        try reader.expectEnd()
    }

    /// A packet has a limit; a thousand diagnostics do not help anyway.
    private static func shortened(_ text: String) -> String {
        let limit = ControlSocket.packetLimit - 1024
        guard text.utf8.count > limit else { return text }
        return String(decoding: text.utf8.prefix(limit - 64), as: UTF8.self) + "\n... (shortened)"
    }
}

extension PacketWriter {
    fileprivate mutating func processEnd(_ end: ProcessEnd) {
        switch end {
        case .exited(let code):
            byte(0)
            number(UInt64(UInt32(bitPattern: code)))
        case .signalled(let signal):
            byte(1)
            number(UInt64(UInt32(bitPattern: signal)))
        }
    }
}

extension PacketReader {
    fileprivate mutating func processEnd() throws(PacketError) -> ProcessEnd {
        let bySignal = try byte() == 1
        let code = Int32(truncatingIfNeeded: try number())
        return bySignal ? .signalled(code) : .exited(code)
    }
}
