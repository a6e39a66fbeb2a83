"""`waitUntil` work outlives whatever becomes of its exchange, in the worker and in a cordon: a client that leaves, a handler that throws, a
body that breaks off. Its limits stay."""
import pytest

from harness.waiting import wait_until

LANES = {"inline": "lane: inline", "cordon": "lane: cordon", "untrusted": "untrusted: true"}
# The origin says when the work's last step has reached it.
HOOK = """
    const work = async (env, to) => { await scheduler.wait(300); await env.origin.fetch("/started" + to); await scheduler.wait(300); await env.origin.fetch("/done" + to); };
    const slow = () => new ReadableStream({ async pull(to) { await scheduler.wait(50); to.enqueue(new Uint8Array(1000)); } });
    export default {
      async fetch(request, env, ctx) {
        const { pathname } = new URL(request.url);
        if (pathname === "/plain") return new Response("plain");
        if (pathname === "/none") { ctx.signal.addEventListener("abort", () => console.log("told: none")); await env.origin.fetch("/hold"); }
        if (pathname === "/burn") { ctx.waitUntil((async () => { await scheduler.wait(300); for (;;); })()); await env.origin.fetch("/hold"); }
        ctx.waitUntil(work(env, pathname));
        ctx.signal.addEventListener("abort", () => console.log(`told: ${pathname}`));
        if (pathname === "/origin") return fetch(new Request(new URL("/hold", request.url), request));
        if (pathname === "/body") return new Response(slow());
        if (pathname === "/read") return new Response(await request.text());
        if (pathname === "/throws") { await scheduler.wait(1); throw new Error("after waitUntil"); }
        if (pathname === "/throws-at-once") throw new Error("after waitUntil");
        if (pathname === "/breaks") return new Response(new ReadableStream({ pull(to) { to.enqueue(new Uint8Array(100000)); to.error(new Error("broken")); } }));
        await new Promise((done) => setTimeout(done, 20000));
      },
    };
"""


@pytest.fixture(params=LANES)
def lane(request):
    return LANES[request.param]


@pytest.fixture
def gateway(start, origin, lane):
    async def hold(exchange):
        if "/hold" in exchange.request.path:
            await exchange.reader.read()
        else:
            await exchange.answer(200, b"ok")

    origin.script = hold
    return start(functions=f"hook: {{file: hooks/hook.js, {lane}, upstreams: [origin], limits: {{cpu: 100ms, wall: 5s}}}}",
                 hooks={"hook.js": HOOK}, request="- {name: hook, do: [{run: {function: hook}}]}\n")


def paths(origin) -> list[str]:
    return [request.path for request in origin.requests]


def rests(gateway) -> None:
    """No call is left, here or there."""
    wait_until(lambda: gateway.metric("sluice_hook_calls_open") == 0, "no call is left")
    assert gateway.fetch("http1", "GET", "/plain").body == b"plain"
    assert gateway.metric("sluice_cordon_deaths_total") == 0 and gateway.metric("sluice_bugs_total") == 0


@pytest.mark.parametrize("path", ["/waits", "/origin", "/body", "/read"])
def test_it_goes_on_when_the_client_leaves(gateway, origin, path):
    client = gateway.http1()
    method, more = ("POST", "Content-Length: 5\r\n") if path == "/read" else ("GET", "")
    client.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
    wait_until(lambda: f"/started{path}" in paths(origin), "it is under way")
    client.socket.close()
    gateway.wait_log(f"told: {path}")
    wait_until(lambda: f"/done{path}" in paths(origin), "it was done to its end")
    rests(gateway)


@pytest.mark.parametrize("path", ["/throws", "/throws-at-once", "/breaks"])
def test_it_goes_on_when_its_handler_fails(gateway, origin, path):
    client = gateway.http1()
    client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    wait_until(lambda: f"/done{path}" in paths(origin), "it was done to its end")
    client.socket.close()
    rests(gateway)


def leave(gateway, origin, path: str) -> None:
    client = gateway.http1()
    client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    wait_until(lambda: origin.at_once == 1, "it is under way")
    client.socket.close()


def test_a_call_without_it_ends_with_its_client(gateway, origin):
    leave(gateway, origin, "/none")
    gateway.wait_log("told: none")
    wait_until(lambda: origin.at_once == 0, "what it asked for is given up")
    rests(gateway)


def test_its_cpu_limit_stays(gateway, origin):
    leave(gateway, origin, "/burn")
    wait_until(lambda: gateway.metric("sluice_hook_tails_stopped_total") == 1, "it is stopped, and counted")
    rests(gateway)


@pytest.mark.parametrize("code", [
    "ctx.waitUntil(scheduler.wait(10).then(burn)); return new Response('x');",
    "return new Response(new ReadableStream({ async pull(to) { await scheduler.wait(1); burn(); to.enqueue(new Uint8Array(1)); to.close(); } }));",
])
def test_a_function_that_holds_the_loop_up_after_its_answer_is_moved(start, code):
    """Only what a call had used by its result was looked at."""
    gateway = start(functions="f: {file: hooks/f.js, limits: {cpu: 200ms}}\n", request="- {name: f, do: [{run: {function: f}}]}\n",
                    hooks={"f.js": f"const burn = () => {{ for (let i = 0, n = 0; i < 3e7; i++) n += i % 7; }}; export default {{ async fetch(request, env, ctx) {{ {code} }} }};"})
    for _ in range(4):
        gateway.fetch("http1", "GET", "/")
    wait_until(lambda: gateway.metric("sluice_hook_moves_total", reason="slow") == 1, "it has a process of its own")
