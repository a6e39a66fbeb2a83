import Buffers
import Glibc
import Reactor
@testable import TLS
import Testing

/// Records of our own (RFC 8446 section 5), with OpenSSL at the other end, or with a client that forges them.
@Suite struct RecordTests {
    let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.shared.get() }

    private func pair(forging: Bool = false, name: String = "www.example.test", _ change: (ClientContext) -> Void = { _ in }) throws -> TLSPair {
        var options = ClientOptions()
        options.trustedCertificates = certificates.authority
        let client = try ClientContext(options)
        change(client)
        var server = ServerOptions()
        server.usesKernel = false
        server.resumesSessions = !forging
        let pair = try TLSPair(try ServerContext([certificates.ecdsa], options: server), client, name: name)
        if forging { pair.client.forge() }
        let outcome = pair.shakeHands()
        #expect(outcome.server != nil && outcome.client != nil, "\(outcome)")
        #expect(pair.client.makesRecords == forging)
        return pair
    }

    @Test func serversOfTLS13MakeTheirRecords() throws {
        #expect(try pair().server.makesRecords)
        let old = try pair { $0.setMaximumVersionTLS12() }
        #expect(!old.server.makesRecords)
        old.exchange(100_000)
    }

    @Test(arguments: ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
    func everySuite(name: String) throws {
        let pair = try pair { $0.setSuites(name) }
        #expect(pair.server.makesRecords)
        for count in [1, 16_383, 16_384, 16_385, 300_000] { pair.exchange(count) }
    }

    @Test func paddingIsTakenOff() throws {
        let pair = try pair { $0.setPadding(512) }
        for count in [1, 511, 512, 20_000] { pair.exchange(count) }
    }

    @Test func whatHasNoPlaceComesWithTheNextCall() throws {
        let pair = try pair()
        let sent = pattern(16_384)
        pair.clientOutput.append(copying: sent.span)
        // Two thousand bytes are left free behind what is unread, and the record holds sixteen thousand.
        // SAFETY: within the room.
        unsafe pair.serverInput.withFreeSpace { free in
            let count = free.count - 2_048
            unsafe free.prefix(count).initializeMemory(as: UInt8.self, repeating: 1)
            return count
        }
        let before = pair.serverInput.count
        _ = pair.client.send(&pair.clientOutput)
        #expect(pair.server.receive(into: &pair.serverInput) == .moved(2_048, drained: false))
        pair.serverInput.consume(before)
        var received = pair.serverInput.bytes.array()
        pair.serverInput.consume(2_048)
        received += pair.upload()
        expectSame(received, sent)
    }

    @Test func keysChangeInBothDirections() throws {
        let pair = try pair()
        for _ in 0..<5 {
            pair.client.updateKey(requesting: true)
            pair.exchange(40_000)
            pair.server.updateKey()
            pair.exchange(40_000)
        }
    }

    @Test func aHeapOfKeyUpdatesIsNotWorkedThrough() throws {
        let pair = try pair()
        for _ in 0..<70 { pair.client.updateKey() }
        expectRefusal(pair, "too many handshake messages")
    }

    @Test func aKeyUpdateMayComeInPieces() throws {
        let pair = try pair(forging: true)
        pair.client.sendRecord(22, [24, 0, 0])
        #expect(pair.server.receive(into: &pair.serverInput) == .wouldBlock)
        // What asks for nothing changes the client's keys only; these two ends part here, which is what the next record shows.
        pair.client.sendRecord(22, [1, 0])
        #expect(pair.server.receive(into: &pair.serverInput) == .wouldBlock)
        pair.client.sendRecord(23, [1])
        expectRefusal(pair, "bad record mac")
    }

    @Test(arguments: [
        (22, [24, 0, 0, 1, 2], "asks for something unknown"), (22, [24, 0, 0, 2, 0], "another length"),
        (22, [24, 0, 0, 1, 0, 24], "bytes behind a KeyUpdate"), (22, [1, 0, 0, 0], "no KeyUpdate"), (22, [13, 0, 0, 0], "no KeyUpdate"),
        (22, [], "no place here"), (20, [1], "no place here"), (24, [1], "no place here"), (0, [], "without a type"), (0, [0, 0], "without a type"),
        (21, [2], "another length"), (21, [2, 40, 2, 40], "another length"), (21, [2, 40], "sent an alert"), (21, [1, 41], "sent an alert"),
    ] as [(Int, [UInt8], String)])
    func whatHasNoPlaceEndsTheConnection(type: Int, bytes: [UInt8], note: String) throws {
        let pair = try pair(forging: true)
        pair.client.sendRecord(23, [7])
        #expect(pair.server.receive(into: &pair.serverInput) == .moved(1, drained: true))
        pair.client.sendRecord(Int32(type), bytes)
        expectRefusal(pair, note)
    }

    @Test func dataInTheMiddleOfAMessageEndsTheConnection() throws {
        let pair = try pair(forging: true)
        pair.client.sendRecord(22, [24])
        pair.client.sendRecord(23, [7])
        expectRefusal(pair, "in the middle of a KeyUpdate")
    }

    @Test func emptyRecordsAreBounded() throws {
        let pair = try pair(forging: true)
        for _ in 0..<32 { pair.client.sendRecord(23, []) }
        pair.client.sendRecord(23, [7])
        #expect(pair.server.receive(into: &pair.serverInput) == .moved(1, drained: true))
        for _ in 0..<33 { pair.client.sendRecord(23, []) }
        expectRefusal(pair, "too many empty records")
    }

    @Test func aCanceledMessageIsNoEndAndCloseNotifyIs() throws {
        let pair = try pair(forging: true)
        pair.client.sendRecord(21, [1, 90])
        pair.client.sendRecord(23, [7])
        #expect(pair.server.receive(into: &pair.serverInput) == .moved(1, drained: true))
        pair.client.sendRecord(21, [1, 0])
        pair.client.sendRecord(23, [7])
        #expect(pair.server.receive(into: &pair.serverInput) == .endOfStream)
        #expect(pair.server.receive(into: &pair.serverInput) == .endOfStream)
    }

    @Test(arguments: [
        ([21, 3, 3, 0, 2, 1, 0], "not encrypted"), ([20, 3, 3, 0, 1, 1], "not encrypted"), (Array("GET / HTTP/1.1\r\n".utf8), "not encrypted"),
        ([23, 3, 3, 0x41, 1], "longer than any"), ([23, 3, 3, 0, 0], "bad record mac"), ([23, 3, 3, 0, 16] + Array(repeating: 0, count: 16), "too short"),
    ] as [([UInt8], String)])
    func whatIsNoRecordEndsTheConnection(bytes: [UInt8], note: String) throws {
        let pair = try pair()
        pair.writeRaw(bytes)
        #expect(pair.server.receive(into: &pair.serverInput) == .failed(EPROTO))
        let asExpected = pair.server.failure.contains(note) || pair.server.failure.contains("too short")
        #expect(asExpected, "\(pair.server.failure)")
    }

    /// The client's Finished and its first request often come in one piece: OpenSSL must not keep the latter.
    @Test func aRequestBehindTheHandshakeIsNotLost() throws {
        var options = ClientOptions()
        options.trustedCertificates = certificates.authority
        let pair = try TLSPair(try ServerContext([certificates.ecdsa]), try ClientContext(options))
        var done = false
        while !done {
            if case .done = pair.client.handshake() { done = true }
            if !done { _ = pair.server.handshake() }
        }
        let sent = pattern(40_000)
        pair.clientOutput.append(copying: sent.span)
        _ = pair.client.send(&pair.clientOutput)
        guard case .done = pair.server.handshake() else { return #expect(Bool(false), "\(pair.server.failure)") }
        #expect(pair.server.makesRecords)
        expectSame(pair.upload(), sent)
    }

    private func expectRefusal(_ pair: TLSPair, _ note: String, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(pair.server.receive(into: &pair.serverInput) == .failed(EPROTO), sourceLocation: sourceLocation)
        #expect(pair.server.failure.contains(note), "\(pair.server.failure)", sourceLocation: sourceLocation)
        #expect(pair.server.send(&pair.serverOutput) == .failed(EPROTO), sourceLocation: sourceLocation)
    }
}
