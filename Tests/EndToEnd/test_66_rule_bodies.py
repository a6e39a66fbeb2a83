"""Bodies that rules change or copy: compress, replace_body, mirror."""
import gzip
import subprocess
import threading
import zlib

import pytest

from harness.origin import Origin
from harness.waiting import wait_until

PAGE = b"<html><body>" + b"<p>hello gateway, hello world</p>\n" * 400 + b"</body></html>"


def page(body=PAGE, **headers):
    """A script of the origin: always this body, `headers` with _ for -."""
    fields = {"Content-Type": "text/html; charset=utf-8", **{name.replace("_", "-"): value for name, value in headers.items()}}

    async def script(exchange):
        await exchange.answer(200, body, fields)

    return script


COMPRESS = "- do: [{compress: [zstd, br, gzip]}]"


@pytest.mark.parametrize("accept, coding", [
    ("gzip", "gzip"), ("gzip;q=1, br;q=0.5", "gzip"), ("br", "br"), ("gzip, br", "br"), ("gzip, br, zstd", "zstd"), ("*", "zstd"),
    ("identity", None), ("gzip;q=0", None), ("deflate", None)])
def test_the_client_gets_the_coding_it_likes_best(start_bodies, accept, coding, protocol):
    gateway, origin = start_bodies
    origin.script = page(ETag='"abc"', Accept_Ranges="bytes")
    answer = gateway.fetch(protocol, "GET", "/page", [("Accept-Encoding", accept)])
    assert answer.status == 200
    assert answer.header("content-encoding") == coding
    assert answer.header("vary") == "Accept-Encoding"
    if coding is None:
        assert answer.body == PAGE and answer.header("etag") == '"abc"' and answer.header("content-length") == str(len(PAGE))
    else:
        assert answer.header("etag") == 'W/"abc"' and answer.header("accept-ranges") is None
        assert len(answer.body) < len(PAGE) / 10
    if coding == "gzip":
        assert gzip.decompress(answer.body) == PAGE


@pytest.fixture(scope="module")
def start_bodies(start_shared, shared_origin):
    """One gateway with a rule for each test, told apart by path."""
    gateway = start_shared(
        request="""\
            - name: hide
              when: path == "/hidden"
              do: [{remove_header: Accept-Encoding}]
            """,
        response="""\
            - name: replace
              when: path starts_with "/replace"
              do:
                - replace_body:
                    - {find: hello, with: "good day"}
                    - {find: "<body>", with: '<body data-q="${arg.q}">'}
            - name: compress
              when: not path starts_with "/replace"
              do: [{compress: [zstd, br, gzip]}]
            - name: both
              when: path == "/replace-and-compress"
              do: [{compress: gzip}]
            """)
    yield gateway, shared_origin
    shared_origin.script = None


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_curl_understands_every_coding(start_bodies, version, coding, tmp_path):
    gateway, origin = start_bodies
    body = PAGE * 40
    origin.script = page(body)
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "30", version, "--compressed", "-H", f"Accept-Encoding: {coding}", "-D", tmp_path / "head",
         "--cacert", gateway.authority, f"https://localhost:{gateway.ports.secure}/page"], capture_output=True, check=True)
    assert done.stdout == body
    assert f"content-encoding: {coding}" in (tmp_path / "head").read_text().lower()


@pytest.mark.parametrize("why, script", [
    ("tiny", page(b"<p>hi</p>")),
    ("a picture", page(Content_Type="image/png")),
    ("without a type", page(Content_Type="")),
    ("no-transform", page(Cache_Control="public, no-transform")),
    ("encoded already", page(gzip.compress(PAGE), Content_Encoding="gzip")),
    ("encoded as nobody knows", page(Content_Encoding="x-own")),
])
def test_what_is_not_worth_it_or_not_allowed_goes_as_it_is(start_bodies, protocol, why, script):
    gateway, origin = start_bodies
    origin.script = script
    answer = gateway.fetch(protocol, "GET", "/page", [("Accept-Encoding", "br, gzip")])
    assert answer.header("content-encoding") in (None, "gzip", "x-own")
    assert answer.header("content-length") == str(len(answer.body))
    assert answer.body in (PAGE, b"<p>hi</p>", gzip.compress(PAGE)) or gzip.decompress(answer.body) == PAGE, why


