"""Running it: reload, crashes, drain, mistakes on the command line and in files, metrics and logs."""
import concurrent.futures
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness.gateway import Ports, binary, rule_file
from harness.http1 import EndOfStream
from harness.origin import PATTERN, Exchange
from harness.waiting import free_ports, wait_until


def respond(word: str) -> str:
    return f'- {{name: version, match: {{path: /version}}, do: [{{respond: {{status: 200, body: "{word}"}}}}]}}'


class Load:
    """Keep-alive clients that send until told to stop; counts what failed."""

    def __init__(self, gateway, clients: int = 4, path: str = "/bytes/1000"):
        self.gateway, self.path = gateway, path
        self.stopping = threading.Event()
        self.served = 0
        self.failures: list[str] = []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self) -> None:
        # A test that fails never stops it, and a gateway that is gone refuses at once, for ever.
        while not self.stopping.is_set() and len(self.failures) < 1000:
            try:
                with self.gateway.http1() as client:
                    while not self.stopping.is_set():
                        answer = client.request("GET", self.path)
                        if answer.status != 200:
                            self.failures.append(f"status {answer.status}")
                        self.served += 1
                        if (answer.header("connection") or "").lower() == "close":
                            break
            except (EndOfStream, OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def stop(self) -> "Load":
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return self


# Reload

def test_reload_takes_new_rules_over_and_keeps_connections(start, certificates, origin):
    gateway = start(request=respond("one"))
    with gateway.http1() as plain, gateway.http1(tls=True) as secure, gateway.http2() as h2:
        for client in (plain, secure, h2):
            assert client.request("GET", "/version").body == b"one"
        gateway.reload(rule_file(gateway.ports, certificates, origin.port, request=respond("two")))
        for client in (plain, secure, h2):
            wait_until(lambda: client.request("GET", "/version").body == b"two", "the new rules serve open connections")


def test_reload_of_a_bad_file_changes_nothing_and_says_why(start, certificates, origin):
    gateway = start(request=respond("one"))
    good = gateway.file.read_text()
    for broken in (good.replace("respond:", "respnd:"), good[:len(good) // 2], "", "sluice: 1\nsites: [\n"):
        gateway.reload(broken)
        assert gateway.fetch("http1", "GET", "/version").body == b"one"
    gateway.wait_log(r"sluice\.yaml:\d+:\d+")
    gateway.reload(rule_file(gateway.ports, certificates, origin.port, request=respond("two")))
    wait_until(lambda: gateway.fetch("http1", "GET", "/version").body == b"two", "a good file is taken over after bad ones")


def test_reload_takes_a_changed_hook_over(start):
    hook = 'export default { onResponse(r) { r.headers.set("x-version", "%s"); } };'
    gateway = start(functions="mark: {file: hooks/mark.js}", response="- {name: mark, do: [{run: {function: mark}}]}",
                    hooks={"mark.js": hook % "one"})
    assert gateway.fetch("http1", "GET", "/").header("x-version") == "one"
    gateway.reload(hooks={"mark.js": hook % "two"})
    wait_until(lambda: gateway.fetch("http1", "GET", "/").header("x-version") == "two", "the new hook runs")
    gateway.reload(hooks={"mark.js": "export default { onResponse( }"})
    assert gateway.fetch("http1", "GET", "/").header("x-version") == "two"


def test_request_keeps_the_rules_it_began_with(start, certificates, origin):
    rules = '- {name: mark, do: [{set_header: {X-Version: "%s"}}]}'
    gateway = start(response=rules % "one")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        slow = pool.submit(gateway.fetch, "http1", "GET", "/slow/1500")
        wait_until(lambda: origin.requests, "the slow request is at the origin")
        gateway.reload(rule_file(gateway.ports, certificates, origin.port, response=rules % "two"))
        wait_until(lambda: gateway.fetch("http1", "GET", "/").header("x-version") == "two", "the new rules serve")
        assert slow.result().header("x-version") == "one"


def test_reloads_under_load_fail_nothing(start, certificates, origin):
    gateway = start(workers=2, request=respond("0"))
    load = Load(gateway)
    for number in range(1, 11):
        gateway.reload(rule_file(gateway.ports, certificates, origin.port, request=respond(str(number)))
                       if number % 3 else "sluice: 1\nbroken: [")
        wait_until(lambda seen=load.served: load.served > seen + 20, "requests are served after the reload")
    load.stop()
    assert not load.failures


# Processes

def test_killed_worker_is_replaced_within_a_second(start):
    gateway = start(workers=2)
    load = Load(gateway)
    wait_until(lambda: load.served > 50, "load is on")
    victim = gateway.worker_pids()[0]
    killed = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len([pid for pid in gateway.worker_pids() if pid != victim]) == 2, "a new worker runs", 5)
    assert time.monotonic() - killed < 1.0
    wait_until(lambda seen=load.served: load.served > seen + 50, "all is served again")
    load.stop()
    assert len(load.failures) <= 4, "at most the requests in flight on the killed worker fail"
    gateway.wait_log(rf"{victim}|signal 9|SIGKILL|killed")


def test_worker_that_keeps_dying_is_not_restarted_in_a_tight_loop(start):
    gateway = start(workers=1)
    seen = gateway.worker_pids()
    for _ in range(6):
        os.kill(seen[-1], signal.SIGKILL)
        seen.append(wait_until(lambda: next((pid for pid in gateway.worker_pids() if pid not in seen), 0), "there is a new worker"))
        wait_until(lambda: f"pid {seen[-1]}" in gateway.text, "the new worker is ready")
    assert gateway.fetch("http1", "GET", "/").status == 200
    gateway.wait_log("died too often; starting it again in")


def test_workers_end_with_the_supervisor(start):
    gateway = start(workers=2)
    workers = gateway.worker_pids()
    gateway.process.kill()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), "orphaned workers end by themselves")
    gateway.process.wait()
    gateway.process.returncode = 0


