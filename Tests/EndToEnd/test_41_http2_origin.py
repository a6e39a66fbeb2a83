"""Origins that speak HTTP/2: multiplexing, windows both ways, endings, and origins that break the protocol."""
import asyncio
import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import http2
from harness.http2 import frame
from harness.origin import PATTERN
from harness.origin2 import Origin2, Stream, answer_by_path
from harness.waiting import wait_until

OPTIONS = "timeouts: {connect: 2s, first_byte: 5s, idle: 5s}"


@pytest.fixture
def origin2() -> Iterator[Origin2]:
    server = Origin2()
    yield server
    server.stop()


@pytest.fixture
def gateway(start, origin2):
    return behind(start, origin2)


def behind(start, origin2, options=OPTIONS):
    return start(upstreams=f'two:\n  servers: ["h2c://127.0.0.1:{origin2.port}"]\n  {options}\n',
                 request="- {name: two, do: [{route: two}]}")


def test_request_and_answer_arrive_whole(gateway, origin2, protocol):
    answer = gateway.fetch(protocol, "POST", "/a/b?c=d", [("X-Test", "yes"), ("Cookie", "a=b")], b"x" * 1000)
    assert answer.status == 200
    seen = json.loads(answer.body)
    fields = dict(seen["headers"])
    assert fields[":method"] == "POST" and fields[":path"] == "/a/b?c=d" and fields[":scheme"] == "http"
    assert fields[":authority"] == "localhost" and "host" not in fields
    assert fields["x-test"] == "yes" and fields["cookie"] == "a=b"
    assert protocol == "http2" or fields["content-length"] == "1000"
    assert not {"connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection"} & fields.keys()
    assert seen["body_length"] == 1000 and not origin2.faults


def test_fields_that_connection_lists_stay_behind(gateway, origin2):
    gateway.fetch("http1", "GET", "/", [("Connection", "x-secret"), ("X-Secret", "1"), ("X-Open", "2")])
    fields = dict(origin2.requests[0].headers)
    assert "x-secret" not in fields and fields["x-open"] == "2"


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 65535, 65536, 300_000, 3_000_000])
def test_bodies_of_all_sizes_both_ways(gateway, origin2, protocol, size):
    body = (PATTERN * (size // len(PATTERN) + 1))[:size]
    answer = gateway.fetch(protocol, "GET", f"/bytes/{size}")
    assert answer.status == 200 and hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()
    gateway.fetch(protocol, "PUT", "/echo", body=body)
    assert bytes(origin2.requests[-1].body) == body
    assert not origin2.faults


def test_trailers_pass_both_ways(gateway, origin2):
    with gateway.http2() as client:
        answer = client.request("GET", "/trailers")
        assert answer.body == b"hello" and ("x-checksum", "abc") in answer.trailers
    with gateway.http1() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n")
        assert client.response().status == 200
    assert origin2.requests[-1].trailers == [("x-sum", "1")]


def test_many_exchanges_share_one_connection(start, origin2):
    held = asyncio.Event()

    async def together(stream: Stream) -> None:
        if len(origin2.requests) == 21:
            held.set()
        await held.wait()
        await answer_by_path(stream)

    gateway = behind(start, origin2)
    assert gateway.fetch("http1", "GET", "/first").status == 200
    origin2.script = together
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: gateway.fetch("http1", "GET", f"/held/{n}"), range(20)))
    assert [answer.status for answer in answers] == [200] * 20
    for number, answer in enumerate(answers):
        assert dict(json.loads(answer.body)["headers"])[":path"] == f"/held/{number}", "nobody gets another's answer"
    assert len(origin2.connections) == 1


def test_the_origins_stream_limit_is_kept(start):
    origin2 = Origin2(streams=2)
    try:
        gateway = behind(start, origin2, OPTIONS + "\n  max_connections: 1")
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda n: gateway.fetch("http1", "GET", f"/{n}"), range(30)))
        assert [answer.status for answer in answers] == [200] * 30, (origin2.faults, gateway.access_log())
        assert not origin2.faults and len(origin2.connections) == 1
    finally:
        origin2.stop()


