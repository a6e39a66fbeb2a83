import Isolates
import Testing

/// Each script is one a careless or hostile author writes. Serialised: several of them fill memory.
@Suite(.serialized) struct ContainmentTests {
    @Test(arguments: [
        "for (;;) {}",
        "for (;;) { try { for (;;) {} } catch (e) {} finally { for (;;) {} }; }",
        "while (true) Promise.resolve();",
        "/(a+)+$/.test('a'.repeat(60) + 'b');",
        "[3, 1, 2].sort(() => { for (;;) {} });",
        "JSON.stringify({ toJSON() { for (;;) {} } });",
        "let n = 3n; for (;;) { n = n * n; if (n > 2n ** 100000n) n = 3n; }",
        "class A { get x() { return this.x; } }; for (;;) { try { new A().x; } catch (e) {} }",
        "new Proxy({}, { get() { for (;;) {} } }).x;",
    ])
    func aScriptThatDoesNotEndIsStoppedByItsCPUBudget(body: String) throws {
        let rig = try Rig()
        let (result, report) = rig.run(body, cpuMilliseconds: 10)
        #expect(result.termination == .cpu)
        #expect(report.termination == .cpu)
        #expect(report.cpuNanoseconds >= 9_000_000)
        #expect(report.cpuNanoseconds < 1_000_000_000)
        #expect(rig.isolate.mustBeDiscarded == false)
        #expect(rig.run("return 1 + 1;").result.int == 2, "the isolate works on")
        #expect(rig.isolate.statistics.terminations == 1)
    }

    @Test(arguments: [
        "(async () => { for (;;) await 0; })();",
        "(function again() { Promise.resolve().then(again); })();",
    ])
    func anEndlessMicrotaskLoopCountsAsStoppedAndNotAsSuccess(body: String) throws {
        let rig = try Rig()
        let (result, report) = rig.run(body, cpuMilliseconds: 10)
        #expect(result.termination == .cpu)
        #expect(report.termination == .cpu)
        #expect(rig.run("return 5;").result.int == 5)
    }

    @Test func theWallDeadlineStopsAScriptWithBudgetLeft() throws {
        let rig = try Rig()
        rig.isolate.beginTurn(cpuMicroseconds: 60_000_000, wallMilliseconds: 20)
        do throws(CallFailure) {
            _ = try rig.isolate.loadModule("/m.js", from: ModuleSources(files: ["/m.js": "for (;;) {}"]))
            Issue.record("the module ended")
        } catch {
            #expect(error.result.termination == .wall)
        }
        #expect(rig.isolate.endTurn().termination == .wall)
    }

