"""CONNECT: tunnels whose sides end one after the other, break, outlive reloads, and count as what they are."""
import asyncio
import contextlib
import signal
import socket
import ssl
import struct

import hpack
import pytest

from harness.http2 import CONNECT_ERROR, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, frame
from harness.origin import Origin
from harness.waiting import wait_until

SITES = "- {name: t, hosts: [localhost], upstream: origin, connect: raw}"


class Raw(Origin):
    """A TCP server: `serve` gets each connection."""

    def __init__(self) -> None:
        super().__init__()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
            await self.serve(reader, writer)
            return False

        self.on_connect = serve

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data.upper())


@pytest.fixture
def raw():
    server = Raw()
    yield server
    server.stop()


def opened(start, raw, options: str = "", **parts):
    return start(upstreams=f'raw:\n  servers: ["http://127.0.0.1:{raw.port}"]\n  {options}\n', sites=SITES, **parts)


def connect(client):
    client.send(b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n")
    return client.head()


def connect2(client, stream: int = 1, decoder: hpack.Decoder | None = None) -> str:
    client.send(frame(HEADERS, END_HEADERS, stream, client.encoder.encode([(":method", "CONNECT"), (":authority", "localhost:1")])))
    return dict((decoder or hpack.Decoder()).decode(client.until(HEADERS, stream)[3]))[":status"]


def test_a_client_that_ends_first_hears_the_rest(start, raw):
    async def after(reader, writer):
        """Says the most when the other has ended."""
        data = await reader.read()
        writer.write(b"got %d" % len(data))

    raw.serve = after
    gateway = opened(start, raw)
    with gateway.http1() as client:
        assert connect(client).status == 200
        client.send(b"x" * 100_000)
        client.socket.shutdown(1)
        assert client.rest() == b"got 100000"
    wait_until(lambda: raw.open_now == 0, "both are closed")


def test_a_stream_that_ends_first_hears_the_rest(start, raw):
    async def after(reader, writer):
        data = await reader.read()
        writer.write(b"got %d" % len(data))

    raw.serve = after
    gateway = opened(start, raw)
    with gateway.http2_raw() as client:
        assert connect2(client) == "200"
        client.send(frame(DATA, 0, 1, b"x" * 10_000), frame(DATA, END_STREAM, 1, b"y"))
        assert client.until(DATA, 1)[3] == b"got 10001"
    wait_until(lambda: raw.open_now == 0, "both are closed")


async def mute(reader, writer):
    """Takes all there is, hears the end, and neither speaks nor closes."""
    while await reader.read(65536):
        pass
    await asyncio.Event().wait()


@pytest.mark.parametrize("two", [False, True], ids=["http1", "http2"])
def test_a_client_that_ended_is_not_kept_by_an_origin_that_says_nothing(start, raw, two):
    raw.serve = mute
    gateway = opened(start, raw, "timeouts: {half_closed: 300ms, idle: 1h}")
    if two:
        with gateway.http2_raw() as client:
            assert connect2(client) == "200"
            client.send(frame(DATA, END_STREAM, 1, b"all of it"))
            client.until(DATA, 1)
            assert client.is_alive(), "the tunnel ends, not the connection"
    else:
        with gateway.http1() as client:
            assert connect(client).status == 200
            client.send(b"all of it")
            client.socket.shutdown(socket.SHUT_WR)
            assert client.rest() == b""
    wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "the origin's side is closed too")
    wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="half_closed") == 1, "it is counted for what it is")
    assert gateway.metric("sluice_timeouts_total", kind="upstream_idle") == 0


def test_an_open_tunnel_keeps_its_idle_time(start, raw):
    raw.serve = mute
    gateway = opened(start, raw, "timeouts: {half_closed: 1ms, idle: 1h}")
    with gateway.http1() as client, gateway.http1() as other:
        assert connect(client).status == 200 and connect(other).status == 200
        other.socket.shutdown(socket.SHUT_WR)
        assert other.rest() == b""
        wait_until(lambda: gateway.metric("sluice_tunnels_active") == 1, "nobody has ended this one")
        client.send(b"still here")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b""


def test_a_tunnel_that_only_its_origin_holds_does_not_hold_a_worker_that_drains(start, raw):
    raw.serve = mute
    gateway = opened(start, raw, "timeouts: {half_closed: 1s, idle: 1h}")
    with gateway.http1() as client:
        assert connect(client).status == 200
        client.socket.shutdown(socket.SHUT_WR)
        gateway.process.send_signal(signal.SIGTERM)
        assert client.rest() == b""
        assert gateway.process.wait(60) == 0


