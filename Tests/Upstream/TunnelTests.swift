import Buffers
import HTTP
import Reactor
import Telemetry
import Testing

@testable import Upstream

/// 101 and what follows it.
@Suite struct Tunnels {
    private func upgradingOrigin(_ world: World, first: String = "") throws -> TestOrigin {
        let origin = try world.origin()
        origin.onRequest = { peer in
            peer.tunnel = []
            peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + first)
        }
        return origin
    }

    private func upgrade(_ world: World, to protocols: StaticString = "websocket") throws -> TestExchange {
        try world.start("GET", "/socket") {
            $0.wantsUpgrade = true
            $0.request.add(.upgrade, protocols)
        }
    }

    private func say(_ text: String, _ exchange: TestExchange, _ world: World) {
        exchange.requestBody.append(copying: Array(text.utf8).span, from: world.pool)
        exchange.originStream?.requestBodyArrived()
    }

    @Test func bytesPassBothWaysUntilBothSidesEnd() throws {
        let world = try World()
        let origin = try upgradingOrigin(world, first: "hello ")
        try world.serve(origin)
        let exchange = try upgrade(world)
        try world.turn("the first bytes") { exchange.text == "hello " }
        #expect(exchange.events == ["upgraded"])
        #expect(origin.heads[0].contains("Connection: Upgrade"))
        #expect(!exchange.requestBodyEnded)
        say("ping", exchange, world)
        let peer = origin.peers[0]
        try world.turn("the ping") { peer.tunnel == Array("ping".utf8) }
        peer.send("pong")
        try world.turn("the pong") { exchange.text == "hello pong" }
        exchange.requestBodyEnded = true
        exchange.originStream?.requestBodyArrived()
        try world.turn("the origin sees the end") { peer.sawEnd }
        #expect(exchange.originStream != nil, "the origin may still speak")
        peer.send(" bye")
        try world.turn("the last words") { exchange.text == "hello pong bye" }
        peer.close()
        try world.turn("the end") { exchange.isOver }
        #expect(exchange.originStream == nil)
        #expect(world.set?.connectionCount == 0)
        try world.end()
    }

    @Test func theOriginMayEndFirst() throws {
        let world = try World()
        let origin = try upgradingOrigin(world)
        try world.serve(origin)
        let exchange = try upgrade(world)
        try world.turn("the upgrade") { exchange.events == ["upgraded"] }
        origin.peers[0].finishSending()
        try world.turn("the origin's end") { exchange.responseBodyEnded }
        say("still here", exchange, world)
        try world.turn("it is received") { origin.peers[0].tunnel == Array("still here".utf8) }
        exchange.requestBodyEnded = true
        exchange.originStream?.requestBodyArrived()
        try world.turn("the connection closes") { world.set?.connectionCount == 0 }
        #expect(exchange.originStream == nil)
        try world.end()
    }

    @Test func aSilentTunnelEndsAtTheIdleLimit() throws {
        let world = try World()
        let origin = try upgradingOrigin(world)
        try world.serve(origin) { $0.idleTimeout = 50 }
        let exchange = try upgrade(world)
        try world.turn("the end") { exchange.isOver }
        #expect(exchange.failure == nil)
        #expect(exchange.originStream == nil)
        try world.end()
    }

    @Test func aClientThatHasEndedItsSideDoesNotWaitForTheIdleLimit() throws {
        let world = try World()
        let origin = try upgradingOrigin(world)
        try world.serve(origin) { $0.halfClosedTimeout = 50 }
        let exchange = try upgrade(world)
        try world.turn("the upgrade") { exchange.events == ["upgraded"] }
        exchange.requestBodyEnded = true
        exchange.originStream?.requestBodyArrived()
        try world.turn("the end") { exchange.isOver }
        #expect(exchange.failure == nil && exchange.originStream == nil)
        #expect(world.metrics[.timeoutsHalfClosed] == 1)
        #expect(world.metrics[.timeoutsUpstreamIdle] == 0)
        try world.end()
    }

    @Test func anOriginThatStillSpeaksMovesThatLimitOn() throws {
        let world = try World()
        let origin = try upgradingOrigin(world)
        try world.serve(origin) { $0.halfClosedTimeout = 20_000 }
        let exchange = try upgrade(world)
        try world.turn("the upgrade") { exchange.events == ["upgraded"] }
        let before = try #require(exchange.originStream?.deadline)
        exchange.requestBodyEnded = true
        exchange.originStream?.requestBodyArrived()
        try world.turn("the origin sees the end") { origin.peers[0].sawEnd }
        let first = try #require(exchange.originStream?.deadline)
        #expect(first < before, "20 s and no more 60")
        try world.turn("time passes") { world.reactor.now > first - 20_000 }
        origin.peers[0].send("more")
        try world.turn("the origin's words") { exchange.text == "more" }
        let second = try #require(exchange.originStream?.deadline)
        #expect(second > first && second <= world.reactor.now + 20_000)
        origin.peers[0].close()
        try world.turn("the end") { exchange.isOver }
        try world.end()
    }

    @Test func theIdleLimitIsTheLongestSuchTime() throws {
        let world = try World()
        let origin = try upgradingOrigin(world)
        try world.serve(origin) {
            $0.idleTimeout = 50
            $0.halfClosedTimeout = 600_000
        }
        let exchange = try upgrade(world)
        try world.turn("the upgrade") { exchange.events == ["upgraded"] }
        exchange.requestBodyEnded = true
        exchange.originStream?.requestBodyArrived()
        try world.turn("the end") { exchange.isOver }
        try world.end()
    }

    @Test func aRefusedUpgradeIsAnOrdinaryResponse() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        let exchange = try upgrade(world)
        try world.turn("the answer") { exchange.isOver }
        #expect(exchange.response.status == 200)
        try world.run()
        #expect(origin.accepted == 1)
        try world.end()
    }

    @Test func anUpgradeToCleartextHTTP2IsNotPassedOn() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin)
        let exchange = try upgrade(world, to: "h2c")
        try world.turn("the answer") { exchange.isOver }
        #expect(!origin.heads[0].lowercased().contains("upgrade"))
        try world.end()
    }
}
