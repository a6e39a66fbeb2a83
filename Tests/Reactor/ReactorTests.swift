import Buffers
import Dispatch
import Glibc
import Reactor
import Testing

/// Remembers what happened to it, and in which order.
private final class Recorder {
    var events: [String] = []
}

private final class NamedTimer: Timer {
    let name: String
    let recorder: Recorder
    init(_ name: String, _ recorder: Recorder) {
        self.name = name
        self.recorder = recorder
    }
    override func fire() { recorder.events.append(name) }
}

private final class PeerChannel: Channel {
    let recorder: Recorder
    let transport: SocketTransport
    var input: ReadBuffer
    var closed = false
    init(fd: Int32, reactor: Reactor, pool: SlabPool, recorder: Recorder) {
        self.recorder = recorder
        transport = SocketTransport(fd: fd, reactor: reactor)
        input = ReadBuffer(pool: pool)
        super.init(fd: fd)
    }
    override func ready(_ events: ReadyEvents) {
        guard events.contains(.readable) else { return }
        while true {
            switch transport.receive(into: &input) {
            case .moved: continue
            case .wouldBlock, .failed: return
            case .endOfStream:
                closed = true
                return
            }
        }
    }
    override func resume() { recorder.events.append("resumed") }
}

/// Turns the loop until `done`, at most for a generous number of turns.
private func turn(_ reactor: Reactor, until done: () -> Bool) -> Bool {
    for _ in 0..<5000 {
        if done() { return true }
        reactor.turn(maximumWait: 5)
    }
    return done()
}

private func socketPair() -> (Int32, Int32) {
    var fds: [Int32] = [0, 0]
    // SAFETY: socketpair writes two descriptors into an array of two.
    let result = unsafe fds.withUnsafeMutableBufferPointer {
        unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, $0.baseAddress)
    }
    precondition(result == 0)
    return (fds[0], fds[1])
}

@Suite struct Timers {
    @Test func fireInOrderOfDeadline() throws {
        let reactor = try Reactor()
        let recorder = Recorder()
        let timers = [(30, "c"), (1, "a"), (12, "b"), (60, "d")].map { ($0.0, NamedTimer($0.1, recorder)) }
        for (wait, timer) in timers { reactor.schedule(timer, after: UInt64(wait)) }
        #expect(turn(reactor) { recorder.events.count == 4 })
        #expect(recorder.events == ["a", "b", "c", "d"])
    }

    @Test func aCancelledTimerNeverFires() throws {
        let reactor = try Reactor()
        let recorder = Recorder()
        let cancelled = NamedTimer("cancelled", recorder)
        let last = NamedTimer("last", recorder)
        reactor.schedule(cancelled, after: 5)
        reactor.schedule(last, after: 20)
        reactor.cancel(cancelled)
        #expect(turn(reactor) { !recorder.events.isEmpty })
        #expect(recorder.events == ["last"])
        #expect(!cancelled.isScheduled)
    }

    @Test func aMovedTimerFiresOnceAtItsNewTime() throws {
        // On a clock that moves only when nothing is left to do: a busy machine cannot make two of them due at once.
        let reactor = try Reactor(virtual: true)
        let recorder = Recorder()
        let moved = NamedTimer("moved", recorder)
        let earlier = NamedTimer("earlier", recorder)
        reactor.schedule(moved, after: 5)
        reactor.schedule(moved, after: 40)
        reactor.schedule(earlier, after: 20)
        #expect(reactor.play(atMost: 200) { recorder.events.count == 2 })
        #expect(recorder.events == ["earlier", "moved"])
        reactor.schedule(moved, after: 1000)
        reactor.schedule(moved, after: 1)
        #expect(reactor.play(atMost: 100) { recorder.events.count == 3 })
        #expect(!reactor.play(atMost: 5_000) { recorder.events.count > 3 }, "once")
    }

    @Test func aTimerMayScheduleItselfAgain() throws {
        final class Repeating: Timer {
            let reactor: Reactor
            var count = 0
            init(_ reactor: Reactor) { self.reactor = reactor }
            override func fire() {
                count += 1
                if count < 5 { reactor.schedule(self, after: 1) }
            }
        }
        let reactor = try Reactor()
        let timer = Repeating(reactor)
        reactor.schedule(timer, after: 1)
        #expect(turn(reactor) { timer.count == 5 })
    }

