"""What HTTP says in its own words, through origins that speak HTTP/2: interim answers, expectations, `OPTIONS *`, names and CONNECT."""
import json

import hpack
import pytest

from harness.http2 import DATA, END_HEADERS, END_STREAM, HEADERS, INTERNAL_ERROR, frame
from harness.origin2 import Origin2, Stream, answer_by_path
from harness.waiting import wait_until


@pytest.fixture
def origin2():
    server = Origin2()
    yield server
    server.stop()


@pytest.fixture
def gateway(start, origin2):
    return start(upstreams=f'two:\n  servers: ["h2c://127.0.0.1:{origin2.port}"]\n', request="- {name: two, do: [{route: two}]}")


@pytest.fixture
def hinting(gateway, origin2):
    async def script(stream):
        await stream.head(103, [("link", "</a.css>; rel=preload"), ("link", "</b.js>; rel=preload")])
        await stream.head(200, [("content-length", "2")])
        await stream.data(b"ok", end=True)

    origin2.script = script
    return gateway


def test_early_hints_reach_http1(hinting):
    with hinting.http1() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        hints = client.head()
        assert hints.status == 103 and [value for name, value in hints.headers if name.lower() == "link"] == ["</a.css>; rel=preload", "</b.js>; rel=preload"]
        assert (answer := client.response()).status == 200 and answer.body == b"ok"


def test_early_hints_reach_http2(hinting):
    with hinting.http2_raw() as client:
        client.send(client.get(1))
        decoder, statuses = hpack.Decoder(), []
        while not statuses or statuses[-1] != "200":
            statuses.append(dict(decoder.decode(client.until(HEADERS, 1)[3]))[":status"])
        assert statuses == ["103", "200"]


def test_an_expectation_of_http1_is_met(gateway, origin2):
    with gateway.http1() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert client.head().status == 100
        client.send(b"hello")
        answer = client.response()
        assert answer.status == 200 and json.loads(answer.body)["body_length"] == 5
        assert client.request("GET", "/").status == 200, "the connection goes on"


def test_an_expectation_of_http2_is_met(gateway, origin2):
    with gateway.http2_raw() as client:
        decoder = hpack.Decoder()
        client.send(frame(HEADERS, END_HEADERS, 1, client.fields("/up", "POST", [("expect", "100-continue")])))
        assert (":status", "100") in decoder.decode(client.until(HEADERS, 1)[3])
        client.send(frame(DATA, END_STREAM, 1, b"body"))
        assert (":status", "200") in decoder.decode(client.until(HEADERS, 1)[3])


def test_an_expectation_that_the_origin_refuses_ends_before_the_body(gateway, origin2):
    async def refuse(stream):
        await stream.answer(413, b"no")

    origin2.script = refuse
    with gateway.http1() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")
        while (head := client.head()).status == 100:
            pass
        assert head.status == 413 and (head.header("connection") or "").lower() == "close", "nobody knows whether the body follows"


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_options_asterisk_reaches_the_origin_as_such(gateway, origin2, protocol):
    if protocol == "http1":
        with gateway.http1() as client:
            assert client.request("OPTIONS", "*").status == 200
    else:
        with gateway.http2_raw() as client:
            client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, client.fields("*", "OPTIONS")))
            assert (":status", "200") in hpack.Decoder().decode(client.until(HEADERS, 1)[3])
    assert dict(origin2.requests[0].headers)[":path"] == "*"


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_max_forwards_and_via_are_as_over_http1(gateway, origin2, protocol):
    assert gateway.fetch(protocol, "OPTIONS", "/x", [("max-forwards", "7")]).status == 200
    fields = dict(origin2.requests[0].headers)
    assert fields["max-forwards"] == "6" and fields["via"].endswith("sluice")
    before = len(origin2.requests)
    assert gateway.fetch(protocol, "OPTIONS", "/x", [("max-forwards", "0")]).status == 200
    assert gateway.fetch(protocol, "TRACE", "/x").status in (405, 501)
    assert len(origin2.requests) == before


def test_trailers_of_http1_reach_the_origin_and_those_of_the_origin_http1(gateway, origin2):
    with gateway.http1() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")
        answer = client.response()
        assert answer.status == 200
        trailers = [tuple(each) for each in json.loads(answer.body)["trailers"]]
        assert ("x-sum", "7") in trailers
        client.send(b"GET /trailers HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n\r\n")
        assert client.head().header("transfer-encoding") == "chunked"
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "it is over")


# What an origin says behind its body, and what it may not (RFC 9110 section 6.5.1)

FORBIDDEN = [("content-length", "3"), ("transfer-encoding", "chunked"), ("host", "other.test"), ("authorization", "x"), ("connection", "close"), (":status", "204")]


@pytest.mark.parametrize("name, value", FORBIDDEN)
def test_trailers_of_an_origin_that_change_what_the_message_is_cut_the_answer(gateway, origin2, name, value):
    async def script(stream: Stream) -> None:
        if stream.path != "/bad":
            return await answer_by_path(stream)
        await stream.head(200, [("x-a", "1")])
        await stream.data(b"abc")
        block = stream.connection.h2.encoder.encode([(name, value)])
        stream.connection.raw(frame(HEADERS, END_HEADERS | END_STREAM, stream.number, block))

    origin2.script = script
    with gateway.http2() as client:
        stream = client.start("GET", "/bad")
        answer = client.response(stream)
        assert client.resets.get(stream) == INTERNAL_ERROR and not answer.trailers
        assert client.request("GET", "/bytes/3").status == 200
    assert gateway.fetch("http1", "GET", "/bytes/3").status == 200, "and harm no neighbour"
