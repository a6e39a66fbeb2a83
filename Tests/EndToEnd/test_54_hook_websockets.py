"""WebSockets that a hook ends itself (`WebSocketPair`), over HTTP/1.1, TLS and HTTP/2, inline and in a cordon."""
import asyncio
import json
import signal
import socket as sockets
import struct

import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from harness.gateway import rule_file
from harness.http1 import EndOfStream
from harness.waiting import wait_until
from test_34_http2_features import open_websocket, send
from test_54_websocket_hooks import ask, talk

ECHO = """\
    export default {
      async fetch(request, env, ctx) {
        if (request.headers.get("upgrade") !== "websocket") return new Response("WebSocket wanted", { status: 426 });
        const [client, server] = Object.values(new WebSocketPair());
        server.accept();
        server.addEventListener("message", ({ data }) => {
          if (data === "throw") throw new Error("broken");
          if (data === "loop") for (;;) {}
          if (data === "close") return server.close(4002, "as you wish");
          if (data === "flood") { for (let n = 0; n < 3000; n++) server.send(`${n} ${"x".repeat(1000)}`); return; }
          server.send(data);
        });
        server.addEventListener("close", ({ code, reason, wasClean }) => console.log(`closed ${code} ${reason} ${wasClean}`));
        server.addEventListener("error", ({ message }) => console.log(`error ${message}`));
        return new Response(null, { status: 101, webSocket: client });
      },
    };
    """
RUN = "- name: run\n  do: [{run: {function: hook}}]\n"
LANES = pytest.mark.parametrize("lane", ["inline", "cordon"])


# Megabytes and thousands of messages in one turn are no matter of milliseconds on a busy machine, or with a sanitizer.
AT_LENGTH = "lane: inline, limits: {cpu: 500ms}"


def serve(start, source=ECHO, options="lane: inline", **more):
    sites = "- name: s\n  hosts: ['*']\n  request:\n    - name: run\n      do: [{run: {function: hook}}]\n"
    return start(functions=f"hook: {{file: hooks/hook.js, {options}}}", hooks={"hook.js": source}, sites=sites, **more)


async def ends(socket):
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await socket.recv()
    return closed.value.rcvd.code if closed.value.rcvd else None


@LANES
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_hook_answers_messages_itself(start, lane, tls):
    gateway = serve(start, options=f"lane: {lane}")
    messages = ["hello é€", bytes(range(256)), "", b"", "x" * 100_000, b"y" * 100_000]
    assert talk(gateway, lambda socket: ask(socket, *messages), tls) == messages
    wait_until(lambda: gateway.metric("sluice_hook_websockets_ended_total", how="closed") == 1, "its end is counted")
    assert [gateway.metric(f"sluice_hook_websockets_{each}") for each in ("total", "active")] == [1, 0]
    assert [gateway.metric("sluice_hook_websocket_messages_total", direction=each) for each in ("in", "out")] == [6, 6]
    gateway.wait_log("closed 1000  true")


@pytest.mark.parametrize("options", ["untrusted: true", "isolation: request", "untrusted: true, isolation: request"])
def test_untrusted_and_isolated_functions_end_websockets_too(start, options):
    gateway = serve(start, ECHO.replace("server.send(data);", "server.send(`${globalThis.seen ??= data} ${data}`);"), options)

    async def both(socket):
        async with websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None) as other:
            return await ask(socket, "a", "b") + await ask(other, "c") + await ask(socket, "d")
    second = "c c" if "isolation" in options else "a c"
    assert talk(gateway, both) == ["a a", "a b", second, "a d"]


def test_a_request_that_is_no_handshake_is_answered_as_the_hook_says(start):
    gateway = serve(start)
    assert gateway.fetch("http1", "GET", "/").status == 426
    gateway = serve(start, ECHO.replace("if (request.headers", "if (false && request.headers"))
    assert gateway.fetch("http1", "GET", "/").status == 500
    gateway.wait_log("asks for none")


