// Not part of the prelude. While the startup snapshot is made, this is the body of a function that is given the prelude,
// as a function, and `native`: it runs a prelude of its own with a host of its own, and both are forgotten. What remains
// is the compiled code of what most hooks do first, so that no first call has to wait for it. Only what is common belongs
// here: code that nobody uses is memory in every isolate.
const bytes = new Uint8Array([123, 34, 97, 34, 58, 49, 125]);
const texts = ["GET", "http://example.test/path?q=1", "OK", "0123456789abcdef0123456789abcdef", "192.0.2.1", "1234", "TLSv1.3", "cipher", "example.test", "HTTP/1.1"];
const nothing = () => {};
const failed = [];
// Built-ins behind V8 flags are not there while a snapshot is made.
const borrowed = Object.hasOwn === undefined;
if (borrowed) Object.hasOwn = (object, key) => Object.prototype.hasOwnProperty.call(object, key);
const host = {
  fieldNumber: () => -2, answerBox: () => new Int32Array(2),
  header: (slot, epoch, side, name) => (name === "content-type" ? "text/plain; charset=utf-8" : name === "x-none" ? null : "a=1; b=2"),
  headers: () => "accept\n*/*\ncookie\na=1; b=2\n",
  text: (slot, epoch, item) => texts[item],
  status: () => 200, hasBody: () => true, subrequest: () => 1, setTimer: () => 1, now: () => 0, variable: () => "", state: () => null,
  failure: () => ({ kind: "timeout", message: "" }), encode: (text) => Uint8Array.from(text, (one) => one.charCodeAt(0)),
  decode: (view) => String.fromCharCode(...view), digest: () => new Uint8Array(32), takeRejections: () => [],
  fail: (slot, now, kind, error) => { if (error.message !== "rehearsed") failed.push(`call ${now}: ${error.message}`); },
};
for (const name of ["edit", "setText", "setStatus", "readBody", "setBody", "finish", "tailDone", "passThrough", "cancelSubrequest", "next", "rearmTimer",
  "clearTimer", "random", "log", "setVariable", "setState", "detach", "rejected", "pullBody", "cancelBody", "streamBody", "writeBody", "endBody", "failBody"]) {
  host[name] = nothing;
}
const entries = prelude(Object.assign({}, native, host));
const phases = { request: 0, response: 1, error: 2, fetch: 3 };
let epoch = 0;

/// One call with handlers of its own, from its start to its end.
function call(phase, handlers, follow = nothing) {
  entries.install({ default: handlers }, { variables: { WORD: "x" }, upstreams: ["up"], stores: [], answers: true });
  entries.start(0, ++epoch, phases[phase], 0, -1, null);
  follow(epoch);
}

function read(request, ctx) {
  const url = new URL(request.url);
  url.pathname += "/more";
  url.searchParams.get("q");
  url.searchParams.set("r", "1");
  const { headers, method } = request;
  headers.get("cookie");
  headers.get("x-none");
  headers.has("accept");
  headers.set("x-one", "1");
  headers.append("x-two", "2");
  headers.delete("x-three");
  ctx.state.word = ctx.args.word + ctx.client.ip + ctx.requestId + ctx.vars.get("v");
  ctx.vars.set("v", "1");
  return `${method} ${url}`;
}

entries.bind(0, { word: "w", list: [1] }, "rule", "file", 1);
call("request", { onRequest(request, env, ctx) { read(request, ctx); } });
call("request", { onRequest() { return new Response("no", { status: 403, headers: { "content-type": "text/plain" } }); } });
call("request", { onRequest() { return Response.json({ a: 1 }, { status: 401 }); } });
call("request", { onRequest(request, env, ctx) { ctx.deny(403); } });
call("request", {
  async onRequest(request, env, ctx) {
    const out = new Request(new URL("/other", request.url), request);
    for (const [name] of request.headers) out.headers.set(name, "1");
    ctx.waitUntil(Promise.resolve(1));
    await null;
    return out;
  },
});
call("request", {
  async onRequest(request) {
    const word = await request.text();
    console.log("read", word.length, { a: [1] });
    return new Response(JSON.stringify({ word }));
  },
}, (now) => entries.bodyArrived(0, now, 0, bytes));
call("request", {
  async onRequest(request, env) {
    const answer = await env.up.fetch("/path", { method: "POST", body: new URLSearchParams({ a: "1" }), headers: { authorization: btoa(atob("YQ==")) } });
    const { a } = answer.ok ? await answer.json() : {};
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`token ${a}`));
    return new Response(new TextDecoder().decode(new Uint8Array(digest)));
  },
}, (now) => entries.answered(0, now, 1, 200, "content-type\napplication/json\n", bytes));
call("request", { onRequest() { throw new TypeError("rehearsed"); } });
call("response", {
  onResponse(response, env, ctx) {
    response.headers.set("x-word", `${ctx.state.word}${response.status}`);
    response.headers.delete("server");
  },
});
call("response", { onResponse(response) { return new Response(response.body, { status: response.status, headers: new Headers(response.headers) }); } });
call("error", { onError(error) { return new Response(error.message, { status: 502 }); } });
call("fetch", {
  async fetch(request) {
    const response = await fetch(request);
    const copy = new Response(response.body, response);
    copy.headers.set("x-edge", "1");
    return copy;
  },
}, (now) => entries.originArrived(0, now));

/// Called when the microtasks are done.
return () => {
  if (borrowed) delete Object.hasOwn;
  if (failed.length > 0) throw new Error(`the rehearsal failed: ${failed.join("; ")}`);
};
