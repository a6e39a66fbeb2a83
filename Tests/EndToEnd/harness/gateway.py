"""The gateway as a process: a rule file, a start, a stop by its process id."""
from __future__ import annotations

import json
import os
import re
import signal
import shutil
import subprocess
import tempfile
import textwrap
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import http1, http2
from .waiting import BOUND, free_ports, wait_until

ROOT = Path(__file__).resolve().parents[3]


def binary() -> Path:
    """$SLUICE, or what was built last."""
    if given := os.environ.get("SLUICE"):
        return Path(given)
    built = [path for kind in ("release", "debug") if (path := ROOT / ".build" / kind / "sluice").exists()]
    return max(built, key=lambda path: path.stat().st_mtime, default=ROOT / ".build/release/sluice")


def is_running(pid: int) -> bool:
    """Whether a process lives; one that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class Ports:
    plain: int
    secure: int
    admin: int


def rule_file(ports: Ports, certificates: Path, origin_port: int, *, sites: str | None = None, request: str = "",
              response: str = "", error: str = "", functions: str = "", upstreams: str = "",
              origin_options: str = "", limits: str = "") -> str:
    """A whole rule file around the parts a test cares about."""

    def part(name: str, text: str, depth: int) -> str:
        return f"{' ' * depth}{name}:\n" + textwrap.indent(textwrap.dedent(text).strip("\n"), " " * (depth + 2)) + "\n" \
            if text else ""

    if sites is None:
        sites = textwrap.dedent("""\
            - name: test
              hosts: [localhost, 127.0.0.1, "*.localhost"]
              upstream: origin
            """) + part("request", request, 2) + part("response", response, 2) + part("error", error, 2)
    return textwrap.dedent(f"""\
        sluice: 1
        listeners:
          - {{name: plain, address: "127.0.0.1:{ports.plain}"}}
          - name: secure
            address: "127.0.0.1:{ports.secure}"
            tls: {{certificates: [{{cert: "{certificates}/server.crt", key: "{certificates}/server.key"}}]}}
        admin: {{address: "127.0.0.1:{ports.admin}"}}
        access_log: {{path: access.log}}
        """) + part("limits", limits, 0) + part("upstreams", f'origin:\n  servers: ["http://127.0.0.1:{origin_port}"]\n'
                    + textwrap.indent(textwrap.dedent(origin_options).strip("\n"), "  ") + "\n"
                    + textwrap.dedent(upstreams), 0) + part("functions", functions, 0) + part("sites", sites, 0)


class Gateway:
    """One running gateway. `make_rules` writes the rule file for the ports it is given; hooks lie beside it."""

    def __init__(self, folder: Path, certificates: Path, make_rules: Callable[[Ports], str],
                 hooks: dict[str, str] | None = None, workers: int = 1, environment: dict[str, str] | None = None,
                 arguments: list[str] | None = None):
        self.folder, self.authority, self.make_rules = folder, certificates / "ca.crt", make_rules
        self.ports = Ports(*free_ports(3))
        self.file = folder / "sluice.yaml"
        self.write(make_rules(self.ports), hooks)
        self.output: list[str] = []
        self.successors: list[int] = []
        # A short path: socket files have a limit.
        self.environment = {"RUNTIME_DIRECTORY": tempfile.mkdtemp(prefix="sluice-"), **(environment or {})}
        self.process = subprocess.Popen(
            [str(binary()), "run", "--config", str(self.file), "--workers", str(workers),
             *(arguments or [])], cwd=folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **self.environment},
            text=True, errors="replace")
        self.reader = threading.Thread(target=self._read_output, daemon=True)
        self.reader.start()

    def write(self, rules: str, hooks: dict[str, str] | None = None) -> None:
        for name, source in (hooks or {}).items():
            path = self.folder / "hooks" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))
        self.file.write_text(rules)

    def _read_output(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line.rstrip("\n"))

    @property
    def text(self) -> str:
        return "\n".join(self.output)

    def wait_ready(self, workers: int = 1) -> Gateway:
        def ready() -> bool:
            if self.process.poll() is not None:
                self.reader.join(5)
                raise AssertionError(f"the gateway ended with status {self.process.returncode}:\n{self.text}")
            return any(re.search(r'[ "]ready: ', line) for line in self.output) and len(self.worker_pids()) >= workers

        try:
            # A machine without memory to spare reads programs from its disk again and again while they start.
            wait_until(ready, "the gateway says that it is ready", 3 * BOUND)
        except AssertionError as late:
            if self.process.poll() is not None:
                raise
            told = f"{late}; workers {self.worker_pids()}; it said:\n{self.text}"
            self.process.kill()  # nobody would: who asked for it has not got it
            self.process.wait()
            raise AssertionError(told) from None
        return self

    # Processes

    @property
    def pid(self) -> int:
        """The process that serves: the one started here, or the one that took its place."""
        return self.successors[-1] if self.successors else self.process.pid

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A sluice command beside this gateway."""
        return subprocess.run([str(binary()), *arguments], capture_output=True, text=True, timeout=120, cwd=self.folder,
                              env={**os.environ, **self.environment, **environment})

    def upgrade(self, *arguments: str) -> int:
        """Let the same program take the gateway's place; gives the new process."""
        done = self.command("upgrade", "--json", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr + self.text
        self.successors.append(json.loads(done.stdout)["pid"])
        return self.pid

    def worker_pids(self) -> list[int]:
        """Children of the supervisor that run the worker subcommand."""
        pid = self.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return [int(child) for child in children if Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[1:2] == [b"worker"]]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def resident_kib(self, pid: int | None = None, peak: bool = False) -> int:
        status = Path(f"/proc/{pid or self.worker_pids()[0]}/status").read_text()
        found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
        assert found
        return int(found[1])

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def reload(self, rules: str | None = None, hooks: dict[str, str] | None = None) -> None:
        """Write a new rule file, send SIGHUP, and wait until the log tells how it went."""
        before = len(self.output)
        self.write(rules if rules is not None else self.file.read_text(), hooks)
        self.signal(signal.SIGHUP)
        wait_until(lambda: any(re.search(r"reload|generation", line, re.I) for line in self.output[before:]),
                   "the log tells what became of the reload")

    def stop(self) -> int:
        """SIGTERM, then the exit status; a gateway that stays is killed and fails the test."""
        if self.successors and is_running(self.pid) or not self.successors and self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            for pid in self.successors:
                wait_until(lambda pid=pid: not is_running(pid), f"process {pid} ends")
            return self.process.wait(BOUND)
        except subprocess.TimeoutExpired:
            workers = self.worker_pids()
            self.process.kill()
            for pid in workers:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
            raise AssertionError(f"the gateway did not end on SIGTERM:\n{self.text}") from None
        finally:
            self.reader.join(5)
            shutil.rmtree(self.environment["RUNTIME_DIRECTORY"], ignore_errors=True)

    # Clients

    def http1(self, tls: bool = False, **options: object) -> http1.Connection:
        port = self.ports.secure if tls else self.ports.plain
        return http1.Connection(port, self.authority if tls else None, **options)  # type: ignore[arg-type]

    def http2(self) -> http2.Client:
        return http2.Client(self.ports.secure, self.authority)

    def http2_raw(self, **options: object) -> http2.RawConnection:
        return http2.RawConnection(self.ports.secure, self.authority, **options)  # type: ignore[arg-type]

    def fetch(self, protocol: str, method: str, path: str, headers: list[tuple[str, str]] | None = None,
              body: bytes = b"", host: str = "localhost") -> http1.Response:
        """One request on a connection of its own, over "http1", "http1-tls" or "http2"."""
        if protocol == "http2":
            lower = [(name.lower(), value) for name, value in headers or []]
            with self.http2() as client:
                return client.request(method, path, lower, body, authority=host)
        with self.http1(tls=protocol == "http1-tls") as client:
            return client.request(method, path, headers, body, host)

    def metrics(self) -> dict[str, float]:
        """/metrics as {'name{labels}': value}."""
        with http1.Connection(self.ports.admin) as client:
            text = client.request("GET", "/metrics").body.decode()
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of one metric that carry these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(value for key, value in self.metrics().items()
                   if key.split("{")[0] == name and all(each in key for each in wanted))

    def access_log(self) -> list[dict[str, object]]:
        path = self.folder / "access.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_log(self, text: str) -> str:
        """Wait for a line of output that contains `text` (a regular expression)."""
        return wait_until(lambda: next((line for line in self.output if re.search(text, line)), None),
                          f"a log line with {text!r}")
