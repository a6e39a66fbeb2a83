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
    /// Stop accepting, finish what runs, then leave. `milliseconds` is how long that may take.
    case drain(milliseconds: UInt64)
    /// Open log files anew (they were rotated).
    case reopenLogs
    /// To a scratch process only: load and check the configuration at this path, then answer
    /// `loaded` or `rejected`.
    case examine(path: String)

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
        case .drain(let milliseconds):
            writer.byte(6)
            writer.number(milliseconds)
        case .reopenLogs:
            writer.byte(7)
        case .examine(let path):
            writer.byte(8)
            writer.string(path)
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
        case 6: self = .drain(milliseconds: try reader.number())
        case 7: self = .reopenLogs
        case 8: self = .examine(path: try reader.string())
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
