"""A new process takes a gateway's place; sockets of a service manager; times to drain."""
import asyncio
import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import websockets

from harness.gateway import Gateway, binary, is_running, rule_file
from harness.waiting import BOUND, wait_until
from test_34_http2_features import echo_server, message, open_websocket, send
from test_60_operations import Load, respond


def status(gateway) -> dict:
    return json.loads(gateway.command("status", "--json").stdout)


def counter(gateway, name: str, **labels: str) -> float:
    return gateway.metric(name, **labels)


# Upgrade

def test_an_upgrade_under_load_refuses_nothing_and_keeps_what_was_counted(start):
    gateway = start(workers=2, request=respond("one"))
    for _ in range(20):
        assert gateway.fetch("http1", "GET", "/version").body == b"one"
    wait_until(lambda: counter(gateway, "sluice_rule_hits_total", rule="test/version") == 20, "the rule is counted")
    old = gateway.process.pid
    load = Load(gateway)
    wait_until(lambda: load.served > 50, "load is on")
    new = gateway.upgrade()
    assert new != old and status(gateway)["pid"] == new
    wait_until(lambda seen=load.served: load.served > seen + 50, "requests are served")
    assert gateway.process.wait(BOUND) == 0, "the old process has ended by itself"
    wait_until(lambda: status(gateway)["predecessor"] == "none", "the new process hears of it")
    load.stop()
    assert not load.failures
    served = load.served + 20
    wait_until(lambda: counter(gateway, "sluice_requests_total") == served, "every request is counted once")
    assert counter(gateway, "sluice_rule_hits_total", rule="test/version") == 20
    assert counter(gateway, "sluice_upgrades_total") == 1
    assert status(gateway)["generation"] == 2


def test_upgrades_can_follow_each_other_and_reload_goes_on(start, certificates, origin):
    gateway = start(request=respond("0"))
    for number in range(1, 4):
        gateway.upgrade()
        gateway.reload(rule_file(gateway.ports, certificates, origin.port, request=respond(str(number))))
        wait_until(lambda n=number: gateway.fetch("http1", "GET", "/version").body == str(n).encode(), "the new rules serve")
        wait_until(lambda: status(gateway)["predecessor"] == "none", "the process before is gone")
    assert counter(gateway, "sluice_upgrades_total") == 3


@pytest.mark.parametrize("script, why", [
    ("exit 3", "exit status 3"),
    ("sleep 60 >/dev/null 2>&1 & exec sleep 60", "did not serve in time"),
    ("kill -SEGV $$", "SIGSEGV"),
], ids=["ends", "hangs", "crashes"])
def test_a_program_that_does_not_come_up_changes_nothing(start, tmp_path, script, why):
    gateway = start(request=respond("one"))
    broken = tmp_path / "broken"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    done = gateway.command("upgrade", "--program", str(broken), "--seconds", "2")
    assert done.returncode == 1 and why in done.stderr and "goes on" in done.stderr
    assert gateway.fetch("http1", "GET", "/version").body == b"one"
    assert status(gateway)["pid"] == gateway.process.pid
    assert counter(gateway, "sluice_upgrades_failed_total") == 1
    gateway.upgrade()
    assert gateway.fetch("http1", "GET", "/version").body == b"one"


def test_a_reload_during_an_upgrade_that_fails_is_answered(start, tmp_path, certificates, origin):
    """It follows the upgrade, and whoever asked hears of that one and not of the next."""
    gateway = start(request=respond("one"))
    gate, slow = tmp_path / "gate", tmp_path / "slow"
    os.mkfifo(gate)
    slow.write_text(f"#!/bin/sh\nread line < {gate}\nexit 3\n")
    slow.chmod(0o755)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        upgrade = pool.submit(gateway.command, "upgrade", "--program", str(slow), "--seconds", "55")
        with gate.open("w"):
            gateway.wait_log("to take this gateway's place")
            gateway.file.write_text(rule_file(gateway.ports, certificates, origin.port, request=respond("two")))
            reload = pool.submit(gateway.command, "reload")
            gateway.wait_log("asks for /v1/reload")
            assert not reload.done() and not upgrade.done()
        assert upgrade.result(BOUND).returncode == 1
        done = reload.result(BOUND)
    assert done.returncode == 0 and "generation 2" in done.stdout, done.stdout + done.stderr
    assert gateway.fetch("http1", "GET", "/version").body == b"two"


