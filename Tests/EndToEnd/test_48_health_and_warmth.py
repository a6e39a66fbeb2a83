"""What workers know of origins together, and connections that are open before anybody needs them."""
import asyncio
import os
import signal

import pytest

from harness.origin import Exchange, Origin, many
from harness.origin2 import Origin2
from harness.waiting import wait_until

ROUTE = "- {name: many, do: [{route: many}]}"


@pytest.fixture
def pair():
    made = [Origin(), Origin()]
    yield made
    for each in made:
        each.stop()


def test_one_worker_asks_and_all_know(start, pair):
    """With a worker of its own each would find out for itself: two changes instead of one."""
    sick = [True]

    async def maybe(exchange: Exchange) -> None:
        await exchange.answer(500 if sick[0] and exchange.request.path == "/healthz" else 200)

    pair[1].script = maybe
    options = "health: {path: /healthz, every: 50ms, timeout: 500ms, fail_after: 2, pass_after: 2}"
    gateway = start(upstreams=many(pair, options), request=ROUTE, workers=2)

    def asked() -> int:
        return sum(each.path == "/healthz" for each in pair[1].requests)

    def serves() -> bool:
        before = len(pair[1].requests) - asked()
        for _ in range(12):  # each on a connection of its own, so both workers have their turn
            assert gateway.fetch("http1", "GET", "/").status == 200
        return len(pair[1].requests) - asked() > before

    wait_until(lambda: gateway.metric("sluice_health_changes_total", to="down") == 1, "one found out")
    wait_until(lambda: not serves(), "both know")
    for index in range(2):
        before = asked()
        workers = gateway.worker_pids()
        os.kill(sorted(workers)[0], signal.SIGKILL)
        wait_until(lambda: len(gateway.worker_pids()) == 2 and gateway.worker_pids() != workers, "the worker is replaced")
        wait_until(lambda: asked() >= before + 3, "the one that asks may die: another one goes on")
        assert not serves(), "a new worker knows at once"
    assert gateway.metric("sluice_health_changes_total", to="down") == 1
    sick[0] = False
    wait_until(lambda: gateway.metric("sluice_health_changes_total", to="up") == 1, "it is back")
    wait_until(serves, "and all know")


def test_a_server_that_one_worker_ejects_is_left_out_by_all(start, pair):
    async def failing(exchange: Exchange) -> None:
        await exchange.answer(503)

    pair[1].script = failing
    gateway = start(upstreams=many(pair, "ejection: {failures: 3, time: 60s}\n  retry: {tries: 1}"), request=ROUTE, workers=2)
    wait_until(lambda: gateway.fetch("http1", "GET", "/").status and gateway.metric("sluice_upstream_ejections_total") >= 1, "it is ejected")
    wait_until(lambda: {gateway.fetch("http1", "GET", "/").status for _ in range(12)} == {200}, "both workers leave it out")


def test_connections_are_open_before_the_first_request_and_made_up_for(start, origin):
    gateway = start(upstreams=many([origin], "warm: 3"), request=ROUTE)

    def idle() -> float:
        return gateway.metric("sluice_upstream_connections", state="idle")

    wait_until(lambda: origin.open_now == 3 and idle() == 3, "three are open")
    assert origin.requests == []
    assert gateway.fetch("http1", "GET", "/").status == 200
    wait_until(lambda: gateway.metric("sluice_upstream_reuses_total") == 1, "it was served on one of them")
    before = gateway.metric("sluice_upstream_warm_connects_total")

    async def last(exchange: Exchange) -> None:
        await exchange.answer(200, b"", {"Connection": "close"})

    origin.script = last
    assert gateway.fetch("http1", "GET", "/").status == 200
    wait_until(lambda: gateway.metric("sluice_upstream_warm_connects_total") > before and idle() == 3, "another one takes its place")
    gateway.reload()
    assert gateway.fetch("http1", "GET", "/").status == 200
    wait_until(lambda: idle() == 3, "and so it stays")


def test_with_http2_one_connection_is_enough(start):
    origin2 = Origin2()
    try:
        gateway = start(upstreams=f'many:\n  servers: ["h2c://127.0.0.1:{origin2.port}"]\n  warm: 3\n', request=ROUTE)
        wait_until(lambda: gateway.metric("sluice_upstream_connections", state="idle") == 1, "it is open")
        for _ in range(5):
            assert gateway.fetch("http1", "GET", "/").status == 200
        assert gateway.metric("sluice_upstream_connects_total", transport="plain") == 1
    finally:
        origin2.stop()


def test_a_server_that_is_down_is_not_worn_out_and_warm_again_when_it_is_back(start, origin):
    origin.refuse_new()
    gateway = start(upstreams=many([origin], "warm: 2"), request=ROUTE)
    wait_until(lambda: gateway.metric("sluice_upstream_failures_total", kind="connect") >= 2, "it was tried, and again later")
    assert gateway.metric("sluice_upstream_connections", state="idle") == 0


def test_a_server_that_is_taken_out_finishes_what_it_began(start, pair):
    async def slow(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await go_on.wait()
        await exchange.send(b"half")

    go_on = asyncio.Event()
    pair[0].script = slow
    gateway = start(upstreams=many(pair[:1], ""), request=ROUTE)
    with gateway.http1() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.head().status == 200
        gateway.reload(gateway.file.read_text().replace(str(pair[0].port), str(pair[1].port)))
        wait_until(lambda: gateway.fetch("http1", "GET", "/").status == 200 and len(pair[1].requests) > 0, "new requests go elsewhere")
        pair[0].call(go_on.set)
        assert client.exactly(8) == b"halfhalf"
    assert len(pair[0].requests) == 1
    wait_until(lambda: pair[0].open_now == 0, "its connections are closed")
