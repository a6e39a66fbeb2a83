"""A temporary folder with everything a run needs, and the processes in it."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from . import configurations as c

ROOT = Path(__file__).resolve().parents[2]
PROXY_CORE, OTHER_CORE = "0", "1"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"
NGHTTPX = shutil.which("nghttpx") or "/usr/sbin/nghttpx"
# A Python package brings it (Benchmarks/requirements.txt).
ENVOY = next(iter(sorted(ROOT.glob(".build/python/lib/python*/site-packages/envoy/_bin/envoy"))), ROOT / ".build/python/bin/envoy")


def complain_if_something_is_missing(contenders: set[str], sluice: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("run: error: one core only: proxy and load generator need one each")
    wanted = [NGINX, "wrk", "h2load", "openssl", "taskset", "curl"] + [
        path for name, path in (("haproxy", HAPROXY), ("nghttpx", NGHTTPX), ("envoy", str(ENVOY))) if name in contenders]
    missing = [name for name in wanted if not shutil.which(name)]
    modules = {"nginx-njs": "ngx_http_js_module.so", "nginx-lua": "ngx_http_lua_module.so"}
    missing += [file for module, file in modules.items() if any(name.startswith(module) for name in contenders) and not Path(c.MODULES, file).exists()]
    if missing:
        raise SystemExit(f"run: error: missing {', '.join(missing)}: run scripts/setup --bench")
    if any(name.startswith("sluice") for name in contenders) and not sluice.exists():
        raise SystemExit(f"run: error: no {sluice}: run swift build -c release --product sluice, or name another with --sluice")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Contender:
    """One proxy: its ports and the process whose CPU counts."""

    def __init__(self, name: str, process: subprocess.Popen, plain: int, secure: int):
        self.name, self.process, self.plain, self.secure = name, process, plain, secure

    @property
    def worker(self) -> int:
        """The process that serves: the child of the supervisor for Sluice, the process itself for the others."""
        if not self.name.startswith("sluice"):
            return self.process.pid
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(next(child for child in children if b"worker" in Path(f"/proc/{child}/cmdline").read_bytes()))

    @property
    def serving(self) -> list[int]:
        """Every process whose CPU counts: with the worker also the cordons, where functions that were slow may run."""
        if not self.name.startswith("sluice"):
            return [self.process.pid]
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if b"scratch" not in Path(f"/proc/{child}/cmdline").read_bytes()]


class Place:
    """Use with `with`: everything that was started is stopped, by process id, and the folder is removed."""

    def __init__(self, sluice: Path, keep: bool, limits: str = "limits: {requests_per_connection: 1000000000, connections_per_address: 100000}",
                 neighbour: bool = False, short_times: bool = True):
        self.sluice, self.keep, self.neighbour = sluice, keep, neighbour
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
        self.processes: list[subprocess.Popen] = []
        self.contenders: dict[str, Contender] = {}
        self.values = {"DIR": str(self.folder), "ORIGIN": str(free_port()), "SMALL": "x" * 100, "LIMITS": limits, "UPSTREAMS": "",
                       "NGINXNEIGHBOUR": "", "HAPROXYNEIGHBOUR": "", "HAPROXYBACKEND": ""}
        if neighbour:
            self.short_times = short_times
            self.values |= {"NGINXNEIGHBOUR": c.NGINX_NEIGHBOUR, "HAPROXYNEIGHBOUR": (c.HAPROXY_TIMES if short_times else "") + c.HAPROXY_NEIGHBOUR,
                            "HAPROXYBACKEND": c.HAPROXY_NEIGHBOUR_BACKEND}

    def __enter__(self) -> "Place":
        www = self.folder / "www"
        www.mkdir()
        (www / "64k").write_bytes(b"x" * 65536)
        (www / "10m").write_bytes(b"x" * (10 << 20))
        subprocess.run([ROOT / "scripts/dev-certs", "--dir", self.folder, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        pem = (self.folder / "server.crt").read_text() + (self.folder / "server.key").read_text()
        (self.folder / "haproxy.pem").write_text(pem)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.folder / "rsa.key", "-out", self.folder / "rsa.crt"],
                       check=True, capture_output=True)
        (self.folder / "haproxy-rsa.pem").write_text((self.folder / "rsa.crt").read_text() + (self.folder / "rsa.key").read_text())
        (self.folder / "nginx-hook.js").write_text(c.NJS_SCRIPT)
        (self.folder / "sluice-hook.js").write_text(c.SLUICE_SCRIPT)
        (self.folder / "sluice-waits.js").write_text(c.SLUICE_WAITS)
        config = self.write("origin.conf", c.ORIGIN, NAME="origin")
        self.start("origin", OTHER_CORE, [NGINX, "-p", str(self.folder), "-c", str(config)], int(self.values["ORIGIN"]))
        if self.neighbour:
            self.values["NEIGHBOUR"] = str(free_port())
            config = self.write("neighbour.conf", c.ORIGIN, NAME="neighbour", ORIGIN=self.values["NEIGHBOUR"])
            first = ["nice", "-n", "-10"] if os.sched_getscheduler(0) == os.SCHED_OTHER else ["chrt", "-f", "30"]
            self.start("neighbour", PROXY_CORE, [*first, NGINX, "-p", str(self.folder), "-c", str(config)], int(self.values["NEIGHBOUR"]))
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            # Two of the class that --realtime gives wait for each other for ever when one spins for what the other holds as it ends.
            with contextlib.suppress(ProcessLookupError):
                for pid in [process.pid, *map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())]:
                    os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.keep:
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name: str, template: str, **values: str) -> Path:
        all_values = {**self.values, **values}
        # Twice, because values may hold names themselves.
        for _ in range(2):
            template = re.sub(r"@([A-Z]+)@", lambda found: all_values[found[1]], template)
        path = self.folder / name
        path.write_text(template)
        return path

    def start(self, name: str, core: str, command: list[str], port: int) -> subprocess.Popen:
        log = open(self.folder / f"{name}.out", "w")
        process = subprocess.Popen(["taskset", "-c", core, *command], stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)
        self.processes.append(process)
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"run: error: {name} did not start:\n{(self.folder / f'{name}.out').read_text()[-2000:]}")
            time.sleep(0.02)

    def contender(self, name: str) -> Contender:
        """Started at its first use and left running: an idle proxy costs nothing."""
        if name not in self.contenders:
            plain, secure = free_port(), free_port()
            ports = {"PLAIN": str(plain), "SECURE": str(secure), "NAME": name}
            process = self.start(name, PROXY_CORE, self.command(name, ports), plain)
            self.contenders[name] = Contender(name, process, plain, secure)
        return self.contenders[name]

    def command(self, name: str, ports: dict[str, str]) -> list[str]:
        if name.startswith("nginx"):
            load, http, location = c.SCRIPTED.get(name, ("", "", ""))
            if self.neighbour:
                http += (c.NGINX_TIMES if self.short_times else "") + c.NGINX_NEIGHBOUR_UPSTREAM
            config = self.write(f"{name}.conf", c.NGINX, LOAD=load, HTTP=http, LOCATION=location, **ports)
            return [NGINX, "-p", str(self.folder), "-c", str(config)]
        if name == "haproxy":
            return [HAPROXY, "-db", "-f", str(self.write("haproxy.cfg", c.HAPROXY, **ports))]
        if name == "nghttpx":
            return [NGHTTPX, f"--conf={self.write('nghttpx.conf', c.NGHTTPX, **ports)}"]
        if name == "floor":
            program = self.folder / "floor-of-all"
            subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("floor.c")], check=True)
            return [str(program), ports["PLAIN"], self.values["ORIGIN"]]
        if name == "envoy":
            config = self.write("envoy.yaml", c.ENVOY, **ports)
            return [str(ENVOY), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        rules = c.SLUICE_RULES.get(name)
        config = self.write(f"{name}.yaml", c.SLUICE, RECORDS=", records: openssl" if name == "sluice-openssl" else "", FUNCTIONS=c.SLUICE_FUNCTIONS if rules else "",
                            RULES=rules or (c.SLUICE_NEIGHBOUR_RULES if self.neighbour else ""),
                            UPSTREAMS=c.SLUICE_NEIGHBOUR_UPSTREAM if self.neighbour else "", **ports)
        return [str(self.sluice), "run", "--config", str(config), "--workers", "1", "--admin", "off"]
