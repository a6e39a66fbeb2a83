"""Namespaces in Redis under pressure: many and large answers at once, whoever is slow to take them; nobody else waits, or pays."""
import pytest
from test_52_kv_pressure import KV, LIMITS, MOST, RULES, SANITIZED, ask, during, peak_kib

from harness.gateway import Gateway, rule_file
from harness.redis import Redis
from harness.waiting import wait_until

LANES = pytest.mark.parametrize("lane", ["lane: inline", "untrusted: true"])
# Asks for everything, and is busy with something else when it comes.
BUSY = """
    case "busy": {
      const all = many(() => env.KV.get("big", "arrayBuffer").then((value) => value.byteLength));
      await scheduler.wait(1);
      const end = Date.now() + 3000;
      for (let n = 0; n < 3e8 && Date.now() < end; n++);
      return Response.json((await all).reduce((sum, length) => sum + length, 0));
    }
"""


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path, "pa55word", "--appendonly", "no")
    yield server
    server.stop()


@pytest.fixture
def run(certificates, tmp_path_factory, redis):
    running = []

    def run(lane="lane: inline", value="1MiB"):
        def make(ports):
            place = f'redis: "redis://127.0.0.1:{redis.port}/1", password: REDIS, max_value: {value}, timeout: 30s'
            functions = f"a: {{file: hooks/kv.js, tenant: a, {lane}, kv: {{KV: one}}, {LIMITS}}}\nb: {{file: hooks/kv.js, tenant: b, kv: {{KV: two}}, {LIMITS}}}"
            return rule_file(ports, certificates, 1, functions=functions, request=RULES) + f"kv:\n  one: {{{place}}}\n  two: {{{place}}}\n"
        hooks = {"kv.js": KV.replace('case "gets"', BUSY + 'case "gets"')}
        gateway = Gateway(tmp_path_factory.mktemp("gateway"), certificates, make, hooks, environment={"REDIS": redis.password})
        running.append(gateway)
        return gateway.wait_ready(1)
    yield run
    assert [gateway.stop() for gateway in running] == [0] * len(running)


@LANES
@pytest.mark.parametrize("what", ["gets", "busy"])
def test_many_large_values_at_once_are_not_all_in_memory(run, lane, what):
    gateway = run(lane)
    assert ask(gateway, "/big?count=1000000") == (200, "done")
    assert ask(gateway, "/gets?count=3") == (200, "3000000")
    [pid] = gateway.worker_pids()
    before = peak_kib(pid)
    (status, text), served = during(gateway, f"/{what}?count=400")
    assert (status, text) == (200, "400000000")
    assert peak_kib(pid) - before < MOST, f"{before} KiB before, {peak_kib(pid)} KiB afterwards"
    assert gateway.worker_pids() == [pid] and served > 20, f"{served} requests of another tenant were served meanwhile"
    wait_until(lambda: ask(gateway, "/get?key=none") == (200, "none"), "the function serves")


@LANES
def test_large_values_that_nobody_takes_any_more_are_let_go(run, lane):
    """The client leaves; its hook's questions are under way, and their answers nobody's."""
    gateway = run(lane)
    assert ask(gateway, "/big?count=1000000") == (200, "done")
    [pid] = gateway.worker_pids()
    before = peak_kib(pid)
    for _ in range(5):
        with gateway.http1() as client:
            client.send(b"GET /gets?count=300 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert ask(gateway, "/get?key=mine", other=True)[0] == 200
    wait_until(lambda: gateway.metric("sluice_hook_calls_open") == 0, "their calls are over")
    assert ask(gateway, "/gets?count=2") == (200, "2000000")
    assert peak_kib(pid) - before < MOST, f"{before} KiB before, {peak_kib(pid)} KiB afterwards"


@LANES
def test_small_values_that_became_large_fit_as_well(run, lane):
    """What was asked for in the belief that it is small, as the last thousand were."""
    gateway = run(lane, value="4MiB")
    assert ask(gateway, "/big?count=10") == (200, "done")
    assert ask(gateway, "/gets?count=1000") == (200, "10000")
    assert ask(gateway, "/big?count=4000000") == (200, "done")
    [pid] = gateway.worker_pids()
    before = peak_kib(pid)
    count = 20 if SANITIZED else 100
    assert ask(gateway, f"/gets?count={count}") == (200, str(count * 4_000_000))
    assert peak_kib(pid) - before < MOST + 50_000, f"{before} KiB before, {peak_kib(pid)} KiB afterwards"


@LANES
def test_a_flood_of_one_tenant_leaves_another_its_redis(run, lane):
    """Values that wait for Redis filled what all tenants had for it together, and others were told that it is busy."""
    gateway = run(lane)
    (status, text), served = during(gateway, "/fill?from=0&count=900&value=" + "v" * 6_000)
    assert (status, text) == (200, "done") and served > 0
    (status, text), served = during(gateway, "/lists?count=100")
    assert (status, text) == (200, "90000") and served > 0
    assert gateway.metric("sluice_kv_failures_total") == 0
