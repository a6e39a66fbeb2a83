import Buffers
import HTTP

/// The server's side of a WebSocket (RFC 6455) that sends every frame back.
struct WebSocketEcho {

    private var key: (UInt8, UInt8, UInt8, UInt8) = (0, 0, 0, 0)
    /// Bytes of the frame's payload still to come, and where in the masking key the next one is.
    private var left = 0
    private var position = 0
    private var closes = false

    /// Answers the handshake; false when the request asks for something else.
    mutating func begin(_ head: borrowing Head, _ output: inout OutputBuffer) -> Bool {
        guard let upgrade = head.value(of: .upgrade), head.bytes(upgrade).equalsIgnoringCase("websocket"),
            let key = head.text(of: "sec-websocket-key")
        else { return false }
        output.append("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
        let digest = SHA1.digest(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))
        output.append(copying: Self.base64(digest).span)
        output.append("\r\n\r\n")
        return true
    }

    /// Echoes what came in; false when the connection is over.
    mutating func echo(_ input: inout ReadBuffer, _ output: inout OutputBuffer) -> Bool {
        while !input.isEmpty {
            if left == 0 {
                guard let next = readHeader(input.bytes, &output) else { return true }
                guard next > 0 else { return false }
                input.consume(next)
            }
            let count = min(left, input.count)
            var plain = input.bytes.extracting(first: count).array()
            for index in plain.indices { plain[index] ^= mask(position + index) }
            output.append(copying: plain.span)
            input.consume(count)
            left -= count
            position += count
            if left == 0, closes { return false }
        }
        return true
    }

    /// Writes the header of the answering frame; nil when the received one is not complete, 0 when it is refused.
    private mutating func readHeader(_ bytes: borrowing Span<UInt8>, _ output: inout OutputBuffer) -> Int? {
        guard bytes.count >= 2 else { return nil }
        let short = Int(bytes[1] & 0x7f)
        let extra = short == 126 ? 2 : short == 127 ? 8 : 0
        let size = 2 + extra + 4
        guard bytes[1] & 0x80 != 0 else { return 0 }  // RFC 6455 section 5.1: clients mask
        guard bytes.count >= size else { return nil }
        var length = extra == 0 ? short : 0
        for index in 0..<extra { length = length << 8 | Int(bytes[2 + index]) }
        guard length >= 0 else { return 0 }
        key = (bytes[size - 4], bytes[size - 3], bytes[size - 2], bytes[size - 1])
        // A ping (9) is answered by a pong (10); text, binary, continuation and close go back as they are.
        let opcode = bytes[0] & 0x0f
        closes = opcode == 8
        output.append(byte: opcode == 9 ? bytes[0] & 0xf0 | 10 : bytes[0])
        output.append(byte: UInt8(short))
        for index in 0..<extra { output.append(byte: bytes[2 + index]) }
        left = length
        position = 0
        return size
    }

    private func mask(_ position: Int) -> UInt8 {
        switch position & 3 {
        case 0: key.0
        case 1: key.1
        case 2: key.2
        default: key.3
        }
    }

    static func base64(_ bytes: [UInt8]) -> [UInt8] {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var out: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = bytes[start..<min(start + 3, bytes.count)]
            let bits = part.enumerated().reduce(0) { $0 | Int($1.element) << (16 - 8 * $1.offset) }
            for index in 0..<4 {
                out.append(index <= part.count ? alphabet[bits >> (18 - 6 * index) & 63] : UInt8(ascii: "="))
            }
        }
        return out
    }
}

/// SHA-1, which the WebSocket handshake asks for (RFC 3174). Not for secrets.
enum SHA1 {
    static func digest(_ message: [UInt8]) -> [UInt8] {
        var state: [UInt32] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0]
        var padded = message + [0x80]
        while padded.count % 64 != 56 { padded.append(0) }
        let bits = UInt64(message.count) * 8
        padded += (0..<8).map { UInt8(truncatingIfNeeded: bits >> UInt64(56 - 8 * $0)) }
        for start in stride(from: 0, to: padded.count, by: 64) { mix(Array(padded[start..<start + 64]), &state) }
        return state.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - 8 * $0)) } }
    }

    private static func mix(_ block: [UInt8], _ state: inout [UInt32]) {
        var words = (0..<16).map { index in (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(block[index * 4 + $1]) } }
        for index in 16..<80 {
            words.append(rotate(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1))
        }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for index in 0..<80 {
            let (f, k): (UInt32, UInt32) =
                switch index / 20 {
                case 0: ((b & c) | (~b & d), 0x5A82_7999)
                case 1: (b ^ c ^ d, 0x6ED9_EBA1)
                case 2: ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC)
                default: (b ^ c ^ d, 0xCA62_C1D6)
                }
            (a, b, c, d, e) = (rotate(a, 5) &+ f &+ e &+ k &+ words[index], a, rotate(b, 30), c, d)
        }
        for (index, value) in [a, b, c, d, e].enumerated() { state[index] &+= value }
    }

    private static func rotate(_ value: UInt32, _ count: UInt32) -> UInt32 { value << count | value >> (32 - count) }
}
