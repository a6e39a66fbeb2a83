import Isolates
import Testing

@Suite struct RoundTripTests {
    @Test(arguments: [true, false]) func integersGoInAndComeBack(snapshot: Bool) throws {
        let rig = try Rig(snapshot: snapshot)
        rig.isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        #expect(rig.isolate.call(Rig.sum, 1, 2, 3, 4).int == 10)
        let report = rig.isolate.endTurn()
        #expect(report.termination == nil)
        #expect(report.elapsedNanoseconds > 0)
        #expect(rig.isolate.statistics.calls == 1)
    }

    @Test(arguments: [true, false]) func argumentsAndResultsOfOperationsKeepTheirValues(snapshot: Bool) throws {
        let rig = try Rig(snapshot: snapshot)
        let notes = rig.notes("""
            const say = (x) => native.note(String(x));
            say(native.int(41)); say(native.double(0.25)); say(native.bool(false));
            say(native.latin1('caf\\u00e9 \\u0000\\u00ff')); say(native.utf8('\\u65e5\\u672c \\ud83d\\ude00'));
            say(native.latin1('') === ''); say(native.list('a', 1, 'é').join('|'));
            say(native.json('{"a":[1,2]}').a[1]); say(native.note('x') === undefined);
            """)
        #expect(notes == ["42", "0.5", "true", "café \0ÿ", "日本 😀", "true", "a||é|42", "2", "x", "true"])
    }

