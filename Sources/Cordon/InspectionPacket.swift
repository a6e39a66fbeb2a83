/// What worker and cordon say to each other about debugging, over the socket that tells of their deaths: it can be listened
/// to while a script stands at a breakpoint and the ring is not.
public enum InspectionPacket: Equatable, Sendable {
    /// A client came; it is known by this number from now on.
    case connect(Int32)
    /// A client is gone.
    case disconnect(Int32)
    /// A part of a message from or for a client. `more`: the rest follows.
    case message(Int32, [UInt8], more: Bool)
    /// The cordon: a client cannot be served (any more).
    case ended(Int32, String)

    /// Bytes of a message in one packet.
    public static let partLimit = 48 << 10
    /// Bytes of a message of a client.
    public static let messageLimit = 16 << 20

    /// nil: not a packet of this program.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count >= 5 else { return nil }
        let session = Int32(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[1 + $1]) << UInt32(8 * $1) })
        switch bytes[0] {
        case 16: self = .connect(session)
        case 17: self = .disconnect(session)
        case 18, 19: self = .message(session, Array(bytes[5...]), more: bytes[0] == 19)
        case 20: self = .ended(session, String(decoding: bytes[5...].prefix(512), as: UTF8.self))
        default: return nil
        }
    }

    public var bytes: [UInt8] {
        switch self {
        case .connect(let session): InspectionPacket.head(16, session)
        case .disconnect(let session): InspectionPacket.head(17, session)
        case .message(let session, let part, let more): InspectionPacket.head(more ? 19 : 18, session) + part
        case .ended(let session, let reason): InspectionPacket.head(20, session) + Array(reason.utf8)
        }
    }

    private static func head(_ kind: UInt8, _ session: Int32) -> [UInt8] {
        [kind] + (0..<4).map { UInt8(truncatingIfNeeded: UInt32(bitPattern: session) >> UInt32(8 * $0)) }
    }

    /// The packets of one message, in order.
    public static func parts(_ session: Int32, _ message: Span<UInt8>) -> [InspectionPacket] {
        var packets: [InspectionPacket] = []
        var at = 0
        repeat {
            let end = min(at + partLimit, message.count)
            packets.append(.message(session, (at..<end).map { message[$0] }, more: end < message.count))
            at = end
        } while at < message.count
        return packets
    }
}

/// Messages that come in parts, by session.
public struct InspectionMessages {
    private var partial: [Int32: [UInt8]] = [:]

    public init() {}

    /// Takes a part. Returns the message when it is whole; nil: more is to come, or it was too long and is left out.
    public mutating func take(_ session: Int32, _ part: [UInt8], more: Bool, limit: Int) -> [UInt8]? {
        if !more, partial[session] == nil { return part.count <= limit ? part : nil }
        var whole = partial.removeValue(forKey: session) ?? []
        // Beyond the limit nothing is added, so that the end is known for what it is.
        if whole.count <= limit { whole += part }
        guard !more else {
            partial[session] = whole
            return nil
        }
        return whole.count <= limit ? whole : nil
    }

    public mutating func forget(_ session: Int32) { partial[session] = nil }
}
