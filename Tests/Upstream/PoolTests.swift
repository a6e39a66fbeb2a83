import Buffers
import HTTP
import Reactor
import TLS
import Telemetry
import Testing
import Upstream

/// Which connection an exchange gets, and what becomes of it afterwards.
@Suite struct Pool {
    @Test func oneConnectionServesManyExchangesWithOneSendAndOneReceiveEach() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        let exchange = TestExchange()
        try world.run(in: exchange)
        let before = world.reactor.syscalls
        for number in 0..<20 {
            try world.run("GET", "/\(number)", in: exchange)
            #expect(exchange.response.status == 200)
            #expect(exchange.text == "fine")
            #expect(exchange.origin.reusedConnection)
        }
        #expect(origin.accepted == 1)
        #expect(world.metrics[.upstreamReuses] == 20)
        #expect(world.metrics[.upstreamConnectsPlain] == 1)
        #expect(world.reactor.syscalls.send - before.send == 20)
        #expect(world.reactor.syscalls.receive - before.receive == 20)
        #expect(world.metrics[.upstreamConnectionsIdle] == 1)
        #expect(world.pool.slabs.live == 0, "an idle connection holds no memory")
        try world.end()
    }

    @Test func aSmallBodyGoesOutTogetherWithItsHead() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        try world.run()
        let before = world.reactor.syscalls.send
        try world.run("POST", "/form") { $0.setBody(Array("a=1&b=2".utf8), pool: world.pool) }
        #expect(world.reactor.syscalls.send - before == 1)
        #expect(origin.bodies.last == Array("a=1&b=2".utf8))
        try world.end()
    }

    @Test func theMostRecentlyUsedIdleConnectionIsTakenFirst() throws {
        let world = try World()
        let origin = try world.origin()
        var held: [OriginPeer] = []
        origin.onRequest = { held.append($0) }
        try world.serve(origin)
        let exchanges = try (0..<3).map { try world.start("GET", "/\($0)") }
        try world.turn("three requests are held") { held.count == 3 }
        let last = held[1]
        for index in [0, 2, 1] {
            held[index].answer("done")
            try world.turn("one ends") { exchanges.filter(\.isOver).count == [0, 2, 1].firstIndex(of: index)! + 1 }
        }
        held = []
        try world.start()
        try world.turn("the next request") { held.count == 1 }
        #expect(held[0] === last)
        #expect(world.metrics[.upstreamConnectionsIdle] == 2)
        held[0].answer("done")
        world.settle()
        try world.end()
    }

    @Test func noMoreIdleConnectionsAreKeptThanAllowed() throws {
        let world = try World()
        let origin = try world.origin()
        var held: [OriginPeer] = []
        origin.onRequest = { held.append($0) }
        try world.serve(origin) { $0.keepAlive = 2 }
        let exchanges = try (0..<4).map { try world.start("GET", "/\($0)") }
        try world.turn("all are held") { held.count == 4 }
        for peer in held { peer.answer("done") }
        try world.turn("all end") { exchanges.allSatisfy(\.isOver) }
        #expect(world.metrics[.upstreamConnectionsIdle] == 2)
        #expect(world.set?.connectionCount == 2)
        try world.end()
    }

    @Test func anIdleConnectionIsClosedAfterItsTime() throws {
        let world = try World()
        try world.serve(try world.origin()) { $0.keepAliveTime = 20 }
        try world.run()
        #expect(world.metrics[.upstreamConnectionsIdle] == 1)
        try world.turn("the connection ages out") { world.set?.connectionCount == 0 }
        try world.end()
    }

    @Test func anIdleConnectionThatTheOriginClosesIsDropped() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        try world.run()
        origin.peers[0].close()
        try world.turn("the close is seen") { world.set?.connectionCount == 0 }
        try world.run()
        #expect(origin.accepted == 2)
        #expect(world.metrics[.upstreamRetries] == 0)
        try world.end()
    }

    @Test func anIdleConnectionOnWhichTheOriginSpeaksUnaskedIsDropped() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        try world.run()
        origin.peers[0].send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        try world.turn("it is dropped") { world.set?.connectionCount == 0 }
        #expect(try world.run().response.status == 200)
        try world.end()
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine",
        "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfineHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    ])
    func aConnectionWithAnyDoubtIsNotKept(answer: String) throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.send(answer) }
        try world.serve(origin)
        for _ in 0..<3 { #expect(try world.run().text == "fine") }
        #expect(origin.accepted == 3)
        #expect(world.metrics[.upstreamReuses] == 0)
        try world.end()
    }

    @Test func aCancelledExchangeClosesItsConnectionAndHearsNothing() throws {
        let world = try World()
        let origin = try world.origin()
        var held: [OriginPeer] = []
        origin.onRequest = { held.append($0) }
        try world.serve(origin)
        let exchange = try world.start()
        try world.turn("it is held") { held.count == 1 }
        exchange.cancelOrigin()
        #expect(world.set?.connectionCount == 0)
        held[0].answer("too late")
        world.settle()
        #expect(exchange.events.isEmpty)
        try world.end()
    }

    @Test func furtherExchangesWaitInOrderForAConnection() throws {
        let world = try World()
        let origin = try world.origin()
        var held: [OriginPeer] = []
        origin.onRequest = { held.append($0) }
        try world.serve(origin) { $0.maximumConnections = 1 }
        let exchanges = try (0..<4).map { try world.start("GET", "/\($0)") }
        exchanges[2].cancelOrigin()
        for number in [0, 1, 3] {
            try world.turn("request \(number)") { held.count == 1 }
            #expect(origin.requests.last == "GET /\(number)")
            held.removeFirst().answer("done")
            try world.turn("its answer") { exchanges[number].isOver }
        }
        #expect(origin.accepted == 1)
        #expect(exchanges[2].events.isEmpty)
        try world.end()
    }

    @Test func whoWaitsGetsANewConnectionWhenOneCloses() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.answer("fine", fields: "Connection: close\r\n") }
        try world.serve(origin) { $0.maximumConnections = 1 }
        let exchanges = try (0..<3).map { try world.start("GET", "/\($0)") }
        try world.turn("all end") { exchanges.allSatisfy(\.isOver) }
        #expect(exchanges.allSatisfy { $0.response.status == 200 })
        #expect(origin.accepted == 3)
        try world.end()
    }

    @Test func aFullQueueAndALongWaitAreRefusedAsOverload() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { _ in }
        try world.serve(origin) {
            $0.maximumConnections = 1
            $0.maximumWaiting = 1
            $0.connectTimeout = 50
        }
        let first = try world.start()
        let second = try world.start()
        let third = try world.start()
        try world.turn("the third is refused") { third.failure != nil }
        #expect(third.failure?.kind == .overloaded)
        #expect(second.failure == nil)
        try world.turn("the second waits long enough") { second.failure != nil }
        #expect(second.failure?.kind == .overloaded)
        #expect(second.failure?.kind.status == 503)
        #expect(second.failure?.retrySafe == true)
        #expect(world.metrics[.upstreamFailuresOverloaded] == 2)
        first.cancelOrigin()
        try world.end()
    }

    @Test func aRetiredSetClosesIdleConnectionsAndFinishesWhatRuns() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        let warm = try (0..<2).map { _ in try world.start() }
        try world.turn("two connections") { warm.allSatisfy(\.isOver) }
        var held: [OriginPeer] = []
        origin.onRequest = { held.append($0) }
        let running = try world.start()
        try world.turn("it runs") { held.count == 1 }
        world.set?.retire()
        #expect(world.set?.connectionCount == 1)
        held[0].answer("still fine")
        try world.turn("it ends") { running.isOver }
        #expect(running.text == "still fine")
        #expect(world.set?.connectionCount == 0)
        try world.end()
    }

    @Test func aNewSetAdoptsIdleConnectionsOfEqualServers() throws {
        let world = try World()
        let origin = try world.origin()
        let other = try world.origin()
        try world.serve(origin)
        try world.run()
        let old = try #require(world.set)
        try world.serve([world.plain(other), world.plain(origin)])
        world.set?.adoptIdle(from: old)
        old.retire()
        #expect(old.connectionCount == 0)
        #expect(world.set?.connectionCount == 1)
        try world.run()
        try world.run()
        #expect(origin.accepted == 1)
        #expect(world.metrics[.upstreamReuses] == 1)
        try world.end()
    }

    @Test func connectionsMadeWithOtherTrustAreNotAdopted() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        try world.run()
        let old = try #require(world.set)
        try world.serve(origin) { $0.tls.verifiesPeer = false }
        world.set?.adoptIdle(from: old)
        #expect(world.set?.connectionCount == 0)
        old.retire()
        try world.end()
    }
}
