/// What a supervisor says to the process that is to take its place: a newer version of the program, as a rule.
///
/// The two may be of different versions, so this format only ever grows: kinds and their fields keep their meaning, a
/// reader skips kinds it does not know and ignores bytes behind the fields it knows. What the other side answers are
/// `WorkerMessage.ready` (all its workers serve) and `WorkerMessage.refused`; their encoding is fixed for the same reason.
public enum TakeoverMessage: Sendable, Equatable {
    /// With the shared memory. It is kept when its layout is the receiver's, too.
    case shared
    /// With one listening socket. `configured` is what the rule file asks for (its port may be 0), `port` the real one, `index`
    /// the worker whose socket it is; -1: a socket of the service manager's, kept open for a listener that may ask for it.
    case listener(configured: ConfigurationBundle.Listener, port: UInt16, index: Int)
    /// With the listening socket of the admin address or the control socket; `name` is what the configuration calls it.
    case admin(name: String, endpoint: String)
    /// Numbers and short texts by name.
    case facts([String: String])
    /// What is held against a hook function.
    case strikes(function: String, fingerprint: UInt64, strikes: Int, cordonStrikes: Int, moved: Bool)
    /// A bearer token of the admin address; `expires` in monotonic milliseconds.
    case token(secret: String, role: String, name: String, expires: UInt64)
    /// All is said: begin.
    case end
    /// Counters by name: all that the sender and those before it counted, until now. Replaces what was said before.
    case totals([String: UInt64])

    public func encoded() -> [UInt8] {
        var writer = PacketWriter()
        switch self {
        case .shared: writer.byte(1)
        case .listener(let configured, let port, let index):
            writer.byte(2)
            writer.string(configured.name)
            writer.string(configured.address)
            writer.number(UInt64(configured.port))
            writer.number(UInt64(port))
            writer.number(UInt64(bitPattern: Int64(index)))
        case .admin(let name, let endpoint):
            writer.byte(3)
            writer.string(name)
            writer.string(endpoint)
        case .facts(let facts):
            writer.byte(4)
            writer.list(facts.sorted { $0.key < $1.key }) { writer, fact in
                writer.string(fact.key)
                writer.string(fact.value)
            }
        case .strikes(let function, let fingerprint, let strikes, let cordonStrikes, let moved):
            writer.byte(5)
            writer.string(function)
            writer.number(fingerprint)
            writer.count(strikes)
            writer.count(cordonStrikes)
            writer.byte(moved ? 1 : 0)
        case .token(let secret, let role, let name, let expires):
            writer.byte(6)
            writer.string(secret)
            writer.string(role)
            writer.string(name)
            writer.number(expires)
        case .end: writer.byte(7)
        case .totals(let totals):
            writer.byte(8)
            writer.list(totals.sorted { $0.key < $1.key }) { writer, entry in
                writer.string(entry.key)
                writer.number(entry.value)
            }
        }
        return writer.bytes
    }

    /// nil: a kind that this version does not know.
    public static func decode(_ bytes: [UInt8]) throws(PacketError) -> TakeoverMessage? {
        var reader = PacketReader(bytes)
        switch try reader.byte() {
        case 1: return .shared
        case 2: return try listener(&reader)
        case 3: return .admin(name: try reader.string(), endpoint: try reader.string())
        case 4:
            let facts = try reader.list { (reader) throws(PacketError) in (try reader.string(), try reader.string()) }
            return .facts(Dictionary(facts, uniquingKeysWith: { $1 }))
        case 5:
            return .strikes(
                function: try reader.string(), fingerprint: try reader.number(), strikes: Int(clamping: try reader.number()),
                cordonStrikes: Int(clamping: try reader.number()), moved: try reader.byte() == 1)
        case 6:
            return .token(
                secret: try reader.string(), role: try reader.string(), name: try reader.string(), expires: try reader.number())
        case 7: return .end
        case 8:
            let totals = try reader.list { (reader) throws(PacketError) in (try reader.string(), try reader.number()) }
            return .totals(Dictionary(totals, uniquingKeysWith: { $1 }))
        default: return nil
        }
    }

    private static func listener(_ reader: inout PacketReader) throws(PacketError) -> TakeoverMessage {
        let name = try reader.string()
        let address = try reader.string()
        let at = reader.offset
        guard let wanted = UInt16(exactly: try reader.number()), let port = UInt16(exactly: try reader.number()) else {
            throw PacketError(what: "port out of range", offset: at)
        }
        let index = Int(truncatingIfNeeded: Int64(bitPattern: try reader.number()))
        return .listener(configured: .init(name: name, address: address, port: wanted), port: port, index: index)
    }
}

/// How a process learns that it is to take another one's place.
public enum TakeoverStart {
    /// Holds the pid of the process whose place is taken.
    public static let variable = "SLUICE_TAKEOVER"

    /// Our end of the channel to that process; nil when this one just starts.
    public static func channel() -> ControlSocket? {
        guard let text = ProcessSetup.environment(variable), Int32(text) == ProcessSetup.parent else { return nil }
        return ControlSocket(adopting: OwnedDescriptor(adopting: WorkerBootstrap.controlDescriptor))
    }
}
