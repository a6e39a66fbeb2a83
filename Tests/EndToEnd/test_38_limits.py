"""Limits of docs/LIMITS.md that nothing else reaches: each is set low by its key, reached, answered as the page says, and counted.
`Tests/limits.tsv` says where each row of that page is proved."""
import asyncio
import contextlib
import socket
import struct

import pytest

from harness.conformance import INITIAL_WINDOW_SIZE, window
from harness.floods import SLOW, streams
from harness.http1 import EndOfStream, tls_context
from harness.http2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, FLOW_CONTROL_ERROR, GOAWAY, HEADERS, NO_ERROR, PING,
                           PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, SETTINGS, frame)
from harness.waiting import wait_until


def goaway(client) -> int | None:
    """Reads to the end of the connection; the code of its GOAWAY."""
    code = None
    with contextlib.suppress(ConnectionResetError):
        while (got := client.next_frame()) is not None:
            if got[0] == GOAWAY:
                code = int.from_bytes(got[3][4:8], "big")
    return code


def counted(gateway, metric: str, count: int = 1, **labels: str) -> None:
    """A worker publishes what it counts ten times a second."""
    wait_until(lambda: gateway.metric(metric, **labels) == count, f"{count} in {metric} {labels}")


# Heads

HEADS = {
    "request_line: 100B": (414, "/" + "a" * 200, []),
    "header_bytes: 1KiB": (431, "/", [(f"x-{number}", "v" * 50) for number in range(20)]),
    "header_fields: 5": (431, "/", [(f"x-{number}", "v") for number in range(6)]),
    "header_field: 100B": (431, "/", [("x-a", "v" * 200)]),
}


@pytest.mark.parametrize("limit", HEADS)
def test_a_head_beyond_its_limit(start, origin, limit, protocol):
    status, path, fields = HEADS[limit]
    gateway = start(limits=limit)
    answer = gateway.fetch(protocol, "GET", path, fields)
    assert answer.status == status or (protocol == "http2" and answer.status == 431), "HTTP/2 has no request line: it is part of the head"
    assert not origin.requests
    if protocol == "http2":
        counted(gateway, "sluice_responses_total", **{"class": "4xx"})
    else:
        counted(gateway, "sluice_http1_errors_total")


@pytest.mark.parametrize("limit", ["trailer_bytes: 100B", "trailer_fields: 2"])
def test_trailers_beyond_their_limit(start, origin, limit):
    gateway = start(limits=limit)
    trailers = [("x-a", "v" * 80), ("x-b", "v"), ("x-c", "v" * 40)]
    with gateway.http1() as client:
        lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
        client.send(f"POST /up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{lines}\r\n".encode())
        assert client.response().status in (400, 431)
    with gateway.http2_raw() as client:
        client.send(frame(HEADERS, END_HEADERS, 1, client.fields("/up", "POST")), frame(DATA, 0, 1, b"hi"),
                    frame(HEADERS, END_HEADERS | END_STREAM, 1, client.encoder.encode(trailers)))
        assert client.verdict()[0] in ("reset", "goaway")
    assert not any(each.complete for each in origin.requests)


# Connections

def test_a_client_hello_beyond_its_limit(start):
    gateway = start()

    def hello(protocols: list[str]) -> str:
        raw = socket.create_connection(("127.0.0.1", gateway.ports.secure), 20)
        try:
            with tls_context(gateway.authority, protocols).wrap_socket(raw, server_hostname="localhost") as wrapped:
                return str(wrapped.selected_alpn_protocol())
        except OSError:
            return "closed"
        finally:
            raw.close()

    assert hello(["http/1.1", *(f"{number:03}" + "x" * 200 for number in range(40))]) == "http/1.1", "8 KiB are taken"
    assert hello(["http/1.1", *(f"{number:03}" + "x" * 200 for number in range(100))]) == "closed", "20 KiB are not"
    counted(gateway, "sluice_tls_handshakes_total", result="failed")
    gateway.reload(gateway.file.read_text() + "limits: {client_hello: 1KiB}\n")
    assert hello(["http/1.1", *(f"{number:03}" + "x" * 200 for number in range(10))]) == "closed", "the key is heeded"
    counted(gateway, "sluice_tls_handshakes_total", 2, result="failed")


def test_a_handshake_that_takes_too_long(start):
    gateway = start(limits="tls_handshake: 300ms")
    with socket.create_connection(("127.0.0.1", gateway.ports.secure), 20) as silent:
        assert silent.recv(100) == b""
    counted(gateway, "sluice_timeouts_total", kind="handshake")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_idle_connection_ends(start, tls):
    gateway = start(limits="keep_alive: 300ms")
    with gateway.http1(tls) as client:
        assert client.request("GET", "/bytes/3").status == 200
        assert client.rest() == b""
    wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="idle") == 1, "it is counted")