@pytest.mark.parametrize("fields, status", [
    ([("Sec-WebSocket-Version", "8"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")], 426),
    ([("Sec-WebSocket-Version", "13")], 400), ([("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "short")], 400)])
def test_a_bad_handshake_is_refused(start, fields, status):
    gateway = serve(start)
    answer = gateway.fetch("http1", "GET", "/", [("Connection", "Upgrade"), ("Upgrade", "websocket"), *fields])
    assert answer.status == status
    assert answer.header("sec-websocket-version") == ("13" if status == 426 else None)


def test_subprotocols_are_the_hooks_own(start):
    gateway = serve(start, """\
        export default { fetch(request) {
          const { socket, response } = upgradeWebSocket(request, { protocol: request.headers.get("sec-websocket-protocol").split(", ")[1] });
          socket.onmessage = ({ data }) => socket.send(data);
          return response;
        } };
        """)

    async def conversation(socket):
        return socket.subprotocol, await ask(socket, "x")
    assert talk(gateway, conversation, subprotocols=["one", "two"]) == ("two", ["x"])


@LANES
def test_closes_go_both_ways_with_their_codes(start, lane):
    gateway = serve(start, options=f"lane: {lane}")

    async def hook_closes(socket):
        await socket.send("close")
        return await ends(socket), socket.close_reason
    assert talk(gateway, hook_closes) == (4002, "as you wish")
    gateway.wait_log("closed 4002 as you wish true")
    talk(gateway, lambda socket: socket.close(4001, "enough"))
    gateway.wait_log("closed 4001 enough true")


@LANES
def test_a_client_that_is_lost_is_told_as_1006(start, lane):
    gateway = serve(start, options=f"lane: {lane}")

    async def conversation(socket):
        await ask(socket, "x")
        socket.transport.abort()
    talk(gateway, conversation)
    gateway.wait_log("closed 1006  false")
    wait_until(lambda: gateway.metric("sluice_hook_websockets_ended_total", how="lost") == 1, "it is counted")


@LANES
@pytest.mark.parametrize("word", ["throw", "loop"])
def test_a_hook_that_fails_closes_with_1011_and_nothing_else(start, lane, word):
    gateway = serve(start, options=f"lane: {lane}, limits: {{cpu: 20ms}}")

    async def both(socket):
        async with websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None) as other:
            await other.send(word)
            code = await ends(other)
        return code, await ask(socket, "still here")
    assert talk(gateway, both) == (1011, ["still here"])
    gateway.wait_log("hooks/hook.js:7.*broken" if word == "throw" else "CPU limit")
    wait_until(lambda: gateway.metric("sluice_hook_websockets_ended_total", how="failed") == 1, "it is counted")


def raw(gateway, path="/"):
    """A connection after its handshake, for frames that no library sends."""
    client = sockets.create_connection(("127.0.0.1", gateway.ports.plain), 20)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    return client


def frame(opcode, payload=b"", mask=b"\1\2\3\4", final=True, reserved=0):
    length = struct.pack("!B", len(payload)) if len(payload) < 126 else b"\x7e" + struct.pack("!H", len(payload)) if len(payload) < 65536 \
        else b"\x7f" + struct.pack("!Q", len(payload))
    first = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    if mask is None:
        return first + length + payload
    return first + bytes([length[0] | 0x80]) + length[1:] + mask + bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))


def receive(client):
    """One frame: opcode and payload."""
    def exactly(count):
        data = b""
        while len(data) < count:
            more = client.recv(count - len(data))
            if not more:
                return data
            data += more
        return data
    head = exactly(2)
    if len(head) < 2:
        return None
    count = head[1] & 0x7F
    if count == 126:
        count = struct.unpack("!H", exactly(2))[0]
    return head[0] & 0x0F, exactly(count)


@pytest.mark.parametrize("sent, code", [
    (frame(1, b"x", mask=None), 1002), (frame(1, b"x", reserved=4), 1002), (frame(3, b"x"), 1002), (frame(0, b"x"), 1002),
    (frame(9, b"x" * 126), 1002), (frame(9, b"x", final=False), 1002), (frame(8, b"\x03"), 1002), (frame(8, struct.pack("!H", 1005)), 1002),
    (frame(8, struct.pack("!H", 999)), 1002), (frame(8, struct.pack("!H", 1000) + b"\xff"), 1007), (frame(1, b"\xff\xfe"), 1007),
    (frame(2, b"x" * 65_537), 1009)])
def test_what_breaks_the_protocol_is_closed_with_its_code(start, sent, code):
    gateway = serve(start, limits="buffered_body: 64KiB")
    with raw(gateway) as client:
        client.sendall(sent)
        opcode, payload = receive(client)
        assert (opcode, struct.unpack("!H", payload[:2])[0]) == (8, code)
        assert receive(client) is None, "and the connection ends"
    gateway.wait_log(f"closed {code}  false")


def test_pings_are_answered_and_control_frames_may_stand_between_fragments(start):
    gateway = serve(start)
    with raw(gateway) as client:
        client.sendall(frame(9, b"are you there") + frame(1, b"one ", final=False) + frame(9, b"2") + frame(10, b"unasked") + frame(0, b"message"))
        assert [receive(client) for _ in range(3)] == [(10, b"are you there"), (10, b"2"), (1, b"one message")]
        client.sendall(frame(8))
        assert receive(client) == (8, b"")
        assert receive(client) is None
    gateway.wait_log("closed 1005  true")


def test_a_client_that_does_not_read_is_not_read_from(start):
    gateway = serve(start, options=AT_LENGTH)

    async def conversation(socket):
        await socket.send("flood")
        await socket.send("after")
        got = [await socket.recv() for _ in range(3001)]
        return got[0][:2], got[2999][:5], got[3000]
    assert talk(gateway, conversation) == ("0 ", "2999 ", "after")

    with raw(gateway) as client:
        client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        client.settimeout(0.2)
        sent = 0
        try:
            for _ in range(400):
                client.sendall(frame(2, b"z" * 60_000))
                sent += 1
        except TimeoutError:
            pass
        assert sent < 400, "24 MB are not taken in"
        before = gateway.metric("sluice_hook_websocket_messages_total", direction="refused")
        assert before == 0


def test_a_hook_that_sends_without_looking_is_told(start):
    gateway = serve(start, """\
        export default { fetch(request) {
          const { socket, response } = upgradeWebSocket(request);
          socket.onmessage = () => {
            let count = 0;
            try { for (;;) { socket.send(new Uint8Array(500_000)); count++; } } catch (error) { console.log(`${error.name} after ${count}`); }
          };
          return response;
        } };
        """, AT_LENGTH)

    async def conversation(socket):
        await socket.send("go")
        return len(await socket.recv())
    assert talk(gateway, conversation) == 500_000
    gateway.wait_log("QuotaExceededError after 8")
    wait_until(lambda: gateway.metric("sluice_hook_websocket_messages_total", direction="refused") == 1, "it is counted")


@LANES
def test_a_reload_leaves_open_sockets_with_their_old_code(start, lane):
    tagged = ECHO.replace("server.send(data);\n        });", "server.send(`VERSION ${data}`);\n        });")
    assert "VERSION" in tagged
    gateway = serve(start, tagged.replace("VERSION", "one"), options=f"lane: {lane}")

    async def conversation(socket):
        first = await ask(socket, "a")
        await asyncio.to_thread(gateway.reload, None, {"hook.js": tagged.replace("VERSION", "two")})
        async with websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None) as other:
            second = await ask(other, "b")
        return first + second + await ask(socket, "c")
    assert talk(gateway, conversation) == ["one a", "two b", "one c"]


@pytest.mark.parametrize("lane", ["inline", "cordon"])
def test_the_end_of_the_drain_is_said_with_1001(start, certificates, lane):
    gateway = start(hooks={"hook.js": ECHO}, rules=lambda ports: rule_file(
        ports, certificates, 9, functions=f"hook: {{file: hooks/hook.js, lane: {lane}}}", request=RUN) + "drain: {stop: 300ms}\n")

    async def conversation(socket):
        await ask(socket, "x")
        gateway.signal(signal.SIGTERM)
        return await ends(socket)
    assert talk(gateway, conversation) == 1001


def test_sockets_of_a_function_that_awaits_and_asks_upstreams(start, origin):
    gateway = start(functions="hook: {file: hooks/hook.js, upstreams: [origin]}", hooks={"hook.js": """\
        export default { async onRequest(request, env, ctx) {
          if (!request.headers.has("upgrade")) return;
          const { socket, response } = upgradeWebSocket(request);
          socket.onmessage = async ({ data }) => socket.send(`${(await env.origin.fetch(data)).status}`);
          return response;
        } };
        """}, request="- name: run\n  do: [{run: {function: hook}}]\n")
    assert talk(gateway, lambda socket: ask(socket, *["/a"] * 60)) == ["200"] * 60


def test_over_http2_it_is_the_same(start):
    gateway = serve(start)
    with gateway.http2() as client:
        stream = open_websocket(client)
        answer = client.responses[stream]
        assert answer.status == 200 and answer.header("sec-websocket-accept") is None and answer.header("upgrade") is None
        send(client, stream, frame(1, "hello é".encode()) + frame(9, b"p") + frame(2, b"y" * 40_000))
        client.receive_until(lambda: len(answer.body) >= 10 + 3 + 4 + 40_000, "three frames")
        assert answer.body[2:10] == "hello é".encode() and b"\x8a\x01p" in answer.body and answer.body.endswith(b"y" * 40_000)
        send(client, stream, frame(8, struct.pack("!H", 1000)))
        client.receive_until(lambda: stream in client.finished, "the end")
        assert answer.body.endswith(b"\x88\x02\x03\xe8")
    gateway.wait_log("closed 1000  true")


def test_over_http2_a_hook_that_throws_closes_with_1011(start):
    gateway = serve(start, limits="body: 64KiB")
    with gateway.http2() as client:
        stream = open_websocket(client)
        for _ in range(4):
            send(client, stream, frame(2, b"y" * 30_000))
        send(client, stream, frame(1, b"throw"))
        client.receive_until(lambda: stream in client.finished, "the end")
        assert client.responses[stream].body.endswith(b"\x03\xf3a hook failed")
        assert client.request("GET", "/").status == 426


def test_functions_that_are_fenced_lose_their_websockets(start):
    """Two workers die of a function; those that live close what they have of it."""
    deadly = 'if (request.url.endsWith("/die")) { const a = []; a.length = 2 ** 32 - 1; a.indexOf(1); }\n'
    source = ECHO.replace('        if (request.headers', f"        {deadly}        if (request.headers", 1)
    gateway = serve(start, source, "lane: inline, limits: {cpu: 20ms}", workers=3)

    async def code(socket):
        try:
            await asyncio.wait_for(socket.recv(), 60)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None

    def die():
        try:
            gateway.fetch("http1", "GET", "/die")
        except (OSError, EndOfStream):
            pass

    async def main():
        all_of_them = [await websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None) for _ in range(24)]
        for each in all_of_them:
            await ask(each, "x")
        for _ in range(2):
            await asyncio.to_thread(die)
        await asyncio.to_thread(gateway.wait_log, "is fenced")
        return await asyncio.gather(*[code(each) for each in all_of_them])
    codes = asyncio.run(main())
    assert set(codes) <= {1011, None} and 1011 in codes, codes


@LANES
def test_what_a_hook_knows_of_the_handshake(start, lane):
    gateway = serve(start, "export default { fetch: (request, env, ctx) => Response.json([ctx.client.tls, ctx.traceparent, request.cf.botManagement]) };",
                    f"lane: {lane}")
    tls, trace, bot = json.loads(gateway.fetch("http1-tls", "GET", "/").body)
    assert tls["version"] == "TLSv1.3" and tls["ja4"].startswith("t13") and tls["certificate"] is None
    assert bot == {"ja4": tls["ja4"]} and trace.startswith("00-") and len(trace) == 55
