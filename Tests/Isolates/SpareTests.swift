import Isolates
import Synchronization
import Testing

/// Isolates made ahead, bytecode, and snapshots from another process.
@Suite struct SpareTests {
    private static let source = "globalThis.native = native; return { run: (n) => native.echo(n) + 1 };"

    private final class Doubling: NativeOperations {
        override func perform(_ operation: Int, _ call: borrowing NativeCall) throws(NativeFailure) {
            call.returnInt(try call.int32(0) * 2)
        }
    }

    private func prelude() throws -> Prelude { try Prelude(name: "spare.js", source: Self.source, operations: ["echo"], entries: ["run"]) }

    private func run(_ isolate: borrowing Isolate, _ number: Int32) -> Int32? {
        isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        defer { isolate.endTurn() }
        guard case .int(let result) = isolate.call(0, number) else { return nil }
        return result
    }

    @Test func anIsolateMadeOnAnotherThreadServesWhoTakesIt() async throws {
        let prelude = try prelude()
        let spare = try await Task.detached { try SpareIsolate(prelude: prelude) }.value
        let operations = Doubling()
        guard let isolate = spare.take(name: "f", externalBytes: 1 << 20, operations: operations) else {
            Issue.record("nothing to take")
            return
        }
        #expect(run(isolate, 20) == 41)
        if spare.take(name: "g", externalBytes: 1 << 20, operations: Doubling()) != nil { Issue.record("taken twice") }
    }

    @Test func theQuotaIsThatOfTheOneWhoTakesIt() throws {
        let prelude = try Prelude(
            name: "quota.js", source: "return { run: (n) => { try { new ArrayBuffer(n); return 1; } catch { return 0; } } };",
            operations: [], entries: ["run"])
        guard let isolate = try SpareIsolate(prelude: prelude).take(name: "f", externalBytes: 100_000, operations: NativeOperations()) else {
            Issue.record("nothing to take")
            return
        }
        #expect(run(isolate, 50_000) == 1)
        #expect(run(isolate, 200_000) == 0)
    }

    @Test func aSpareThatNobodyTookIsFreed() throws {
        let prelude = try prelude()
        let before = V8Engine.counters.liveIsolates
        do { _ = try SpareIsolate(prelude: prelude) }
        #expect(V8Engine.counters.liveIsolates <= before + 1)
    }

    // MARK: Bytecode

    @Test func bytecodeSparesTheParsingAndChangesNothing() throws {
        let files = ["/a.js": "import { two } from './b.js'; export default () => two + 40;", "/b.js": "export const two = 2;"]
        let prelude = try Prelude(name: "p", source: "return {};", operations: [], entries: [])
        let maker = try Isolate(name: "maker", prelude: prelude, operations: NativeOperations())
        let caches = files.map { ($0.key, maker.bytecode(of: $0.key, $0.value)) }
        #expect(caches.allSatisfy { !$0.1.isEmpty })
        let isolate = try Isolate(name: "f", prelude: prelude, operations: NativeOperations())
        isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        defer { isolate.endTurn() }
        _ = try isolate.loadModule("/a.js", from: ModuleSources(files: files, caches: Dictionary(uniqueKeysWithValues: caches)))
        #expect(isolate.cacheCounts.used == 2)
        #expect(isolate.cacheCounts.refused == 0)
    }

    @Test func bytecodeHoldsFunctionsThatNobodyHasCalled() throws {
        let maker = try Isolate(name: "maker", prelude: try Prelude(name: "p", source: "return {};", operations: [], entries: []), operations: NativeOperations())
        let code = "export default { onRequest() { return 'only said inside'; } };"
        let holds = { (bytes: [UInt8]) in bytes.firstRange(of: Array("only said inside".utf8)) != nil }
        #expect(holds(maker.bytecode(of: "/a.js", code)))
        // What is large is read by its calls.
        #expect(!holds(maker.bytecode(of: "/a.js", code + String(repeating: "// filler\n", count: 8_000))))
    }

    @Test func bytecodeOfAnotherTextIsRefusedAndTheTextCounts() throws {
        let prelude = try Prelude(name: "p", source: "return {};", operations: [], entries: [])
        let maker = try Isolate(name: "maker", prelude: prelude, operations: NativeOperations())
        let cache = maker.bytecode(of: "/a.js", "export default 1;")
        let isolate = try Isolate(name: "f", prelude: prelude, operations: NativeOperations())
        isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        defer { isolate.endTurn() }
        _ = try isolate.loadModule("/a.js", from: ModuleSources(files: ["/a.js": "export default 12345;"], caches: ["/a.js": cache]))
        #expect(isolate.cacheCounts.used == 0)
        #expect(isolate.cacheCounts.refused == 1)
    }

    @Test func whatDoesNotCompileHasNoBytecode() throws {
        let prelude = try Prelude(name: "p", source: "return {};", operations: [], entries: [])
        let maker = try Isolate(name: "maker", prelude: prelude, operations: NativeOperations())
        #expect(maker.bytecode(of: "/a.js", "export default ;").isEmpty)
        #expect(!maker.bytecode(of: "/b.js", "export default 1;").isEmpty)
    }

    // MARK: Snapshots from elsewhere

    @Test func aSnapshotGoesFromProcessToProcessByItsKey() throws {
        let exported = try prelude().exported
        #expect(Array(exported.prefix(32)) == Prelude.key(name: "spare.js", source: Self.source, operations: ["echo"], entries: ["run"]))
        let again = try #require(Prelude(name: "spare.js", source: Self.source, operations: ["echo"], entries: ["run"], exported: exported))
        let isolate = try Isolate(name: "f", prelude: again, operations: Doubling())
        #expect(run(isolate, 3) == 7)
    }

    @Test func whatIsRehearsedLeavesNothingButCompiledCode() throws {
        let source = "let calls = 0; globalThis.shared = (globalThis.shared ?? 0) + 1; return { run(n) { calls++; return native.echo(n) + calls; } };"
        let rehearsal = "const one = prelude({ echo: () => 1 }); if (one.run(1) !== 2) throw new Error('no rehearsal'); return () => { delete globalThis.shared; };"
        let prelude = try Prelude(name: "r.js", source: source, operations: ["echo"], entries: ["run"], rehearsal: rehearsal)
        let isolate = try Isolate(name: "f", prelude: prelude, operations: Doubling())
        #expect(run(isolate, 20) == 41)
        #expect(run(isolate, 20) == 42)
    }

    @Test func aRehearsalThatFailsIsTold() throws {
        #expect(throws: JSError.self) {
            try Prelude(name: "r.js", source: "return { run() {} };", operations: [], entries: ["run"], rehearsal: "return () => { throw new Error('no'); };")
        }
    }

    @Test func aSnapshotOfSomethingElseOrADamagedOneIsNotTaken() throws {
        let exported = try prelude().exported
        func taken(_ source: String, _ bytes: [UInt8]) -> Bool {
            let taken = Prelude(name: "spare.js", source: source, operations: ["echo"], entries: ["run"], exported: bytes) != nil
            #expect(taken == Prelude.isSound(bytes, name: "spare.js", source: source, operations: ["echo"], entries: ["run"]))
            return taken
        }
        #expect(!taken(Self.source + " ", exported))
        for place in [0, 40, 64, exported.count / 2, exported.count - 1] {
            var damaged = exported
            damaged[place] ^= 1
            #expect(!taken(Self.source, damaged), "byte \(place)")
        }
        #expect(!taken(Self.source, Array(exported.dropLast())))
        #expect(!taken(Self.source, []))
    }
}
