"""What HTTP/2 offers beyond requests: other authorities, WebSocket, plaintext, priorities, a graceful end, gRPC's trailers."""
import asyncio
import contextlib
import json
import signal
import struct
import subprocess
import threading

import pytest
import websockets
from websockets.utils import accept_key

from harness import http1, http2
from harness.gateway import rule_file
from harness.http2 import ACK, CANCEL, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, WINDOW_UPDATE, frame
from harness.waiting import wait_until

WHOLE = END_STREAM | END_HEADERS


@pytest.fixture(scope="module")
def gateway(start_shared):
    return start_shared(sites="- {name: all, hosts: ['*'], upstream: origin}")


# 421

@pytest.mark.parametrize("protocol", ["http1-tls", "http2"])
@pytest.mark.parametrize("server_name,host,status", [
    ("localhost", "localhost", 200), ("localhost", "LOCALHOST", 200), ("localhost", "www.localhost", 200),
    ("localhost", "other.example", 421), ("localhost", "localhost.example", 421),
    ("localhost", "127.0.0.1", 200), ("localhost", "127.0.0.2", 421), (None, "127.0.0.1", 200), (None, "localhost", 200),
    (None, "other.example", 421)])
def test_hosts_that_the_certificate_does_not_cover_are_misdirected(gateway, shared_origin, protocol, server_name, host, status):
    before = len(shared_origin.requests)
    if protocol == "http2":
        with http2.Client(gateway.ports.secure, gateway.authority, server_name or "127.0.0.1") as client:
            answer = client.request("GET", "/bytes/1", authority=host)
    else:
        with http1.Connection(gateway.ports.secure, gateway.authority, server_name or "127.0.0.1") as client:
            answer = client.request("GET", "/bytes/1", host=host)
    assert answer.status == status
    assert len(shared_origin.requests) == before + (status == 200)


def test_in_plaintext_there_is_no_certificate_to_ask(gateway):
    assert gateway.fetch("http1", "GET", "/bytes/1", host="other.example").status == 200


# WebSocket over HTTP/2 (RFC 8441)

@contextlib.contextmanager
def echo_server():
    """A WebSocket echo over HTTP/1.1 in a thread of its own; gives its port and what it saw."""
    loop, seen, ready, stop = asyncio.new_event_loop(), [], threading.Event(), asyncio.Event()

    async def echo(socket):
        seen.append(socket.request)
        async for message in socket:
            await socket.send(message)

    async def serve():
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
            seen.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield seen.pop(0), seen
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def open_websocket(client, path="/chat", protocol="websocket", **more) -> int:
    stream = client.h2.get_next_available_stream_id()
    client.h2.send_headers(stream, [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"), (":path", path),
                                    (":authority", "localhost"), ("sec-websocket-version", "13"), *more.items()])
    client.flush()
    client.receive_until(lambda: stream in client.responses or stream in client.finished, "an answer to CONNECT")
    return stream


def message(payload: bytes) -> bytes:
    """A binary message of a client, masked with zeroes."""
    head = b"\x82" + (bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
                      if len(payload) < 65536 else b"\xff" + struct.pack(">Q", len(payload)))
    return head + bytes(4) + payload


