"""What a reload says: rule by rule what changed, all that is wrong, and that an old configuration is served. File watch."""
import os
import subprocess

import pytest

from harness.gateway import Gateway, binary, rule_file
from harness.waiting import wait_until

ONE = '- {name: version, match: {path: /version}, do: [{respond: {status: 200, body: "one"}}]}\n'
TWO = ONE.replace("one", "two")
EXTRA = '- {name: extra, do: [{set_header: {X-Extra: yes}}]}\n'


def command(gateway, *arguments):
    return subprocess.run([binary(), *arguments], cwd=gateway.folder, capture_output=True, text=True, timeout=60,
                          env={**os.environ, **gateway.environment})


def version(gateway) -> bytes:
    with gateway.http1() as client:
        return client.request("GET", "/version").body


def test_reload_prints_what_changed_rule_by_rule(start, certificates, origin):
    gateway = start(request=ONE)
    gateway.write(rule_file(gateway.ports, certificates, origin.port, request=TWO + EXTRA))
    done = command(gateway, "reload", "--config", str(gateway.file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "changed rule test/version (test, request rules)" in done.stdout
    assert "added rule test/extra (test, request rules)" in done.stdout
    assert version(gateway) == b"two"
    gateway.write(rule_file(gateway.ports, certificates, origin.port, request=EXTRA + TWO))
    assert "changed the order of test, request rules" in command(gateway, "reload", "--config", str(gateway.file)).stdout


def test_a_refused_reload_says_everything_and_stays_visible_until_it_is_mended(start, certificates, origin):
    gateway = start(request=ONE)
    assert gateway.metric("sluice_config_stale") == 0
    broken = '- {name: version, do: [{respnd: {status: 200}}]}\n- {name: other, when: pth == "/", do: [stop]}\n'
    gateway.write(rule_file(gateway.ports, certificates, origin.port, request=broken))
    done = command(gateway, "reload", "--config", str(gateway.file))
    assert done.returncode == 1
    said = done.stdout + done.stderr
    assert "did you mean `respond`?" in said and "did you mean `path`?" in said
    assert "was not changed" in gateway.text
    assert version(gateway) == b"one"
    assert gateway.metric("sluice_config_stale") == 1
    gateway.write(rule_file(gateway.ports, certificates, origin.port, request=TWO))
    assert command(gateway, "reload", "--config", str(gateway.file)).returncode == 0
    assert gateway.metric("sluice_config_stale") == 0


@pytest.fixture
def watched(certificates, origin, tmp_path):
    gateway = Gateway(tmp_path, certificates, lambda ports: rule_file(ports, certificates, origin.port, request=ONE), arguments=["--watch"])
    yield gateway.wait_ready()
    assert gateway.stop() == 0, gateway.text


def test_a_watched_file_is_taken_over_when_it_is_replaced(watched, certificates, origin):
    new = watched.folder / "sluice.yaml.new"
    new.write_text(rule_file(watched.ports, certificates, origin.port, request=TWO))
    os.replace(new, watched.file)
    wait_until(lambda: version(watched) == b"two", "the new rules are in use")
    watched.write(rule_file(watched.ports, certificates, origin.port, request=ONE))
    wait_until(lambda: version(watched) == b"one", "a file that is written in place is noticed too")


def test_a_watched_file_that_says_the_same_makes_no_generation(watched, certificates, origin):
    before = watched.metric("sluice_generation")
    watched.write(watched.file.read_text())
    watched.wait_log("nothing in it changed")
    assert watched.metric("sluice_generation") == before


def test_a_watched_certificate_is_taken_over_and_a_broken_one_raises_an_alarm(watched, certificates):
    key = certificates / "server.key"
    good = key.read_bytes()
    try:
        key.write_text("-----BEGIN PRIVATE KEY-----\nrubbish\n-----END PRIVATE KEY-----\n")
        wait_until(lambda: watched.metric("sluice_certificate_stale") == 1, "the broken key is an alarm")
        with watched.http1(tls=True) as client:
            assert client.request("GET", "/version").body == b"one", "the old pair serves on"
    finally:
        key.write_bytes(good)
    wait_until(lambda: watched.metric("sluice_certificate_stale") == 0, "the alarm ends with its cause")


def test_a_broken_watched_file_is_refused_until_it_is_mended(watched, certificates, origin):
    watched.write("sluice: 1\nsites: [")
    wait_until(lambda: watched.metric("sluice_config_stale") == 1, "the broken file is refused")
    assert version(watched) == b"one"
    watched.write(rule_file(watched.ports, certificates, origin.port, request=TWO))
    wait_until(lambda: version(watched) == b"two", "the mended file is taken")
    assert watched.metric("sluice_config_stale") == 0
