"""What a service manager and a package manager see: notifications, the unit, the Debian package."""
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.gateway import ROOT, Gateway, binary, rule_file
from harness.waiting import BOUND, wait_until


class Manager:
    """The socket of a service manager, and what it was told."""

    def __init__(self, folder: Path):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.told: list[str] = []

    def wait(self, text: str) -> str:
        def found() -> str | None:
            try:
                while True:
                    self.told.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return next((message for message in self.told if text in message), None)

        return wait_until(found, f"the service manager is told {text}")


@pytest.fixture
def managed(certificates, origin, tmp_path):
    manager = Manager(tmp_path)
    gateway = Gateway(tmp_path, certificates, lambda ports: rule_file(ports, certificates, origin.port),
                      environment={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"})
    try:
        yield manager, gateway.wait_ready()
    finally:
        assert gateway.stop() == 0
        manager.socket.close()


def test_the_service_manager_is_told_of_start_reload_and_stop(managed):
    manager, gateway = managed
    assert "STATUS=serving, configuration generation 1" in manager.wait("READY=1")
    gateway.reload()
    assert re.search(r"MONOTONIC_USEC=\d+", manager.wait("RELOADING=1"))
    manager.wait("configuration generation 2")
    gateway.signal(signal.SIGTERM)
    manager.wait("STOPPING=1")


def test_a_refused_reload_ends_as_well(managed):
    manager, gateway = managed
    manager.wait("READY=1")
    manager.told.clear()
    gateway.reload("sluice: 2\n")
    manager.wait("RELOADING=1")
    assert "generation 1" in manager.wait("READY=1")


def test_the_watchdog_is_fed(managed):
    manager, _ = managed
    for _ in range(3):
        manager.wait("WATCHDOG=1")
        manager.told.clear()


def test_the_unit_exposes_little():
    unit = ROOT / "scripts/lib/package/sluice.service"
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(unit)],
                          capture_output=True, text=True, timeout=BOUND)
    found = re.search(r"exposure level for sluice.service: ([\d.]+)", done.stdout)
    assert found and float(found[1]) < 2.0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    done = subprocess.run([str(ROOT / "scripts/package"), "--output", str(folder), "--binary", str(binary().resolve())],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    made = next(folder.glob("sluice_*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(made), str(folder / "files")], check=True, timeout=BOUND)
    return made, folder / "files"


def test_the_package_depends_on_the_libraries_that_the_binary_loads(package):
    made, _ = package
    depends = subprocess.run(["dpkg-deb", "-f", str(made), "Depends"], capture_output=True, text=True, check=True).stdout
    for library in ("libnode108", "libssl3", "libnghttp2-14", "libc6"):
        assert library in depends


def test_the_package_holds_what_an_operator_looks_for(package):
    _, files = package
    for path in ("usr/bin/sluice", "lib/systemd/system/sluice.service", "lib/systemd/system/sluice.socket", "usr/share/doc/sluice/sbom.spdx.json", "etc/sluice/sluice.yaml", "usr/share/man/man1/sluice.1.gz",
                 "usr/share/bash-completion/completions/sluice", "usr/share/doc/sluice/RULES.md", "usr/share/doc/sluice/copyright"):
        assert (files / path).stat().st_size > 0, path
    assert subprocess.run(["bash", "-n", str(files / "usr/share/bash-completion/completions/sluice")], timeout=BOUND).returncode == 0


def test_its_default_configuration_is_good_and_its_man_page_names_every_command(package):
    _, files = package
    check = subprocess.run([str(files / "usr/bin/sluice"), "check", str(files / "etc/sluice/sluice.yaml")], capture_output=True, text=True,
                           timeout=BOUND)
    assert check.returncode == 0, check.stdout + check.stderr
    page = subprocess.run(["gzip", "-dc", str(files / "usr/share/man/man1/sluice.1.gz")], capture_output=True, text=True, check=True).stdout
    for command in ("run", "check", "reload", "status", "top", "tail"):
        assert f".SS sluice {command}\n" in page


@pytest.fixture
def memory():
    """A folder on a disk of another kind, where the same files take another number of blocks."""
    folder = tempfile.mkdtemp(prefix="sluice-", dir="/dev/shm")
    yield folder
    shutil.rmtree(folder)


def test_the_same_inputs_make_the_same_package(package, tmp_path, memory):
    """Wherever and by whomever it is made: on another disk, and under a umask that lets nobody else read."""
    made, _ = package
    done = subprocess.run([str(ROOT / "scripts/package"), "--output", str(tmp_path), "--binary", str(binary().resolve())],
                          capture_output=True, text=True, timeout=300, umask=0o077, env={**os.environ, "TMPDIR": memory})
    assert done.returncode == 0, done.stderr
    fields, contents = ([subprocess.run(["dpkg-deb", option, str(each)], capture_output=True, text=True, check=True).stdout
                         for each in (made, tmp_path / made.name)] for option in ("--field", "--contents"))
    assert fields[0] == fields[1] and contents[0] == contents[1]
    assert (tmp_path / made.name).read_bytes() == made.read_bytes()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None or os.geteuid() != 0, reason="needs systemd's tools")
def test_systemd_finds_no_fault_with_the_unit(package):
    _, files = package
    units = [str(files / "lib/systemd/system" / name) for name in ("sluice.service", "sluice.socket")]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=BOUND)
    faults = [line for line in done.stderr.splitlines() if re.search(r"sluice\.(service|socket)", line) and "is not executable" not in line]
    assert not faults, done.stderr


# Bill of materials

def test_the_bill_of_materials_lists_what_is_linked_and_what_is_loaded(package):
    _, files = package
    bill = json.loads((files / "usr/share/doc/sluice/sbom.spdx.json").read_text())
    assert bill["spdxVersion"] == "SPDX-2.3" and bill["dataLicense"] == "CC0-1.0" and bill["SPDXID"] == "SPDXRef-DOCUMENT"
    by_name = {each["name"]: each for each in bill["packages"]}
    assert {"sluice", "swift-argument-parser", "yams", "swift-runtime", "libssl3", "libnode108", "libnghttp2-14"} <= set(by_name)
    ids = [each["SPDXID"] for each in bill["packages"]]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", each) for each in ids)
    for relation in bill["relationships"]:
        assert relation["relatedSpdxElement"] in ids and relation["spdxElementId"] in [*ids, "SPDXRef-DOCUMENT"]
    binary_hash = hashlib.sha256((files / "usr/bin/sluice").read_bytes()).hexdigest()
    assert by_name["sluice"]["checksums"] == [{"algorithm": "SHA256", "checksumValue": binary_hash}]
    for name in ("libssl3", "libnode108"):
        installed = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True, check=True).stdout
        assert by_name[name]["versionInfo"] == installed
        assert by_name[name]["externalRefs"][0]["referenceLocator"].startswith(f"pkg:deb/debian/{name}@")


