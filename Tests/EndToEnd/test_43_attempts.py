"""Further attempts, times, health and the choice of a server, as rule files say them."""
import asyncio
import json
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from harness import http1
from harness.origin import Exchange, Origin, answer_by_path, many, running
from harness.waiting import wait_until


@pytest.fixture
def others() -> Iterator[list[Origin]]:
    yield from running(Origin, 3)


ROUTE = "- {name: many, do: [{route: many}]}\n"


def test_one_failure_in_ten_is_hidden_within_the_budget(start, origin, full):
    """The promise: under 0.1 % failures for the client, and no more extra load than the budget."""
    chance = random.Random(7)
    failed = 0

    async def flaky(exchange: Exchange) -> None:
        nonlocal failed
        if chance.random() < 0.1:
            failed += 1
            if chance.random() < 0.5:
                return await exchange.answer(503, b"busy")
            return exchange.reset()
        await exchange.answer(200, b"fine")

    origin.script = flaky
    gateway = start(request="- {name: reads, match: {method: GET}, do: [{retry: {tries: 4, on: [connect, reset, 503], budget: 20%}}]}",
                    origin_options="ejection: {failures: 0}")
    count = 20_000 if full else 3_000

    def ask(share: int) -> int:
        bad = 0
        for _ in range(share):
            with gateway.http1() as client:
                for _ in range(50):
                    bad += client.request("GET", "/").status != 200
        return bad

    with ThreadPoolExecutor(4) as pool:
        bad = sum(pool.map(ask, [count // 200] * 4))
    requests = count // 200 * 4 * 50
    assert failed > requests * 0.07, "the origin did fail"
    assert bad <= requests * 0.001, f"{bad} of {requests} failed"
    assert len(origin.requests) <= requests * 1.2 + 10, "the extra load is at most the budget"


def test_an_origin_that_is_down_gets_no_more_than_the_budget_on_top(start, origin):
    async def down(exchange: Exchange) -> None:
        await exchange.answer(503, b"down")

    origin.script = down
    gateway = start(request="- {name: reads, do: [{retry: {tries: 5, on: 503, budget: 20%}}]}", origin_options="ejection: {failures: 0}")
    with gateway.http1() as client:
        for _ in range(300):
            assert client.request("GET", "/").status == 503
    assert len(origin.requests) <= 300 * 1.2 + 10
    wait_until(lambda: gateway.metric("sluice_upstream_retries_over_budget_total") > 0, "what was not retried is counted")


def test_posts_are_not_repeated_unless_a_rule_says_so(start, origin):
    async def first_breaks(exchange: Exchange) -> None:
        if len(origin.requests) % 2:
            return exchange.reset()
        await exchange.answer(200, exchange.request.body)

    origin.script = first_breaks
    gateway = start(request="""\
        - {name: any, match: {path: /any}, do: [{retry: {on: [reset], methods: any}}]}
        - {name: usual, match: {path: /usual}, do: [{retry: {on: [reset]}}]}
        """)
    answer = gateway.fetch("http1", "POST", "/any", body=b"once" * 1000)
    assert answer.status == 200 and answer.body == b"once" * 1000
    assert gateway.fetch("http1", "POST", "/usual", body=b"x").status == 502
    assert len(origin.requests) == 3


def test_timeout_action(start, origin):
    async def slow(exchange: Exchange) -> None:
        await asyncio.wait_for(origin.release.wait(), None)

    origin.script = slow
    gateway = start(request="""\
        - {name: quick, match: {path: /quick}, do: [{timeout: {first_byte: 150ms}}]}
        - {name: whole, match: {path: /whole}, do: [{timeout: 200ms}]}
        """)
    for path in ("/quick", "/whole"):
        answer = gateway.fetch("http1", "GET", path)
        assert answer.status == 504 and "http_response_timeout" in (answer.header("proxy-status") or "")


def test_hash_on_any_expression(start, others):
    gateway = start(upstreams=many(others, 'balance: {hash: "${header.x-user}/${arg.shard}"}'), request=ROUTE)

    def server(user: str, shard: int) -> int:
        before = [len(each.requests) for each in others]
        assert gateway.fetch("http1", "GET", f"/?shard={shard}", [("X-User", user)]).status == 200
        return next(index for index, each in enumerate(others) if len(each.requests) > before[index])

    seen = {(user, shard): server(user, shard) for user in "abcdefgh" for shard in (1, 2)}
    assert len(set(seen.values())) == 3
    assert all(server(user, shard) == was for (user, shard), was in seen.items())


def test_sticky_cookie(start, others):
    gateway = start(upstreams=many(others, "balance: {sticky: {cookie: srv, max_age: 1h}, otherwise: least_requests}"), request=ROUTE)
    first = gateway.fetch("http1", "GET", "/")
    cookie = first.header("set-cookie") or ""
    assert cookie.startswith("srv=") and "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure" in cookie
    mine = next(each for each in others if each.requests)
    for _ in range(6):
        answer = gateway.fetch("http1", "GET", "/", [("Cookie", "a=1; " + cookie.split(";")[0])])
        assert answer.header("set-cookie") is None
    assert len(mine.requests) == 7
    assert gateway.fetch("http1", "GET", "/", [("Cookie", "srv=forged")]).header("set-cookie")


def test_a_cookie_of_a_server_that_was_removed_or_is_out_leads_to_another_which_it_then_names(start, others):
    gateway = start(upstreams=many(others, "balance: {sticky: {cookie: srv}}\n  ejection: {failures: 1, time: 60s}\n  retry: {tries: 1}"), request=ROUTE)

    def ask(cookie: str) -> str:
        answer = gateway.fetch("http1", "GET", "/", [("Cookie", cookie)] if cookie else [])
        return (answer.header("set-cookie") or cookie).split(";")[0]

    first = ask("")
    mine = next(each for each in others if each.requests)
    gateway.reload(gateway.file.read_text().replace(f'"http://127.0.0.1:{mine.port}"', "").replace("[, ", "[").replace(", ,", ",").replace(", ]", "]"))
    second = wait_until(lambda: (new := ask(first)) != first and new, "another has the client now")
    served = [len(each.requests) for each in others]
    assert [ask(second) for _ in range(6)] == [second] * 6
    yours = [each for each, before in zip(others, served) if len(each.requests) == before + 6]
    assert len(yours) == 1 and yours[0] is not mine
    yours[0].script = lambda exchange: exchange.answer(503)
    ask(second)
    third = wait_until(lambda: (new := ask(second)) != second and new, "nor does one that is out")
    assert len({first, second, third}) == 3


def test_a_sticky_cookie_is_the_same_in_all_workers_and_generations_and_by_a_shared_secret_in_all_gateways(start, others, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(os.urandom(32).hex().encode())
    secret.chmod(0o600)
    upstreams = many(others[:1], "balance: {sticky: {cookie: srv}}")

    def value(gateway) -> str:
        return (gateway.fetch("http1", "GET", "/").header("set-cookie") or "").split(";")[0]

    gateway = start(upstreams=upstreams, request=ROUTE, workers=2)
    values = {value(gateway) for _ in range(20)}
    gateway.reload(gateway.file.read_text() + "# changed\n")
    assert values | {value(gateway)} == {first := value(gateway)} and len(first) == len("srv=") + 16
    with_secret = [value(start(upstreams=upstreams, request=ROUTE, arguments=["--ticket-secret", str(secret)])) for _ in range(2)]
    assert with_secret[0] == with_secret[1] != first, "it cannot be told from the address alone"


def test_weights(start, others):
    gateway = start(upstreams=f'many:\n  servers: [{{url: "http://127.0.0.1:{others[0].port}", weight: 3}}, "http://127.0.0.1:{others[1].port}"]\n',
                    request=ROUTE)
    for _ in range(8):
        gateway.fetch("http1", "GET", "/")
    assert [len(each.requests) for each in others[:2]] == [6, 2]


def test_active_checks_take_a_server_out_and_bring_it_back_across_reloads(start, others):
    sick = [True]

    async def maybe(exchange: Exchange) -> None:
        if exchange.request.path == "/healthz":
            return await exchange.answer(500 if sick[0] else 200, b"")
        await answer_by_path(exchange)

    others[1].script = maybe
    options = "health: {path: /healthz, every: 50ms, fail_after: 2, pass_after: 2}"
    gateway = start(upstreams=many(others, options), request=ROUTE)
    wait_until(lambda: gateway.metric("sluice_health_changes_total", to="down") == 1, "it is out")

    def served() -> set[int]:
        before = [sum(r.path != "/healthz" for r in each.requests) for each in others]
        for _ in range(6):
            assert gateway.fetch("http1", "GET", "/").status == 200
        return {index for index, each in enumerate(others) if sum(r.path != "/healthz" for r in each.requests) > before[index]}

    assert served() == {0, 2}
    gateway.reload()
    assert served() == {0, 2}, "what is known survives the reload"
    sick[0] = False
    wait_until(lambda: gateway.metric("sluice_health_changes_total", to="up") == 1, "it is back")
    assert served() == {0, 1, 2}


class HealthService(grpc.GenericRpcHandler):
    """grpc.health.v1.Health by hand: the answer is the message {status: SERVING or NOT_SERVING}."""

    def __init__(self) -> None:
        self.serving, self.asked = True, []

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != "/grpc.health.v1.Health/Check":
            return None

        def check(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.asked.append(request)
            return bytes([8, 1 if self.serving else 2])

        return grpc.unary_unary_rpc_method_handler(check)


def test_grpc_health(start):
    service = HealthService()
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        gateway = start(upstreams=f'many:\n  servers: ["h2c://127.0.0.1:{port}"]\n  health: {{type: grpc, service: shop, every: 50ms}}\n', request=ROUTE)
        wait_until(lambda: gateway.metric("sluice_health_checks_total", result="pass") >= 2, "it passes")
        assert service.asked[0] == b"\x0a\x04shop"
        service.serving = False
        wait_until(lambda: gateway.metric("sluice_health_changes_total", to="down") == 1, "it is out")
    finally:
        server.stop(None)


def test_mistakes_are_told(start, certificates, tmp_path):
    import subprocess

    from harness.gateway import binary
    file = tmp_path / "sluice.yaml"
    file.write_text("""\
sluice: 1
listeners: [{name: a, address: "127.0.0.1:1"}]
upstreams:
  a: {servers: ["http://127.0.0.1:1"], retry: {on: [conect, 700], budget: 20}, balance: {hash: header.x, otherwise: random}}
sites: [{name: s, hosts: ["*"], upstream: a}]
""")
    done = subprocess.run([binary(), "check", str(file)], capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    for part in ("`conect` is not one of", "found `700`", "`20` is not a share", "`hash` alone"):
        assert part in text, text