def send(client, stream: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        room = min(client.h2.local_flow_control_window(stream), client.h2.max_outbound_frame_size)
        if room <= 0:
            client.receive()
            continue
        client.h2.send_data(stream, bytes(view[:room]))
        client.flush()
        view = view[room:]


def expect(client, stream: int, payload: bytes) -> None:
    head = 2 if len(payload) < 126 else 4 if len(payload) < 65536 else 10
    body = client.responses[stream]
    client.receive_until(lambda: len(body.body) >= head + len(payload), "the echo")
    assert body.body == message(payload)[:1] + bytes([message(payload)[1] & 0x7f]) + message(payload)[2:head] + payload
    body.body = b""


def test_the_settings_announce_extended_connect(gateway):
    with gateway.http2() as client:
        client.request("GET", "/")
        assert client.h2.remote_settings.enable_connect_protocol == 1


def test_websocket_over_http2_passes_both_ways_and_survives_a_reload(start, origin):
    with echo_server() as (port, seen):
        gateway = start(upstreams=f'chat: {{servers: ["http://127.0.0.1:{port}"]}}',
                        request='- {name: chat, when: path == "/chat" and method == "GET", do: [{route: chat}]}')
        with gateway.http2() as client:
            stream = open_websocket(client)
            answer = client.responses[stream]
            assert answer.status == 200
            assert answer.header("sec-websocket-accept") is None and answer.header("upgrade") is None
            for payload in (b"hello", b"x" * 1000, bytes(range(256)) * 1200):
                send(client, stream, message(payload))
                expect(client, stream, payload)
            assert seen[0].headers["Upgrade"] == "websocket" and len(seen[0].headers["Sec-WebSocket-Key"]) == 24
            gateway.reload(gateway.file.read_text() + "# changed\n")
            assert client.request("GET", "/bytes/3").status == 200
            send(client, stream, message(b"still here"))
            expect(client, stream, b"still here")
            client.h2.end_stream(stream)
            client.flush()
            client.receive_until(lambda: stream in client.finished, "the end")
        wait_until(lambda: gateway.metric("sluice_tunnels_total") == 1, "the tunnel is counted")


def test_websocket_over_http2_passes_message_hooks(start):
    with echo_server() as (port, seen):
        gateway = start(upstreams=f'chat: {{servers: ["http://127.0.0.1:{port}"]}}', functions="upper: {file: hooks/upper.js}",
                        hooks={"upper.js": "export default { onWebSocketMessage(data, ctx) { if (ctx.from === 'client') return data.map((one) => one ^ 32); } };"},
                        request='- {name: chat, when: path == "/chat", do: [{run: {function: upper}}, {route: chat}]}')
        with gateway.http2() as client:
            stream = open_websocket(client)
            assert client.responses[stream].status == 200
            for payload in (b"hello", b"x" * 70_000, b"again"):
                send(client, stream, message(payload))
                expect(client, stream, payload.upper())
            client.h2.end_stream(stream)
            client.flush()
            client.receive_until(lambda: stream in client.finished, "the end")


def test_websocket_over_http2_holds_a_fast_sender_back(start):
    """Nobody reads the echo: windows close instead of memory growing."""
    with echo_server() as (port, _):
        gateway = start(upstreams=f'chat: {{servers: ["http://127.0.0.1:{port}"]}}',
                        request="- {name: chat, match: {path: /chat}, do: [{route: chat}]}")
        with gateway.http2() as client:
            stream = open_websocket(client)
            client.hold.add(stream)
            client.socket.settimeout(2)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 100_000_000:
                    send(client, stream, message(bytes(60_000)))
                    sent += 60_000
            assert sent < 60_000_000
            assert gateway.resident_kib() < 64 * 1024


def test_websocket_over_http2_with_an_origin_that_does_not_read_is_given_up(start, origin):
    async def deaf(exchange):
        await exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                            + accept_key(dict(exchange.request.headers)["Sec-WebSocket-Key"]).encode() + b"\r\n\r\n")
        exchange.writer.transport.pause_reading()
        await origin.release.wait()

    origin.script = deaf
    gateway = start(origin_options="timeouts: {idle: 1h}", limits="write_stall: 2s\nwrite_rate: 1KiB\nbody_rate_time: 500ms")
    with gateway.http2() as client:
        stream = open_websocket(client)
        assert client.responses[stream].status == 200
        client.socket.settimeout(1)
        with contextlib.suppress(TimeoutError, AssertionError, OSError):
            while gateway.metric("sluice_timeouts_total", kind="write_stall") == 0:
                send(client, stream, message(bytes(60_000)))
        wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="write_stall") == 1, "its origin is given up", seconds=30)
        wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "and let go")


def test_an_origin_that_refuses_the_upgrade_answers_as_usual(start, origin):
    gateway = start()
    with gateway.http2() as client:
        stream = open_websocket(client, "/status/403")
        assert client.responses[stream].status == 403
        assert client.request("GET", "/bytes/3").status == 200


def test_an_origin_with_a_wrong_proof_is_a_bad_gateway(start, origin):
    async def script(exchange):
        await exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
        await exchange.reader.read(1)

    origin.script = script
    gateway = start()
    with gateway.http2() as client:
        assert client.responses[open_websocket(client)].status == 502


@pytest.mark.parametrize("protocol,status", [("connect-udp", 501), ("h2c", 501)])
def test_other_protocols_of_extended_connect_are_not_served(gateway, protocol, status):
    with gateway.http2() as client:
        assert client.responses[open_websocket(client, protocol=protocol)].status == status


def test_connect_without_protocol_is_not_served(gateway):
    with gateway.http2_raw() as client:
        client.send(frame(HEADERS, END_HEADERS, 1, client.encoder.encode([(":method", "CONNECT"), (":authority", "localhost:80")])))
        assert http2_status(client.until(HEADERS, 1)[3]) == 405
        assert client.is_alive()


def http2_status(block: bytes) -> int:
    import hpack
    return int(dict(hpack.Decoder().decode(block))[":status"])


# Plaintext, by prior knowledge

