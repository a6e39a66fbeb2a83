"""Mixed load on a gateway that is reloaded, upgraded, and loses workers all the time. `scripts/chaos` and a test run it."""
from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import h2.events
import websockets

from . import http1, http2
from .gateway import ROOT, Gateway, is_running, rule_file
from .origin import PATTERN, Origin
from .waiting import BOUND, wait_until

# Failures this long after a worker was killed may be those of requests that were in flight on it, in seconds. Generous: clients
# notice only when they get their turn.
KILL_WINDOW = 4.0
# Seconds that the process before an upgrade has for its WebSockets, and until a client has heard the end of that.
UPGRADE_DRAIN, HEARING = 10, 8.0


@dataclass
class Plan:
    seconds: float = 600
    workers: int = 2
    rate: float = 200
    # Seconds between two of them; 0: never.
    reload: float = 1
    kill: float = 20
    upgrade: float = 120


@dataclass
class Failure:
    at: float
    kind: str
    what: str


@dataclass
class Sample:
    at: float
    resident: int
    descriptors: int
    # No process of an upgrade before is left, and all workers run.
    calm: bool


@dataclass
class Report:
    served: Counter = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    excused: list[Failure] = field(default_factory=list)
    # WebSockets: close frames of a process that an upgrade had replaced; opened; reloads that the longest of them lived through.
    goodbyes: int = 0
    chats: int = 0
    outlived: int = 0
    done: Counter = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.failures and not self.complaints

    @property
    def text(self) -> str:
        def listed(counts: Counter) -> str:
            return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))

        lines = [f"served: {listed(self.served)}", f"done to it: {listed(self.done)}",
                 f"failed in flight on killed workers: {len(self.excused)}",
                 f"WebSockets: {self.chats} opened, 0 may be closed by a reload, one lived through {self.outlived} of them; "
                 f"{self.goodbyes} heard the close frame of a process that an upgrade had replaced",
                 f"failed otherwise: {len(self.failures)}"]
        lines += [f"  {failure.kind} at {failure.at:.1f} s: {failure.what}" for failure in self.failures[:20]]
        calm = [sample for sample in self.samples if sample.calm]
        if len(calm) >= 8:
            for name in ("resident", "descriptors"):
                before, after = halves(calm, name)
                lines.append(f"{name}: {before:.0f} -> {after:.0f}" + (" KiB" if name == "resident" else ""))
        return "\n".join(lines + self.complaints + ["good" if self.is_good else "NOT GOOD"])


def halves(samples: list[Sample], name: str) -> tuple[float, float]:
    """The medians of a value in the second and in the last quarter."""
    values = [getattr(sample, name) for sample in samples]
    quarter = len(values) // 4
    return statistics.median(values[quarter:2 * quarter]), statistics.median(values[-quarter:])


