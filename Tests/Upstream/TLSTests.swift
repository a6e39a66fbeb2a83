import Buffers
import HTTP
import Reactor
import TLS
import Telemetry
import Testing
import Upstream

/// Origins behind TLS.
@Suite struct SecureOrigins {
    private func secure(_ origin: TestOrigin, host: String = "127.0.0.1") -> UpstreamSettings.Server {
        UpstreamSettings.Server(secure: true, host: host, port: origin.port)
    }

    @Test func aTrustedOriginServesManyExchangesOnOneConnection() throws {
        let world = try World()
        let context = try TLSContext()
        let origin = try world.origin(tls: context)
        try world.serve([secure(origin)]) {
            $0.tls.trustedCertificates = context.authority
            $0.serverName = "localhost"
        }
        for _ in 0..<5 { #expect(try world.run().text == "fine") }
        #expect(origin.accepted == 1)
        #expect(world.metrics[.upstreamConnectsTLS] == 1)
        #expect(world.metrics[.upstreamReuses] == 4)
        try world.end()
    }

    @Test func bodiesPassWholeInBothDirections() throws {
        let world = try World()
        let context = try TLSContext()
        let origin = try world.origin(tls: context)
        let body = pattern(1_000_000)
        origin.onRequest = { $0.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \($0.body.count)\r\n\r\n".utf8) + $0.body) }
        try world.serve([secure(origin)]) { $0.tls.trustedCertificates = context.authority }
        let exchange = try world.run("PUT") { $0.setBody(body, pool: world.pool) }
        #expect(same(exchange.received, body))
        try world.end()
    }

    @Test func anOriginThatNobodyVouchesForIsRefused() throws {
        let world = try World()
        let origin = try world.origin(tls: try TLSContext())
        try world.serve([secure(origin)])
        let exchange = try world.run()
        #expect(exchange.failure?.kind == .tls)
        #expect(exchange.failure?.retrySafe == true)
        #expect(world.metrics[.upstreamFailuresTLS] == 1)
        try world.end()
    }

    @Test func anOriginOfAnotherNameIsRefused() throws {
        let world = try World()
        let context = try TLSContext()
        let origin = try world.origin(tls: context)
        try world.serve([secure(origin)]) {
            $0.tls.trustedCertificates = context.authority
            $0.serverName = "other.test"
        }
        #expect(try world.run().failure?.kind == .tls)
        try world.end()
    }

    @Test func withoutVerificationAnyCertificateWillDo() throws {
        let world = try World()
        let origin = try world.origin(tls: try TLSContext())
        try world.serve([secure(origin)]) { $0.tls.verifiesPeer = false }
        #expect(try world.run().text == "fine")
        try world.end()
    }

    @Test func aHandshakeThatHangsEndsAtTheConnectLimit() throws {
        let world = try World()
        let origin = try world.origin()
        origin.acceptsReading = false
        try world.serve([secure(origin)]) { $0.connectTimeout = 60 }
        #expect(try world.run().failure?.kind == .connectTimeout)
        try world.end()
    }

    @Test func aPlainOriginIsNotMistakenForTLS() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onAccept = { $0.send("HTTP/1.1 400 Bad Request\r\n\r\n") }
        try world.serve([secure(origin)])
        #expect(try world.run().failure?.kind == .tls)
        try world.end()
    }

    @Test func aBodyCutWithoutCloseNotifyIsNotTakenForItsEnd() throws {
        let world = try World()
        let context = try TLSContext()
        let origin = try world.origin(tls: context)
        origin.onRequest = { peer in
            peer.send("HTTP/1.1 200 OK\r\n\r\nhalf")
            peer.close(reset: true)
        }
        try world.serve([secure(origin)]) { $0.tls.trustedCertificates = context.authority }
        #expect(try world.run().failure?.kind == .reset)
        try world.end()
    }
}
