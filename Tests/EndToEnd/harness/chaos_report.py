"""What a run under hard times is to be, what happened in it, and whether that is good."""
from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field


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