def test_a_part_is_not_compressed(start_bodies, protocol):
    gateway, origin = start_bodies

    async def part(exchange):
        await exchange.answer(206, PAGE[:2000], {"Content-Type": "text/html", "Content-Range": f"bytes 0-1999/{len(PAGE)}"})

    origin.script = part
    answer = gateway.fetch(protocol, "GET", "/page", [("Accept-Encoding", "gzip"), ("Range", "bytes=0-1999")])
    assert answer.status == 206 and answer.body == PAGE[:2000] and answer.header("content-encoding") is None


def test_head_is_told_what_get_would_be(start_bodies, protocol):
    gateway, origin = start_bodies
    origin.script = page()
    answer = gateway.fetch(protocol, "HEAD", "/page", [("Accept-Encoding", "gzip")])
    assert answer.status == 200 and answer.body == b""
    assert answer.header("content-encoding") == "gzip" and answer.header("content-length") is None


def test_the_clients_wish_counts_also_when_the_origin_does_not_see_it(start_bodies, protocol):
    gateway, origin = start_bodies
    origin.script = page()
    answer = gateway.fetch(protocol, "GET", "/hidden", [("Accept-Encoding", "gzip")])
    assert origin.requests[-1].header("accept-encoding") is None
    assert gzip.decompress(answer.body) == PAGE


def test_a_vary_that_is_there_is_not_doubled(start_bodies, protocol):
    gateway, origin = start_bodies
    origin.script = page(Vary="Origin, accept-encoding")
    answer = gateway.fetch(protocol, "GET", "/page", [("Accept-Encoding", "gzip")])
    assert answer.header("vary") == "Origin, accept-encoding"


