import Testing

@testable import Reactor

private final class Notes { var order: [String] = [] }

/// Takes a moment of the thread's time whenever it has its turn, and asks for the next.
private final class Worker: Channel {
    let name: String
    let notes: Notes
    let reactor: Reactor
    let nanoseconds: UInt64
    var turns: Int
    init(_ name: String, _ notes: Notes, _ reactor: Reactor, turns: Int, nanoseconds: UInt64) {
        self.name = name
        self.notes = notes
        self.reactor = reactor
        self.turns = turns
        self.nanoseconds = nanoseconds
        super.init(fd: -1)
    }
    override func resume() {
        let start = reactor.preciseNow
        while reactor.preciseNow - start < nanoseconds {}
        notes.order.append(name)
        turns -= 1
        if turns > 0 { reactor.afterOthers(self) }
    }
}

private final class SlowTimer: Timer {
    let notes: Notes
    let reactor: Reactor
    init(_ notes: Notes, _ reactor: Reactor) {
        self.notes = notes
        self.reactor = reactor
    }
    override func fire() {
        let start = reactor.preciseNow
        while reactor.preciseNow - start < 2 * BulkQueue.timersShare {}
        notes.order.append("timer")
    }
}

@Suite struct Bulk {
    @Test func `what is small never waits behind all of what is large`() throws {
        let reactor = try Reactor()
        let notes = Notes()
        let large = (0..<20).map { Worker("\($0)", notes, reactor, turns: 1, nanoseconds: 2 * BulkQueue.share) }
        for each in large { reactor.afterOthers(each) }
        let small = Worker("small", notes, reactor, turns: 1, nanoseconds: 0)
        reactor.turn(maximumWait: 0)
        #expect(notes.order.count < 20, "a turn ends although there is more to do")
        let before = notes.order.count
        reactor.later(small)
        reactor.turn(maximumWait: 1000)
        #expect(notes.order[before] == "small")
        while notes.order.count < 21 { reactor.turn(maximumWait: 1000) }
        #expect(notes.order.filter { $0 != "small" } == (0..<20).map { "\($0)" }, "first come, first served")
    }

    @Test func `timers that are due together do not hold up what comes meanwhile`() throws {
        let reactor = try Reactor()
        let notes = Notes()
        let timers = (0..<20).map { _ in SlowTimer(notes, reactor) }
        for each in timers { reactor.schedule(each, after: 1) }
        while notes.order.isEmpty { reactor.turn(maximumWait: 1000) }
        let fired = notes.order.count
        #expect(fired < 20, "a turn ends although more are due")
        reactor.later(Worker("small", notes, reactor, turns: 1, nanoseconds: 0))
        reactor.turn(maximumWait: 60_000)
        #expect(notes.order[fired] == "small")
        while notes.order.count < 21 { reactor.turn(maximumWait: 60_000) }
        reactor.turn(maximumWait: 0)
        #expect(notes.order.filter { $0 == "timer" }.count == 20, "each fires once")
    }

    @Test func `what asks again waits for the next turn and nothing waits for events meanwhile`() throws {
        let reactor = try Reactor()
        let notes = Notes()
        let channel = Worker("again", notes, reactor, turns: 3, nanoseconds: 0)
        reactor.afterOthers(channel)
        for turn in 1...3 {
            reactor.turn(maximumWait: 60_000)
            #expect(notes.order.count == turn)
        }
        reactor.turn(maximumWait: 0)
        #expect(notes.order.count == 3)
    }

    @Test func `a queue that never empties gives its memory back`() throws {
        let reactor = try Reactor()
        let notes = Notes()
        var queue = BulkQueue()
        for number in 0..<3 { queue.append(Worker("\(number)", notes, reactor, turns: 1, nanoseconds: 0)) }
        for number in 3..<5_000 {
            queue.append(Worker("\(number)", notes, reactor, turns: 1, nanoseconds: 0))
            let first = queue.popFirst() as? Worker
            #expect(first?.name == "\(number - 3)")
        }
        #expect(queue.count == 3)
    }
}
