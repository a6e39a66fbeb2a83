@testable import TLS
import Testing

/// Secrets of TLS 1.3 as our provider derives them, beside OpenSSL's own (RFC 8446 section 7.1).
@Suite struct DerivationTests {
    static let label = Array("s ap traffic".utf8)
    static let prefix = Array("tls13 ".utf8)

    private static func bytes(_ count: Int, _ seed: UInt8 = 1) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37) &+ seed } }

    private func compare(_ derivation: Derivation, _ count: Int, sourceLocation: SourceLocation = #_sourceLocation) -> Bool {
        let original = derivation(original: true, count: count)
        #expect(derivation(original: false, count: count) == original, "\(derivation), \(count)", sourceLocation: sourceLocation)
        return original != nil
    }

    /// The sample handshake of RFC 8448 section 3: early, derived and handshake secret.
    @Test func theSampleHandshake() throws {
        func hexadecimal(_ text: String) -> [UInt8] {
            let digits = Array(text.utf8)
            return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16) ?? 0 }
        }
        let early = Derivation(mode: 1, digest: "SHA2-256", pieces: [nil, nil, Self.prefix, Array("derived".utf8), nil])
        let secret = try #require(early(original: false, count: 32))
        #expect(secret == hexadecimal("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"))
        let shared = hexadecimal("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d")
        let handshake = Derivation(mode: 1, digest: "SHA2-256", pieces: [shared, secret, Self.prefix, Array("derived".utf8), nil])
        #expect(handshake(original: false, count: 32) == hexadecimal("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"))
    }

    @Test(arguments: ["SHA2-256", "SHA2-384", "SHA256", "SHA384", "SHA2-512", "MD5"])
    func expandsAsOpenSSLDoes(digest: String) {
        var derived = 0
        for key in [nil, 0, 1, 32, 48, 64, 65, 128, 129, 300] as [Int?] {
            for (label, data) in [(0, nil), (3, nil), (12, 0), (12, 32), (12, 48), (12, 64), (200, 48), (249, 64), (250, 64)] as [(Int, Int?)] {
                for count in [1, 12, 16, 32, 48, 64, 100] {
                    let derivation = Derivation(
                        mode: 2, digest: digest,
                        pieces: [key.map { Self.bytes($0) }, nil, Self.prefix, Self.bytes(label, 2), data.map { Self.bytes($0, 3) }])
                    if compare(derivation, count) { derived += 1 }
                }
            }
        }
        #expect(derived > 0)
    }

    /// A salt is never shorter than the hash: OpenSSL reads as many bytes of it.
    @Test(arguments: [("SHA2-256", 32), ("SHA2-384", 48), ("SHA2-512", 64)])
    func extractsAsOpenSSLDoes(digest: String, size: Int) {
        var derived = 0
        for input in [nil, 0, 1, 32, 48, 66, 200] as [Int?] {
            for salt in [nil, size, size + 16] as [Int?] {
                for count in [16, 32, 48, 64] {
                    let derivation = Derivation(
                        mode: 1, digest: digest,
                        pieces: [input.map { Self.bytes($0) }, salt.map { Self.bytes($0, 2) }, Self.prefix, Array("derived".utf8), nil])
                    if compare(derivation, count) { derived += 1 }
                }
            }
        }
        #expect(derived > 0)
    }

    @Test func leavesWhatItDoesNotKnowToOpenSSL() {
        for mode in [-1, 0, 3] as [Int32] {
            _ = compare(Derivation(mode: mode, digest: "SHA2-256", pieces: [Self.bytes(32), nil, Self.prefix, Self.label, nil]), 32)
        }
        for prefix in [nil, Array("dtls13".utf8), Array("tls13".utf8), []] as [[UInt8]?] {
            _ = compare(Derivation(mode: 2, digest: "SHA2-256", pieces: [Self.bytes(32), nil, prefix, Self.label, Self.bytes(32)]), 32)
        }
        _ = compare(Derivation(mode: 2, digest: "SHA2-256", pieces: [Self.bytes(32), nil, Self.prefix, nil, nil]), 32)
    }
}
