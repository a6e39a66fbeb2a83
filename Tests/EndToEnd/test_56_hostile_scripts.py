"""What a hostile or careless script does to the gateway around it, beyond V8's own limits: memory that its limits do not see,
native work that nothing interrupts, results that are lost. In the worker and in a cordon."""
import concurrent.futures
import os
import time

import pytest

from harness.waiting import wait_until

LANES = {"inline": "lane: inline", "untrusted": "untrusted: true"}


@pytest.fixture(params=LANES)
def lane(request):
    return LANES[request.param]


def one(start, lane: str, source: str, *, limits: str = "{cpu: 2s, wall: 10s}", more: str = ""):
    return start(functions=f"f: {{file: hooks/f.js, {lane}, limits: {limits}, on_error: deny{more}}}\n",
                 request="- {name: f, when: 'path starts_with \"/f\"', do: [{run: {function: f}}]}\n", hooks={"f.js": source})


def answer(gateway, path: str = "/f"):
    return gateway.fetch("http1", "GET", path)


def largest_kib(pid: int) -> int:
    """The most that a process ever had; a sanitizer needs much for itself."""
    with open(f"/proc/{pid}/status") as lines:
        most = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return most // 3 if "SLUICE_SANITIZER" in os.environ else most


BUSY = "ctx.waitUntil((async () => { for (let i = 0; i < 30; i++) await 0; })());"


@pytest.mark.parametrize("kind", ["", "async "])
def test_an_answer_stands_although_its_waituntil_work_ends_in_the_same_turn(start, lane, origin, kind):
    """Of a handler that was not async the answer was lost and the request went on to the origin; a cordon was killed for it."""
    gateway = one(start, lane, f"""\
        let n = 0;
        export default {{ {kind}onRequest(request, env, ctx) {{ {BUSY} return new Response("no entry " + n++, {{ status: 403 }}); }} }};
        """)
    assert [(answer(gateway).status, answer(gateway).body) for _ in range(6)][-1] == (403, b"no entry 11")
    assert origin.requests == []
    assert gateway.metric("sluice_cordon_deaths_total") == 0


def test_calls_that_end_in_the_turn_of_their_result_are_used_once_at_a_time(start, lane):
    """Each was given back twice, and so two requests had one call between them."""
    gateway = one(start, lane, f"""\
        export default {{ async onRequest(request, env, ctx) {{
          await scheduler.wait(5);
          {BUSY}
          return new Response(new URL(request.url).searchParams.get("n"));
        }} }};
        """)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda n: (n, answer(gateway, f"/f?n={n}")), range(80)))
    assert all(reply.status == 200 and reply.body == str(n).encode() for n, reply in seen)
    assert len(gateway.worker_pids()) == 1 and not any("died" in line for line in gateway.output)


@pytest.mark.parametrize("script", [
    "for (let i = 0; i < 500; i++) ctx.vars.set('a', text)",
    "const headers = new Headers(); for (let i = 0; i < 500; i++) headers.set('x-' + i, text); return new Response('x', { headers })",
    "ctx.state.all = text.repeat(8); return new Response('x')",
    "await Promise.all(Array.from({ length: 40 }, () => env.origin.fetch('/', { method: 'POST', body: text.repeat(4) })))",
])
def test_text_handed_over_again_and_again_is_bounded(start, lane, script):
    """One string, which costs the script nothing, made a worker hold gigabytes."""
    gateway = one(start, lane, f"const text = 'x'.repeat(1 << 20); export default {{ async onRequest(request, env, ctx) {{ {script}; }} }};",
                  more=", upstreams: [origin]")
    [worker] = gateway.worker_pids()
    assert answer(gateway).status == 503
    assert gateway.worker_pids() == [worker]
    assert largest_kib(worker) < 420 * 1024


@pytest.mark.parametrize("kept", ["all.push(one)", "one.format(new Date(i))"])
def test_what_intl_takes_counts(start, lane, kept):
    """A formatter is a few bytes of V8's heap and a hundred kilobytes of ICU's: 4 s of them made a worker of 2.9 GB."""
    gateway = one(start, lane, f"""\
        export default {{ onRequest(request) {{
          if (request.url.endsWith("?fine")) return new Response(new Intl.DateTimeFormat("de", {{ dateStyle: "long" }}).format(0));
          const all = [];
          for (let i = 0; ; i++) {{ const one = new Intl.DateTimeFormat("de", {{ timeZone: "Europe/Berlin", dateStyle: "full" }}); {kept}; }}
        }} }};
        """, limits="{cpu: 700ms, wall: 20s}")
    pids = gateway.worker_pids()
    assert answer(gateway).status == 503
    wait_until(lambda: gateway.metric("sluice_hook_failures_total", kind="memory" if "push" in kept else "cpu") == 1, "why is counted")
    assert answer(gateway, "/f?fine").body == b"1. Januar 1970"
    assert gateway.worker_pids() == pids and gateway.metric("sluice_cordon_deaths_total") == 0
    assert largest_kib(pids[0]) < 420 * 1024


