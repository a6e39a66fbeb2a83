import Buffers
import HTTP
import Reactor
import Telemetry
import Testing

@testable import Upstream

/// When an exchange gets another attempt, and when it must not.
@Suite struct Retries {
    private func policy(_ tries: Int, _ conditions: RetryPolicy.Conditions, _ statuses: [Int] = [], budget: Int = 100) -> RetryPolicy {
        var policy = RetryPolicy()
        policy.tries = tries
        policy.conditions = conditions
        policy.budget = budget
        for status in statuses { policy.add(status: status) }
        return policy
    }

    @Test func aStatusThatThePolicyNamesIsTriedAgain() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { peer in
            if origin.requests.count < 3 { peer.answer("no", status: "503 No") } else { peer.answer("fine") }
        }
        try world.serve(origin) { $0.retry = policy(3, [], [503]) }
        let exchange = try world.run()
        #expect(exchange.response.status == 200)
        #expect(exchange.text == "fine")
        #expect(exchange.events == ["responded 200", "ended"])
        #expect(origin.requests.count == 3)
        #expect(origin.accepted == 1, "small answers are read and their connection is kept")
        #expect(world.metrics[.upstreamRetries] == 2)
        try world.end()
    }

    @Test func theLastAnswerIsDeliveredWhenTriesAreUsedUp() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.answer("no", status: "503 No") }
        try world.serve(origin) { $0.retry = policy(3, [], [503]) }
        let exchange = try world.run()
        #expect(exchange.response.status == 503)
        #expect(exchange.text == "no")
        #expect(origin.requests.count == 3)
        try world.end()
    }

    @Test(arguments: ["POST", "PATCH"])
    func whatMayHaveHadAnEffectIsNotRepeated(method: String) throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.close(reset: true) }
        try world.serve(origin) { $0.retry = policy(3, [.reset, .timeout], [503]) }
        let exchange = try world.run(method) { $0.setBody([1, 2], pool: world.pool) }
        #expect(exchange.failure?.kind == .reset)
        #expect(origin.requests.count == 1)
        try world.end()
    }

    @Test func aRuleMayAllowEveryMethod() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { peer in if origin.requests.count == 1 { peer.close() } else { peer.answer("fine") } }
        try world.serve(origin)
        var own = policy(2, [.reset])
        own.anyMethod = true
        let body = pattern(30_000)
        let exchange = try world.run("POST") {
            $0.retry = own
            $0.setBody(body, pool: world.pool)
        }
        #expect(exchange.response.status == 200)
        #expect(origin.bodies.count == 2)
        #expect(origin.bodies.allSatisfy { same($0, body) }, "the body is sent again, whole")
        try world.end()
    }

    @Test func aBodyThatArrivesInPiecesIsRepeatedWhole() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onHead = { peer in if origin.heads.count == 1 { peer.close(reset: true) } }
        try world.serve(origin) { $0.retry = policy(2, [.reset]) }
        let exchange = TestExchange()
        try world.start("PUT", in: exchange) { $0.setBody(pattern(1000), length: .known(2000), ended: false, pool: world.pool) }
        try world.turn("the second attempt") { origin.heads.count == 2 }
        exchange.requestBody.append(copying: pattern(1000).span, from: world.pool)
        exchange.requestBodyEnded = true
        exchange.originStream?.requestBodyArrived()
        try world.turn("it ends") { exchange.isOver }
        #expect(origin.bodies.last.map { same($0, pattern(1000) + pattern(1000)) } == true)
        try world.end()
    }

    @Test func aBodyBeyondTheBoundIsNotKept() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.answer("no", status: "503 No") }
        try world.serve(origin) { $0.retry = policy(3, [.reset], [503]) }
        let exchange = try world.run("PUT") { $0.setBody(pattern(200_000), pool: world.pool) }
        #expect(exchange.response.status == 503)
        #expect(origin.requests.count == 1)
        try world.end()
    }

    @Test func aSilentServerIsLeftForAnother() throws {
        let world = try World()
        let silent = try world.origin()
        silent.onRequest = { _ in }
        let good = try world.origin()
        try world.serve(silent, good) {
            $0.retry = policy(2, [.timeout])
            $0.retry.perTry = 40
        }
        for _ in 0..<2 { #expect(try world.run().response.status == 200) }
        #expect(silent.requests.count == 1)
        try world.end()
    }

    @Test func aBrokenAnswerIsTriedElsewhereAndNeverAfterItsHead() throws {
        let world = try World()
        let origin = try world.origin()
        var second: OriginPeer?
        origin.onRequest = { peer in
            if origin.requests.count == 1 {
                peer.send("HTTP/9 nonsense\r\n\r\n")
                return peer.closeWhenSent()
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            second = peer
        }
        try world.serve(origin) { $0.retry = policy(5, [.reset]) }
        let exchange = try world.start()
        try world.turn("half of it is here") { exchange.text == "half" }
        second?.close()
        try world.turn("it ends") { exchange.isOver }
        #expect(exchange.events.first == "responded 200")
        #expect(exchange.failure?.kind == .reset)
        #expect(origin.requests.count == 2)
        try world.end()
    }

    @Test func theBudgetBoundsWhatRetriesAdd() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.answer("no", status: "503 No") }
        try world.serve(origin) { $0.retry = policy(4, [], [503], budget: 20) }
        for _ in 0..<200 { try world.run() }
        let extra = origin.requests.count - 200
        #expect(extra <= 40 + 10, "a fifth of the requests, and the reserve of ten")
        #expect(extra >= 40)
        #expect(world.metrics[.upstreamRetriesOverBudget] > 0)
        try world.end()
    }

    @Test func aTotalTimeEndsWhateverIsGoingOn() throws {
        let world = try World()
        let origin = try world.origin()
        origin.onRequest = { $0.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") }
        try world.serve(origin)
        let exchange = try world.run { $0.attemptTimes.total = 60 }
        #expect(exchange.events == ["responded 200", "failed idle_timeout"])
        try world.end()
    }

    @Test func requestsBeyondTheLimitOfAServerAreRefused() throws {
        let world = try World()
        let origin = try world.origin()
        var held: [OriginPeer] = []
        origin.onRequest = { held.append($0) }
        try world.serve(origin) { $0.maximumRequests = 2 }
        let running = try (0..<2).map { try world.start("GET", "/\($0)") }
        try world.turn("two are held") { held.count == 2 }
        #expect(try world.run().failure?.kind == .overloaded)
        #expect(world.metrics[.upstreamLimitRequests] == 1)
        for peer in held { peer.answer("done") }
        try world.turn("they end") { running.allSatisfy(\.isOver) }
        try world.end()
    }
}
