import Testing

@testable import Hooks

/// structuredClone, transferring and message channels (HTML sections 2.7 and 9.4), as Web Platform Tests have them.
@Suite struct CloneTests {
    @Test func valuesAreTakenForWhatTheyAreNotForWhatTheyLookLike() throws {
        try check([
            ("Object.prototype.toString.call(structuredClone(Object.create(Date.prototype)))", "[object Object]"),
            ("structuredClone({ get [Symbol.toStringTag]() { return 'X'; }, a: 1 }).a", "1"),
            ("structuredClone(new Proxy({}, {}))", "DataCloneError: a Object object cannot be cloned"),
            ("structuredClone(new Proxy([], {}))", "DataCloneError: a Array object cannot be cloned"),
            ("structuredClone(Promise.resolve())", "DataCloneError: a Promise object cannot be cloned"),
            ("structuredClone(new Response())", "DataCloneError: a Response object cannot be cloned"),
            ("structuredClone(new URL('http://a/'))", "DataCloneError: a URL object cannot be cloned"),
            ("structuredClone(Object(Symbol()))", "DataCloneError: a Symbol object cannot be cloned"),
            ("(() => { class F extends File {} const c = structuredClone(new F(['x'], 'n')); return [c.constructor === File, c.name, c.size].join(); })()", "true,n,1"),
            ("(() => { const a = [1, , 3]; a.x = a; const b = structuredClone(a); return [1 in b, b.x === b, b.length].join(); })()", "false,true,3"),
            ("Object.keys(structuredClone(JSON.parse('{\"__proto__\": 1}'))).join()", "__proto__"),
            ("(() => { const s = structuredClone([Object(1), Object('a'), Object(true), Object(2n)]); return s.map((one) => typeof one + one).join(); })()", "object1,objecta,objecttrue,object2"),
        ])
    }

    @Test func errorsKeepWhatTheStandardKeeps() throws {
        try check([
            ("structuredClone(new Error).hasOwnProperty('message')", "false"),
            ("(() => { const e = new RangeError('m', { cause: [1] }); e.extra = 1; const c = structuredClone(e); return [c instanceof RangeError, c.message, c.cause[0], c.extra].join(); })()", "true,m,1,"),
            ("(() => { const e = new Error('m'); e.name = 'Own'; return structuredClone(e).name; })()", "Error"),
            ("(() => { const e = structuredClone(new DOMException('m', 'AbortError')); return [e instanceof DOMException, e.name, e.code].join(); })()", "true,AbortError,20"),
        ])
    }

    @Test func buffersAndPortsMoveOnce() throws {
        try check([
            ("(() => { const b = new ArrayBuffer(4), v = new Uint8Array(b, 1, 2); v[0] = 7; const c = structuredClone({ b, v }, { transfer: [b] }); return [b.byteLength, c.v.buffer === c.b, c.v[0], c.v.length].join(); })()", "0,true,7,2"),
            ("(() => { const b = new ArrayBuffer(4); structuredClone(b, { transfer: [b] }); return structuredClone(b, { transfer: [b] }); })()", "DataCloneError: a value in the list of what to transfer was transferred already, or is in use"),
            ("(() => { const b = new ArrayBuffer(4); return structuredClone(b, { transfer: [b, b] }); })()", "DataCloneError: a value is in the list of what to transfer twice"),
            ("(() => { const b = new ArrayBuffer(4); try { structuredClone([b, () => {}], { transfer: [b] }); } catch (error) { return error.name + b.byteLength; } })()", "DataCloneError4"),
            ("structuredClone(1, { transfer: [new Blob()] })", "DataCloneError: a value that cannot be transferred is in the list of what to transfer"),
            ("new Promise((done) => { const { port1, port2 } = new MessageChannel(), moved = structuredClone(port2, { transfer: [port2] }); port1.onmessage = (e) => done(e.data); moved.postMessage('there'); })", "there"),
            ("(() => { const { port1 } = new MessageChannel(); structuredClone(port1, { transfer: [port1] }); return structuredClone(port1, { transfer: [port1] }); })()", "DataCloneError: a value in the list of what to transfer was transferred already, or is in use"),
            ("(() => { const { port1 } = new MessageChannel(); return structuredClone(port1); })()", "DataCloneError: a MessagePort object cannot be cloned"),
        ])
    }

