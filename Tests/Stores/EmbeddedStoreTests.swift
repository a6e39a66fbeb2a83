import Foundation
import KeyValue
import Reactor
import Testing

@testable import Stores

/// A namespace in a folder of its own, driven by a loop of its own.
final class StoreBench {
    let reactor: Reactor
    let writer: StoreWriter
    let path: String
    var store: EmbeddedStore
    var now: UInt64 = 1_000

    init(bytes: Int = 1 << 20) throws {
        reactor = try Reactor()
        writer = try StoreWriter(reactor: reactor)
        path = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-store-\(UUID().uuidString)").path
        store = try EmbeddedStore(path: path, bytes: bytes, writer: writer)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func ask(_ request: StoreRequest) -> StoreAnswer {
        guard request.isWrite else { return store.read(request, now: now) }
        var answer: StoreAnswer?
        store.write(request, now: now) { answer = $0 }
        while answer == nil { reactor.turn(maximumWait: 100) }
        return answer ?? .missing
    }

    @discardableResult
    func put(_ key: String, _ value: String, metadata: String = "", life: UInt64 = 0) -> StoreAnswer {
        var request = StoreRequest(.put, key: Array(key.utf8))
        request.value = Array(value.utf8)
        request.metadata = Array(metadata.utf8)
        request.lifetime = life
        return ask(request)
    }

    /// All at once, in the order of their names.
    func putAll(_ keys: [String], life: UInt64 = 0) {
        for key in keys {
            var request = StoreRequest(.put, key: Array(key.utf8))
            request.lifetime = life
            while store.unwritten >= EmbeddedStore.mostWaiting { reactor.turn(maximumWait: 100) }
            store.write(request, now: now) { #expect($0 == .done) }
        }
        while store.unwritten > 0 { reactor.turn(maximumWait: 100) }
    }

    func get(_ key: String) -> String? {
        guard case .entry(let entry) = ask(StoreRequest(.get, key: Array(key.utf8))) else { return nil }
        return String(decoding: entry.value, as: UTF8.self)
    }

    func list(_ prefix: String, after: String = "", limit: Int = StoreLimits.page) -> (names: [String], next: String?) {
        var request = StoreRequest(.list, key: Array(prefix.utf8))
        request.after = Array(after.utf8)
        request.limit = limit
        guard case .page(let page) = ask(request) else { return (["no page"], nil) }
        return (page.names.map { String(decoding: $0.name, as: UTF8.self) }, page.next.map { String(decoding: $0, as: UTF8.self) })
    }

    func sweep() -> Bool {
        var more: Bool?
        store.sweep(now: now) { more = $0 }
        while more == nil { reactor.turn(maximumWait: 100) }
        return more ?? false
    }
}

@Suite struct EmbeddedStoreTests {
    @Test func `what was put is there, with its metadata, until it is deleted`() throws {
        let bench = try StoreBench()
        #expect(bench.get("a") == nil)
        #expect(bench.put("a", "one", metadata: "{\"n\":1}", life: 60) == .done)
        #expect(bench.ask(StoreRequest(.get, key: Array("a".utf8)))
            == .entry(StoredEntry(value: Array("one".utf8), metadata: Array("{\"n\":1}".utf8), expiration: 1_060)))
        bench.put("a", "")
        #expect(bench.get("a") == "")
        #expect(bench.ask(StoreRequest(.delete, key: Array("a".utf8))) == .done)
        #expect(bench.get("a") == nil)
        #expect(bench.ask(StoreRequest(.delete, key: Array("a".utf8))) == .done, "twice is no mistake")
    }

    @Test func `it is all there after the store was opened anew`() throws {
        let bench = try StoreBench()
        let big = String(repeating: "x", count: 200_000)
        bench.put("big", big)
        bench.put("small", "s")
        let path = bench.path
        let other = try StoreBench()
        bench.store = other.store
        bench.store = try EmbeddedStore(path: path, bytes: 1 << 20, writer: bench.writer)
        #expect(bench.get("big") == big && bench.get("small") == "s")
    }

    @Test func `lists go by prefix, in order, page by page`() throws {
        let bench = try StoreBench()
        for name in ["b/2", "a", "b/1", "b/3", "c", "b"] { bench.put(name, name) }
        #expect(bench.list("").names == ["a", "b", "b/1", "b/2", "b/3", "c"])
        #expect(bench.list("b/").names == ["b/1", "b/2", "b/3"])
        let first = bench.list("b/", limit: 2)
        #expect(first.names == ["b/1", "b/2"] && first.next == "b/2")
        let second = bench.list("b/", after: "b/2", limit: 2)
        #expect(second.names == ["b/3"] && second.next == nil)
        #expect(bench.list("b/", after: "a").names == ["b/1", "b/2", "b/3"], "a cursor in front of the prefix")
        #expect(bench.list("b/", after: "b/2x").names == ["b/3"], "the name at the cursor is gone")
        #expect(bench.list("x").names == [])
    }

    @Test func `what is over is not answered, and is taken out`() throws {
        let bench = try StoreBench()
        for number in 0..<50 { bench.put("short/\(number)", "v", life: 10) }
        bench.put("long", "v", life: 1_000)
        bench.put("short/0", "v", life: 500)
        bench.now += 10
        #expect(bench.get("short/1") == nil && bench.get("short/0") == "v")
        #expect(bench.list("short/").names == ["short/0"])
        #expect(!bench.sweep())
        #expect(bench.store.takeExpired() == 49)
        #expect(!bench.sweep() && bench.store.takeExpired() == 0)
        #expect(bench.get("long") == "v" && bench.get("short/0") == "v")
    }

    @Test func `a full namespace says so, keeps what it has, and can be emptied`() throws {
        let bench = try StoreBench(bytes: 256 << 10)
        let value = String(repeating: "v", count: 3_000)
        var kept = 0
        while case .done = bench.put("k\(kept)", value) { kept += 1 }
        guard case .failed(let failure) = bench.put("one more", value) else { Issue.record("it was taken"); return }
        #expect(failure == StoreFailure(.full, "the namespace is full"))
        #expect(kept > 10 && bench.get("k0") == value && bench.get("k\(kept - 1)") == value)
        for number in 0..<kept { #expect(bench.ask(StoreRequest(.delete, key: Array("k\(number)".utf8))) == .done, "k\(number)") }
        #expect(bench.put("after", value) == .done)
    }

    @Test func `a full namespace makes room of what is over`() throws {
        let bench = try StoreBench(bytes: 256 << 10)
        let value = String(repeating: "v", count: 3_000)
        var kept = 0
        while case .done = bench.put("k\(kept)", value, life: 10) { kept += 1 }
        bench.now += 20
        for number in 0..<kept { #expect(bench.put("new\(number)", value) == .done, "\(number)") }
        #expect(bench.get("new0") == value && bench.store.takeExpired() > 0)
    }

    @Test func `writes that gather go in one transaction, and one too large fails alone`() throws {
        let bench = try StoreBench(bytes: 512 << 10)
        var answers: [StoreAnswer] = []
        for number in 0..<20 {
            var request = StoreRequest(.put, key: Array("k\(number)".utf8))
            request.value = Array(repeating: 65, count: number == 7 ? 600_000 : 10)
            bench.store.write(request, now: bench.now) { answers.append($0) }
        }
        #expect(bench.store.unwritten == 20)
        while answers.count < 20 { bench.reactor.turn(maximumWait: 100) }
        #expect(answers.filter { $0 == .done }.count == 19)
        #expect(bench.get("k6")?.count == 10 && bench.get("k7") == nil && bench.get("k8")?.count == 10)
    }

    @Test func `more than may wait fails at once`() throws {
        let bench = try StoreBench(bytes: 4 << 20)
        var answers: [StoreAnswer] = []
        for number in 0..<EmbeddedStore.mostWaiting + 50 {
            bench.store.write(StoreRequest(.put, key: Array("k\(number)".utf8)), now: bench.now) { answers.append($0) }
        }
        let refused = answers.count
        #expect(refused > 0 && answers.allSatisfy { if case .failed(let failure) = $0 { failure.kind == .busy } else { false } })
        while bench.store.unwritten > 0 { bench.reactor.turn(maximumWait: 100) }
        #expect(answers.filter { $0 == .done }.count == EmbeddedStore.mostWaiting + 50 - refused)
    }

    @Test func `a folder that cannot be made is told in words`() throws {
        let reactor = try Reactor()
        let writer = try StoreWriter(reactor: reactor)
        do throws(StoreError) {
            _ = try EmbeddedStore(path: "/proc/no such place/kv", bytes: 1 << 20, writer: writer)
            Issue.record("it was opened")
        } catch {
            #expect("\(error)" == "No such file or directory")
        }
    }

    @Test func `a larger size is taken over while it runs`() throws {
        let bench = try StoreBench(bytes: 128 << 10)
        let value = String(repeating: "v", count: 100_000)
        guard case .failed = bench.put("a", value + value) else { Issue.record("it was taken"); return }
        bench.store.resize(2 << 20)
        #expect(bench.put("a", value + value) == .done)
    }

    @Test func `a page looks at so many entries and no more, also where most are over`() throws {
        let bench = try StoreBench(bytes: 16 << 20)
        bench.putAll((0..<5_000).map { "short/\($0 + 10_000)" }, life: 10)
        bench.put("short/9", "v")
        bench.now += 10
        let first = bench.list("short/")
        #expect(first.names == [] && first.next != nil, "all that the first page looked at is over")
        var pages = 1, names: [String] = [], after = first.next
        while let cursor = after {
            let page = bench.list("short/", after: cursor)
            names += page.names
            after = page.next
            pages += 1
        }
        #expect(names == ["short/9"] && pages == 5_001 / StoreEnvironment.mostLooked + 1)
        while bench.sweep() {}
        let after2 = bench.list("short/")
        #expect(after2.names == ["short/9"] && after2.next == nil)
    }

    @Test func `a namespace that is filled again and again can always be emptied`() throws {
        let bench = try StoreBench(bytes: 512 << 10)
        let value = String(repeating: "v", count: 1_500)
        var oldest = 0, newest = 0
        for round in 0..<400 {
            while case .done = bench.put("k\(newest)", value) { newest += 1 }
            while case .done = bench.put("s\(newest)", "s") { newest += 1 }
            guard bench.ask(StoreRequest(.delete, key: Array("k\(oldest)".utf8))) == .done else {
                Issue.record("round \(round): nothing can be deleted any more")
                return
            }
            oldest += 1
        }
        for number in oldest..<newest {
            for kind in ["k", "s"] { #expect(bench.ask(StoreRequest(.delete, key: Array("\(kind)\(number)".utf8))) == .done) }
        }
        #expect(bench.store.used <= 512 << 10, "\(bench.store.used) bytes")
        #expect(bench.put("after", String(repeating: "v", count: 300_000)) == .done)
    }
}