def test_an_old_process_that_is_told_to_stop_finishes_its_requests_first(start, origin):
    """It leaves already; the first signal takes nothing from what runs, the second one does."""
    gateway = start()
    with gateway.http1() as first, gateway.http1() as second:
        first.send(b"GET /slow/1500 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        second.send(b"GET /slow/3600000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: len(origin.requests) == 2, "both requests are at the origin")
        gateway.upgrade()
        gateway.process.send_signal(signal.SIGTERM)
        assert first.response().status == 200
        gateway.wait_log("the last requests have up to")
        gateway.process.send_signal(signal.SIGTERM)
        assert second.is_closed()
    assert gateway.process.wait(BOUND) == 0


def test_a_new_version_that_refuses_the_configuration_says_so_and_the_old_one_serves(start):
    gateway = start(request=respond("one"))
    good = gateway.file.read_text()
    gateway.file.write_text(good.replace("respond:", "respnd:"))
    done = gateway.command("upgrade")
    assert done.returncode == 1 and "respnd" in done.stderr and "did you mean" in done.stderr
    assert gateway.fetch("http1", "GET", "/version").body == b"one"
    gateway.file.write_text(good)
    gateway.upgrade()


def test_a_request_that_runs_is_finished_by_the_old_process(start, origin):
    gateway = start()
    with gateway.http1() as client:
        client.send(b"GET /slow/1500 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: origin.requests, "the slow request is at the origin")
        gateway.upgrade()
        assert gateway.fetch("http1", "GET", "/").status == 200
        answer = client.response()
        assert answer.status == 200 and answer.header("connection") == "close"


def test_an_idle_connection_may_send_one_more_request_to_the_old_process(start):
    gateway = start(rules=None)
    with gateway.http1() as client, gateway.http2() as h2:
        assert client.request("GET", "/").status == 200
        assert h2.request("GET", "/").status == 200
        gateway.upgrade()
        answer = client.request("GET", "/")
        assert answer.status == 200 and answer.header("connection") == "close"


def test_tls_sessions_tokens_and_fences_outlive_an_upgrade(start):
    gateway = start()
    token = gateway.command("token", "--role", "operate").stdout.strip()
    context = ssl.create_default_context(cafile=str(gateway.authority))
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def connect(session=None):
        with socket.create_connection(("127.0.0.1", gateway.ports.secure)) as plain, \
                context.wrap_socket(plain, server_hostname="localhost", session=session) as secure:
            return secure.session, secure.session_reused

    session, _ = connect()
    gateway.upgrade()
    assert connect(session)[1]
    from harness import http1
    with http1.Connection(gateway.ports.admin) as client:
        answer = client.request("POST", "/v1/logs/reopen", [("Authorization", f"Bearer {token}")], b"", "127.0.0.1")
        assert answer.status == 200


def test_a_program_cannot_be_named_on_the_admin_address(start):
    gateway = start()
    token = gateway.command("token", "--role", "admin").stdout.strip()
    from harness import http1
    with http1.Connection(gateway.ports.admin) as client:
        answer = client.request("POST", "/v1/upgrade?program=/bin/true", [("Authorization", f"Bearer {token}")], b"", "127.0.0.1")
        assert answer.status == 403
    with http1.Connection(gateway.ports.admin) as client:
        assert client.request("POST", "/v1/upgrade", [], b"", "127.0.0.1").status == 401


def test_the_service_manager_hears_which_process_to_watch(certificates, origin, tmp_path):
    from test_64_service import Manager
    manager = Manager(tmp_path)
    gateway = Gateway(tmp_path, certificates, lambda ports: rule_file(ports, certificates, origin.port),
                      environment={"NOTIFY_SOCKET": manager.path})
    try:
        gateway.wait_ready()
        pid = gateway.upgrade()
        assert f"MAINPID={pid}\nREADY=1" in manager.wait("MAINPID=")
        gateway.process.wait(BOUND)
        assert not [each for each in manager.told if "STOPPING" in each]
    finally:
        assert gateway.stop() == 0
        manager.socket.close()


def test_a_first_process_that_must_stay_passes_signals_on_and_ends_with_the_last(start, certificates, origin):
    gateway = start(arguments=["--stay"], request=respond("0"))
    first = gateway.process
    for number in (1, 2):
        gateway.upgrade()
        wait_until(lambda: status(gateway)["predecessor"] == "none", "the process before has finished")
        assert gateway.fetch("http1", "GET", "/version").body == str(number - 1).encode()
        gateway.write(rule_file(gateway.ports, certificates, origin.port, request=respond(str(number))))
        os.kill(first.pid, signal.SIGHUP)
        wait_until(lambda n=number: gateway.fetch("http1", "GET", "/version").body == str(n).encode(), "the signal has reached the one that serves")
    assert first.poll() is None and not is_running(gateway.successors[0])
    os.kill(first.pid, signal.SIGTERM)
    assert first.wait(BOUND) == 0
    assert not is_running(gateway.pid)


def test_when_the_process_that_serves_dies_the_one_that_stayed_says_so(start):
    gateway = start(arguments=["--stay"])
    gateway.upgrade()
    gateway.wait_log("staying as the parent")
    os.kill(gateway.pid, signal.SIGKILL)
    assert gateway.process.wait(BOUND) == 1
    gateway.wait_log("which served, ended with signal 9")
    gateway.process.returncode = 0  # This end was wanted.


# Times to drain

def chat_rules(port: int) -> dict[str, str]:
    return {"upstreams": f'chat: {{servers: ["http://127.0.0.1:{port}"]}}',
            "request": '- {name: chat, match: {path: /chat}, do: [{route: chat}]}'}


@pytest.mark.parametrize("why", ["stop", "upgrade", "reload"])
def test_a_websocket_hears_a_close_frame_when_the_time_to_drain_is_over(start, certificates, origin, why):
    times = {"stop": "", "upgrade": "", "reload": ""} | {why: f"{why}: 300ms"}
    drain = "drain: {" + ", ".join(filter(None, times.values())) + "}\n"
    with echo_server() as (port, _):
        gateway = start(rules=lambda ports: rule_file(ports, certificates, origin.port, **chat_rules(port)) + drain)

        async def talk():
            async with websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None) as chat, \
                    websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None) as other:
                for each in (chat, other):
                    await each.send("hello")
                    assert await each.recv() == "hello"
                if why == "stop":
                    gateway.signal(signal.SIGTERM)
                elif why == "upgrade":
                    await asyncio.to_thread(gateway.upgrade)
                else:
                    await asyncio.to_thread(gateway.reload, gateway.file.read_text() + "# changed\n")
                for each in (chat, other):
                    with contextlib.suppress(websockets.ConnectionClosed):
                        await asyncio.wait_for(each.recv(), BOUND)
                    assert each.close_code == 1001

        asyncio.run(talk())