def test_a_client_that_does_not_read_holds_up_nobody(gateway, origin2):
    """Its stream's window shuts; the connection's stays open for others."""
    slow = gateway.http1()
    slow.send(b"GET /bytes/20000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    wait_until(lambda: origin2.requests, "the origin has the request")
    for _ in range(5):
        assert len(gateway.fetch("http1", "GET", "/bytes/200000").body) == 200_000
    assert len(origin2.connections) == 1
    slow.close()
    wait_until(lambda: origin2.resets, "the origin hears that nobody wants the rest")
    assert origin2.resets == [http2.CANCEL]
    assert gateway.fetch("http1", "GET", "/").status == 200


def test_refused_streams_are_sent_again_even_when_not_idempotent(gateway, origin2):
    async def refuse_first(stream: Stream) -> None:
        if len(origin2.requests) == 1:
            return stream.cut(http2.REFUSED_STREAM)
        await answer_by_path(stream)

    origin2.script = refuse_first
    assert gateway.fetch("http1", "POST", "/").status == 200
    assert len(origin2.requests) == 2
    wait_until(lambda: gateway.metric("sluice_upstream_retries_total") == 1, "it is counted")


def test_goaway_lets_running_streams_finish_and_moves_new_ones(gateway, origin2):
    leaving = threading.Event()

    async def leave(stream: Stream) -> None:
        if stream.path == "/slow":
            stream.connection.raw(frame(http2.GOAWAY, 0, 0, struct.pack(">II", stream.number, 0)))
            leaving.set()
            await stream.connection.origin.loop.run_in_executor(None, finish.wait, 10)
        await answer_by_path(stream)

    finish = threading.Event()
    origin2.script = leave
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(gateway.fetch, "http1", "GET", "/slow")
        assert leaving.wait(10)
        assert gateway.fetch("http1", "GET", "/new").status == 200
        finish.set()
        assert slow.result().status == 200
    assert len(origin2.connections) == 2


def test_streams_above_the_last_one_of_a_goaway_are_sent_again(gateway, origin2):
    async def leave(stream: Stream) -> None:
        if len(origin2.connections) == 1:
            stream.connection.raw(frame(http2.GOAWAY, 0, 0, struct.pack(">II", 0, 0)))
            return
        await answer_by_path(stream)

    origin2.script = leave
    assert gateway.fetch("http1", "POST", "/").status == 200
    assert len(origin2.connections) == 2


def after_head(code: int):
    async def cut(stream: Stream) -> None:
        await stream.head(200, [("content-length", "1000")])
        await stream.data(b"half")
        stream.cut(code)
    return cut


@pytest.mark.parametrize("code", [http2.NO_ERROR, http2.CANCEL, http2.INTERNAL_ERROR, http2.REFUSED_STREAM])
def test_a_reset_inside_the_body_is_never_a_whole_answer(gateway, origin2, code):
    origin2.script = after_head(code)
    with gateway.http1() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        came = client.rest()
        head, _, body = came.partition(b"\r\n\r\n")
        assert not came or b"1000" in head and b"half".startswith(body), "what is cut off ends with the connection"
    with gateway.http2() as client:
        stream = client.start("GET", "/")
        client.receive_until(lambda: stream in client.finished, "the stream ends")
        assert stream in client.resets


@pytest.mark.parametrize("code", [http2.NO_ERROR, http2.CANCEL, http2.INTERNAL_ERROR, http2.PROTOCOL_ERROR])
def test_a_reset_before_the_answer_is_502(gateway, origin2, code):
    async def cut(stream: Stream) -> None:
        stream.cut(code)

    origin2.script = cut
    answer = gateway.fetch("http1", "POST", "/")
    assert answer.status == 502 and "connection_terminated" in (answer.header("proxy-status") or "")
    assert len(origin2.requests) == 1


def encoded(fields: list[tuple[str, str]]) -> bytes:
    return b"".join(b"\0" + bytes([len(n)]) + n.encode() + bytes([len(v)]) + v.encode() for n, v in fields)


MALFORMED = {
    "no status": [("x-a", "1")], "two statuses": [(":status", "200"), (":status", "200")],
    "status of letters": [(":status", "abc")], "status 99": [(":status", "099")], "status 101": [(":status", "101")],
    "upper case": [(":status", "200"), ("X-A", "1")], "connection field": [(":status", "200"), ("connection", "close")],
    "status behind a field": [("x-a", "1"), (":status", "200")], "request pseudo-field": [(":status", "200"), (":path", "/")],
    "line feed in a value": [(":status", "200"), ("x-a", "a\nb")], "NUL in a value": [(":status", "200"), ("x-a", "a\0b")],
    "two lengths": [(":status", "200"), ("content-length", "1"), ("content-length", "2")],
    "length with sign": [(":status", "200"), ("content-length", "+1")],
    "no end of fields": [(":status", "200")] + [("x-a", "b")] * 500,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_heads_are_502_and_harm_no_neighbour(gateway, origin2, name):
    async def malformed(stream: Stream) -> None:
        if stream.path != "/bad":
            return await answer_by_path(stream)
        stream.connection.raw(frame(http2.HEADERS, http2.END_HEADERS | http2.END_STREAM, stream.number,
                                    encoded(MALFORMED[name])))

    origin2.script = malformed
    answer = gateway.fetch("http1", "GET", "/bad")
    assert answer.status == 502 and "http_protocol_error" in (answer.header("proxy-status") or "")
    assert gateway.fetch("http1", "GET", "/good").status == 200


@pytest.mark.parametrize("sent", [999, 1001])
def test_a_length_that_lies_cuts_the_answer(gateway, origin2, sent):
    async def lie(stream: Stream) -> None:
        await stream.head(200, [("content-length", "1000")])
        stream.connection.raw(frame(http2.DATA, http2.END_STREAM, stream.number, b"x" * sent))

    origin2.script = lie
    with gateway.http2() as client:
        stream = client.start("GET", "/")
        client.receive_until(lambda: stream in client.finished, "the stream ends")
        assert stream in client.resets


FLOODS = {
    "pings": lambda stream: frame(http2.PING, 0, 0, b"12345678") * 5000,
    "settings": lambda stream: frame(http2.SETTINGS, 0, 0) * 5000,
    "empty data": lambda stream: frame(http2.DATA, 0, stream, b"") * 5000,
    "window updates": lambda stream: frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 5000,
    "continuations": lambda stream: frame(http2.HEADERS, 0, stream, encoded([(":status", "200")]))
    + frame(http2.CONTINUATION, 0, stream, encoded([("x-a", "b")])) * 500,
}


@pytest.mark.parametrize("name", FLOODS)
def test_an_origin_that_floods_loses_its_connection(gateway, origin2, name):
    async def flood(stream: Stream) -> None:
        if stream.path != "/bad":
            return await answer_by_path(stream)
        stream.connection.raw(FLOODS[name](stream.number))

    origin2.script = flood
    assert gateway.fetch("http1", "POST", "/bad").status == 502
    wait_until(lambda: gateway.metric("sluice_upstream_http2_errors_total") >= 1, "it is counted")
    assert gateway.fetch("http1", "GET", "/good").status == 200
    assert len(origin2.connections) == 2


def test_an_answer_before_the_end_of_the_request_is_delivered(gateway, origin2):
    async def early(stream: Stream) -> None:
        await stream.answer(413, b"too much")

    origin2.script = early
    with gateway.http2() as client:
        stream = client.start("POST", "/", [("content-length", "1000000")], end=False)
        client.receive_until(lambda: stream in client.finished, "the answer is complete")
        assert client.responses[stream].status == 413 and client.responses[stream].body == b"too much"
    wait_until(lambda: origin2.resets, "the origin hears that the rest does not come")


def test_a_silent_origin_is_504(start, origin2):
    async def silent(stream: Stream) -> None:
        await origin2.release.wait()

    origin2.script = silent
    gateway = behind(start, origin2, "timeouts: {connect: 1s, first_byte: 300ms, idle: 300ms}")
    answer = gateway.fetch("http1", "GET", "/")
    assert answer.status == 504 and "timeout" in (answer.header("proxy-status") or "")
    wait_until(lambda: origin2.resets == [http2.CANCEL], "the origin hears of it")


def test_connections_survive_a_reload(gateway, origin2):
    assert gateway.fetch("http1", "GET", "/1").status == 200
    gateway.reload()
    assert gateway.fetch("http1", "GET", "/2").status == 200
    assert len(origin2.connections) == 1


def test_nothing_is_left_when_all_is_over(gateway, origin2):
    for number in range(50):
        gateway.fetch("http1", "GET", f"/bytes/{number * 1000}")
    wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "nobody is served")
    wait_until(lambda: gateway.metric("sluice_slabs_live") == 0, "all memory is back")
    assert gateway.metric("sluice_bugs_total") == 0


@pytest.mark.parametrize("speaks", ["http2", "auto"])
def test_over_tls_alpn_decides(start, certificates, speaks):
    origin2 = Origin2(tls=certificates)
    try:
        gateway = start(upstreams=f'two:\n  servers: ["https://localhost:{origin2.port}"]\n  protocol: {speaks}\n'
                                  f'  tls: {{ca: "{certificates}/ca.crt"}}\n', request="- {name: two, do: [{route: two}]}")
        for _ in range(3):
            answer = gateway.fetch("http1", "GET", "/bytes/100000")
            assert answer.status == 200 and len(answer.body) == 100_000
        assert dict(origin2.requests[0].headers)[":scheme"] == "https" and len(origin2.connections) == 1
    finally:
        origin2.stop()


def test_an_origin_that_does_not_choose_http2_is_not_spoken_to_in_it(start, certificates):
    origin2 = Origin2(tls=certificates, alpn="http/1.1")
    try:
        gateway = start(upstreams=f'two:\n  servers: ["https://localhost:{origin2.port}"]\n  protocol: http2\n'
                                  f'  tls: {{ca: "{certificates}/ca.crt"}}\n', request="- {name: two, do: [{route: two}]}")
        answer = gateway.fetch("http1", "GET", "/")
        assert answer.status == 502 and "tls_protocol_error" in (answer.header("proxy-status") or "")
        assert not origin2.requests
    finally:
        origin2.stop()
