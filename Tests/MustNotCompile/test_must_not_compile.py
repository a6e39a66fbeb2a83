"""Runs the compiler over the files beside it, see README.md."""
import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / ".build/debug"
SETTINGS = ["-swift-version", "6", "-strict-memory-safety", "-enable-experimental-feature", "Lifetimes",
            "-enable-upcoming-feature", "ExistentialAny", "-enable-upcoming-feature", "MemberImportVisibility",
            "-enable-upcoming-feature", "InternalImportsByDefault"]


def compile_one(path: Path) -> subprocess.CompletedProcess:
    """SIL diagnostics (ownership, lifetimes) come after type checking, so code is generated and thrown away."""
    maps = [part for found in BUILD.glob("*.build/module.modulemap") for part in ("-Xcc", f"-fmodule-map-file={found}")]
    return subprocess.run(["swiftc", "-emit-sil", "-o", "/dev/null", "-parse-as-library", *SETTINGS,
                           "-I", str(BUILD / "Modules"), *maps, str(path)], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", sorted(path.name for path in HERE.glob("*.swift")))
def test_compiler_says(name):
    path = HERE / name
    verdict, _, wanted = path.read_text().split("\n", 1)[0].removeprefix("// ").partition(": ")
    done = compile_one(path)
    if verdict == "compiles":
        assert done.returncode == 0, done.stderr
    else:
        assert verdict == "refused"
        assert done.returncode != 0, "this misuse compiles"
        errors = "\n".join(line for line in done.stderr.splitlines() if "error:" in line)
        assert re.search(wanted, errors), done.stderr
