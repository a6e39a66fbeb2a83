"""Isolates that something keeps: WebSockets that say nothing, bodies that drip, calls that wait. When memory is short they go, those of
whoever holds most first, and nobody else's request fails."""
import asyncio
import os
import threading

import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from harness.gateway import rule_file
from harness.waiting import wait_until

COUNT = 24
# 12 MB each, in the heap and beside it.
HOLD = """
    const kept = [];
    function fill() { if (kept.length === 0) { for (let i = 0; i < 8; i++) kept.push(new Uint8Array(1 << 20).fill(i + 1)); kept.push(Array.from({ length: 250_000 }, (_, n) => ({ n }))); } }
    export default { async fetch(request, env, ctx) {
      fill();
      const what = new URL(request.url).searchParams.get("what");
      if (what === "drip") {
        return new Response(new ReadableStream({ async pull(out) { await scheduler.wait(200); out.enqueue(new Uint8Array(1)); } }));
      }
      if (what === "wait") { await scheduler.wait(60_000); return new Response("waited"); }
      if (request.headers.get("upgrade") !== "websocket") return new Response(String(kept.length));
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      setInterval(() => kept.length, 20);
      server.addEventListener("message", ({ data }) => server.send(data));
      return new Response(null, { status: 101, webSocket: client });
    } };
"""
OTHER = "let n = 0; export default { fetch() { return new Response(String(n++)); } };"


@pytest.fixture
def gateway(start, certificates, origin):
    functions = "".join(f"f{n}: {{file: hooks/hold.js, tenant: greedy, lane: inline, limits: {{cpu: 10s, wall: 120s}}}}\n" for n in range(COUNT))
    functions += "other: {file: hooks/other.js, tenant: other, lane: inline}\n"

    def rules(ports, limits=""):
        names = [f"f{n}" for n in range(COUNT)] + ["other"]
        request = "".join(f"- {{name: {name}, when: 'path == \"/{name}\"', do: [{{run: {{function: {name}}}}}]}}\n" for name in names)
        return rule_file(ports, certificates, origin.port, functions=functions, request=request) + limits

    gateway = start(hooks={"hold.js": HOLD, "other.js": OTHER}, rules=rules)

    def squeeze(part: float) -> None:
        """What is resident now is so much of what may be."""
        wait_until(lambda: gateway.metric("sluice_isolate_bytes", part="buffers") > COUNT * 8e6, "all were looked at")
        gateway.reload(rules(gateway.ports, "limits: {memory: 8GiB}\n"))
        limit = int(gateway.metric("sluice_memory_resident_bytes") / part / 1024)
        gateway.reload(rules(gateway.ports, f"limits: {{memory: {limit}KiB}}\n"))
    gateway.squeeze = squeeze
    return gateway


class Others:
    """Asks for what another tenant has, again and again."""

    def __init__(self, gateway):
        self.gateway, self.statuses, self.stopping = gateway, [], threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stopping.is_set():
            self.statuses.append(self.gateway.fetch("http1", "GET", "/other").status)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


@pytest.mark.skipif("SLUICE_SANITIZER" in os.environ, reason="what is freed stays resident in the sanitizer's quarantine")
def test_websockets_that_hold_memory_make_room_and_nobody_else_fails(gateway):
    async def attack():
        held = [await websockets.connect(f"ws://localhost:{gateway.ports.plain}/f{n}", proxy=None) for n in range(COUNT)]
        await asyncio.to_thread(gateway.squeeze, 0.89)
        await asyncio.to_thread(wait_until, lambda: gateway.metric("sluice_hook_websockets_ended_total", how="failed") >= 1, "one has to go", 60)
        await asyncio.to_thread(wait_until, lambda: any(each.close_code for each in held), "its client hears of it")
        assert {each.close_code for each in held} <= {1011, None}
        assert gateway.metric("sluice_hook_websockets_active") >= COUNT / 2, "no more than it takes"
        for each in held:
            await each.close()

    with Others(gateway) as others:
        asyncio.run(attack())
    assert len(others.statuses) > 20 and set(others.statuses) == {200}
    assert gateway.metric("sluice_shed_total") == 0 and gateway.metric("sluice_overload") == 0
    gateway.wait_log("memory is short")


@pytest.mark.parametrize("what", ["drip", "wait"])
def test_a_worker_whose_memory_is_held_by_bodies_that_drip_and_calls_that_wait_comes_back(gateway, what):
    """It answered everybody with 503 for as long as they were held."""
    held = [gateway.http1() for _ in range(COUNT)]
    for n, client in enumerate(held):
        client.send(f"GET /f{n}?what={what} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    gateway.squeeze(1.1)
    wait_until(lambda: gateway.metric("sluice_hook_failures_total", kind="memory") >= 2, "some have to go", 60)
    wait_until(lambda: gateway.metric("sluice_overload") == 0, "it is enough", 60)
    assert gateway.fetch("http1", "GET", "/other").status == 200
    assert gateway.metric("sluice_hook_calls_open") > 0, "no more than it takes"
    for client in held:
        client.close()
    wait_until(lambda: gateway.metric("sluice_hook_calls_open") == 0, "nothing is left of them")


def test_a_tenant_may_have_more_functions_than_its_process_has_room_for(start, certificates, origin):
    """Isolates of a cordon were never given up: with all of its functions called its process died, again and again, until they were fenced."""
    count = 40
    functions = "".join(f"f{n}: {{file: hooks/hold.js, untrusted: true, tenant: greedy, limits: {{cpu: 10s, wall: 60s}}}}\n" for n in range(count))
    request = "".join(f"- {{name: f{n}, when: 'path == \"/f{n}\"', do: [{{run: {{function: f{n}}}}}]}}\n" for n in range(count))
    heavy = HOLD.replace("i < 8", "i < 12").replace("250_000", "700_000")
    gateway = start(hooks={"hold.js": heavy}, functions=functions, request=request)
    client = gateway.http1()
    for _ in range(2):
        assert [client.request("GET", f"/f{n}").body for n in range(count)] == [b"13"] * count
    assert gateway.metric("sluice_cordon_deaths_total") == 0
