import Buffers
import HTTP
import KeyValue
import Testing

@testable import Hooks

/// Answers a hook's requests from memory, when told to.
final class StoreCall: FakeCall {
    var memories: [Int: MemoryStore] = [:]
    var now: UInt64 = 1_000
    var asked: [HookStoreRequest] = []
    /// In the place of an answer.
    var failure: StoreFailure?

    override func store(_ request: HookStoreRequest) { asked.append(request) }

    /// Answers what was asked until nothing is.
    func serve(_ between: () throws -> Void) rethrows {
        while !asked.isEmpty {
            let request = asked.removeFirst()
            storeFinished(request.ticket, failure.map { .failed($0) } ?? memories[request.store, default: MemoryStore()].perform(request.request, now: now))
            try between()
        }
    }
}

@Suite struct StoreTests {
    /// Runs the body of an async function of (env) and gives what it returns, as JSON text.
    func evaluate(_ body: String, _ call: StoreCall = StoreCall(), stores: [HookStoreGrant] = [HookStoreGrant(name: "KV")]) throws -> String {
        let bench = try Bench("export default { async onRequest(request, env) { return new Response(JSON.stringify(await (async () => { \(body) })())); } };") { _ in } source: { $0.stores = stores }
        let atOnce = bench.run(.request, call)
        call.serve {}
        guard case .respond(.bytes(let bytes))? = atOnce ?? call.outcomes.first else { return "\(call.outcomes)" }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func `values come back in every type`() throws {
        #expect(try evaluate("""
            await env.KV.put("text", "grüße");
            await env.KV.put("bytes", new Uint8Array([0, 255, 7]));
            await env.KV.put("json", JSON.stringify({ a: [1] }));
            await env.KV.put("stream", new Blob(["flowing"]).stream());
            const buffer = await env.KV.get("bytes", "arrayBuffer");
            return [await env.KV.get("text"), [...new Uint8Array(buffer)], await env.KV.get("json", { type: "json" }),
              await new Response(await env.KV.get("stream", "stream")).text(), await env.KV.get("none"), buffer instanceof ArrayBuffer];
            """) == #"["grüße",[0,255,7],{"a":[1]},"flowing",null,true]"#)
    }

    @Test func `metadata, ends of life, several keys at once`() throws {
        let call = StoreCall()
        #expect(try evaluate("""
            await env.KV.put("a", "1", { metadata: { tags: ["x"] }, expirationTtl: 60 });
            await env.KV.put("b", "2", { expiration: 5000 });
            await env.KV.put("c", "3");
            await env.KV.delete("c");
            const many = await env.KV.get(["a", "b", "c"]);
            return [await env.KV.getWithMetadata("a"), await env.KV.getWithMetadata("b"), await env.KV.getWithMetadata("c"), [...many],
              [...await env.KV.getWithMetadata(["a"])]];
            """, call) == #"[{"value":"1","metadata":{"tags":["x"]}},{"value":"2","metadata":null},{"value":null,"metadata":null},[["a","1"],["b","2"],["c",null]],[["a",{"value":"1","metadata":{"tags":["x"]}}]]]"#)
        guard case .page(let page)? = call.memories[0]?.perform(StoreRequest(.list, key: []), now: 0) else { return }
        #expect(page.names.map(\.expiration) == [1_060, 5_000])
    }

    @Test func `lists in pages`() throws {
        #expect(try evaluate("""
            for (const name of ["u/1", "u/ü", "u/2", "v"]) await env.KV.put(name, "x", name === "u/1" ? { metadata: 7, expiration: 9000 } : {});
            const first = await env.KV.list({ prefix: "u/", limit: 2 });
            const second = await env.KV.list({ prefix: "u/", limit: 2, cursor: first.cursor });
            return [first.keys, first.list_complete, typeof first.cursor, second, (await env.KV.list()).keys.length];
            """) == #"[[{"name":"u/1","expiration":9000,"metadata":7},{"name":"u/2"}],false,"string",{"keys":[{"name":"u/ü"}],"list_complete":true},4]"#)
    }

    @Test func `mistakes are rejections, and name what is wrong`() throws {
        let told = try evaluate("""
            const said = async (make) => { try { await make(); return "nothing"; } catch (error) { return `${error.name}: ${error.message}`; } };
            return [
              await said(() => env.KV.get("")), await said(() => env.KV.get("x".repeat(512))), await said(() => env.KV.put("a", { no: 1 })),
              await said(() => env.KV.put("a", "x".repeat(11))), await said(() => env.KV.put("a", "x", { expirationTtl: 0 })),
              await said(() => env.KV.put("a", "x", { metadata: "m".repeat(1100) })), await said(() => env.KV.get("a", "blob")),
              await said(() => env.KV.list({ limit: 0 })), await said(() => env.KV.list({ cursor: "%" })), await said(() => env.KV.put("a")),
              await said(() => new env.KV.constructor(0, 0, "KV"))];
            """, stores: [HookStoreGrant(name: "KV", largestValue: 10)])
        #expect(told == """
            ["RangeError: a key is not empty","RangeError: the key has 512 bytes, at most 511 are allowed",\
            "TypeError: put: the value is a string, an ArrayBuffer, a view of one, or a ReadableStream",\
            "RangeError: the value has 11 bytes, at most 10 are allowed","RangeError: put: expirationTtl is a number of seconds, at least 1",\
            "RangeError: the metadata has 1102 bytes, at most 1024 are allowed","TypeError: get: the type is one of text, json, arrayBuffer, stream",\
            "RangeError: the limit of a list is from 1 to 1000","TypeError: list: the cursor is not one that list() gave",\
            "TypeError: put: 2 arguments required, 1 given","TypeError: Illegal constructor"]
            """)
    }

    @Test func `a store that fails rejects with its words`() throws {
        let call = StoreCall()
        call.failure = StoreFailure(.full, "the namespace is full")
        #expect(try evaluate("try { await env.KV.put('a', 'b'); } catch (error) { return `${error}`; }", call) == "\"Error: the namespace is full\"")
    }

    @Test func `Azion's KV reaches granted namespaces only`() throws {
        #expect(try evaluate("""
            const kv = new Azion.KV(), other = new Azion.KV("B");
            await kv.put("object", { id: 1 });
            await other.put("object", "of b");
            let refused = "";
            try { new Azion.KV("C"); } catch (error) { refused = error.message; }
            return [await kv.get("object", "json"), await env.A.get("object"), refused];
            """, stores: [HookStoreGrant(name: "A"), HookStoreGrant(name: "B")])
            == #"[{"id":1},"{\"id\":1}","the namespace C is not granted to this function"]"#)
    }

    @Test func `a call asks a thousand times and not once more`() throws {
        #expect(try evaluate("""
            for (let i = 0; i < 1000; i++) await env.KV.get("k");
            try { await env.KV.get("k"); return "no"; } catch (error) { return error.message; }
            """) == "\"the limit of 1000 key-value requests for one call was reached\"")
    }

    @Test func `an answer that comes late is nobody else's`() throws {
        let bench = try Bench("export default { async onRequest(request, env) { return new Response(await env.KV.get(request.headers.get('user-agent')) ?? 'none'); } };") { _ in } source: { $0.stores = [HookStoreGrant(name: "KV")] }
        let call = StoreCall()
        bench.exchange.request.set(.userAgent, "first")
        _ = bench.run(.request, call)
        let late = call.asked.removeFirst()
        call.cancel()
        bench.exchange.request.set(.userAgent, "second")
        _ = bench.run(.request, call)
        call.storeFinished(late.ticket, .entry(StoredEntry(value: Array("of the first".utf8))))
        #expect(call.outcomes.isEmpty)
        call.storeFinished(call.asked.removeFirst().ticket, .missing)
        guard case .respond(.bytes(let bytes))? = call.outcomes.first else { Issue.record("\(call.outcomes)"); return }
        #expect(String(decoding: bytes, as: UTF8.self) == "none")
    }

    @Test func `a cordon's requests pass, with the limits that hold here`() throws {
        let pair = try RemotePair("""
            export default { async onRequest(request, env, ctx) {
              await env.KV.put("a", "one", { metadata: { m: 1 }, expirationTtl: 60 });
              const { value, metadata } = await env.KV.getWithMetadata("a");
              const page = await env.KV.list({ limit: 1 });
              ctx.waitUntil(env.KV.put("tail", "t"));
              return new Response(value + metadata.m + page.keys[0].name + env.SECRET);
            } };
            """, source: {
                $0.stores = [HookStoreGrant(name: "KV", largestValue: 100)]
                $0.secrets = ["SECRET": "s3cret"]
            }, call: StoreCall())
        try pair.start()
        let call = try #require(pair.call as? StoreCall)
        try call.serve { try pair.move() }
        guard case .respond(.bytes(let bytes))? = call.outcomes.first else { Issue.record("\(call.outcomes)"); return }
        #expect(String(decoding: bytes, as: UTF8.self) == "one1as3cret")
        #expect(call.releases == 1 && call.memories[0]?.all(now: 0).count == 2)
        var wire = WireWriter(capacity: 64)
        var request = StoreRequest(.put, key: [65])
        request.value = Array(repeating: 0, count: 101)
        HookStoreRequest(ticket: HookStoreTicket(id: 9, use: 0), store: 0, request: request).write(to: &wire)
        let bytes2 = wire.arena[wire.arena.range(since: 0)].array()
        #expect(throws: WireError.self) {
            var reader = WireReader(bytes2.span)
            _ = try HookStoreRequest.read(from: &reader, call, pair.function.source)
        }
    }

    @Test func `no log line and no failure shows a secret`() throws {
        let bench = try Bench("""
            export default { onRequest(request, env) { console.log("key is", env.KEY, env.SHORT); throw new Error(`${env.KEY} failed`); } };
            """) { _ in } source: { $0.secrets = ["KEY": "hunter2hunter2", "SHORT": "abc"] }
        guard case .failed(let failure)? = bench.run() else { Issue.record("it did not fail"); return }
        #expect(failure.message == "Error: [secret KEY] failed")
        #expect(bench.host.lines == ["under test 1: key is [secret KEY] abc"])
    }
}
