import Buffers
import Glibc
import Reactor
import Testing

@Suite struct WorkshopTests {
    /// Tells when it is freed, and on which thread.
    final class Tracked: Sendable {
        let freed: @Sendable () -> Void
        init(_ freed: @escaping @Sendable () -> Void) { self.freed = freed }
        deinit { freed() }
    }

    @Test func `work is done elsewhere, in order, and its answers come back to the loop`() throws {
        let reactor = try Reactor()
        let workshop = try Workshop<Int>(reactor: reactor, niceness: 5)
        let here = pthread_self()
        let elsewhere = Guarded(0)
        var answers: [Int] = []
        for number in 1...20 {
            workshop.make(
                {
                    if pthread_equal(pthread_self(), here) == 0 { elsewhere.withLock { $0 += 1 } }
                    return number
                },
                then: { answer in
                    #expect(pthread_equal(pthread_self(), here) != 0)
                    answers.append(answer)
                    if answer == 20 { reactor.stop() }
                })
        }
        reactor.run()
        #expect(answers == Array(1...20))
        #expect(elsewhere.withLock { $0 } == 20)
    }

    @Test func `what is discarded is freed elsewhere`() throws {
        let reactor = try Reactor()
        let workshop = try Workshop<Void>(reactor: reactor)
        let here = pthread_self()
        let freedHere = Guarded<Bool?>(nil)
        workshop.discard(Tracked { freedHere.withLock { $0 = pthread_equal(pthread_self(), here) != 0 } })
        // The next piece begins when the one before is gone.
        workshop.make({}, then: { reactor.stop() })
        reactor.run()
        #expect(freedHere.withLock { $0 } == false)
    }

    @Test func `nothing comes back once the workshop is gone`() throws {
        let reactor = try Reactor()
        var gone: Workshop<Void>? = try Workshop(reactor: reactor)
        var answered = false
        gone?.make({}, then: { answered = true })
        gone = nil
        let other = try Workshop<Void>(reactor: reactor)
        other.make({}, then: { reactor.stop() })
        reactor.run()
        #expect(!answered)
    }
}
