"""Floods over HTTP/2: each ends its connection with ENHANCE_YOUR_CALM within a number of frames, is counted by its kind,
and disturbs nobody else. And slow peers: they are judged by what they move."""
import socket
import struct

import pytest

from harness.conformance import INITIAL_WINDOW_SIZE, post, reset, settings, window
from harness.floods import FLOODS, SLOW, WHOLE, bomb, streams
from harness.gateway import rule_file
from harness.http2 import (ACK, CANCEL, COMPRESSION_ERROR, DATA, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS,
                           client_hello, frame)
from harness.waiting import wait_until


@pytest.fixture(scope="module")
def gateway(start_shared):
    """One address floods it again and again here, and is not made to wait for that."""
    return start_shared(limits="flood_pause: 0s")


def goaway_code(client) -> int | None:
    """Reads to the end of the connection; the code of its GOAWAY."""
    code = None
    while (got := client.next_frame()) is not None:
        if got[0] == GOAWAY:
            code = int.from_bytes(got[3][4:8], "big")
    return code


def flood(gateway, frames, kind: str) -> None:
    before = gateway.metric("sluice_http2_floods_total", kind=kind)
    with gateway.http2_raw() as client:
        for number, each in enumerate(frames(client)):
            client.send(each)
            if kind.endswith("heads") and number % 40 == 39:
                client.is_alive()  # their answers are on the way: the limit of streams is another matter
        assert goaway_code(client) == ENHANCE_YOUR_CALM
    wait_until(lambda: gateway.metric("sluice_http2_floods_total", kind=kind) == before + 1, f"the flood of {kind} is counted")
    assert gateway.fetch("http2", "GET", "/bytes/3").status == 200


@pytest.mark.parametrize("kind", FLOODS)
def test_flood_ends_at_its_limit_and_is_counted(gateway, shared_origin, kind):
    flood(gateway, FLOODS[kind], kind)
    assert shared_origin.most_at_once <= 101


def test_a_flood_in_one_write_ends_at_its_limit_too(gateway, shared_origin):
    flood(gateway, lambda client: [b"".join(client.get(each, SLOW) + reset(each) for each in streams(2000))], "resets")
    assert shared_origin.most_at_once <= 101


def test_flips_of_the_initial_window_cost_by_the_streams_they_touch(gateway):
    def frames(client):
        opened = [settings((INITIAL_WINDOW_SIZE, 0))] + [client.get(each, SLOW) for each in streams(80)]
        return opened + [settings((INITIAL_WINDOW_SIZE, 100 + number % 2)) for number in range(150)]
    flood(gateway, frames, "settings")


def test_a_window_opened_byte_by_byte_is_a_flood(gateway):
    """Data dribble: each WINDOW_UPDATE buys one byte."""
    flood(gateway, lambda client: [settings((INITIAL_WINDOW_SIZE, 0)), client.get(1, "/bytes/100000")]
          + [window(1, 1)] * 1100, "window_update")


def test_a_head_four_times_over_the_limit_ends_the_connection_at_once(gateway):
    flood(gateway, lambda client: [bomb(client, 1, 0), bomb(client, 3, 70)], "large_heads")


def test_cookie_crumbs_count_like_other_fields(gateway, shared_origin):
    before = len(shared_origin.requests)
    with gateway.http2_raw() as client:
        crumbs = b"".join(b"\x40\x06cookie\x0a" + b"a=%08d" % number for number in range(150))
        client.send(frame(HEADERS, WHOLE, 1, client.fields() + crumbs))
        got = client.until(HEADERS, 1)
        assert client.is_alive()
    import hpack
    assert (":status", "431") in hpack.Decoder().decode(got[3])
    assert len(shared_origin.requests) == before


def continuations(gateway, **options) -> None:
    with gateway.http2_raw(**options) as client:
        client.send(*FLOODS["continuation"](client))
        assert goaway_code(client) == ENHANCE_YOUR_CALM


def test_whoever_flooded_waits_longer_each_time_and_others_do_not(strict, origin):
    gateway = strict("flood_pause: 300ms")
    held = lambda: gateway.metric("sluice_connections_held_total")  # noqa: E731
    first = gateway.http1(tls=True)
    assert first.request("GET", "/bytes/3").status == 200
    for _ in range(3):
        continuations(gateway)
    assert first.request("GET", "/bytes/3").status == 200, "what is open goes on"
    wait_until(lambda: held() == 1, "the first flood was forgiven; the connection after the second had to wait")
    with gateway.http2_raw(source="127.0.0.2") as other:
        other.send(other.get(1, "/bytes/3"))
        assert other.until(DATA, 1)[3]
    assert held() == 1, "nobody else had to"
    with gateway.http2_raw() as again:
        again.send(again.get(1, "/bytes/3"))
        assert again.until(DATA, 1)[3], "it waits, and is served"
    assert held() == 2, "it is counted"
    first.close()
    early = [socket.create_connection(("127.0.0.1", gateway.ports.secure)) for _ in range(3)]
    for each in early:
        each.sendall(client_hello(gateway.authority))
    wait_until(lambda: held() >= 4, "they wait")
    for each in early:
        each.close()
    wait_until(lambda: gateway.metric("sluice_connections_active") == 0, "whoever leaves while he waits is forgotten")


def test_neighbours_behind_the_address_of_a_flooder_do_not_wait(strict):
    """Many share an address; whoever floods shows by his handshake who he is."""
    gateway = strict("flood_pause: 20s")
    for _ in range(2):
        continuations(gateway)
    answer = gateway.fetch("http1", "GET", "/bytes/3")
    assert answer.status == 200, "in plaintext"
    with gateway.http1(tls=True) as neighbour:
        assert neighbour.request("GET", "/bytes/3").status == 200, "with another handshake"
    assert gateway.metric("sluice_connections_held_total") == 0


