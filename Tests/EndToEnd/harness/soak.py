"""Long runs of hooks: many calls, functions that are replaced all the time, scripts that nothing inside V8 stops.

`scripts/soak` runs them as long as the project promises; a test runs each for a moment.
"""
from __future__ import annotations

import contextlib
import math
import os
import re
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import http1
from .gateway import ROOT, Gateway, Ports, rule_file
from .waiting import BOUND, wait_until
from .worst import FATAL, UNSTOPPABLE

Say = Callable[[str], None]


@dataclass
class Result:
    """What came of a soak: figures to report, and what was wrong."""

    name: str
    seconds: float = 0
    figures: dict[str, float | int | str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.complaints

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "good": self.is_good}

    @property
    def text(self) -> str:
        def shown(value: float | int | str) -> str:
            return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value

        lines = [f"{self.name}: {self.seconds:.0f} s"] + [f"  {name:34} {shown(value):>16}" for name, value in self.figures.items()]
        return "\n".join(lines + [f"  {each}" for each in self.complaints[:20]] + ["good" if self.is_good else "NOT GOOD"])


@contextlib.contextmanager
def running(folder: Path, functions: str, request: str, hooks: dict[str, str], workers: int) -> Iterator[Gateway]:
    """A gateway of its own in `folder`; one that ends with another status than 0 fails."""
    certificates = folder / "certificates"
    subprocess.run([ROOT / "scripts/dev-certs", "--dir", certificates, "--quiet"], check=True, capture_output=True)

    def rules(ports: Ports) -> str:
        text = rule_file(ports, certificates, 9, functions=functions, request=request, limits="requests_per_connection: 1000000000\n")
        return text.replace("access_log: {path: access.log}", 'access_log: {path: "off"}')

    gateway = Gateway(folder, certificates, rules, hooks, workers=workers)
    try:
        yield gateway.wait_ready(workers)
    finally:
        if (status := gateway.stop()) != 0:
            raise AssertionError(f"the gateway ended with status {status}:\n{gateway.text[-4000:]}")


def children(gateway: Gateway, kind: str) -> list[int]:
    pid, found = gateway.pid, []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[1:2] == [kind.encode()]:
                found.append(int(child))
    return found


# MARK: clients that go on asking

class Clients:
    """Clients of one path, each on a connection of its own, and what they got."""

    def __init__(self, gateway: Gateway, path: str, count: int, rate: float, check: Callable[[http1.Response], str | None] | None = None, say: Say = print):
        self.gateway, self.path, self.check, self.say = gateway, path, check, say
        self.pause = count / rate
        self.stopping, self.lock = threading.Event(), threading.Lock()
        self.served, self.times = 0, [0] * 20_000
        self.failures: list[tuple[float, str]] = []
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(count)]

    def __enter__(self) -> Clients:
        for thread in self.threads:
            thread.start()
        wait_until(lambda: self.served >= 3, f"{self.path} is served")
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(BOUND * 2)
            assert not thread.is_alive(), "a client hangs"

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                with self.gateway.http1() as client:
                    while not self.stopping.is_set() and self.once(client):
                        self.stopping.wait(self.pause)
            except (OSError, http1.EndOfStream, AssertionError) as error:
                self.failed(f"{type(error).__name__}: {error}"[:200])

    def once(self, client: http1.Connection) -> bool:
        """One request; false when the connection ends after it."""
        begun = time.perf_counter()
        answer = client.request("GET", self.path)
        took = int((time.perf_counter() - begun) * 1000)
        wrong = f"status {answer.status}" if answer.status != 200 else self.check(answer) if self.check else None
        with self.lock:
            self.served += 1
            self.times[min(took, len(self.times) - 1)] += 1
        if wrong:
            self.failed(wrong)
        return (answer.header("connection") or "").lower() != "close"

    def failed(self, what: str) -> None:
        with self.lock:
            self.failures.append((time.monotonic(), what))
            if len(self.failures) <= 20:
                self.say(f"  {self.path} failed: {what}")

    def milliseconds(self, share: float) -> int:
        left = math.ceil(sum(self.times) * share)
        for milliseconds, count in enumerate(self.times):
            left -= count
            if left <= 0:
                return milliseconds
        return len(self.times)


# MARK: functions that are replaced

def versioned(number: int) -> str:
    return f"const version = {number};\nexport default {{ async onRequest() {{ await null; return new Response('version ' + version); }} }};\n"


