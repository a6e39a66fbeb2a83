/// Walks over the frames of a WebSocket (RFC 6455 section 5.2) that pass by, to know where one ends and another may be put.
///
/// Pure: it looks at lengths and at nothing else.
public struct WebSocketFrames: Sendable {
    /// Payload bytes of the frame that are still to come.
    private var payload: UInt64 = 0
    /// What was seen of the frame's head.
    private var head: InlineArray<14, UInt8> = .init(repeating: 0)
    private var headCount = 0

    public init() {}

    /// Nothing of a frame has begun that is not complete.
    public var isAtBoundary: Bool { payload == 0 && headCount == 0 }

    /// Walks over `bytes`.
    /// - Parameter stopping: stop at the first place where a frame ends.
    /// - Returns: how many bytes were walked over.
    public mutating func pass(_ bytes: borrowing Span<UInt8>, stopping: Bool = false) -> Int {
        var at = 0
        while at < bytes.count {
            if stopping, isAtBoundary { return at }
            if payload > 0 {
                let step = min(payload, UInt64(bytes.count - at))
                payload -= step
                at += Int(step)
            } else {
                takeHead(bytes[at])
                at += 1
            }
        }
        return at
    }

    private mutating func takeHead(_ byte: UInt8) {
        head[headCount] = byte
        headCount += 1
        guard headCount >= 2 else { return }
        let short = head[1] & 0x7F
        let lengthBytes = short == 126 ? 2 : short == 127 ? 8 : 0
        guard headCount == 2 + lengthBytes + (head[1] & 0x80 == 0 ? 0 : 4) else { return }
        payload = lengthBytes == 0 ? UInt64(short) : 0
        for index in 0..<lengthBytes { payload = payload << 8 | UInt64(head[2 + index]) }
        headCount = 0
    }

    /// "Going away", from the side that does not mask (section 7.4.1).
    public static let goingAway: [UInt8] = [0x88, 0x02, 0x03, 0xE9]
}
