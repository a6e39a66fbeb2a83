import Buffers

/// What ends a WebSocket, as a close frame says it (RFC 6455 section 7.4.1).
public enum WebSocketClose: UInt16, Sendable {
    case normal = 1000
    case goingAway = 1001
    case protocolError = 1002
    /// Text that is no UTF-8.
    case invalidData = 1007
    case policy = 1008
    case tooBig = 1009
    case internalError = 1011
}

/// Reads the frames of one direction of a WebSocket (RFC 6455 section 5) and puts messages together.
///
/// No extension is known: who uses this keeps them from being agreed on, so a reserved bit is an error.
public struct WebSocketReader: ~Copyable {
    public enum Event: Equatable {
        /// A whole message; text is valid UTF-8.
        case message([UInt8], isText: Bool)
        /// Ping (9) or pong (10), at most 125 bytes.
        case control(UInt8, [UInt8])
        /// The peer's close frame: code and reason as it wrote them, possibly empty. Nothing follows.
        case close([UInt8])
        case failed(WebSocketClose)
    }

    /// Frames of one message. Each may be empty, so bytes alone do not bound them.
    public static let fragmentLimit = 65_536

    private let fromClient: Bool
    private let limit: Int
    // The header of the frame under way.
    private var header = InlineArray<14, UInt8>(repeating: 0)
    private var have = 0
    private var left = 0
    private var opcode: UInt8 = 0
    private var isFinal = false
    private var maskPosition = 0
    private var inPayload = false
    // The message under way.
    private var message: [UInt8] = []
    private var kind: UInt8 = 0
    private var fragments = 0
    private var control: [UInt8] = []
    private var isOver = false

    /// - Parameters:
    ///   - fromClient: clients mask what they send, servers do not (section 5.1).
    ///   - limit: bytes of one message.
    public init(fromClient: Bool, limit: Int) {
        self.fromClient = fromClient
        self.limit = limit
    }

    /// Bytes of a message that is not complete.
    public var held: Int { message.count }

    /// Takes bytes up to the end of a message or control frame. Returns how many, and what came of them; nil: more is needed.
    public mutating func take(_ bytes: Span<UInt8>) -> (count: Int, event: Event?) {
        var at = 0
        while at < bytes.count || inPayload && left == 0 {
            if isOver { return (bytes.count, nil) }
            if !inPayload {
                header[have] = bytes[at]
                have += 1
                at += 1
                guard have == headerSize else { continue }
                if let failure = begin() { return end(.failed(failure), at) }
                inPayload = true
                continue
            }
            let count = min(left, bytes.count - at)
            append(bytes.extracting(at..<at + count))
            at += count
            left -= count
            guard left == 0 else { break }
            inPayload = false
            have = 0
            if let event = frameEnded() {
                switch event {
                case .failed, .close: return end(event, at)
                default: return (at, event)
                }
            }
        }
        return (at, nil)
    }

    private mutating func end(_ event: Event, _ at: Int) -> (count: Int, event: Event?) {
        isOver = true
        message = []
        return (at, event)
    }

    private var extra: Int {
        guard have >= 2 else { return 0 }
        let short = header[1] & 0x7f
        return short == 126 ? 2 : short == 127 ? 8 : 0
    }

    /// Bytes of the header under way, as far as they are known.
    private var headerSize: Int { have < 2 ? 2 : 2 + extra + (header[1] & 0x80 != 0 ? 4 : 0) }

    private mutating func begin() -> WebSocketClose? {
        guard header[0] & 0x70 == 0, (header[1] & 0x80 != 0) == fromClient, let length = payloadLength else { return .protocolError }
        opcode = header[0] & 0x0f
        isFinal = header[0] & 0x80 != 0
        left = length
        maskPosition = 0
        if opcode >= 8 {
            guard opcode <= 10, isFinal, length <= 125 else { return .protocolError }
            control.removeAll(keepingCapacity: true)
            return nil
        }
        guard opcode <= 2, (opcode == 0) == (kind != 0) else { return .protocolError }
        if opcode != 0 { kind = opcode }
        fragments += 1
        guard fragments <= Self.fragmentLimit else { return .policy }
        return message.count + length <= limit ? nil : .tooBig
    }

    /// nil when it is not written in the shortest way or is beyond 63 bits (section 5.2).
    private var payloadLength: Int? {
        let short = Int(header[1] & 0x7f)
        guard short > 125 else { return short }
        var length: UInt64 = 0
        for index in 0..<extra { length = length << 8 | UInt64(header[2 + index]) }
        guard length > (short == 126 ? 125 : 65_535), length <= UInt64(Int.max) else { return nil }
        return Int(length)
    }

    private mutating func append(_ bytes: Span<UInt8>) {
        let mask = 2 + extra
        func plain(_ index: Int, _ header: InlineArray<14, UInt8>, _ start: Int) -> UInt8 { bytes[index] ^ header[mask + (start + index) & 3] }
        for index in 0..<bytes.count {
            let byte = fromClient ? plain(index, header, maskPosition) : bytes[index]
            if opcode >= 8 { control.append(byte) } else { message.append(byte) }
        }
        maskPosition = (maskPosition + bytes.count) & 3
    }

    private mutating func frameEnded() -> Event? {
        switch opcode {
        case 8: return control.count == 1 ? .failed(.protocolError) : .close(control)
        case 9, 10: return .control(opcode, control)
        default: break
        }
        guard isFinal else { return nil }
        let whole = message, isText = kind == 1
        message = []
        kind = 0
        fragments = 0
        if isText, String(validating: whole, as: UTF8.self) == nil { return .failed(.invalidData) }
        return .message(whole, isText: isText)
    }
}

/// Writes frames.
public enum WebSocketWriter {
    /// One unfragmented frame. `mask`: for frames to a server.
    public static func frame(_ opcode: UInt8, _ payload: Span<UInt8>, mask: UInt32?) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(payload.count + 14)
        out.append(0x80 | opcode)
        let flag: UInt8 = mask == nil ? 0 : 0x80
        switch payload.count {
        case ..<126: out.append(flag | UInt8(payload.count))
        case ..<65_536:
            out.append(flag | 126)
            for shift in [8, 0] { out.append(UInt8(truncatingIfNeeded: payload.count >> shift)) }
        default:
            out.append(flag | 127)
            for shift in stride(from: 56, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: payload.count >> shift)) }
        }
        guard let mask else {
            for index in 0..<payload.count { out.append(payload[index]) }
            return out
        }
        for shift in [24, 16, 8, 0] { out.append(UInt8(truncatingIfNeeded: mask >> UInt32(shift))) }
        for index in 0..<payload.count { out.append(payload[index] ^ UInt8(truncatingIfNeeded: mask >> UInt32(24 - 8 * (index & 3)))) }
        return out
    }

    /// Code and reason of a peer's close frame; code 1005 for none. nil when the code is none that a peer may say; a nil reason
    /// is no UTF-8 (RFC 6455 section 7.4).
    public static func parseClose(_ payload: [UInt8]) -> (code: UInt16, reason: String?)? {
        guard payload.count >= 2 else { return payload.isEmpty ? (1005, "") : nil }
        let code = UInt16(payload[0]) << 8 | UInt16(payload[1])
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: return (code, String(validating: payload.dropFirst(2), as: UTF8.self))
        default: return nil
        }
    }

    /// The payload of a close frame.
    public static func close(_ code: WebSocketClose, _ reason: String = "") -> [UInt8] {
        [UInt8(code.rawValue >> 8), UInt8(code.rawValue & 0xff)] + Array(reason.utf8.prefix(120))
    }
}