def test_an_origin_that_ends_first_ends_the_tunnel(start, raw):
    """As RFC 9110 section 9.3.6 says: what it sent arrives, and both connections are closed."""
    async def first(reader, writer):
        writer.write(b"x" * 300_000 + b"bye")
        writer.write_eof()
        await reader.read()

    raw.serve = first
    gateway = opened(start, raw)
    with gateway.http1() as client:
        assert connect(client).status == 200
        assert client.rest() == b"x" * 300_000 + b"bye"
    wait_until(lambda: raw.open_now == 0, "both are closed")


@pytest.mark.parametrize("two", [False, True], ids=["http1", "http2"])
def test_an_origin_that_breaks_is_no_clean_end(start, raw, two):
    """What came may be half of what there was (RFC 9113 section 8.5)."""
    async def breaks(reader, writer):
        await reader.read(10)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    raw.serve = breaks
    gateway = opened(start, raw)
    if two:
        with gateway.http2_raw() as client:
            assert connect2(client) == "200"
            client.send(frame(DATA, 0, 1, b"hello"))
            got = client.until(RST_STREAM, 1)
            assert int.from_bytes(got[3], "big") == CONNECT_ERROR
            assert client.is_alive()
        return
    with gateway.http1() as client:
        assert connect(client).status == 200
        client.send(b"hello")
        with pytest.raises(ConnectionResetError):
            client.socket.recv(100)


def test_a_client_that_resets_its_stream_ends_the_connection(start, raw):
    gateway, decoder = opened(start, raw), hpack.Decoder()
    with gateway.http2_raw() as client:
        assert connect2(client, 1, decoder) == "200"
        wait_until(lambda: raw.open_now == 1, "it is open")
        client.send(frame(RST_STREAM, 0, 1, b"\0\0\0\x08"))
        wait_until(lambda: raw.open_now == 0, "it is closed")
        assert connect2(client, 3, decoder) == "200"
    wait_until(lambda: raw.open_now == 0, "all are closed")


def test_tunnels_outlive_reloads_that_take_their_server_away(start, raw):
    gateway = opened(start, raw, "timeouts: {total: 300ms}")
    with gateway.http1() as client, gateway.http2_raw() as other:
        assert connect(client).status == 200 and connect2(other) == "200"
        rules = gateway.file.read_text()
        for text in (rules.replace("connect: raw", "connect: origin"), rules):
            gateway.reload(text)
            client.send(b"still there")
            assert client.exactly(11) == b"STILL THERE"
            other.send(frame(DATA, 0, 1, b"still"))
            assert other.until(DATA, 1)[3] == b"STILL"
        assert gateway.metric("sluice_tunnels_active") == 2
    wait_until(lambda: gateway.metric("sluice_tunnels_active") == 0 and raw.open_now == 0, "all is closed")


def test_tunnels_count_as_requests_and_connections(start, raw):
    gateway = opened(start, raw, "max_requests: 2\n  retry: {tries: 1}")
    with gateway.http1() as first, gateway.http1() as second, gateway.http1() as third:
        assert (connect(first).status, connect(second).status, connect(third).status) == (200, 200, 503)
        first.socket.close()

        def is_free() -> bool:
            with gateway.http1() as fourth:
                return connect(fourth).status == 200

        # The origin sees its end of a tunnel before the gateway has seen both.
        wait_until(is_free, "its place is free")
    wait_until(lambda: raw.open_now == 0, "all are closed")


