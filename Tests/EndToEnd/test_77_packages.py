"""The package where it will live: in a bare Debian, in an image, and under a real systemd. Each is a script that people can run."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.gateway import ROOT, binary


def needs_no_toolchain() -> bool:
    """Whether the binary under test runs where there is no Swift: a release build does."""
    return "libswiftCore" not in subprocess.run(["ldd", binary()], capture_output=True, text=True).stdout


pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("debootstrap") or not needs_no_toolchain(),
                                                   reason="needs root, debootstrap and a release build")]


def run(*command: object, seconds: int = 900) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    run(ROOT / "scripts/package", "--output", folder, "--binary", binary().resolve())
    return next(folder.glob("*.deb"))


@pytest.fixture(scope="module")
def debian(tmp_path_factory) -> Path:
    """One root for all: debootstrap is what takes the time. With a service manager, which the image's does not have."""
    folder = tmp_path_factory.mktemp("debian")
    made = subprocess.run(["bash", "-c", 'source scripts/lib/common.sh; source scripts/lib/debian-root.sh; make_debian "$0" "$1"', folder / "root",
                           "systemd,systemd-sysv,dbus,ca-certificates,curl,procps"], capture_output=True, text=True, timeout=900, cwd=ROOT)
    if made.returncode != 0:
        pytest.skip(f"no Debian can be made: {made.stderr.strip()[-200:]}")
    yield folder / "root"
    shutil.rmtree(folder / "root", ignore_errors=True)


@pytest.fixture
def root(debian) -> Path:
    copy = debian.parent / "copy"
    run("cp", "-a", "--reflink=auto", debian, copy)
    yield copy
    shutil.rmtree(copy, ignore_errors=True)


def test_the_package_is_tried_in_a_bare_debian_root(package, root):
    assert "all is well" in run(ROOT / "scripts/trial", "--package", package, "--root", root)


@pytest.mark.skipif(not shutil.which("systemd-nspawn"), reason="needs systemd-container (scripts/setup --images)")
def test_the_unit_under_a_real_systemd(package, root):
    said = run(ROOT / "scripts/systemd", "--package", package, "--root", root)
    assert "all is well" in said and said.count("\nok ") >= 35


@pytest.mark.skipif(not shutil.which("buildah"), reason="needs buildah (scripts/setup --images)")
def test_the_image_is_built_started_and_asked(package, root):
    assert "all is well" in run(ROOT / "scripts/image", "--package", package, "--base", root)
