"""`caches` of hooks: Cloudflare's code unchanged, a part for each tenant, in the worker's memory and no more of it than is allowed."""
import pytest

from harness.waiting import wait_until

LANES = {"inline": "lane: inline", "cordon": "lane: cordon", "untrusted": "untrusted: true"}

# From Cloudflare's documentation of the Cache API, word for word but for the log line.
WORKER = """\
    export default {
      async fetch(request, env, ctx) {
        const cacheUrl = new URL(request.url);
        const cacheKey = new Request(cacheUrl.toString(), request);
        const cache = caches.default;
        let response = await cache.match(cacheKey);
        if (!response) {
          response = await fetch(request);
          response = new Response(response.body, response);
          response.headers.append("Cache-Control", "s-maxage=10");
          ctx.waitUntil(cache.put(cacheKey, response.clone()));
        }
        return response;
      },
    };
    """

# Keeps as many kibibytes as the query says, under the path.
KEEPER = """\
    export default { async onRequest(request) {
      const { pathname, searchParams } = new URL(request.url), size = Number(searchParams.get("keep") ?? 0) * 1024;
      const key = `https://keys.test${pathname.slice(2)}`;
      if (size > 0) { await caches.default.put(key, new Response(new Uint8Array(size))); return new Response("kept"); }
      return new Response(await caches.default.match(key) ? "there" : "not there");
    } };
    """


@pytest.fixture(params=LANES)
def lane(request):
    return LANES[request.param]


def keepers(start, lane: str, functions: dict[str, str], **more):
    return start(functions="".join(f"{name}: {{file: hooks/f.js, {lane}{rest}}}\n" for name, rest in functions.items()),
                 request="".join(f"- {{name: {name}, when: 'path starts_with \"/{name}\"', do: [{{run: {{function: {name}}}}}]}}\n" for name in functions),
                 hooks={"f.js": KEEPER}, **more)


def ask(gateway, path: str) -> str:
    return gateway.fetch("http1", "GET", path).body.decode()


def test_a_worker_of_cloudflare_asks_its_origin_once(start, origin, lane):
    gateway = start(functions=f"f: {{file: hooks/f.js, {lane}}}", request="- {name: f, do: [{run: {function: f}}]}", hooks={"f.js": WORKER})
    first = gateway.fetch("http1", "GET", "/bytes/70000")
    wait_until(lambda: gateway.metric("sluice_cache_requests_total", result="put") == 1, "the answer is kept")
    asked = len(origin.requests)
    second = gateway.fetch("http1", "GET", "/bytes/70000")
    assert first.status == second.status == 200 and first.body == second.body and len(second.body) == 70000
    assert second.header("cf-cache-status") == "HIT" and second.header("age") is not None and first.header("cf-cache-status") is None
    assert len(origin.requests) == asked
    part = gateway.fetch("http1", "GET", "/bytes/70000", [("Range", "bytes=10-19")])
    assert (part.status, part.body, part.header("content-range")) == (206, first.body[10:20], "bytes 10-19/70000")
    assert gateway.fetch("http1", "GET", "/bytes/70001").header("cf-cache-status") is None
    wait_until(lambda: [gateway.metric("sluice_cache_requests_total", result=each) for each in ("hit", "miss")] == [2, 2], "all is counted")


def test_tenants_have_caches_of_their_own(start, lane):
    gateway = keepers(start, lane, {"a": "", "b": "", "c": ", tenant: both", "d": ", tenant: both"})
    for name in "ac":
        assert ask(gateway, f"/{name}/x?keep=1") == "kept"
    assert [ask(gateway, f"/{name}/x") for name in "abcd"] == ["there", "not there", "there", "there"]


def test_a_tenant_that_keeps_too_much_loses_what_it_used_least(start, lane):
    gateway = keepers(start, lane, {"a": "", "b": ""})
    assert ask(gateway, "/b/x?keep=1") == "kept"
    before = gateway.resident_kib()
    for number in range(40):
        assert ask(gateway, f"/a/{number}?keep=1000") == "kept"
    wait_until(lambda: gateway.metric("sluice_cache_evicted_total") == 24, "16 MiB are kept")
    assert [ask(gateway, f"/a/{number}") for number in (0, 23, 24, 39)] == ["not there", "not there", "there", "there"]
    assert ask(gateway, "/b/x") == "there", "what another tenant keeps stays"
    assert gateway.metric("sluice_cache_bytes") <= (16 << 20) + 4096
    assert gateway.resident_kib() - before < 150 * 1024


def test_a_worker_that_is_short_of_memory_keeps_less(start, certificates, origin):
    from harness.gateway import rule_file

    def rules(ports, more=""):
        return rule_file(ports, certificates, origin.port, functions="a: {file: hooks/f.js}", request="- {name: a, do: [{run: {function: a}}]}") + more

    gateway = start(hooks={"f.js": KEEPER}, rules=rules)
    for number in range(12):
        assert ask(gateway, f"/a/{number}?keep=1000") == "kept"
    wait_until(lambda: gateway.metric("sluice_cache_entries") == 12, "all is there")
    gateway.reload(rules(gateway.ports, f"limits: {{memory: {int(gateway.resident_kib() / 0.6)}KiB}}\n"))
    wait_until(lambda: gateway.metric("sluice_cache_entries") < 12, "a twentieth of what isolates may hold")
    assert ask(gateway, "/a/0") == "not there" and ask(gateway, "/a/11") == "there"