def test_an_address_that_floods_under_many_names_waits_as_a_whole(strict):
    gateway = strict("flood_pause: 400ms")
    suites = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]
    for count in range(1, 7):
        ciphers = ":".join([*suites, "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"][:count])
        continuations(gateway, ciphers=ciphers)
    with gateway.http1(tls=True) as client:
        assert client.request("GET", "/bytes/3").status == 200
    wait_until(lambda: gateway.metric("sluice_connections_held_total") >= 1, "whoever comes from there waits")


def test_the_table_of_compressed_heads_is_configured(strict):
    gateway = strict("header_table: 1KiB")
    resized = b"\x3f\xe1\x07"  # the encoder says that it uses 1,024 bytes, as it has to (RFC 7541 section 4.2)
    for begins, code in ((resized, None), (b"", COMPRESSION_ERROR)):
        with gateway.http2_raw() as client:
            told = client.until(SETTINGS)[3]
            assert struct.pack(">HI", 1, 1024) in [told[at:at + 6] for at in range(0, len(told), 6)]
            client.send(frame(SETTINGS, ACK, 0), frame(HEADERS, WHOLE, 1, begins + client.fields("/bytes/3")))
            if code is None:
                assert client.until(DATA, 1)[3]
            else:
                assert goaway_code(client) == code


def test_streams_that_were_reset_count_until_their_work_has_ended(start, origin):
    async def hold(exchange):
        await origin.release.wait()

    origin.script = hold
    gateway = start()
    with gateway.http2_raw() as client:
        for each in streams(190):
            client.send(client.get(each) + reset(each))
        assert client.is_alive()
        assert origin.most_at_once <= 100
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "nothing is left of them")


# Slow peers

@pytest.fixture
def strict(start, origin, certificates):
    """A gateway whose limits are a second or less."""
    def make(limits: str):
        return start(rules=lambda ports: rule_file(ports, certificates, origin.port) + f"limits: {{{limits}}}\n")
    return make


def test_a_stream_whose_window_stays_shut_is_reset_and_its_origin_let_go(strict, origin):
    gateway = strict("write_stall: 500ms, head_timeout: 200ms")
    with gateway.http2_raw(settings=struct.pack(">HI", INITIAL_WINDOW_SIZE, 0)) as client:
        client.send(client.get(1, "/bytes/5000000"))
        assert int.from_bytes(client.until(RST_STREAM, 1)[3], "big") == CANCEL
        assert client.is_alive()
    wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="write_stall") == 1, "it is counted")
    wait_until(lambda: origin.at_once == 0, "the origin is let go")


def test_a_reader_that_takes_too_little_is_a_stalled_one(strict):
    gateway = strict("write_stall: 500ms, head_timeout: 200ms, write_rate: 1KiB")
    with gateway.http2_raw(settings=struct.pack(">HI", INITIAL_WINDOW_SIZE, 10)) as client:
        client.send(client.get(1, "/bytes/5000000"))
        while (got := client.next_frame()) is not None and got[0] != RST_STREAM:
            if got[0] == DATA:
                gateway.fetch("http1", "GET", "/slow/50")  # not so fast that it would be a flood
                client.send(window(1, 1))
        assert got and int.from_bytes(got[3], "big") == CANCEL


@pytest.mark.parametrize("fields, told", [
    ([], (":status", "408")), ([("content-length", "0")], (":status", "408")),
    ([("content-length", "0"), ("content-type", "application/grpc")], ("grpc-message", "408 Request Timeout"))], ids=["body", "no body", "grpc without a body"])
def test_a_request_that_makes_no_progress_is_408(strict, origin, fields, told):
    """Be it that its body stops or that its stream does not end."""
    gateway = strict("body_rate_time: 300ms, body_rate_bytes: 1KiB")
    with gateway.http2_raw() as client:
        client.send(post(client, 1, fields), *([] if fields else [frame(DATA, 0, 1, b"a little")]))
        import hpack
        assert told in hpack.Decoder().decode(client.until(HEADERS, 1)[3])
        assert client.is_alive()
    wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="body") == 1, "it is counted")
    assert not fields or not origin.requests


def test_a_grpc_call_may_rest(strict, origin):
    gateway = strict("body_rate_time: 100ms")
    with gateway.http2_raw() as client:
        client.send(post(client, 1, [("content-type", "application/grpc+proto"), ("te", "trailers")]))
        client.send(client.get(3, "/slow/700"))
        assert client.until(DATA, 3)[3]
        client.send(frame(DATA, END_STREAM, 1, b"message"))
        assert client.until(HEADERS, 1)[3][:1] == b"\x88"


def test_a_head_that_never_ends_closes_the_connection(strict):
    gateway = strict("head_timeout: 300ms")
    with gateway.http2_raw() as client:
        client.send(frame(HEADERS, END_STREAM, 1, client.fields()))
        assert goaway_code(client) == 0
    wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="head") == 1, "it is counted")


def test_pings_do_not_keep_an_idle_connection(strict):
    gateway = strict("keep_alive: 400ms")
    with gateway.http2_raw() as client:
        while True:
            client.send(frame(PING, 0, 0, bytes(8)))
            gateway.fetch("http1", "GET", "/slow/50")  # not so fast that it would be a flood
            got = client.next_frame()
            if got is None or got[0] == GOAWAY:
                break
    wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="idle") == 1, "it is counted")