    @Test func streamsMove() throws {
        try check([
            ("(async () => { const from = new ReadableStream({ start(c) { c.enqueue({ a: 1 }); c.close(); } }), to = structuredClone(from, { transfer: [from] }); const { value } = await to.getReader().read(); return [from.locked, value.a].join(); })()", "true,1"),
            ("(async () => { const seen = [], from = new WritableStream({ write(chunk) { seen.push(chunk); } }), to = structuredClone(from, { transfer: [from] }), w = to.getWriter(); await w.write('x'); await w.close(); return [from.locked, seen].join(); })()", "true,x"),
            ("(async () => { const from = new TransformStream({ transform(chunk, c) { c.enqueue(chunk + 1); } }), to = structuredClone(from, { transfer: [from] }), w = to.writable.getWriter(); w.write(1); return (await to.readable.getReader().read()).value; })()", "2"),
            ("(() => { const from = new ReadableStream(); from.getReader(); return structuredClone(from, { transfer: [from] }); })()", "DataCloneError: a value in the list of what to transfer was transferred already, or is in use"),
            ("(async () => { const from = new ReadableStream({ start(c) { c.enqueue(() => {}); } }), to = structuredClone(from, { transfer: [from] }); return to.getReader().read(); })()", "DataCloneError: function cannot be cloned"),
        ])
    }

    @Test func messagesTravel() throws {
        let two = "const { port1, port2 } = new MessageChannel();"
        try check([
            ("new Promise((done) => { \(two) port2.addEventListener('message', (e) => done([e.data.n, e.origin, e.ports.length, e instanceof MessageEvent, e.isTrusted].join())); port2.start(); port1.postMessage({ n: 5 }); })", "5,,0,true,true"),
            ("new Promise((done) => { \(two) const inner = new MessageChannel(); port2.onmessage = (e) => { inner.port2.onmessage = (f) => done(f.data); e.ports[0].postMessage('through'); }; port1.postMessage(0, [inner.port1]); })", "through"),
            ("(() => { \(two) return port1.postMessage(0, [port1]); })()", "DataCloneError: a port cannot be sent through itself"),
            ("(() => { \(two) return port1.postMessage(() => {}); })()", "DataCloneError: function cannot be cloned"),
            ("new Promise((done) => { \(two) const seen = []; port2.onmessage = (e) => { seen.push(e.data); Promise.resolve().then(() => seen.push('microtask')); if (e.data === 2) setTimeout(() => done(seen.join()), 0); }; port1.postMessage(1); port1.postMessage(2); })", "1,microtask,2,microtask"),
        ])
    }

    @Test func whatNobodyCatchesBecomesAnEvent() throws {
        try check([
            ("new Promise((done) => { addEventListener('error', (e) => { e.preventDefault(); done([e.error, e.message, e instanceof ErrorEvent].join()); }); setTimeout(() => { throw 'lost'; }, 0); })", "lost,Uncaught lost,true"),
            ("new Promise((done) => { onerror = (message, file, row, column, error) => { done(error); return true; }; queueMicrotask(() => { throw 7; }); })", "7"),
            ("new Promise((done) => { onunhandledrejection = (e) => { e.preventDefault(); done([e.reason, e.promise instanceof Promise, e instanceof PromiseRejectionEvent].join()); }; Promise.reject('why'); })", "why,true,true"),
            ("new Promise((done) => { let p; onrejectionhandled = (e) => done(e.promise === p); onunhandledrejection = (e) => { e.preventDefault(); setTimeout(() => p.catch(() => {}), 0); }; p = Promise.reject(1); })", "true"),
        ])
        // Without a listener that deals with it, such a throw ends the call by the rule's policy.
        #expect(try evaluate("new Promise(() => { queueMicrotask(() => { throw new Error('lost'); }); })").contains("lost"))
    }
}