    @Test func latin1RefusesCharactersAbove255AndObjects() throws {
        let rig = try Rig()
        let notes = rig.notes("""
            const attempt = (f) => { try { native.note(String(f())); } catch (e) { native.note(e.name + ': ' + e.message); } };
            attempt(() => native.latin1('\\u0100'));
            attempt(() => native.latin1({ toString() { throw new Error('must not run'); } }));
            attempt(() => native.utf8(new String('x')));
            attempt(() => native.int(1.5));
            attempt(() => native.int());
            attempt(() => native.missing());
            // Two-byte in memory, one-byte in content.
            attempt(() => native.latin1('\\u0100\\u00e9'.slice(1)));
            """)
        #expect(notes == [
            "TypeError: argument 0 has a character above 255", "TypeError: argument 0 must be a string",
            "TypeError: argument 0 must be a string", "TypeError: argument 0 must be a 32-bit integer",
            "TypeError: argument 0 must be a 32-bit integer", "Error: no operation missing", "é",
        ])
    }

    @Test func bytesAreCopiedInAndReadInPlace() throws {
        let rig = try Rig()
        let notes = rig.notes("""
            const say = (x) => native.note(String(x));
            say(native.bytes(new Uint8Array([1, 2, 255])));
            say(native.bytes(new Uint8Array(1000).fill(9).subarray(10, 13)));
            say(native.bytes(new Uint8Array([5, 6, 7]).buffer).length);
            say(native.bytes(new DataView(new ArrayBuffer(2))).length);
            say(native.bytes(new Uint8Array(0)).length);
            const target = new Uint8Array(5);
            native.fill(target, new Uint8Array([3, 4]), 2); say(target);
            try { native.fill(target, new Uint8Array([3, 4]), 4); } catch (e) { say(e.name); }
            native.detach(target); say(target.length);
            try { native.bytes('no'); } catch (e) { say(e.name); }
            """)
        #expect(notes == ["1,2,255", "9,9,9", "3", "2", "0", "0,0,3,4,0", "RangeError", "0", "TypeError"])
        #expect(rig.isolate.statistics.bytesCopiedIn >= 13)
    }

    @Test func aChunkArrivesAsAUint8Array() throws {
        let rig = try Rig()
        rig.isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        let chunk = [UInt8](repeating: 3, count: 70_000)
        #expect(rig.isolate.call(Rig.measure, 1, 2, 4, bytes: chunk.span).int == 70_010)
        #expect(rig.isolate.call(Rig.measure, 1, 2, 4, bytes: [UInt8]().span).int == 7)
        rig.isolate.endTurn()
        #expect(rig.isolate.statistics.externalBytes >= 70_000)
        #expect(rig.isolate.statistics.bytesCopiedIn == 70_000)
    }

    @Test func bytesStayReadableWhenTheScriptLosesThem() throws {
        let rig = try Rig()
        #expect(rig.notes("native.note(String(native.lose(new Uint8Array(5000).fill(9))));") == ["9 of 5000, then 0"])
    }

    @Test func longStringsOutgrowTheScratchAndComeBackWhole() throws {
        let rig = try Rig()
        let notes = rig.notes("""
            const long = 'x'.repeat(100000) + 'é';
            native.note(String(native.latin1(long) === long));
            native.note(String(native.utf8(long) === long));
            """)
        #expect(notes == ["true", "true"])
    }

    @Test func kindsOfArgumentsAreTold() throws {
        let rig = try Rig()
        let notes = rig.notes("""
            for (const x of [undefined, null, true, 1, 1.5, 's', new Uint8Array(1), () => 1, Promise.resolve(), {}, [], Symbol.iterator])
              native.note(native.kind(x));
            native.note(native.kind());
            """)
        #expect(notes == [
            "undefined", "null", "boolean", "number", "number", "string", "bytes", "function", "promise", "object",
            "object", "object", "undefined",
        ])
    }

    @Test func aKeptValueIsTheSameObjectInALaterCall() throws {
        let rig = try Rig()
        #expect(rig.run("globalThis.first = {n: 5}; native.keep(globalThis.first);").result.isUndefined)
        rig.isolate.lowMemory()
        #expect(rig.isolate.statistics.liveValues == 1)
        #expect(rig.run("return native.kept() === globalThis.first && native.kept().n === 5;").result.bool == true)
        rig.operations.keptValue = nil
        #expect(rig.isolate.statistics.liveValues == 0)
    }

    @Test func argumentsOfEveryKindReachTheScript() throws {
        let rig = try Rig()
        rig.isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        defer { rig.isolate.endTurn() }
        let module = try rig.isolate.loadModule("/m.js", from: ModuleSources(files: [
            "/m.js": "export default (...a) => JSON.stringify(a.map((x) => x instanceof Uint8Array ? [...x] : x === undefined ? 'undefined' : x))"
        ]))
        let text = try rig.isolate.callKeeping(Rig.invoke, with: [
            .value(module), .undefined, .null, .bool(true), .int(-3), .double(1.5), .string("日本"), .latin1([0xE9]),
            .json(#"{"a":1}"#), .bytes([1, 2]),
        ])
        #expect(text.string == #"["undefined",null,true,-3,1.5,"日本","é",{"a":1},[1,2]]"#)
        let bad = rig.isolate.call(Rig.identity, with: [.json("{")])
        #expect(bad.error?.message.contains("SyntaxError") == true)
    }

    @Test func functionsKeptFromAModuleCanBeCalled() throws {
        let rig = try Rig()
        rig.isolate.beginTurn(cpuMicroseconds: 1_000_000, wallMilliseconds: 10_000)
        defer { rig.isolate.endTurn() }
        let module = try rig.isolate.loadModule("/m.js", from: ModuleSources(files: [
            "/m.js": "export default { onRequest(a) { return 'got ' + a; } }"
        ]))
        let object = try rig.isolate.property("default", of: module)
        let function = try rig.isolate.property("onRequest", of: object)
        guard case .function = function.result else { Issue.record("no function"); return }
        guard case .undefined = try rig.isolate.property("onResponse", of: object).result else {
            Issue.record("onResponse should be missing")
            return
        }
        #expect(try rig.isolate.call(function: function, with: [.string("é")]).string == "got é")
    }

    @Test func nativeOperationsThrowWhileASnapshotIsMade() {
        #expect(throws: JSError.self) {
            try Prelude(
                name: "early.js", source: "native.now(); return { a() {} };", operations: ["now"], entries: ["a"])
        }
    }

    @Test(arguments: [true, false]) func aPreludeWithAFaultIsRefusedWithItsPosition(snapshot: Bool) throws {
        let error = #expect(throws: JSError.self) {
            let prelude = try Prelude(
                name: "bad.js", source: "let a = 1;\nnope();\nreturn {};", operations: [], entries: [],
                snapshot: snapshot)
            _ = try Isolate(name: "x", prelude: prelude, operations: NativeOperations())
        }
        #expect(error?.description == "bad.js:2:1: ReferenceError: nope is not defined")
    }
}
