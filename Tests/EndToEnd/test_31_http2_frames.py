"""Frames that RFC 9113 forbids: a stream error resets its stream, a connection error ends the connection."""
import contextlib
import struct

import pytest

from harness import http2
from harness.http2 import (ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM,
                           FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
                           PROTOCOL_ERROR, PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, frame)
from harness.waiting import wait_until


@pytest.fixture(scope="module")
def gateway(start_shared):
    return start_shared()


def window(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def setting(identifier: int, value: int) -> bytes:
    return struct.pack(">HI", identifier, value)


# name: (frames after preface and SETTINGS, error codes that may be named in GOAWAY)
CONNECTION_ERRORS = {
    "DATA on stream 0": (frame(DATA, 0, 0, b"x"), {PROTOCOL_ERROR}),
    "DATA on an idle stream": (frame(DATA, 0, 1, b"x"), {PROTOCOL_ERROR, STREAM_CLOSED}),
    "HEADERS on stream 0": (frame(HEADERS, 5, 0, b"\x82"), {PROTOCOL_ERROR}),
    "HEADERS on an even stream": (frame(HEADERS, 5, 2, b"\x82\x87\x84\x01\x01a"), {PROTOCOL_ERROR}),
    "frame larger than allowed": (frame(PING, 0, 0, bytes(16385)), {FRAME_SIZE_ERROR}),
    "PING of 7 bytes": (frame(PING, 0, 0, bytes(7)), {FRAME_SIZE_ERROR}),
    "PING of 9 bytes": (frame(PING, 0, 0, bytes(9)), {FRAME_SIZE_ERROR}),
    "PING on a stream": (frame(PING, 0, 1, bytes(8)), {PROTOCOL_ERROR}),
    "SETTINGS of 5 bytes": (frame(SETTINGS, 0, 0, bytes(5)), {FRAME_SIZE_ERROR}),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 1, bytes(6)), {PROTOCOL_ERROR}),
    "SETTINGS ACK with payload": (frame(SETTINGS, ACK, 0, bytes(6)), {FRAME_SIZE_ERROR}),
    "SETTINGS push of 2": (frame(SETTINGS, 0, 0, setting(2, 2)), {PROTOCOL_ERROR}),
    "SETTINGS window of 2^31": (frame(SETTINGS, 0, 0, setting(4, 1 << 31)), {FLOW_CONTROL_ERROR}),
    "SETTINGS frame size of 1": (frame(SETTINGS, 0, 0, setting(5, 1)), {PROTOCOL_ERROR}),
    "SETTINGS frame size of 2^24": (frame(SETTINGS, 0, 0, setting(5, 1 << 24)), {PROTOCOL_ERROR}),
    "RST_STREAM on stream 0": (frame(RST_STREAM, 0, 0, bytes(4)), {PROTOCOL_ERROR}),
    "RST_STREAM on an idle stream": (frame(RST_STREAM, 0, 1, bytes(4)), {PROTOCOL_ERROR}),
    "PRIORITY on stream 0": (frame(PRIORITY, 0, 0, bytes(5)), {PROTOCOL_ERROR}),
    "GOAWAY on a stream": (frame(GOAWAY, 0, 1, bytes(8)), {PROTOCOL_ERROR}),
    "GOAWAY too short": (frame(GOAWAY, 0, 0, bytes(7)), {FRAME_SIZE_ERROR}),
    "PUSH_PROMISE from a client": (frame(PUSH_PROMISE, 4, 1, bytes(4) + b"\x82"), {PROTOCOL_ERROR}),
    "WINDOW_UPDATE of 3 bytes": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), {FRAME_SIZE_ERROR}),
    "WINDOW_UPDATE of 0 on the connection": (window(0, 0), {PROTOCOL_ERROR}),
    "WINDOW_UPDATE overflow on the connection": (window(0, 0x7FFFFFFF), {FLOW_CONTROL_ERROR}),
    "WINDOW_UPDATE on an idle stream": (window(1, 1), {PROTOCOL_ERROR}),
    "CONTINUATION without HEADERS": (frame(CONTINUATION, 4, 1, b"\x82"), {PROTOCOL_ERROR}),
    "PING inside a field block": (frame(HEADERS, END_STREAM, 1, b"\x82") + frame(PING, 0, 0, bytes(8)), {PROTOCOL_ERROR}),
    "CONTINUATION on another stream": (frame(HEADERS, END_STREAM, 1, b"\x82") + frame(CONTINUATION, 4, 3, b"\x87"),
                                       {PROTOCOL_ERROR}),
    "padding longer than the frame": (frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff\x82"), {PROTOCOL_ERROR}),
    "HPACK index 0": (frame(HEADERS, 5, 1, b"\x80"), {COMPRESSION_ERROR}),
    "HPACK index beyond the table": (frame(HEADERS, 5, 1, b"\xff\xff\x01"), {COMPRESSION_ERROR}),
    "HPACK string cut short": (frame(HEADERS, 5, 1, b"\x00\x05ab"), {COMPRESSION_ERROR}),
    "HPACK table size beyond ours": (frame(HEADERS, 5, 1, b"\x3f\xe1\xff\x03\x82\x87\x84"), {COMPRESSION_ERROR}),
    "HPACK integer without end": (frame(HEADERS, 5, 1, b"\xff" + b"\xff" * 20), {COMPRESSION_ERROR}),
    "HPACK Huffman with EOS": (frame(HEADERS, 5, 1, b"\x00\x84\xff\xff\xff\xff\x01a"), {COMPRESSION_ERROR}),
}


