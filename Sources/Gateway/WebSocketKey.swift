import Buffers
import HTTP
import Upstream

/// The key that the gateway sends in place of a client that speaks WebSocket over HTTP/2, where there is none, and the
/// proof that an origin must give (RFC 6455 section 4.2.2, RFC 8441 section 5).
struct WebSocketKey {
    private var high: UInt64 = 0
    private var low: UInt64 = 0

    init() {}

    init(_ random: RequestID) {
        high = random.high
        low = random.low
    }

    /// `Sec-WebSocket-Key`.
    var text: [UInt8] { Base64.encode(WebSocketKey.bytes(high) + WebSocketKey.bytes(low)) }

    private static func bytes(_ word: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * UInt64($0))) } }

    /// `Sec-WebSocket-Accept` of an origin that saw the key.
    var accept: [UInt8] { WebSocketKey.accept(text) }

    static func accept(_ key: [UInt8]) -> [UInt8] { Base64.encode(SHA1.digest(key + Array("258EAFA5-E914-47DA-95CA-C5AB0DC85B11".utf8))) }

    func isAccepted(by response: borrowing Head) -> Bool {
        guard let value = response.value(named: Span("Sec-WebSocket-Accept")) else { return false }
        let proof = accept
        return response.bytes(value).equals(proof.span)
    }
}

extension ExchangeRunner {
    /// The origin saw no key, because HTTP/2 has none (RFC 8441 section 5): the gateway proves to the client that it understood.
    func addWebSocketProof() {
        let proof = WebSocketKey.accept(ExchangeRunner.webSocketKey(request))
        response.set(name: Span("Sec-WebSocket-Accept"), value: proof.span)
    }

    private static func webSocketKey(_ request: borrowing Head) -> [UInt8] {
        guard let key = request.value(named: Span("Sec-WebSocket-Key")) else { return [] }
        return request.bytes(key).array()
    }
}

/// RFC 4648 section 4.
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let have = min(3, bytes.count - start)
            var group: UInt32 = 0
            for index in 0..<3 { group = group << 8 | (index < have ? UInt32(bytes[start + index]) : 0) }
            for index in 0..<4 {
                text.append(index <= have ? alphabet[Int(group >> UInt32(18 - 6 * index)) & 63] : UInt8(ascii: "="))
            }
        }
        return text
    }
}

/// RFC 3174. WebSocket's proof is made with it and needs none of the strength it lost.
enum SHA1 {
    static func digest(_ message: [UInt8]) -> [UInt8] {
        var padded = message + [0x80]
        while padded.count % 64 != 56 { padded.append(0) }
        let bits = UInt64(message.count) * 8
        padded += (0..<8).map { UInt8(truncatingIfNeeded: bits >> (56 - 8 * UInt64($0))) }
        var state: [UInt32] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0]
        for start in stride(from: 0, to: padded.count, by: 64) { mix(Array(padded[start..<start + 64]), into: &state) }
        return state.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * UInt32($0))) } }
    }

    private static func mix(_ block: [UInt8], into state: inout [UInt32]) {
        var words = (0..<16).map { index in (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(block[4 * index + $1]) } }
        for index in 16..<80 { words.append(rotate(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1)) }
        var (a, b, c, d, e) = (state[0], state[1], state[2], state[3], state[4])
        for index in 0..<80 {
            let (choice, constant): (UInt32, UInt32) =
                switch index {
                case ..<20: (b & c | ~b & d, 0x5a82_7999)
                case ..<40: (b ^ c ^ d, 0x6ed9_eba1)
                case ..<60: (b & c | b & d | c & d, 0x8f1b_bcdc)
                default: (b ^ c ^ d, 0xca62_c1d6)
                }
            let next = rotate(a, 5) &+ choice &+ e &+ constant &+ words[index]
            (a, b, c, d, e) = (next, a, rotate(b, 30), c, d)
        }
        for (index, value) in [a, b, c, d, e].enumerated() { state[index] &+= value }
    }

    private static func rotate(_ word: UInt32, _ count: UInt32) -> UInt32 { word << count | word >> (32 - count) }
}
