import Buffers
import Glibc
import Reactor
@testable import TLS
import Testing

/// Where OpenSSL ends and records of our own begin, and where they end in their turn.
@Suite struct HandOverTests {
    let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.shared.get() }

    private func contexts(_ change: (inout ServerOptions) -> Void = { _ in }) throws -> (ServerContext, ClientContext) {
        var options = ClientOptions()
        options.trustedCertificates = certificates.authority
        var server = ServerOptions()
        server.usesKernel = false
        change(&server)
        return (try ServerContext([certificates.ecdsa], options: server), try ClientContext(options))
    }

    private func pair(forging: Bool = false, _ change: (inout ServerOptions) -> Void = { _ in }) throws -> TLSPair {
        let (server, client) = try contexts {
            $0.resumesSessions = !forging
            change(&$0)
        }
        let pair = try TLSPair(server, client)
        if forging { pair.client.forge() }
        let outcome = pair.shakeHands()
        #expect(outcome.server != nil && outcome.client != nil, "\(outcome)")
        return pair
    }

    // MARK: The beginning

    /// Two tickets, one and none went out with the keys that records of ours go on with.
    @Test(arguments: [false, true]) func ticketsAreCounted(resumes: Bool) throws {
        let (server, client) = try contexts { $0.resumesSessions = resumes }
        for round in 0..<3 {
            let pair = try TLSPair(server, client)
            let outcome = pair.shakeHands()
            #expect(pair.server.makesRecords)
            #expect(outcome.server?.resumed == (resumes && round > 0))
            pair.exchange(30_000)
        }
    }

    @Test func aSecondHelloChangesNothing() throws {
        // The client offers a key for X25519, so it is asked for another one (RFC 8446 section 4.1.4).
        let pair = try pair { $0.curves = "P-384" }
        #expect(pair.server.makesRecords)
        pair.exchange(30_000)
    }

    /// Every byte on its own, in both directions, from the first one on.
    @Test func bytesMayComeOneByOne() throws {
        let (server, client) = try contexts()
        let near = try SlowLine(), far = near.reactor
        let one = TLSTransport(server: server, fd: near.server, reactor: far)
        let other = TLSTransport(client: client, fd: near.client, serverName: "www.example.test", reactor: far)
        let pool = SlabPool()
        var input = ReadBuffer(pool: pool), output = OutputBuffer(pool: pool)
        var isOpen = (false, false)
        output.append(copying: pattern(5_000).span)
        for _ in 0..<200_000 where input.count < 5_000 {
            if !isOpen.0, case .done = one.handshake() { isOpen.0 = true }
            if !isOpen.1, case .done = other.handshake() { isOpen.1 = true }
            if isOpen.1 { _ = other.send(&output) }
            if isOpen.0 { _ = one.receive(into: &input) }
            near.move()
        }
        #expect(one.makesRecords)
        expectSame(input.bytes.array(), pattern(5_000))
    }

    @Test(arguments: [true, false]) func whoMakesRecordsIsTold(makes: Bool) throws {
        let (server, client) = try contexts { $0.makesRecords = makes }
        let pair = try TLSPair(server, client)
        let outcome = pair.shakeHands()
        #expect(outcome.server?.records == (makes ? .gateway : .openSSL))
        #expect(pair.server.makesRecords == makes)
        pair.exchange(100_000)
    }

    /// AES-GCM is good for so many records of one key and no more (RFC 8446 section 5.5).
    @Test func keysAreChangedBeforeTheyAreWornOut() throws {
        let pair = try pair(forging: true)
        let last: UInt64 = 1 << 23
        pair.server.sentRecords = last - 1
        pair.client.receivedRecords = last - 1
        for _ in 0..<3 { pair.exchange(1_000) }
        #expect(pair.server.sentRecords == 2)
        #expect(pair.client.receivedRecords == 2)
    }

    // MARK: The end

    /// Whoever has said that it ends has nothing more to say; what the other end sends still counts.
    @Test func keysMayChangeAfterOurEnd() throws {
        let pair = try pair()
        _ = pair.download()
        pair.server.finishSending()
        pair.client.updateKey(requesting: true)
        #expect(pair.server.receive(into: &pair.serverInput) == .wouldBlock)
        let sent = pattern(20_000)
        pair.clientOutput.append(copying: sent.span)
        expectSame(pair.upload(), sent)
        #expect(pair.client.receive(into: &pair.clientInput) == .endOfStream)
    }

    @Test func aFaultAfterOurEndIsOneAllTheSame() throws {
        let pair = try pair()
        _ = pair.download()
        pair.server.finishSending()
        pair.writeRaw([23, 3, 3, 0, 40] + Array(repeating: 7, count: 40))
        #expect(pair.server.receive(into: &pair.serverInput) == .failed(EPROTO))
        #expect(pair.server.failure.contains("bad record mac"), "\(pair.server.failure)")
    }

    /// RFC 8446 section 6.2: nothing is sent on a connection behind a fatal alert.
    @Test func nothingFollowsAnAlert() throws {
        let pair = try pair(forging: true)
        pair.client.sendRecord(23, [7])
        pair.writeRaw([23, 3, 3, 0, 40] + Array(repeating: 7, count: 40))
        guard case .moved(1, _) = pair.server.receive(into: &pair.serverInput) else { return #expect(Bool(false), "the byte before it counts") }
        pair.serverOutput.append("an answer")
        #expect(pair.server.send(&pair.serverOutput) == .failed(EPROTO))
        #expect(pair.server.failure.contains("bad record mac"), "\(pair.server.failure)")
        // The alert: header 5, alert 2, type 1, tag 16.
        #expect(pair.readRaw().count == 24)
    }

    @Test func anEndWithoutCloseNotifyIsACut() throws {
        let pair = try pair()
        // The tickets: what is unread would make the kernel reset the connection.
        _ = pair.readRaw()
        pair.writeRaw([23, 3, 3, 0])
        pair.cutClient()
        #expect(pair.server.receive(into: &pair.serverInput) == .wouldBlock)
        #expect(pair.server.receive(into: &pair.serverInput) == .failed(ECONNRESET))
        #expect(pair.server.failure.contains("without close_notify"))
    }

    @Test func anotherVersionIsNoRecord() throws {
        let pair = try pair()
        pair.writeRaw([23, 2, 3, 0, 40] + Array(repeating: 7, count: 40))
        #expect(pair.server.receive(into: &pair.serverInput) == .failed(EPROTO))
        #expect(pair.server.failure.contains("no record of TLS"), "\(pair.server.failure)")
    }
}

/// Two socket pairs with a hand between them that moves one byte at a time each way.
private final class SlowLine {
    let reactor: Reactor
    let server, client: Int32
    private let ends: [Int32]

    init() throws {
        reactor = try Reactor()
        let one = TLSPair.local(), other = TLSPair.local()
        (server, client) = (one[0], other[0])
        ends = [one[1], other[1]]
    }

    deinit { for fd in [server, client] + ends { close(fd) } }

    func move() {
        for (from, to) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            var byte: UInt8 = 0
            // SAFETY: one byte each.
            if unsafe read(from, &byte, 1) == 1 { _ = unsafe write(to, &byte, 1) }
        }
    }
}