    @Test(arguments: [
        "const a = []; for (;;) a.push({ x: a.length });",
        "let s = 'x'; const keep = []; for (;;) { s += s.slice(0, 1000) + keep.length; keep.push(s + 'y'); keep[keep.length - 1] | 0; }",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, [i]);",
    ])
    func aHeapBombIsStoppedAndDoomsTheIsolate(body: String) throws {
        var limits = IsolateLimits()
        limits.heapBytes = 24 << 20
        let rig = try Rig(limits: limits)
        let (result, report) = rig.run(body, cpuMilliseconds: 20_000)
        #expect(result.termination == .heap)
        #expect(report.termination == .heap)
        #expect(rig.isolate.mustBeDiscarded == true)
        #expect(rig.run("return 1;").result.termination == .heap, "nothing runs in it any more")
        let other = try Rig()
        #expect(other.run("return 1;").result.int == 1, "other isolates do")
    }

    @Test func codeFromStringsIsRefusedInEveryForm() throws {
        let rig = try Rig()
        let notes = rig.notes("""
            const attempts = [
              () => eval('1'), () => (0, eval)('1'), () => Function('return 1'), () => new Function('return 1'),
              () => (() => {}).constructor('return 1'), () => (async () => {}).constructor('return 1'),
              () => (function* () {}).constructor('return 1'), () => (async function* () {}).constructor('return 1'),
            ];
            for (const attempt of attempts) try { attempt(); native.note('ran'); } catch (e) { native.note(e.name); }
            """)
        #expect(notes == Array(repeating: "EvalError", count: 8))
    }

    @Test func waitingSharedMemoryAndWebAssemblyAreAbsent() throws {
        let rig = try Rig()
        let notes = rig.notes("""
            native.note(typeof SharedArrayBuffer); native.note(typeof WebAssembly);
            try { Atomics.wait(new Int32Array(4), 0, 0, 10); native.note('waited'); } catch (e) { native.note(e.name); }
            """)
        #expect(notes == ["undefined", "undefined", "TypeError"])
    }

    @Test func deepRecursionIsARangeErrorTheScriptCanCatch() throws {
        let rig = try Rig()
        let notes = rig.notes("""
            const f = () => f() + 1; try { f(); } catch (e) { native.note(e.name); }
            let deep = '['.repeat(1e6); try { JSON.parse(deep); } catch (e) { native.note(e.name); }
            """)
        #expect(notes.count == 2)
        #expect(notes.first == "RangeError")
    }

    @Test func arrayBuffersBeyondTheQuotaAreARangeError() throws {
        var limits = IsolateLimits()
        limits.externalBytes = 4 << 20
        let rig = try Rig(limits: limits)
        let notes = rig.notes("""
            const kept = [];
            try { for (;;) kept.push(new Uint8Array(1 << 20)); } catch (e) { native.note(e.name + ' ' + kept.length); }
            try { native.bytes(kept[0]); } catch (e) { native.note(e.name); }
            kept.length = 0;
            native.note(String(native.bytes(new Uint8Array(1 << 20)).length));
            """)
        #expect(notes == ["RangeError 4", "RangeError", "1048576"])
        #expect(rig.isolate.statistics.externalPeak <= 4 << 20)
    }

    @Test func garbageBuffersGiveTheirQuotaBack() throws {
        var limits = IsolateLimits()
        limits.externalBytes = 4 << 20
        let rig = try Rig(limits: limits)
        #expect(rig.run("for (let i = 0; i < 100; i++) new Uint8Array(1 << 20); return 1;").result.int == 1)
    }

    @Test func anOperationCanStopTheScriptThatCalledIt() throws {
        let rig = try Rig()
        let (result, report) = rig.run("native.stop(); for (;;) {}")
        #expect(result.termination == .requested)
        #expect(report.termination == .requested)
        #expect(rig.run("return 3;").result.int == 3)
    }

    @Test func whatIsCalledAfterAStopInTheSameTurnDoesNotRun() throws {
        let rig = try Rig()
        rig.isolate.beginTurn(cpuMicroseconds: 10_000, wallMilliseconds: 10_000)
        let module = ModuleSources(files: ["/m.js": "for (;;) {}"])
        #expect(throws: CallFailure.self) { try rig.isolate.loadModule("/m.js", from: module) }
        #expect(rig.isolate.call(Rig.sum, 1, 1).termination == .cpu)
        #expect(rig.isolate.runMicrotasks() == .cpu)
        #expect(rig.isolate.endTurn().termination == .cpu)
        rig.isolate.beginTurn(cpuMicroseconds: 10_000, wallMilliseconds: 10_000)
        #expect(rig.isolate.call(Rig.sum, 1, 1, 1, 1).int == 4)
        #expect(rig.isolate.endTurn().termination == nil)
    }

    @Test func aCallThatSettlesReportsItsStoppedMicrotasks() throws {
        let rig = try Rig()
        rig.isolate.beginTurn(cpuMicroseconds: 10_000, wallMilliseconds: 10_000)
        #expect(rig.isolate.callAndSettle(Rig.spin, [1, 0, 0, 0, 0], text: -1).int == nil)
        #expect(rig.isolate.termination == .cpu)
        #expect(rig.isolate.endTurn().termination == .cpu)
        rig.isolate.beginTurn(cpuMicroseconds: 10_000, wallMilliseconds: 10_000)
        #expect(rig.isolate.callAndSettle(Rig.sum, [1, 2, 3, 4, 0], text: -1).int == 10)
        #expect(rig.isolate.endTurn().termination == nil)
    }

    @Test func continuationsOfAStoppedScriptDoNotRunInLaterTurns() throws {
        let rig = try Rig()
        let (result, _) = rig.run(
            "for (let i = 0; i < 3; i++) Promise.resolve().then(() => native.note('late')); for (;;) {}",
            cpuMilliseconds: 10)
        #expect(result.termination == .cpu)
        #expect(rig.notes("Promise.resolve().then(() => native.note('mine'));") == ["mine"])
    }

    @Test func aFinalizerIsWatchedToo() throws {
        let rig = try Rig()
        #expect(rig.run("globalThis.r = new FinalizationRegistry(() => { for (;;) {} }); r.register({}, 1);").result.isUndefined)
        rig.isolate.lowMemory()
        rig.isolate.idle(milliseconds: 10)
        #expect(rig.isolate.statistics.terminations == 1)
        #expect(rig.run("return 2;").result.int == 2)
    }

    @Test func errorDescriptionsRunUnderTheSameBudget() throws {
        let rig = try Rig()
        let (result, _) = rig.run("Error.prepareStackTrace = () => { for (;;) {} }; throw new Error('x');", cpuMilliseconds: 10)
        #expect(result.termination == .cpu)
    }

    @Test func rejectionsWithoutAHandlerAreReported() throws {
        let rig = try Rig()
        let source = """
            export default function () {
              Promise.reject(new Error('lost'));
              Promise.reject(new Error('found')).catch(() => {});
              const late = Promise.reject(1); Promise.resolve().then(() => late.catch(() => {}));
              (async () => { throw new TypeError('async'); })();
            }
            """
        rig.isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        let module = try rig.isolate.loadModule("/h/r.js", from: ModuleSources(files: ["/h/r.js": source]))
        #expect(rig.isolate.call(Rig.invoke, with: [.value(module)]).isUndefined)
        #expect(rig.isolate.runMicrotasks() == nil)
        let found = rig.isolate.takeUnhandledRejections()
        #expect(found.errors.map(\.description) == ["/h/r.js:2:18: Error: lost", "/h/r.js:5:24: TypeError: async"])
        #expect(found.dropped == 0)
        #expect(rig.isolate.takeUnhandledRejections().errors.isEmpty)
        rig.isolate.endTurn()
    }
}
