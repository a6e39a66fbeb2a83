"""The files of the tree, and Swift text without its comments and strings."""
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SKIPPED = {".git", ".build", ".venv", ".run", "__pycache__", "node_modules"}


@dataclass(frozen=True)
class Breach:
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


class Tree:
    """The files below a root, named relative to it."""

    def __init__(self, root: Path):
        self.root = root
        self.files = sorted(str(path.relative_to(root)) for path in root.rglob("*")
                            if path.is_file() and not SKIPPED & set(path.relative_to(root).parts))

    @cache
    def text(self, path: str) -> str:
        return (self.root / path).read_text(errors="replace")

    def lines(self, path: str) -> list[str]:
        return self.text(path).splitlines()

    @cache
    def code(self, path: str) -> list[str]:
        """The lines of a Swift file with comments and the insides of strings blanked."""
        return without_comments_and_strings(self.text(path)).splitlines()

    def named(self, *endings: str, under: tuple[str, ...] = ("",)) -> list[str]:
        return [path for path in self.files if path.endswith(endings) and path.startswith(under)]


TOKEN = re.compile(r'//[^\n]*|/\*|(?P<hashes>#*)(?P<quote>"""|")')


def without_comments_and_strings(text: str) -> str:
    """Same length and same lines. Knows nested comments, raw and multi-line strings, and interpolation."""
    out, at = [], 0
    while found := TOKEN.search(text, at):
        out.append(text[at:found.start()])
        if found[0].startswith("//"):
            end = found.end()
        elif found[0] == "/*":
            end = end_of_comment(text, found.end())
        else:
            end = end_of_string(text, found.end(), found["quote"], found["hashes"])
        out.append(re.sub(r"[^\n]", " ", text[found.start():end]))
        at = end
    return "".join(out) + text[at:]


def end_of_comment(text: str, at: int) -> int:
    depth = 1
    for mark in re.finditer(r"/\*|\*/", text[at:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return at + mark.end()
    return len(text)


def end_of_string(text: str, at: int, quote: str, hashes: str) -> int:
    while at < len(text):
        if text.startswith(quote + hashes, at):
            return at + len(quote + hashes)
        if text.startswith("\\" + hashes, at):
            at += 1 + len(hashes)
            at = end_of_interpolation(text, at + 1) if text.startswith("(", at) else at + 1
        elif text[at] == "\n" and quote == '"':
            return at  # an unfinished string: the compiler will say so
        else:
            at += 1
    return at


def end_of_interpolation(text: str, at: int) -> int:
    depth = 1
    while at < len(text) and depth:
        if text[at] == '"':
            at = end_of_string(text, at + 1, '"', "")
            continue
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return at
