"""Pressure and slow peers over HTTP/1.1: the gateway gives up the cheapest first, says so, and recovers alone."""
import contextlib
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness.conformance import window
from harness.gateway import rule_file
from harness.waiting import wait_until


@pytest.fixture
def limited(start, origin, certificates):
    def make(limits: str, **options):
        return start(rules=lambda ports: text(ports, certificates, origin, limits), **options)
    return make


def text(ports, certificates, origin, limits: str) -> str:
    return rule_file(ports, certificates, origin.port) + (f"limits: {{{limits}}}\n" if limits else "")


# Memory

def test_short_of_memory_it_sheds_in_order_and_recovers(limited, origin, certificates):
    gateway = limited("keep_alive: 60s")
    idle = gateway.http1()
    assert idle.request("GET", "/bytes/3").status == 200
    with gateway.http2() as busy:
        held = busy.start("GET", "/slow/5000")
        gateway.reload(text(gateway.ports, certificates, origin, "memory: 1MiB"))
        wait_until(lambda: gateway.metric("sluice_overload", action="refuse_requests") == 1, "the worker notices")
        refused = busy.request("GET", "/bytes/3")
        assert refused.status == 503 and refused.header("retry-after") == "1"
        assert idle.is_closed()
        assert gateway.metric("sluice_overload", action="stop_accepting") == 1
        assert gateway.metric("sluice_overload", action="close_idle") == 1
        waiting = socket.create_connection(("127.0.0.1", gateway.ports.plain))
        waiting.sendall(b"GET /bytes/3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert busy.response(held).status == 200, "what runs is finished"
        assert gateway.wait_log("overload: .*refusing requests")
        gateway.reload(text(gateway.ports, certificates, origin, ""))
        wait_until(lambda: gateway.metric("sluice_overload") == 0, "it is over")
        assert waiting.recv(100).startswith(b"HTTP/1.1 200"), "who waited is served"
        waiting.close()
    assert gateway.fetch("http1", "GET", "/bytes/3").status == 200
    assert gateway.metric("sluice_shed_total", what="requests") >= 1
    assert gateway.metric("sluice_shed_total", what="idle_connections") >= 1


def test_short_of_memory_functions_that_nobody_uses_go_before_anything_else(start, certificates, origin):
    """What their isolates may hold follows from `limits.memory`: half of it, and less while it is short."""
    count = 48
    names = [f"f{n}" for n in range(count)]

    def rules(ports, limits=""):
        functions = "".join(f"{name}: {{file: hooks/f.js}}\n" for name in names)
        request = "".join(f"- {{name: {name}, when: 'path == \"/{name}\"', do: [{{run: {{function: {name}}}}}]}}\n" for name in names)
        return rule_file(ports, certificates, origin.port, functions=functions, request=request) + limits

    gateway = start(hooks={"f.js": "export default { onRequest(request) { return new Response(new URL(request.url).pathname); } };"}, rules=rules)
    idle = gateway.http1()
    assert all(idle.request("GET", f"/{name}").body == f"/{name}".encode() for name in names)
    wait_until(lambda: gateway.metric("sluice_isolate_bytes", part="heap") > count * 300_000 and gateway.metric("sluice_isolates_live") == count, "all were looked at")
    # A first reload, so that what a reload needs is part of what is resident.
    gateway.reload(rules(gateway.ports, "limits: {memory: 4GiB}\n"))
    limit = int(gateway.metric("sluice_memory_resident_bytes") / 0.85 / 1024)
    gateway.reload(rules(gateway.ports, f"limits: {{memory: {limit}KiB}}\n"))
    wait_until(lambda: gateway.metric("sluice_isolates_evicted_total") >= 5, "functions give their isolates up")
    assert gateway.metric("sluice_overload") == 0 and gateway.metric("sluice_shed_total") == 0
    assert all(idle.request("GET", f"/{name}").body == f"/{name}".encode() for name in names), "they come back"


def test_functions_are_loaded_within_what_they_may_hold(start, certificates, origin):
    """At its start a worker loads all of them, one after the other; those that came first make room."""
    count, memory = 200, 300
    names = [f"f{n}" for n in range(count)]

    def rules(ports):
        functions = "".join(f"{name}: {{file: hooks/f.js}}\n" for name in names)
        request = "".join(f"- {{name: {name}, when: 'path == \"/{name}\"', do: [{{run: {{function: {name}}}}}]}}\n" for name in names)
        return rule_file(ports, certificates, origin.port, functions=functions, request=request) + f"limits: {{memory: {memory}MiB}}\n"

    gateway = start(hooks={"f.js": "export default { onRequest(request) { return new Response(new URL(request.url).pathname); } };"}, rules=rules)
    most = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{gateway.worker_pids()[0]}/status").read_text())
    assert most and int(most[1]) < memory << 10
    wait_until(lambda: 20 < gateway.metric("sluice_isolates_live") < 140, "the others have made room")
    assert gateway.metric("sluice_isolates_evicted_total") >= count - 140
    assert gateway.metric("sluice_overload") == 0
    client = gateway.http1()
    assert all(client.request("GET", f"/{name}").body == f"/{name}".encode() for name in names), "they come back"


def test_near_the_limit_of_connections_idle_ones_make_room(limited):
    gateway = limited("connections: 20")
    # Below nine tenths nothing is closed, however long these take; three more are above it.
    kept = [gateway.http1() for _ in range(16)]
    for each in kept:
        assert each.request("GET", "/bytes/3").status == 200
    assert gateway.metric("sluice_shed_total", what="idle_connections") == 0
    kept += [gateway.http1() for _ in range(3)]
    wait_until(lambda: gateway.metric("sluice_shed_total", what="idle_connections") >= 1, "idle ones are closed")
    for _ in range(30):
        assert gateway.fetch("http1", "GET", "/bytes/3").status == 200


# Descriptors

def test_without_descriptors_it_goes_on_and_recovers(limited):
    """More clients than the table has room for: some are refused, none waits for ever, and all is well afterwards."""
    gateway = limited("connections: 100000, connections_per_address: 100000")
    worker = gateway.worker_pids()[0]
    used = len(os.listdir(f"/proc/{worker}/fd"))
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 40, used + 40))
    clients = []
    for _ in range(200):
        # One in thousands is refused before its connect() has returned, and hears of it there.
        with contextlib.suppress(ConnectionResetError):
            client = socket.create_connection(("127.0.0.1", gateway.ports.plain))
            client.settimeout(20)
            clients.append(client)
    wait_until(lambda: gateway.metric("sluice_connections_refused_total") > 50, "those beyond are refused")
    assert gateway.metric("sluice_accept_errors_total") >= 1
    before = os.times()
    ticks = cpu_ticks(worker)
    wait_until(lambda: os.times().elapsed - before.elapsed > 1, "a second passes")
    assert cpu_ticks(worker) - ticks < 50, "it does not turn in circles"
    for client in clients:
        client.close()

    def served() -> bool:
        with contextlib.suppress(Exception):
            return gateway.fetch("http1", "GET", "/bytes/3").status == 200
        return False

    wait_until(served, "it recovers")
    assert gateway.worker_pids()[0] == worker
    gateway.wait_log(r"listener plain: accepts connections again; \d+ were refused meanwhile")
    told = [line for line in gateway.output if re.search(r"listener plain: .*who waits is refused.*LimitNOFILE", line)]
    assert 1 <= len(told) <= 2, told


