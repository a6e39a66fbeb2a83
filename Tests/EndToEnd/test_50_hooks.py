"""Hooks: what they can do, and that nothing they do wrong is silent or harms anybody else."""
import concurrent.futures
import json
import os
import time

import pytest

from harness.origin import PATTERN
from harness.waiting import wait_until


lane = "inline"


@pytest.fixture(params=["inline", "cordon"], autouse=True)
def in_every_lane(request):
    """A hook means the same wherever it runs: every test of this file runs in the worker and in a process of its own."""
    global lane
    lane = request.param


def run(function: str, path: str = "", arguments: str = "") -> str:
    condition = f"  when: path starts_with \"{path}\"\n" if path else ""
    suffix = f", args: {arguments}" if arguments else ""
    return f"- name: run {function}{path}\n{condition}  do: [{{run: {{function: {function}{suffix}}}}}]\n"


# A debug build under a sanitizer takes its time, and a busy machine makes it longer.
USUAL = "{cpu: 500ms}" if "SLUICE_SANITIZER" in os.environ else ""


def start_with(start, source, *, phase="request", policy="", limits=USUAL, path="", arguments="", **more):
    options = "".join([", limits: " + limits if limits else "", ", on_error: " + policy if policy else ""])
    function = f"hook: {{file: hooks/hook.js, lane: {lane}{options}}}"
    hooks = {"hook.js": source, **more.pop("hooks", {})}
    return start(functions=function, hooks=hooks, **{phase: run("hook", path, arguments)}, **more)


def fields(answer) -> dict[str, str]:
    return {name.lower(): value for name, value in json.loads(answer.body)["headers"]}


def test_hook_answers_without_the_origin(start, origin, protocol):
    gateway = start_with(start, """\
        export default { onRequest(request) {
          return new Response("no " + request.method, {status: 403, headers: {"x-why": "hook"}});
        } };
        """)
    answer = gateway.fetch(protocol, "GET", "/")
    assert (answer.status, answer.body, answer.header("x-why")) == (403, b"no GET", "hook")
    assert not origin.requests


def test_hook_sends_another_request(start, protocol):
    gateway = start_with(start, """\
        export default { onRequest(request, env, ctx) {
          const url = new URL(request.url);
          url.pathname = "/other" + url.pathname;
          url.searchParams.set("added", ctx.args.word);
          const out = new Request(url, request);
          out.headers.set("x-out", "1");
          out.headers.delete("x-in");
          return out;
        } };
        """, arguments="{word: yes please}")
    answer = gateway.fetch(protocol, "GET", "/a?b=c", [("X-In", "1")])
    seen = json.loads(answer.body)
    assert seen["target"] == "/other/a?b=c&added=yes+please"
    assert fields(answer)["x-out"] == "1" and "x-in" not in fields(answer)


def test_imports_and_async_work(start, protocol):
    gateway = start_with(start, """\
        import { greet } from "./lib/greet.js";
        const loaded = 1;
        export default { async onRequest(request) {
          await null;
          await new Promise((resolve) => setTimeout(resolve, 5));
          await new Promise((resolve) => queueMicrotask(resolve));
          request.headers.set("x-greeting", greet("world") + loaded);
        } };
        """, hooks={"lib/greet.js": "export const greet = (name) => `hello ${name}`;"})
    assert fields(gateway.fetch(protocol, "GET", "/"))["x-greeting"] == "hello world1"


def test_web_api_of_the_first_cut_is_there(start):
    gateway = start_with(start, """\
        export default { onRequest(request) {
          const q = new URLSearchParams("a=1&b=%C3%A4");
          const bytes = new TextEncoder().encode("ä€");
          const copy = structuredClone({a: [1, {b: new Date(0)}]});
          console.log("one", {two: 2});
          return Response.json({q: q.get("b"), bytes: [...bytes], text: new TextDecoder().decode(bytes),
            date: copy.a[1].b.getTime(), url: new URL("../x?y#z", "https://h.example:444/a/b/c").href,
            headers: [...new Headers([["B", "2"], ["a", "1"], ["A", "3"]])]});
        } };
        """)
    seen = json.loads(gateway.fetch("http1", "GET", "/").body)
    assert seen == {"q": "ä", "bytes": [195, 164, 226, 130, 172], "text": "ä€", "date": 0,
                    "url": "https://h.example:444/a/x?y#z", "headers": [["a", "1, 3"], ["b", "2"]]}
    gateway.wait_log("one")


