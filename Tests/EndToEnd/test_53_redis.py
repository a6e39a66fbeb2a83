"""Namespaces in Redis: the same binding, shared by several gateways; a Redis that is gone holds nobody up."""
import json

import pytest
from test_52_kv import RULES, STORE, ask

from harness.gateway import rule_file
from harness.redis import Redis
from harness.waiting import wait_until


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path, "pa55word")
    yield server
    server.stop()


@pytest.fixture
def run(certificates, tmp_path_factory, origin):
    from harness.gateway import Gateway
    running = []

    def run(redis, a="kv: {KV: one}", options="", workers=1):
        def make(ports):
            place = f'redis: "redis://127.0.0.1:{redis.port}/1", password: REDIS{options}'
            return rule_file(ports, certificates, origin.port, request=RULES + "\n- {name: pass, do: [{set_header: {x: y}}]}",
                             functions=f"a: {{file: hooks/store.js, {a}}}\nb: {{file: hooks/store.js, kv: {{KV: two}}}}"
                             ) + f"kv:\n  one: {{{place}}}\n  two: {{{place}}}\n"
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), certificates, make, {"store.js": STORE}, workers=workers,
                          environment={"REDIS": redis.password})
        running.append(gateway)
        return gateway.wait_ready(workers)
    yield run
    statuses = [gateway.stop() for gateway in running]
    assert statuses == [0] * len(running)


def test_two_gateways_share_a_namespace(run, redis):
    one, two = run(redis), run(redis, workers=2)
    assert ask(one, "/get?key=a") == (200, "none")
    assert ask(one, "/put?key=a&value=shared") == (200, "stored")
    assert ask(two, "/get?key=a") == (200, "shared")
    assert ask(two, "/delete?key=a") == (200, "deleted")
    assert ask(one, "/get?key=a") == (200, "none")
    assert ask(one, "/put?key=b&value=of-one") == (200, "stored")
    assert ask(one, "/get?key=b", other=True) == (200, "none"), "another namespace in the same Redis"


def test_lists_metadata_and_ends_of_life_are_those_of_the_disk(run, redis):
    gateway = run(redis)
    for name in ["p/2", "p/1", "q", *[f"n/{number:03}" for number in range(150)]]:
        assert ask(gateway, f"/put?key={name}&value=v") == (200, "stored")
    assert ask(gateway, "/put?key=p/3&value=v&ttl=1") == (200, "stored")
    page = json.loads(ask(gateway, "/list?key=p/")[1])
    assert page["keys"][0] == {"name": "p/1", "metadata": {"by": "test"}}
    assert page["keys"][2]["expiration"] > 1_000_000_000
    wait_until(lambda: ask(gateway, "/get?key=p/3") == (200, "none"), "its time is up")
    page = json.loads(ask(gateway, "/list?key=p/")[1])
    assert [key["name"] for key in page["keys"]] == ["p/1", "p/2"] and page["list_complete"] is True
    first = json.loads(ask(gateway, "/list?key=n/")[1])
    assert [key["name"] for key in first["keys"]] == [f"n/{number:03}" for number in range(100)] and first["list_complete"] is False
    rest = json.loads(ask(gateway, f"/list?key=n/&cursor={first['cursor']}")[1])
    assert [key["name"] for key in rest["keys"]] == [f"n/{number:03}" for number in range(100, 150)] and rest["list_complete"] is True


def test_a_large_value_passes(run, redis):
    gateway = run(redis)
    assert ask(gateway, "/put?key=big&size=1000000") == (200, "stored")
    assert ask(gateway, "/get?key=big") == (200, "x" * 1_000_000)


def test_a_redis_that_is_gone_is_an_error_and_comes_back_by_itself(run, redis):
    gateway = run(redis)
    assert ask(gateway, "/put?key=a&value=1") == (200, "stored")
    redis.stop()
    status, text = ask(gateway, "/get?key=a")
    assert status == 507 and f"Redis at 127.0.0.1:{redis.port} cannot be reached" in text
    assert gateway.fetch("http1", "GET", "/").status == 200, "what asks for nothing goes on"
    wait_until(lambda: gateway.metric("sluice_kv_failures_total", reason="unreachable") >= 1, "counted")
    gateway.wait_log("kv one: Redis at .* cannot be reached")
    redis.start()
    wait_until(lambda: ask(gateway, "/get?key=a") == (200, "1"), "it is used again")
    wait_until(lambda: gateway.metric("sluice_redis_connected") >= 1, "connected")
    wait_until(lambda: gateway.metric("sluice_redis_connections_total", event="lost") >= 1, "the loss is counted")


def test_a_redis_that_does_not_answer_is_given_up_in_time(run, redis):
    gateway = run(redis, options=", timeout: 300ms")
    assert ask(gateway, "/put?key=a&value=1") == (200, "stored")
    redis.pause()
    try:
        status, text = ask(gateway, "/get?key=a")
        assert status == 507 and "did not answer within 300 ms" in text
    finally:
        redis.resume()
    wait_until(lambda: ask(gateway, "/get?key=a") == (200, "1"), "it is used again")
    wait_until(lambda: gateway.metric("sluice_kv_failures_total", reason="timeout") >= 1, "counted")


def test_a_wrong_password_is_told_and_not_shown(run, redis):
    right, redis.password = redis.password, "wrong-pass"
    gateway = run(redis)
    redis.password = right
    status, text = ask(gateway, "/get?key=a")
    assert status == 507 and "it refuses: WRONGPASS" in text
    assert "wrong-pass" not in gateway.text + text


def test_a_redis_without_memory_is_full(run, tmp_path):
    server = Redis(tmp_path, "pa55word", "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    try:
        gateway = run(server)
        text = ""
        for number in range(10):
            status, text = ask(gateway, f"/put?key=k{number}&size=900000")
            if status != 200:
                break
        assert text == "Error: Redis is out of memory"
        wait_until(lambda: gateway.metric("sluice_kv_failures_total", reason="full") >= 1, "counted")
    finally:
        server.stop()


def test_cordons_reach_redis_through_their_worker(run, redis):
    gateway = run(redis, a="untrusted: true, kv: {KV: one}")
    assert ask(gateway, "/put?key=a&value=1") == (200, "stored")
    assert ask(gateway, "/get?key=a") == (200, "1")
