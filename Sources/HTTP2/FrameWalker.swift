/// The fixed part of a frame (RFC 9113 section 4.1).
struct FrameHead {
    var length: Int
    var type: UInt8
    var flags: UInt8
    var stream: Int32
}

/// Finds the frames in what was received, before nghttp2 looks at them: it tells us nothing of frames
/// that it ignores, and those cost us too.
struct FrameWalker {
    /// Bytes until the next frame's head; first the client's preface (RFC 9113 section 3.4).
    private var skip: Int
    private var head = InlineArray<9, UInt8>(repeating: 0)
    private var have = 0
    private var blockOpen = false
    private var blockEnds = false

    /// A field block has begun, and its last byte is not here.
    var isInsideBlock: Bool { blockOpen && !(blockEnds && skip == 0) }

    /// - Parameter preface: the peer is a client, whose frames follow its preface.
    init(preface: Bool) { skip = preface ? 24 : 0 }

    /// The next head that ends in `bytes` at or after `at`, which moves behind it.
    /// - Returns: with it, where its frame begins; negative when in bytes given before.
    mutating func next(_ bytes: borrowing Span<UInt8>, _ at: inout Int) -> (head: FrameHead, begins: Int)? {
        let skipped = min(skip, bytes.count - at)
        skip -= skipped
        at += skipped
        let begins = at - have
        while have < 9, at < bytes.count {
            head[have] = bytes[at]
            have += 1
            at += 1
        }
        guard have == 9 else { return nil }
        have = 0
        let found = FrameHead(
            length: Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2]), type: head[3], flags: head[4],
            stream: Int32(head[5] & 0x7f) << 24 | Int32(head[6]) << 16 | Int32(head[7]) << 8 | Int32(head[8]))
        skip = found.length
        // HEADERS and CONTINUATION, and their END_HEADERS.
        blockOpen = found.type == 1 || found.type == 9
        blockEnds = found.flags & 4 != 0
        return (found, begins)
    }
}
