import Testing

@testable import Hooks

/// The Web APIs of the prelude, each expression against what the standard says.
@Suite struct WebAPITests {
    @Test func urlsParseAsTheStandardSays() throws {
        try check([
            ("new URL('HTTP://EXAMPLE.com:80/../a/./b/%2e%2E/c')", "http://example.com/a/c"),
            ("new URL('https://user:pa%20ss@ex.com:8443/x y?q=a b#f g')", "https://user:pa%20ss@ex.com:8443/x%20y?q=a%20b#f%20g"),
            ("new URL('../x?y', 'http://base.com/a/b/c?q#f')", "http://base.com/a/x?y"),
            ("new URL('//host/p', 'https://base/')", "https://host/p"),
            ("new URL('http://[1:2::3:4.5.6.7]/')", "http://[1:2::3:405:607]/"),
            ("new URL('http://0x7f.1/')", "http://127.0.0.1/"),
            ("new URL('http://münchen.de/ä?ö#ü')", "http://xn--mnchen-3ya.de/%C3%A4?%C3%B6#%C3%BC"),
            ("new URL('file:///C|/a/../..')", "file:///C:/"),
            ("new URL('mailto:a@b.c').pathname", "a@b.c"),
            ("new URL('http://a?b').search + new URL('http://a').origin", "?bhttp://a"),
            ("new URL('http://a:99999/')", "TypeError: Invalid URL: \"http://a:99999/\""),
            ("new URL('/rel')", "TypeError: Invalid URL: \"/rel\""),
            ("URL.canParse('x:') + ' ' + URL.canParse('x')", "true false"),
            ("(() => { const u = new URL('http://a/b?c=1'); u.searchParams.append('d', 'é &'); u.port = '81'; u.hash = 'h'; u.protocol = 'https'; return u; })()",
             "https://a:81/b?c=1&d=%C3%A9+%26#h"),
            ("(() => { const u = new URL('http://a/?x=1'); const p = u.searchParams; u.search = '?y=2'; return p.get('y') + p.has('x'); })()", "2false"),
            ("JSON.stringify({ u: new URL('http://a') })", "{\"u\":\"http://a/\"}"),
        ])
    }

    @Test func searchParamsKeepOrderAndDuplicates() throws {
        try check([
            ("new URLSearchParams('?a=1&b=%20x&a=2+3').getAll('a')", "1,2 3"),
            ("new URLSearchParams({ b: 'ü', a: '*-._' })", "b=%C3%BC&a=*-._"),
            ("new URLSearchParams([['z', 1], ['a', 2], ['z', 0]]).size", "3"),
            ("(() => { const p = new URLSearchParams('z=1&a=2&z=0'); p.sort(); p.delete('z', '1'); p.set('a', '9'); return p; })()", "a=9&z=0"),
            ("[...new URLSearchParams('a=1&b=2')].join('|') + new URLSearchParams('a').get('b')", "a,1|b,2null"),
            ("new URLSearchParams([['one']])", "TypeError: URLSearchParams: each pair must be an iterable of [name, value]"),
        ])
    }

    @Test func headersSortCombineAndValidate() throws {
        try check([
            ("JSON.stringify([...new Headers([['B', ' 1 '], ['a', '2'], ['b', '3'], ['set-cookie', 'x'], ['Set-Cookie', 'y']])])",
             "[[\"a\",\"2\"],[\"b\",\"1, 3\"],[\"set-cookie\",\"x\"],[\"set-cookie\",\"y\"]]"),
            ("new Headers({ A: 'x' }).has('a') + ' ' + new Headers().get('none')", "true null"),
            ("(() => { const h = new Headers({ a: '1' }); h.append('A', '2'); const s = h.get('a'); h.set('a', '3'); h.delete('none'); return s + '|' + h.get('a'); })()", "1, 2|3"),
            ("new Headers([['set-cookie', 'a=1'], ['set-cookie', 'b=2']]).getSetCookie().length", "2"),
            ("new Headers({ 'a b': '1' })", "TypeError: \"a b\" is not a header name"),
            ("new Headers({ a: 'x\\ny' })", "TypeError: a header value holds a NUL or a line break"),
            ("new Headers({ a: '\\u20ac' })", "TypeError: a header value holds a character above U+00FF"),
            ("new Response('', { headers: { a: '\\xe9' } }).headers.get('a')", "é"),
            ("Response.redirect('http://a/').headers.set('b', 'c')", "TypeError: these headers are immutable; change a copy: new Headers(headers)"),
        ])
    }

