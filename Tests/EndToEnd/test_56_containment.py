"""Containment: each test tries to break out of a limit. All of them hold in the worker and in a cordon."""
import concurrent.futures
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from harness.waiting import wait_until

LANES = {"inline": "lane: inline", "cordon": "lane: cordon", "untrusted": "untrusted: true"}


@pytest.fixture(params=LANES)
def lane(request):
    return LANES[request.param]


def one(start, lane: str, source: str, *, limits: str = "{cpu: 50ms, wall: 2s}", more: str = "", policy: str = "deny",
        **rest):
    return start(functions=f"f: {{file: hooks/f.js, {lane}, limits: {limits}, on_error: {policy}{more}}}\n"
                           f"g: {{file: hooks/g.js, {lane}}}\n",
                 request="- {name: f, when: 'path starts_with \"/f\"', do: [{run: {function: f}}]}\n"
                         "- {name: g, when: 'path starts_with \"/g\"', do: [{run: {function: g}}]}\n",
                 hooks={"f.js": source, "g.js": "export default { onRequest() { return Response.json({seen: String(globalThis.mark), poisoned: [].poison ?? null, tail: {}.tail ?? null}); } };"}, **rest)


def answer(gateway, path: str = "/f"):
    return gateway.fetch("http1", "GET", path)


@pytest.mark.parametrize("script", [
    "for (;;);",
    "for (;;) { try { for (;;); } catch {} finally { continue; } }",
    "/^(a+)+$/.test('a'.repeat(50) + 'b')",
    "const f = () => Promise.resolve().then(f); await f()",
    "for (;;) await 0",
    "const f = () => queueMicrotask(f); f(); await new Promise(() => {})",
    "[3, 1, 2].sort(() => { for (;;); })",
    "JSON.stringify({toJSON() { for (;;); }})",
    "new Proxy({}, {get() { for (;;); }}).x",
    "let b = 3n; for (;;) b *= b",
])
def test_cpu_limit_holds(start, lane, script):
    gateway = one(start, lane, f"export default {{ async onRequest() {{ {script}; }} }};")
    assert answer(gateway).status == 503
    assert answer(gateway, "/g").status == 200
    wait_until(lambda: gateway.metric("sluice_hook_policies_total", policy="deny") == 1, "the policy is counted")


def test_heap_and_buffers_count_together_with_many_kinds_of_growth(start, lane):
    gateway = one(start, lane, """\
        const kinds = {
          objects() { const all = []; for (;;) all.push({a: {}, b: []}); },
          maps() { const m = new Map(); for (let i = 0; ; i++) m.set(i, {i}); },
          strings() { const all = []; for (let i = 0; ; i++) all.push("x".repeat(1000) + i); },
          closures() { const all = []; for (;;) { const big = new Array(1000).fill(0); all.push(() => big); } },
          buffers() { const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); },
        };
        export default { onRequest(request) { kinds[new URL(request.url).searchParams.get("kind")](); } };
        """, limits="{cpu: 2s, wall: 10s, memory: 32MiB}")
    for kind in ["objects", "maps", "strings", "closures", "buffers"]:
        assert answer(gateway, f"/f?kind={kind}").status == 503
        assert answer(gateway, "/g").status == 200
    assert gateway.resident_kib() < 400 * 1024


def test_stack_ends_in_an_error_of_the_script(start, lane):
    gateway = one(start, lane, """\
        export default { onRequest() {
          const f = () => f() + 1;
          try { f(); } catch (error) { return new Response(error.constructor.name); }
        } };
        """)
    assert answer(gateway).body == b"RangeError"


def test_promise_that_never_settles_ends_at_the_wall_limit(start, lane):
    gateway = one(start, lane, "export default { onRequest() { return new Promise(() => {}); } };", limits="{wall: 300ms}")
    begun = time.monotonic()
    assert answer(gateway).status == 503
    assert 0.25 < time.monotonic() - begun < 10


def test_console_flood_is_cut(start, lane):
    gateway = one(start, lane, "export default { onRequest() { for (let i = 0; i < 20000; i++) console.log('flood ' + i); return new Response('done'); } };",
                  limits="{cpu: 5s, log_bytes: 4KiB}")
    assert answer(gateway).body == b"done"
    gateway.wait_log("log limit")
    assert sum("flood" in line for line in gateway.output) < 600


def test_console_cannot_forge_lines(start, lane):
    gateway = one(start, lane, r"export default { onRequest() { console.log('a\n2026 forged\r\x1b[31mred'); return new Response('x'); } };")
    answer(gateway)
    line = gateway.wait_log("forged")
    assert r"a\n2026 forged\r\x1b[31mred" in line


def test_timers_left_behind_never_fire(start, lane):
    gateway = one(start, lane, """\
        export default { onRequest() {
          for (let i = 0; i < 100; i++) setInterval(() => console.log("ghost"), 1);
          return new Response("x");
        } };
        """)
    assert answer(gateway).status == 200
    assert answer(gateway).status == 200
    time_passes(gateway)
    assert not any("ghost" in line for line in gateway.output)


