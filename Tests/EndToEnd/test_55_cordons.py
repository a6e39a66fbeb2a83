"""Cordons: hooks in confined processes. One tenant's worst scripts cost no other tenant a request."""
import concurrent.futures
import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from harness.origin import PATTERN
from harness.waiting import wait_until
from harness.worst import FATAL, UNSTOPPABLE

GOOD = "export default { onRequest(request) { request.headers.set('x-good', '1'); } };"

# Some 25 ms of CPU.
BURN = "export default { onRequest() { const end = Date.now() + 25; while (Date.now() < end); } };"

RULES = """\
- {name: bad, when: 'path starts_with "/bad"', do: [{run: {function: bad}}]}
- {name: good, when: 'path starts_with "/good"', do: [{run: {function: good}}]}
"""


def two_tenants(start, bad: str, *, limits: str = "{cpu: 50ms, wall: 3s}", options: str = "untrusted: true", **more):
    """A tenant that misbehaves and one that must not notice, on one worker."""
    functions = (f"bad: {{file: hooks/bad.js, {options}, limits: {limits}, on_error: deny}}\n"
                 f"good: {{file: hooks/good.js, {more.pop('good', 'untrusted: true')}}}\n")
    return start(functions=functions, request=RULES, hooks={"bad.js": bad, "good.js": GOOD, **more.pop("hooks", {})}, **more)


def cordons(gateway) -> list[int]:
    pid = gateway.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    found = []
    for child in children:
        try:
            if Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[1:2] == [b"cordon"]:
                found.append(int(child))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def metric(gateway, name: str, **labels: str) -> int:
    return int(gateway.metric(name, **labels))


class Others:
    """A client of the other tenant that goes on asking, and what it got."""

    def __init__(self, gateway):
        self.gateway, self.statuses = gateway, []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self):
        while not self.stopping.is_set():
            with self.gateway.http1() as client:
                for _ in range(1000):  # below the limit of requests per connection
                    if not self.stopping.is_set():
                        self.statuses.append(client.request("GET", "/good").status)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: len(self.statuses) >= 3, "the other tenant is served")
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.mark.parametrize("name", [*UNSTOPPABLE, *FATAL])
def test_worst_script_of_an_untrusted_tenant_costs_nobody_else_a_request(start, name):
    script = {**UNSTOPPABLE, **FATAL}[name]
    gateway = two_tenants(start, f"export default {{ onRequest() {{ {script}; }} }};")
    before = gateway.worker_pids()
    with Others(gateway) as others:
        answers = [gateway.fetch("http1", "GET", "/bad").status for _ in range(3)]
    # Some of them are stopped in time or even done in time on a fast machine; what matters is that each ends.
    assert set(answers) <= {503, 200}, answers
    assert set(others.statuses) == {200}
    assert gateway.worker_pids() == before, "the worker lives"
    assert gateway.fetch("http1", "GET", "/good").status == 200


def test_cordon_that_is_killed_is_replaced_and_waiting_requests_run_again(start):
    gateway = two_tenants(start, """\
        export default { async onRequest(request) {
          if (request.url.endsWith("/stuck")) { const a = []; a.length = 2**32 - 1; a.indexOf(1); }
          await new Promise((resolve) => setTimeout(resolve, 300));
          return new Response("late but whole");
        } };
        """)
    first = cordons(gateway)
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(gateway.fetch, "http1", "GET", "/bad/wait") for _ in range(8)]
        wait_until(lambda: metric(gateway, "sluice_cordon_calls_total") >= 8, "all of them wait in the cordon")
        assert gateway.fetch("http1", "GET", "/bad/stuck").status == 503
        assert [(each.result().status, each.result().body) for each in waiting] == [(200, b"late but whole")] * 8
    wait_until(lambda: metric(gateway, "sluice_cordon_repeats_total") >= 1, "repeats are counted")
    assert metric(gateway, "sluice_cordon_deaths_total") == 1
    assert len(cordons(gateway)) == len(first) and cordons(gateway) != first


def test_cordon_killed_from_outside_costs_no_request_that_can_run_again(start):
    gateway = two_tenants(start, "export default { async onRequest() { await new Promise((r) => setTimeout(r, 400)); return new Response('ok'); } };")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(gateway.fetch, "http1", "GET", "/bad") for _ in range(4)]
        wait_until(lambda: metric(gateway, "sluice_cordon_calls_total") >= 4, "all of them wait in the cordon")
        for pid in cordons(gateway):
            os.kill(pid, signal.SIGKILL)
        assert [each.result().status for each in waiting] == [200] * 4