@pytest.fixture(params=["[http2]", "[http1, http2]"])
def plain(request, start, origin, certificates):
    def rules(ports):
        text = rule_file(ports, certificates, origin.port)
        return text.replace(f'"127.0.0.1:{ports.plain}"}}', f'"127.0.0.1:{ports.plain}", protocols: {request.param}}}')
    return request.param, start(rules=rules)


def test_prior_knowledge_in_plaintext(plain):
    offered, gateway = plain
    with http2.Client(gateway.ports.plain, None) as client:
        for number in range(3):
            assert json.loads(client.request("POST", f"/{number}", body=b"x" * 100_000).body)["body_length"] == 100_000
    with http2.RawConnection(gateway.ports.plain, None, preface=b"") as client:
        for byte in http2.PREFACE + frame(http2.SETTINGS, 0, 0):
            client.send(bytes([byte]))
        assert client.is_alive()
    for tool in (["curl", "-sf", "--http2-prior-knowledge"], ["nghttp"]):
        url = f"http://localhost:{gateway.ports.plain}/bytes/5"
        assert subprocess.run([*tool, url], capture_output=True, timeout=30).stdout == bytes(range(5))
    if "http1" in offered:
        assert gateway.fetch("http1", "GET", "/bytes/3").status == 200
        with gateway.http1() as client:
            client.send(b"PRI / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200" not in client.rest()[:20]


# Priorities (RFC 9218)

def fields_in(text: str) -> list[tuple[str, str]]:
    return [("priority", text)] if text else []


@pytest.mark.parametrize("update", [False, True], ids=["field", "PRIORITY_UPDATE"])
@pytest.mark.parametrize("urgent", [1, 3])
def test_the_more_urgent_stream_is_sent_first(gateway, shared_origin, update, urgent):
    with gateway.http2_raw() as client:
        client.send(client.get(101 - 100, "/bytes/65535"))  # uses the connection's window up
        left = 65535
        while left:
            left -= len(client.until(DATA)[3])
        wishes = {stream: "u=0" if stream == 2 * urgent + 1 else "u=7" for stream in (3, 5, 7, 9)}
        for stream, wish in wishes.items():
            if update:
                client.send(frame(0x10, 0, 0, struct.pack(">I", stream) + wish.encode()))
            client.send(client.get(stream, "/bytes/30000", [] if update else fields_in(wish)))
        wait_until(lambda: shared_origin.at_once == 0, "all bodies have left the origin")
        for stream in wishes:
            client.until(HEADERS)
        assert client.is_alive()
        client.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1_000_000)))
        order = []
        while len(order) < 4:
            got = client.next_frame()
            if got[0] == DATA and got[1] & END_STREAM:
                order.append(got[2])
        assert order[0] == 2 * urgent + 1


def test_the_wish_is_forwarded(gateway):
    with gateway.http2() as client:
        seen = json.loads(client.request("GET", "/", [("priority", "u=2, i")]).body)
        assert ["priority", "u=2, i"] in [[name.lower(), value] for name, value in seen["headers"]]


# The end

def test_draining_loses_no_request_on_its_way(start, origin):
    gateway = start()
    with gateway.http2_raw() as client:
        client.send(client.get(1, "/slow/800"))
        assert client.is_alive()
        gateway.signal(signal.SIGTERM)
        assert int.from_bytes(client.until(GOAWAY)[3][:4], "big") == 0x7FFFFFFF
        ping = client.until(PING)
        client.send(client.get(3, "/bytes/3"), frame(PING, ACK, 0, ping[3]))
        last = None
        ended = set()
        while (got := client.next_frame()) is not None:
            if got[0] == GOAWAY:
                last = int.from_bytes(got[3][:4], "big")
            if got[0] == DATA and got[1] & END_STREAM:
                ended.add(got[2])
        assert (last, ended) == (3, {1, 3})


# gRPC: the server's side

def test_trailers_only_errors_of_the_gateway_for_grpc(start, origin):
    async def script(exchange):
        exchange.reset()

    origin.script = script
    gateway = start()
    with gateway.http2() as client:
        answer = client.request("POST", "/pkg.Service/Method", [("content-type", "application/grpc"), ("te", "trailers")],
                                b"\0\0\0\0\0")
        assert answer.status == 200
        assert answer.header("grpc-status") == "14" and answer.header("content-type") == "application/grpc"


def test_cancellation_reaches_the_origin(start, origin):
    async def script(exchange):
        await origin.release.wait()

    origin.script = script
    gateway = start()
    with gateway.http2_raw() as client:
        client.send(frame(HEADERS, END_HEADERS, 1, client.fields("/s/m", "POST", [("content-type", "application/grpc")])),
                    frame(DATA, 0, 1, bytes(5)))
        wait_until(lambda: origin.open_now == 1, "the origin is asked")
        client.send(frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL)))
        wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "the origin is let go")
