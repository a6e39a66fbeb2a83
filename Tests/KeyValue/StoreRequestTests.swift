import KeyValue
import Testing

@Suite struct StoreRequestTests {
    func put(_ key: [UInt8], value: Int = 1, metadata: Int = 0) -> StoreRequest {
        var request = StoreRequest(.put, key: key)
        request.value = Array(repeating: 65, count: value)
        request.metadata = Array(repeating: 65, count: metadata)
        return request
    }

    @Test func `limits hold at the byte`() {
        let key = Array(repeating: UInt8(97), count: StoreLimits.key)
        #expect(put(key).complaint(largest: 1) == nil)
        #expect(put(key + [97]).complaint(largest: 1)?.contains("512 bytes") == true)
        #expect(put([]).complaint(largest: 1) == "a key is not empty")
        #expect(put([97], value: 2).complaint(largest: 1)?.contains("at most 1") == true)
        #expect(put([97], metadata: StoreLimits.metadata).complaint(largest: 1) == nil)
        #expect(put([97], metadata: StoreLimits.metadata + 1).complaint(largest: 1) != nil)
        var list = StoreRequest(.list, key: [])
        #expect(list.complaint(largest: 1) == nil)
        for limit in [0, StoreLimits.page + 1, -1] {
            list.limit = limit
            #expect(list.complaint(largest: 1) != nil)
        }
    }

    @Test func `a lifetime counts from the moment it is written`() {
        var request = put([97])
        #expect(request.end(now: 100) == 0)
        request.expiration = 150
        #expect(request.end(now: 100) == 150)
        request.lifetime = 60
        #expect(request.end(now: 100) == 160)
        request.lifetime = .max
        #expect(request.end(now: 100) > 100, "no overflow")
    }

    @Test func `memory keeps what is not over and lists it in order`() {
        var store = MemoryStore()
        for (name, life) in [("b", UInt64(0)), ("a", 10), ("ab", 0), ("c", 0)] {
            var request = put(Array(name.utf8))
            request.lifetime = life
            #expect(store.perform(request, now: 100) == .done)
        }
        var list = StoreRequest(.list, key: Array("a".utf8))
        list.limit = 1
        guard case .page(let first) = store.perform(list, now: 100) else { Issue.record("no page"); return }
        #expect(first.names.map(\.name) == [Array("a".utf8)] && first.next == Array("a".utf8))
        list.after = Array("a".utf8)
        guard case .page(let second) = store.perform(list, now: 100) else { Issue.record("no page"); return }
        #expect(second.names.map(\.name) == [Array("ab".utf8)] && second.next == nil)
        #expect(store.perform(StoreRequest(.get, key: [97]), now: 109) != .missing)
        #expect(store.perform(StoreRequest(.get, key: [97]), now: 110) == .missing)
        #expect(store.perform(StoreRequest(.delete, key: [98]), now: 110) == .done)
        #expect(store.perform(StoreRequest(.get, key: [98]), now: 110) == .missing)
    }
}