    @Test func thousandsOfTimersAllFireOnce() throws {
        let reactor = try Reactor()
        let recorder = Recorder()
        let timers = (0..<5000).map { NamedTimer("\($0)", recorder) }
        for (index, timer) in timers.enumerated() { reactor.schedule(timer, after: UInt64(index % 97)) }
        #expect(turn(reactor) { recorder.events.count == 5000 })
        #expect(Set(recorder.events).count == 5000)
    }
}

@Suite struct Channels {
    @Test func bytesCrossASocketAndTheEndIsSeen() throws {
        let reactor = try Reactor()
        let pool = SlabPool()
        let (ours, theirs) = socketPair()
        let channel = PeerChannel(fd: ours, reactor: reactor, pool: pool, recorder: Recorder())
        try reactor.add(channel)
        let sender = SocketTransport(fd: theirs, reactor: reactor)
        var output = OutputBuffer(pool: pool)
        let bytes = (0..<30_000).map { UInt8(truncatingIfNeeded: $0) }
        output.append(copying: bytes.span)
        #expect(turn(reactor) {
            _ = sender.send(&output)
            return output.isEmpty
        })
        #expect(turn(reactor) { channel.input.count == 30_000 })
        let received = channel.input.bytes.array()
        #expect(received == bytes)
        _ = close(theirs)
        #expect(turn(reactor) { channel.closed })
        reactor.close(channel)
        #expect(channel.fd == -1)
    }

    @Test func aRemovedChannelGetsNoMoreEvents() throws {
        let reactor = try Reactor()
        let pool = SlabPool()
        let (ours, theirs) = socketPair()
        let channel = PeerChannel(fd: ours, reactor: reactor, pool: pool, recorder: Recorder())
        try reactor.add(channel)
        reactor.remove(channel)
        _ = close(theirs)
        reactor.turn(maximumWait: 5)
        #expect(!channel.closed)
        _ = close(ours)
    }

    @Test func aSuccessorIsToldWhatComesToTheSameSocket() throws {
        let reactor = try Reactor()
        let pool = SlabPool()
        let (ours, theirs) = socketPair()
        let first = PeerChannel(fd: ours, reactor: reactor, pool: pool, recorder: Recorder())
        try reactor.add(first)
        let sender = SocketTransport(fd: theirs, reactor: reactor)
        var output = OutputBuffer(pool: pool)
        output.append(copying: [1, 2, 3].span)
        _ = sender.send(&output)
        #expect(turn(reactor) { first.input.count == 3 })
        let second = PeerChannel(fd: ours, reactor: reactor, pool: pool, recorder: Recorder())
        reactor.replace(first, by: second)
        #expect(first.fd == -1 && reactor.channelCount == 1)
        output.append(copying: [4, 5].span)
        _ = sender.send(&output)
        #expect(turn(reactor) { second.input.count == 2 })
        #expect(first.input.count == 3)
        _ = close(theirs)
        #expect(turn(reactor) { second.closed } && !first.closed)
        reactor.close(second)
        #expect(reactor.channelCount == 0)
    }

    @Test func postponedWorkRunsOnceAtTheEndOfTheTurn() throws {
        let reactor = try Reactor()
        let recorder = Recorder()
        let (ours, theirs) = socketPair()
        let channel = PeerChannel(fd: ours, reactor: reactor, pool: SlabPool(), recorder: recorder)
        reactor.later(channel)
        reactor.turn(maximumWait: 0)
        reactor.turn(maximumWait: 0)
        #expect(recorder.events == ["resumed"])
        _ = close(ours)
        _ = close(theirs)
    }

    @Test func otherThreadsReachTheLoopThroughItsMailbox() throws {
        let reactor = try Reactor()
        let mailbox = try reactor.makeMailbox()
        let flag = Flag()
        // A thread of its own: tests that block may hold all threads of the concurrency pool.
        DispatchQueue(label: "another thread").async { mailbox.post { flag.set() } }
        #expect(turn(reactor) { flag.isSet })
    }
}

import Synchronization

private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    func set() { value.store(true, ordering: .releasing) }
    var isSet: Bool { value.load(ordering: .acquiring) }
}
