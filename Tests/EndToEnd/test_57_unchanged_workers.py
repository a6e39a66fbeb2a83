"""Programs as users of other edge platforms have them, unchanged."""
import json

import pytest

from harness.origin import PATTERN

LANES = {"inline": "lane: inline", "untrusted": "untrusted: true"}


@pytest.fixture(params=LANES)
def run(request, start):
    """run(source) gives a gateway that has it as its only function."""
    def start_with(source: str):
        return start(functions=f"f: {{file: hooks/f.js, {LANES[request.param]}, upstreams: [origin], limits: {{cpu: 2s}}}}\n",
                     request="- {name: f, do: [{run: {function: f}}]}\n", hooks={"f.js": source})
    return start_with


ROUTER = r"""
const Router = ({ base = '', routes = [] } = {}) => ({
  __proto__: new Proxy({}, { get: (target, prop, receiver) => (route, ...handlers) =>
    routes.push([prop.toUpperCase(), RegExp(`^${(base + route).replace(/\/+(\/|$)/g, '$1').replace(/:(\w+)/g, '(?<$1>[^/]+?)').replace(/\*/g, '.*')}/*$`), handlers]) && receiver }),
  async handle(request, ...args) {
    let response, match, url = new URL(request.url), query = request.query = {};
    for (let [k, v] of url.searchParams) query[k] = query[k] === undefined ? v : [query[k], v].flat();
    for (let [method, route, handlers] of routes) {
      if ((method === request.method || method === 'ALL') && (match = url.pathname.match(route))) {
        request.params = match.groups;
        for (let handler of handlers) if ((response = await handler(request.proxy || request, ...args)) !== undefined) return response;
      }
    }
  },
});
const router = Router();
router.get('/users/:id', ({ params, query }) => Response.json({ params, query })).all('*', () => new Response('Not Found', { status: 404 }));
export default { fetch: (request, env, ctx) => router.handle(request, env, ctx) };
"""


def test_a_router_made_of_proxies_that_writes_to_the_request(run):
    gateway = run(ROUTER)
    assert json.loads(gateway.fetch("http1", "GET", "/users/5?a=1&a=2").body) == {"params": {"id": "5"}, "query": {"a": ["1", "2"]}}
    assert gateway.fetch("http1", "GET", "/nothing").status == 404


def test_middleware_that_replaces_the_response_of_the_next(run):
    gateway = run(r"""
        class Context { #res; #head; constructor(req, env, ctx) { Object.assign(this, { req, env, executionCtx: ctx }); }
          header(name, value) { (this.#head ??= new Headers()).append(name, value); }
          get res() { return this.#res; } set res(next) { this.#res = next; }
          json(value, status = 200) { return new Response(JSON.stringify(value), { status, headers: { ...Object.fromEntries(this.#head ?? []), "content-type": "application/json; charset=UTF-8" } }); } }
        const compose = (all) => (c) => { const run = async (i) => { const one = all[i]; if (!one) return; const r = await one(c, () => run(i + 1)); if (r) c.res = r; return c.res; }; return run(0); };
        export default { fetch: (req, env, ctx) => compose([
          async (c, next) => { await next(); c.res.headers.set("x-time", "1ms"); c.res = new Response(c.res.body, c.res); c.res.headers.append("set-cookie", "a=1"); c.res.headers.append("set-cookie", "b=2"); },
          async (c) => { c.header("x-app", "yes"); return c.json({ path: new URL(c.req.url).pathname }, 201); },
        ])(new Context(req, env, ctx)) };
        """)
    reply = gateway.fetch("http1", "GET", "/a/b")
    assert (reply.status, json.loads(reply.body)) == (201, {"path": "/a/b"})
    assert reply.header("x-time") == "1ms" and reply.header("x-app") == "yes"
    assert [value for name, value in reply.headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]


def test_a_worker_that_is_a_class(run):
    gateway = run("""
        import { WorkerEntrypoint } from "cloudflare:workers";
        export default class extends WorkerEntrypoint {
          calls = 0;
          async fetch(request) {
            this.ctx.waitUntil(Promise.resolve());
            const reply = await this.env.origin.fetch("/asked");
            return new Response(`${++this.calls} ${(await reply.json()).target}`);
          }
        }
        """)
    assert [gateway.fetch("http1", "GET", "/").body for _ in range(2)] == [b"1 /asked"] * 2


def test_a_class_without_a_base_and_handlers_of_this_gateway(run):
    gateway = run("""
        export default class { constructor(ctx, env) { this.given = env; } onRequest(request, env, ctx) { return new Response(String(this.given === env && typeof ctx.waitUntil)); } }
        """)
    assert gateway.fetch("http1", "GET", "/").body == b"function"


def test_an_ab_test_sends_half_elsewhere_and_remembers(run, origin):
    gateway = run("""
        export default { async fetch(req) {
          const url = new URL(req.url), cookie = req.headers.get("cookie");
          if (cookie?.includes("ab=control")) url.pathname = "/control" + url.pathname;
          else if (cookie?.includes("ab=test")) url.pathname = "/test" + url.pathname;
          else {
            const group = Math.random() < 0.5 ? "test" : "control";
            url.pathname = `/${group}` + url.pathname;
            let res = await fetch(new Request(url, req));
            res = new Response(res.body, res);
            res.headers.append("Set-Cookie", `ab=${group}; path=/`);
            return res;
          }
          return fetch(url, req);
        } };
        """)
    group = gateway.fetch("http1", "GET", "/x").header("set-cookie").split("=")[1].split(";")[0]
    gateway.fetch("http1", "GET", "/x", [("Cookie", f"ab={group}")])
    assert [request.path for request in origin.requests] == [f"/{group}/x"] * 2