def test_requests_with_an_effect_are_not_run_again(start, origin):
    """The hook has asked an upstream: running it again could do something twice, so its policy answers."""
    gateway = start(functions="bad: {file: hooks/bad.js, untrusted: true, upstreams: [origin], on_error: deny}",
                    request="- {name: bad, do: [{run: {function: bad}}]}", hooks={"bad.js": """\
        export default { async onRequest(request, env) {
          await (await env.origin.fetch("/effect")).text();
          await new Promise((resolve) => setTimeout(resolve, 5000));
        } };
        """})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(gateway.fetch, "http1", "GET", "/")
        wait_until(lambda: len(origin.requests) == 1, "the sub-request was made")
        wait_until(lambda: metric(gateway, "sluice_cordon_calls_total") == 1, "it runs in the cordon")
        os.kill(cordons(gateway)[0], signal.SIGKILL)
        assert waiting.result().status == 503
    assert len(origin.requests) == 1


def test_slow_function_moves_out_by_itself_and_back_when_its_file_changes(start):
    gateway = two_tenants(start, BURN, limits="{cpu: 500ms}", options="lane: auto", good="lane: auto")
    assert cordons(gateway) == []

    def has_moved() -> bool:
        assert gateway.fetch("http1", "GET", "/bad").status == 200
        return len(cordons(gateway)) == 1

    wait_until(has_moved, "the slow function has a cordon")
    gateway.wait_log("function bad runs in a process of its own")

    def runs_there() -> bool:
        assert gateway.fetch("http1", "GET", "/bad").status == 200
        return metric(gateway, "sluice_cordon_calls_total") > 0

    wait_until(runs_there, "calls go to the cordon")
    assert metric(gateway, "sluice_hook_moves_total", reason="slow") == 1
    gateway.reload(hooks={"bad.js": GOOD})
    wait_until(lambda: cordons(gateway) == [], "the changed file is trusted again")
    assert gateway.fetch("http1", "GET", "/bad").status == 200


def test_pinned_function_stays_in_the_worker(start):
    gateway = two_tenants(start, BURN, limits="{cpu: 500ms}", options="lane: inline", good="lane: inline")
    for _ in range(6):
        assert gateway.fetch("http1", "GET", "/bad").status == 200
    assert cordons(gateway) == [] and metric(gateway, "sluice_cordon_calls_total") == 0


def test_function_that_costs_a_worker_moves_out_and_costs_none_again(start):
    gateway = two_tenants(start, "export default { onRequest() { const a = []; a.length = 2**32 - 1; a.indexOf(1); } };",
                          options="lane: auto", good="lane: auto", workers=2)
    first = set(gateway.worker_pids())
    with gateway.http1() as client:
        client.send(b"GET /bad HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        client.rest()
    wait_until(lambda: len(gateway.worker_pids()) == 2 and set(gateway.worker_pids()) != first, "the worker is replaced")
    gateway.wait_log("function bad runs in a process of its own from now on: a worker died inside it")
    wait_until(lambda: len(cordons(gateway)) == 2, "each worker has a cordon for it")
    second = set(gateway.worker_pids())
    assert [gateway.fetch("http1", "GET", "/bad").status for _ in range(4)] == [503] * 4
    assert set(gateway.worker_pids()) == second, "no worker died again"


def test_repeat_offender_is_fenced_in_its_cordon(start):
    gateway = two_tenants(start, "export default { onRequest() { 'a'.repeat(2**28).split(''); } };")
    with Others(gateway) as others:
        for _ in range(14):
            assert gateway.fetch("http1", "GET", "/bad").status == 503
        gateway.wait_log("function bad is fenced after costing 10 cordons")

        def is_left_out() -> bool:
            # The worker hears of the fence a moment after the tenth death: a call before that costs one more.
            assert gateway.fetch("http1", "GET", "/bad").status == 503
            return metric(gateway, "sluice_hook_failures_total", kind="fenced") > 0

        wait_until(is_left_out, "the worker runs it no more")
        deaths = metric(gateway, "sluice_cordon_deaths_total")
        assert deaths >= 10
        left_out = metric(gateway, "sluice_hook_failures_total", kind="fenced")
        for _ in range(3):
            assert gateway.fetch("http1", "GET", "/bad").status == 503
        wait_until(lambda: metric(gateway, "sluice_hook_failures_total", kind="fenced") >= left_out + 3, "each of them is left out")
        assert metric(gateway, "sluice_cordon_deaths_total") == deaths
    assert set(others.statuses) == {200}


def test_tenant_that_burns_cpu_leaves_the_other_its_requests(start):
    """40 ms of CPU at 25 requests/s. The p99 bar is Benchmarks/cordons; here: every request is answered."""
    gateway = two_tenants(start, "export default { onRequest() { for (let i = 0, end = 2e7; i < end; i++); } };", limits="{cpu: 500ms, wall: 20s}")
    with Others(gateway) as others, concurrent.futures.ThreadPoolExecutor(8) as pool:
        bad = [pool.submit(gateway.fetch, "http1", "GET", "/bad") for _ in range(50)]
        assert [each.result().status for each in bad] == [200] * 50
    assert set(others.statuses) == {200}


def test_call_that_has_read_a_body_runs_again_with_the_same_body(start):
    gateway = two_tenants(start, """\
        export default { async onRequest(request) {
          const reader = request.body.getReader(), first = await reader.read();
          await new Promise((resolve) => setTimeout(resolve, 400));
          let length = first.value.length;
          for (let next; !(next = await reader.read()).done;) length += next.value.length;
          return new Response(new TextDecoder().decode(first.value.subarray(0, 5)) + length);
        } };
        """)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(gateway.fetch, "http1", "POST", "/bad", body=b"whole" * 20_000) for _ in range(4)]
        wait_until(lambda: metric(gateway, "sluice_cordon_calls_total") >= 4, "all of them wait in the cordon")
        for pid in cordons(gateway):
            os.kill(pid, signal.SIGKILL)
        assert [(each.result().status, each.result().body) for each in waiting] == [(200, b"whole100000")] * 4
    wait_until(lambda: metric(gateway, "sluice_cordon_repeats_total") == 4, "repeats are counted")