def cpu_ticks(pid: int) -> int:
    fields = open(f"/proc/{pid}/stat").read().rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])


# Slow peers

TRICKLES = {
    "head": ("head_timeout: 500ms", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: 1\r\n"),
    "body": ("body_rate_time: 400ms, body_rate_bytes: 1KiB", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("part", TRICKLES)
def test_a_request_that_trickles_in_is_408(limited, part):
    limits, beginning, drop = TRICKLES[part]
    gateway = limited(limits)
    with gateway.http1() as client:
        client.send(beginning)

        def trickle() -> bool:
            with contextlib.suppress(OSError):
                client.send(drop)
            return gateway.metric("sluice_timeouts_total", kind=part) == 1

        wait_until(trickle, "it takes too long, whatever comes meanwhile")
        assert b" 408 " in client.rest()[:20]


def test_a_reader_that_takes_a_little_now_and_then_is_cut_off(limited, origin):
    gateway = limited("write_stall: 500ms, write_rate: 100MB")
    with gateway.http1(receive_buffer=4096) as client:
        client.send(b"GET /bytes/50000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")

        def sip() -> bool:
            with contextlib.suppress(OSError):
                client.socket.recv(100)
            return gateway.metric("sluice_timeouts_total", kind="write_stall") == 1

        wait_until(sip, "so little is not enough")
    wait_until(lambda: origin.at_once == 0, "the origin is let go")


def queued_for(port: int) -> list[int]:
    """Bytes that the kernel holds for the clients of a listener and that they have not taken."""
    rows = [line.split() for line in open("/proc/net/tcp").read().splitlines()[1:]]
    return [int(row[4].split(":")[0], 16) for row in rows if row[1].endswith(f":{port:04X}") and row[3] != "0A"]


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_a_reader_that_takes_nothing_is_reset_and_holds_little_meanwhile(limited, origin, protocol):
    """What is not read does not pile up in the kernel either, and nothing of it is kept there when the client is given up."""
    gateway = limited("write_stall: 2s, stream_window: 16MiB")
    port = gateway.ports.plain
    if protocol == "http1":
        client = gateway.http1(receive_buffer=4096)
        client.send(b"GET /bytes/50000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    else:
        port = gateway.ports.secure
        client = gateway.http2_raw(settings=struct.pack(">HI", 4, 1 << 30), receive_buffer=4096)
        client.send(window(0, 1 << 30), client.get(1, "/bytes/50000000"))
    wait_until(lambda: max(queued_for(port), default=0) > 20_000, "bytes wait for it")
    wait_until(lambda: gateway.metric("sluice_timeouts_total", kind="write_stall") >= 1 or max(queued_for(port), default=0) > 600_000, "it is given up")
    wait_until(lambda: not any(queued_for(port)), "nothing is left of it in the kernel")
    with contextlib.suppress(ConnectionResetError):
        while client.socket.recv(65536):
            pass
        assert protocol == "http2", "an end in order would pass for the end of the answer"
    client.socket.close()
    assert gateway.metric("sluice_timeouts_total", kind="write_stall") >= 1, "and not for filling the kernel"
    wait_until(lambda: origin.at_once == 0, "the origin is let go")


def test_a_reader_between_two_sips_of_a_large_buffer_is_not_a_dead_one(limited):
    """The kernel wakes a sender when a third of what it holds is gone: at a steady, slow pace that takes longer than the limit."""
    gateway = limited("write_stall: 1s, write_rate: 2KiB")
    with gateway.http1(receive_buffer=2048) as client:
        client.send(b"GET /bytes/400000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got, began = 0, time.monotonic()
        while got < 60_000:
            got += len(client.socket.recv(1000))
            wait_until(lambda: time.monotonic() - began > got / 12_000, "it takes its time")
    assert gateway.metric("sluice_timeouts_total", kind="write_stall") == 0


def test_a_reader_that_takes_its_time_and_enough_is_served(limited):
    gateway = limited("write_stall: 300ms, write_rate: 1KiB")
    with gateway.http1(receive_buffer=65536) as client:
        client.send(b"GET /bytes/3000000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        got, marks = 0, time.monotonic()
        while chunk := client.socket.recv(20_000):
            got += len(chunk)
            wait_until(lambda: time.monotonic() - marks > got / 2_000_000, "it takes its time")
    assert got > 3_000_000


# Attackers and a client that behaves

SLOW = {"slow heads": ["-H"], "slow bodies": ["-B", "-s", "100000"], "slow reads": ["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3"]}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SLOW)
def test_slowhttptest_disturbs_nobody(limited, kind):
    tool = shutil.which("slowhttptest")
    if tool is None:
        pytest.skip("slowhttptest is not installed: scripts/setup --tests")
    gateway = limited("head_timeout: 2s, body_rate_time: 2s, write_stall: 2s, connections_per_address: 2000")
    path = "/bytes/200000" if kind == "slow reads" else "/"
    attack = subprocess.Popen([tool, *SLOW[kind], "-c", "300", "-r", "150", "-i", "1", "-l", "8", "-p", "3",
                               "-u", f"http://localhost:{gateway.ports.plain}{path}"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    served, stop = [], threading.Event()

    def behave() -> None:
        while not stop.is_set():
            served.append(gateway.fetch("http1", "GET", "/bytes/1000").status)

    thread = threading.Thread(target=behave, daemon=True)
    thread.start()
    try:
        attack.wait(60)
    finally:
        stop.set()
        thread.join(30)
    assert served and set(served) == {200}
    assert gateway.resident_kib() < 200 * 1024
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "nothing of the attack is left")
