import Foundation
import Isolates
import Testing

@Suite(.serialized) struct LifeTests {
    @Test func globalsOfOneIsolateAreNotThoseOfAnother() throws {
        let one = try Rig(), two = try Rig()
        #expect(one.run("globalThis.shared = 1; Array.prototype.polluted = 1; return 1;").result.int == 1)
        #expect(two.run("return typeof shared === 'undefined' && [].polluted === undefined;").result.bool == true)
        #expect(one.run("return [].polluted;").result.int == 1)
    }

    @Test func fiftyIsolatesComeAndGoInAnyOrder() throws {
        var rigs: [Rig?] = []
        for number in 0..<50 {
            let rig = try Rig(snapshot: number % 2 == 0)
            #expect(rig.run("globalThis.n = \(number); native.keep({}); return n;").result.int == Int32(number))
            rigs.append(rig)
        }
        for step in 0..<50 {
            let index = (step * 37) % 50
            #expect(rigs[index]?.run("return n;").result.int == Int32(index))
            rigs[index] = nil
        }
        #expect(rigs.allSatisfy { $0 == nil })
    }

    @Test func aValueMayOutliveItsIsolate() throws {
        var kept: JSValue?
        do {
            let rig = try Rig()
            _ = rig.run("native.keep('text');")
            kept = rig.operations.keptValue
            #expect(kept?.string == "text")
        }
        #expect(kept?.string == nil)
        guard case .undefined? = kept?.result else { Issue.record("a dead value has no kind"); return }
    }

    @Test func operationsThatKeepAValueOfTheirIsolateAreFreedWithIt() throws {
        weak var operations: EchoOperations?
        do {
            let rig = try Rig()
            _ = rig.run("native.keep({});")
            operations = rig.operations
            #expect(operations?.keptValue != nil)
        }
        #expect(operations == nil)
    }

    @Test func turnsOfDifferentIsolatesNestAndBothAreWatched() throws {
        let outer = try Rig(), inner = try Rig()
        outer.isolate.beginTurn(cpuMicroseconds: 30_000, wallMilliseconds: 20_000)
        #expect(inner.run("for (;;) {}", cpuMilliseconds: 40).result.termination == .cpu)
        #expect(outer.isolate.call(Rig.sum, 1, 2, 3, 4).int == 10, "the outer clock stood still")
        let module = ModuleSources(files: ["/m.js": "for (;;) {}"])
        #expect(throws: CallFailure.self) { try outer.isolate.loadModule("/m.js", from: module) }
        let report = outer.isolate.endTurn()
        #expect(report.termination == .cpu)
        #expect(report.cpuNanoseconds >= 29_000_000)
    }

    @Test func aPreludeIsFreedAfterItsLastIsolate() throws {
        weak var seen: Prelude?
        do {
            let prelude = try Prelude(name: "p.js", source: "return { a() { return 7; } };", operations: [], entries: ["a"])
            seen = prelude
            #expect(prelude.snapshotBytes > 0)
            let isolate = try Isolate(name: "p", prelude: prelude, operations: NativeOperations())
            isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
            #expect(isolate.call(0).int == 7)
            isolate.endTurn()
        }
        #expect(seen == nil)
    }

    @Test func anOwnerMayLetGoOfAnIsolateInsideItsOwnOperation() throws {
        let prelude = try Prelude(
            name: "p.js", source: "return { go() { native.drop(); try { native.drop(); } catch (e) { return 8; } } };",
            operations: ["drop"], entries: ["go"])
        let operations = DroppingOperations()
        let owner = try IsolateOwner(prelude, operations)
        operations.owner = owner
        owner.isolate?.go()
        #expect(owner.isolate == nil)
    }