def time_passes(gateway) -> None:
    """Some tens of turns of the gateway's loop."""
    for _ in range(30):
        assert answer(gateway, "/g").status == 200


def test_too_many_timers_are_an_error(start, lane):
    gateway = one(start, lane, """\
        export default { onRequest() {
          try { for (let i = 0; i < 100000; i++) setTimeout(() => {}, 1000); } catch (error) { return new Response(error.message); }
          return new Response("no limit");
        } };
        """, limits="{cpu: 5s}")
    assert b"1000 timers" in answer(gateway).body


def test_waituntil_that_never_ends_holds_no_answer_and_no_shutdown(start, lane):
    gateway = one(start, lane, "export default { onRequest(request, env, ctx) { ctx.waitUntil(new Promise(() => {})); return new Response('x'); } };")
    for _ in range(50):
        assert answer(gateway).body == b"x"


def test_waituntil_that_loops_is_stopped(start, lane):
    gateway = one(start, lane, """\
        export default { onRequest(request, env, ctx) {
          ctx.waitUntil(new Promise((resolve) => setTimeout(resolve, 1)).then(() => { for (;;); }));
          return new Response("x");
        } };
        """)
    assert answer(gateway).body == b"x"
    gateway.wait_log("waitUntil work was stopped")
    assert answer(gateway, "/g").status == 200


def test_sub_request_limit_holds(start, lane, origin):
    gateway = one(start, lane, """\
        export default { async onRequest(request, env) { for (;;) await (await env.origin.fetch("/sub")).text(); } };
        """, limits="{cpu: 5s, wall: 10s, subrequests: 7}", more=", upstreams: [origin]")
    assert answer(gateway).status == 503
    assert len(origin.requests) == 7


@pytest.mark.parametrize("script,seen", {
    "eval('1')": "EvalError",
    "new Function('return 1')()": "EvalError",
    "(() => {}).constructor('return 1')()": "EvalError",
    "(function*(){}).constructor('yield 1')": "EvalError",
    "(async()=>{}).constructor('return 1')": "EvalError",
    "(async function*(){}).constructor('return 1')": "EvalError",
    "typeof WebAssembly": "undefined",
    "typeof SharedArrayBuffer": "undefined",
    "new ArrayBuffer(2**31)": "RangeError",
    "'x'.repeat(2**30)": "RangeError",
    "typeof process + typeof require + typeof Deno": "undefinedundefinedundefined",
    "await import('fs').then(() => 'loaded', (e) => 'refused')": "refused",
    "await import('/etc/passwd').then(() => 'loaded', (e) => 'refused')": "refused",
}.items())
def test_what_is_not_there(start, lane, script, seen):
    gateway = one(start, lane, f"""\
        export default {{ async onRequest() {{
          let result; try {{ result = String(await ({script})); }} catch (error) {{ result = error.constructor.name; }}
          return new Response(result);
        }} }};
        """)
    assert answer(gateway).body.decode() == seen


def test_pollution_stays_with_the_function_that_did_it(start, lane):
    gateway = one(start, lane, """\
        export default { onRequest() {
          Array.prototype.poison = "array"; Object.prototype.tail = "object"; globalThis.mark = "mine";
          Headers.prototype.get = () => "stolen"; JSON.stringify = () => "broken"; Promise.prototype.then = () => {};
          return new Response("done");
        } };
        """)
    assert answer(gateway).body == b"done"
    assert json.loads(answer(gateway, "/g").body) == {"seen": "undefined", "poisoned": None, "tail": None}


def test_what_a_function_keeps_of_a_request_is_dead_in_the_next(start, lane):
    gateway = one(start, lane, """\
        let kept = null;
        export default { onRequest(request) {
          const before = kept;
          kept = request;
          if (!before) return new Response("first");
          try { return new Response("saw " + before.headers.get("x-secret") + before.url); } catch (error) { return new Response(error.message); }
        } };
        """)
    assert gateway.fetch("http1", "GET", "/f", [("X-Secret", "of the first")]).body == b"first"
    assert b"used after its request ended" in gateway.fetch("http1", "GET", "/f").body


def test_fresh_buffers_hold_nothing_of_others(start, lane):
    """Bodies of one function pass through memory that another's buffers may get."""
    gateway = start(functions=f"f: {{file: hooks/f.js, {lane}}}\ng: {{file: hooks/g.js, {lane}}}\n",
                    request="- {name: f, when: 'path starts_with \"/f\"', do: [{run: {function: f}}]}\n"
                            "- {name: g, when: 'path starts_with \"/g\"', do: [{run: {function: g}}]}\n",
                    hooks={"f.js": "export default { async onRequest(request) { return new Response((await request.text()).length + ''); } };",
                           "g.js": """\
        export default { onRequest() {
          let hits = 0;
          for (let i = 0; i < 200; i++) {
            const bytes = new Uint8Array(1 << 14);
            for (let at = 0; at < bytes.length; at += 64) if (bytes[at] !== 0) hits++;
          }
          return new Response(String(hits));
        } };
        """})
    for _ in range(20):
        assert gateway.fetch("http1", "POST", "/f", body=b"canary!!" * 10_000).body == b"80000"
        assert answer(gateway, "/g").body == b"0"


