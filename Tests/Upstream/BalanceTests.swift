import Buffers
import HTTP
import Reactor
import Telemetry
import Testing
import Upstream

/// Which server an exchange goes to, and what happens to servers that fail.
@Suite struct Balance {
    @Test func roundRobinIsEven() throws {
        let world = try World()
        let origins = try (0..<3).map { _ in try world.origin() }
        try world.serve(origins.map { world.plain($0) })
        for _ in 0..<12 { try world.run() }
        #expect(origins.map(\.requests.count) == [4, 4, 4])
        try world.end()
    }

    @Test func weightsAreKeptAndInterleaved() throws {
        let world = try World()
        let heavy = try world.origin()
        let light = try world.origin()
        var servers = [world.plain(heavy), world.plain(light)]
        servers[0].weight = 3
        try world.serve(servers)
        var order: [Int] = []
        for _ in 0..<8 { order.append(try world.run().origin.server) }
        #expect(order == [0, 0, 1, 0, 0, 0, 1, 0])
        try world.end()
    }

    @Test func leastRequestsAvoidsABusyServer() throws {
        let world = try World()
        let busy = try world.origin()
        let free = try world.origin()
        busy.onRequest = { _ in }
        try world.serve([world.plain(busy), world.plain(free)]) { $0.balance = .leastRequests }
        var held: [TestExchange] = []
        for _ in 0..<200 {
            let exchange = try world.start()
            try world.turn("it ends or is held") { exchange.isOver || busy.requests.count > held.count }
            if !exchange.isOver { held.append(exchange) }
        }
        // Only when both draws fall on the busy one is it taken again: a quarter.
        #expect(held.count > 10 && held.count < 90)
        for exchange in held { exchange.cancelOrigin() }
        try world.end()
    }

    @Test func randomReachesAllServers() throws {
        let world = try World()
        let origins = try (0..<3).map { _ in try world.origin() }
        try world.serve(origins.map { world.plain($0) }) { $0.balance = .random }
        for _ in 0..<60 { try world.run() }
        #expect(origins.allSatisfy { $0.requests.count > 3 })
        try world.end()
    }

    @Test func aRefusedConnectionIsTriedOnTheNextServer() throws {
        let world = try World()
        let gone = try world.origin()
        let good = try world.origin()
        try world.serve(gone, good)
        gone.refuse()
        for _ in 0..<10 {
            let exchange = try world.run("POST") { $0.setBody([7], pool: world.pool) }
            #expect(exchange.response.status == 200)
            #expect(exchange.origin.server == 1)
        }
        #expect(world.metrics[.upstreamRetries] >= 1)
        #expect(world.metrics[.upstreamFailuresConnect] < 10, "a server that refused is passed over for a while")
        try world.end()
    }

    @Test func onlyOneOtherServerIsTried() throws {
        let world = try World()
        let origins = try (0..<3).map { _ in try world.origin() }
        try world.serve(origins.map { world.plain($0) })
        for origin in origins { origin.refuse() }
        let exchange = try world.run()
        #expect(exchange.failure?.kind == .connect)
        #expect(exchange.origin.attempts == 2)
        try world.end()
    }

    @Test func whenAllServersAreOutTheyAreTriedAnyway() throws {
        let world = try World()
        let first = try world.origin()
        let second = try world.origin()
        try world.serve(first, second)
        let ports = (first.port, second.port)
        first.refuse()
        second.refuse()
        #expect(try world.run().failure?.kind == .connect)
        let back = try world.origin(port: ports.1)
        #expect(try world.run().response.status == 200)
        #expect(back.requests.count == 1)
        try world.end()
    }

    @Test func aServerThatComesBackIsUsedAgain() throws {
        let world = try World()
        let good = try world.origin()
        let flapping = try world.origin()
        try world.serve(flapping, good)
        let port = flapping.port
        flapping.refuse()
        for _ in 0..<4 { try world.run() }
        #expect(good.requests.count == 4)
        let back = try world.origin(port: port)
        var asked = 0
        try world.turn("it serves again") {
            guard back.requests.isEmpty else { return true }
            asked += 1
            let exchange = try? world.run()
            return exchange?.origin.server == 0
        }
        #expect(asked > 0)
        try world.end()
    }

    // MARK: Names

    @Test func aNameIsResolvedOffTheLoopAndKept() throws {
        let world = try World(resolver: true)
        let origin = try world.origin()
        try world.serve([world.plain(origin, host: "localhost")]) { $0.connectTimeout = 5_000 }
        for _ in 0..<3 { #expect(try world.run().response.status == 200) }
        try world.end()
    }

    /// `localhost` has two addresses where the machine has IPv6; the origin listens on one of them only.
    @Test(arguments: ["127.0.0.1", "::1"])
    func allAddressesOfANameAreTried(address: String) throws {
        let world = try World(resolver: true)
        guard let origin = try? world.origin(address: address) else { return }
        try world.serve([world.plain(origin, host: "localhost")]) { $0.connectTimeout = 5_000 }
        let exchange = try world.run()
        // A machine whose `localhost` is IPv4 alone cannot reach the other.
        if address == "127.0.0.1" || exchange.failure == nil { #expect(exchange.response.status == 200) }
        try world.end()
    }

    @Test func aNameThatDoesNotResolveFailsItsRequestsOnly() throws {
        let world = try World(resolver: true)
        let good = try world.origin()
        try world.serve([UpstreamSettings.Server(secure: false, host: "no-such-host.invalid", port: 80)]) { $0.connectTimeout = 5_000 }
        let exchange = try world.run()
        #expect(exchange.failure?.kind == .dns)
        #expect(exchange.failure?.note.contains("no-such-host.invalid") == true)
        #expect(try world.run().failure?.kind == .dns)
        #expect(world.metrics[.upstreamFailuresResolve] == 2)
        try world.serve([
            UpstreamSettings.Server(secure: false, host: "no-such-host.invalid", port: 80), world.plain(good),
        ]) { $0.connectTimeout = 5_000 }
        for _ in 0..<3 { #expect(try world.run().response.status == 200) }
        try world.end()
    }
}
