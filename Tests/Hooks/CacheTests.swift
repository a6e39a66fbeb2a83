import Buffers
import HTTP
import KeyValue
import Testing

@testable import Hooks

/// A call whose `caches` are kept by a cache of the test's.
private final class CachingCall: FakeCall {
    var cache = ResponseCache()
    var now: UInt64 = 1_000
    private var waiting: [HookStoreRequest] = []

    override func store(_ request: HookStoreRequest) {
        precondition(request.store == HookStoreRequest.cache)
        waiting.append(request)
    }

    /// Answers until nothing is asked any more.
    func answerAll() {
        while !waiting.isEmpty {
            let request = waiting.removeFirst()
            storeFinished(request.ticket, cache.perform(request.request, of: "a", now: now, within: 64 << 20))
        }
    }
}

/// `caches`: what is kept, for how long, for whom, and what a match answers.
@Suite struct CacheTests {
    private func found(_ script: String, _ location: SourceLocation = #_sourceLocation) throws -> String {
        let bench = try Bench("""
            const cache = caches.default, url = 'https://a.test/page?x=1';
            const keep = (headers, status = 200, request = url) => cache.put(request, new Response(status === 304 ? null : 'the body', { status, headers }));
            const show = (response) => (response === undefined ? 'nothing' : response.text().then((text) => `${response.status} ${text}`));
            const get = async (request = url, options) => show(await cache.match(request, options));
            const failure = async (work) => { try { await work(); return 'no error'; } catch (error) { return `${error.name}: ${error.message}`; } };
            export default { async onRequest() { return new Response(String(await (async () => { \(script) })())); } };
            """)
        let call = CachingCall()
        var outcome = bench.run(.request, call)
        call.answerAll()
        if outcome == nil { outcome = call.outcomes.popLast() }
        guard case .respond(let body)? = outcome else { return line(outcome) }
        return text(body)
    }

    @Test(arguments: [
        ("await keep({}); return [await get(), await get('https://a.test/page?x=2'), await get(url + '#part')]", "200 the body,nothing,200 the body"),
        ("await keep({}); return [await cache.delete(url), await cache.delete(url), await get()]", "true,false,nothing"),
        ("await keep({}); return (await Promise.all([caches.open('a'), caches.open('b')])).map((one) => one.constructor.name).concat(await show(await (await caches.open('a')).match(url)))", "Cache,Cache,nothing"),
        ("await (await caches.open('a')).put(url, new Response('A')); return [await show(await (await caches.open('a')).match(url)), await get()]", "200 A,nothing"),
        ("await keep({}); return [await get(new Request(url, { method: 'POST' })), await get(new Request(url, { method: 'POST' }), { ignoreMethod: true }), await cache.delete(new Request(url, { method: 'POST' }))]", "nothing,200 the body,false"),
        ("await keep({ 'x-own': '1', 'content-type': 'text/x' }); const r = await cache.match(url); return [r.headers.get('x-own'), r.headers.get('content-type'), r.headers.get('age'), r.headers.get('cf-cache-status')]", "1,text/x,0,HIT"),
        ("await keep({ 'x-own': '1' }); const r = await cache.match(url); r.headers.set('x-more', '2'); return (await cache.match(url)).headers.has('x-more')", "false"),
    ])
    func whatIsKeptIsFound(_ script: String, _ expected: String) throws {
        #expect(try found(script) == expected)
    }

    /// RFC 9111 sections 3 and 4.2, and what Cloudflare says of `cache.put`.
    @Test(arguments: [
        ("{ 'cache-control': 'no-store' }", "nothing"), ("{ 'cache-control': 'private, max-age=60' }", "nothing"),
        ("{ 'cache-control': 'no-cache' }", "nothing"), ("{ 'cache-control': 'max-age=0' }", "nothing"),
        ("{ 'cache-control': 'public, MAX-AGE=\"60\"' }", "200 the body"), ("{ 'cache-control': 's-maxage=0, max-age=60' }", "nothing"),
        ("{ 'cache-control': 'max-age=60', age: '60' }", "nothing"), ("{ 'cache-control': 'max-age=60', age: '59' }", "200 the body"),
        ("{ expires: 'Thu, 01 Jan 1970 00:00:00 GMT' }", "nothing"), ("{ expires: '0' }", "nothing"),
        ("{ expires: new Date(Date.now() + 60000).toUTCString() }", "200 the body"),
        ("{ 'cache-control': 'max-age=60', expires: '0' }", "200 the body"),
        ("{ 'set-cookie': 'a=1' }", "nothing"), ("{ 'set-cookie': 'a=1', 'cache-control': 'private=Set-Cookie, max-age=60' }", "200 the body"),
        ("{}, 500", "nothing"), ("{ 'cache-control': 'max-age=60' }, 500", "500 the body"), ("{}, 404", "404 the body"),
    ])
    func howLongAnAnswerIsKept(_ answer: String, _ expected: String) throws {
        #expect(try found("await keep(\(answer)); return get()") == expected)
    }

    @Test func cookiesAreNotGivenToOthers() throws {
        #expect(try found("await keep({ 'set-cookie': 'a=1', 'cache-control': 'private=set-cookie' }); return (await cache.match(url)).headers.has('set-cookie')") == "false")
    }

