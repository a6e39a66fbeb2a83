"""One turn: load for some seconds, the CPU of the proxy before and after."""
import re
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .cases import HEADERS, Case
from .place import OTHER_CORE, Contender, Place


@dataclass(frozen=True)
class Turn:
    """What one contender did in one turn. Microseconds of CPU per request; milliseconds of latency."""

    requests: int
    cpu: float
    user: float
    per_second: float
    p50: float
    p99: float


def run_case(place: Place, case: Case, contenders: list[str], rounds: int, seconds: float,
             progress: Callable[[str], None]) -> dict[str, list[Turn]]:
    """Contenders take turns within each round, each round in another order: drift of the machine hits all alike."""
    for name in contenders:
        check_answer(place.contender(name), case)
        load(place, place.contender(name), case, 0.5)
    turns: dict[str, list[Turn]] = {name: [] for name in contenders}
    for number in range(rounds):
        shift = number % max(1, len(contenders))
        for name in contenders[shift:] + contenders[:shift]:
            turn = measure(place, place.contender(name), case, seconds)
            turns[name].append(turn)
            progress(f"{case.name} {number + 1}/{rounds} {name}: {turn.cpu:.2f} us, {turn.per_second:.0f}/s")
    return turns


def measure(place: Place, contender: Contender, case: Case, seconds: float) -> Turn:
    before, user_before = cpu_nanoseconds(contender), user_ticks(contender)
    requests, per_second, p50, p99 = load(place, contender, case, seconds)
    spent, user = cpu_nanoseconds(contender) - before, user_ticks(contender) - user_before
    if requests == 0:
        raise SystemExit(f"run: error: {contender.name} served nothing in case {case.name}")
    return Turn(requests, spent / 1000 / requests, user * 10_000 / requests, per_second, p50, p99)


def cpu_nanoseconds(contender: Contender) -> int:
    """Time on a processor of all threads that serve (/proc/PID/task/*/schedstat, first field)."""
    threads = (path for pid in contender.serving for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(path.read_text().split()[0]) for path in threads)


def user_ticks(contender: Contender) -> int:
    """User time in ticks of 10 ms: coarse, only for the share of user time."""
    return sum(int(Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[11]) for pid in contender.serving)


def url(contender: Contender, case: Case) -> str:
    secure = case.protocol != "http1"
    return f"{'https' if secure else 'http'}://127.0.0.1:{contender.secure if secure else contender.plain}{case.path}"


def check_answer(contender: Contender, case: Case) -> None:
    """Nobody is measured for doing something else."""
    version = "--http2" if case.protocol == "http2" else "--http1.1"
    done = subprocess.run(["curl", "-sSk", version, "-o", "/dev/null", "-D", "-", "-w", "%{http_version} %{http_code} %{size_download}",
                           "-A", "checker", url(contender, case)], capture_output=True, text=True)
    wanted = f"{'2' if case.protocol == 'http2' else '1.1'} 200 {case.size}"
    if not done.stdout.endswith(wanted):
        raise SystemExit(f"run: error: {contender.name} answers wrongly in case {case.name}: {done.stdout}{done.stderr}")
    # What a hook of the request phase sets goes to the origin, which does not tell.
    if case.hook in ("both", "response") and contender.name not in ("nginx", "sluice") and "x-hook: checker" not in done.stdout.lower():
        raise SystemExit(f"run: error: the hook of {contender.name} sets no header: {done.stdout}")


def load(place: Place, contender: Contender, case: Case, seconds: float) -> tuple[int, float, float, float]:
    """(requests, requests per second, p50 and p99 in milliseconds)."""
    if case.handshake:
        return handshakes(place, contender, case, seconds)
    fields = [part for name, value in HEADERS.items() for part in ("-H", f"{name}: {value}")]
    if case.protocol == "http2":
        return h2load(place, [*fields, "-c", str(case.connections), "-m", str(case.streams), url(contender, case)], seconds)
    return wrk([*fields, "-c", str(case.connections), url(contender, case)], seconds)


def handshakes(place: Place, contender: Contender, case: Case, seconds: float) -> tuple[int, float, float, float]:
    """Latencies are not measured: the client has as much to do as the server."""
    client = place.folder / "handshakes"
    if not client.exists():
        source = Path(__file__).with_name("handshakes.c")
        subprocess.run(["cc", "-O2", "-o", client, source, "-lssl", "-lcrypto", "-lpthread"], check=True)
    how, kind = case.handshake or ("full", "ecdsa")
    done = subprocess.run(["taskset", "-c", OTHER_CORE, client, str(contender.secure), str(seconds), str(case.connections), how, kind],
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"run: error: handshakes with {contender.name} failed: {done.stderr}")
    count, resumed, took = done.stdout.split()
    if int(resumed) != (int(count) if how == "resumed" else 0):
        raise SystemExit(f"run: error: {resumed} of {count} handshakes with {contender.name} were resumed in case {case.name}")
    return int(count), int(count) / float(took), 0, 0


def wrk(arguments: list[str], seconds: float) -> tuple[int, float, float, float]:
    whole = max(1, round(seconds))
    done = subprocess.run(["taskset", "-c", OTHER_CORE, "wrk", "-t", "1", "--latency", "-d", f"{whole}s", *arguments],
                          capture_output=True, text=True)
    text = done.stdout
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", text)
    if not found or "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(f"run: error: wrk saw errors:\n{text}{done.stderr}")
    return (int(found[1]), float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),  # type: ignore[index]
            percentile_of_wrk(text, "50%"), percentile_of_wrk(text, "99%"))


def percentile_of_wrk(text: str, name: str) -> float:
    value, unit = re.search(rf"^\s+{name}\s+([\d.]+)(us|ms|s)", text, re.M).groups()  # type: ignore[union-attr]
    return float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def h2load(place: Place, arguments: list[str], seconds: float) -> tuple[int, float, float, float]:
    log = place.folder / "h2load.log"
    log.unlink(missing_ok=True)
    whole = max(1, round(seconds))
    done = subprocess.run(["taskset", "-c", OTHER_CORE, "h2load", "-t", "1", "-D", str(whole), f"--log-file={log}", *arguments],
                          capture_output=True, text=True)
    found = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed", done.stdout)
    if not found or found[1] != found[2]:
        raise SystemExit(f"run: error: h2load saw errors:\n{done.stdout}{done.stderr}")
    times = sorted(int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines())
    quantiles = statistics.quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
    return int(found[2]), int(found[2]) / whole, quantiles[49], quantiles[98]
