"""Desynchronisation as an attacker would try it: requests that are well formed, whose two ends might disagree on where they end.
What has no single reading is refused and stands in `harness/malformed.py`; here the gateway must forward, and nothing of a body may
ever be read as a request, nor an answer reach anybody but whoever asked."""
import pytest

from harness.http2 import DATA, END_HEADERS, END_STREAM, HEADERS, frame
from harness.waiting import wait_until

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\nX: "
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def post(*fields: bytes, method: bytes = b"POST", path: bytes = b"/up", body: bytes = b"") -> bytes:
    return b"\r\n".join([method + b" " + path + b" HTTP/1.1", b"Host: localhost", *fields]) + b"\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def paths(origin) -> list[str]:
    return [each.path for each in origin.requests]


# Both ends read the same

@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE", b"POST", b"PURGE"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_is_a_body_whatever_the_method(start, origin, method, framing):
    """CL.0 and TE.0: servers that take no body with such methods would read it as the next request, so it is framed for them."""
    gateway = start()
    body = SMUGGLED + b"y\r\n\r\n"
    request = (post(b"Content-Length: %d" % len(body), method=method, body=body) if framing == "length"
               else post(b"Transfer-Encoding: chunked", method=method, body=chunked(body)))
    with gateway.http1() as client:
        client.send(request)
        assert client.response(method.decode()).status == 200
    wait_until(lambda: origin.requests and origin.requests[0].complete, "the origin has it")
    assert origin.requests[0].body == body
    assert paths(origin) == ["/up"]


def test_a_length_that_is_told_twice_alike_is_told_once(start, origin):
    gateway = start()
    with gateway.http1() as client:
        client.send(post(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"))
        status = client.response().status
    if status == 400:
        return
    told = [value for name, value in origin.requests[0].headers if name.lower() == "content-length"]
    assert status == 200 and told == ["5"] and origin.requests[0].body == b"hello"


@pytest.mark.parametrize("listed", ["content-length", "transfer-encoding", "host", "x-forwarded-for", "authorization", "cookie"])
def test_connection_takes_away_nothing_that_others_rely_on(start, origin, listed):
    gateway = start()
    body = (b"Transfer-Encoding: chunked", chunked(b"hello")) if listed == "transfer-encoding" else (b"Content-Length: 5", b"hello")
    with gateway.http1() as client:
        client.send(post(body[0], b"Authorization: x", b"Cookie: a=b", b"Connection: " + listed.encode(), body=body[1]))
        assert client.response().status in (200, 400)
    for each in origin.requests:
        assert each.body == b"hello"
        assert {"host", "x-forwarded-for", "authorization", "cookie"} <= {name.lower() for name, _ in each.headers}


def test_chunk_extensions_and_leading_zeros_end_here(start, origin):
    """Origins have read extensions in more than one way: they are not forwarded, and each body has one framing."""
    gateway = start()
    with gateway.http1() as client:
        client.send(post(b"Transfer-Encoding: chunked", body=b'0005;a=b;c="d;e"\r\nhello\r\n000;last\r\nX-T: 1\r\n\r\n'))
        assert client.response().status == 200
    assert origin.requests[0].body == b"hello"
    assert b";a=b" not in origin.raw and b";last" not in origin.raw and b"0005" not in origin.raw


def test_underscores_do_not_make_a_claim_of_the_client(start, origin):
    """Where fields become variables (CGI, WSGI), `X_Forwarded_For` is `X-Forwarded-For`."""
    gateway = start()
    names = ("X_Forwarded_For", "X-Forwarded_For", "x_forwarded_host", "X_Forwarded-Proto", "X_Real_IP", "X-Real_IP")
    with gateway.http1() as client:
        assert client.request("GET", "/echo", [(name, "10.0.0.1") for name in names]).status == 200
    assert b"10.0.0.1" not in origin.raw
    with gateway.http2_raw() as client:
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, client.fields("/echo", "GET", [("x_forwarded_for", "10.0.0.1")])))
        client.until(DATA, 1)
    assert b"10.0.0.1" not in origin.raw


