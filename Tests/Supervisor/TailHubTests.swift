import Reactor
import Testing

@testable import Supervisor

@Suite struct TailHubTests {
    private func waiting(_ hub: TailHub) throws -> Int {
        var count = 0
        while case .packet = try hub.lines.receive() { count += 1 }
        return count
    }

    @Test func `a flood of lines leaves the loop its turns`() throws {
        let hub = try TailHub(), reactor = try Reactor()
        let flood = { for _ in 0..<2 * TailHub.share { try hub.sink.send(Array("a line\n".utf8)) } }
        try flood()
        hub.ready(.readable)
        #expect(try waiting(hub) == TailHub.share)
        try reactor.addLevelTriggered(hub)
        try flood()
        for _ in 0..<2 { reactor.turn(maximumWait: 0) }
        #expect(try waiting(hub) == 0, "what is left has the next turn")
    }
}