    /// Three caches of 60, 60 and 56 KiB, each without the pages that it shares with other blocks. Sanitizers have an allocator of their own.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["SLUICE_SANITIZER"] == nil)) func emptyCachesTakeNoMemory() throws {
        for _ in 0..<3 {
            let rig = try Rig()
            let bytes = rig.isolate.statistics.givenBackBytes
            #expect(bytes > 150 << 10 && bytes < 177 << 10)
            // What they are for still works: properties of more shapes than code remembers by itself, and traces of stacks.
            let script = """
                globalThis.read = (object) => object.x;
                let sum = 0;
                for (let round = 0; round < 50; round++) for (let i = 0; i < 40; i++) sum += read({ ['p' + i]: 0, x: i });
                return sum === 39000 && new Error("here").stack.includes("here");
                """
            #expect(rig.run(script).result.bool == true)
            rig.isolate.lowMemory()
            #expect(rig.run("return read({ q: 1, x: 7 }) === 7;").result.bool == true)
        }
    }

    /// V8 ended the process: a function was replaced, or lost its isolate at its heap limit, while somebody profiled it.
    @Test func anIsolateMayGoWhileItIsProfiled() throws {
        for round in 0..<3 {
            let rig = try Rig()
            #expect(rig.isolate.startProfile() && !rig.isolate.startProfile())
            #expect(rig.run("let x = 0; for (let i = 0; i < 1000; i++) x += i; return x;").result.int == 499_500, "\(round)")
        }
        let rig = try Rig()
        #expect(rig.isolate.startProfile() && rig.isolate.stopProfile() != nil && rig.isolate.stopProfile() == nil)
    }

    @Test func statisticsTellHeapAndBuffers() throws {
        let rig = try Rig()
        _ = rig.run("globalThis.b = new Uint8Array(1 << 20);")
        let statistics = rig.isolate.statistics
        #expect(statistics.usedHeap > 100_000)
        #expect(statistics.heapLimit >= 64 << 20)
        #expect(statistics.externalBytes >= 1 << 20)
        _ = rig.run("globalThis.b = null;")
        rig.isolate.lowMemory()
        #expect(rig.isolate.statistics.externalBytes < 1 << 20)
        rig.isolate.idle(milliseconds: 1)
    }
}

/// A thread of its own, because being dedicated is a property of the thread.
@Suite struct DedicatedThreadTests {
    @Test func aDedicatedThreadSwitchesBetweenIsolatesAndFreesThemInAnyOrder() async {
        let sums: [Int32?] = await withCheckedContinuation { done in
            let thread = Thread {
                V8Engine.dedicateThisThread()
                done.resume(returning: (try? Self.work()) ?? [])
                V8Engine.dedicateThisThread(false)
            }
            thread.stackSize = 2 << 20
            thread.start()
        }
        #expect(sums == [1, 2, 3, 1, 2, 3, 12, 3])
    }

    private static func work() throws -> [Int32?] {
        var rigs: [Rig?] = [try Rig(), try Rig(), try Rig()]
        var results: [Int32?] = []
        for (index, rig) in rigs.enumerated() { results.append(rig?.run("globalThis.n = \(index + 1); return n;").result.int) }
        for rig in rigs { results.append(rig?.run("return n;").result.int) }
        // A call of one isolate inside an operation of another.
        let nesting = NestingOperations(inner: rigs[1])
        let prelude = try Prelude(
            name: "n.js", source: "return { go() { return native.inner() + 10; } };", operations: ["inner"], entries: ["go"])
        let isolate = try Isolate(name: "outer", prelude: prelude, operations: nesting)
        isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        results.append(isolate.callAndSettle(0, [0, 0, 0, 0, 0], text: -1).int)
        isolate.endTurn()
        rigs[0] = nil
        rigs[1] = nil
        results.append(rigs[2]?.run("return n;").result.int)
        return results
    }
}

final class NestingOperations: NativeOperations {
    let inner: Rig?
    init(inner: Rig?) { self.inner = inner }
    override func perform(_ operation: Int, _ call: borrowing NativeCall) throws(NativeFailure) {
        call.returnInt(inner?.run("return n;").result.int ?? -1)
    }
}

/// Holds an isolate whose script asks for its end.
final class IsolateOwner {
    final class Box {
        let isolate: Isolate
        init(_ isolate: consuming Isolate) { self.isolate = isolate }
        func go() {
            isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
            _ = isolate.call(0)
        }
    }
    var isolate: Box?
    init(_ prelude: Prelude, _ operations: NativeOperations) throws {
        isolate = Box(try Isolate(name: "dropped", prelude: prelude, operations: operations))
    }
}

final class DroppingOperations: NativeOperations {
    weak var owner: IsolateOwner?
    override func perform(_ operation: Int, _ call: borrowing NativeCall) throws(NativeFailure) { owner?.isolate = nil }
}
