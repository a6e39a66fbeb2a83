"""A client that leaves while it waits, in every way that there is: what was done for it stops, in hooks too."""
import signal
import socket
import struct

import pytest

from harness.http2 import RST_STREAM, frame
from harness.waiting import wait_until

# The sub-request is held, and the hook says when it was told that nobody waits any more.
HOLDING = """
    export default { async onRequest(request, env, ctx) {
      ctx.signal.addEventListener("abort", () => console.log(`told: ${ctx.signal.reason.name}`));
      await env.origin.fetch("/hold");
    } };
"""
WAYS = ["ends its side", "ends its side over TLS", "closes", "resets", "resets its stream"]


@pytest.fixture
def holding(origin):
    async def hold(exchange):
        if "/hold" in exchange.request.path:
            await exchange.reader.read()  # until the gateway lets go
        else:
            await exchange.answer(200, b"ok")

    origin.script = hold
    return origin


def leave(gateway, way: str, path: str, holding) -> None:
    """Asks, is seen at the origin, and leaves in this way."""
    if way == "resets its stream":
        client = gateway.http2_raw()
        client.send(client.get(1, path))
        wait_until(lambda: holding.at_once == 1, "it is served")
        client.send(frame(RST_STREAM, 0, 1, struct.pack(">I", 8)))
        wait_until(lambda: holding.at_once == 0, "what was done for it stops")
        return client.socket.close()
    client = gateway.http1(tls="TLS" in way)
    client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    wait_until(lambda: holding.at_once == 1, "it is served")
    if way == "resets":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if way.startswith("ends"):
        client.socket.shutdown(socket.SHUT_WR)
    else:
        client.socket.close()
    wait_until(lambda: holding.at_once == 0, "what was done for it stops")
    client.socket.close()


@pytest.mark.parametrize("way", WAYS)
def test_the_origin_is_let_go(start, holding, way):
    gateway = start()
    leave(gateway, way, "/hold", holding)
    wait_until(lambda: any(line["status"] == 0 for line in gateway.access_log()), "the log says that nobody got an answer")
    assert gateway.fetch("http1", "GET", "/").body == b"ok"


@pytest.mark.parametrize("lane", ["inline", "cordon"])
@pytest.mark.parametrize("way", WAYS)
def test_the_work_of_a_hook_is_cancelled(start, holding, way, lane):
    gateway = start(functions=f"hook: {{file: hooks/hook.js, lane: {lane}, upstreams: [origin]}}", hooks={"hook.js": HOLDING},
                    request="- {name: hook, match: {path: /hook}, do: [{run: {function: hook}}]}\n")
    leave(gateway, way, "/hook", holding)
    gateway.wait_log("told: AbortError")
    assert gateway.fetch("http1", "GET", "/").body == b"ok"


@pytest.mark.parametrize("framing", ["alone", "pipelined", "with a body"])
def test_a_listener_may_serve_clients_that_have_ended_their_side(start, origin, certificates, framing):
    """As `printf ... | nc -N` does. Its requests are served in order, to the last."""
    def rules(ports):
        return f"""
sluice: 1
listeners: [{{name: plain, address: "127.0.0.1:{ports.plain}", half_close: serve}}]
admin: {{address: "127.0.0.1:{ports.admin}"}}
access_log: {{path: access.log}}
upstreams: {{origin: {{servers: ["http://127.0.0.1:{origin.port}"]}}}}
sites: [{{name: all, hosts: ["*"], upstream: origin}}]
"""
    gateway = start(rules=rules)
    asked = {"alone": b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n", "pipelined": b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n" * 3,
             "with a body": b"POST /bytes/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"}[framing]
    with gateway.http1() as client:
        client.send(asked)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest().count(b"HTTP/1.1 200 OK") == asked.count(b"HTTP/1.1")


# Makes a body of its own without end, and never looks at the client's.
ENDLESS = """
    export default { async onRequest(request) {
      return new Request(request, { method: "POST", duplex: "half", body: new ReadableStream({
        async pull(to) { await new Promise((done) => setTimeout(done, 5)); to.enqueue(new Uint8Array(1000)); } }) });
    } };
"""


def left_behind_a_body(start, origin, limits: str, tls: bool):
    """A client that ended its side behind a body of which the gateway holds enough, while a hook's own goes to the origin."""
    async def swallow(reader, writer):
        while await reader.read(65536):
            pass
        return False

    origin.on_connect = swallow
    gateway = start(hooks={"endless.js": ENDLESS}, functions="endless: {file: hooks/endless.js, limits: {wall: 10m, cpu: 10s}}",
                    request="- {name: endless, do: [{run: endless}]}", limits=limits)
    client = gateway.http1(tls=tls)
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n")
    wait_until(lambda: origin.open_now == 1, "the hook's body is on its way")
    client.send(bytes((64 << 10) + 4_000))  # no more is read then, and what is left the kernel takes: the end is announced
    socket.socket.shutdown(client.socket, socket.SHUT_WR)
    return gateway, client


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_client_that_left_behind_a_body_that_nobody_reads(start, origin, tls):
    """Its end cannot be read, but it was announced: what is done for it stops all the same."""
    gateway, client = left_behind_a_body(start, origin, "body_rate_time: 300ms\nexchange_buffer: 64KiB", tls)
    wait_until(lambda: origin.open_now == 0, "the hook's body ends")
    wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="body") == 1 and gateway.metric("sluice_requests_active") == 0, "it is counted")
    client.socket.close()


def test_a_client_that_left_so_holds_up_no_end_of_the_gateway(start, origin):
    gateway, client = left_behind_a_body(start, origin, "body_rate_time: 10m\nexchange_buffer: 64KiB", tls=False)
    gateway.signal(signal.SIGTERM)
    wait_until(lambda: gateway.process.poll() is not None, "it ends long before the time to drain is over")
    client.socket.close()

