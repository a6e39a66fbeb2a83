"""Rate limits that several gateways count together in one Redis, and what holds while it is gone."""
import concurrent.futures
import time

import pytest

from harness.gateway import Gateway, rule_file
from harness.redis import Redis
from harness.waiting import wait_until


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def run(certificates, tmp_path_factory, origin):
    running = []

    def run(redis, limit, workers=1):
        def make(ports):
            return rule_file(ports, certificates, origin.port, request=f"- {{name: limit, do: [{{rate_limit: {{{limit}, store: shared}}}}]}}"
                             ) + f'kv: {{shared: {{redis: "redis://127.0.0.1:{redis.port}", prefix: "t:"}}}}\n'
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), certificates, make, workers=workers)
        running.append(gateway)
        return gateway.wait_ready(workers)
    yield run
    statuses = [gateway.stop() for gateway in running]
    assert statuses == [0] * len(running)


def statuses(gateway, count: int, key: str = "a") -> list[int]:
    with gateway.http1() as client:
        return [client.request("GET", "/", [("x-key", key)]).status for _ in range(count)]


def test_two_gateways_count_together_and_exactly(run, redis):
    gateways = [run(redis, "rate: 50/h, key: header.x-key", workers=2) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = sum(pool.map(lambda number: statuses(gateways[number % 2], 15), range(8)), [])
    assert answers.count(200) == 50 and answers.count(429) == 70
    assert statuses(gateways[0], 1, "b") == [200], "another key"
    wait_until(lambda: sum(gateway.metric("sluice_rate_limit_requests_total", verdict="refused") for gateway in gateways) == 70, "counted")


def test_a_refusal_says_when_to_come_back_and_so_it_is(run, redis):
    gateway = run(redis, "rate: 3/2s, key: header.x-key")
    with gateway.http1() as client:
        answers = [client.request("GET", "/", [("x-key", "a")]) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert answers[0].header("ratelimit").startswith('"test/limit";r=2;t=')
        assert 1 <= int(answers[3].header("retry-after")) <= 4
    wait_until(lambda: statuses(gateway, 1) == [200], "it may pass again")


def test_a_bucket_holds_its_burst_and_refills(run, redis):
    gateway = run(redis, "rate: 2/s, burst: 5, key: header.x-key")
    begun = time.monotonic()
    answers = statuses(gateway, 12)
    refilled = int((time.monotonic() - begun) * 2) + 1
    assert 5 <= answers.count(200) <= 5 + refilled and answers[:5] == [200] * 5
    wait_until(lambda: statuses(gateway, 1) == [200], "a token came back")


@pytest.mark.parametrize(("policy", "expected"), [("", [200] * 5), (", unreachable: deny", [429] * 5), (", unreachable: local", [200, 200, 200, 429, 429])])
def test_while_redis_is_gone_the_policy_holds_and_then_redis_again(run, redis, policy, expected):
    gateway = run(redis, f"rate: 3/h, key: header.x-key{policy}")
    assert statuses(gateway, 4) == [200, 200, 200, 429]
    redis.stop()
    wait_until(lambda: (statuses(gateway, 1, "warm-up"), gateway.metric("sluice_rate_limit_unreachable_total"))[1] >= 1, "it is noticed")
    assert statuses(gateway, 5, "b") == expected
    gateway.wait_log('rate_limit of rule "test/limit": Redis at')
    redis.start()
    wait_until(lambda: statuses(gateway, 4, "c")[-1] == 429 and gateway.metric("sluice_redis_connected") == 1, "Redis counts again")
    assert statuses(gateway, 1, "a") == [429], "what it had counted before still counts"


def test_a_redis_that_lost_its_scripts_gets_them_again(run, redis):
    gateway = run(redis, "rate: 3/h, key: header.x-key")
    assert statuses(gateway, 2) == [200, 200]
    assert b"OK" in redis.ask("SCRIPT", "FLUSH")
    assert statuses(gateway, 2) == [200, 429]


def test_a_client_that_leaves_while_redis_is_asked_harms_nobody(run, redis):
    gateway = run(redis, "rate: 1000/h, key: header.x-key")
    assert statuses(gateway, 1) == [200]
    redis.pause()
    try:
        for _ in range(10):
            client = gateway.http1()
            client.__enter__()
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nx-key: a\r\n\r\n")
            client.__exit__(None, None, None)
    finally:
        redis.resume()
    wait_until(lambda: statuses(gateway, 3) == [200] * 3, "it serves")
    assert gateway.metric("sluice_bugs_total") == 0