@pytest.mark.parametrize("how", ["new IdentityTransformStream()", "new TransformStream()", "new TransformStream({ transform(chunk, to) { to.enqueue(chunk); } })"])
def test_a_body_piped_by_hand_behind_the_answer(run, how):
    gateway = run(f"export default {{ async fetch(request) {{ const r = await fetch(request), {{ readable, writable }} = {how}; r.body.pipeTo(writable); return new Response(readable, r); }} }};")
    assert gateway.fetch("http1", "GET", "/bytes/500000").body == (PATTERN * 2000)[:500_000]


def test_a_body_is_counted_while_it_goes_on(run):
    gateway = run("""
        export default { async fetch(request, env, ctx) {
          const r = await fetch(request), [mine, other] = r.body.tee();
          ctx.waitUntil((async () => { let n = 0; for await (const chunk of other) n += chunk.length; console.log("counted " + n); })());
          return new Response(mine, r);
        } };
        """)
    assert gateway.fetch("http1", "GET", "/bytes/400000").body == (PATTERN * 2000)[:400_000]
    gateway.wait_log("counted 400000")


def test_events_written_while_the_client_reads(run):
    gateway = run("""
        const stream = (tell) => {
          const { readable, writable } = new TransformStream(), writer = writable.getWriter(), encoder = new TextEncoder();
          (async () => { try { await tell((text) => writer.write(encoder.encode(text))); } finally { await writer.close(); } })();
          return new Response(readable, { headers: { "content-type": "text/event-stream" } });
        };
        export default { fetch: () => stream(async (write) => { for (let i = 0; i < 3; i++) { await write(`data: ${i}\\n\\n`); await new Promise((r) => setTimeout(r, 2)); } }) };
        """)
    assert gateway.fetch("http1", "GET", "/").body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"


def test_service_worker_syntax(run):
    gateway = run("""
        addEventListener("fetch", (event) => {
          event.waitUntil((async () => { for (let i = 0; i < 20; i++) await 0; console.log("done"); })());
          event.respondWith(handle(event.request).catch((error) => new Response(error.stack, { status: 500 })));
        });
        async function handle(request) {
          const r = await fetch(request), headers = new Headers(r.headers);
          headers.set("x-sw", "1");
          return new Response(r.body, { status: r.status, statusText: r.statusText, headers });
        }
        """)
    reply = gateway.fetch("http1", "GET", "/echo")
    assert reply.status == 200 and reply.header("x-sw") == "1" and json.loads(reply.body)["target"] == "/echo"
    gateway.wait_log("done")


def test_a_token_is_signed_and_verified(run):
    gateway = run(r"""
        const url64 = (text) => btoa(text).replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_"), encoder = new TextEncoder();
        const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
        export default { async fetch(request) {
          const key = await crypto.subtle.importKey("raw", encoder.encode("secret"), { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
          const body = `${url64(JSON.stringify({ alg: "HS256", typ: "JWT" }))}.${url64(JSON.stringify({ sub: "a" }))}`;
          const token = `${body}.${url64(String.fromCharCode(...new Uint8Array(await crypto.subtle.sign("HMAC", key, encoder.encode(body)))))}`;
          const [h, p, s] = token.split(".");
          const good = await crypto.subtle.verify("HMAC", key, bytes(s), encoder.encode(`${h}.${p}`));
          const bad = await crypto.subtle.verify("HMAC", key, bytes(s), encoder.encode(`${h}.${p}x`));
          return Response.json([good, bad]);
        } };
        """)
    assert json.loads(gateway.fetch("http1", "GET", "/").body) == [True, False]


def test_a_page_is_rewritten(run):
    gateway = run(r"""
        class Links { constructor(name) { this.name = name; } element(element) { const at = element.getAttribute(this.name); if (at) element.setAttribute(this.name, at.replace("old.example", "new.example")); } }
        const rewriter = new HTMLRewriter().on("a", new Links("href")).on("img", new Links("src"))
          .on("h1", { element(e) { e.setInnerContent("<i>x</i>", { html: true }); e.before("B"); e.after("A"); e.append("Z"); e.prepend("P"); } })
          .on("p#x", { element(e) { e.remove(); } }).on("div.k", { element(e) { e.removeAndKeepContent(); } })
          .on("title", { text(t) { if (t.lastInTextNode) t.after("!"); } })
          .onDocument({ end(e) { e.append("<!--end-->", { html: true }); } });
        export default { async fetch() { return rewriter.transform(new Response('<title>T</title><h1>old</h1><a href="https://old.example/a">l</a><p id=x>gone</p><div class="k m">kept</div><img src=//old.example/i>', { headers: { "content-type": "text/html" } })); } };
        """)
    assert gateway.fetch("http1", "GET", "/").body == (
        b'<title>T!</title>B<h1>P<i>x</i>Z</h1>A<a href="https://new.example/a">l</a>kept<img src="//new.example/i"><!--end-->')


def test_the_origin_is_asked_once_and_a_second_time_by_its_name(run):
    gateway = run("""
        export default { async fetch(request, env) {
          await fetch(request);
          let second; try { await fetch(request.url + "?again"); } catch (error) { second = error.message; }
          return new Response(`${second} ${(await env.origin.fetch("/again")).status}`);
        } };
        """)
    assert gateway.fetch("http1", "GET", "/").body == b"the request was sent to the origin already 200"
