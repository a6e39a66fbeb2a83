"""Servers that come, go, answer slowly or say that they do not serve, under load that is not the same for all."""
import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.origin import Exchange, Origin, answer_by_path, many
from harness.origin2 import Origin2, Stream
from harness.waiting import wait_until

ROUTE = "- {name: many, do: [{route: many}]}\n"


@pytest.fixture
def three() -> Iterator[list[Origin]]:
    servers = [Origin() for _ in range(3)]
    yield servers
    for server in servers:
        if not server.loop.is_closed():
            server.stop()


def test_a_new_server_gets_little_at_first(start, three):
    gateway = start(upstreams=many(three[:2], "slow_start: 10m"), request=ROUTE)
    for _ in range(4):
        assert gateway.fetch("http1", "GET", "/").status == 200
    assert [len(each.requests) for each in three] == [2, 2, 0], "those of the start have their full share"
    gateway.reload(gateway.file.read_text().replace(f':{three[1].port}"]', f':{three[1].port}", "http://127.0.0.1:{three[2].port}"]'))
    with gateway.http1() as client:
        for _ in range(84):
            assert client.request("GET", "/").status == 200
    assert 3 <= len(three[2].requests) <= 5, "a tenth of a share: one of 21"


def test_least_requests_spares_a_slow_server(start, three):
    async def slow(exchange: Exchange) -> None:
        exchange.request.target = "/slow/300"
        await answer_by_path(exchange)

    three[0].script = slow
    gateway = start(upstreams=many(three, "balance: least_requests"), request=ROUTE)

    def ask(_: int) -> None:
        with gateway.http1() as client:
            for _ in range(40):
                assert client.request("GET", "/status/200").status == 200

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))
    counts = [len(each.requests) for each in three]
    assert sum(counts) == 240 and counts[0] < min(counts[1:]), counts


def test_weights_hold_under_load_and_when_one_is_out(start, three):
    urls = ", ".join(f"{{url: \"http://127.0.0.1:{each.port}\", weight: {weight}}}" for each, weight in zip(three, (6, 3, 1)))
    gateway = start(upstreams=f"many:\n  servers: [{urls}]\n  retry: {{tries: 2}}\n", request=ROUTE)
    with gateway.http1() as client:
        for _ in range(100):
            assert client.request("GET", "/").status == 200
    assert [len(each.requests) for each in three] == [60, 30, 10]
    three[0].stop()
    with gateway.http1() as client:
        for _ in range(80):
            assert client.request("GET", "/").status == 200
    more = [len(each.requests) for each in three]
    assert more[1] + more[2] >= 40 + 79 and 2.5 <= (more[1] - 30) / (more[2] - 10) <= 3.5, more


@pytest.mark.parametrize("two", [False, True], ids=["http1", "http2"])
def test_long_answers_of_a_removed_server_come_to_their_end(start, origin, two):
    go_on, seen = asyncio.Event(), []

    async def stream2(stream: Stream) -> None:
        await stream.head(200)
        await stream.data(b"half")
        seen.append(1)
        await go_on.wait()
        await stream.data(b"x" * 300_000, end=True)

    async def stream1(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        seen.append(1)
        await go_on.wait()
        await exchange.send(b"493e0\r\n" + b"x" * 300_000 + b"\r\n0\r\n\r\n")

    server = Origin2() if two else Origin()
    server.script = stream2 if two else stream1
    try:
        gateway = start(upstreams=f'many: {{servers: ["{"h2c" if two else "http"}://127.0.0.1:{server.port}"]}}', request=ROUTE)
        with gateway.http2() as client, gateway.http1() as other:
            stream = client.start("GET", "/")
            other.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: len(seen) == 2, "both are served")
            gateway.reload(gateway.file.read_text().replace(f':{server.port}"]', f':{origin.port}"]').replace("h2c:", "http:"))
            wait_until(lambda: gateway.fetch("http1", "GET", "/").status == 200 and origin.requests, "new requests go elsewhere")
            server.call(go_on.set)
            assert client.response(stream).body == b"half" + b"x" * 300_000
            assert other.response().body == b"half" + b"x" * 300_000
        wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "nothing is left")
    finally:
        server.stop()