# Origins that answer early

EARLY = {
    "401 and goes on reading": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
    "200 and goes on reading": OK,
    "417": b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n",
    "408 after a pause": b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", EARLY)
@pytest.mark.parametrize("expect", [(), (b"Expect: 100-continue",)], ids=["plain", "expecting"])
def test_an_answer_before_the_body_never_leaves_it_to_be_a_request(start, origin, answer, expect):
    """Pause-based and Expect-based: the head is sent, the origin answers and keeps its connection, then the body follows."""
    async def early(reader, writer):
        record = bytearray()
        received.append(record)
        while head := await reader.readuntil(b"\r\n\r\n"):
            record += head
            writer.write(EARLY[answer] if b" /up " in head else OK)
            if b" /up " in head:
                answered.append(1)

    received, answered = [], []
    origin.on_connect = early
    gateway = start()
    body = SMUGGLED + b"y\r\n\r\n"
    with gateway.http1() as client:
        client.send(post(b"Content-Length: %d" % len(body), *expect))
        wait_until(lambda: answered, "the origin has answered")
        client.send(body)
        # An interim answer may come first.
        while (got := client.response()).status == 100:
            pass
        assert got.status == int(EARLY[answer].split()[1])
    for _ in range(5):
        with gateway.http1() as other:
            assert other.request("GET", "/other").body == b"ok"
    spoilt = next(each for each in received if b" /up " in each)
    assert b"GET /other" not in spoilt, "a connection with a body that may still be coming is not used again"


def test_an_origin_that_reads_no_body_cannot_answer_the_next_client(start, origin):
    """A vulnerable origin (CL.0) takes the body for a request and answers it: nobody gets that answer."""
    async def vulnerable(reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ")[1]
            if target == b"/smuggled":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled")
                answered.append(1)
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target))

    answered = []
    origin.on_connect = vulnerable
    gateway = start()
    body = SMUGGLED + b"y\r\n\r\n"
    for turn in range(10):
        with gateway.http1() as attacker:
            attacker.send(post(b"Content-Length: %d" % len(body), body=body))
            assert attacker.response().body == b"/up"
        wait_until(lambda: len(answered) > turn, "the origin has answered what nobody asked")
        with gateway.http1() as victim:
            assert victim.request("GET", f"/victim{turn}").body == b"/victim%d" % turn


@pytest.mark.parametrize("interims", [1, 2], ids=["once", "twice"])
def test_100_of_the_origin_is_no_final_answer(start, origin, interims):
    async def continues(exchange):
        await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n" * interims + OK)

    origin.script = continues
    gateway = start()
    with gateway.http1() as client:
        client.send(post(b"Content-Length: 5", b"Expect: 100-continue", body=b"hello"))
        while (got := client.response()).status == 100:
            pass
        assert (got.status, got.body) == (200, b"ok")
        assert client.request("POST", "/up", body=b"x").body == b"ok", "the connection goes on in step"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_expectation_without_a_body_waits_for_nobody(start, origin, method):
    gateway = start()
    with gateway.http1() as client:
        client.send(f"{method} /bytes/3 HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\r\n".encode())
        assert client.response(method).status == 200
        assert client.request("GET", "/bytes/4").status == 200


# HTTP/2 to HTTP/1.1

def test_a_stream_of_any_length_is_framed_for_the_origin(start, origin):
    """H2.0, H2.CL and H2.TE: what the stream had is what the origin is told, whatever it looks like."""
    gateway = start()
    body = b"0\r\n\r\n" + SMUGGLED + b"y\r\n\r\n"
    for stream, fields in ((1, []), (3, [("content-length", str(len(body)))])):
        with gateway.http2_raw() as client:
            client.send(frame(HEADERS, END_HEADERS, 1, client.fields("/up", "POST", fields)), frame(DATA, END_STREAM, 1, body))
            client.until(DATA, 1)
        assert origin.requests[-1].body == body
    assert paths(origin) == ["/up", "/up"]
