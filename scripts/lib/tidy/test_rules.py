"""What makes a test slow or flaky."""
import re

from .source import Breach, Tree

SWIFT_SLEEP = re.compile(r"\b(?:Task|Thread)\.sleep\b|\b(?:u|nano)?sleep\s*\(|\basyncAfter\b")
PYTHON_SLEEP = re.compile(r"\b(?:time|asyncio)\.sleep\s*\(")
FIXED_PORT = re.compile(r"\b(?:listen|bind|connect|serve|start_server|accept)\w*\s*\([^)\n]*(?<!backlog=)(?<!\w)[1-9]\d{3,4}\b")


def no_sleeps(tree: Tree) -> list[Breach]:
    """A test waits for an event, never for a time. Python tests wait in harness/waiting.py alone."""
    breaches = []
    for path in tree.named(".swift", ".py", under=("Tests/",)):
        swift = path.endswith(".swift")
        lines = tree.code(path) if swift else tree.lines(path)
        pattern = SWIFT_SLEEP if swift else PYTHON_SLEEP
        breaches += [Breach(path, number, "a test that sleeps is slow on a fast machine and fails on a slow one: wait for an event")
                     for number, line in enumerate(lines, 1) if pattern.search(line)]
    return breaches


def no_fixed_ports(tree: Tree) -> list[Breach]:
    """Ports come from the kernel: no test binds or connects to a number written in it."""
    breaches = []
    for path in tree.named(".swift", ".py", under=("Tests/",)):
        lines = tree.code(path) if path.endswith(".swift") else tree.lines(path)
        breaches += [Breach(path, number, "a fixed port is taken on somebody's machine: bind to 0 and ask which it was")
                     for number, line in enumerate(lines, 1) if FIXED_PORT.search(line)]
    return breaches
