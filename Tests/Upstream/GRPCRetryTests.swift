import Buffers
import HTTP
import Reactor
import Telemetry
import Testing

@testable import Upstream

/// Further attempts by a status of gRPC, and what servers may say about them.
@Suite struct GRPCRetries {
    private func policy(_ statuses: String..., budget: Int = 100) -> RetryPolicy {
        var policy = RetryPolicy()
        policy.tries = 3
        policy.budget = budget
        for status in statuses { policy.grpcStatuses.insert(GRPCStatus.number(of: status) ?? 0) }
        return policy
    }

    /// An answer that has a head only.
    private func trailersOnly(_ status: Int, _ more: String = "") -> String {
        "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: \(status)\r\n\(more)Content-Length: 0\r\n\r\n"
    }

    /// Fails as told, then answers.
    private func origin(_ world: World, failures: Int, _ answer: String) throws -> TestOrigin {
        let origin = try world.origin()
        origin.onRequest = { peer in
            if origin.requests.count <= failures { peer.send(answer) } else { peer.answer("fine") }
        }
        return origin
    }

    @discardableResult
    private func call(_ world: World, type: StaticString = "application/grpc+proto", _ adjust: (TestExchange) -> Void = { _ in }) throws -> TestExchange {
        let exchange = try start(world, type: type, adjust)
        try world.turn("the call ends") { exchange.isOver }
        return exchange
    }

    private func start(_ world: World, type: StaticString = "application/grpc", _ adjust: (TestExchange) -> Void = { _ in }) throws -> TestExchange {
        try world.start("POST", "/t/Call") {
            $0.request.add(.contentType, type)
            $0.setBody([0, 0, 0, 0, 1, 7], pool: world.pool)
            adjust($0)
        }
    }

    @Test func aStatusThatThePolicyNamesIsTriedAgainThoughTheMethodIsPOST() throws {
        let world = try World()
        let origin = try origin(world, failures: 2, trailersOnly(14))
        try world.serve(origin) { $0.retry = policy("resource_exhausted", "unavailable") }
        let exchange = try call(world)
        #expect(exchange.text == "fine")
        #expect(origin.requests.count == 3)
        #expect(origin.bodies.allSatisfy { $0 == [0, 0, 0, 0, 1, 7] }, "each attempt has the whole request")
        #expect(origin.accepted == 1, "the connection is kept")
        #expect(world.metrics[.upstreamRetries] == 2)
        try world.end()
    }

    @Test(arguments: ["application/grpc-web", "application/json"])
    func whatIsNotGRPCIsNotRepeatedByItsStatus(type: String) throws {
        let world = try World()
        let origin = try origin(world, failures: 9, trailersOnly(14))
        try world.serve(origin) { $0.retry = policy("unavailable") }
        try call(world, type: type == "application/json" ? "application/json" : "application/grpc-web")
        #expect(origin.requests.count == 1)
        try world.end()
    }

    @Test func anotherStatusGoesToTheClient() throws {
        let world = try World()
        let origin = try origin(world, failures: 9, trailersOnly(9))
        try world.serve(origin) { $0.retry = policy("unavailable") }
        let exchange = try call(world)
        #expect(exchange.response.grpcStatus == 9)
        #expect(origin.requests.count == 1)
        try world.end()
    }

    @Test func aStatusBeforeABodyIsNotTheWholeAnswer() throws {
        let world = try World()
        let origin = try origin(world, failures: 9, "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: 14\r\nContent-Length: 2\r\n\r\nno")
        try world.serve(origin) { $0.retry = policy("unavailable") }
        let exchange = try call(world)
        #expect(exchange.text == "no")
        #expect(origin.requests.count == 1)
        try world.end()
    }

    @Test func theBudgetHolds() throws {
        let world = try World()
        let origin = try origin(world, failures: .max, trailersOnly(14))
        try world.serve(origin) { $0.retry = policy("unavailable", budget: 0) }
        for _ in 0..<8 { try call(world) }
        #expect(origin.requests.count == 8 + 10, "the reserve and no more")
        #expect(world.metrics[.upstreamRetriesOverBudget] > 0)
        try world.end()
    }

    @Test func aBodyThatWasNotKeptIsNotRepeated() throws {
        let world = try World()
        let origin = try origin(world, failures: 9, trailersOnly(14))
        try world.serve(origin) {
            $0.retry = policy("unavailable")
            $0.retry.bodyBytes = 5
        }
        let exchange = try call(world)
        #expect(exchange.response.grpcStatus == 14)
        #expect(origin.requests.count == 1)
        try world.end()
    }

    // MARK: What the server asks for

    @Test func aServerThatAsksForTimeGetsIt() throws {
        let world = try World()
        let origin = try origin(world, failures: 1, trailersOnly(14, "Grpc-Retry-Pushback-Ms: 60\r\n"))
        try world.serve(origin) { $0.retry = policy("unavailable") }
        var began: UInt64 = 0
        let answer = origin.onRequest
        origin.onRequest = { peer in
            if origin.requests.count == 1 { began = world.reactor.preciseNow }
            answer(peer)
        }
        let exchange = try call(world)
        #expect(exchange.text == "fine")
        #expect(world.reactor.preciseNow - began >= 50_000_000, "the loop's timers have steps of 4 ms")
        #expect(origin.requests.count == 2)
        try world.end()
    }

    @Test(arguments: ["-1", "soon", "1001", "99999999999999999999"])
    func aServerThatWantsNoOtherAttemptOrNotSoonGetsNone(pushback: String) throws {
        let world = try World()
        let origin = try origin(world, failures: 9, trailersOnly(14, "Grpc-Retry-Pushback-Ms: \(pushback)\r\n"))
        try world.serve(origin) { $0.retry = policy("unavailable") }
        let exchange = try call(world)
        #expect(exchange.response.grpcStatus == 14)
        #expect(exchange.response.firstIndex(named: Span("grpc-retry-pushback-ms")) != nil, "the client is told")
        #expect(origin.requests.count == 1)
        #expect(world.metrics[.upstreamRetries] == 0)
        try world.end()
    }

    @Test func aPauseBeyondTheTimeOfTheCallIsNotBegun() throws {
        let world = try World()
        let origin = try origin(world, failures: 9, trailersOnly(14, "Grpc-Retry-Pushback-Ms: 900\r\n"))
        try world.serve(origin) { $0.retry = policy("unavailable") }
        let exchange = try call(world) { $0.attemptTimes.total = 800 }
        #expect(exchange.failure == nil, "its time is not up")
        #expect(exchange.response.grpcStatus == 14)
        #expect(origin.requests.count == 1)
        try world.end()
    }

    @Test func aClientThatLeavesDuringThePauseEndsIt() throws {
        let world = try World()
        let origin = try origin(world, failures: 9, trailersOnly(14, "Grpc-Retry-Pushback-Ms: 40\r\n"))
        try world.serve(origin) { $0.retry = policy("unavailable") }
        weak var gone: TestExchange?
        do {
            let exchange = try start(world)
            gone = exchange
            try world.turn("the first attempt failed") { origin.requests.count == 1 && exchange.originStream == nil }
            #expect(!exchange.isOver, "it waits for its turn")
            exchange.cancelOrigin()
            exchange.reset()
        }
        #expect(gone == nil, "nothing holds it")
        let after = try world.run { $0.retry = RetryPolicy() }
        let limit = world.reactor.preciseNow + 60_000_000
        while world.reactor.preciseNow < limit { world.reactor.turn(maximumWait: 20) }
        #expect(after.response.status == 200)
        #expect(origin.requests.count == 2, "the pause led to nothing")
        try world.end()
    }
}
