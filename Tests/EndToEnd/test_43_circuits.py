"""Circuit limits, health and ejection where they meet each other and real load."""
import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.http2 import Client
from harness.origin import Exchange, Origin, many, running
from harness.origin2 import Origin2
from harness.waiting import wait_until

ROUTE = "- {name: many, do: [{route: many}]}\n"


@pytest.fixture
def pair() -> Iterator[list[Origin]]:
    yield from running(Origin, 2)


def holding(origin: Origin) -> asyncio.Event:
    """The origin answers everything but health checks only when the event is set."""
    go_on = asyncio.Event()

    async def hold(exchange: Exchange) -> None:
        if exchange.request.path != "/healthz":
            await go_on.wait()
        await exchange.answer(200, b"fine")

    origin.script = hold
    return go_on


def crowd(client: Client, count: int) -> list[int]:
    """Begins so many requests in one packet."""
    streams = []
    for number in range(count):
        streams.append(client.h2.get_next_available_stream_id())
        client.h2.send_headers(streams[-1], [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", f"/{number}")], end_stream=True)
    client.flush()
    return streams


def test_a_crowd_in_one_turn_never_exceeds_max_requests(start, origin):
    go_on = holding(origin)
    gateway = start(upstreams=many([origin], "max_requests: 3\n  retry: {tries: 1}"), request=ROUTE)
    with gateway.http2() as client:
        streams = crowd(client, 20)
        client.receive_until(lambda: len(client.finished) >= 17, "all but three are refused")
        wait_until(lambda: len(origin.requests) == 3, "three are with the origin")
        origin.call(go_on.set)
        answers = [client.response(stream).status for stream in streams]
    assert (answers.count(200), answers.count(503)) == (3, 17)
    assert len(origin.requests) == 3
    wait_until(lambda: gateway.metric("sluice_upstream_limits_total", limit="requests") == 17, "each refusal is counted")


def test_a_crowd_in_one_turn_is_spread_by_least_requests(start, pair):
    """Requests for which a connection is still to be made count as running too."""
    events = [holding(each) for each in pair]
    gateway = start(upstreams=many(pair, "balance: least_requests"), request=ROUTE)
    with gateway.http2() as client:
        streams = crowd(client, 60)
        wait_until(lambda: sum(len(each.requests) for each in pair) == 60, "all are with the origins")
        counts = sorted(len(each.requests) for each in pair)
        for each, event in zip(pair, events):
            each.call(event.set)
        assert all(client.response(stream).status == 200 for stream in streams)
    # Two choices among two servers are the idler one, unless the same was drawn twice: by chance alone 60 would be 30 +- 4.
    assert counts[0] >= 24, counts


def test_a_busy_server_is_not_taken_for_a_sick_one(start, origin):
    """Checks have connections of their own: that all of the traffic's are busy says nothing of health."""
    go_on = holding(origin)
    gateway = start(upstreams=many([origin], "max_connections: 1\n  timeouts: {connect: 10s}\n"
                                   "  health: {path: /healthz, every: 30ms, timeout: 300ms, fail_after: 1}"), request=ROUTE)
    wait_until(lambda: gateway.metric("sluice_health_checks_total", result="pass") > 0, "it is asked")
    with gateway.http1() as client:
        client.send(b"GET /held HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: any(each.path == "/held" for each in origin.requests), "the only connection is busy")
        before = gateway.metric("sluice_health_checks_total")
        wait_until(lambda: gateway.metric("sluice_health_checks_total") >= before + 3, "it is asked meanwhile")
        assert gateway.metric("sluice_health_checks_total", result="fail") == 0
        assert gateway.metric("sluice_health_changes_total", to="down") == 0
        origin.call(go_on.set)
        assert client.response().status == 200


def test_checks_take_no_place_of_requests(start, origin):
    """A check that is under way does not count against `max_requests`."""
    seen = threading.Event()

    async def slow_check(exchange: Exchange) -> None:
        if exchange.request.path == "/healthz":
            seen.set()
            await go_on.wait()
        await exchange.answer(200)

    go_on = asyncio.Event()
    origin.script = slow_check
    gateway = start(upstreams=many([origin], "max_requests: 1\n  retry: {tries: 1}\n  health: {path: /healthz, every: 50ms, timeout: 10s}"), request=ROUTE)
    assert seen.wait(20)
    assert gateway.fetch("http1", "GET", "/").status == 200
    origin.call(go_on.set)


def test_a_check_that_only_connects_says_nothing(start):
    """`type: tcp` over HTTP/2: a connection of its own, and not a request on the one that serves."""
    server = Origin2()
    try:
        gateway = start(upstreams=f'many:\n  servers: ["h2c://127.0.0.1:{server.port}"]\n  health: {{type: tcp, every: 20ms}}\n', request=ROUTE)
        assert gateway.fetch("http1", "GET", "/asked").status == 200
        before = gateway.metric("sluice_health_checks_total", result="pass")
        wait_until(lambda: gateway.metric("sluice_health_checks_total", result="pass") >= before + 5, "checks go on")
        assert [each.header(":path") for each in server.requests] == ["/asked"]
    finally:
        server.stop()


def test_an_ejected_server_stays_out_although_it_takes_connections(start, pair):
    """What its answers showed is not undone by a check that connects."""
    async def failing(exchange: Exchange) -> None:
        await exchange.answer(503)

    pair[1].script = failing
    gateway = start(upstreams=many(pair, "ejection: {failures: 3, time: 60s}\n  retry: {tries: 1}\n  health: {type: tcp, every: 20ms}"), request=ROUTE)
    wait_until(lambda: gateway.fetch("http1", "GET", "/").status and gateway.metric("sluice_upstream_ejections_total") >= 1, "it is ejected")
    before = gateway.metric("sluice_health_checks_total", result="pass")
    wait_until(lambda: gateway.metric("sluice_health_checks_total", result="pass") >= before + 6, "it is checked, and takes connections")
    assert {gateway.fetch("http1", "GET", "/").status for _ in range(20)} == {200}
    assert gateway.metric("sluice_upstream_ejections_total") == 1


def test_pending_limit_refuses_what_is_beyond_and_counts_it(start, origin):
    go_on = holding(origin)
    gateway = start(upstreams=many([origin], "max_connections: 2\n  max_pending: 3\n  timeouts: {connect: 20s}\n  retry: {tries: 1}"), request=ROUTE)
    with gateway.http2() as client:
        streams = crowd(client, 12)
        client.receive_until(lambda: len(client.finished) >= 7, "seven are refused")
        wait_until(lambda: len(origin.requests) == 2, "two are with the origin")
        origin.call(go_on.set)
        answers = [client.response(stream).status for stream in streams]
    assert (answers.count(200), answers.count(503)) == (5, 7)
    wait_until(lambda: gateway.metric("sluice_upstream_limits_total", limit="pending") == 7, "each refusal is counted")
    assert origin.most_at_once <= 2


def test_panic_uses_ejected_servers_and_counts(start, pair):
    async def failing(exchange: Exchange) -> None:
        await exchange.answer(503)

    pair[0].script = pair[1].script = failing
    gateway = start(upstreams=many(pair, "panic: 60%\n  ejection: {failures: 2, time: 60s, max: 100%}\n  retry: {tries: 1}"), request=ROUTE)
    wait_until(lambda: gateway.fetch("http1", "GET", "/").status and gateway.metric("sluice_upstream_ejections_total") >= 1, "one is ejected")
    before = [len(each.requests) for each in pair]
    for _ in range(10):
        gateway.fetch("http1", "GET", "/")
    assert all(len(each.requests) > count for each, count in zip(pair, before)), "with half of them out health is not looked at"
    wait_until(lambda: gateway.metric("sluice_upstream_panics_total") >= 10, "it is counted")
    assert gateway.metric("sluice_upstream_ejections_total") <= 2, "none is left out twice"


def test_per_try_and_budget_together(start, origin):
    """A stalled origin gets no more than reserve and budget on top, whatever `tries` says."""
    async def stall(exchange: Exchange) -> None:
        await origin.release.wait()

    origin.script = stall
    gateway = start(upstreams=many([origin], "retry: {tries: 5, on: [timeout], per_try: 50ms, budget: 10%}\n  ejection: {failures: 0}"), request=ROUTE)
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda _: gateway.fetch("http1", "GET", "/").status, range(40)))
    assert set(statuses) == {504}
    sent = len(origin.requests)
    assert 50 <= sent <= 54, sent
    wait_until(lambda: gateway.metric("sluice_upstream_retries_total") == sent - 40, "retries are counted")
    wait_until(lambda: gateway.metric("sluice_upstream_failures_total", kind="timeout") == sent, "and failures")
    # Those that used up their tries had no wish left that the budget could refuse.
    assert 36 <= gateway.metric("sluice_upstream_retries_over_budget_total") <= 40