def test_console_lines_are_bounded_by_the_second(start, lane):
    """Each call kept to its limit: as many of them as a client likes filled the log, 60,000 lines in five seconds."""
    gateway = one(start, lane, "export default { onRequest() { for (let i = 0; i < 250; i++) console.log('line '.repeat(40)); return new Response('x'); } };")
    began = time.monotonic()
    for _ in range(40):
        assert answer(gateway).body == b"x"
    seconds = time.monotonic() - began
    wait_until(lambda: gateway.metric("sluice_hook_log_bytes_dropped_total") > 0, "what was dropped is counted")
    lines = [line for line in gateway.output if "line line" in line]
    assert 0 < len(lines) * 200 <= (seconds + 2) * 65_536
    assert any("console lines of" in line and "are dropped" in line for line in gateway.output)


def test_a_body_of_single_bytes_takes_what_it_has(start, lane):
    """Each byte took a slab of 16 KiB: 64 KiB of them a gigabyte, which ended a cordon."""
    gateway = one(start, lane, """\
        export default { onRequest() {
          let n = 0;
          return new Response(new ReadableStream({ pull(out) { if (n++ < 60_000) out.enqueue(new Uint8Array([n])); else out.close(); } }, { highWaterMark: 0 }));
        } };
        """, limits="{cpu: 10s, wall: 30s}")
    assert len(answer(gateway).body) == 60_000
    assert largest_kib(gateway.worker_pids()[0]) < 350 * 1024


@pytest.mark.parametrize("work,refused", {
    "S.deriveBits({ name: 'HKDF', hash: 'SHA-512', salt: bytes(8), info: bytes(1 << 20) }, await S.importKey('raw', bytes(32), 'HKDF', false, ['deriveBits']), 255 * 512)": "OperationError",
    "S.wrapKey('raw', await S.importKey('raw', bytes(4 << 20), { name: 'HMAC', hash: 'SHA-256' }, true, ['sign']), await S.importKey('raw', bytes(32), 'AES-KW', false, ['wrapKey']), 'AES-KW')": "OperationError",
    # A "private key" of numbers that were made up: 32,768 bits, with which one signature took half a minute.
    "S.importKey('jwk', Object.assign({ kty: 'RSA' }, Object.fromEntries(['n', 'd', 'p', 'q', 'dp', 'dq', 'qi'].map((name) => [name, odd(4096)])), { e: 'AQAB' }), { name: 'RSA-PSS', hash: 'SHA-256' }, false, ['sign'])": "DataError",
}.items())
def test_native_work_that_nothing_interrupts_is_bounded(start, lane, work, refused):
    gateway = one(start, lane, f"""\
        const S = crypto.subtle, bytes = (count) => new Uint8Array(count).fill(0xc7);
        const odd = (count) => btoa(String.fromCharCode(...bytes(count))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
        export default {{ async onRequest() {{
          try {{ await ({work}); }} catch (error) {{ return new Response(error.name); }}
          return new Response("done");
        }} }};
        """)
    assert answer(gateway).body.decode() == refused


@pytest.mark.parametrize("work", ["atob(text)", "btoa(text)", "new TextDecoder('big5').decode(bytes)", "new TextDecoder('iso-2022-jp').decode(bytes)"])
def test_work_on_a_long_text_is_stopped_at_the_cpu_limit(start, lane, work):
    gateway = one(start, lane, f"""\
        const text = 'abcd'.repeat(10 << 20), bytes = new Uint8Array(14 << 20).fill(255);
        export default {{ onRequest() {{ for (;;) {work}; }} }};
        """, limits="{cpu: 50ms, wall: 5s}")
    begun = time.monotonic()
    workers = gateway.worker_pids()
    assert answer(gateway).status == 503
    assert time.monotonic() - begun < 10 and gateway.worker_pids() == workers


@pytest.mark.parametrize("script", [
    "for (let i = 0; i < 900; i++) setInterval(() => {}, 0); ctx.waitUntil(new Promise(() => {}))",
    "ctx.waitUntil((async () => { for (;;) await scheduler.wait(0); })())",
])
def test_many_short_turns_are_stopped_at_the_cpu_limit(start, lane, script):
    """Each was too short for the watchdog to meet it: one request had a core for half a minute."""
    gateway = one(start, lane, f"export default {{ onRequest(request, env, ctx) {{ {script}; return new Response('x'); }} }};", limits="{cpu: 20ms}")
    assert answer(gateway).body == b"x"
    gateway.wait_log("waitUntil work was stopped: CPU limit")


