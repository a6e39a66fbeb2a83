"""Documents that stay true."""
import re
from urllib.parse import unquote

from .source import Breach, Tree

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
NAMED_FILE = re.compile(r"`((?:Sources|Tests|Rules|docs|scripts|Examples|Benchmarks|Fuzz)/[\w./+-]+\.\w+)`")
README_LIMIT = 60


def links_lead_somewhere(tree: Tree) -> list[Breach]:
    """A relative link in a document leads to a file or folder that exists."""
    breaches = []
    for path in tree.named(".md"):
        folder = (tree.root / path).parent
        for number, line in outside_code_blocks(tree.lines(path)):
            for target in LINK.findall(line):
                if re.match(r"[a-z][a-z0-9+.-]*:|#", target):
                    continue
                if not (folder / unquote(target.split("#")[0])).exists():
                    breaches.append(Breach(path, number, f"the link to '{target}' leads nowhere"))
    return breaches


def outside_code_blocks(lines: list[str]) -> list[tuple[int, str]]:
    inside, kept = False, []
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            kept.append((number, line))
    return kept


def walk_names_files(tree: Tree) -> list[Breach]:
    """Every file that docs/WALK.md and docs/ARCHITECTURE.md name exists."""
    return [Breach(path, number, f"names {name}, which is not there")
            for path in ("docs/WALK.md", "docs/ARCHITECTURE.md") if path in tree.files
            for number, line in enumerate(tree.lines(path), 1)
            for name in NAMED_FILE.findall(line) if not (tree.root / name).exists()]


def room_readmes(tree: Tree) -> list[Breach]:
    """Each room has a README of at most 60 lines."""
    breaches = []
    rooms = {path.split("/")[1] for path in tree.named(".swift", under=("Sources/",)) if path.count("/") >= 2}
    for room in sorted(rooms):
        readme = f"Sources/{room}/README.md"
        if readme not in tree.files:
            breaches.append(Breach(readme, 1, "a room has a README: what lives here, invariants, what it may import"))
        elif len(tree.lines(readme)) > README_LIMIT:
            breaches.append(Breach(readme, README_LIMIT, f"{len(tree.lines(readme))} lines, at most {README_LIMIT}"))
    return breaches
