import KeyValue
import Testing

/// What hooks keep with `caches`: bounded in every direction.
@Suite struct ResponseCacheTests {
    private let all = 64 << 20

    private func put(_ cache: inout ResponseCache, _ key: String, _ bytes: Int = 10, of tenant: String = "a", lifetime: UInt64 = 60, within most: Int = 64 << 20) {
        var request = StoreRequest(.put, key: Array(key.utf8))
        request.value = [UInt8](repeating: 7, count: bytes)
        request.lifetime = lifetime
        _ = cache.perform(request, of: tenant, now: 1_000, within: most)
    }

    private func has(_ cache: inout ResponseCache, _ key: String, of tenant: String = "a", now: UInt64 = 1_000) -> Bool {
        if case .entry = cache.perform(StoreRequest(.get, key: Array(key.utf8)), of: tenant, now: now, within: all) { return true }
        return false
    }

    @Test func whatIsKeptIsFoundUntilItIsOverOrDeleted() {
        var cache = ResponseCache()
        put(&cache, "one")
        put(&cache, "two")
        var found = [has(&cache, "one"), has(&cache, "one", now: 1_059), has(&cache, "one", now: 1_060), has(&cache, "one")]
        #expect(found == [true, true, false, false], "an entry that is over is gone")
        let answers = (0..<2).map { _ in cache.perform(StoreRequest(.delete, key: Array("two".utf8)), of: "a", now: 1_000, within: all) }
        #expect(answers == [.done, .missing])
        found = [has(&cache, "two")]
        #expect(found == [false] && cache.bytes == 0 && cache.entries == 0)
    }

    @Test func tenantsDoNotSeeEachOther() {
        var cache = ResponseCache()
        put(&cache, "key")
        let found = [has(&cache, "key", of: "b"), has(&cache, "key")]
        #expect(found == [false, true])
    }

    @Test func theLeastRecentlyUsedOfATenantMakesRoom() {
        var cache = ResponseCache()
        for number in 0..<16 { put(&cache, "\(number)", 1_000_000) }
        _ = has(&cache, "0")
        put(&cache, "16", 1_000_000)
        put(&cache, "17", 1_000_000)
        let found = ["0", "1", "2", "3", "17"].map { has(&cache, $0) }
        #expect(found == [true, false, false, true, true])
        #expect(cache.evicted == 2 && cache.bytes <= ResponseCache.tenantBytes)
    }

    @Test func aTenantHasSoManyEntries() {
        var cache = ResponseCache()
        for number in 0..<(ResponseCache.tenantEntries + 10) { put(&cache, "\(number)") }
        #expect(cache.entries == ResponseCache.tenantEntries && cache.evicted == 10)
        let found = [has(&cache, "9"), has(&cache, "10")]
        #expect(found == [false, true])
    }

    @Test func whoHoldsMostGivesUpForAll() {
        var cache = ResponseCache()
        for number in 0..<10 { put(&cache, "\(number)", 1_000_000, of: "large") }
        put(&cache, "only", 1_000_000, of: "small")
        cache.shrink(to: 3_000_000)
        let found = [has(&cache, "only", of: "small"), has(&cache, "9", of: "large"), has(&cache, "0", of: "large")]
        #expect(found == [true, true, false] && cache.bytes <= 3_000_000)
        cache.shrink(to: 0)
        #expect(cache.bytes == 0 && cache.entries == 0)
    }

    @Test func theSameKeyAgainReplaces() {
        var cache = ResponseCache()
        for _ in 0..<100 { put(&cache, "same", 500_000) }
        #expect(cache.entries == 1 && cache.evicted == 0 && cache.bytes < 600_000)
    }

    @Test func thousandsOfChangesLeaveTheListWhole() {
        var cache = ResponseCache(), generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let key = "\(Int.random(in: 0..<200, using: &generator))"
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: _ = cache.perform(StoreRequest(.delete, key: Array(key.utf8)), of: "a", now: 1_000, within: all)
            case 1: _ = has(&cache, key)
            default: put(&cache, key, Int.random(in: 0..<200_000, using: &generator))
            }
        }
        #expect(cache.bytes <= ResponseCache.tenantBytes)
        cache.shrink(to: 0)
        #expect(cache.entries == 0 && cache.bytes == 0)
    }
}
