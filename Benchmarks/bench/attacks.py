"""What one attacker costs a well-behaved client and the worker."""
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .place import OTHER_CORE, PROXY_CORE, Contender, Place

HERE = Path(__file__).resolve().parent
# The name here, and the one that the frames have in harness/floods.py.
FLOODS = {"rapid-reset": "resets", "made-you-reset": "provoked_resets", "continuation": "continuation", "settings": "settings",
          "ping": "ping", "priority": "priority", "window-update": "window_update", "empty-data": "empty_data",
          "hpack-bomb": "large_heads", "malformed-heads": "malformed_heads", "unknown-frames": "frames", "zero-window": "zero_window",
          "slow-read-h2": "dribble"}
# slowhttptest's four modes.
SLOW = {"slow-heads": ["-H"], "slow-bodies": ["-B", "-s", "100000"], "ranges": ["-R", "-a", "10", "-b", "3000"],
        "slow-read": ["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3"]}
ATTACKS = [*FLOODS, *SLOW]
# New connections per second of slowhttptest. Each lasts until its time limit (2 s and less), so after WARM seconds as many go as come:
# that is when the client is watched.
SLOW_RATE = 300
WARM = 3.0
# With the default limits nobody is cut off for a while: so many stay.
HELD = 800
# What the worker may use; everything beyond is a finding.
MEMORY_MIB = 256
DEFAULT_LIMITS = f"limits: {{memory: {MEMORY_MIB}MiB, requests_per_connection: 1000000000}}"
LIMITS = f"limits: {{memory: {MEMORY_MIB}MiB, head_timeout: 2s, body_rate_time: 2s, write_stall: 1s, requests_per_connection: 1000000000}}"


@dataclass
class Outcome:
    """Of one attack on one contender, over all rounds. Microseconds."""

    quiet: list[float] = field(default_factory=list)
    attacked: list[float] = field(default_factory=list)
    # Shares of the watched time: on its processor, and kept waiting for it; in peace and under attack.
    busy: list[tuple[float, float]] = field(default_factory=list)
    waited: list[tuple[float, float]] = field(default_factory=list)
    peak_mib: float = 0
    ends: Counter[str] = field(default_factory=Counter)
    # Connections of the attacker at once, the fewest and most while the client was watched.
    held: list[int] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return statistics.median(b / a for a, b in zip(self.quiet, self.attacked))


def missing(attacks: list[str]) -> list[str]:
    return ["slowhttptest"] if set(attacks) & set(SLOW) and not shutil.which("slowhttptest") else []


def measure(place: Place, contender: Contender, attack: str, seconds: float, outcome: Outcome, control: bool = False,
            holds: bool = False) -> None:
    before = turns(contender)
    outcome.quiet.append(p99(steady(contender, seconds).communicate()))
    peace = shares(before, turns(contender), seconds)
    slow = attack in SLOW
    warm = (HELD / SLOW_RATE + 1 if holds else WARM) if slow else 0.5
    target = int(place.values["ORIGIN"]) if control else contender.plain
    attacker = begin(attack, contender, target, seconds + warm + 0.5, f"127.1.{len(outcome.quiet)}.{1 + ATTACKS.index(attack)}", holds)
    time.sleep(warm)
    before = turns(contender)
    client = steady(contender, seconds)
    seen: set[str] = set()
    looked = 0.0
    while client.poll() is None:
        outcome.peak_mib = max(outcome.peak_mib, resident_mib(contender.worker))
        if slow and time.monotonic() - looked > 0.5:
            now = connected(target)
            seen |= now
            outcome.held.append(len(now))
            looked = time.monotonic()
        time.sleep(0.05)
    attacked = shares(before, turns(contender), seconds)
    outcome.attacked.append(p99(client.communicate()))
    outcome.busy.append((peace[0], attacked[0]))
    outcome.waited.append((peace[1], attacked[1]))
    told = attacker.communicate()[0]
    if slow and not control:
        # The tool hears of an end only when it next reads, so the kernel is asked whom the gateway has let go.
        left = len(seen & connected(target))
        outcome.ends.update({"ended": len(seen) - left, "not yet": left})
    if attack in FLOODS:
        outcome.ends.update(json.loads(told))


def turns(contender: Contender) -> tuple[int, int]:
    """Nanoseconds that the serving threads were on a processor, and that they waited for it (/proc/PID/task/*/schedstat)."""
    paths = (path for pid in contender.serving for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    fields = [path.read_text().split() for path in paths]
    return sum(int(each[0]) for each in fields), sum(int(each[1]) for each in fields)


def shares(before: tuple[int, int], after: tuple[int, int], seconds: float) -> tuple[float, float]:
    return (after[0] - before[0]) / seconds / 1e9, (after[1] - before[1]) / seconds / 1e9


def connected(port: int) -> set[str]:
    """The clients of a port."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {row[2] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}


def steady(contender: Contender, seconds: float) -> subprocess.Popen:
    """On the core of whoever is attacked, and before it: what it waits for is then the gateway's doing. On the attacker's core it
    would wait for the attacker."""
    return subprocess.Popen(["taskset", "-c", PROXY_CORE, sys.executable, str(HERE / "steady.py"), str(contender.secure), str(seconds)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def begin(attack: str, contender: Contender, plain: int, seconds: float, address: str, holds: bool) -> subprocess.Popen:
    if attack in FLOODS:
        command = [sys.executable, str(HERE / "attacker.py"), FLOODS[attack], str(contender.secure), str(seconds), address]
    else:
        path = {"slow-read": "/10m", "slow-bodies": "/upload"}.get(attack, "/64k")
        # Never before its time: the kernel stops everything of that class for a while when somebody spins in it.
        lowest = ["chrt", "-o", "0", "nice", "-n", "-15"] if os.sched_getscheduler(0) == os.SCHED_FIFO else ["nice", "-n", "19"]
        command = [*lowest, "slowhttptest", *SLOW[attack], "-c", str(HELD if holds else round(SLOW_RATE * (seconds + 4))), "-r", str(SLOW_RATE), "-i", "1",
                   "-l", str(round(seconds) + 4), "-p", "3", "-u", f"http://localhost:{plain}{path}"]
    return subprocess.Popen(["taskset", "-c", OTHER_CORE, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def p99(output: tuple[str, str]) -> float:
    if not output[0]:
        raise SystemExit(f"attacks: error: {output[1].strip()}")
    return statistics.quantiles(json.loads(output[0]), n=100)[98]


def resident_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0
