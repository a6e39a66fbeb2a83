"""Who looks at a function (profile, heap, tail, DevTools) while it floods its console, runs into its limits and is replaced: nobody else notices."""
import concurrent.futures
import json
import os
import subprocess

import pytest

from harness.devtools import DevTools
from harness.gateway import binary
from harness.inspected import Asked, make_gateway, plain, signed, target
from harness.waiting import BOUND, wait_until

WILD = """\
    export default { onRequest(request) {
      for (let line = 0; line < 200; line++) console.log("VERSION", line, "x".repeat(1000));
      if (request.url.includes("loop")) for (;;) {}
      if (request.url.includes("grow")) { const kept = []; for (;;) kept.push(new Array(1000).fill(1)); }
      return new Response("wild");
    } };
    """
CALM = "export default { onRequest() { return new Response('calm'); } };"
SITES = "- name: s\n  hosts: ['*']\n  request:\n    - {name: calm, when: path == \"/calm\", do: [{run: calm}]}\n    - {name: wild, do: [{run: wild}]}\n"


def command(gateway, *arguments):
    return subprocess.run([binary(), *arguments, "--config", str(gateway.file)], cwd=gateway.folder, capture_output=True, text=True,
                          env={**os.environ, **gateway.environment}, timeout=4 * BOUND)


def test_profiles_heaps_and_tails_of_a_function_that_floods_fails_and_is_replaced(start):
    gateway = start(functions="wild: {file: hooks/wild.js, lane: inline, limits: {cpu: 20ms}}\ncalm: {file: hooks/calm.js}", sites=SITES,
                    hooks={"wild.js": WILD, "calm.js": CALM})
    worker = gateway.worker_pids()
    tail = subprocess.Popen([binary(), "tail", "--json"], stdout=subprocess.PIPE, cwd=gateway.folder, env={**os.environ, **gateway.environment})
    try:
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            profiles = [pool.submit(command, gateway, "profile", "--function", "wild", "--seconds", "1", "-o", "1.cpuprofile")]
            heaps, statuses, round = [], set(), 0
            while not profiles[-1].done() or len(profiles) < 3:
                if profiles[-1].done():
                    profiles.append(pool.submit(command, gateway, "profile", "--function", "wild", "--seconds", "1", "-o", f"{len(profiles) + 1}.cpuprofile"))
                    heaps.append(pool.submit(command, gateway, "heap", "--function", "wild", "-o", "wild.heapsnapshot"))
                for path in ("/", "/loop", "/", "/grow"):
                    statuses.add((path, gateway.fetch("http1", "GET", path).status))
                    answer = gateway.fetch("http1", "GET", "/calm")
                    assert (answer.status, answer.body) == (200, b"calm")
                round += 1
                # The third profile has its time in peace, at least from replacements.
                if len(profiles) < 3:
                    gateway.reload(hooks={"wild.js": WILD.replace("VERSION", f"version {round}")})
            looked = [each.result() for each in profiles + heaps]
    finally:
        tail.kill()
        tail.wait()
    for result in looked:
        assert result.returncode == 0 or "lost meanwhile" in result.stderr, result.stderr
    assert {("/", 200), ("/loop", 500), ("/grow", 500)} <= statuses
    assert gateway.worker_pids() == worker and gateway.metric("sluice_bugs_total") == 0
    assert gateway.metric("sluice_hook_log_bytes_dropped_total") > 0
    gateway.fetch("http1", "GET", "/")
    last = command(gateway, "heap", "--function", "wild", "-o", "last.heapsnapshot")
    assert last.returncode == 0, last.stderr
    assert json.loads((gateway.folder / "last.heapsnapshot").read_text())["snapshot"]["node_count"] > 1000


LOUD = """\
export default { onRequest() {
  for (let line = 0; line < 300; line++) console.log(line, "x".repeat(100000));
  return new Response("loud");
} };
"""


@pytest.fixture
def inspected(tmp_path, certificates, origin):
    gateway = make_gateway(tmp_path, certificates, origin)
    yield gateway
    assert gateway.stop() == 0


def test_a_client_of_devtools_that_does_not_read_holds_its_own_function_only(inspected):
    """30 MB of console lines for somebody who takes none: the process waits, and goes on when the client is gone."""
    inspected.reload(hooks={"greet.js": LOUD})
    worker = inspected.worker_pids()
    before = inspected.resident_kib(worker[0])
    tools = DevTools(target(inspected, "greet")["webSocketDebuggerUrl"], max_queue=1)
    tools.ask("Runtime.enable")
    asked = [Asked(inspected, "/greet", signed(inspected)) for _ in range(3)]
    for _ in range(30):
        assert plain(inspected, "/other") == "other" and plain(inspected, "/greet") == "loud"
    assert inspected.resident_kib(worker[0]) - before < 64_000
    tools.cut()
    wait_until(lambda: all(each.is_over for each in asked), "what waited goes on without the client")
    wait_until(lambda: Asked(inspected, "/greet", signed(inspected)).text() == "loud", "and the next request")
    assert inspected.worker_pids() == worker


@pytest.mark.parametrize("end", ["reload", "cut"])
def test_a_profile_by_devtools_that_nobody_ends(inspected, end):
    with DevTools(target(inspected, "greet")["webSocketDebuggerUrl"]) as tools:
        for domain in ("Profiler", "HeapProfiler"):
            tools.ask(f"{domain}.enable")
        tools.ask("Profiler.start")
        tools.ask("HeapProfiler.startSampling")
        assert Asked(inspected, "/greet", signed(inspected)).text() == "hello nobody 2"
        if end == "reload":
            inspected.reload(hooks={"greet.js": LOUD.replace("300", "1")})
        else:
            tools.cut()
    wanted = "loud" if end == "reload" else "hello nobody"
    wait_until(lambda: Asked(inspected, "/greet", signed(inspected)).text().startswith(wanted), "the function is served and debugged")
    assert inspected.metric("sluice_cordon_deaths_total") == 0 and plain(inspected, "/greet").startswith(wanted)