# Image

def test_the_image_recipe_starts_what_the_package_installs(package):
    """What it copies, runs and starts is held against the package; test_77 builds and starts it where the tools are there."""
    _, files = package
    text = (ROOT / "Containerfile").read_text()
    steps = re.findall(r"^(ARG|FROM|COPY|RUN|USER|ENV|EXPOSE|STOPSIGNAL|HEALTHCHECK|ENTRYPOINT)\b(.*(?:\\\n.*)*)", text, re.M)
    done = {name: rest.strip() for name, rest in steps}
    unknown = [line for line in re.sub(r"\\\n", "", text).splitlines() if line and not line.startswith("#") and line.split()[0] not in done]
    assert not unknown and done["FROM"] == "${BASE}" and "debian:12" in done["ARG"]
    made = re.fullmatch(r"(\S+)/sluice_\*\.deb /tmp/", done["COPY"])
    assert made and made[1] == re.search(r"output=(\S+) binary", (ROOT / "scripts/package").read_text())[1]
    command = json.loads(done["ENTRYPOINT"])
    assert command[0] == "sluice" and (files / command[command.index("--config") + 1].lstrip("/")).exists()
    health = json.loads(done["HEALTHCHECK"].split("CMD", 1)[1])
    for words in (command, health):
        tried = subprocess.run([binary(), "help", words[1]], capture_output=True, text=True, timeout=BOUND)
        assert tried.returncode == 0 and all(word in tried.stdout for word in words if word.startswith("--"))
    assert done["USER"] in (ROOT / "scripts/lib/package/postinst").read_text()
    assert done["STOPSIGNAL"] == "SIGTERM"