    @Test func itsTimeEnds() throws {
        let bench = try Bench("export default { async onRequest(request) { if (!(await caches.default.match(request))) { await caches.default.put(request.url, new Response('x', { headers: { 'cache-control': 'max-age=5' } })); return new Response('kept'); } return new Response('found'); } };")
        bench.exchange.request.setMethod(Span("GET"))
        let call = CachingCall()
        var seen: [String] = []
        for now: UInt64 in [1_000, 1_004, 1_005] {
            call.now = now
            _ = bench.run(.request, call)
            call.answerAll()
            seen.append(line(call.outcomes.popLast()))
        }
        #expect(seen == ["respond kept", "respond found", "respond kept"])
    }

    @Test func answersThatVaryAreKeptForEachKindOfRequest() throws {
        let ask = "const ask = (language) => new Request(url, { headers: { 'accept-language': language } }); const put = (language) => cache.put(ask(language), new Response(language, { headers: { vary: 'Accept-Language' } }));"
        #expect(try found("\(ask) await put('de'); await put('en'); return [await get(ask('de')), await get(ask('en')), await get(ask('fr')), await get()]")
            == "200 de,200 en,nothing,nothing")
        #expect(try found("\(ask) await put('de'); await cache.delete(url); await put('en'); return [await get(ask('de')), await get(ask('en'))]")
            == "nothing,200 en", "what was deleted does not come back with the next")
    }

    /// RFC 9110 sections 13 and 14.
    @Test(arguments: [
        ("{ 'if-none-match': '\"a\"' }", "304 "), ("{ 'if-none-match': 'W/\"b\", W/\"a\"' }", "304 "), ("{ 'if-none-match': '\"b\"' }", "200 the body"),
        ("{ 'if-none-match': '*' }", "304 "), ("{ 'if-modified-since': 'Thu, 01 Jan 2026 00:00:00 GMT' }", "304 "),
        ("{ 'if-modified-since': 'Wed, 31 Dec 2025 00:00:00 GMT' }", "200 the body"),
        ("{ 'if-none-match': '\"b\"', 'if-modified-since': 'Thu, 01 Jan 2026 00:00:00 GMT' }", "200 the body"),
        ("{ range: 'bytes=4-' }", "206 body"), ("{ range: 'bytes=0-2' }", "206 the"), ("{ range: 'bytes=-4' }", "206 body"),
        ("{ range: 'bytes=4-100' }", "206 body"), ("{ range: 'bytes=8-' }", "416 "), ("{ range: 'bytes=3-1' }", "200 the body"),
        ("{ range: 'bytes=0-1,4-5' }", "200 the body"), ("{ range: 'bytes=0-2', 'if-range': '\"b\"' }", "200 the body"),
        ("{ range: 'bytes=0-2', 'if-range': '\"a\"' }", "206 the"),
    ])
    func conditionsAndRangesAreAnswered(_ headers: String, _ expected: String) throws {
        #expect(try found("await keep({ etag: '\"a\"', 'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT' }); return get(new Request(url, { headers: \(headers) }))") == expected)
    }

    @Test(arguments: [
        ("cache.put(new Request(url, { method: 'POST' }), new Response('x'))", "TypeError: Cache.put: the request is a POST, and answers to GET are kept only"),
        ("cache.put(url, 'x')", "TypeError: Cache.put: the second argument is not a Response"),
        ("keep({}, 206)", "TypeError: Cache.put: an answer with a part of something (206) is not kept"),
        ("keep({ vary: 'accept, *' })", "TypeError: Cache.put: an answer with Vary: * fits no other request"),
        ("cache.put(url, new Response(new Uint8Array((1 << 20) + 1)))", "RangeError: Cache.put: the body is larger than 1048576 bytes"),
        ("(async () => { const r = new Response('x'); await r.text(); return cache.put(url, r); })()", "TypeError: Cache.put: the body was used already"),
        ("cache.match('no url')", "TypeError: "), ("new Cache()", "TypeError: Illegal constructor"), ("cache.match()", "TypeError: Cache.match: 1 argument required, 0 given"),
    ])
    func whatIsNotKeptIsSaid(_ work: String, _ expected: String) throws {
        #expect(try found("return failure(() => \(work))").hasPrefix(expected))
    }

    @Test func aBodyOfAMebibyteIsKept() throws {
        #expect(try found("await cache.put(url, new Response(new Uint8Array(1 << 20))); return (await (await cache.match(url)).arrayBuffer()).byteLength") == "1048576")
    }

    /// A cordon's request crosses the wire as a cache's and as nothing else's.
    @Test func theWireKnowsThePlace() throws {
        let function = HookRuntime(host: FakeHost()).register(HookSource(name: "f", main: "a.js", modules: [:]))
        let call = FakeCall()
        for place in [HookStoreRequest.cache, 0] {
            var wire = WireWriter()
            let request = HookStoreRequest(ticket: HookStoreTicket(id: 1, use: 0), store: place, request: StoreRequest(.get, key: [1]))
            request.write(to: &wire)
            let bytes = wire.arena[wire.arena.range(since: 0)].array()
            var reader = WireReader(bytes.span)
            let read = try? HookStoreRequest.read(from: &reader, call, function.source)
            #expect(read?.store == (place == HookStoreRequest.cache ? place : nil))
        }
    }
}