def test_events_arrive_one_by_one_also_compressed(start_bodies):
    """The origin sends the next event only when the client has read the one before."""
    gateway, origin = start_bodies
    go = threading.Semaphore(0)

    async def events(exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            text = b"data: %d\n\n" % number
            await exchange.send(b"%x\r\n%s\r\n" % (len(text), text))
            await origin.loop.run_in_executor(None, lambda: go.acquire(timeout=20))
        await exchange.send(b"0\r\n\r\n")

    origin.script = events
    with gateway.http1() as client:
        client.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n")
        head = client.head()
        assert head.header("content-encoding") == "gzip" and head.header("transfer-encoding") == "chunked"
        decoder = zlib.decompressobj(31)
        for number in range(5):
            seen = b""
            while seen != b"data: %d\n\n" % number:
                seen += decoder.decompress(client.exactly(int(client.until(b"\r\n"), 16)))
                client.exactly(2)
            go.release()
        rest, _ = client.chunked()
        assert decoder.decompress(rest) + decoder.flush() == b"" and decoder.eof


def test_a_large_body_is_compressed_in_little_memory(start_bodies, protocol):
    gateway, origin = start_bodies
    body = PAGE * 4000  # 56 MB
    origin.script = page(body)
    answer = gateway.fetch(protocol, "GET", "/page", [("Accept-Encoding", "gzip")])
    assert gzip.decompress(answer.body) == body
    assert gateway.resident_kib(peak=True) < 400 * 1024


def test_a_client_that_does_not_read_holds_the_origin_back(start_bodies):
    gateway, origin = start_bodies
    sent = 0

    async def endless(exchange):
        nonlocal sent
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 200000000\r\n\r\n")
        while sent < 200_000_000:
            await exchange.send(PAGE[:10_000])
            sent += 10_000

    origin.script = endless
    with gateway.http1(receive_buffer=4096) as client:
        client.send(b"GET /replace HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.head()
        before = -1

        def stands_still() -> bool:
            nonlocal before
            before, now = sent, before
            return before == now

        wait_until(stands_still, "the origin is held back")
        assert sent < 50_000_000


# replace_body

def test_texts_are_replaced_wherever_the_pieces_end(start_bodies, protocol):
    gateway, origin = start_bodies

    async def pieces(exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, 3000, 7):
            part = PAGE[start:start + 7]
            await exchange.send(b"%x\r\n%s\r\n" % (len(part), part))
        await exchange.send(b"0\r\n\r\n")

    origin.script = pieces
    answer = gateway.fetch(protocol, "GET", "/replace?q=%22%3E%3Cscript%3E")
    wanted = PAGE[:3003].replace(b"hello", b"good day").replace(b"<body>", b'<body data-q="&quot;&gt;&lt;script&gt;">')
    assert answer.body == wanted
    wait_until(lambda: gateway.metric("sluice_body_texts_replaced_total") > 0, "replacements are counted")


def test_an_encoded_body_is_replaced_in_and_stays_encoded(start_bodies, protocol):
    gateway, origin = start_bodies
    origin.script = page(gzip.compress(PAGE), Content_Encoding="gzip", ETag='"x"')
    answer = gateway.fetch(protocol, "GET", "/replace?q=1", [("Accept-Encoding", "gzip")])
    assert answer.header("content-encoding") == "gzip" and answer.header("etag") == 'W/"x"'
    assert gzip.decompress(answer.body) == PAGE.replace(b"hello", b"good day").replace(b"<body>", b'<body data-q="1">')


def test_replace_and_compress_together(start_bodies, protocol):
    gateway, origin = start_bodies
    origin.script = page()
    answer = gateway.fetch(protocol, "GET", "/replace-and-compress?q=1", [("Accept-Encoding", "gzip")])
    assert gzip.decompress(answer.body) == PAGE.replace(b"hello", b"good day").replace(b"<body>", b'<body data-q="1">')


def test_other_types_and_unknown_codings_are_left_alone(start_bodies, protocol):
    gateway, origin = start_bodies
    for script in (page(Content_Type="application/octet-stream"), page(Content_Encoding="x-own")):
        origin.script = script
        answer = gateway.fetch(protocol, "GET", "/replace")
        assert answer.body == PAGE and answer.header("content-length") == str(len(PAGE))


def test_a_body_that_is_not_what_it_says_is_never_taken_for_whole(start_bodies, protocol):
    gateway, origin = start_bodies
    origin.script = page(gzip.compress(PAGE)[:-4] + b"oops", Content_Encoding="gzip")
    answer = None
    try:
        answer = gateway.fetch(protocol, "GET", "/replace", [("Accept-Encoding", "gzip")])
    except Exception:  # noqa: BLE001  a cut connection or stream, by protocol
        return
    assert answer.status == 502


# mirror

@pytest.fixture
def second():
    server = Origin()
    yield server
    server.stop()


def test_a_mirror_gets_the_whole_request_and_its_answer_is_dropped(start, origin, second, protocol):
    gateway = start(upstreams=f'copy: {{servers: ["http://127.0.0.1:{second.port}"]}}',
                    request='- do: [{set_header: {X-Set: yes}}, {mirror: copy}]')
    body = bytes(range(256)) * 1000
    answer = gateway.fetch(protocol, "POST", "/a?b=c", [("X-Own", "1")], body)
    assert answer.status == 200 and answer.header("x-origin") == "yes"
    wait_until(lambda: second.requests and second.requests[0].complete, "the copy arrives")
    copy, first = second.requests[0], origin.requests[0]
    assert (copy.method, copy.target, copy.body_length, copy.body_sha256) == ("POST", "/a?b=c", len(body), first.body_sha256)
    assert copy.header("x-set") == "yes" and copy.header("x-own") == "1" and copy.header("x-request-id") == first.header("x-request-id")
    wait_until(lambda: gateway.metric("sluice_mirrored_requests_total", outcome="sent") == 1, "the copy is counted")


def test_a_percentage_is_mirrored(start, origin, second):
    gateway = start(upstreams=f'copy: {{servers: ["http://127.0.0.1:{second.port}"]}}', request='- do: [{mirror: {to: copy, percent: 20}}]')
    with gateway.http1() as client:
        for _ in range(400):
            assert client.request("GET", "/a").status == 200
    wait_until(lambda: gateway.metric("sluice_mirrored_requests_total", outcome="sent") == len(second.requests), "all copies arrived")
    assert 40 <= len(second.requests) <= 130


@pytest.mark.parametrize("mirror", ["stalls", "refuses"])
def test_a_mirror_that_stalls_or_refuses_costs_the_client_nothing(start, origin, second, mirror):
    async def stall(reader, writer) -> bool:
        await second.release.wait()
        return False

    second.on_connect = stall
    if mirror == "refuses":
        second.refuse_new()
    gateway = start(upstreams=f'copy: {{servers: ["http://127.0.0.1:{second.port}"]}}', request='- do: [{mirror: copy}]')
    body = b"x" * 10_000_000
    with gateway.http1() as client:
        for _ in range(3):
            answer = client.request("POST", "/a", body=body)
            assert answer.status == 200
    assert [request.body_length for request in origin.requests] == [len(body)] * 3
    lost = "dropped" if mirror == "stalls" else "failed"
    wait_until(lambda: sum(gateway.metric("sluice_mirrored_requests_total", outcome=each) for each in ("dropped", "failed")) >= 3,
               f"the copies are counted as {lost}")
