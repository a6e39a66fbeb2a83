import Buffers
import HTTP
import Reactor
import Telemetry
import Testing

@testable import Upstream

/// Which servers are left out, and when they come back.
@Suite struct Health {
    private let check = HealthSettings(kind: .connect)

    @Test func threeFailuresTakeAServerOutAndTwoSuccessesBringItBack() {
        let health = ServerHealth()
        #expect(health.checked(passed: true, check, now: 1) == .none)
        #expect(health.checked(passed: false, check, now: 2) == .none)
        #expect(health.checked(passed: false, check, now: 3) == .none)
        #expect(health.isAvailable(3))
        #expect(health.checked(passed: false, check, now: 4) == .wentDown)
        #expect(!health.isAvailable(4))
        #expect(health.checked(passed: true, check, now: 5) == .none)
        #expect(health.checked(passed: false, check, now: 6) == .none)
        #expect(health.checked(passed: true, check, now: 7) == .none)
        #expect(health.checked(passed: true, check, now: 8) == .cameUp)
        #expect(health.upSince == 8)
    }

    @Test func theFirstCheckOfAllDecidesAlone() {
        let health = ServerHealth()
        #expect(health.checked(passed: false, check, now: 1) == .wentDown)
    }

    @Test func ejectionsGrowWhileAServerKeepsFailing() {
        let health = ServerHealth()
        let settings = EjectionSettings()
        for _ in 0..<4 { #expect(!health.failed(settings)) }
        #expect(health.failed(settings))
        health.eject(settings, now: 1_000)
        #expect(health.ejectedUntil == 11_000)
        for _ in 0..<5 { _ = health.failed(settings) }
        health.eject(settings, now: 20_000)
        #expect(health.ejectedUntil == 40_000)
    }

    @Test func ejectionsAreForgottenByTimeInService() {
        let health = ServerHealth()
        let settings = EjectionSettings()
        health.eject(settings, now: 0)
        health.eject(settings, now: 10_000)
        #expect(health.ejectedUntil == 30_000)
        health.eject(settings, now: 40_000)
        #expect(health.ejectedUntil == 60_000, "one of two is forgotten")
        health.eject(settings, now: 1_000_000)
        #expect(health.ejectedUntil == 1_010_000)
    }

    @Test func aConnectionEndsAPauseAndNoEjection() {
        let health = ServerHealth()
        health.connectFailed(now: 0)
        #expect(!health.isAvailable(0))
        health.connected()
        #expect(health.isAvailable(0))
        health.eject(EjectionSettings(), now: 0)
        health.connected()
        #expect(!health.isAvailable(9_999) && health.isAvailable(10_000))
    }

    private func http(_ every: UInt64 = 20) -> HealthSettings {
        var check = HealthSettings(kind: .http(path: "/healthz", statuses: [200...299]))
        check.every = every
        check.timeout = 2_000
        check.failAfter = 2
        check.passAfter = 2
        return check
    }

    @Test func aServerThatFailsItsChecksGetsNoTrafficUntilItPassesAgain() throws {
        let world = try World()
        let good = try world.origin()
        let sick = try world.origin()
        var isSick = true
        sick.onRequest = { peer in
            let isCheck = sick.requests.last == "GET /healthz"
            peer.answer("x", status: isCheck && isSick ? "500 Sick" : "200 OK")
        }
        try world.serve(good, sick) { $0.health = http() }
        world.set?.start()
        try world.turn("it is found out") { world.metrics[.healthServersWentDown] == 1 }
        for _ in 0..<10 { #expect(try world.run().origin.server == 0) }
        isSick = false
        try world.turn("it is back, and was asked") { world.metrics[.healthServersCameUp] == 1 && sick.requests.contains("GET /healthz") }
        var served: Set<Int> = []
        for _ in 0..<4 { served.insert(try world.run().origin.server) }
        #expect(served == [0, 1])
        #expect(zip(sick.requests, sick.heads).allSatisfy { $0 != "GET /healthz" || $1.contains("User-Agent: sluice-health") })
        try world.end()
    }

    @Test func aConnectionIsEnoughForTheTcpCheck() throws {
        let world = try World()
        let origin = try world.origin()
        try world.serve(origin) {
            $0.health = check
            $0.health?.every = 20
        }
        world.set?.start()
        try world.turn("it passes") { world.metrics[.healthChecksPassed] >= 2 }
        #expect(origin.requests.isEmpty)
        let port = origin.port
        origin.refuse()
        try world.turn("it fails") { world.metrics[.healthServersWentDown] == 1 }
        let back = try world.origin(port: port)
        try world.turn("it passes again") { world.metrics[.healthServersCameUp] == 1 }
        _ = back
        try world.end()
    }

    @Test func aServerThatDoesNotAnswerItsCheckFailsIt() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { _ in }
        try world.serve(origin) {
            $0.health = http()
            $0.health?.timeout = 30
        }
        world.set?.start()
        try world.turn("it is out") { world.metrics[.healthServersWentDown] == 1 }
        try world.end()
    }

    @Test func healthSurvivesAReload() throws {
        let world = try World()
        let good = try world.origin()
        let sick = try world.origin()
        sick.onRequest = { $0.answer("x", status: "500 Sick") }
        let servers = [world.plain(good), world.plain(sick)]
        try world.serve(servers) { $0.health = http(10_000) }
        world.set?.start()
        try world.turn("it is found out") { world.metrics[.healthServersWentDown] == 1 }
        let old = world.set
        try world.serve(servers) {
            $0.health = http(10_000)
            $0.idleTimeout = 1_234
        }
        if let old { world.set?.adoptIdle(from: old) }
        old?.retire()
        world.set?.start()
        for _ in 0..<6 { #expect(try world.run().origin.server == 0) }
        try world.end()
    }

    @Test func failuresInARowEjectAndTheShareThatMayBeOutIsBounded() throws {
        let world = try World()
        let origins = try (0..<4).map { _ in try world.origin() }
        for origin in origins.dropFirst() { origin.onRequest = { $0.answer("x", status: "503 Busy") } }
        try world.serve(origins.map { world.plain($0) }) {
            $0.ejection.failures = 2
            $0.ejection.time = 60_000
        }
        for _ in 0..<40 { try world.run() }
        #expect(world.metrics[.upstreamEjections] == 2, "half of four")
        let before = origins.map(\.requests.count)
        for _ in 0..<10 { try world.run() }
        let asked = zip(origins, before).filter { $0.0.requests.count > $0.1 }.count
        #expect(asked == 2)
        try world.end()
    }

    @Test func belowThePanicThresholdHealthIsNotLookedAt() throws {
        let world = try World()
        let origins = try (0..<3).map { _ in try world.origin() }
        for origin in origins.dropFirst() { origin.onRequest = { $0.answer("x", status: origin.requests.last == "GET /healthz" ? "500 No" : "200 OK") } }
        try world.serve(origins.map { world.plain($0) }) {
            $0.health = http(10_000)
            $0.panicPercent = 50
        }
        world.set?.start()
        try world.turn("two are down") { world.metrics[.healthServersWentDown] == 2 }
        var served: Set<Int> = []
        for _ in 0..<6 { served.insert(try world.run().origin.server) }
        #expect(served == [0, 1, 2])
        #expect(world.metrics[.upstreamPanics] == 6)
        try world.end()
    }

    @Test func aServerThatCameBackStartsSlowly() throws {
        let world = try World()
        let old = try world.origin()
        let new = try world.origin()
        try world.serve([world.plain(old)]) { $0.slowStart = 600_000 }
        let before = world.set
        try world.serve([world.plain(old), world.plain(new)]) { $0.slowStart = 600_000 }
        if let before { world.set?.adoptIdle(from: before) }
        before?.retire()
        for _ in 0..<110 { try world.run() }
        #expect((5...15).contains(new.requests.count), "about a tenth of the other's share")
        try world.end()
    }
}

/// Consistent hashing.
@Suite struct Owners {
    private func names(_ count: Int) -> [(name: String, weight: Int)] { (0..<count).map { ("10.0.0.\($0):80", 1) } }

    @Test func keysAreSpreadAndAServerMoreMovesOnlyItsShare() {
        let ten = Rendezvous(names(10))
        let eleven = Rendezvous(names(11))
        var counts = Array(repeating: 0, count: 10)
        var moved = 0
        let keys = (0..<20_000).map { Rendezvous.hash("user-\($0)") }
        for key in keys {
            let owner = ten.server(for: key) { _ in true } ?? -1
            counts[owner] += 1
            let later = eleven.server(for: key) { _ in true }
            if later != owner {
                moved += 1
                #expect(later == 10, "a key moves to the new server or stays")
            }
        }
        #expect(counts.allSatisfy { (1_200...2_900).contains($0) }, "\(counts)")
        #expect((1_000...2_700).contains(moved), "about an eleventh: \(moved)")
    }

    @Test func onlyTheKeysOfAServerThatIsOutMove() {
        let owners = Rendezvous(names(5))
        for number in 0..<2_000 {
            let key = Rendezvous.hash("k\(number)")
            let owner = owners.server(for: key) { _ in true }
            let without = owners.server(for: key) { $0 != 2 }
            if owner == 2 { #expect(without != 2) } else { #expect(without == owner) }
        }
    }

    @Test func aServerThatLeavesMovesItsOwnKeysOnlyWhateverTheWeights() {
        let all = Rendezvous([("a", 1), ("b", 1), ("c", 2), ("d", 5)]), left = Rendezvous([("a", 1), ("b", 1), ("c", 2)])
        for number in 0..<4_000 {
            let key = Rendezvous.hash("k\(number)"), before = all.server(for: key) { _ in true }
            if before != 3 { #expect(left.server(for: key) { _ in true } == before) }
        }
    }

    /// Also where weights are written as percentages: a table of points that has a bound is made anew by one server more.
    @Test func largeWeightsMoveNoMore() {
        func servers(_ count: Int) -> Rendezvous { Rendezvous((0..<count).map { ("10.0.0.\($0):80", 100) }) }
        let five = servers(5), four = servers(4)
        let keys = (0..<4_000).map { Rendezvous.hash("k\($0)") }
        let strays = keys.count { key in
            let before = five.server(for: key) { _ in true }
            return before != 4 && four.server(for: key) { _ in true } != before
        }
        #expect(strays == 0, "only what the fifth had moves")
    }

    @Test func sharesAreExact() {
        let owners = Rendezvous([("a", 1), ("b", 2), ("c", 3), ("d", 10)])
        var counts = [0, 0, 0, 0]
        for number in 0..<64_000 { counts[owners.server(for: Rendezvous.hash("k\(number)")) { _ in true } ?? 0] += 1 }
        for (count, weight) in zip(counts, [1, 2, 3, 10]) { #expect(abs(count - weight * 4_000) < weight * 400, "\(counts)") }
    }

    @Test func weightsCount() {
        let owners = Rendezvous([("a", 3), ("b", 1)])
        let heavy = (0..<8_000).count { owners.server(for: Rendezvous.hash("k\($0)")) { _ in true } == 0 }
        #expect((5_000...7_000).contains(heavy), "about three quarters: \(heavy)")
    }

    @Test func theSameKeyGetsTheSameServer() throws {
        let world = try World()
        let origins = try (0..<4).map { _ in try world.origin() }
        try world.serve(origins.map { world.plain($0) }) { $0.balance = .hash }
        for key in 0..<8 {
            var served: Set<Int> = []
            for _ in 0..<3 { served.insert(try world.run { $0.balanceKey = Rendezvous.hash("u\(key)") }.origin.server) }
            #expect(served.count == 1)
        }
        try world.end()
    }

    @Test func aCookieSaysNothingOfItsServerWithoutTheKey() {
        let value = StickyCookies.value(of: "10.0.0.1:80", [1])
        #expect(value == StickyCookies.value(of: "10.0.0.1:80", [1]) && value.count == 16)
        #expect(value != StickyCookies.value(of: "10.0.0.1:80", [2]) && value != StickyCookies.value(of: "10.0.0.2:80", [1]))
    }

    @Test func aCookieKeepsAClientAtItsServer() throws {
        let world = try World()
        let origins = try (0..<3).map { _ in try world.origin() }
        try world.serve(origins.map { world.plain($0) }) {
            $0.sticky = "srv"
            $0.stickyKey = [1, 2, 3]
            $0.stickyAttributes = "; Path=/"
        }
        let first = try world.run()
        let cookie = try #require(world.set?.stickyCookie(for: first))
        #expect(cookie.hasPrefix("srv=") && cookie.hasSuffix("; Path=/"))
        let value = String(cookie.dropFirst(4).prefix { $0 != ";" })
        for _ in 0..<6 {
            let again = try world.run { $0.balanceKey = Rendezvous.hash(value) }
            #expect(again.origin.server == first.origin.server)
            #expect(world.set?.stickyCookie(for: again) == nil)
        }
        try world.end()
    }
}
