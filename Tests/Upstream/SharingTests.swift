import Buffers
import HTTP
import Reactor
import TLS
import Telemetry
import Testing

@testable import Upstream

/// What workers know of servers together. Two sets on one loop stand for two workers.
@Suite struct Sharing {
    private let check: HealthSettings = {
        var check = HealthSettings(kind: .http(path: "/healthz", statuses: [200...299]))
        check.every = 20
        check.timeout = 5_000
        check.failAfter = 1
        check.passAfter = 1
        return check
    }()

    /// Runs a request in one of the sets.
    private func ask(_ set: UpstreamSet, _ world: World) throws -> TestExchange {
        let exchange = TestExchange()
        exchange.prepare("GET", "/")
        set.open(exchange, upstream: 0)
        try world.turn("it ends") { exchange.isOver }
        return exchange
    }

    @Test func oneAsksAndTheOtherHears() throws {
        let world = try World()
        let region = try SharedRegion.create()
        let good = try world.origin()
        let sick = try world.origin()
        var isSick = true
        var asking: Set<ObjectIdentifier> = []
        for origin in [good, sick] {
            origin.onRequest = { peer in
                if origin.requests.last == "GET /healthz" { asking.insert(ObjectIdentifier(peer)) }
                peer.answer("x", status: origin === sick && isSick && origin.requests.last == "GET /healthz" ? "500 Sick" : "200 OK")
            }
        }
        let sets = try (0..<2).map { worker in
            try world.makeSet([world.plain(good), world.plain(sick)], board: HealthBoard(region: region, worker: worker)) { $0.health = check }
        }
        for set in sets { set.start() }
        try world.turn("it is found out, and asked a few times more") {
            world.metrics[.healthServersWentDown] == 1 && sick.requests.count { $0 == "GET /healthz" } >= 4
        }
        #expect(asking.count == 2, "one connection to each server: the other worker asks neither")
        for set in sets { set.tick() }
        for set in sets { for _ in 0..<4 { #expect(try ask(set, world).origin.server == 0) } }
        isSick = false
        try world.turn("it is back") { world.metrics[.healthServersCameUp] == 1 }
        for set in sets { set.tick() }
        for set in sets {
            let served = try (0..<4).map { _ in try ask(set, world).origin.server }
            #expect(Set(served) == [0, 1])
        }
        for set in sets { set.retire() }
        try world.end()
    }

    @Test func anEjectionHoldsForAll() throws {
        let world = try World()
        let region = try SharedRegion.create()
        let good = try world.origin()
        let failing = try world.origin()
        failing.onRequest = { $0.answer("no", status: "503 No") }
        let sets = try (0..<2).map { worker in
            try world.makeSet([world.plain(good), world.plain(failing)], board: HealthBoard(region: region, worker: worker)) {
                $0.ejection.failures = 2
                $0.ejection.time = 600_000
            }
        }
        while world.metrics[.upstreamEjections] == 0 { _ = try ask(sets[0], world) }
        sets[1].tick()
        for _ in 0..<6 { #expect(try ask(sets[1], world).origin.server == 0) }
        #expect(world.metrics[.upstreamEjections] == 1, "who hears of it does not count it")
        for set in sets { set.retire() }
        try world.end()
    }

    @Test func aBoardThatIsFullLeavesEachToItself() throws {
        let region = try SharedRegion.create()
        let boards = (0..<2).map { HealthBoard(region: region, worker: $0) }
        // Keys that all want the same few places.
        let keys = (1...100).map { UInt64($0) * UInt64(HealthBoard.capacity) }
        let first = keys.map { boards[0].entry(key: $0, now: 1_000) }
        let second = keys.map { boards[1].entry(key: $0, now: 1_000) }
        for entry in first { #expect(entry.claim(now: 1_000, until: 2_000)) }
        let taken = second.count { !$0.claim(now: 1_000, until: 2_000) }
        #expect(taken == 64, "those that found a place are known to both")
        #expect(second[0].claim(now: 2_001, until: 3_000), "a right that was not renewed goes to whoever asks first")
        first[0].tell(isDown: true)
        #expect(second[0].verdict(now: 2_001) == .unknown, "and who had it has nothing to say any more")
        second[0].tell(isDown: true)
        #expect(first[0].verdict(now: 2_001) == .down)
        let later: UInt64 = 1_000_000
        let heir = boards[0].entry(key: 77 * 101 * UInt64(HealthBoard.capacity), now: later)
        #expect(heir.verdict(now: later) == .unknown, "places that nobody used for long are given away clean")
        #expect(heir.ejectedUntil == 0)
    }
}

/// A worker that is short of memory.
@Suite struct Shortage {
    @Test func lessIsHeldForASlowClient() throws {
        let world = try World()
        let origin = try world.origin()
        let body = pattern(1_000_000)
        origin.onRequest = { $0.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body) }
        try world.serve(origin)
        world.pool.heldAtMost = 32 << 10
        let exchange = try world.start { $0.takesBody = false }
        try world.turn("some of it is here") { exchange.responseBody.byteCount >= 32 << 10 }
        world.settle()
        #expect(exchange.mostWaiting <= (32 + 64) << 10, "what was read when there was still room, and no more")
        world.pool.heldAtMost = .max
        exchange.takesBody = true
        exchange.take()
        try world.turn("it ends") { exchange.isOver }
        #expect(same(exchange.received, body), "and it goes on where there is room")
        try world.end()
    }
}

/// Connections that are opened ahead of need.
@Suite struct Warmth {
    @Test func aRequestFindsTLSBehindIt() throws {
        let world = try World()
        let context = try TLSContext()
        let origin = try world.origin(tls: context)
        try world.serve([UpstreamSettings.Server(secure: true, host: "127.0.0.1", port: origin.port)]) {
            $0.tls.trustedCertificates = context.authority
            $0.warm = 2
        }
        world.set?.start()
        try world.turn("two are open") { world.metrics[.upstreamConnectionsIdle] == 2 }
        #expect(origin.requests.isEmpty)
        #expect(try world.run().origin.reusedConnection)
        #expect(world.metrics[.upstreamConnectsTLS] == 2)
        try world.end()
    }

    @Test func aBurstIsMadeUpFor() throws {
        let world = try World()
        let origin = try world.origin()
        var held: [OriginPeer] = []
        origin.onRequest = { held.append($0) }
        try world.serve(origin) { $0.warm = 3 }
        world.set?.start()
        try world.turn("three are open") { world.metrics[.upstreamConnectionsIdle] == 3 }
        let exchanges = try (0..<3).map { try world.start("GET", "/\($0)") }
        try world.turn("all are taken") { held.count == 3 }
        world.set?.tick()
        try world.turn("three more are open") { world.metrics[.upstreamConnectionsIdle] == 3 }
        #expect(world.metrics[.upstreamWarmUps] == 6)
        for peer in held { peer.answer("done") }
        try world.turn("they end") { exchanges.allSatisfy(\.isOver) }
        world.set?.tick()
        #expect(world.metrics[.upstreamWarmUps] == 6, "six are enough")
        try world.end()
    }

    @Test func aServerThatClosesThemUnusedIsNotAskedAgainAtOnce() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin) { $0.warm = 1 }
        world.set?.start()
        try world.turn("one is open") { world.metrics[.upstreamConnectionsIdle] == 1 }
        origin.peers.last?.close()
        try world.turn("it is closed") { world.metrics[.upstreamConnectionsIdle] == 0 }
        world.set?.tick()
        world.settle()
        #expect(world.metrics[.upstreamWarmUps] == 1)
        try world.end()
    }
}
