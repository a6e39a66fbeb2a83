"""Medians and ratios."""
import statistics
from dataclasses import asdict

from .cases import Case
from .measure import Turn


def median(turns: list[Turn], field: str) -> float:
    return statistics.median(getattr(turn, field) for turn in turns)


def ratio(one: list[Turn], other: list[Turn]) -> float:
    """Median over the rounds of the ratio within a round: what drifts between rounds cancels out."""
    return statistics.median(a.cpu / b.cpu for a, b in zip(one, other))


def added(turns: dict[str, list[Turn]], hooked: str, plain: str) -> float:
    """Microseconds that a hook adds: the median over the rounds."""
    return statistics.median(a.cpu - b.cpu for a, b in zip(turns[hooked], turns[plain]))


def verdict(case: Case, turns: dict[str, list[Turn]]) -> str:
    against = [name for name in case.against if turns.get(name)]
    if case.adds is not None and turns.get(case.subject) and turns.get("sluice"):
        more = added(turns, case.subject, "sluice")
        return f"{case.subject} adds {more:.2f} us; the bar is {case.adds:.2f}: {'reached' if more <= case.adds else 'missed'}"
    if case.bar is None or not turns.get(case.subject) or not against:
        return ""
    best = min(against, key=lambda name: median(turns[name], "cpu"))
    lines = [measured(case, turns, best, case.bar)]
    if case.above_floor is not None and turns.get("floor"):
        lines.append(measured(case, turns, "floor", case.above_floor))
    return "\n".join(lines)


def measured(case: Case, turns: dict[str, list[Turn]], other: str, bar: float) -> str:
    reached = ratio(turns[case.subject], turns[other])
    return f"{case.subject} is at {reached:.2f} x {other}; the bar is {bar:.2f}: {'reached' if reached <= bar else 'missed'}"


def table(case: Case, turns: dict[str, list[Turn]]) -> str:
    lines = [f"\n{case.name}: {case.title}, {case.connections} connections",
             f"{'':20}{'CPU us/req':>11}{'user us':>9}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'x nginx':>9}"]
    base = turns.get("nginx")
    for name, each in turns.items():
        against = f"{ratio(each, base):9.2f}" if base else ""
        lines.append(f"{name:20}{median(each, 'cpu'):11.2f}{median(each, 'user'):9.2f}{median(each, 'per_second'):10.0f}"
                     f"{median(each, 'p50'):9.2f}{median(each, 'p99'):9.2f}{against}")
    for name in turns:
        plain = name.split("-")[0]
        if case.hook and name != plain and turns.get(plain):
            each = [a.cpu - b.cpu for a, b in zip(turns[name], turns[plain])]
            lines.append(f"the hook adds to {plain} ({name}): {added(turns, name, plain):+.2f} us (from {min(each):+.2f} to {max(each):+.2f})")
    return "\n".join([*lines, verdict(case, turns)]).rstrip()


def document(results: dict[str, dict[str, list[Turn]]]) -> dict[str, object]:
    return {case: {name: {"turns": [asdict(turn) for turn in turns],
                          **{f"median_{field}": median(turns, field) for field in ("cpu", "user", "per_second", "p50", "p99")},
                          **({"ratio_to_nginx": ratio(turns, contenders["nginx"])} if contenders.get("nginx") else {})}
                   for name, turns in contenders.items()} for case, contenders in results.items()}