    @Test func requestsAndResponsesStandAlone() throws {
        try check([
            ("(() => { const r = new Request('http://a/b#c', { method: 'post', headers: { x: '1' }, body: 'text' }); return [r.method, r.url, r.headers.get('content-type'), r.bodyUsed].join(); })()",
             "POST,http://a/b#c,text/plain;charset=UTF-8,false"),
            ("new Request('http://a', { method: 'POST', body: new Uint8Array([104, 105]) }).text()", "hi"),
            ("new Request('http://a', { body: 'x' })", "TypeError: Request: a GET request has no body"),
            ("new Request('nothing')", "TypeError: Invalid URL: \"nothing\""),
            ("(async () => { const r = new Response('{\"a\":[1]}'); const c = r.clone(); return (await r.json()).a[0] + await c.text() + r.bodyUsed; })()", "1{\"a\":[1]}true"),
            ("(async () => { const r = new Response('x'); await r.text(); return r.text(); })()", "TypeError: text: the body was read already"),
            ("(() => { const r = Response.json({ a: 1 }, { status: 201 }); return r.status + r.headers.get('content-type') + r.ok; })()", "201application/jsontrue"),
            ("Response.redirect('http://a/b', 307).headers.get('location') + Response.error().status", "http://a/b0"),
            ("Response.redirect('http://a/', 200)", "RangeError: Response.redirect: 200 is not a redirect status"),
            ("new Response('x', { status: 204 })", "TypeError: Response: a response with status 204 has no body"),
            ("[new Response().body, new Response().status, new Response(null).bodyUsed].join()", ",200,false"),
            ("new Response(new URLSearchParams({ a: 'b c' })).text()", "a=b+c"),
            ("(async () => { const [a, b] = new Response('tee').body.tee(); return await new Response(a).text() + await new Response(b).text(); })()", "teetee"),
            ("(async () => { const s = new Response('x').body; s.getReader(); return new Response(s); })()", "TypeError: body: the body is locked to a reader"),
            ("new Response('\\ufeffmark').text()", "mark"),
        ])
    }

    @Test func textIsEncodedAndDecoded() throws {
        try check([
            ("new TextEncoder().encode('aé€😀')", "97,195,169,226,130,172,240,159,152,128"),
            ("new TextEncoder().encode('\\ud800')", "239,191,189"),
            ("JSON.stringify(new TextEncoder().encodeInto('aé😀', new Uint8Array(6)))", "{\"read\":2,\"written\":3}"),
            ("new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x61, 0xff]))", "a\u{fffd}"),
            ("new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xff]))", "TypeError: TextDecoder: the bytes are not valid UTF-8"),
            ("(() => { const d = new TextDecoder(); let s = ''; for (const b of new TextEncoder().encode('aé€😀')) s += d.decode(new Uint8Array([b]), { stream: true }); return s + d.decode(); })()", "aé€😀"),
            ("new TextDecoder('latin1').decode(new Uint8Array([0x80, 0xe9])) + new TextDecoder(' ISO-8859-1 ').encoding", "€éwindows-1252"),
            ("new TextDecoder('utf-16le').decode(new Uint8Array([0x61, 0, 0x3d, 0xd8, 0, 0xde]))", "a😀"),
            ("new TextDecoder('klingon')", "RangeError: TextDecoder: the encoding \"klingon\" is not supported"),
            ("btoa('h\\xe9\\xff') + atob(' aGk= ')", "aOn/hi"),
            ("atob('a')", "InvalidCharacterError: atob: the string is not base64"),
            ("btoa('€')", "InvalidCharacterError: btoa: a character is outside Latin-1"),
        ])
    }

    @Test func structuredCloneKeepsTypesCyclesAndSharing() throws {
        try check([
            ("""
            (() => { const a = { d: new Date(0), m: new Map([["k", [1, , 3]]]), s: new Set([1n]), b: new Uint8Array([1, 2]).subarray(1),
              e: new TypeError("x"), z: -0, u: undefined, r: /a/gi, n: Object(5) }; a.self = a; const c = structuredClone(a);
              return [c !== a, c.self === c, c.d.getTime(), c.m.get("k").length, 1 in c.m.get("k"), typeof [...c.s][0], c.b[0], c.b.byteOffset,
                c.e instanceof TypeError, Object.is(c.z, -0), "u" in c, c.r.flags, typeof c.n].join(); })()
            """, "true,true,0,3,false,bigint,2,1,true,true,true,gi,object"),
            ("structuredClone({ f() {} })", "DataCloneError: function cannot be cloned"),
            ("structuredClone({ a: [new Headers()] })", "DataCloneError: a Headers object cannot be cloned"),
            ("structuredClone(Symbol('s'))", "DataCloneError: symbol cannot be cloned"),
            ("(() => { const b = new ArrayBuffer(8); const c = structuredClone(b, { transfer: [b] }); return b.byteLength + ' ' + c.byteLength; })()", "0 8"),
            ("JSON.stringify(structuredClone({ ['__proto__']: 1 }))", "{\"__proto__\":1}"),
        ])
    }