def test_fetch_handler_wraps_the_origin(start, protocol):
    gateway = start_with(start, """\
        export default { async fetch(request, env, ctx) {
          if (new URL(request.url).pathname === "/health") return new Response("ok");
          const response = await fetch(request);
          const copy = new Response(response.body, response);
          copy.headers.set("x-edge", "sluice");
          return copy;
        } };
        """)
    assert gateway.fetch(protocol, "GET", "/health").body == b"ok"
    answer = gateway.fetch(protocol, "GET", "/bytes/100000")
    assert answer.header("x-edge") == "sluice" and answer.body == (PATTERN * 2)[:100000]


def test_body_of_the_request_is_read_and_replaced(start, protocol):
    gateway = start_with(start, """\
        export default { async onRequest(request) {
          const text = await request.text();
          return new Request(request, {body: text.toUpperCase()});
        } };
        """)
    seen = json.loads(gateway.fetch(protocol, "POST", "/up", body=b"quiet words").body)
    assert (seen["body"], seen["body_length"]) == ("QUIET WORDS", 11)


def test_body_of_the_response_is_read_and_replaced(start, protocol):
    gateway = start_with(start, """\
        export default { async onResponse(response) {
          const seen = await response.json();
          return new Response(JSON.stringify({was: seen.target}), {status: 201, headers: {"x-new": "1"}});
        } };
        """, phase="response")
    answer = gateway.fetch(protocol, "GET", "/there")
    assert (answer.status, json.loads(answer.body), answer.header("x-new")) == (201, {"was": "/there"}, "1")


def test_sub_fetch_to_a_named_upstream(start, origin, protocol):
    gateway = start(functions=f"ask: {{file: hooks/ask.js, lane: {lane}, upstreams: [origin]}}", request=run("ask"),
                    hooks={"ask.js": """\
        export default { async onRequest(request, env) {
          const reply = await env.origin.fetch("/introspect?token=1", {method: "POST", body: "t=1"});
          const seen = await reply.json();
          request.headers.set("x-asked", reply.status + " " + seen.method + " " + seen.target + " " + seen.body);
        } };
        """})
    assert fields(gateway.fetch(protocol, "GET", "/"))["x-asked"] == "200 POST /introspect?token=1 t=1"


def test_state_is_carried_from_request_to_response_and_to_no_other_request(start):
    gateway = start(functions=f"one: {{file: hooks/one.js, lane: {lane}}}", request=run("one"), response=run("one"), hooks={"one.js": """\
        export default {
          onRequest(request, env, ctx) { if (request.headers.get("x-set")) ctx.state.mark = request.headers.get("x-set"); },
          onResponse(response, env, ctx) { response.headers.set("x-mark", String(ctx.state.mark)); },
        };
        """})
    with gateway.http1() as client:
        for number in range(20):
            assert client.request("GET", "/", [("X-Set", str(number))]).header("x-mark") == str(number)
            assert client.request("GET", "/").header("x-mark") == "undefined"


def test_object_kept_after_its_request_never_sees_another_request(start):
    gateway = start_with(start, """\
        let kept;
        export default { onRequest(request) {
          const now = request.headers.get("x-secret");
          let old = "nothing";
          if (kept) { try { old = String(kept.headers.get("x-secret")); } catch (error) { old = "threw"; } }
          kept ??= request;
          request.headers.set("x-old", old);
        } };
        """)
    seen = {fields(gateway.fetch("http1", "GET", "/", [("X-Secret", f"secret-{number}")]))["x-old"] for number in range(10)}
    assert seen <= {"nothing", "threw", "null", "undefined", "secret-0"}


POLICIES = [("continue", 200, True), ("deny", 503, False), ("respond", 500, False)]
FAULTS = {
    "throws": 'export default { onRequest() {\n  const a = 1;\n  throw new Error("broken on purpose");\n} };',
    "rejects": 'export default { async onRequest() {\n  await null;\n  throw new Error("broken on purpose");\n} };',
    "returns nonsense": "export default { onRequest() { return 42; } };",
    "loops": "export default { onRequest() { while (true) {} } };",
    "loops after await": "export default { async onRequest() { await null; while (true) {} } };",
    "awaits for ever": "export default { async onRequest() { for (;;) await null; } };",
    "never answers": "export default { onRequest() { return new Promise(() => {}); } };",
    "eats memory": "export default { onRequest() { const all = []; for (;;) all.push(new Array(1000).fill({})); } };",
    "eats buffers": "export default { onRequest() { const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); } };",
    "recurses": "export default { onRequest() { const f = () => f() + 1; f(); } };",
    "catastrophic pattern": 'export default { onRequest() { /^(a+)+$/.test("a".repeat(40) + "b"); } };',
    "evaluates text": 'export default { onRequest() { eval("1"); } };',
}