def replace(seconds: float, folder: Path, say: Say, workers: int = 2, rate: float = 400, every: float = 1) -> Result:
    """Functions change each second under load: every request is answered, by a version that is not older than the last one seen."""
    result = Result("replace")
    # The limits are generous: it is about replacing, not about a machine that others keep busy.
    limits = "limits: {cpu: 1s, wall: 20s}"
    functions = f"inside: {{file: hooks/inside.js, lane: inline, {limits}}}\noutside: {{file: hooks/outside.js, untrusted: true, {limits}}}\n"
    rules = "".join(f"- {{name: {name}, when: 'path == \"/{name}\"', do: [{{run: {{function: {name}}}}}]}}\n" for name in ("inside", "outside"))
    with running(folder, functions, rules, {"inside.js": versioned(0), "outside.js": versioned(0)}, workers) as gateway:
        began, number, resident = time.monotonic(), 0, []
        newest = {"/inside": 0, "/outside": 0}

        def check(path: str) -> Callable[[http1.Response], str | None]:
            def one(answer: http1.Response) -> str | None:
                if not (found := re.fullmatch(rb"version (\d+)", answer.body)) or int(found[1]) > number:
                    return f"{path} answered {answer.body[:80]!r}"
                newest[path] = max(newest[path], int(found[1]))
                return None
            return one

        with Clients(gateway, "/inside", 8, rate / 2, check("/inside"), say) as inside, Clients(gateway, "/outside", 8, rate / 2, check("/outside"), say) as outside:
            said = began
            while (now := time.monotonic()) - began < seconds:
                number += 1
                for name in ("inside.js", "outside.js"):
                    spare = gateway.folder / f"hooks/{name}.new"
                    spare.write_text(versioned(number))
                    spare.rename(gateway.folder / "hooks" / name)
                gateway.signal(signal.SIGHUP)
                inside.stopping.wait(max(0, every - (time.monotonic() - now)))
                if time.monotonic() - said > max(5.0, seconds / 60):
                    said = time.monotonic()
                    resident.append(sum(gateway.resident_kib(pid) for pid in [gateway.pid, *children(gateway, "worker"), *children(gateway, "cordon")]))
                    say(f"{said - began:7.0f} s: {number} replacements, newest seen {newest}, served {inside.served + outside.served:,}, "
                        f"failed {len(inside.failures) + len(outside.failures)}, {resident[-1] / 1024:.0f} MiB in all")
            last = number
            wait_until(lambda: newest == {"/inside": last, "/outside": last}, "the last version is served everywhere", 60)
        metrics = gateway.metrics()
        result.seconds = time.monotonic() - began
    applied = sum(value for key, value in metrics.items() if key.startswith("sluice_worker_reloads_total") and "applied" in key)
    refused = sum(value for key, value in metrics.items() if key.startswith("sluice_worker_reloads_total") and "refused" in key)
    failures = inside.failures + outside.failures
    result.figures = {"replacements asked for": number, "reloads applied by workers": int(applied), "reloads refused": int(refused),
                      "requests served": inside.served + outside.served, "requests failed": len(failures),
                      "p99 inside, ms": inside.milliseconds(0.99), "p99 outside, ms": outside.milliseconds(0.99),
                      "slowest, ms": max(inside.milliseconds(1), outside.milliseconds(1)),
                      "worker deaths": int(metrics.get("sluice_worker_deaths_total", 0))}
    if len(resident) >= 12:
        quarter = len(resident) // 4
        first, end = statistics.median(resident[quarter:2 * quarter]), statistics.median(resident[-quarter:])
        result.figures |= {"memory second quarter, KiB": int(first), "memory last quarter, KiB": int(end)}
        if end > first * 1.1 + 10_000:
            result.complaints.append(f"memory grew from {first:,.0f} to {end:,.0f} KiB")
    if refused:
        result.complaints.append(f"{refused:.0f} reloads were refused")
    if applied < workers * seconds / every * 0.2:
        result.complaints.append(f"only {applied:.0f} reloads were applied")
    result.complaints += [f"{what} at {at - began:.1f} s" for at, what in failures]
    return result


# MARK: the worst scripts

