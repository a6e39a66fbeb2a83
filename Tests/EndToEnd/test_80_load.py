"""Many requests, not one of them failed, also while rules are reloaded every second."""
import re
import subprocess
import threading

import pytest

from harness.gateway import binary
from harness.waiting import accepts, free_ports, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo_origin():
    """The embedded origin: a Python one would be what is measured."""
    port = free_ports(1)[0]
    process = subprocess.Popen([binary(), "origin", "--port", str(port)], stdout=subprocess.DEVNULL)
    wait_until(lambda: accepts(port), "the demo origin listens")
    yield port
    process.terminate()
    process.wait(20)


@pytest.fixture
def gateway(start, demo_origin):
    # h2load does not connect again after a GOAWAY, and loses what it has pipelined behind a "Connection: close".
    return start(workers=2, limits="requests_per_connection: 10000000", upstreams=f'demo: {{servers: ["http://127.0.0.1:{demo_origin}"]}}',
                 functions="mark: {file: hooks/mark.js}",
                 hooks={"mark.js": 'export default { onResponse(r) { r.headers.set("x-mark", "1"); } };'},
                 request="- {name: to the demo origin, do: [{route: demo}]}",
                 response='- {name: mark, when: path == "/hook", do: [{run: {function: mark}}]}')


@pytest.fixture
def count(full):
    return 1_000_000 if full else 20_000


class Reloading:
    """SIGHUP once a second while the block runs."""

    def __init__(self, gateway, wanted: bool):
        self.gateway, self.wanted, self.done, self.count = gateway, wanted, threading.Event(), 0

    def __enter__(self):
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def _run(self):
        import signal
        while self.wanted:
            self.gateway.signal(signal.SIGHUP)
            self.count += 1
            if self.done.wait(1):
                return

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


@pytest.mark.parametrize("reloading", [False, True], ids=["steady", "reloading"])
@pytest.mark.parametrize("name,arguments,scheme", [
    ("h2", ["-c", "16", "-m", "10"], "https"), ("http1-tls", ["--h1", "-c", "32"], "https"),
    ("http1", ["--h1", "-c", "32"], "http"), ("pipelined", ["--h1", "-c", "8", "-m", "8"], "http"),
], ids=["h2", "http1-tls", "http1", "pipelined"])
def test_h2load_sees_no_failed_request(gateway, count, name, arguments, scheme, reloading):
    port = gateway.ports.secure if scheme == "https" else gateway.ports.plain
    with Reloading(gateway, reloading):
        done = subprocess.run(["h2load", "-t", "1", "-n", str(count), *arguments, f"{scheme}://localhost:{port}/echo"],
                              capture_output=True, text=True, timeout=600)
    found = re.search(r"requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored",
                      done.stdout)
    assert found, done.stdout + done.stderr
    total, _, _, succeeded, failed, errored = map(int, found.groups())
    bad = [line for line in (gateway.folder / "access.log").read_text().splitlines() if '"status":200' not in line]
    assert (succeeded, failed, errored) == (total, 0, 0), f"{done.stdout}\n{len(bad)} such lines: {bad[:3]}"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wrk_sees_no_error_while_a_hook_runs_and_rules_reload(gateway, scheme, full):
    port = gateway.ports.secure if scheme == "https" else gateway.ports.plain
    with Reloading(gateway, True):
        done = subprocess.run(["wrk", "-t", "1", "-c", "32", "-d", "60s" if full else "4s", f"{scheme}://localhost:{port}/hook"],
                              capture_output=True, text=True, timeout=600)
    assert "Socket errors" not in done.stdout and "Non-2xx" not in done.stdout, done.stdout
    assert int(re.search(r"(\d+) requests in", done.stdout)[1]) > 1000
    gateway.wait_log("reload|generation")


def test_connections_that_reach_their_number_of_requests_lose_none(start, demo_origin):
    gateway = start(workers=2, limits="requests_per_connection: 50", request="- {name: to the demo origin, do: [{route: demo}]}",
                    upstreams=f'demo: {{servers: ["http://127.0.0.1:{demo_origin}"]}}')
    done = subprocess.run(["h2load", "--h1", "-t", "1", "-n", "5000", "-c", "8", f"https://localhost:{gateway.ports.secure}/echo"],
                          capture_output=True, text=True, timeout=600)
    assert re.search(r"5000 succeeded, 0 failed, 0 errored", done.stdout), done.stdout
    wait_until(lambda: gateway.metric("sluice_connections_accepted_total") >= 100, "many connections were counted")


def test_counters_return_to_rest_after_load(gateway, count):
    subprocess.run(["h2load", "-t", "1", "-n", str(count // 4), "-c", "32", "-m", "4",
                    f"https://localhost:{gateway.ports.secure}/echo"], capture_output=True, timeout=600, check=True)

    def at_rest() -> bool:
        return all(gateway.metric(f"sluice_{name}") == 0 for name in ("connections_active", "requests_active", "tunnels_active"))

    wait_until(at_rest, "no connection and no exchange is counted as open")
    assert gateway.metric("sluice_requests_total") >= count // 4
    assert gateway.metric("sluice_bugs_total") == 0