def test_an_idle_http2_connection_ends_with_a_goaway(start):
    gateway = start(limits="keep_alive: 300ms")
    with gateway.http2_raw() as client:
        client.send(client.get(1, "/bytes/3"))
        assert goaway(client) == NO_ERROR
    counted(gateway, "sluice_timeouts_total", kind="idle")


def test_requests_of_one_connection(start):
    gateway = start(limits="requests_per_connection: 3")
    with gateway.http1() as client:
        answers = [client.request("GET", "/bytes/3") for _ in range(3)]
        assert [each.header("connection") == "close" for each in answers] == [False, False, True]
        assert client.is_closed()
    with gateway.http2_raw() as client:
        client.send(*(client.get(each, "/bytes/3") for each in (1, 3, 5)))
        frames = []
        while (got := client.next_frame()) is not None:
            frames.append(got)
        assert {each[2] for each in frames if each[0] == DATA} == {1, 3, 5}
        assert [each[3][4:8] for each in frames if each[0] == GOAWAY][-1:] == [bytes(4)], "the end is told, and no fault"


@pytest.mark.parametrize("limit", ["connections: 3", "connections_per_address: 3"])
def test_connections_beyond_their_number(start, limit):
    """The newest is refused; one more address changes that only where addresses are counted. Idle ones would make room: these work."""
    gateway = start(limits=limit)
    kept = [gateway.http1() for _ in range(3)]
    for each in kept:
        each.send(b"GET /slow/10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    wait_until(lambda: gateway.metric("sluice_requests_active") == 3, "they are at work")

    def is_served(source: str) -> bool:
        with contextlib.suppress(OSError, EndOfStream), gateway.http1(source=source) as client:
            return client.request("GET", "/bytes/3").status == 200
        return False

    assert not is_served("127.0.0.1")
    counted(gateway, "sluice_connections_refused_total")
    assert is_served("127.0.0.2") == ("address" in limit)
    for each in kept:
        each.close()
    wait_until(lambda: is_served("127.0.0.1"), "there is room again")


# HTTP/2

def test_streams_beyond_their_number(start):
    """Refused as long as the client need not know better (RFC 9113 section 5.1.2); then it is a fault."""
    gateway = start(limits="streams: 2")
    with gateway.http2_raw() as client:
        told = client.until(SETTINGS)[3]
        assert struct.pack(">HI", 3, 2) in [told[at:at + 6] for at in range(0, len(told), 6)]
        client.send(*(client.get(each, SLOW) for each in (1, 3, 5)))
        assert int.from_bytes(client.until(RST_STREAM, 5)[3], "big") == REFUSED_STREAM
        assert client.is_alive()
    with gateway.http2_raw() as client:
        client.send(frame(SETTINGS, ACK, 0), *(client.get(each, SLOW) for each in (1, 3, 5)))
        assert goaway(client) == PROTOCOL_ERROR


def test_what_a_client_may_send_ahead(start, origin):
    """Of a stream by its SETTINGS, of all of them by the connection's window; more is an error and never held."""
    async def deaf(reader, writer):
        await origin.release.wait()
        return False

    origin.on_connect = deaf
    gateway = start(limits="stream_window: 128KiB\nconnection_window: 256KiB\nexchange_buffer: 64KiB")
    with gateway.http2_raw() as client:
        told = client.until(SETTINGS)[3]
        assert struct.pack(">HI", INITIAL_WINDOW_SIZE, 128 << 10) in [told[at:at + 6] for at in range(0, len(told), 6)]
        client.send(frame(SETTINGS, ACK, 0))
        for each in streams(4):
            client.send(frame(HEADERS, END_HEADERS, each, client.fields("/up", "POST")), *(frame(DATA, 0, each, bytes(16384)) for _ in range(40)))
        codes = set()
        while (got := client.next_frame()) is not None:
            if got[0] in (RST_STREAM, GOAWAY):
                codes.add(int.from_bytes(got[3][-4 if got[0] == RST_STREAM else 4:][:4], "big"))
            if codes:
                break
        assert codes == {FLOW_CONTROL_ERROR}
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "nothing is left")


FLOOD_LIMITS = {
    "resets": ("resets: 5", lambda client: [client.get(each, SLOW) + frame(RST_STREAM, 0, each, bytes(4)) for each in streams(8)]),
    "continuation": ("continuations: 2", lambda client: [frame(HEADERS, END_STREAM, 1, client.fields())]
                     + [frame(CONTINUATION, 0, 1, b"")] * 2 + [frame(CONTINUATION, END_HEADERS, 1, b"")] * 2),
    "ping": ("control_burst: 10\ncontrol_rate: 1", lambda client: [frame(PING, 0, 0, bytes(8))] * 40),
    "empty_data": ("empty_data: 3", lambda client: [frame(HEADERS, END_HEADERS, 1, client.fields("/up", "POST"))] + [frame(DATA, 0, 1)] * 6),
}


