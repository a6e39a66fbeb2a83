"""What a proxy owes both sides (RFC 9110 section 7): interim responses, spelling and order, methods that speak to proxies."""
import json
import re
import socket
import threading

import h11
import pytest

from harness.http2 import DATA, END_HEADERS, END_STREAM, HEADERS, frame
from harness.waiting import wait_until


@pytest.fixture(scope="module")
def gateway(start_shared):
    return start_shared()


# Interim responses

HINTS = (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\nConnection: close\r\n\r\n"
         b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
         b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture
def hinting(start, origin):
    async def script(exchange):
        await exchange.send(HINTS)

    origin.script = script
    return start()


def test_early_hints_pass_with_their_fields(hinting):
    with hinting.http1() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        hints = client.head()
        assert hints.status == 103
        assert [value for name, value in hints.headers if name == "Link"] == ["</a.css>; rel=preload", "</b.js>; rel=preload"]
        assert hints.header("connection") is None and hints.header("content-length") is None
        assert client.head().status == 102
        assert (answer := client.response()).status == 200 and answer.body == b"ok"
        assert client.request("GET", "/").body == b"ok", "the connection goes on"


def test_early_hints_pass_over_http2(hinting):
    import hpack
    with hinting.http2_raw() as client:
        client.send(client.get(1))
        decoder, statuses = hpack.Decoder(), []
        while not statuses or statuses[-1] != "200":
            fields = decoder.decode(client.until(HEADERS, 1)[3])
            statuses.append(dict(fields)[":status"])
            if statuses[-1] == "103":
                assert ("link", "</a.css>; rel=preload") in fields
        assert statuses == ["103", "102", "200"]


def test_http_1_0_gets_no_interim_response(hinting):
    with hinting.http1() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert client.head().status == 200


def test_expectations_over_http2(gateway):
    import hpack
    with gateway.http2_raw() as client:
        decoder = hpack.Decoder()
        client.send(frame(HEADERS, END_HEADERS, 1, client.fields("/up", "POST", [("expect", "100-continue")])))
        assert (":status", "100") in decoder.decode(client.until(HEADERS, 1)[3])
        client.send(frame(DATA, END_STREAM, 1, b"body"))
        assert (":status", "200") in decoder.decode(client.until(HEADERS, 1)[3])
        client.send(frame(HEADERS, END_HEADERS, 3, client.fields("/up", "POST", [("expect", "something")])))
        assert (":status", "417") in decoder.decode(client.until(HEADERS, 3)[3])


# Spelling and order

def test_fields_keep_their_order_and_spelling(gateway, shared_origin):
    fields = [("ACCEPT", "*/*"), ("x-First", "1"), ("X-SECOND", "2"), ("coOkie", "a=b"), ("x-first", "3"), ("User-agent", "t"),
              ("aCCEPT-encoding", "gzip")]
    with gateway.http1() as client:
        seen = json.loads(client.request("GET", "/order", fields).body)["headers"]
    wanted = [list(field) for field in fields]
    assert [field for field in seen if field in wanted] == wanted


def test_response_fields_keep_their_order_and_spelling(start, origin):
    fields = [("SERVER", "x"), ("set-Cookie", "a=1"), ("X-b", "2"), ("Set-cookie", "c=3"), ("ETAG", '"x"')]

    async def script(exchange):
        await exchange.send(b"HTTP/1.1 200 Fine\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields).encode() + b"Content-Length: 0\r\n\r\n")

    origin.script = script
    gateway = start()
    with gateway.http1() as client:
        answer = client.request("GET", "/")
        assert [field for field in answer.headers if field in fields] == fields and answer.reason == "Fine"


def test_fields_that_an_origin_lists_in_connection_stay_behind(start, origin, protocol):
    async def script(exchange):
        fields = b"Connection: X-Private, ETag\r\nX-Private: 1\r\nX-Public: 2\r\nETag: \"x\"\r\n"
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nConnection: X-Private\r\nX-Private: 1\r\n\r\n"
                            b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 0\r\n\r\n")

    origin.script = script
    answer = start().fetch(protocol, "GET", "/")
    names = {name.lower() for name, _ in answer.headers}
    assert "x-private" not in names and names >= {"x-public", "etag"}, "what a rule or a client relies on stays all the same"


def test_a_date_is_added_and_one_that_is_there_is_kept(start, origin):
    async def script(exchange):
        date = {"Date": "Tue, 15 Nov 1994 08:12:31 GMT"} if exchange.request.path == "/dated" else {}
        await exchange.answer(200, b"", date)

    origin.script = script
    gateway = start()
    with gateway.http1() as client:
        assert client.request("GET", "/dated").header("date") == "Tue, 15 Nov 1994 08:12:31 GMT"
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", client.request("GET", "/").header("date") or "")


@pytest.mark.parametrize("via,status", [
    (["1.1 sluice, 1.1 sluice", "1.1 sluice", "2.0 sluice"], 508), (["1.1 sluice,1.1 other (x), 2.0 sluice (y),\t1.1 sluice"], 508),
    (["1.1 sluice, 1.1 sluice"], 200), (["1.1 sluice.example, 1.1 a (sluice), 1.1 b.sluice, sluice 1.1"], 200)], ids=["fields", "a list", "twice", "others"])
def test_a_request_that_goes_in_circles_ends(gateway, shared_origin, via, status):
    before = len(shared_origin.requests)
    with gateway.http1() as client:
        assert client.request("GET", "/", [("Via", each) for each in via]).status == status
    assert len(shared_origin.requests) - before == (status == 200)


def test_a_gateway_that_is_its_own_origin_ends_after_few_rounds(start, origin):
    def rules(ports):
        return f"""
sluice: 1
listeners: [{{name: plain, address: "127.0.0.1:{ports.plain}"}}]
admin: {{address: "127.0.0.1:{ports.admin}"}}
upstreams: {{me: {{servers: ["http://127.0.0.1:{ports.plain}"]}}}}
sites: [{{name: loop, hosts: ["*"], upstream: me}}]
"""
    gateway = start(rules=rules)
    with gateway.http1() as client:
        assert client.request("GET", "/").status == 508
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "all rounds have ended")
    assert gateway.metric("sluice_requests_total") <= 5


# Methods that speak to proxies

def test_options_asterisk_reaches_the_origin_as_such(gateway):
    with gateway.http1() as client:
        seen = json.loads(client.request("OPTIONS", "*").body)
        assert (seen["method"], seen["target"]) == ("OPTIONS", "*")


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_max_forwards_counts_down_and_ends_here(gateway, shared_origin, protocol):
    seen = json.loads(gateway.fetch(protocol, "OPTIONS", "/x", [("max-forwards", "7")]).body)["headers"]
    assert ["max-forwards", "6"] in [[name.lower(), value] for name, value in seen]
    before = len(shared_origin.requests)
    answer = gateway.fetch(protocol, "OPTIONS", "/x", [("max-forwards", "0")])
    assert answer.status == 200 and "OPTIONS" in (answer.header("allow") or "") and answer.body == b""
    assert gateway.fetch(protocol, "OPTIONS", "/x", [("max-forwards", "x")]).status == 400
    assert gateway.fetch(protocol, "OPTIONS", "/x", [("max-forwards", "7"), ("max-forwards", "0")]).status == 400, "it is one number"
    assert len(shared_origin.requests) == before
    seen = json.loads(gateway.fetch(protocol, "GET", "/x", [("max-forwards", "0")]).body)["headers"]
    assert ["max-forwards", "0"] in [[name.lower(), value] for name, value in seen], "it concerns OPTIONS and TRACE only"


@pytest.mark.parametrize("protocol", ["http1", "http1-tls", "http2"])
def test_trace_is_not_served(gateway, shared_origin, protocol):
    before = len(shared_origin.requests)
    assert gateway.fetch(protocol, "TRACE", "/", [("cookie", "secret=1")]).status == 405
    assert len(shared_origin.requests) == before


# CONNECT

def test_connect_is_refused_unless_configured(gateway):
    with gateway.http1() as client:
        client.send(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n")
        assert client.head().status == 405


@pytest.fixture
def echoing():
    """A TCP server that sends back what it gets, in capitals."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data.upper())

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


@pytest.fixture
def tunnelling(start, echoing):
    return start(upstreams=f'raw: {{servers: ["http://127.0.0.1:{echoing}"]}}',
                 sites="- {name: t, hosts: [localhost], upstream: origin, connect: raw,\n"
                       "   request: [{when: 'method == \"CONNECT\" and http.host == \"x\"', do: [{deny: {status: 403}}]}]}\n"
                       "- {name: u, hosts: [other.localhost], upstream: origin}")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_connect_opens_a_tunnel_where_the_site_says(tunnelling, tls):
    with tunnelling.http1(tls) as client:
        client.send(b"CONNECT localhost:5432 HTTP/1.1\r\nHost: localhost:5432\r\n\r\nearly")
        answer = client.head()
        assert answer.status == 200 and answer.header("content-length") is None and answer.header("transfer-encoding") is None
        assert client.exactly(5) == b"EARLY"
        client.send(b"x" * 300_000)
        assert client.exactly(300_000) == b"X" * 300_000
    with tunnelling.http1(tls) as client:
        client.send(b"CONNECT other.localhost:1 HTTP/1.1\r\nHost: other.localhost:1\r\n\r\n")
        assert client.head().status in (405, 421)
    assert tunnelling.fetch("http1", "GET", "/bytes/3").status == 200


def test_connect_over_http2(tunnelling):
    import hpack
    with tunnelling.http2_raw() as client:
        client.send(frame(HEADERS, END_HEADERS, 1, client.encoder.encode([(":method", "CONNECT"), (":authority", "localhost:5432")])))
        assert (":status", "200") in hpack.Decoder().decode(client.until(HEADERS, 1)[3])
        client.send(frame(DATA, 0, 1, b"hello"))
        assert client.until(DATA, 1)[3] == b"HELLO"
        client.send(frame(DATA, END_STREAM, 1))
        while not (got := client.until(DATA, 1))[1] & END_STREAM:
            pass


# One reading: what odd but legal requests become is read by another parser (h11) and must be the same requests.

HEAD_ODDITIES = {
    "nothing": b"", "obsolete text": b"X-Old: \xe9\xff\r\n", "empty value": b"X-Empty:\r\nX-Also-Empty: \t \r\n",
    "spaces around the value": b"X-Spaces: \t value \t\r\n", "all token characters": b"!#$%&'*+-.^_`|~aZ09: x\r\n",
    "quotes and colons": b'X-Quoted: "a:b\\"c\x2cd": e:\r\n', "many fields": b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(60)),
    "a long field": b"X-Long: " + b"v" * 8000 + b"\r\n", "connection list": b"Connection: x-private, close-not\r\nX-Private: 1\r\n",
    "TE": b"TE: trailers, deflate;q=0.5\r\nConnection: TE\r\n", "two cookies": b"Cookie: a=1\r\nCookie: b=2\r\n",
    "Upgrade without Connection": b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    "Upgrade to several": b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
}
BODY_ODDITIES = {
    "none": (b"", b"", b""), "length 0": (b"Content-Length: 0\r\n", b"", b""), "leading zeroes": (b"Content-Length: 0005\r\n", b"hello", b"hello"),
    "chunked": (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "chunked in capitals": (b"TRANSFER-ENCODING: ChUnKeD\r\n", b"A\r\nhellohello\r\n00\r\n\r\n", b"hellohello"),
    "chunk sizes with zeroes": (b"Transfer-Encoding: chunked\r\n", b"0000005\r\nhello\r\n0000\r\n\r\n", b"hello"),
    "chunk extensions": (b"Transfer-Encoding: chunked\r\n", b'5;a="b;c\\"";d\r\nhello\r\n0;e=f\r\n\r\n', b"hello"),
    "trailers": (b"Transfer-Encoding: chunked\r\nTrailer: X-T\r\n", b"5\r\nhello\r\n0\r\nX-T: 1\r\nContent-Type: x\r\n\r\n", b"hello"),
    "a body like a request": (b"Content-Length: 35\r\n", b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"),
}


def read_by_h11(raw: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """(method, target, body) of each request in what an origin received."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(raw)
    found = []
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
            return found
        if isinstance(event, h11.Request):
            found.append((event.method, event.target, b""))
        elif isinstance(event, h11.Data):
            method, target, body = found[-1]
            found[-1] = (method, target, body + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is h11.MUST_CLOSE:
                assert connection.trailing_data[0] == b""
                return found
            connection.start_next_cycle()


@pytest.mark.parametrize("framing", BODY_ODDITIES)
@pytest.mark.parametrize("oddity", HEAD_ODDITIES)
def test_another_parser_reads_the_same_requests(gateway, shared_origin, oddity, framing):
    fields, sent, body = BODY_ODDITIES[framing]
    connections, before = len(shared_origin.received), {id(each): len(each) for each in shared_origin.received}
    with gateway.http1() as client:
        requests = b"".join(b"POST /%d HTTP/1.1\r\nHost: localhost\r\n" % number + HEAD_ODDITIES[oddity] + fields + b"\r\n" + sent
                            for number in range(3))
        client.send(requests + b"GET /bytes/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answers = [client.response() for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert answers[3].body == b"\0"
    new = [bytes(each[before.get(id(each), 0):]) for each in shared_origin.received]
    seen = [request for raw in new if raw for request in read_by_h11(raw)]
    assert sorted(seen) == sorted([(b"POST", b"/%d" % number, body) for number in range(3)] + [(b"GET", b"/bytes/1", b"")])
    assert connections  # the origin is asked on kept connections: what belongs to whom is told by the framing alone