def test_buffers_grow_with_the_memory_limit(start, lane):
    """`limits.memory` left them at 16 MiB, whatever it said."""
    gateway = one(start, lane, """\
        export default { onRequest() { try { return new Response(String(new Uint8Array(40 << 20).length)); } catch (error) { return new Response(error.name); } } };
        """, limits="{cpu: 5s, memory: 256MiB}")
    assert answer(gateway).body == b"41943040"


POLLUTED = {
    "iterator": "Array.prototype[Symbol.iterator] = function* () { throw new Error('no'); }",
    "then": "Promise.prototype.then = function () { throw new Error('no'); }",
    "call": "Function.prototype.call = Function.prototype.apply = Function.prototype.bind = null",
    "exec": "RegExp.prototype.exec = () => ({ index: -5, 0: 'a' }); RegExp.prototype.test = () => true",
    "text": "String.prototype.includes = () => false; String.prototype.toLowerCase = () => 'content-length'; RegExp.prototype.test = () => true",
    "map": "Map.prototype.get = () => ({ lower: 'transfer-encoding', number: 3, isOwned: false, isHost: false })",
    "setters": "for (let i = 0; i < 40; i++) Object.defineProperty(Array.prototype, i, { set() { ctx.drop(); }, get() {}, configurable: true })",
    "hasInstance": "for (const type of [Uint8Array, Promise, ArrayBuffer]) Object.defineProperty(type, Symbol.hasInstance, { value: () => true })",
    "object": "for (const name of ['then', 'status', 'headers', 'body', 'length']) Object.defineProperty(Object.prototype, name, { get() { return 7; }, set() {}, configurable: true })",
}


@pytest.mark.parametrize("name", POLLUTED)
def test_a_script_that_breaks_what_the_prelude_stands_on_breaks_itself_only(start, lane, name):
    gateway = start(functions=f"f: {{file: hooks/f.js, {lane}, limits: {{cpu: 200ms, wall: 500ms}}, on_error: deny, upstreams: [origin]}}\n"
                              f"g: {{file: hooks/g.js, {lane}}}\n",
                    request="- {name: f, when: 'path starts_with \"/f\"', do: [{run: {function: f}}]}\n"
                            "- {name: g, when: 'path starts_with \"/g\"', do: [{run: {function: g}}]}\n",
                    hooks={"f.js": f"""\
        export default {{ async onRequest(request, env, ctx) {{
          {POLLUTED[name]};
          const headers = new Headers({{ "x-a": "b" }});
          try {{ headers.set("x-b\\r\\ny", "c"); headers.set("x-c", "d\\r\\nset-cookie: e=f".padEnd(60, "x")); }} catch {{}}
          const text = await request.text();
          try {{ await env.origin.fetch("/sub", {{ method: "POST", body: text }}); }} catch {{}}
          ctx.waitUntil(crypto.subtle.digest("SHA-256", new Uint8Array(3)));
          return new Response(new ReadableStream({{ start(out) {{ out.enqueue(new Uint8Array(3)); out.close(); }} }}), {{ headers }});
        }} }};
        """, "g.js": "export default { onRequest(request) { return new Response('whole ' + request.headers.get('x-n')); } };"})
    workers = gateway.worker_pids()
    for _ in range(2):
        with gateway.http1() as client:
            client.send(b"POST /f HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
            assert b"\r\nset-cookie: e=f" not in client.rest().lower()
        assert gateway.fetch("http1", "GET", "/g", [("X-N", "5")]).body == b"whole 5"
    assert gateway.worker_pids() == workers and gateway.metric("sluice_cordon_deaths_total") == 0


@pytest.mark.parametrize("result", [
    "new Response(new ReadableStream({ pull() {} }))",
    "new Response(null, { status: 101, webSocket: client })",
])
def test_what_breaks_in_the_turn_of_its_result_costs_no_process(start, lane, result):
    """The cordon said that a body is broken before it had said that there is one, and was killed for it."""
    gateway = one(start, lane, f"""\
        export default {{ onRequest() {{
          const [client, server] = Object.values(new WebSocketPair());
          server.accept();
          (async () => {{ for (let i = 0; i < 50; i++) await 0; for (;;); }})();
          return {result};
        }} }};
        """, limits="{cpu: 30ms, wall: 5s}")
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")]
    for _ in range(3):
        assert gateway.fetch("http1", "GET", "/f", fields if "101" in result else []).status in (500, 503)
    assert gateway.metric("sluice_cordon_deaths_total") == 0