class EchoServer:
    """WebSocket echo in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.stopping = asyncio.Event()
        ready = threading.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.serve(ready),), daemon=True)
        self.thread.start()
        ready.wait(BOUND)

    async def serve(self, ready: threading.Event) -> None:
        async def echo(connection: websockets.ServerConnection) -> None:
            async for message in connection:
                await connection.send(message)

        # Killed workers cut connections; there is nothing to say about that.
        quiet = logging.getLogger("chaos.quiet")
        quiet.setLevel(logging.CRITICAL + 1)
        async with websockets.serve(echo, "127.0.0.1", 0, ping_interval=None, logger=quiet) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            ready.set()
            await self.stopping.wait()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.stopping.set)
        self.thread.join(BOUND)


class Calls(grpc.GenericRpcHandler):
    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)


class Chaos:
    def __init__(self, plan: Plan, gateway: Gateway, say: Callable[[str], None]):
        self.plan, self.gateway, self.say = plan, gateway, say
        self.report = Report()
        self.began = time.monotonic()
        self.stopping = threading.Event()
        self.kills: list[float] = []
        # When each began, and when its process had taken over.
        self.upgrades: list[tuple[float, float]] = []
        self.pause = 1.0
        self.lock = threading.Lock()

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    def failed(self, kind: str, what: object) -> None:
        failure = Failure(self.now, kind, f"{type(what).__name__}: {what}"[:200] if isinstance(what, BaseException) else str(what))
        with self.lock:
            if any(0 <= failure.at - kill <= KILL_WINDOW for kill in self.kills):
                self.report.excused.append(failure)
            else:
                self.report.failures.append(failure)

    def served(self, kind: str) -> None:
        with self.lock:
            self.report.served[kind] += 1

    def rest(self) -> None:
        self.stopping.wait(self.pause * random.uniform(0.5, 1.5))

    # Clients: each one connection after another, as long as it is kept

    def http1(self, kind: str, tls: bool, paths: list[tuple[str, str, bytes, int]]) -> None:
        while not self.stopping.is_set():
            try:
                with self.gateway.http1(tls=tls) as client:
                    while not self.stopping.is_set():
                        method, path, body, size = random.choice(paths)
                        answer = client.request(method, path, body=body)
                        if answer.status != 200 or size and len(answer.body) != size:
                            self.failed(kind, f"{method} {path}: status {answer.status}, {len(answer.body)} bytes")
                        self.served(kind)
                        if (answer.header("connection") or "").lower() == "close":
                            break
                        self.rest()
            except (OSError, http1.EndOfStream, AssertionError) as error:
                self.failed(kind, error)

    def http2(self) -> None:
        while not self.stopping.is_set():
            try:
                with self.gateway.http2() as client:
                    self.http2_requests(client)
            except (OSError, AssertionError) as error:
                self.failed("http2", error)

    def http2_requests(self, client: http2.Client) -> None:
        last: list[int] = []
        handle = client.handle

        def watch(event: h2.events.Event) -> None:
            if isinstance(event, h2.events.ConnectionTerminated):
                last.append(event.last_stream_id or 0)
            handle(event)

        client.handle = watch  # type: ignore[method-assign]
        while not self.stopping.is_set() and client.goaway is None:
            stream = 0
            try:
                stream = client.start("GET", "/bytes/5000")
                answer = client.response(stream)
            except (OSError, AssertionError, h2.exceptions.ProtocolError) as error:
                # A stream beyond the last one of a GOAWAY was not looked at: to be sent again (RFC 9113 section 6.8).
                if not last or stream <= last[-1]:
                    self.failed("http2", error)
                return
            if answer.status != 200 or len(answer.body) != 5000:
                self.failed("http2", f"status {answer.status}, {len(answer.body)} bytes")
            self.served("http2")
            self.rest()

    def grpc(self) -> None:
        credentials = grpc.ssl_channel_credentials(self.gateway.authority.read_bytes())
        with grpc.secure_channel(f"localhost:{self.gateway.ports.secure}", credentials) as channel:
            call = channel.unary_unary("/chaos/Echo")
            while not self.stopping.is_set():
                try:
                    if call(b"hello" * 100, timeout=BOUND) != b"hello" * 100:
                        self.failed("grpc", "another message")
                    self.served("grpc")
                except grpc.RpcError as error:
                    self.failed("grpc", f"{error.code()}: {error.details()}")
                self.rest()

    def websocket(self) -> None:
        asyncio.run(self.websockets())

    async def websockets(self) -> None:
        while not self.stopping.is_set():
            opened, reloads = self.now, self.report.done["reloads"]
            try:
                address = f"ws://localhost:{self.gateway.ports.plain}/chat"
                async with websockets.connect(address, proxy=None, ping_interval=None, open_timeout=BOUND) as chat:
                    opened, reloads = self.now, self.report.done["reloads"]
                    self.report.chats += 1
                    while not self.stopping.is_set():
                        await chat.send("x" * 1000)
                        await asyncio.wait_for(chat.recv(), BOUND)
                        self.served("websocket messages")
                        self.report.outlived = max(self.report.outlived, self.report.done["reloads"] - reloads)
                        await asyncio.to_thread(self.rest)
            except websockets.ConnectionClosed as closed:
                if not closed.rcvd or closed.rcvd.code != 1001:
                    self.failed("websocket", closed)
                elif self.was_replaced(opened):
                    with self.lock:
                        self.report.goodbyes += 1
                else:
                    self.failed("websocket", f"closed by its own process, no upgrade had replaced it since it was opened at {opened:.1f} s: {closed}")
            except (OSError, TimeoutError, websockets.WebSocketException) as error:
                self.failed("websocket", error)

    def was_replaced(self, opened: float) -> bool:
        """Whether a WebSocket of that age belongs to a process that an upgrade has replaced, whose time to drain is over by now.

        Reloads go to the new process from then on, so no reload can have closed it; and one that was opened later has a process that
        nobody replaced, so nothing but a reload could."""
        return any(opened < began and began + UPGRADE_DRAIN - 1 <= self.now <= ended + UPGRADE_DRAIN + HEARING for began, ended in self.upgrades)

    # What is done to it

    def every(self, seconds: float, what: str, act: Callable[[], object]) -> None:
        while seconds and not self.stopping.wait(seconds):
            try:
                act()
                self.report.done[what] += 1
            except (OSError, AssertionError) as error:
                self.report.complaints.append(f"{what}: {error}")

    def reload(self) -> None:
        rules = self.gateway.file.read_text().split("# reload ")[0]
        number = self.report.done["reloads"]
        spare = self.gateway.file.with_suffix(".new")
        spare.write_text(f"{rules}# reload {number}\n" + ("lists: {x%d: [a]}\n" % number if number % 2 else ""))
        spare.rename(self.gateway.file)
        with contextlib.suppress(ProcessLookupError):
            self.gateway.signal(signal.SIGHUP)

    def kill(self) -> None:
        workers = self.gateway.worker_pids()
        if len(workers) < self.plan.workers:
            return
        with self.lock:
            self.kills.append(self.now)
        with contextlib.suppress(ProcessLookupError):
            os.kill(random.choice(workers), signal.SIGKILL)

    def upgrade(self) -> None:
        began = self.now
        pid = self.gateway.upgrade()
        self.upgrades.append((began, self.now))
        self.say(f"{self.now:6.1f} s: process {pid} took over; served so far: {dict(self.report.served)}")

    def sample(self) -> None:
        pid = self.gateway.pid
        workers = self.gateway.worker_pids()
        calm = len(workers) == self.plan.workers and all(not is_running(each) for each in self.predecessors())
        resident = descriptors = 0
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, AssertionError):
            for each in [pid, *workers]:
                resident += self.gateway.resident_kib(each)
                descriptors += len(os.listdir(f"/proc/{each}/fd"))
            self.report.samples.append(Sample(self.now, resident, descriptors, calm))

    def predecessors(self) -> list[int]:
        return [each for each in [self.gateway.process.pid, *self.gateway.successors] if each != self.gateway.pid]

    # All of it

    def run(self) -> Report:
        small = [("GET", "/bytes/1000", b"", 1000), ("POST", "/echo", PATTERN[:2000], 0), ("GET", "/chunked/3000", b"", 3000)]
        large = [("GET", "/bytes/8000000", b"", 8_000_000), ("POST", "/sink", PATTERN * (2_000_000 // len(PATTERN)), 0)]
        clients = [lambda: self.http1("http/1.1", False, small)] * 3 + [lambda: self.http1("http/1.1 with tls", True, small)] * 2 \
            + [self.http2] * 2 + [self.grpc, self.websocket, self.websocket, lambda: self.http1("large bodies", False, large),
                                  lambda: self.http1("large bodies", True, large)]
        self.pause = len(clients) / self.plan.rate
        acts = [(self.plan.reload, "reloads", self.reload), (self.plan.kill, "kills", self.kill),
                (self.plan.upgrade, "upgrades", self.upgrade), (max(0.5, self.plan.seconds / 200), "looks", self.sample)]
        threads = [threading.Thread(target=client) for client in clients]
        threads += [threading.Thread(target=self.every, args=act) for act in acts]
        for thread in threads:
            thread.start()
        self.stopping.wait(self.plan.seconds)
        self.stopping.set()
        for thread in threads:
            thread.join(BOUND * 3)
        self.judge()
        return self.report

    def judge(self) -> None:
        report = self.report
        for kind in ("http/1.1", "http/1.1 with tls", "http2", "grpc", "websocket messages", "large bodies"):
            if not report.served[kind]:
                report.complaints.append(f"no {kind} at all")
        most = 12 * (len(self.kills) + 1)
        if len(report.excused) > most:
            report.complaints.append(f"{len(report.excused)} requests failed in flight on {len(self.kills)} killed workers, at most {most} were")
        calm = [sample for sample in report.samples if sample.calm]
        if len(calm) >= 40:
            before, after = halves(calm, "resident")
            if after > before * 1.2 + 20_000:
                report.complaints.append(f"memory grew from {before:.0f} to {after:.0f} KiB")
            before, after = halves(calm, "descriptors")
            if after > before + 40:
                report.complaints.append(f"descriptors grew from {before:.0f} to {after:.0f}")


def run(plan: Plan, folder: Path, say: Callable[[str], None]) -> Report:
    """A gateway of its own, before origins of its own, in `folder`."""
    certificates = folder / "certificates"
    subprocess.run([ROOT / "scripts/dev-certs", "--dir", certificates, "--quiet"], check=True, capture_output=True)
    origin, chat = Origin(), EchoServer()
    origin.keeps_requests = False
    calls = grpc.server(ThreadPoolExecutor(4))
    calls.add_generic_rpc_handlers((Calls(),))
    port = calls.add_insecure_port("127.0.0.1:0")
    calls.start()
    rules = textual(certificates, origin.port, chat.port, port)
    (folder / "hooks").mkdir()
    gateway = Gateway(folder, certificates, rules, {"mark.js": "export default { onResponse(r) { r.headers.set('x-hook', '1'); } };"},
                      workers=plan.workers)
    try:
        gateway.wait_ready(plan.workers)
        return Chaos(plan, gateway, say).run()
    finally:
        status = gateway.stop()
        calls.stop(None).wait()
        chat.stop()
        origin.stop()
        if status != 0:
            raise AssertionError(f"the gateway ended with status {status}:\n{gateway.text[-4000:]}")


def textual(certificates: Path, origin: int, chat: int, calls: int) -> Callable[[object], str]:
    return lambda ports: rule_file(
        ports, certificates, origin,
        upstreams=f'chat: {{servers: ["http://127.0.0.1:{chat}"]}}\ncalls: {{servers: ["h2c://127.0.0.1:{calls}"]}}\n',
        functions="mark: {file: hooks/mark.js}",
        request="- {name: chat, match: {path: /chat}, do: [{route: chat}]}\n"
                "- {name: calls, when: 'path starts_with \"/chaos/\"', do: [{route: calls}]}",
        response="- {name: mark, do: [{run: {function: mark}}]}") + f"drain: {{upgrade: {UPGRADE_DRAIN}s}}\n"
