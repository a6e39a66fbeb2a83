"""Where unsafe code may stand, what may import what, and what may never end the process."""
import re

from .sizes import swift_functions, swift_types
from .source import Breach, Tree

# A room imports only from floors below it; the cellar (C targets) only from the room that owns it.
FLOORS = {
    "Telemetry": 0, "Buffers": 0, "KeyValue": 0,
    "HTTP": 1, "Reactor": 1, "Patterns": 1, "Codings": 1,
    "HTTP1": 2, "HTTP2": 2, "TLS": 2, "Isolates": 2,
    "Rules": 3, "Upstream": 3, "Stores": 3,
    "Hooks": 4,
    "Cordon": 5,
    "Gateway": 6, "Supervisor": 6, "Origin": 6,
    "Rehearsal": 7,
    "sluice": 8,
}
CELLAR = {
    "CLinux": {"Reactor", "Buffers", "Telemetry"}, "COpenSSL": {"TLS"}, "CNghttp2": {"HTTP2"}, "CV8": {"Isolates"},
    "CRE2": {"Patterns"}, "CCodings": {"Codings"}, "CLMDB": {"Stores"},
    # Linked, not called.
    "CExclusivity": set(),
}
# The supervisor stands on the same floor as the gateway and starts it.
NEIGHBOURS = {("Supervisor", "Gateway")}
UNSAFE_ROOMS = {"Buffers", "Reactor", "TLS", "HTTP2", "Isolates", "Patterns", "Codings", "Stores"}
UNSAFE = re.compile(r"(?<!@)\bunsafe\b|@unchecked\s+Sendable|nonisolated\(unsafe\)")
REASON_WITHIN = 12


def room_of(path: str) -> str | None:
    parts = path.split("/")
    return parts[1] if parts[0] == "Sources" and len(parts) > 2 else None


def unsafe_in_its_rooms(tree: Tree) -> list[Breach]:
    """`unsafe`, `@unchecked Sendable` and `nonisolated(unsafe)` only in six rooms, each with a SAFETY: comment near it."""
    breaches = []
    for path in tree.named(".swift", under=("Sources/",)):
        lines = tree.lines(path)
        bodies = swift_functions(tree.code(path)) + swift_types(tree.code(path))
        for number, code in enumerate(tree.code(path), 1):
            if not UNSAFE.search(code):
                continue
            if room_of(path) not in UNSAFE_ROOMS:
                breaches.append(Breach(path, number, f"unsafe code outside of {', '.join(sorted(UNSAFE_ROOMS))}"))
            elif not has_reason(lines, number, bodies):
                breaches.append(Breach(path, number, "unsafe code without a `// SAFETY:` line that says why it is sound"))
    return breaches


def has_reason(lines: list[str], number: int, bodies: list[tuple[str, int, int]]) -> bool:
    """A reason within a dozen lines above, anywhere in the same function, or right above that function or its type."""
    if any("SAFETY:" in line for line in lines[max(0, number - 1 - REASON_WITHIN):number]):
        return True
    for name, first, length in bodies:
        if first <= number < first + length:
            last = first if name.startswith("type ") else first + length
            if any("SAFETY:" in line for line in lines[max(0, first - 6):last]):
                return True
    return False


def no_traps(tree: Tree) -> list[Breach]:
    """No `try!`, `as!` and `fatalError` in Sources: bytes from the network must not be able to end the process."""
    trap = re.compile(r"\btry!|\bas!\s|\bfatalError\(")
    return [Breach(path, number, f"`{trap.search(code)[0].strip()}` can end the process")  # type: ignore[index]
            for path in tree.named(".swift", under=("Sources/",))
            for number, code in enumerate(tree.code(path), 1) if trap.search(code)]


def nothing_suspends(tree: Tree) -> list[Breach]:
    """No `async` function in Sources: an access that is open across a suspension would end on another thread than it
    began on, and CExclusivity keeps its list by thread."""
    suspends = re.compile(r"\)\s*async\b|\bawait\b|\bTask\s*(?:\.detached\s*)?\{")
    return [Breach(path, number, f"`{suspends.search(code)[0].strip()}` suspends")  # type: ignore[index]
            for path in tree.named(".swift", under=("Sources/",))
            for number, code in enumerate(tree.code(path), 1) if suspends.search(code)]


IMPORT = re.compile(r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|internal|package|private|fileprivate)\s+)?import\s+"
                    r"(?:(?:struct|class|enum|protocol|func|typealias|var|let)\s+)?(\w+)")


def imports_go_down(tree: Tree) -> list[Breach]:
    """A room imports only rooms of lower floors; a C target is imported by its owners alone."""
    breaches = []
    for path in tree.named(".swift", under=("Sources/",)):
        room = room_of(path)
        if room not in FLOORS:
            breaches.append(Breach(path, 1, f"the room '{room}' has no floor in scripts/lib/tidy/swift_rules.py"))
            continue
        for number, code in enumerate(tree.code(path), 1):
            found = IMPORT.match(code)
            if not found:
                continue
            other = found[1]
            if other in CELLAR and room not in CELLAR[other]:
                breaches.append(Breach(path, number, f"only {', '.join(sorted(CELLAR[other])) or 'nobody'} may import {other}"))
            elif other in FLOORS and FLOORS[other] >= FLOORS[room] and (room, other) not in NEIGHBOURS:
                breaches.append(Breach(path, number, f"{room} (floor {FLOORS[room]}) may not import {other} (floor {FLOORS[other]})"))
    return breaches
