"""The house rules as functions from a tree to its breaches. `scripts/tidy` is the command."""
from collections.abc import Callable
from pathlib import Path

from .documents import links_lead_somewhere, room_readmes, walk_names_files
from .sizes import file_lengths, function_lengths
from .source import Breach, Tree
from .swift_rules import imports_go_down, no_traps, nothing_suspends, unsafe_in_its_rooms
from .test_rules import no_fixed_ports, no_sleeps

rules: dict[str, Callable[[Tree], list[Breach]]] = {
    "lines": file_lengths,
    "function": function_lengths,
    "unsafe": unsafe_in_its_rooms,
    "traps": no_traps,
    "suspends": nothing_suspends,
    "imports": imports_go_down,
    "sleep": no_sleeps,
    "ports": no_fixed_ports,
    "links": links_lead_somewhere,
    "walk": walk_names_files,
    "readme": room_readmes,
}


def check(root: Path) -> list[Breach]:
    """All breaches that no exception covers, and exceptions that cover nothing."""
    tree = Tree(root)
    exceptions = read_exceptions(root)
    breaches, used = [], set()
    for name, rule in rules.items():
        for breach in rule(tree):
            key = (name, breach.path)
            if key in exceptions:
                used.add(key)
            else:
                breaches.append(Breach(breach.path, breach.line, f"[{name}] {breach.text}"))
    for key, line in exceptions.items():
        if key not in used:
            breaches.append(Breach("scripts/tidy-exceptions.txt", line, f"[exceptions] {key[1]} needs none for '{key[0]}'"))
    return breaches


def read_exceptions(root: Path) -> dict[tuple[str, str], int]:
    """Lines `rule path: reason`, to the number of the line."""
    path = root / "scripts/tidy-exceptions.txt"
    found = {}
    for number, line in enumerate(path.read_text().splitlines() if path.exists() else [], 1):
        if not line.strip() or line.startswith("#"):
            continue
        head, colon, reason = line.partition(": ")
        words = head.split()
        if len(words) != 2 or words[0] not in rules or not colon or len(reason.strip()) < 10:
            raise SystemExit(f"scripts/tidy-exceptions.txt:{number}: write `rule path: reason`, with a rule of {list(rules)}")
        found[words[0], words[1]] = number
    return found