CLOCK = """\
export default { async onRequest() {
  const before = [Date.now(), performance.now(), new Date().getTime()];
  for (let i = 0; i < 3e7; i++);
  const after = [Date.now(), performance.now(), new Date().getTime()];
  return Response.json({moved: after.map((value, index) => value - before[index]), now: after[0]});
} };
"""


def test_clock_stands_still_for_strangers(start):
    gateway = one(start, "untrusted: true", CLOCK, limits="{cpu: 5s, wall: 20s}")
    first = json.loads(answer(gateway).body)
    assert first["moved"] == [0, 0, 0]
    second = json.loads(answer(gateway).body)
    assert second["now"] > first["now"], "it moves on between turns"
    assert abs(second["now"] / 1000 - time.time()) < 60


def test_clock_runs_for_the_operators_own(start):
    assert json.loads(answer(one(start, "lane: cordon", CLOCK, limits="{cpu: 5s, wall: 20s}")).body)["moved"][0] > 0


def test_fallback_sends_the_request_elsewhere(start, lane, origin):
    gateway = one(start, lane, "export default { onRequest() { throw new Error('broken'); } };", policy="{fallback: spare}",
                  upstreams=f'spare:\n  servers: ["http://127.0.0.1:{origin.port}"]\n')
    assert answer(gateway).status == 200
    assert [request.path for request in origin.requests] == ["/f"]
    wait_until(gateway.access_log, "the exchange is in the log")
    assert gateway.access_log()[-1]["upstream"]["name"] == "spare"
    wait_until(lambda: gateway.metric("sluice_hook_policies_total", policy="fallback") == 1, "the policy is counted")


def test_failure_is_one_event_with_rule_hook_cost_and_memory(start, lane):
    gateway = one(start, lane, "export default {\n  onRequest() {\n    for (let i = 0; i < 1e6; i++);\n    null.x;\n  } };", arguments=["--log-format", "json"])
    reply = answer(gateway)
    assert reply.status == 503 and reply.header("proxy-status").startswith("sluice; error=")
    assert b"null" not in reply.body
    event = json.loads(gateway.wait_log("hook_failed"))
    assert event["function"] == "f" and event["kind"] == "error" and event["policy"] == "deny"
    assert event["rule"].endswith("/f") and event["rule_place"].startswith(("sluice.yaml:", "/")) and ":" in event["rule_place"]
    assert event["hook_place"] == "hooks/f.js:4:10" or event["hook_place"].endswith("hooks/f.js:4:10")
    assert event["request"] == reply.header("x-request-id")
    assert event["cpu_us"] > 0 and event["memory_bytes"] > 100_000


def test_worker_that_waits_for_a_processor_is_not_taken_for_one_that_hangs(start):
    """Beyond every deadline of the wall clock, but without the processor time to have stopped in."""
    gateway = one(start, "lane: inline", "export default { onRequest() { for (let i = 0, end = 3e8; i < end; i++); return new Response('done'); } };",
                  limits="{cpu: 2s, wall: 60s}")
    [worker] = gateway.worker_pids()
    used = Path(f"/proc/{worker}/task/{worker}/schedstat")
    before = int(used.read_text().split()[0])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(answer, gateway)
        wait_until(lambda: int(used.read_text().split()[0]) - before > 30_000_000, "the hook runs")
        os.kill(worker, signal.SIGSTOP)
        try:
            assert not threading.Event().wait(6), "longer than twice its limit and the time the supervisor adds"
        finally:
            os.kill(worker, signal.SIGCONT)
        assert waiting.result().body == b"done"
    assert gateway.worker_pids() == [worker]


def test_time_without_a_processor_is_not_counted_as_processor_time(start):
    """A worker that is held up in the first moments of a call, before its watchdog has looked: the script has used nothing of its limit."""
    gateway = one(start, "lane: inline", """export default { async onRequest() {
        for (let i = 0; i < 4; i++) {
          for (let j = 0; j < 1e6; j++);
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
        return new Response('done');
      } };""", limits="{cpu: 25ms, wall: 60s}")
    [worker] = gateway.worker_pids()
    statuses, stopping = [], threading.Event()

    def ask() -> None:
        with gateway.http1() as client:
            while not stopping.is_set():
                statuses.append(client.request("GET", "/f").status)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        for _ in range(40):
            wait_until(lambda seen=len(statuses): len(statuses) > seen + 3, "requests are served")
            os.kill(worker, signal.SIGSTOP)
            try:
                assert not threading.Event().wait(0.05), "longer than its limit"
            finally:
                os.kill(worker, signal.SIGCONT)
        stopping.set()
        for each in asking:
            each.result()
    assert set(statuses) == {200}, {status: statuses.count(status) for status in set(statuses)}
    assert gateway.metric("sluice_hook_failures_total", kind="cpu") == 0
