import Foundation
import Reactor
import Testing

@Suite struct RateLimitTests {
    private func mappings() throws -> (SharedRegion, SharedRegion) {
        let first = try SharedRegion.create()
        return (first, try SharedRegion(adopting: first.descriptor.duplicate()))
    }

    private let second: UInt64 = 1_000_000_000

    @Test func `two workers and one key of 100 per second let 99 to 101 of 1000 requests pass in each of ten seconds`() throws {
        let (one, two) = try mappings()
        let key = Array("192.0.2.7".utf8)
        for burst in [0, 2] {
            let limit = RateLimit(rule: UInt64(burst) + 1, periodNanoseconds: second, count: 100, burst: burst)
            for turn in 0..<10 {
                var passed = 0
                for request in 0..<1000 {
                    let now = 50 * second + UInt64(turn) * second + UInt64(request) * 1_000_000
                    let worker = request % 3 == 0 ? one : two
                    if worker.charge(limit, key: key.span, now: now).isAllowed { passed += 1 }
                }
                #expect((99...101).contains(passed), "second \(turn), burst \(burst)")
            }
        }
    }

    @Test func `a sliding window forgets the window before bit by bit`() throws {
        let (region, _) = try mappings()
        let limit = RateLimit(rule: 1, periodNanoseconds: 60 * second, count: 60)
        let key: [UInt8] = [1]
        func passes(at time: UInt64) -> Int {
            (0..<100).count { _ in region.charge(limit, key: key.span, now: time * second).isAllowed }
        }
        #expect(passes(at: 1_000) == 60)
        #expect(passes(at: 1_030) == 0)
        // Half of the window before still lies within the last minute.
        #expect((29...31).contains(passes(at: 1_090)))
        #expect(passes(at: 1_300) == 60)
    }

    @Test func `a token bucket holds its burst and gets it back over time`() throws {
        let (region, _) = try mappings()
        let limit = RateLimit(rule: 1, periodNanoseconds: 60 * second, count: 5, burst: 10)
        let key: [UInt8] = [1]
        for left in stride(from: 9, through: 0, by: -1) {
            let verdict = region.charge(limit, key: key.span, now: second)
            #expect(verdict.isAllowed)
            #expect(verdict.remaining == left)
        }
        let refused = region.charge(limit, key: key.span, now: second)
        #expect(!refused.isAllowed)
        #expect(refused.retryAfter == 12 * second)
        #expect(refused.reset == 120 * second)
        #expect(!region.charge(limit, key: key.span, now: 12 * second).isAllowed)
        #expect(region.charge(limit, key: key.span, now: 13 * second).isAllowed)
    }

    @Test func `keys, rules and periods are counted apart`() throws {
        let (region, _) = try mappings()
        func once(_ rule: UInt64, _ key: [UInt8], _ period: UInt64 = 60) -> Bool {
            region.charge(RateLimit(rule: rule, periodNanoseconds: period * second, count: 1), key: key.span, now: second).isAllowed
        }
        #expect(once(1, [1]))
        #expect(!once(1, [1]))
        #expect(once(1, [2]))
        #expect(once(2, [1]))
        #expect(once(1, [1], 30))
        #expect(once(1, []))
        #expect(!once(1, []))
        #expect(once(1, [1, 0]))
    }

    @Test func `when the table is full the key that matters least makes room, and that is said`() throws {
        let (region, _) = try mappings()
        let limit = RateLimit(rule: 1, periodNanoseconds: 3_600 * second, count: 10, burst: 10)
        var evictions = 0
        for number in 0..<200_000 {
            let key = (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
            let verdict = region.charge(limit, key: key.span, now: second)
            #expect(verdict.isAllowed)
            if verdict.hasEvicted { evictions += 1 }
        }
        #expect(evictions > 200_000 - 16_384 * 8)
        // An hour later nothing of it counts any more, and nobody has to go.
        let fresh: [UInt8] = [1, 2, 3]
        #expect(!region.charge(limit, key: fresh.span, now: 7_300 * second).hasEvicted)
    }

    @Test func `threads that charge one key at once never let more pass than the limit`() throws {
        let (one, two) = try mappings()
        let limit = RateLimit(rule: 9, periodNanoseconds: 60 * second, count: 1_000)
        let sums = Sums()
        let threads = [one.descriptor.number, two.descriptor.number].map { _ in
            let region = Box(one)
            return Thread {
                let key: [UInt8] = [7]
                var passed = 0
                for _ in 0..<20_000 where region.value.charge(limit, key: key.span, now: 5_000_000_000).isAllowed { passed += 1 }
                sums.add(passed)
            }
        }
        for thread in threads { thread.start() }
        #expect(sums.wait(for: 2) == 1_000)
    }

    @Test func `counters of rules are found by their id from both sides`() throws {
        let (one, two) = try mappings()
        let key = SharedRegion.tallyKey("shop/login")
        #expect(two.tallies(key) == nil)
        let slot = try #require(one.tallySlot(key))
        one.add(3, to: .matched, slot: slot)
        two.add(1, to: .limited, slot: try #require(two.tallySlot(key)))
        #expect(two.tallies(key) == [3, 0, 1])
        #expect(one.tallies(SharedRegion.tallyKey("shop/other")) == nil)
    }
}

/// A region used from several threads on purpose: that is what it is for.
private struct Box: @unchecked Sendable {
    // SAFETY: only atomic operations of the region are called.
    let value: SharedRegion
    init(_ value: SharedRegion) { self.value = value }
}

private final class Sums: @unchecked Sendable {
    // SAFETY: every access holds the condition.
    private let condition = NSCondition()
    private var sum = 0
    private var count = 0

    func add(_ value: Int) {
        condition.lock()
        sum += value
        count += 1
        condition.signal()
        condition.unlock()
    }

    func wait(for threads: Int) -> Int {
        condition.lock()
        defer { condition.unlock() }
        while count < threads { condition.wait() }
        return sum
    }
}
