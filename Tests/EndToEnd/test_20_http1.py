"""HTTP/1.1 as clients write it: reuse, pipelines, chunks, trailers, responses without a body."""
import asyncio
import contextlib
import json
import socket
import ssl
import struct

import pytest
import websockets

from harness.gateway import rule_file
from harness.origin import PATTERN, pattern_sha256
from harness.waiting import wait_until


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request):
    return request.param


@pytest.fixture(scope="module")
def gateway(start_shared):
    return start_shared()


def test_keep_alive_serves_many_requests_on_one_connection(gateway, tls):
    with gateway.http1(tls) as client:
        for number in range(50):
            assert json.loads(client.request("GET", f"/{number}").body)["target"] == f"/{number}"


def test_connection_close_is_honoured(gateway, tls):
    with gateway.http1(tls) as client:
        answer = client.request("GET", "/", [("Connection", "close")])
        assert (answer.header("connection") or "").lower() == "close"
        assert client.is_closed()


def test_http_1_0_is_answered_and_closed(gateway, tls):
    with gateway.http1(tls) as client:
        client.send(b"GET /chunked/1000 HTTP/1.0\r\nHost: localhost\r\n\r\n")
        head = client.head()
        assert head.status == 200 and head.header("transfer-encoding") is None
        assert client.rest() == PATTERN[:1000]


def test_http_1_0_keep_alive_with_a_length(gateway):
    with gateway.http1() as client:
        for _ in range(2):
            client.send(b"GET /bytes/10 HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
            answer = client.response()
            assert answer.body == PATTERN[:10]
            assert (answer.header("connection") or "").lower() == "keep-alive"


def test_pipelined_requests_are_answered_in_order(gateway, tls):
    with gateway.http1(tls) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(30)))
        for number in range(30):
            assert json.loads(client.response().body)["target"] == f"/{number}"


