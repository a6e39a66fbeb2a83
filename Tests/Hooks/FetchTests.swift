import Testing

@testable import Hooks

/// Headers, Request, Response and data: URLs (Fetch standard), as Web Platform Tests have them.
@Suite struct FetchTests {
    @Test func headersReadEverythingBeforeTheyKeepAnything() throws {
        try check([
            ("(() => { const log = []; const h = new Proxy({ a: 'b', '\\uffff': 'c' }, { get(o, k) { log.push(String(k)); return o[k]; } }); try { new Headers(h); } catch (e) { return e.name + log.length; } })()", "TypeError2"),
            ("new Headers({ [Symbol.toStringTag]: 'x' })", "TypeError: Cannot convert a Symbol value to a string"),
            ("(() => { const from = new Headers({ a: 'b' }); from[Symbol.iterator] = function* () { yield ['x', 'test']; }; return [...new Headers(from)].join(); })()", "x,test"),
            ("new Headers({ a: '\\u0100' })", "TypeError: a header value holds a character above U+00FF"),
            ("new Headers([['a']])", "TypeError: Headers: each pair must be [name, value]"),
        ])
    }

    @Test func requestsOfRequests() throws {
        let base = "const r = new Request('http://a/', { method: 'POST', body: 'x', headers: { h: '1', 'content-type': 't/t' } });"
        try check([
            ("(() => { \(base) const n = new Request(r); return [n.method, n.headers.get('h'), n.headers.get('content-type'), r.bodyUsed].join(); })()", "POST,1,t/t,true"),
            ("(async () => { \(base) const n = new Request(r, { body: 'y' }); return [await n.text(), r.bodyUsed, await r.text()].join(); })()", "y,false,x"),
            ("(() => { \(base) const n = r.clone(); n.headers.set('h', '2'); return r.headers.get('h') + n.headers.get('h'); })()", "12"),
            ("(() => { const c = new AbortController(), r = new Request('http://a/', { signal: c.signal }), n = new Request(r); c.abort('why'); return [r.signal === c.signal, r.signal.aborted, n.signal.reason].join(); })()", "false,true,why"),
            ("new Request('http://a/', { signal: {} })", "TypeError: Request: the signal is not an AbortSignal"),
            ("new Request('http://a/', 5)", "TypeError: Request: the second argument are not an object"),
        ])
    }

    @Test func whatABrowserWouldDoWithARequestIsKeptAndChecked() throws {
        try check([
            ("(({ cache, credentials, destination, duplex, integrity, isHistoryNavigation, isReloadNavigation, keepalive, mode, redirect, referrer, referrerPolicy }) => [cache, credentials, destination, duplex, integrity, isHistoryNavigation, isReloadNavigation, keepalive, mode, redirect, referrer, referrerPolicy].join())(new Request('http://a/'))",
             "default,same-origin,,half,,false,false,false,cors,follow,about:client,"),
            ("(({ cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy }) => [cache, credentials, integrity, keepalive, mode, referrer, referrerPolicy].join())(new Request(new Request('http://a/', { cache: 'no-store', credentials: 'omit', integrity: 'sha256-x', keepalive: true, mode: 'same-origin', referrer: 'http://r', referrerPolicy: 'origin' })))",
             "no-store,omit,sha256-x,true,same-origin,http://r/,origin"),
            ("new Request('http://a/', { mode: 'navigate' })", "TypeError: Request: the mode \"navigate\" is for browsers"),
            ("new Request('http://a/', { mode: 'no-cors', method: 'PUT' })", "TypeError: Request: the mode no-cors has no PUT"),
            ("new Request('http://a/', { cache: 'only-if-cached' })", "TypeError: Request: only-if-cached is for the mode same-origin"),
            ("new Request('http://a/', { window: 'x' })", "TypeError: Request: window can be null only"),
            ("new Request('http://a/', { keepalive: true, method: 'POST', body: new ReadableStream() })", "TypeError: Request: keepalive with a stream as body"),
        ] + ["cache", "credentials", "duplex", "mode", "priority", "redirect", "referrerPolicy"].map { name in
            ("new Request('http://a/', { \(name): 'bad' })", "TypeError: Request: the \(name) \"bad\" is not known")
        })
    }