def worst(seconds: float, folder: Path, say: Say, untrusted: bool = True, workers: int = 2, rate: float = 200, every: float = 1) -> Result:
    """One tenant runs what nothing inside V8 stops, again and again; another tenant is asked all the time."""
    result = Result("worst scripts, untrusted" if untrusted else "worst scripts, not marked")
    scripts = {**UNSTOPPABLE, **FATAL}
    cases = "".join(f"case {n}: {{ {script}; break; }}\n" for n, script in enumerate(scripts.values()))
    source = ("export default { onRequest(request) { switch (+new URL(request.url).searchParams.get('n')) {\n" + cases
              + "} return new Response('done'); } };\n// edition %d\n")
    option = "untrusted: true, tenant: evil" if untrusted else "lane: auto"
    functions = (f"bad: {{file: hooks/bad.js, {option}, limits: {{cpu: 50ms, wall: 3s}}, on_error: deny}}\n"
                 f"good: {{file: hooks/good.js, {'untrusted: true, tenant: good' if untrusted else 'lane: auto'}, limits: {{cpu: 1s, wall: 20s}}}}\n")
    rules = ("- {name: bad, when: 'path == \"/bad\"', do: [{run: {function: bad}}]}\n"
             "- {name: good, when: 'path == \"/good\"', do: [{run: {function: good}}]}\n")
    good = "export default { onRequest(request) { return new Response(request.headers.get('user-agent') ?? 'none'); } };"
    with running(folder, functions, rules, {"bad.js": source % 0, "good.js": good}, workers) as gateway:
        soak = WorstSoak(gateway, source, untrusted, say)
        with Clients(gateway, "/good", 6, rate, say=say) as others:
            soak.run(seconds, every, others)
        metrics = gateway.metrics()
    result.seconds = time.monotonic() - soak.began
    count = {key: int(sum(v for k, v in metrics.items() if k.split("{")[0] == key)) for key in ("sluice_cordon_deaths_total", "sluice_cordon_repeats_total")}
    result.figures = {"worst scripts run": sum(soak.answers.values()), "answers": str(dict(sorted(soak.answers.items(), key=str))),
                      "editions of the file": soak.edition + 1, "cordon deaths": count["sluice_cordon_deaths_total"],
                      "calls run again": count["sluice_cordon_repeats_total"], "workers lost": soak.workers_lost,
                      "others served": others.served, "others failed": len(others.failures), "others p50, ms": others.milliseconds(0.5),
                      "others p99, ms": others.milliseconds(0.99), "others slowest, ms": others.milliseconds(1)}
    if untrusted and soak.workers_lost:
        result.complaints.append(f"{soak.workers_lost} workers were lost")
    # Each worker may be inside of it before it hears of the other's death: until then its clients, and those that came over from the
    # other one, have one request each in flight.
    allowed = 0 if untrusted else len(others.threads) * soak.workers_lost
    if len(others.failures) > allowed or not untrusted and soak.workers_lost > workers:
        result.complaints.append(f"{len(others.failures)} requests of others failed, {allowed} may; {soak.workers_lost} workers were lost")
        result.complaints += [f"{what} at {at - soak.began:.1f} s" for at, what in others.failures]
    return result


class WorstSoak:
    def __init__(self, gateway: Gateway, source: str, untrusted: bool, say: Say):
        self.gateway, self.source, self.untrusted, self.say = gateway, source, untrusted, say
        self.answers: dict[int | str, int] = {}
        self.edition = self.workers_lost = 0
        self.workers = set(children(gateway, "worker"))
        self.began = time.monotonic()

    def run(self, seconds: float, every: float, others: Clients) -> None:
        names = [*UNSTOPPABLE, *FATAL]
        number, said = 0, self.began
        while (now := time.monotonic()) - self.began < seconds:
            # A function that cost ten processes is fenced until its file changes.
            if self.untrusted and number and number % 8 == 0:
                self.change()
            status = self.ask(number % len(names))
            self.answers[status] = self.answers.get(status, 0) + 1
            number += 1
            there = set(children(self.gateway, "worker"))
            self.workers_lost += len(self.workers - there)
            self.workers = there
            if time.monotonic() - said > max(5.0, seconds / 60):
                said = time.monotonic()
                self.say(f"{said - self.began:7.0f} s: {number} scripts, answers {self.answers}, others served {others.served:,}, failed {len(others.failures)}")
            others.stopping.wait(max(0, every - (time.monotonic() - now)))

    def ask(self, number: int) -> int | str:
        try:
            with http1.Connection(self.gateway.ports.plain, timeout=60) as client:
                return client.request("GET", f"/bad?n={number}").status
        except (OSError, http1.EndOfStream) as error:
            return type(error).__name__

    def change(self) -> None:
        self.edition += 1
        spare = self.gateway.folder / "hooks/bad.new"
        spare.write_text(self.source % self.edition)
        os.replace(spare, self.gateway.folder / "hooks/bad.js")
        self.gateway.signal(signal.SIGHUP)
