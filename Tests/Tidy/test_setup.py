"""scripts/setup against stand-ins for apt: what it asks for, and what it says when it cannot."""
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = "libssl-dev libnghttp2-dev libre2-dev libc-ares-dev liblmdb-dev libicu-dev zlib1g-dev libbrotli-dev libzstd-dev pkg-config openssl ca-certificates"


@pytest.fixture
def machine(tmp_path):
    """machine(installed=..., refuses=..., madison=...) runs scripts/setup there; (exit status, output, apt's calls)."""
    calls = tmp_path / "calls"

    def stand_in(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def run(installed: str = INSTALLED, refuses: str = "never", madison: str = "") -> tuple[int, str, list[str]]:
        listing = " ".join(f"installed {name}" for name in installed.split())
        stand_in("dpkg-query", f'if [[ "$*" == *Version* ]]; then echo 22.1.0-1nodesource1; else printf "{listing} "; fi')
        stand_in("apt-get", f'echo "$*" >>{calls}\nif [[ "$*" == *--simulate* && "$*" == *{refuses}* ]]; then exit 100; fi')
        stand_in("apt-cache", 'case "$1" in policy) echo "  Candidate: 18.20.4+dfsg-1~deb12u3" ;; '
                              f'madison) printf "{madison}" ;; esac')
        stand_in("sudo", '[[ "$1" == -n ]] && shift\nexec "$@"')
        done = subprocess.run([ROOT / "scripts/setup"], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
        lines = calls.read_text().splitlines() if calls.exists() else []
        return done.returncode, done.stdout + done.stderr, lines

    return run


def test_nothing_is_done_when_nothing_is_missing(machine):
    status, output, calls = machine(installed=INSTALLED + " libnode-dev")
    assert (status, output, calls) == (0, "", [])


def test_missing_packages_are_installed_after_an_update(machine):
    status, output, calls = machine(installed=INSTALLED.replace("libssl-dev ", "") + " libnode-dev")
    assert status == 0 and "missing: libssl-dev" in output
    assert "update" in calls[0] and calls[-1].endswith("install --no-install-recommends libssl-dev")
    assert len(calls) == 2


def test_foreign_nodejs_gives_way_to_the_version_that_belongs_to_libv8(machine):
    madison = ("nodejs | 22.1.0-1nodesource1 | https://deb.nodesource.com/node_22.x nodistro/main amd64 Packages\\n"
               "nodejs | 18.20.4+dfsg-1~deb12u3 | http://deb.debian.org/debian bookworm/main amd64 Packages\\n")
    status, output, calls = machine(refuses="libnode-dev", madison=madison)
    assert status == 0, output
    assert "nodejs 22.1.0-1nodesource1 holds libv8-dev back: going to Debian's nodejs 18.20.4+dfsg-1~deb12u3" in output
    assert any("--allow-downgrades" in call and "nodejs=18.20.4+dfsg-1~deb12u3" in call for call in calls)


def test_missing_debian_source_is_told(machine):
    status, output, _ = machine(refuses="libnode-dev", madison="nodejs | 22.1.0 | https://deb.nodesource.com nodistro/main\\n")
    assert status == 1 and "no nodejs of that version: add Debian 'bookworm main'" in output


def test_old_swift_is_refused(tmp_path):
    (tmp_path / "swift").write_text("#!/bin/sh\necho 'Swift version 5.9 (swift-5.9-RELEASE)'\n")
    (tmp_path / "swift").chmod(0o755)
    done = subprocess.run([ROOT / "scripts/setup"], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode == 1 and "Swift 5.9 is too old" in done.stderr
