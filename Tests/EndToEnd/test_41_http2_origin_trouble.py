"""Origins whose HTTP/2 connections come and go, shut, or say nothing any more; and times that are shorter than it takes to notice."""
import asyncio
import json
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h2.settings
import pytest

from harness import http2
from harness.http2 import frame
from harness.origin import Exchange, Origin, many, running
from harness.origin2 import Origin2, Stream, answer_by_path
from harness.waiting import wait_until


@pytest.fixture
def origin2() -> Iterator[Origin2]:
    server = Origin2()
    yield server
    server.stop()


def behind(start, origin2: Origin2, options: str):
    return start(upstreams=f'two:\n  servers: ["h2c://127.0.0.1:{origin2.port}"]\n  {options}\n', request="- {name: two, do: [{route: two}]}")


def leaving_after(count: int):
    """Each connection serves so many requests, and says GOAWAY to those beyond: they may go elsewhere, whatever they are."""
    async def script(stream: Stream) -> None:
        connection = stream.connection
        place = sorted(connection.streams).index(stream.number)
        if place == count:
            last = sorted(connection.streams)[count - 1]
            connection.raw(frame(http2.GOAWAY, 0, 0, struct.pack(">II", last, 0)))
        if place < count:
            await stream.complete.wait()
            await answer_by_path(stream)
    return script


@pytest.mark.parametrize("method, body", [("GET", b""), ("POST", b"x" * 5_000)], ids=["get", "post"])
def test_a_burst_outlives_connections_that_leave_again_and_again(start, origin2, method, body):
    origin2.script = leaving_after(5)
    gateway = behind(start, origin2, "timeouts: {connect: 10s, first_byte: 20s}")
    with gateway.http2() as client:
        streams = [client.start(method, f"/{number}", [], end=not body) for number in range(40)]
        if body:
            for stream in streams:
                client.send_body(stream, body)
        assert [client.response(stream).status for stream in streams] == [200] * 40
    assert len(origin2.connections) >= 8


def test_an_origin_that_leaves_at_every_request_is_given_up(start, origin2):
    async def leave(stream: Stream) -> None:
        stream.connection.raw(frame(http2.GOAWAY, 0, 0, struct.pack(">II", 0, 0)))

    origin2.script = leave
    gateway = behind(start, origin2, "timeouts: {connect: 10s, first_byte: 20s}")
    assert gateway.fetch("http1", "POST", "/", body=b"x").status == 502
    assert len(origin2.requests) == 11, "the first attempt and ten moves"


@pytest.mark.parametrize("retry", ["", "retry: {on: [reset]}"], ids=["default", "reset"])
def test_what_one_server_refuses_another_one_gets(start, origin2, retry):
    """REFUSED_STREAM says that nobody looked at the request: as good as no connection, whatever its method."""
    async def refuse(stream: Stream) -> None:
        await stream.complete.wait()
        stream.cut(http2.REFUSED_STREAM)

    full = Origin2()
    full.script = refuse
    try:
        gateway = start(upstreams=f'two:\n  servers: ["h2c://127.0.0.1:{full.port}", "h2c://127.0.0.1:{origin2.port}"]\n  {retry}\n',
                        request="- {name: two, do: [{route: two}]}")
        answers = [gateway.fetch("http1", "POST", "/", body=b"x" * 3_000) for _ in range(20)]
        assert {answer.status for answer in answers} == {200}
        assert all(json.loads(answer.body)["body_length"] == 3_000 for answer in answers)
        wait_until(lambda: gateway.metric("sluice_upstream_ejections_total") == 1, "it is left out in the end")
        assert len(full.requests) == 10, "each of five came twice"
    finally:
        full.stop()


def allow(origin2: Origin2, streams: int) -> None:
    def tell() -> None:
        connection = origin2.connections[-1]
        connection.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: streams})
        connection.flush()
    origin2.call(tell)


def test_an_origin_may_shut_its_streams_and_open_them_again(start, origin2):
    """SETTINGS_MAX_CONCURRENT_STREAMS 0 for a while: requests wait, and go on when it is over."""
    gateway = behind(start, origin2, "max_connections: 1\n  timeouts: {connect: 30s, first_byte: 20s}")
    assert gateway.fetch("http1", "GET", "/").status == 200
    allow(origin2, 0)
    with ThreadPoolExecutor(1) as pool:
        wait_until(lambda: origin2.connections[-1].h2.max_inbound_frame_size and origin2.connections[-1].h2.local_settings.max_concurrent_streams == 0,
                   "the gateway has agreed")
        began = time.monotonic()
        waiting = pool.submit(gateway.fetch, "http1", "GET", "/")
        wait_until(lambda: gateway.metric("sluice_upstream_limits_total", limit="connections") >= 1, "it waits")
        assert len(origin2.requests) == 1
        allow(origin2, 100)
        assert waiting.result().status == 200
        assert time.monotonic() - began < 25, "at once, not when it has waited long enough"
    assert len(origin2.connections) == 1


def falls_silent(path: str):
    """A connection over which this was asked says nothing any more, not even to PING. New ones work."""
    async def script(stream: Stream) -> None:
        if stream.path == path:
            stream.connection.flush = lambda: stream.connection.h2.data_to_send() and None
        await answer_by_path(stream)
    return script


