import Buffers
import Testing

@testable import TLS

private func server(_ sources: [CertificateSource], _ change: (inout ServerOptions) -> Void = { _ in }) throws -> ServerContext {
    var options = ServerOptions()
    change(&options)
    return try ServerContext(sources, options: options)
}

private func client(_ certificates: TestCertificates, _ change: (inout ClientOptions) -> Void = { _ in }) throws -> ClientContext {
    var options = ClientOptions()
    options.trustedCertificates = certificates.authority
    change(&options)
    return try ClientContext(options)
}

@Suite struct HandshakeTests {
    let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.shared.get() }

    @Test func bothSidesAgreeOnTLS13() throws {
        let pair = try TLSPair(try server([certificates.ecdsa]), try client(certificates))
        let outcome = pair.shakeHands()
        #expect(outcome.server?.version == "TLSv1.3")
        #expect(outcome.client?.cipher == "TLS_AES_128_GCM_SHA256")
        #expect(outcome.server?.serverName == "www.example.test")
        #expect(outcome.server?.alpn == "http/1.1")
        #expect(outcome.server?.resumed == false)
    }

    @Test func aClientThatOnlyKnowsTLS12IsServed() throws {
        let context = try client(certificates)
        context.setMaximumVersionTLS12()
        let outcome = try TLSPair(try server([certificates.ecdsa]), context).shakeHands()
        #expect(outcome.server?.version == "TLSv1.2")
        #expect(outcome.client?.version == "TLSv1.2")
    }

    @Test func aListenerForTLS13RefusesTLS12() throws {
        let context = try client(certificates)
        context.setMaximumVersionTLS12()
        let outcome = try TLSPair(try server([certificates.ecdsa]) { $0.minimumVersion = .tls13 }, context).shakeHands()
        #expect(outcome.server == nil)
        #expect(outcome.serverFailure.contains("unsupported protocol"))
        #expect(outcome.clientFailure.contains("alert protocol version"))
    }

    @Test func theServersFirstProtocolThatTheClientKnowsIsChosen() throws {
        let both = try client(certificates) { $0.alpn = ["http/1.1", "h2"] }
        let outcome = try TLSPair(try server([certificates.ecdsa]), both).shakeHands()
        #expect(outcome.client?.alpn == "h2")
        let foreign = try client(certificates) { $0.alpn = ["imap"] }
        #expect(try TLSPair(try server([certificates.ecdsa]), foreign).shakeHands().clientFailure.contains("no application protocol"))
    }

    @Test func theServerNameChoosesTheCertificate() throws {
        let context = try server([certificates.ecdsa, certificates.wildcard])
        let trusting = try client(certificates)
        for name in ["www.example.test", "example.test", "a.wild.test", "EXAMPLE.test"] {
            let outcome = try TLSPair(context, trusting, name: name).shakeHands()
            #expect(outcome.client != nil, "\(name): \(outcome.clientFailure)")
        }
        // Neither the bare domain nor two labels are covered: the first certificate answers, and does not fit.
        for name in ["wild.test", "a.b.wild.test", "other.test"] {
            let outcome = try TLSPair(context, trusting, name: name).shakeHands()
            #expect(outcome.clientFailure.contains("hostname mismatch"), "\(name): \(outcome.clientFailure)")
        }
    }

    @Test func anUnknownNameCanBeRefused() throws {
        let context = try server([certificates.ecdsa]) { $0.rejectsUnknownNames = true }
        let outcome = try TLSPair(context, try client(certificates), name: "other.test").shakeHands()
        #expect(outcome.clientFailure.contains("unrecognized name"))
    }

    @Test func certificateIndexTellsWhichNamesAnswerTogether() throws {
        let context = try server([certificates.ecdsa, certificates.rsa, certificates.wildcard])
        #expect(context.certificateIndex(for: "www.example.test") == context.certificateIndex(for: "Example.Test."))
        #expect(context.certificateIndex(for: "x.wild.test") != context.certificateIndex(for: "example.test"))
        #expect(context.certificateIndex(for: "nowhere.test") == nil)
    }

    @Test func aNameMayHaveAnECDSAAndAnRSACertificate() throws {
        let context = try server([certificates.ecdsa, certificates.rsa])
        let rsaOnly = try client(certificates)
        rsaOnly.setMaximumVersionTLS12()
        rsaOnly.setCiphers("ECDHE-RSA-AES128-GCM-SHA256")
        #expect(try TLSPair(context, rsaOnly).shakeHands().client?.cipher == "ECDHE-RSA-AES128-GCM-SHA256")
        let modern = try client(certificates)
        modern.setMaximumVersionTLS12()
        #expect(try TLSPair(context, modern).shakeHands().client?.cipher == "ECDHE-ECDSA-AES128-GCM-SHA256")
    }

    @Test func anUntrustedCertificateIsRefusedAndNamed() throws {
        let stranger = try ClientContext()
        let outcome = try TLSPair(try server([certificates.ecdsa]), stranger).shakeHands()
        #expect(outcome.client == nil)
        #expect(outcome.clientFailure.contains("certificate for www.example.test is not accepted"))
        var careless = ClientOptions()
        careless.verifiesPeer = false
        #expect(try TLSPair(try server([certificates.ecdsa]), try ClientContext(careless)).shakeHands().client != nil)
    }

    @Test func plainHTTPOnATLSPortIsNamed() throws {
        let pair = try TLSPair(try server([certificates.ecdsa]), try client(certificates))
        pair.writeRaw(Array("GET / HTTP/1.1\r\n\r\n".utf8))
        guard case .failed(let note) = pair.server.handshake() else { return #expect(Bool(false), "accepted") }
        #expect(note == "plain HTTP was sent to a TLS port")
    }

    @Test func aHugeClientHelloIsRefused() throws {
        let pair = try TLSPair(try server([certificates.ecdsa]), try client(certificates))
        // Handshake records of a ClientHello that claims 100,000 bytes.
        var first: [UInt8] = [1, 0x01, 0x86, 0xa0] + Array(repeating: 0, count: 16380)
        for _ in 0..<4 {
            pair.writeRaw([22, 3, 1, 0x40, 0x00] + first)
            first = Array(repeating: 0, count: 16384)
        }
        var result = pair.server.handshake()
        for _ in 0..<5 { if case .wantsRead = result { result = pair.server.handshake() } }
        guard case .failed(let note) = result else { return #expect(Bool(false), "accepted") }
        #expect(note == "the ClientHello is larger than its limit")
    }
}

@Suite struct TicketTests {
    let certificates: TestCertificates

    init() throws { certificates = try TestCertificates.shared.get() }

    private func key(_ seed: UInt8) throws -> TicketKey { try #require(TicketKey((0..<80).map { UInt8($0) ^ seed })) }

    /// One connection that lives long enough for the client to get its ticket.
    private func resumed(_ server: ServerContext, _ client: ClientContext) throws -> Bool? {
        let pair = try TLSPair(server, client)
        let outcome = pair.shakeHands()
        pair.serverOutput.append("hello")
        #expect(pair.download() == Array("hello".utf8))
        #expect(outcome.server?.resumed == outcome.client?.resumed)
        return outcome.server?.resumed
    }

    @Test(arguments: [false, true]) func aSessionResumesOnAnotherWorkerWithTheSameKeys(tls12: Bool) throws {
        let keys = [try key(1)]
        let first = try server([certificates.ecdsa]) { $0.ticketKeys = keys }
        let second = try server([certificates.ecdsa]) { $0.ticketKeys = keys }
        let visitor = try client(certificates)
        if tls12 { visitor.setMaximumVersionTLS12() }
        #expect(try resumed(first, visitor) == false)
        #expect(try resumed(second, visitor) == true)
    }

    @Test func aRotatedKeyStillOpensOldTicketsAndAForeignOneDoesNot() throws {
        let first = try key(1)
        let worker = try server([certificates.ecdsa]) { $0.ticketKeys = [first] }
        let visitor = try client(certificates)
        #expect(try resumed(worker, visitor) == false)
        worker.setTicketKeys([try key(2), try key(1)])
        #expect(try resumed(worker, visitor) == true)
        worker.setTicketKeys([try key(2)])
        #expect(try resumed(worker, visitor) == true, "the ticket was renewed with the new key")
        worker.setTicketKeys([try key(3)])
        #expect(try resumed(worker, visitor) == false)
    }

    /// A server that asks for certificates, and a client that shows one of 30 days.
    private func acquaintances(_ mode: ClientVerification.Mode, tls12: Bool) throws -> (ServerContext, ClientContext) {
        let keys = [try key(1)]
        let worker = try server([certificates.ecdsa]) {
            $0.ticketKeys = keys
            $0.clients = ClientVerification(mode: mode, authorities: certificates.authority, authoritiesName: "ca.pem")
        }
        let visitor = try client(certificates) { $0.certificate = certificates.rsa }
        if tls12 { visitor.setMaximumVersionTLS12() }
        return (worker, visitor)
    }

    private static let hour = 3600
    private static let life = 30 * 24 * hour

    @Test(arguments: [ClientVerification.Mode.optional, .required], [false, true])
    func aSessionEndsWithTheCertificatesOfItsClient(_ mode: ClientVerification.Mode, tls12: Bool) throws {
        let (worker, visitor) = try acquaintances(mode, tls12: tls12)
        worker.setClock(ahead: TicketTests.life - 2 * TicketTests.hour)
        #expect(try resumed(worker, visitor) == false)
        #expect(try resumed(worker, visitor) == true)
        worker.setClock(ahead: TicketTests.life - TicketTests.hour)
        #expect(try resumed(worker, visitor) == true, "an hour is left")
        worker.setClock(ahead: TicketTests.life + 1)
        #expect(try resumed(worker, visitor) == false, "the certificate has ended")
    }

    @Test(arguments: [false, true])
    func aSessionWithACertificateLastsTwelveHoursHoweverOftenItIsUsed(tls12: Bool) throws {
        let (worker, visitor) = try acquaintances(.required, tls12: tls12)
        #expect(try resumed(worker, visitor) == false)
        for hours in [5, 10, 11] {
            worker.setClock(ahead: hours * TicketTests.hour)
            #expect(try resumed(worker, visitor) == true, "after \(hours) hours")
        }
        worker.setClock(ahead: 12 * TicketTests.hour + 1)
        #expect(try resumed(worker, visitor) == false, "also by a ticket that is an hour old")
        #expect(try resumed(worker, visitor) == true, "the certificate was shown again")
    }

    @Test func aTicketKeyHasEightyBytes() {
        #expect(TicketKey([1, 2, 3]) == nil)
        #expect(TicketKey(Array(repeating: 0, count: 80)) != nil)
    }
}