@pytest.mark.parametrize("policy,status,reaches", POLICIES, ids=[each[0] for each in POLICIES])
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_ends_in_the_policy_and_others_are_served(start, origin, fault, policy, status, reaches):
    gateway = start_with(start, FAULTS[fault], policy=policy, path="/bad",
                         limits="{cpu: 50ms, wall: 500ms, memory: 32MiB}")
    workers = gateway.worker_pids()
    for _ in range(2):
        begun = time.monotonic()
        answer = gateway.fetch("http1", "GET", "/bad")
        assert answer.status == status
        assert time.monotonic() - begun < 5
        assert gateway.fetch("http1", "GET", "/good").status == 200
    assert any(request.path == "/bad" for request in origin.requests) == reaches
    assert gateway.worker_pids() == workers, "the worker outlives it"
    assert gateway.resident_kib() < 256 * 1024


def test_thrown_error_is_logged_with_its_place_and_rule(start):
    gateway = start_with(start, FAULTS["throws"])
    answer = gateway.fetch("http1", "GET", "/")
    assert answer.status == 500 and b"broken on purpose" not in answer.body
    assert "sluice" in (answer.header("proxy-status") or "")
    line = gateway.wait_log("broken on purpose")
    assert "hook.js:3:9" in line and "run hook" in line


def test_other_requests_go_on_while_a_hook_loops(start):
    """The loop may cost others its CPU limit, no more."""
    gateway = start_with(start, FAULTS["loops"], policy="deny", path="/bad", limits="{cpu: 50ms}")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        bad = [pool.submit(gateway.fetch, "http1", "GET", "/bad") for _ in range(8)]
        slowest = 0.0
        while not all(each.done() for each in bad):
            # A connection serves 10,000 requests, which is not many for as long as a busy machine may take.
            with gateway.http1() as client:
                for _ in range(1000):
                    begun = time.monotonic()
                    assert client.request("GET", "/good").status == 200
                    slowest = max(slowest, time.monotonic() - begun)
                    if all(each.done() for each in bad):
                        break
        assert [each.result().status for each in bad] == [503] * 8
    assert slowest < 3


def test_unstoppable_hook_costs_its_worker_and_no_more(start):
    """V8 does not look for a stop request inside this call: the supervisor replaces the worker."""
    if lane == "cordon":
        pytest.skip("there it costs the cordon: test_55_cordons.py")
    gateway = start_with(start, "export default { onRequest() { const a = []; a.length = 2**32 - 1; a.indexOf(1); } };",
                         policy="deny", path="/bad", limits="{cpu: 50ms}", workers=2)
    first = set(gateway.worker_pids())
    with gateway.http1() as client:
        client.send(b"GET /bad HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.rest()  # an answer by policy or the end of the connection, but an end
    wait_until(lambda: len(gateway.worker_pids()) == 2 and set(gateway.worker_pids()) != first, "the worker is replaced")
    assert gateway.fetch("http1", "GET", "/good").status == 200


BAD_FILES = {
    "syntax": ("export default { onRequest( { } };", r"hook\.js:1:\d+"),
    "missing import": ('import "./gone.js";\nexport default {};', r"gone\.js"),
    "throws at load": ('export default {};\nnull.x;', r"hook\.js:2:\d+"),
    "nothing exported": ("const a = 1;", r"hook\.js"),
    "loops at load": ("while (true) {}\nexport default {};", r"hook\.js"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_hook_file_that_cannot_be_loaded_stops_the_start_with_its_place(start, name):
    source, place = BAD_FILES[name]
    with pytest.raises(AssertionError, match=place):
        start_with(start, source)


def test_hook_cannot_write_line_breaks_or_framing_into_a_head(start, origin):
    gateway = start_with(start, """\
        export default { onRequest(request) {
          const caught = [];
          for (const [name, value] of [["x-a", "1\\r\\nx-b: 2"], ["x a", "1"], ["x-c", "1\\0"]])
            try { request.headers.set(name, value); } catch (error) { caught.push(error.name); }
          try { request.headers.set("transfer-encoding", "chunked"); } catch {}
          try { request.headers.set("content-length", "5"); } catch {}
          request.headers.set("x-caught", caught.join(" "));
        } };
        """)
    seen = fields(gateway.fetch("http1", "GET", "/"))
    assert seen["x-caught"] == "TypeError TypeError TypeError"
    assert not {"x-b", "transfer-encoding", "content-length"} & set(seen)


def test_large_untouched_bodies_pass_a_hook_that_sets_a_header(start, protocol):
    gateway = start_with(start, 'export default { onResponse(r) { r.headers.set("x-h", "1"); } };', phase="response")
    answer = gateway.fetch(protocol, "GET", "/bytes/5000000")
    assert len(answer.body) == 5_000_000 and answer.header("x-h") == "1"