def test_a_tunnel_never_gets_a_kept_connection(start, origin):
    """Whoever speaks first in it must not find the rest of somebody's HTTP."""
    gateway = start(sites="- {name: t, hosts: [localhost], upstream: origin, connect: origin}")
    assert gateway.fetch("http1", "GET", "/").status == 200
    wait_until(lambda: gateway.metric("sluice_upstream_connections", state="idle") == 1, "it is kept")
    with gateway.http1() as client:
        assert connect(client).status == 200
        client.send(b"GET /through HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.response().status == 200
    wait_until(lambda: origin.open_now == 1, "the tunnel is closed, and the kept one stays")
    assert [each.connection for each in origin.requests] == [0, 1]


def test_a_tunnel_that_waits_never_gets_one_either(start, origin):
    go_on = asyncio.Event()

    async def hold(exchange):
        if exchange.request.path == "/held":
            await go_on.wait()
        await exchange.answer(200, b"fine")

    origin.script = hold
    gateway = start(sites="- {name: t, hosts: [localhost], upstream: origin, connect: origin}", origin_options="max_connections: 1\ntimeouts: {connect: 20s}")
    with gateway.http1() as client, gateway.http1() as other:
        other.send(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: len(origin.requests) == 1, "the only connection is busy")
        client.send(b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n")
        wait_until(lambda: gateway.metric("sluice_upstream_limits_total", limit="connections") >= 1, "the tunnel waits")
        origin.call(go_on.set)
        assert client.head().status == 200 and other.response().status == 200
        client.send(b"GET /through HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.response().status == 200
    wait_until(lambda: origin.open_now == 0, "all is closed")
    assert [each.connection for each in origin.requests] == [0, 1]


@pytest.mark.parametrize("server, more", [("h2c://127.0.0.1:1", ""), ("https://127.0.0.1:1", ", protocol: http2")])
def test_a_tunnel_cannot_go_to_http2(start, server, more):
    with pytest.raises(AssertionError, match="speaks HTTP/2"):
        start(upstreams=f'raw: {{servers: ["{server}"]{more}}}', sites=SITES)


# Sides that stall while the other direction goes on

STALLS = {"limits": "write_stall: 2s\nwrite_rate: 1KiB\nbody_rate_time: 1h"}


def watch_until_given_up(gateway, step) -> float:
    """Most bytes that the gateway's slabs held until the limit was reached. `step` is done again and again."""
    most = 0.0

    def is_over() -> bool:
        nonlocal most
        step()
        most = max(most, gateway.metric("sluice_slab_bytes"))
        return gateway.metric("sluice_timeouts_total", kind="write_stall") == 1

    wait_until(is_over, "it is given up", seconds=60)
    return most


@pytest.mark.parametrize("two", [False, True], ids=["http1", "http2"])
def test_a_client_that_sends_and_does_not_read_is_given_up(start, raw, two):
    """Judged by what it takes, whatever it sends; what its origin sends meanwhile waits with the origin."""
    async def flood(reader, writer):
        async def take():
            while await reader.read(65536):
                pass

        taking = asyncio.create_task(take())
        try:
            while True:
                writer.write(bytes(65536))
                await writer.drain()
        except OSError:
            taking.cancel()

    raw.serve = flood
    gateway = opened(start, raw, "timeouts: {idle: 1h}", **STALLS)
    with gateway.http2_raw() if two else gateway.http1() as client:
        assert connect2(client) == "200" if two else connect(client).status == 200

        def speak() -> None:
            try:
                client.send(frame(DATA, 0, 1, b"hello") if two else b"hello")
            except OSError:
                pass  # it is over, which is seen by the count

        most = watch_until_given_up(gateway, speak)
    assert 0 < most < 2 << 20, "bounded, however much the origin has"
    wait_until(lambda: raw.open_now == 0, "the origin is let go")
    wait_until(lambda: gateway.metric("sluice_slabs_live") == 0, "nothing is left")


@pytest.mark.parametrize("two", [False, True], ids=["http1", "http2"])
def test_an_origin_that_speaks_and_does_not_read_is_given_up(start, raw, two):
    over = asyncio.Event()

    async def deaf(reader, writer):
        writer.transport.pause_reading()
        while not writer.is_closing():
            writer.write(b"tick")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.05)

    raw.serve = deaf
    gateway = opened(start, raw, "timeouts: {idle: 1h}", **STALLS)
    with gateway.http2_raw() if two else gateway.http1() as client:
        assert connect2(client) == "200" if two else connect(client).status == 200
        client.socket.setblocking(False)
        window = 60_000
        waiting = b""

        def push() -> None:
            """As much as it takes; of HTTP/2 as much as it allows."""
            nonlocal window, waiting
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, OSError):
                while got := client.socket.recv(65536):
                    if two:
                        window += opened_window(got)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, OSError):
                for _ in range(200):
                    if not waiting and two:
                        if window < 10_000:
                            return
                        window -= 10_000
                    waiting = waiting or (frame(DATA, 0, 1, bytes(10_000)) if two else bytes(10_000))
                    waiting = waiting[client.socket.send(waiting):]

        most = watch_until_given_up(gateway, push)
    assert 0 < most < 2 << 20, "bounded, however much the client has"
    wait_until(lambda: gateway.metric("sluice_slabs_live") == 0, "nothing is left")
    wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "the origin is let go")


def opened_window(data: bytes) -> int:
    """What WINDOW_UPDATE frames of stream 1 add up to, in bytes that begin anywhere: a frame that is cut is missed, which is less."""
    total, at = 0, 0
    while (at := data.find(b"\0\0\4\x08\0\0\0\0\1", at)) >= 0:
        total += int.from_bytes(data[at + 9:at + 13].ljust(4, b"\0"), "big") if at + 13 <= len(data) else 0
        at += 9
    return total
