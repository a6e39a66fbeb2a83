"""The tidy rules find what they are for, and leave the rest alone."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/lib"))

from tidy import check, rules  # noqa: E402
from tidy.sizes import swift_functions  # noqa: E402
from tidy.source import Tree, without_comments_and_strings  # noqa: E402


def breaches(tmp_path: Path, files: dict[str, str], rule: str) -> list[str]:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [f"{breach.path}:{breach.line}" for breach in rules[rule](Tree(tmp_path))]


def test_this_tree_keeps_the_rules():
    found = check(ROOT)
    assert not found, "\n" + "\n".join(map(str, found))


@pytest.mark.parametrize("text,kept", [
    ("let a = 1 // unsafe", "let a = 1"), ('let a = "unsafe"', "let a ="), ('let a = "x\\"unsafe"; b', "; b"),
    ("/* unsafe /* nested */ still */ b", "b"), ('"""\nunsafe "quoted"\n""" + b', "+ b"), ('#"un"safe"# + b', "+ b"),
    ('"a \\(f("unsafe", (1))) unsafe" + b', "+ b"),
])
def test_comments_and_strings_are_blanked(text, kept):
    blanked = without_comments_and_strings(text)
    assert "unsafe" not in blanked and kept in blanked
    assert len(blanked) == len(text) and blanked.count("\n") == text.count("\n")


def test_file_lengths(tmp_path):
    files = {"Sources/A/short.swift": "\n" * 400, "Sources/A/long.swift": "\n" * 401, "long.md": "\n" * 900,
             "script": "#!/bin/sh\n" + "\n" * 500}
    assert [each.split(":")[0] for each in breaches(tmp_path, files, "lines")] == ["Sources/A/long.swift", "script"]


def test_function_lengths(tmp_path):
    body = "    work()\n"
    files = {"a.swift": f"func short() {{\n{body * 68}}}\nfunc long(a: Int = {{ 1 }}()) -> Int {{\n{body * 69}}}\n",
             "b.py": "def long():\n" + "    pass\n" * 70 + "def short():\n" + "    pass\n" * 69}
    assert breaches(tmp_path, files, "function") == ["a.swift:71", "b.py:1"]


def test_functions_are_told_from_calls_and_requirements():
    text = ("protocol P {\n    func a()\n    init(b: Int)\n}\nstruct S: P {\n    init(b: Int) { self.init(c: b) }\n"
            "    func a() { if x { y() } }\n    deinit { z() }\n}\n")
    assert swift_functions(text.splitlines()) == [("init", 6, 1), ("a", 7, 1), ("deinit", 8, 1)]


def test_unsafe_code_needs_a_room_and_a_reason(tmp_path):
    files = {
        "Sources/Rules/a.swift": "// SAFETY: good\nlet a = unsafe b\n",
        "Sources/Buffers/b.swift": "// SAFETY: good\nlet a = unsafe b\n" + "\n" * 20 + "let c = unsafe d\n",
        "Sources/Buffers/c.swift": "final class C: @unchecked Sendable {}\n",
        "Sources/Buffers/d.swift": "// SAFETY: all of it\nstruct D {\n" + "\n" * 30 + "    let a = unsafe b\n}\n",
        "Sources/Rules/e.swift": '// unsafe\nlet a = "unsafe"\n@unsafe struct S {}\n',
    }
    assert breaches(tmp_path, files, "unsafe") == ["Sources/Buffers/b.swift:23", "Sources/Buffers/c.swift:1", "Sources/Rules/a.swift:2"]


def test_traps(tmp_path):
    files = {"Sources/A/a.swift": 'try! f()\nlet a = b as! C\nfatalError("x")\ntry? f()\nlet c = "try!"\n', "Tests/A/b.swift": "try! f()\n"}
    assert breaches(tmp_path, files, "traps") == [f"Sources/A/a.swift:{line}" for line in (1, 2, 3)]


def test_nothing_suspends(tmp_path):
    files = {"Sources/A/a.swift": 'func f() async {\n}\nlet a = await g()\nTask { h() }\nvar awaits = "await async"\nTask.detached {}\n',
             "Tests/A/b.swift": "func f() async {}\n"}
    assert breaches(tmp_path, files, "suspends") == [f"Sources/A/a.swift:{line}" for line in (1, 3, 4, 6)]


def test_imports_go_down(tmp_path):
    files = {
        "Sources/HTTP/a.swift": "public import Buffers\nimport Gateway\nimport Foundation\n",
        "Sources/Reactor/b.swift": "internal import CLinux\nimport CV8\n",
        "Sources/Nowhere/c.swift": "import Buffers\n",
        "Sources/Gateway/d.swift": "@preconcurrency import Supervisor\nimport struct HTTP.Head\n",
    }
    assert breaches(tmp_path, files, "imports") == ["Sources/Gateway/d.swift:1", "Sources/HTTP/a.swift:2",
                                                    "Sources/Nowhere/c.swift:1", "Sources/Reactor/b.swift:2"]


def test_sleeps_and_ports(tmp_path):
    sleep = "time." + "sleep(1)\n"
    files = {"Tests/a.py": sleep + "server.bind(('', 0))\nserver.bind(('', 80" + "80))\n",
             "Tests/b.swift": "try await Task.sleep(for: .seconds(1))\n// sleep(1)\nlisten(port: 90" + "90)\nlisten(port: 0)\n",
             "Sources/c.py": sleep}
    assert breaches(tmp_path, files, "sleep") == ["Tests/a.py:1", "Tests/b.swift:1"]
    assert breaches(tmp_path, files, "ports") == ["Tests/a.py:3", "Tests/b.swift:3"]


def test_links_and_named_files(tmp_path):
    files = {
        "docs/a.md": "[x](b.md) [y](gone.md) [z](https://example.com) [t](#top) [u](b.md#part)\n```\n[code](gone.md)\n```\n",
        "docs/b.md": "", "docs/WALK.md": "`Sources/HTTP/there.swift` and `Sources/HTTP/gone.swift`\n",
        "Sources/HTTP/there.swift": "",
    }
    assert breaches(tmp_path, files, "links") == ["docs/a.md:1"]
    assert breaches(tmp_path, files, "walk") == ["docs/WALK.md:1"]


def test_room_readmes(tmp_path):
    files = {"Sources/A/a.swift": "", "Sources/A/README.md": "\n" * 60, "Sources/B/b.swift": "", "Sources/C/c.swift": "",
             "Sources/C/README.md": "\n" * 61}
    assert [each.split(":")[0] for each in breaches(tmp_path, files, "readme")] == ["Sources/B/README.md", "Sources/C/README.md"]


def test_exceptions_are_honoured_and_must_be_needed(tmp_path):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "long.py").write_text("\n" * 500)
    exceptions = tmp_path / "scripts/tidy-exceptions.txt"
    exceptions.write_text("lines long.py: a table that belongs together\n")
    assert check(tmp_path) == []
    (tmp_path / "long.py").write_text("")
    assert [breach.path for breach in check(tmp_path)] == ["scripts/tidy-exceptions.txt"]
    exceptions.write_text("lines long.py\n")
    with pytest.raises(SystemExit, match="write `rule path: reason`"):
        check(tmp_path)


def test_command_says_what_it_found():
    done = subprocess.run([ROOT / "scripts/tidy", "--rules"], capture_output=True, text=True)
    assert done.returncode == 0 and all(f"{name}: " in done.stdout for name in rules)


def test_results_are_summed(tmp_path):
    (tmp_path / "a.xml").write_text('<testsuites><testsuite><testcase name="x"/><testcase name="y"><failure/></testcase>'
                                    '<testcase name="z"><skipped/></testcase></testsuite></testsuites>')
    (tmp_path / "b.xml").write_text('<testsuite><testcase name="x"/></testsuite>')
    done = subprocess.run([ROOT / "scripts/lib/sum-results", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout.splitlines()[-1] == "2 passed, 1 failed"
    (tmp_path / "a.xml").unlink()
    done = subprocess.run([ROOT / "scripts/lib/sum-results", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "1 passed, 0 failed"
    (tmp_path / "b.xml").unlink()
    assert subprocess.run([ROOT / "scripts/lib/sum-results", tmp_path], capture_output=True).returncode == 1


def test_rules_are_rendered_with_other_ports(tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "from/a.yaml").write_text('a: "h:10"\nb: h:101 h:20\n')
    (tmp_path / "from/b.txt").write_text("h:10")
    subprocess.run([ROOT / "scripts/lib/render-rules", tmp_path / "from", tmp_path / "to", "h:10=h:20", "h:20=h:10"], check=True)
    assert (tmp_path / "to/a.yaml").read_text() == 'a: "h:20"\nb: h:101 h:10\n'
    assert (tmp_path / "to/b.txt").read_text() == "h:10"


def test_development_certificates_are_made_once_and_renewed(tmp_path):
    def make(*more: str) -> str:
        return subprocess.run([ROOT / "scripts/dev-certs", "--dir", tmp_path, *more], capture_output=True, text=True, check=True).stdout

    assert "made" in make()
    first = (tmp_path / "server.crt").read_text()
    assert "is good until" in make() and (tmp_path / "server.crt").read_text() == first
    authority = (tmp_path / "ca.crt").read_text()
    (tmp_path / "server.crt").write_text("broken")
    assert "made" in make()
    assert (tmp_path / "ca.crt").read_text() == authority, "a good authority stays, so that clients keep trusting it"
    assert (tmp_path / "server.crt").read_text() != first
    done = subprocess.run(["openssl", "verify", "-CAfile", tmp_path / "ca.crt", tmp_path / "server.crt"], capture_output=True)
    assert done.returncode == 0
    assert (tmp_path / "server.key").stat().st_mode & 0o077 == 0
