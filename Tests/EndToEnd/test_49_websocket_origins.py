"""WebSocket to origins that speak HTTP/2, by extended CONNECT (RFC 8441), for clients of either version."""
import base64
import hashlib

import pytest

from harness.origin2 import Origin2, Stream
from harness.waiting import wait_until
from test_34_http2_features import open_websocket, send

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PROOF = base64.b64encode(hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
UPGRADE = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13"),
           ("Sec-WebSocket-Protocol", "chat")]


@pytest.fixture
def echoing():
    made = Origin2(connects=True)
    made.script = Stream.echo
    yield made
    made.stop()


def chat(origin2: Origin2, options: str = "") -> dict[str, str]:
    return {"upstreams": f'chat:\n  servers: ["h2c://127.0.0.1:{origin2.port}"]\n  {options}\n',
            "request": "- {name: chat, match: {path: /chat}, do: [{route: chat}]}"}


def upgraded(gateway, tls: bool = False):
    client = gateway.http1(tls=tls)
    client.send(b"GET /chat HTTP/1.1\r\nHost: localhost\r\n" + "".join(f"{n}: {v}\r\n" for n, v in UPGRADE).encode() + b"\r\n")
    return client, client.head()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_upgrade_becomes_a_stream(start, echoing, tls):
    gateway = start(**chat(echoing))
    client, head = upgraded(gateway, tls)
    with client:
        assert head.status == 101 and head.header("upgrade").lower() == "websocket"
        assert head.header("sec-websocket-accept") == PROOF, "the gateway proves what HTTP/2 has no proof of"
        for payload in (b"hello", bytes(range(256)) * 2000):
            client.send(payload)
            assert client.exactly(len(payload)) == payload
        asked = echoing.requests[0]
        assert asked.header(":method") == "CONNECT" and asked.header(":protocol") == "websocket" and asked.header(":path") == "/chat"
        assert asked.header("sec-websocket-key") is None and asked.header("sec-websocket-protocol") == "chat"
    wait_until(lambda: asked.complete.is_set(), "the origin hears of the end")
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "nothing is left of it")


def test_a_stream_becomes_a_stream(start, echoing):
    gateway = start(**chat(echoing))
    with gateway.http2() as client:
        stream = open_websocket(client)
        answer = client.responses[stream]
        assert answer.status == 200 and answer.header("sec-websocket-accept") is None
        for payload in (b"hello", bytes(range(256)) * 2000):
            send(client, stream, payload)
            client.receive_until(lambda: len(answer.body) >= len(payload), "the echo")
            assert bytes(answer.body) == payload
            answer.body = b""
        gateway.reload(gateway.file.read_text() + "# changed\n")
        send(client, stream, b"still here")
        client.receive_until(lambda: answer.body, "the echo")
        client.h2.end_stream(stream)
        client.flush()
        client.receive_until(lambda: stream in client.finished, "the end")
        assert stream not in client.resets, "each side ends in its own time"
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "nothing is left of it")
    assert gateway.metric("sluice_bugs_total") == 0


def test_many_share_a_connection_with_requests(start, echoing):
    gateway = start(**chat(echoing))
    with gateway.http2() as client:
        streams = [open_websocket(client) for _ in range(20)]
        for each in streams:
            send(client, each, b"number %d" % each)
        for each in streams:
            client.receive_until(lambda: client.responses[each].body, "the echo")
            assert client.responses[each].body == b"number %d" % each
    assert len(echoing.connections) == 1
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "all end with their client")


def test_an_origin_that_ends_or_breaks_the_stream_ends_the_tunnel(start, echoing):
    async def short(stream: Stream) -> None:
        await stream.head()
        await stream.data(b"bye")
        stream.cut(8)

    echoing.script = short
    client, head = upgraded(start(**chat(echoing)))
    with client:
        assert head.status == 101
        assert client.rest() == b"bye"


@pytest.mark.parametrize("status", [403, 500])
def test_an_origin_that_refuses_answers_as_usual(start, echoing, status):
    async def refuse(stream: Stream) -> None:
        await stream.answer(status, b"no")

    echoing.script = refuse
    gateway = start(**chat(echoing))
    client, head = upgraded(gateway)
    with client:
        assert head.status == status
    assert gateway.fetch("http1", "GET", "/bytes/3").status == 200


def test_an_origin_that_allows_no_extended_connect_is_a_bad_gateway(start):
    origin2 = Origin2()
    try:
        gateway = start(**chat(origin2))
        for _ in range(2):
            client, head = upgraded(gateway)
            with client:
                assert head.status == 502
        assert origin2.requests == [] and len(origin2.connections) == 1
    finally:
        origin2.stop()


def test_a_tunnel_in_which_nobody_says_anything_ends(start, echoing):
    gateway = start(**chat(echoing, "timeouts: {idle: 300ms}"))
    client, head = upgraded(gateway)
    with client:
        assert head.status == 101
        assert client.rest() == b""