    @Test func eventsAndAbortSignalsWork() throws {
        try check([
            ("(() => { const t = new EventTarget(); let n = 0; t.addEventListener('x', (e) => { n++; e.preventDefault(); }, { once: true }); const r = t.dispatchEvent(new Event('x', { cancelable: true })); t.dispatchEvent(new Event('x')); return n + ' ' + r; })()", "1 false"),
            ("(() => { const c = new AbortController(); let s = ''; const any = AbortSignal.any([c.signal]); any.onabort = () => s += 'h'; c.abort(); c.abort(); return s + any.reason.name + any.aborted; })()", "hAbortErrortrue"),
            ("AbortSignal.abort('why').throwIfAborted()", "undefined: undefined"),
            ("new DOMException('m', 'AbortError').code + new DOMException('m').name + (new DOMException() instanceof Error)", "20Errortrue"),
            ("new AbortSignal()", "TypeError: Illegal constructor"),
        ])
    }

    @Test func timersFollowTheClockOfTheWorker() throws {
        let bench = try Bench("""
            export default { async onRequest() {
              const seen = [], mark = (what) => seen.push(`${what}@${performance.now() - begun}`), begun = performance.now();
              setTimeout(mark, 30, "late"); setTimeout(mark, 10, "early"); clearTimeout(setTimeout(mark, 5, "never"));
              let n = 0;
              await new Promise((done) => { const id = setInterval(() => { mark("tick"); if (++n === 4) { clearInterval(id); done(); } }, 10); });
              queueMicrotask(() => mark("micro"));
              await null;
              return new Response(seen.join(" "));
            } }
            """)
        bench.run()
        #expect(bench.runtime.nextDeadline == bench.host.clock + 10_000_000)
        for _ in 0..<8 { bench.advance(milliseconds: 5) }
        #expect(line(bench.call.outcomes.first) == "respond early@10 tick@10 tick@20 late@30 tick@30 tick@40 micro@40")
        #expect(bench.runtime.nextDeadline == nil)
    }

    @Test func theConsoleFormatsWithinBounds() throws {
        let bench = try Bench("""
            export default { onRequest(request) {
              console.log("%s has %d of %i %o%%", "a", "4.5", 7.9, { x: 1 }, "rest");
              console.info({ a: [1, "two", null, undefined, -0, 3n], m: new Map([[1, { b: 2 }]]), f() {}, d: new Date(0), get g() { throw 1; } });
              console.warn(request.headers, new URLSearchParams("a=b"), Symbol("s"));
              const loop = {}; loop.loop = loop; console.error(loop, { a: { b: { c: { d: { e: 1 } } } } });
              console.debug("x".repeat(20000)); console.assert(1 === 2, "math"); console.count(); console.log();
            } }
            """, limits: { $0.logBytes = 1 << 20 })
        bench.run()
        let lines = bench.host.lines.map { $0.dropFirst("under test ".count) }
        #expect(lines[0] == "1: a has 4 of 7 { x: 1 }% rest")
        #expect(lines[1] == "1: { a: [1, \"two\", null, undefined, -0, 3n], m: Map(1) { 1 => { b: 2 } }, f: [Function f], d: 1970-01-01T00:00:00.000Z, g: [Getter] }")
        #expect(lines[2].hasPrefix("2: Headers { content-length: \"5\""))
        #expect(lines[2].hasSuffix("URLSearchParams { a: \"b\" } Symbol(s)"))
        #expect(lines[3] == "3: { loop: [Circular] } { a: { b: { c: { d: [Object] } } } }")
        #expect(lines[4].utf8.count < 9_000)
        #expect(lines[5] == "3: Assertion failed: math")
        #expect(lines[6] == "1: default: 1")
        #expect(lines[7] == "1: ")
    }

    @Test func theGlobalObjectHasTheSmallThingsToo() throws {
        try check([
            ("/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())", "true"),
            ("crypto.getRandomValues(new Uint32Array(40)).some((word) => word !== 0)", "true"),
            ("crypto.getRandomValues(new Float32Array(1))", "TypeMismatchError: getRandomValues: the argument is not an integer typed array"),
            ("crypto.getRandomValues(new Uint8Array(65537))", "QuotaExceededError: getRandomValues: more than 65536 bytes asked for"),
            ("navigator.userAgent + (self === globalThis)", "Sluicetrue"),
            ("Object.prototype.toString.call(new URL('http://a')) + Object.prototype.toString.call(new Headers().entries())", "[object URL][object Headers Iterator]"),
            ("setTimeout('code')", "TypeError: setTimeout: the callback must be a function, not text to evaluate"),
            ("import('./x.js').catch((error) => 'refused')", "refused"),
        ])
    }

    @Test func jsonAndModulesAreImported() throws {
        let bench = try Bench("""
            import data from "./data.json" assert { type: "json" };
            import { name } from "../lib/name.js";
            export default { onRequest() { return new Response(name + data.list[1]); } }
            """, modules: ["hooks/data.json": "{\"list\":[1,2]}", "lib/name.js": "export const name = 'n';"])
        #expect(line(bench.run()) == "respond n2")
    }
}
