import Testing

@testable import TLS

@Suite struct FingerprintTests {
    private func block(_ bytes: [UInt8], _ width: Int) -> [UInt8] {
        (0..<width).reversed().map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
    }

    private func numbers(_ values: [UInt16]) -> [UInt8] { values.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] } }

    private func hello(ciphers: [UInt16], extensions: [(UInt16, [UInt8])]) -> [UInt8] {
        let list = extensions.flatMap { numbers([$0.0]) + block($0.1, 2) }
        let body = [3, 3] + [UInt8](repeating: 7, count: 32) + block([1, 2, 3], 1) + block(numbers(ciphers), 2) + block([0], 1) + block(list, 2)
        return [1] + block(body, 3)
    }

    /// Chrome's, as in the description of JA4: with GREASE, in another order.
    private var chrome: [UInt8] {
        let algorithms: [UInt16] = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]
        let empty: [UInt16] = [0x0005, 0x000a, 0x000b, 0x0012, 0x0015, 0x0017, 0x001b, 0x0023, 0x002d, 0x0033, 0x4469, 0xff01]
        return hello(
            ciphers: [0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035],
            extensions: [(0x8a8a, []), (0x0000, [0, 1])] + empty.shuffled().map { ($0, []) } + [
                (0x000d, block(numbers(algorithms), 2)), (0x0010, block(block(Array("h2".utf8), 1) + block(Array("http/1.1".utf8), 1), 2)),
                (0x002b, block(numbers([0xdada, 0x0304, 0x0303]), 1)),
            ])
    }

    @Test func `the example of the description has the fingerprint it says`() throws {
        let read = try #require(ClientHello(chrome))
        #expect(read.ja4 == "t13d1516h2_8daaf6152771_e5627efa2ab1")
    }

    @Test func `a hello without anything has zeros`() throws {
        let read = try #require(ClientHello(hello(ciphers: [], extensions: [])))
        #expect(read.ja4 == "t12i000000_000000000000_000000000000")
    }

    @Test func `a hello that ends anywhere is refused or read without harm`() {
        let whole = chrome
        for length in 0..<whole.count { _ = ClientHello(Array(whole.prefix(length))) }
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            var damaged = whole
            damaged[Int.random(in: 0..<damaged.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            _ = ClientHello(damaged)?.ja4
        }
        #expect(ClientHello([]) == nil)
    }

    /// As it stands in the socket, in records of `size` bytes.
    private func records(_ message: [UInt8], size: Int) -> [UInt8] {
        stride(from: 0, to: message.count, by: size).flatMap { start in
            [22, 3, 1] + block(Array(message[start..<min(start + size, message.count)]), 2)
        }
    }

    @Test(arguments: [16_384, 100, 7, 1])
    func `the fingerprint is known before TLS has the bytes, and not before they are whole`(size: Int) throws {
        let message = chrome
        let read = try #require(ClientHello(message))
        let bytes = records(message, size: size)
        for length in 0..<bytes.count { #expect(HandshakePreview.fingerprint(bytes[..<length]) == nil) }
        #expect(HandshakePreview.fingerprint(bytes[...]) == read.ja4)
        #expect(HandshakePreview.fingerprint((bytes + [22, 3, 3, 0, 1, 0])[...]) == read.ja4)
    }

    @Test(arguments: [[71, 69, 84, 32, 47, 32], [22, 3, 1, 0, 0, 0], [22, 3, 1, 0, 4, 2, 0, 0, 0], [22, 3, 1, 0, 4, 1, 255, 0, 0]] as [[UInt8]])
    func `what is no ClientHello has no fingerprint and is not waited for`(bytes: [UInt8]) {
        #expect(HandshakePreview.fingerprint(bytes[...]) == "")
    }

    @Test func `a handshake tells the server the client's fingerprint`() throws {
        let certificates = try TestCertificates.shared.get()
        var options = ClientOptions()
        options.trustedCertificates = certificates.authority
        let outcome = try TLSPair(try ServerContext([certificates.ecdsa]), try ClientContext(options)).shakeHands()
        let fingerprint = try #require(outcome.server?.fingerprint)
        #expect(fingerprint.hasPrefix("t13d"))
        #expect(fingerprint.utf8.count == 36)
        #expect(outcome.client?.fingerprint == "")
    }
}