@pytest.mark.parametrize("kind", ["total", "deadline"])
def test_a_connection_that_fell_silent_serves_nobody_else(start, origin2, kind):
    """The kernel finds out after many minutes. Who waits for less than `first_byte` must not meet it again and again."""
    origin2.script = falls_silent("/dead")
    gateway = behind(start, origin2, "timeouts: {connect: 10s}" if kind == "deadline" else "timeouts: {connect: 10s, total: 1500ms}\n  ejection: {failures: 0}")
    assert gateway.fetch("http1", "GET", "/").status == 200
    if kind == "total":
        assert gateway.fetch("http1", "GET", "/dead").status == 504
    else:
        answer = gateway.fetch("http2", "POST", "/dead", [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "1500m")], b"\0\0\0\0\0")
        assert dict(answer.headers)["grpc-status"] == "4"
    assert len(origin2.connections) == 1
    assert gateway.fetch("http1", "GET", "/").status == 200
    assert len(origin2.connections) == 2


def test_checks_do_not_ask_over_a_dead_connection_for_ever(start, origin2):
    async def script(stream: Stream) -> None:
        if len(origin2.requests) == 5:
            stream.connection.flush = lambda: stream.connection.h2.data_to_send() and None
        await answer_by_path(stream)

    origin2.script = script
    gateway = behind(start, origin2, "health: {every: 100ms, timeout: 300ms, fail_after: 1, pass_after: 1}")
    wait_until(lambda: gateway.metric("sluice_health_checks_total", result="fail") >= 1, "a check finds the connection dead")
    wait_until(lambda: gateway.metric("sluice_server_up", upstream="two") == 1 and len(origin2.connections) > 1, "it is asked on a new one, and back")
    assert len(origin2.connections) == 2


class Downgraded(Origin2):
    """Over TLS; answers HTTP/1.1 when so many requests are there at once."""

    def __init__(self, certificates: Path, together: int) -> None:
        self.seen, self.together, self.all = 0, together, asyncio.Event()
        super().__init__(tls=certificates)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
            return await super()._serve(reader, writer)
        await reader.readuntil(b"\r\n\r\n")
        self.seen += 1
        if self.seen == self.together:
            self.all.set()
        await self.all.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    def downgrade(self) -> None:
        self.tls.set_alpn_protocols(["http/1.1"])
        for connection in self.connections:
            connection.writer.close()


def test_an_origin_that_spoke_http2_and_speaks_http1_now_keeps_nobody_waiting(start, certificates):
    """Requests that waited for streams of a connection that was made get connections of their own when it has none."""
    origin = Downgraded(certificates, together=5)
    try:
        gateway = start(upstreams=f'two:\n  servers: ["https://127.0.0.1:{origin.port}"]\n  protocol: auto\n  timeouts: {{connect: 10s, first_byte: 30s}}\n'
                                  f'  tls: {{ca: "{certificates}/ca.crt"}}\n', request="- {name: two, do: [{route: two}]}")
        assert gateway.fetch("http1", "GET", "/").status == 200
        origin.call(origin.downgrade)
        wait_until(lambda: gateway.metric("sluice_upstream_connections", state="idle") == 0, "its connection is gone")
        with gateway.http2() as client:
            streams = [client.start("GET", f"/{number}") for number in range(5)]
            assert [client.response(stream).status for stream in streams] == [200] * 5
    finally:
        origin.stop()


def test_requests_that_are_given_up_quickly_cost_no_connection(start, origin2):
    """A client may take deadlines as short as it likes: a connection is not taken for dead for that."""
    async def slow(stream: Stream) -> None:
        if stream.path == "/slow":
            return
        await answer_by_path(stream)

    origin2.script = slow
    gateway = behind(start, origin2, "timeouts: {connect: 10s}")
    assert gateway.fetch("http1", "GET", "/").status == 200
    for _ in range(5):
        gateway.fetch("http2", "POST", "/slow", [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "50m")], b"\0\0\0\0\0")
    assert gateway.fetch("http1", "GET", "/").status == 200
    assert len(origin2.connections) == 1


# The time for all of it

@pytest.fixture
def pair() -> Iterator[list[Origin]]:
    yield from running(Origin, 2)


def test_a_server_that_owes_answers_when_the_whole_time_is_up_is_left_out(start, pair):
    async def holds(exchange: Exchange) -> None:
        await pair[1].release.wait()

    pair[1].script = holds
    gateway = start(upstreams=many(pair, "timeouts: {total: 300ms}\n  ejection: {failures: 3, time: 60s}\n  retry: {tries: 1}"),
                    request="- {name: many, do: [{route: many}]}")
    statuses = [gateway.fetch("http1", "GET", "/").status for _ in range(12)]
    assert statuses.count(504) == 3, statuses
    wait_until(lambda: gateway.metric("sluice_upstream_ejections_total") == 1, "it is counted")
    assert gateway.metric("sluice_upstream_failures_total", kind="timeout") == 3


def test_a_client_that_is_slow_to_send_is_not_the_servers_fault(start, pair):
    gateway = start(upstreams=many(pair, "timeouts: {total: 300ms}\n  ejection: {failures: 1, time: 60s}\n  retry: {tries: 1}"),
                    request="- {name: many, do: [{route: many}]}")
    for _ in range(4):
        with gateway.http1() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
            assert client.response().status == 504
    before = [len(each.requests) for each in pair]
    for _ in range(4):
        assert gateway.fetch("http1", "GET", "/").status == 200
    assert [len(each.requests) for each in pair] == [count + 2 for count in before]