@pytest.mark.parametrize("name", CONNECTION_ERRORS)
def test_connection_error(gateway, name):
    frames, codes = CONNECTION_ERRORS[name]
    with gateway.http2_raw() as client:
        client.send(frames)
        verdict, code = client.verdict()
        assert (verdict, code) in {("goaway", each) for each in codes}
        while client.next_frame() is not None:  # and then the connection ends
            pass


@pytest.mark.parametrize("preface", [b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                     b"\0" * 24], ids=["wrong ending", "HTTP/1.1", "zeroes"])
def test_bad_preface_ends_the_connection(gateway, preface):
    with gateway.http2_raw(preface=preface) as client:
        verdict, code = client.verdict()
        assert (verdict, code) in (("goaway", PROTOCOL_ERROR), ("closed", 0))


def test_first_frame_must_be_settings(gateway):
    with gateway.http2_raw(preface=b"") as client:
        client.send(http2.PREFACE, frame(PING, 0, 0, bytes(8)))
        verdict, code = client.verdict()
        assert (verdict, code) in (("goaway", PROTOCOL_ERROR), ("closed", 0))


# name: (pseudo-fields and fields, in order). None of them may reach an origin.
PATH, METHOD, SCHEME, AUTHORITY = (":path", "/"), (":method", "GET"), (":scheme", "https"), (":authority", "localhost")
GOOD = [METHOD, SCHEME, AUTHORITY, PATH]
MALFORMED = {
    "upper-case name": [*GOOD, ("X-Upper", "1")], "connection": [*GOOD, ("connection", "close")],
    "transfer-encoding": [*GOOD, ("transfer-encoding", "chunked")], "keep-alive": [*GOOD, ("keep-alive", "1")],
    "proxy-connection": [*GOOD, ("proxy-connection", "close")], "upgrade": [*GOOD, ("upgrade", "h2c")],
    "te other than trailers": [*GOOD, ("te", "gzip")], "no path": [METHOD, SCHEME, AUTHORITY],
    "no method": [SCHEME, AUTHORITY, PATH], "no scheme": [METHOD, AUTHORITY, PATH], "two paths": [*GOOD, PATH],
    "two methods": [*GOOD, METHOD], "two authorities": [*GOOD, AUTHORITY], "empty path": [METHOD, SCHEME, AUTHORITY, (":path", "")],
    "path without slash": [METHOD, SCHEME, AUTHORITY, (":path", "index")],
    "path with space": [METHOD, SCHEME, AUTHORITY, (":path", "/a b")],
    "path with CR LF": [METHOD, SCHEME, AUTHORITY, (":path", "/a\r\nX: y")],
    "path with NUL": [METHOD, SCHEME, AUTHORITY, (":path", "/a\0b")],
    "method with space": [(":method", "GE T"), SCHEME, AUTHORITY, PATH], "empty method": [(":method", ""), SCHEME, AUTHORITY, PATH],
    "late pseudo-field": [METHOD, SCHEME, AUTHORITY, ("x-a", "1"), PATH], "unknown pseudo-field": [*GOOD, (":other", "1")],
    "response pseudo-field": [*GOOD, (":status", "200")], "protocol without CONNECT": [*GOOD, (":protocol", "websocket")],
    "name with space": [*GOOD, ("x a", "1")], "name with colon": [*GOOD, ("x:a", "1")], "empty name": [*GOOD, ("", "1")],
    "name with CR LF": [*GOOD, ("x\r\ny", "1")], "value with CR LF": [*GOOD, ("x-a", "1\r\nx-b: 2")],
    "value with LF": [*GOOD, ("x-a", "1\n2")], "value with NUL": [*GOOD, ("x-a", "1\x002")],
    "value starting with space": [*GOOD, ("x-a", " 1")], "value ending with tab": [*GOOD, ("x-a", "1\t")],
    "host differs from authority": [*GOOD, ("host", "other.example")], "bad authority": [METHOD, SCHEME, (":authority", "a b"), PATH],
    "user in authority": [METHOD, SCHEME, (":authority", "u@localhost"), PATH],
    "content-length that is no number": [*GOOD, ("content-length", "x")], "content-length with sign": [*GOOD, ("content-length", "+0")],
    "two content-lengths": [*GOOD, ("content-length", "0"), ("content-length", "1")],
    "content-length with END_STREAM": [*GOOD, ("content-length", "5")],
    "method that is a request line": [(":method", "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"), SCHEME, AUTHORITY, PATH],
    "method with CR": [(":method", "GET\r"), SCHEME, AUTHORITY, PATH], "method with colon": [(":method", "GET:"), SCHEME, AUTHORITY, PATH],
    "scheme with CR LF": [METHOD, (":scheme", "https\r\nX: y"), AUTHORITY, PATH],
    "scheme that is an URL": [METHOD, (":scheme", "http://evil/?"), AUTHORITY, PATH],
    "scheme with space": [METHOD, (":scheme", "http x"), AUTHORITY, PATH], "empty scheme": [METHOD, (":scheme", ""), AUTHORITY, PATH],
    "two schemes": [*GOOD, SCHEME],
    "authority with CR LF": [METHOD, SCHEME, (":authority", "localhost\r\nX: y"), PATH],
    "authority with path": [METHOD, SCHEME, (":authority", "localhost/admin"), PATH],
    "authority with query": [METHOD, SCHEME, (":authority", "localhost?x"), PATH],
    "authority with fragment": [METHOD, SCHEME, (":authority", "localhost#"), PATH],
    "authority with backslash": [METHOD, SCHEME, (":authority", "localhost\\@evil"), PATH],
    "authority that is a list": [METHOD, SCHEME, (":authority", "localhost, evil"), PATH],
    "authority with NUL": [METHOD, SCHEME, (":authority", "localhost\x00"), PATH],
    "empty authority": [METHOD, SCHEME, (":authority", ""), PATH], "neither authority nor host": [METHOD, SCHEME, PATH],
    "two hosts": [METHOD, SCHEME, PATH, ("host", "localhost"), ("host", "localhost")],
    "path with LF": [METHOD, SCHEME, AUTHORITY, (":path", "/a\nX: y")], "path with tab": [METHOD, SCHEME, AUTHORITY, (":path", "/a\tb")],
    "path that is an URL": [METHOD, SCHEME, AUTHORITY, (":path", "http://evil/")],
    "path that is a request line": [METHOD, SCHEME, AUTHORITY, (":path", "/ HTTP/1.1\r\nHost: x\r\n\r\nGET /smuggled")],
    "path with fragment": [METHOD, SCHEME, AUTHORITY, (":path", "/a#b")], "asterisk with GET": [METHOD, SCHEME, AUTHORITY, (":path", "*")],
    "path with DEL": [METHOD, SCHEME, AUTHORITY, (":path", "/a\x7f")],
    "name ending with space": [*GOOD, ("x-a ", "1")], "content-length ending with space": [*GOOD, ("content-length ", "0")],
    "name ending with colon": [*GOOD, ("transfer-encoding:", "chunked")], "name with LF": [*GOOD, ("x\ny", "1")],
    "name with NUL": [*GOOD, ("x\x00", "1")], "name above ASCII": [*GOOD, ("x\xc3\xa9", "1")],
    "upper-case transfer-encoding": [*GOOD, ("Transfer-Encoding", "chunked")],
    "value with CR": [*GOOD, ("x-a", "1\r2")], "value ending with CR LF": [*GOOD, ("x-a", "1\r\n")],
    "value that smuggles a request": [*GOOD, ("x-a", "1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x")],
    "cookie with CR LF": [*GOOD, ("cookie", "a=b\r\nx: y")], "te with trailers and more": [*GOOD, ("te", "trailers, chunked")],
    "http2-settings with upgrade": [*GOOD, ("upgrade", "h2c"), ("http2-settings", "AAMAAABkAAQAAP__")],
    "content-length list": [*GOOD, ("content-length", "0, 0")], "content-length beyond numbers": [*GOOD, ("content-length", "1" * 30)],
    "empty content-length": [*GOOD, ("content-length", "")],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_head_is_a_stream_error_and_nothing_reaches_the_origin(gateway, shared_origin, name):
    before = shared_origin.raw
    with gateway.http2_raw() as client:
        block = client.encoder.encode([(key.encode("latin-1"), value.encode("latin-1")) for key, value in MALFORMED[name]],
                                      huffman=False)
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
        refused = None
        while refused is None:
            got = client.next_frame()
            assert got is not None, "the gateway closed without a word"
            if got[0] == RST_STREAM:
                refused = int.from_bytes(got[3][:4], "big") == PROTOCOL_ERROR
            elif got[0] == GOAWAY:
                refused = int.from_bytes(got[3][4:8], "big") == PROTOCOL_ERROR
            elif got[0] == HEADERS:  # an answer with 4xx refuses as well (RFC 9113 section 8.1.1)
                refused = client_status(got[3]) in (400, 421)
        assert refused
    assert shared_origin.raw == before


def client_status(block: bytes) -> int:
    import hpack
    return int(next(value for name, value in hpack.Decoder().decode(block) if name == ":status"))


@pytest.mark.parametrize("trailer", [("x-a", "1\r\nx-b: 2"), (":path", "/"), ("transfer-encoding", "chunked"), ("content-length", "0"), ("X-A", "1"),
                                     ("host", "evil")], ids=lambda trailer: trailer[0])
def test_trailers_smuggle_nothing(gateway, shared_origin, trailer):
    """A stream error, or the field stays behind: framing and routing are never read from a trailer (RFC 9110 section 6.5.1)."""
    before = len(shared_origin.requests)
    with gateway.http2_raw() as client:
        client.send(frame(HEADERS, END_HEADERS, 1, client.fields("/up", "POST")), frame(DATA, 0, 1, b"hello"))
        block = client.encoder.encode([(trailer[0].encode(), trailer[1].encode())], huffman=False)
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
        client.verdict()
    for each in shared_origin.requests[before:]:
        assert not each.complete or (each.body, each.trailers) == (b"hello", [])


@pytest.mark.parametrize("warm", [True, False], ids=["origin-connected", "origin-unconnected"])
@pytest.mark.parametrize("length,sent", [(5, 4), (5, 6), (0, 1)])
def test_body_that_belies_its_length_is_a_stream_error(start, origin, length, sent, warm):
    """Whether or not a connection to the origin waits, which takes a request at once."""
    gateway = start()
    if warm:
        assert gateway.fetch("http1", "GET", "/bytes/1").status == 200
    with gateway.http2_raw() as client:
        block = client.fields("/up", "POST", [("content-length", str(length))])
        client.send(frame(HEADERS, END_HEADERS, 1, block), frame(DATA, END_STREAM, 1, bytes(sent)))
        assert client.verdict() == ("reset", PROTOCOL_ERROR)
        assert client.is_alive()
    assert gateway.fetch("http1", "GET", "/bytes/2").status == 200
    assert not any(request.complete for request in origin.requests if request.method == "POST")


@pytest.mark.parametrize("more", ["nothing", "a byte", "trailers"])
def test_a_request_without_a_body_goes_on_when_its_stream_ends(start, origin, more):
    """The head alone is a whole request to an origin: it may have it only when nothing can belie it any more."""
    gateway = start()
    assert gateway.fetch("http1", "GET", "/bytes/1").status == 200
    with gateway.http2_raw() as client:
        client.send(frame(HEADERS, END_HEADERS, 1, client.fields("/up", "POST", [("content-length", "0")])))
        assert client.is_alive()
        assert gateway.fetch("http1", "GET", "/bytes/2").status == 200
        assert not any(request.method == "POST" for request in origin.requests)
        if more == "a byte":
            client.send(frame(DATA, END_STREAM, 1, b"x"))
            assert client.verdict() == ("reset", PROTOCOL_ERROR)
        else:
            trailers = frame(HEADERS, END_STREAM | END_HEADERS, 1, client.encoder.encode([("x-sum", "1")]))
            client.send(frame(DATA, END_STREAM, 1) if more == "nothing" else trailers)
            assert client_status(client.until(HEADERS, 1)[3]) == 200
    assert gateway.fetch("http1", "GET", "/bytes/3").status == 200
    seen = [request for request in origin.requests if request.method == "POST"]
    assert [(each.header("content-length"), each.complete) for each in seen] == ([] if more == "a byte" else [("0", True)])


# name: frames on a stream that is open; the verdict is a reset (or the end of the connection) with one of the codes
STREAM_ERRORS = {
    "WINDOW_UPDATE of 0": (window(1, 0), {PROTOCOL_ERROR}),
    "WINDOW_UPDATE overflow": (window(1, 0x7FFFFFFF), {FLOW_CONTROL_ERROR}),
    "PRIORITY of 4 bytes": (frame(PRIORITY, 0, 1, bytes(4)), {FRAME_SIZE_ERROR}),
    "RST_STREAM of 3 bytes": (frame(RST_STREAM, 0, 1, bytes(3)), {FRAME_SIZE_ERROR}),
    "stream that depends on itself": (frame(PRIORITY, 0, 1, struct.pack(">IB", 1, 1)), {PROTOCOL_ERROR}),
    "second HEADERS without END_STREAM": (frame(HEADERS, END_HEADERS, 1, b"\x00\x01a\x01b"), {PROTOCOL_ERROR}),
    "DATA with padding longer than itself": (frame(DATA, PADDED, 1, b"\x05ab"), {PROTOCOL_ERROR}),
    "more DATA than the window": (b"".join(frame(DATA, 0, 1, bytes(16384)) for _ in range(200)), {FLOW_CONTROL_ERROR}),
}


@pytest.mark.parametrize("name", STREAM_ERRORS)
def test_stream_error(start, origin, name):
    async def wait(reader, writer):
        await origin.release.wait()
        return False

    origin.on_connect = wait
    gateway = start()
    frames, codes = STREAM_ERRORS[name]
    with gateway.http2_raw() as client:
        client.send(frame(HEADERS, END_HEADERS, 1, client.fields("/up", "POST")), frames)
        verdict, code = client.verdict()
        assert verdict in ("reset", "goaway") and code in codes


def test_data_after_the_end_of_a_stream(gateway):
    with gateway.http2_raw() as client:
        client.send(client.get(1, "/bytes/10"))
        client.until(DATA, 1)
        client.send(frame(DATA, 0, 1, b"late"))
        verdict, code = client.verdict()
        assert verdict == "goaway" and code == STREAM_CLOSED


def test_stream_number_that_goes_back(gateway):
    with gateway.http2_raw() as client:
        client.send(client.get(5, "/bytes/10"))
        client.until(DATA, 5)
        client.send(client.get(3, "/bytes/10"))
        verdict, code = client.verdict()
        assert verdict == "goaway" and code in (PROTOCOL_ERROR, STREAM_CLOSED)


def test_unknown_frames_and_settings_are_ignored(gateway):
    with gateway.http2_raw() as client:
        client.send(frame(0x77, 0xFF, 0, b"whatever"), frame(SETTINGS, 0, 0, setting(0x7777, 1)), client.get(1, "/bytes/10"))
        assert client.until(DATA, 1)[3]
        assert client.is_alive()


def test_what_needs_no_answer_leaves_no_memory_held(start):
    """The last that a client sends is often an acknowledgement or an open window: its connection is idle after it."""
    gateway = start()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(gateway.http2_raw())
            client.send(client.get(1, "/bytes/10"))
            client.until(DATA, 1)
            client.send(frame(SETTINGS, ACK, 0), window(0, 1))
        # Read after all of those.
        assert gateway.fetch("http2", "GET", "/bytes/10").status == 200
        wait_until(lambda: gateway.metric("sluice_slabs_live") == 0, "all slabs are back")