@pytest.mark.parametrize("protocol", ["http1", "http1-tls", "http2"])
def test_sigterm_lets_open_requests_end(start, origin, protocol):
    async def slow(exchange: Exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf.")
        wanted.wait()
        await exchange.send(b"other")

    wanted = threading.Event()
    origin.script = slow
    gateway = start()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(gateway.fetch, protocol, "GET", "/")
        wait_until(lambda: origin.requests, "the request is at the origin")
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: refused(gateway.ports.plain), "no new connection is taken")
        wanted.set()
        assert answer.result().body == b"half.other"
    assert gateway.process.wait(20) == 0


def refused(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_sigterm_closes_idle_connections_at_once(start):
    gateway = start()
    with gateway.http1() as plain, gateway.http2() as h2:
        plain.request("GET", "/")
        h2.request("GET", "/")
        begun = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - begun < 5
        assert plain.is_closed()
        while h2.receive():
            pass
        assert h2.goaway == 0, "HTTP/2 clients get a GOAWAY without error"


# Mistakes

def run_once(folder, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([binary(), *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture
def written(tmp_path, certificates):
    """A rule file that is good, and its text."""
    text = rule_file(Ports(*free_ports(3)), certificates, 1)
    (tmp_path / "sluice.yaml").write_text(text)
    return tmp_path, text


def test_check_accepts_a_good_file(written):
    folder, _ = written
    done = run_once(folder, "check", "sluice.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


MISTAKES = {
    "misspelt key": (lambda text: text.replace("upstreams:", "upstreems:"), r"sluice\.yaml:\d+:\d+", "upstreams"),
    "unknown upstream": (lambda text: text.replace("upstream: origin", "upstream: orgin"), r"sluice\.yaml:\d+:\d+", "origin"),
    "tab": (lambda text: text + "\tx: 1\n", r"sluice\.yaml:\d+:\d+", "tab"),
    "same key twice": (lambda text: text + "sluice: 1\n", r"sluice\.yaml:\d+:\d+", "sluice"),
    "no certificate": (lambda text: text.replace("server.crt", "gone.crt"), r"gone\.crt", "gone.crt"),
    "no key": (lambda text: text.replace("server.key", "gone.key"), r"gone\.key", "gone.key"),
    "key of another certificate": (lambda text: text.replace("server.key", "ca.key"), r"ca\.key|server\.crt", "belong"),
    "certificate that is none": (lambda text: text.replace("server.crt", "ca.key"), r"ca\.key", "ca.key"),
    "bad address": (lambda text: text.replace('"127.0.0.1:', '"127.0.0.300:', 1), r"sluice\.yaml:\d+:\d+", "127.0.0.300"),
    "no hook file": (lambda text: text + "functions:\n  f: {file: hooks/gone.js}\n", r"gone\.js", "gone.js"),
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("command", ["check", "run"])
def test_mistake_in_a_file_ends_with_its_place(written, command, name):
    folder, text = written
    change, place, word = MISTAKES[name]
    (folder / "sluice.yaml").write_text(change(text))
    arguments = ["check", "sluice.yaml"] if command == "check" else ["run", "--config", "sluice.yaml"]
    done = run_once(folder, *arguments)
    output = done.stdout + done.stderr
    assert done.returncode == 1, output
    assert re.search(place, output), output
    assert word in output


def test_all_mistakes_of_a_file_are_told_in_one_run(written):
    folder, text = written
    (folder / "sluice.yaml").write_text(text.replace("upstream: origin", "upstream: orgin") + "bogus: 1\nwrong: 2\n")
    output = "".join(run_once(folder, "check", "sluice.yaml").stdout)
    output += run_once(folder, "check", "sluice.yaml").stderr
    assert all(word in output for word in ("orgin", "bogus", "wrong", "^"))


@pytest.mark.parametrize("arguments", [["run"], ["run", "--config", "gone.yaml"], ["check", "gone.yaml"], ["bogus"],
                                       ["run", "--config", "sluice.yaml", "--workers", "0"],
                                       ["run", "--config", "sluice.yaml", "--workers", "x"], ["check", "."]])
def test_mistake_on_the_command_line_is_told(written, arguments):
    done = run_once(written[0], *arguments)
    assert done.returncode != 0 and len(done.stderr.strip()) > 10
    assert "Fatal error" not in done.stderr and done.returncode > 0


def test_taken_port_is_told_with_its_number(start, certificates, origin):
    gateway = start()
    taken = gateway.ports
    others = free_ports(2)
    for ports in (Ports(taken.plain, *others), Ports(others[0], others[1], taken.admin)):
        text = rule_file(ports, certificates, origin.port)
        (gateway.folder / "second.yaml").write_text(text)
        done = run_once(gateway.folder, "run", "--config", "second.yaml")
        port = taken.plain if ports.plain == taken.plain else taken.admin
        assert done.returncode == 1 and str(port) in done.stdout + done.stderr
    assert gateway.fetch("http1", "GET", "/").status == 200, "the one that had the port first serves on"


def test_version_and_help():
    assert run_once(None, "version").stdout.strip()
    for command in ([], ["run"], ["check"], ["origin"]):
        done = run_once(None, *command, "--help")
        assert done.returncode == 0 and "USAGE" in done.stdout.upper()


# What it tells

def test_metrics_count_requests_and_bytes(start):
    gateway = start()
    for _ in range(7):
        gateway.fetch("http1", "GET", "/bytes/1000")
    gateway.fetch("http2", "GET", "/status/404")
    wait_until(lambda: gateway.metric("sluice_requests_total") >= 8, "all requests are counted")
    assert gateway.metric("sluice_forwarded_bytes_total") >= 7000


def test_metrics_of_all_workers_are_summed_and_survive_a_worker(start):
    gateway = start(workers=2)
    for _ in range(20):
        gateway.fetch("http1", "GET", "/bytes/10")
    wait_until(lambda: gateway.metric("sluice_requests_total") >= 20, "requests of both workers are counted")


def test_access_log_tells_what_happened(start):
    gateway = start(functions="mark: {file: hooks/mark.js}", hooks={"mark.js": "export default { onRequest() {} };"},
                    request="- {name: run mark, do: [{run: {function: mark}}]}")
    with gateway.http2() as client:
        client.request("POST", "/logged?a=b", [("user-agent", "tester")], PATTERN[:1000])
    line = wait_until(lambda: next(iter(gateway.access_log()), None), "a line in the access log")
    text = str(line)
    assert line["status"] == 200 and line["site"] == "test"
    for part in ("/logged", "POST", "run mark", "mark", "origin", "127.0.0.1"):
        assert part in text, f"{part} is missing in {text}"
    assert {"id", "rules", "hooks", "upstream", "bytes_in", "bytes_out", "duration_ms"} <= set(line), sorted(line)
    assert line["bytes_in"] == 1000


def test_refused_requests_are_logged_too(start):
    gateway = start()
    with gateway.http1() as client:
        client.send(b"GET / HTTP/1.1\r\nHost : bad\r\n\r\n")
        assert client.rest()
    assert wait_until(lambda: next(iter(gateway.access_log()), None), "a line")["status"] == 400