GRPC = {
    "serving": (200, b"\0\0\0\0\2\x08\1", "0", "up"), "not serving": (200, b"\0\0\0\0\2\x08\2", "0", "down"),
    "unimplemented": (200, b"", "12", "down"), "unavailable": (200, b"", "14", "down"), "unknown service": (200, b"", "5", "down"),
    "serving and then a failure": (200, b"\0\0\0\0\2\x08\1", "13", "down"), "http status": (503, b"", None, "down"), "nothing": (200, b"", None, "down"),
}


@pytest.mark.parametrize("name", GRPC)
@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "tls"])
def test_what_the_health_service_says(start, certificates, name, tls):
    status, body, code, verdict = GRPC[name]
    asked = []

    async def answer(stream: Stream) -> None:
        await stream.complete.wait()
        asked.append((stream.path, stream.header("content-type"), stream.header("te"), bytes(stream.body)))
        trailers = [("grpc-status", code)] if code else []
        if not body:
            return await stream.head(status, [("content-type", "application/grpc"), *trailers], end=True)
        await stream.head(status, [("content-type", "application/grpc")])
        await stream.data(body)
        await stream.finish(trailers)

    server = Origin2(tls=certificates if tls else None)
    server.script = answer
    try:
        url = f'"{"https" if tls else "h2c"}://localhost:{server.port}"'
        more = f"protocol: http2\n  tls: {{ca: {certificates}/ca.crt}}\n  " if tls else ""
        gateway = start(upstreams=f"many:\n  servers: [{url}]\n  {more}health: {{type: grpc, service: shop.Cart, every: 30ms}}\n", request=ROUTE)
        wait_until(lambda: gateway.metric("sluice_health_checks_total", result="pass" if verdict == "up" else "fail") >= 2, "it is asked")
        assert gateway.metric("sluice_health_changes_total", to="down") == (verdict == "down")
        assert asked[0] == ("/grpc.health.v1.Health/Check", "application/grpc", "trailers", b"\0\0\0\0\x0b\x0a\x09shop.Cart")
    finally:
        server.stop()


# What belongs to one hop


def test_a_loop_over_http2_ends(start, certificates):
    """The gateway is its own origin, by prior knowledge."""
    from harness.gateway import rule_file

    def make(ports):
        text = rule_file(ports, certificates, 9, upstreams=f'self: {{servers: ["h2c://127.0.0.1:{ports.plain}"]}}', request="- {name: self, do: [{route: self}]}")
        return text.replace(f'address: "127.0.0.1:{ports.plain}"', f'address: "127.0.0.1:{ports.plain}", protocols: [http2, http1]')

    gateway = start(rules=make)
    for protocol in ("http1", "http2"):
        assert gateway.fetch(protocol, "GET", "/").status == 508
    wait_until(lambda: len(gateway.access_log()) == 8, "four rounds each, the last of which is refused")


@pytest.mark.parametrize("two", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("client", ["http1", "http2"])
def test_a_client_that_sends_nothing_after_100(start, origin, two, client):
    server = Origin2() if two else origin
    try:
        gateway = start(upstreams=f'many: {{servers: ["{"h2c" if two else "http"}://127.0.0.1:{server.port}"]}}', request=ROUTE, limits="body_rate_time: 300ms")
        if client == "http1":
            with gateway.http1() as connection:
                connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
                assert connection.head().status == 100
                assert connection.head().status == 408
        else:
            with gateway.http2() as connection:
                stream = connection.start("POST", "/", [("content-length", "5"), ("expect", "100-continue")], end=False)
                assert connection.response(stream).status == 408
        wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "the origin is let go")
        wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="body") == 1, "it is counted")
    finally:
        if two:
            server.stop()