def test_body_that_a_cordon_was_making_when_it_died_is_cut(start):
    gateway = two_tenants(start, """\
        export default { onRequest() {
          let n = 0;
          return new Response(new ReadableStream({ async pull(out) {
            if (n++ > 20) await new Promise(() => {});
            out.enqueue(new Uint8Array(1000));
          } }));
        } };
        """)
    with gateway.http1() as client:
        client.send(b"GET /bad HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.head().status == 200
        for pid in cordons(gateway):
            os.kill(pid, signal.SIGKILL)
        assert not client.rest().endswith(b"0\r\n\r\n")
    gateway.wait_log("its process ended with")
    assert gateway.fetch("http1", "GET", "/good").status == 200


def test_functions_of_one_tenant_share_a_cordon_and_others_do_not(start):
    functions = "".join(f"f{n}: {{file: hooks/good.js, untrusted: true, tenant: {tenant}}}\n"
                        for n, tenant in enumerate(["acme", "acme", "zeta"]))
    rules = "".join(f"- {{name: r{n}, when: 'path == \"/{n}\"', do: [{{run: {{function: f{n}}}}}]}}\n" for n in range(3))
    gateway = start(functions=functions, request=rules, hooks={"good.js": GOOD})
    for n in range(3):
        assert gateway.fetch("http1", "GET", f"/{n}").status == 200
    assert len(cordons(gateway)) == 2


def test_cordon_has_no_rights(start):
    gateway = two_tenants(start, GOOD)
    pid = cordons(gateway)[0]
    status = Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"NoNewPrivs:\s+1", status) and re.search(r"Seccomp:\s+2", status)
    open_files = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    assert sum("socket:" in name for name in open_files) == 1, open_files
    assert not any(name.startswith("/") and not name.startswith(("/dev/null", "/memfd:")) and "pipe" not in name for name in open_files), open_files


def test_untrusted_function_that_cannot_be_loaded_stops_the_start_with_its_place(start):
    with pytest.raises(AssertionError, match=r"bad\.js:1:\d+"):
        two_tenants(start, "export default { onRequest( { } };")


def test_cordons_end_with_their_worker_and_with_the_gateway(start):
    gateway = two_tenants(start, GOOD)
    first = cordons(gateway)
    os.kill(gateway.worker_pids()[0], signal.SIGKILL)
    wait_until(lambda: len(cordons(gateway)) == 2 and not set(cordons(gateway)) & set(first), "the new worker has its own")
    last = cordons(gateway)
    gateway.stop()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in last), "no cordon is left")


def test_bodies_cross_in_both_directions(start, protocol):
    gateway = start(functions="f: {file: hooks/f.js, untrusted: true}", request="- {name: r, do: [{run: {function: f}}]}",
                    response="- {name: s, do: [{run: {function: f}}]}", hooks={"f.js": """\
        export default {
          async onRequest(request) {
            if (request.method === "GET") return;
            const text = await request.text();
            return new Request(request, {body: text.toUpperCase() + text.length});
          },
          async onResponse(response) { return new Response(await response.arrayBuffer(), response); },
        };
        """})
    seen = json.loads(gateway.fetch(protocol, "POST", "/echo", body=b"q" * 50_000).body)
    assert seen["body"] == "Q" * 50_000 + "50000"
    assert gateway.fetch(protocol, "GET", "/bytes/700000").body == (PATTERN * 20)[:700_000]
    wait_until(lambda: metric(gateway, "sluice_copied_bytes_total", where="cordon") > 1_500_000, "copies are counted")