def test_a_websocket_over_http2_hears_it_too_and_the_connection_gets_a_goaway(start, certificates, origin):
    with echo_server() as (port, _):
        gateway = start(rules=lambda ports: rule_file(ports, certificates, origin.port, **chat_rules(port)) + "drain: {stop: 300ms}\n")
        with gateway.http2() as client:
            stream = open_websocket(client)
            send(client, stream, message(b"hello"))
            client.receive_until(lambda: client.responses[stream].body.endswith(b"hello"), "the echo")
            client.responses[stream].body = b""
            gateway.signal(signal.SIGTERM)
            client.receive_until(lambda: stream in client.finished, "the end of the stream")
            assert client.responses[stream].body == b"\x88\x02\x03\xe9"


def test_a_reload_without_a_limit_keeps_websockets(start):
    with echo_server() as (port, _):
        gateway = start(**chat_rules(port))

        async def talk():
            async with websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None) as chat:
                for _ in range(3):
                    await asyncio.to_thread(gateway.reload, gateway.file.read_text() + "# changed\n")
                    await chat.send("still here")
                    assert await chat.recv() == "still here"

        asyncio.run(talk())


def test_the_command_line_has_the_last_word_on_the_time_to_stop(start, certificates, origin):
    gateway = start(rules=lambda ports: rule_file(ports, certificates, origin.port) + "drain: {stop: 1h}\n",
                    arguments=["--drain-timeout", "200ms"])
    with gateway.http1() as client:
        client.send(b"GET /slow/60000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: origin.requests, "the slow request is at the origin")
        gateway.signal(signal.SIGTERM)
        assert gateway.process.wait(BOUND) == 0


# Socket activation

ACTIVATE = """
import os, sys
names, command = sys.argv[1], sys.argv[2:]
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names.split(":"))), LISTEN_FDNAMES=names)
os.execv(command[0], command)
"""


@contextlib.contextmanager
def activated(folder: Path, rules: str, names: str, sockets: list[socket.socket], workers: int = 2):
    """The gateway as a service manager starts it: with open sockets from descriptor 3 on."""
    (folder / "sluice.yaml").write_text(rules)
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    # High numbers first, so that no socket is overwritten while they are put in order.
    high = [os.dup2(each.fileno(), 100 + index) for index, each in enumerate(sockets)]
    output = open(folder / "output", "wb")

    def arrange():
        for index, number in enumerate(high):
            os.dup2(number, 3 + index)

    process = subprocess.Popen(
        [sys.executable, "-c", ACTIVATE, names, str(binary()), "run", "--config", str(folder / "sluice.yaml"), "--workers", str(workers)],
        cwd=folder, stdout=output, stderr=output, preexec_fn=arrange, pass_fds=[3 + index for index in range(len(high))],
        env={**os.environ, "RUNTIME_DIRECTORY": str(runtime)})
    for number in high:
        os.close(number)
    try:
        wait_until(lambda: "ready: " in (folder / "output").read_text() or process.poll() is not None, "it is ready")
        assert process.poll() is None, (folder / "output").read_text()
        yield process, folder / "output"
    finally:
        process.terminate()
        assert process.wait(BOUND) == 0
        output.close()


def listening() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen(64)
    return made


def get(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=BOUND) as client:
        client.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = b""
        while data := client.recv(4096):
            received += data
        return received


RULES = """\
sluice: 1
listeners:
  - {{name: plain, address: "127.0.0.1:{port}"}}
  - {{name: web, address: "0.0.0.0:443"}}
admin: {{address: "127.0.0.1:0"}}
access_log: {{path: off}}
sites:
  - name: all
    hosts: ["*"]
    request:
      - {{name: version, do: [{{respond: {{status: 200, body: "one"}}}}]}}
"""


def test_sockets_of_the_service_manager_are_used_by_address_and_by_name(tmp_path):
    first, second = listening(), listening()
    rules = RULES.format(port=first.getsockname()[1])
    # Whoever connected before the start waits in the queue and is served.
    early = socket.create_connection(first.getsockname())
    with first, second, activated(tmp_path, rules, "other:web", [first, second]) as (process, output):
        early.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert early.recv(4096).startswith(b"HTTP/1.1 200")
        for port in (first.getsockname()[1], second.getsockname()[1]):
            for _ in range(10):
                assert get(port).endswith(b"one")
        assert f"listener web on 127.0.0.1:{second.getsockname()[1]}" in output.read_text()
        pid = json.loads(subprocess.run(
            [binary(), "upgrade", "--json"], capture_output=True, text=True, cwd=tmp_path, timeout=BOUND * 3,
            env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path / "run")}).stdout)["pid"]
        try:
            assert get(second.getsockname()[1]).endswith(b"one")
            assert process.wait(BOUND) == 0
            assert get(first.getsockname()[1]).endswith(b"one")
        finally:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not is_running(pid), "the new process ends")
    early.close()