    @Test func bodiesAreReadOnceAndStayLocked() throws {
        try check([
            ("(() => { const r = new Response('text'); r.text(); return r.body.getReader(); })()", "TypeError: the stream is locked to a reader already"),
            ("(async () => { const chunk = new Uint8Array([1]), r = new Response(new ReadableStream({ start(c) { c.enqueue(chunk); c.close(); } })), copy = r.clone(); const one = (await r.body.getReader().read()).value, two = (await copy.body.getReader().read()).value; return [one === chunk, two === chunk, two[0]].join(); })()", "true,false,1"),
            ("(async () => { const hello = new TextEncoder().encode('hello'), r = new Response(new ReadableStream({ start(c) { c.enqueue(hello); c.close(); } })); Object.prototype.then = (go) => { delete Object.prototype.then; go({ done: false, value: new Uint8Array([33]) }); }; const text = r.text(); delete Object.prototype.then; return text; })()", "hello"),
            ("new Response(new ReadableStream({ start(c) { c.enqueue('text'); c.close(); } })).text()", "TypeError: a chunk of the body is not a Uint8Array"),
            ("(async () => { let why; const r = new Response(new ReadableStream({ start(c) { c.enqueue(1); }, cancel(reason) { why = reason.name; } })); await r.text().catch(() => {}); return why; })()", "TypeError"),
            ("(async () => { const own = new Uint8Array([1, 2]), found = await new Response(new ReadableStream({ start(c) { c.enqueue(own); c.close(); } })).bytes(); return [found === own, found.join('')].join(); })()", "false,12"),
        ])
    }

    @Test func dataURLs() throws {
        try check([
            ("fetch('data:,a%20b%zz').then((r) => r.text())", "a b%zz"),
            ("fetch('data:text/x;charset=utf-8;base64,w6Q=#frag').then(async (r) => r.headers.get('content-type') + ' ' + (await r.text()))", "text/x;charset=utf-8 ä"),
            ("fetch('data:;charset=x,y').then((r) => r.headers.get('content-type'))", "text/plain;charset=x"),
            ("fetch('data:bad,y').then((r) => [r.status, r.headers.get('content-type')].join())", "200,text/plain;charset=US-ASCII"),
            ("fetch('data:no-comma')", "TypeError: fetch: the data: URL has no comma"),
            ("fetch('data:;base64,*')", "TypeError: fetch: the data: URL is not base64"),
            ("fetch(`data:,\\uFEFF{ \"a\": 2 }`).then((r) => r.json()).then((o) => o.a)", "2"),
        ])
    }

    @Test func urlsOfToday() throws {
        try check([
            ("new URL('non-special:opaque  ?hi').href", "non-special:opaque %20?hi"),
            ("new URL('data:space   #x').pathname", "space  %20"),
            ("(() => { const u = new URL('data:space  ?q#f'); u.search = ''; return u.href; })()", "data:space %20#f"),
            ("(() => { const u = new URL('https://domain.com:3000'); u.port = '\\n\\t'; return u.port; })()", "3000"),
            ("URL.parse('../b', 'https://h/a/').href", "https://h/b"),
            ("URL.parse('https://test:test')", "null"),
            ("[...new URLSearchParams(DOMException)].at(8).join() + [...new URLSearchParams(DOMException)].at(-5).join()", "NOT_SUPPORTED_ERR,9URL_MISMATCH_ERR,21"),
        ])
    }

    @Test func theLastChunkOfAWriteEndsTheWrite() throws {
        #expect(try evaluate("""
            (async () => {
              const packed = await new Response(new Response('expected output').body.pipeThrough(new CompressionStream('gzip'))).bytes();
              const stream = new DecompressionStream('gzip'), reader = stream.readable.getReader(), write = stream.writable.getWriter().write(packed);
              const { value } = await reader.read();
              await write;
              return new TextDecoder().decode(value);
            })()
            """) == "expected output")
    }
}
