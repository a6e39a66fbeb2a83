import Buffers
import HTTP
import Reactor
import Telemetry
import Testing
import Upstream

/// What an origin can do wrong, what the exchange is told, and what is tried again.
@Suite struct Failures {
    private func fails(
        _ kind: ErrorKind, phase: ExchangePhase? = nil, retrySafe: Bool = false, _ adjust: (inout UpstreamSettings) -> Void = { _ in },
        sourceLocation: SourceLocation = #_sourceLocation, _ script: @escaping (OriginPeer) -> Void
    ) throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = script
        try world.serve(origin, adjust: adjust)
        let exchange = try world.run()
        #expect(exchange.failure?.kind == kind, sourceLocation: sourceLocation)
        #expect(phase == nil || exchange.failure?.phase == phase, sourceLocation: sourceLocation)
        #expect(exchange.failure?.retrySafe == retrySafe, sourceLocation: sourceLocation)
        #expect(exchange.failure?.note.hasPrefix("upstream test server 127.0.0.1:\(origin.port): ") == true, sourceLocation: sourceLocation)
        #expect(exchange.events.filter { $0.hasPrefix("failed") }.count == 1, sourceLocation: sourceLocation)
        #expect(world.set?.connectionCount == 0, sourceLocation: sourceLocation)
        try world.end(sourceLocation: sourceLocation)
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    ])
    func aMalformedHeadIsTheOriginsFault(answer: String) throws {
        try fails(.originProtocol, phase: .responseHead) { $0.send(answer) }
    }

    @Test func aHeadWithoutEndIsRefusedAtItsLimit() throws {
        try fails(.originProtocol, phase: .responseHead) { peer in
            peer.send("HTTP/1.1 200 OK\r\n")
            for _ in 0..<200 { peer.send("X-Filler: \(String(repeating: "a", count: 1000))\r\n") }
        }
    }

    @Test func aBrokenChunkEndsTheBodyAsAFailure() throws {
        try fails(.originProtocol, phase: .responseBody) {
            $0.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n")
        }
    }

    @Test(arguments: ["", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nX-A: 1\r\n"], [false, true])
    func breakingOffBeforeTheEndOfTheHeadIsAReset(answer: String, abrupt: Bool) throws {
        try fails(.reset, phase: .responseHead) { peer in
            peer.send(answer)
            peer.close(reset: abrupt)
        }
    }

    @Test(arguments: ["Content-Length: 1000\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"])
    func breakingOffInABodyOfWhichNobodyWasToldIsNoAnswerAtAll(answer: String) throws {
        try fails(.reset, phase: .responseHead) { peer in
            peer.send("HTTP/1.1 200 OK\r\n" + answer)
            peer.close()
        }
    }

    @Test func anAnswerThatIsCutAtOnceIsAskedForAgain() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { peer in
            if origin.requests.count > 1 { return peer.answer("whole") }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            peer.close()
        }
        try world.serve(origin) { $0.retry.conditions = .reset }
        let exchange = try world.run()
        #expect(exchange.text == "whole")
        #expect(origin.requests.count == 2)
        try world.end()
    }

    /// Its end does not matter then, as rude as it may be.
    @Test(arguments: ["Content-Length: 5\r\n\r\nwhole", "Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n", "\r\nwhole"])
    func aWholeAnswerBeforeTheEndIsTaken(answer: String) throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { peer in
            peer.send("HTTP/1.1 200 OK\r\n" + answer)
            peer.close()
        }
        try world.serve(origin)
        #expect(try world.run().text == "whole")
        try world.end()
    }

    @Test func aBodyCutByAResetIsNotTakenForItsEnd() throws {
        let world = try World()
        let origin = try world.origin()
        var peer: OriginPeer?
        origin.onRequest = {
            $0.send("HTTP/1.1 200 OK\r\n\r\nhalf")
            peer = $0
        }
        try world.serve(origin)
        let exchange = try world.start()
        try world.turn("half of it arrives") { exchange.text == "half" }
        peer?.close(reset: true)
        try world.turn("it fails") { exchange.isOver }
        #expect(exchange.failure?.kind == .reset)
        #expect(!exchange.responseBodyEnded)
        try world.end()
    }

    // MARK: Time

    @Test func anOriginThatDoesNotAnswerIsGivenUp() throws {
        try fails(.firstByteTimeout, phase: .responseHead, { $0.firstByteTimeout = 40 }) { _ in }
    }

    @Test func aHeadThatDripsIsGivenUp() throws {
        try fails(.idleTimeout, phase: .responseHead, { $0.idleTimeout = 40 }) { $0.send("HTTP/1.1 200 OK\r\nX-A:") }
    }

    @Test func aBodyThatStallsIsGivenUp() throws {
        try fails(.idleTimeout, phase: .responseBody, { $0.idleTimeout = 40 }) { $0.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf") }
    }

    @Test func anOriginThatTakesNoBytesIsGivenUp() throws {
        let world = try World()
        let origin = try world.origin()
        origin.acceptsReading = false
        try world.serve(origin) { $0.idleTimeout = 60 }
        let exchange = try world.run("PUT") { $0.setBody(pattern(16_000_000), pool: world.pool) }
        #expect(exchange.failure?.kind == .idleTimeout)
        #expect(exchange.failure?.phase == .requestBody)
        #expect(world.metrics[.timeoutsUpstreamIdle] == 1)
        exchange.reset()
        try world.end()
    }

    @Test func aSlowClientIsNotTheOriginsFault() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin) {
            $0.idleTimeout = 30
            $0.firstByteTimeout = 30
        }
        let exchange = try world.start("PUT") { $0.setBody([1], length: .known(2), ended: false, pool: world.pool) }
        let until = world.reactor.preciseNow + 150_000_000
        try world.turn("time passes") { world.reactor.preciseNow > until }
        #expect(exchange.failure == nil)
        exchange.requestBody.append(copying: [2].span, from: world.pool)
        exchange.requestBodyEnded = true
        exchange.originStream?.requestBodyArrived()
        try world.turn("it ends") { exchange.isOver }
        #expect(exchange.response.status == 200)
        try world.end()
    }

    // MARK: Connecting

    @Test func aRefusedConnectionIsReportedAsSafeToRepeat() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        origin.refuse()
        let exchange = try world.run("POST") { $0.setBody([1, 2, 3], pool: world.pool) }
        #expect(exchange.failure?.kind == .connect)
        #expect(exchange.failure?.phase == .connect)
        #expect(exchange.failure?.retrySafe == true)
        #expect(exchange.requestBody.byteCount == 3, "nothing was taken")
        #expect(world.metrics[.upstreamFailuresConnect] == 1)
        exchange.reset()
        try world.end()
    }

    /// A listener whose queue is full drops further attempts: nothing answers them.
    @Test func aConnectThatGetsNoAnswerEndsAtItsLimit() throws {
        let world = try World()
        let silent = try SilentListener()
        try world.serve([UpstreamSettings.Server(secure: false, host: "127.0.0.1", port: silent.port)]) { $0.connectTimeout = 60 }
        let exchange = try world.run()
        #expect(exchange.failure?.kind == .connectTimeout)
        #expect(exchange.failure?.retrySafe == true)
        #expect(world.metrics[.timeoutsUpstreamConnect] == 1)
        try world.end()
    }

    // MARK: Stale connections

    /// Closes each connection when the second request on it is complete.
    private func staleOrigin(_ world: World, answersSecond: String = "", abrupt: Bool) throws -> TestOrigin {
        let origin = try world.origin()
        origin.onRequest = { peer in
            if peer.served == 1 { return peer.answer("fine") }
            peer.send(answersSecond)
            peer.close(reset: abrupt)
        }
        try world.serve(origin)
        try world.run()
        return origin
    }

    @Test(arguments: [false, true])
    func anIdempotentRequestOnAStaleConnectionIsRepeatedOnce(abrupt: Bool) throws {
        let world = try World()
        let origin = try staleOrigin(world, abrupt: abrupt)
        let exchange = try world.run("GET", "/second")
        #expect(exchange.text == "fine")
        #expect(exchange.origin.attempts == 2)
        #expect(!exchange.origin.reusedConnection)
        #expect(origin.requests == ["GET /", "GET /second", "GET /second"])
        #expect(world.metrics[.upstreamRetries] == 1)
        try world.end()
    }

    @Test func aRequestThatMayHaveHadAnEffectIsNotRepeated() throws {
        let world = try World()
        let origin = try staleOrigin(world, abrupt: false)
        let exchange = try world.run("POST", "/second")
        #expect(exchange.failure?.kind == .reset)
        #expect(exchange.failure?.retrySafe == false)
        #expect(origin.requests.count == 2)
        try world.end()
    }

    @Test func aRequestWhoseBodyIsGoneIsNotRepeated() throws {
        let world = try World()
        let origin = try staleOrigin(world, abrupt: false)
        let exchange = try world.run("PUT", "/second") { $0.setBody([1, 2], pool: world.pool) }
        #expect(exchange.failure?.kind == .reset)
        #expect(origin.requests.count == 2)
        try world.end()
    }

    @Test func aRequestThatWasPartlyAnsweredIsNotRepeated() throws {
        let world = try World()
        let origin = try staleOrigin(world, answersSecond: "HTTP/1.1 2", abrupt: false)
        #expect(try world.run("GET", "/second").failure?.kind == .reset)
        #expect(origin.requests.count == 2)
        try world.end()
    }

    @Test func aFreshConnectionThatBreaksIsNotRetried() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.close() }
        try world.serve(origin)
        #expect(try world.run().failure?.kind == .reset)
        #expect(origin.requests.count == 1)
        try world.end()
    }

    /// The close is known to the kernel before the request is sent: nothing was sent, so anything may move on.
    @Test func aConnectionFoundClosedBeforeSendingCostsNotEvenAPost() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        try world.run()
        let exchange = TestExchange()
        exchange.prepare("POST", "/second")
        exchange.setBody(Array("once".utf8), pool: world.pool)
        // In one turn: the close arrives, then the request is sent at its end.
        origin.peers[0].close()
        world.set?.open(exchange, upstream: 0)
        try world.turn("it ends") { exchange.isOver }
        #expect(exchange.text == "fine")
        #expect(origin.requests == ["GET /", "POST /second"])
        #expect(origin.bodies.last == Array("once".utf8))
        #expect(world.metrics[.upstreamRetries] == 0)
        try world.end()
    }
}