@pytest.mark.parametrize("kind", FLOOD_LIMITS)
def test_the_limits_of_floods_are_configured(start, kind):
    limit, frames = FLOOD_LIMITS[kind]
    gateway = start(limits=f"{limit}\nflood_pause: 0s")
    with gateway.http2_raw() as client:
        client.send(*frames(client))
        assert goaway(client) == ENHANCE_YOUR_CALM
    counted(gateway, "sluice_http2_floods_total", kind=kind)


def test_frames_of_ours_that_a_client_does_not_read(start):
    """Each PING asks for an answer. A client that takes none is given up for what waits, long before what it asks is too much."""
    gateway = start(limits="queued_frames: 100\ncontrol_burst: 1000000\ncontrol_rate: 1000000\nwrite_stall: 60s")
    with gateway.http2_raw(settings=struct.pack(">HI", INITIAL_WINDOW_SIZE, 1 << 30), receive_buffer=4096) as client:
        client.send(window(0, 1 << 30), client.get(1, "/bytes/50000000"))

        def flooded() -> bool:
            client.send(frame(PING, 0, 0, bytes(8)) * 50)
            return gateway.metric("sluice_http2_floods_total", kind="unread") == 1

        wait_until(flooded, "it is given up")
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "nothing is left of it")


# What waits for a slow client

@pytest.mark.parametrize("protocol", ["http1", "http1-tls"])
def test_what_is_held_for_a_client_that_does_not_read(start, origin, protocol):
    gateway = start(limits="exchange_buffer: 64KiB", origin_options="limits: {buffer: 64KiB}")
    with gateway.http1(tls=protocol == "http1-tls", receive_buffer=4096) as client:
        client.send(b"GET /chunked/50000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: gateway.metric("sluice_slab_bytes") > 64 << 10, "bytes wait")
        seen: list[float] = []

        def is_steady() -> bool:
            seen.append(gateway.metric("sluice_forwarded_bytes_total", direction="response"))
            return len(seen) > 10 and seen[-10] == seen[-1]

        wait_until(is_steady, "the origin is not read any more")
        assert gateway.metric("sluice_slab_bytes") < 512 << 10


# Origins

def test_copies_for_mirrors_beyond_their_number(start, origin, second):
    async def hold(exchange):
        await second.release.wait()

    second.script = hold
    gateway = start(upstreams=f'shadow: {{servers: ["http://127.0.0.1:{second.port}"], max_connections: 1000}}', limits="streams: 400",
                    request="- {name: copy, do: [{mirror: shadow}]}")
    with gateway.http2() as client:
        streams = [client.start("GET", "/bytes/3") for _ in range(300)]
        assert {client.response(each).status for each in streams} == {200}, "a copy that is not made costs nobody anything"
    wait_until(lambda: gateway.metric("sluice_mirrored_requests_total", outcome="dropped") == 44, "256 at once, and no more")


def test_an_exchange_that_takes_too_long_as_a_whole(start, origin):
    """Whatever comes meanwhile: a trickle does not buy time."""
    async def pause():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(origin.release.wait(), 0.02)

    async def trickle(exchange):
        if exchange.request.path == "/head":
            await origin.release.wait()
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(2000):
                await exchange.send(b"x")
                await pause()

    origin.script = trickle
    gateway = start(origin_options="timeouts: {total: 700ms}")
    assert gateway.fetch("http1", "GET", "/head").status == 504
    with gateway.http1() as client:
        client.send(b"GET /body HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.head().status == 200
        assert len(client.rest()) < 100_000, "the answer is cut off"


def test_requests_beyond_what_a_server_serves_or_may_keep_waiting(start, origin):
    gateway = start(origin_options="max_connections: 1\nmax_pending: 1")
    first, waiting = gateway.http1(), gateway.http1()
    for number, each in enumerate((first, waiting)):
        each.send(b"GET /slow/10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda number=number: gateway.metric("sluice_requests_active") == number + 1, "it is there")
    assert gateway.fetch("http1", "GET", "/").status == 503
    counted(gateway, "sluice_upstream_limits_total", limit="pending")
    assert origin.most_at_once == 1
    first.close()
    waiting.close()
    limited = start(origin_options="max_requests: 1")
    with limited.http1() as busy:
        busy.send(b"GET /slow/10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: limited.metric("sluice_requests_active") == 1, "it is there")
        assert limited.fetch("http1", "GET", "/").status == 503
    counted(limited, "sluice_upstream_limits_total", limit="requests")


def test_an_origin_that_cannot_be_connected_to_in_time(start):
    """A listener whose queue is full answers nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
            fillers.append(filler)
        gateway = start(upstreams=f'full: {{servers: ["http://127.0.0.1:{listener.getsockname()[1]}"], timeouts: {{connect: 300ms}}}}',
                        request="- {name: full, do: [{route: full}]}")
        assert gateway.fetch("http1", "GET", "/").status == 504
        wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="upstream_connect") >= 1, "it is counted")
        for each in fillers:
            each.close()