def test_pipeline_with_bodies_between(gateway, tls):
    requests = []
    for number in range(10):
        body = PATTERN[:number * 1000]
        requests.append(b"POST /%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (number, len(body)) + body)
    with gateway.http1(tls) as client:
        client.send(b"".join(requests))
        for number in range(10):
            seen = json.loads(client.response().body)
            assert (seen["target"], seen["body_sha256"]) == (f"/{number}", pattern_sha256(number * 1000))


def test_request_that_arrives_byte_by_byte(gateway):
    with gateway.http1() as client:
        for byte in b"POST /slowly HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello":
            client.send(bytes([byte]))
        assert json.loads(client.response().body)["body"] == "hello"


def test_chunked_request_that_arrives_byte_by_byte(gateway):
    with gateway.http1() as client:
        client.send(b"POST /slowly HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in b"5;a=b\r\nhello\r\n6\r\n world\r\n0\r\n\r\n":
            client.send(bytes([byte]))
        assert json.loads(client.response().body)["body"] == "hello world"


@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 16385, 65536, 1_000_000])
@pytest.mark.parametrize("kind", ["bytes", "chunked"])
def test_response_bodies_of_all_sizes(gateway, tls, kind, size):
    with gateway.http1(tls) as client:
        for _ in range(2):
            answer = client.request("GET", f"/{kind}/{size}")
            assert answer.status == 200 and len(answer.body) == size
            assert answer.body == (PATTERN * (size // len(PATTERN) + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, 16384, 65537, 1_000_000])
@pytest.mark.parametrize("chunk", [None, 7, 4096, 70000])
def test_request_bodies_of_all_sizes(gateway, tls, chunk, size):
    if chunk == 7 and size > 100_000:
        size = 100_000
    body = (PATTERN * (size // len(PATTERN) + 1))[:size]
    with gateway.http1(tls) as client:
        if chunk is None:
            answer = client.request("POST", "/up", body=body)
        else:
            parts = [body[at:at + chunk] for at in range(0, size, chunk)]
            coded = b"".join(b"%x\r\n" % len(part) + part + b"\r\n" for part in parts) + b"0\r\n\r\n"
            answer = client.request("POST", "/up", [("Transfer-Encoding", "chunked")], coded)
        seen = json.loads(answer.body)
        assert (seen["body_length"], seen["body_sha256"]) == (size, pattern_sha256(size))


def test_trailers_pass_in_both_directions(gateway, tls):
    with gateway.http1(tls) as client:
        answer = client.request("POST", "/trailers", [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum"), ("TE", "trailers")],
                                b"5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n")
        assert answer.body == b"hello world"
        assert answer.trailer("x-checksum") == "abc"


def test_request_trailers_reach_the_origin(gateway, shared_origin):
    with gateway.http1() as client:
        client.request("POST", "/x", [("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n")
    assert ("x-sum", "5") in [(name.lower(), value) for name, value in shared_origin.requests[-1].trailers]


def test_head_has_the_length_but_no_body(gateway, tls):
    with gateway.http1(tls) as client:
        answer = client.request("HEAD", "/bytes/1000")
        assert (answer.status, answer.header("content-length")) == (200, "1000")
        assert client.request("GET", "/bytes/3").body == PATTERN[:3]


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body_keep_the_connection(gateway, tls, status):
    with gateway.http1(tls) as client:
        answer = client.request("GET", f"/status/{status}")
        assert answer.status == status and answer.header("transfer-encoding") is None
        assert client.request("GET", "/bytes/3").body == PATTERN[:3]


def test_expect_100_continue_is_answered_before_the_body(gateway, tls):
    with gateway.http1(tls) as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.head().status == 100
        client.send(b"hello")
        assert json.loads(client.response().body)["body"] == "hello"


def test_empty_lines_before_a_request_are_passed_over(gateway):
    with gateway.http1() as client:
        client.send(b"\r\nGET /after HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert json.loads(client.response().body)["target"] == "/after"


def test_absolute_target_counts_as_its_path(gateway, shared_origin):
    with gateway.http1() as client:
        seen = json.loads(client.request("GET", "http://localhost/abs?q=1").body)
    assert seen["target"] == "/abs?q=1"


def test_hop_by_hop_fields_do_not_pass(gateway, tls):
    with gateway.http1(tls) as client:
        fields = [("Connection", "keep-alive, X-Private"), ("X-Private", "1"), ("Keep-Alive", "timeout=5"),
                  ("Proxy-Connection", "keep-alive"), ("TE", "gzip"), ("X-Public", "1")]
        seen = json.loads(client.request("GET", "/", fields).body)
        names = {name.lower() for name, _ in seen["headers"]}
        assert "x-public" in names
        assert not names & {"x-private", "keep-alive", "proxy-connection", "te"}


def test_connection_field_cannot_remove_host_or_authorization(gateway):
    with gateway.http1() as client:
        fields = [("Connection", "Host, Authorization, Cookie"), ("Authorization", "Basic x"), ("Cookie", "a=b")]
        names = {name.lower() for name, _ in json.loads(client.request("GET", "/", fields).body)["headers"]}
        assert {"host", "authorization", "cookie"} <= names


def test_client_that_leaves_early_does_not_disturb_others(gateway, shared_origin):
    for _ in range(20):
        client = gateway.http1()
        client.send(b"GET /bytes/5000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.head()
        client.close()
    with gateway.http1() as client:
        assert client.request("GET", "/bytes/3").body == PATTERN[:3]
    wait_until(lambda: shared_origin.at_once == 0, "the origin's exchanges end when their clients are gone")


def test_body_bytes_are_not_copied_in_plaintext(gateway):
    def copied():
        return sum(value for name, value in gateway.metrics().items()
                   if name.startswith("sluice_copied_bytes_total") and 'where="head"' not in name)

    before, forwarded = copied(), gateway.metric("sluice_forwarded_bytes_total")
    with gateway.http1() as client:
        client.request("GET", "/bytes/5000000")
        client.request("POST", "/up", body=PATTERN * 50)
    wait_until(lambda: gateway.metric("sluice_forwarded_bytes_total") >= forwarded + 5_000_000 + 50 * len(PATTERN),
               "the forwarded bytes are counted")
    assert copied() == before


def websocket_origin():
    """A WebSocket echo on a port of the kernel's choice, as an async context manager."""
    async def echo(socket):
        async for message in socket:
            await socket.send(message)
    return websockets.serve(echo, "127.0.0.1", 0)


def test_websocket_messages_pass_both_ways(start, tls):
    async def talk():
        async with websocket_origin() as server:
            port = server.sockets[0].getsockname()[1]
            gateway = await asyncio.to_thread(
                lambda: start(upstreams=f'chat: {{servers: ["http://127.0.0.1:{port}"]}}',
                              request="- {name: chat, match: {path: /chat}, do: [{route: chat}]}"))
            scheme, at = ("wss", gateway.ports.secure) if tls else ("ws", gateway.ports.plain)
            context = ssl.create_default_context(cafile=str(gateway.authority)) if tls else None
            async with websockets.connect(f"{scheme}://localhost:{at}/chat", ssl=context, proxy=None) as socket:
                for message in ("hello", "ä" * 1000, b"\0\1\2", b"x" * 200_000):
                    await socket.send(message)
                    assert await socket.recv() == message
                await asyncio.to_thread(gateway.reload, gateway.file.read_text() + "# changed\n")
                await socket.send("still here")
                assert await socket.recv() == "still here", "a reload leaves it alone"

    asyncio.run(talk())


def test_a_websocket_whose_origin_does_not_read_holds_its_client_back(start, origin, tls):
    async def deaf(exchange):
        await exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        exchange.writer.transport.pause_reading()
        await origin.release.wait()

    origin.script = deaf
    gateway = start(origin_options="timeouts: {idle: 6s}")
    with gateway.http1(tls) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        assert client.head().status == 101
        client.socket.settimeout(2)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100_000_000:
                client.send(bytes(65536))
                sent += 65536
        assert sent < 60_000_000, "sockets and bounded queues fill, then nothing more is taken"
        assert gateway.resident_kib() < 64 * 1024


@pytest.mark.parametrize("how", ["in order", "reset"])
def test_a_client_that_leaves_a_deaf_websocket_is_noticed(start, certificates, origin, how):
    """Its end stands behind bytes that nobody reads, because the origin takes no more."""
    async def deaf(exchange):
        await exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        exchange.writer.transport.pause_reading()
        await origin.release.wait()

    origin.script = deaf
    rules = lambda ports: rule_file(ports, certificates, origin.port) + "limits: {body_rate_time: 500ms}\n"  # noqa: E731
    gateway = start(rules=rules)
    client = gateway.http1()
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    assert client.head().status == 101

    def is_read() -> bool:
        rows = [line.split() for line in open("/proc/net/tcp").read().splitlines()[1:]]
        return all(row[4].endswith(":00000000") for row in rows if row[1].endswith(f":{gateway.ports.plain:04X}") and row[3] == "01")

    with contextlib.suppress(AssertionError):
        while True:
            client.send(bytes(32768))
            wait_until(is_read, "the gateway reads", seconds=0.5)
    # Its end arrives: there is room in the kernel yet. Behind more than that it would stay with the client.
    if how == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    wait_until(lambda: gateway.metric("sluice_connections_active") == 0, "the client is let go")
    wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "and its origin")
    assert gateway.metric("sluice_timeouts_total", kind="upstream_idle") == 0, "long before the tunnel's idle time"


@pytest.mark.parametrize("leaves", [True, False], ids=["left", "stays"])
def test_a_client_behind_a_deaf_websocket_is_let_go_long_before_the_idle_time(start, certificates, origin, tls, leaves):
    """Its end stays with its own kernel, behind what nobody reads, so nothing is seen of it here: the origin's progress decides.
    That an origin goes on speaking makes no difference (a client that left would answer it with a reset)."""
    async def deaf(exchange):
        await exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        exchange.writer.transport.pause_reading()
        while not origin.release.is_set() and not exchange.writer.is_closing():
            if not leaves:
                exchange.writer.write(b"\x81\x02hi")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(origin.release.wait(), 0.2)

    origin.script = deaf
    rules = lambda ports: (rule_file(ports, certificates, origin.port, origin_options="timeouts: {idle: 1h}")  # noqa: E731
                           + "limits: {write_stall: 2s, write_rate: 1KiB}\n")
    gateway = start(rules=rules)
    client = gateway.http1(tls)
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    assert client.head().status == 101
    client.socket.settimeout(1)
    with contextlib.suppress(TimeoutError, OSError):
        while True:
            client.send(bytes(65536))
    if leaves:
        client.close()
    wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="write_stall") == 1, "its origin is given up", seconds=30)
    wait_until(lambda: gateway.metric("sluice_connections_active") == 0, "the client is let go")
    wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "and its origin")


def test_a_websocket_whose_origin_reads_slowly_goes_on(start, certificates, origin):
    """What is taken of it is more than `write_rate`, though less than what waits, again and again."""
    async def slow(exchange):
        await exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        got = 0
        while got < 24_000_000 and (more := await exchange.reader.read(262_144)):
            got += len(more)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(origin.release.wait(), 0.05)
        await exchange.send(b"%d" % got)
        exchange.writer.close()

    origin.script = slow
    rules = lambda ports: rule_file(ports, certificates, origin.port) + "limits: {write_stall: 1s, write_rate: 1KiB}\n"  # noqa: E731
    gateway = start(rules=rules)
    with gateway.http1() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        assert client.head().status == 101
        client.send(bytes(24_000_000))
        assert client.socket.recv(100) == b"24000000"
    assert gateway.metric("sluice_timeouts_total", kind="write_stall") == 0


def test_a_websocket_client_that_ends_its_side_is_heard_out(start, origin):
    """Whatever it sent before its end reaches an origin that takes its time, and the answer reaches the client."""
    async def patient(exchange):
        await exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        got = 0
        while more := await exchange.reader.read(65536):
            got += len(more)
        await exchange.send(b"%d" % got)
        exchange.writer.close()

    origin.script = patient
    gateway = start()
    with gateway.http1() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        assert client.head().status == 101
        client.send(bytes(3_000_000))
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b"3000000"


def test_upgrade_that_the_origin_refuses_is_an_ordinary_answer(start, origin):
    gateway = start()
    with gateway.http1() as client:
        answer = client.request("GET", "/echo", [("Connection", "Upgrade"), ("Upgrade", "websocket")])
        assert answer.status == 200
        assert client.request("GET", "/bytes/3").body == PATTERN[:3]


def test_early_final_answer_never_lets_the_body_become_a_request(start, origin):
    gateway = start(request='- {name: no, match: {path: /no}, do: [{deny: {status: 403}}]}')
    with gateway.http1() as client:
        smuggled = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
        client.send(b"POST /no HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(smuggled) + smuggled)
        assert client.response().status == 403
    assert not [each for each in origin.requests if each.path == "/smuggled"]
