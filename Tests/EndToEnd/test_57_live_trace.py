"""A live request is explained in the log when a signed header asks for it, and only then."""
import json
import subprocess
import time

import pytest

from harness.gateway import Gateway, binary, rule_file
from harness.http1 import Connection
from harness.origin import Origin
from harness.waiting import wait_until

KEY = "0123456789abcdef0123456789abcdef\n"


@pytest.fixture
def traced(tmp_path, certificates, origin):
    (tmp_path / "debug.key").write_text(KEY)

    def make(ports):
        rules = rule_file(ports, certificates, origin.port, request="""
            - name: secret place
              when: path == "/secret"
              do: [{deny: 403}]
            - name: tell
              do: [{set_header: {X-Told: "yes"}}]
            """)
        return rules + "debug: {key_file: debug.key}\n"

    gateway = Gateway(tmp_path, certificates, make).wait_ready()
    yield gateway
    assert gateway.stop() == 0


def signed(gateway, life: str = "10m") -> str:
    told = subprocess.run([binary(), "explain", "--config", gateway.file, "--sign", life], capture_output=True, text=True, check=True)
    name, value = told.stdout.strip().split(": ")
    assert name == "Sluice-Trace"
    return value


def test_a_signed_header_has_the_request_explained(traced):
    answer = traced.fetch("http1", "GET", "/secret", [("Sluice-Trace", signed(traced))])
    assert answer.status == 403
    request = answer.header("sluice-trace-id")
    wait_until(lambda: f"request={request}" in traced.text, "the trace is in the log")
    line = next(line for line in traced.output if f"request={request}" in line)
    trace = json.loads(line[line.index("["):line.rindex("]") + 1])
    rule = next(event for event in trace if event.get("rule") == "test/secret place")
    assert rule["matched"] and rule["condition"]["value"] == "/secret"
    # Nothing of it reaches the client.
    assert b"secret place" not in answer.body and not any("secret place" in value for _, value in answer.headers)


def test_the_header_goes_no_further(traced):
    answer = traced.fetch("http1", "GET", "/echo", [("Sluice-Trace", signed(traced))])
    assert answer.status == 200 and b"sluice-trace" not in answer.body.lower()
    plain = traced.fetch("http2", "GET", "/echo", [("sluice-trace", "1-00")])
    assert plain.status == 200 and b"sluice-trace" not in plain.body.lower()


@pytest.mark.parametrize("value", ["", "x", "-", "9" * 200, "{now}-00", "{good}0", "{past}", "99999999999-" + "0" * 64])
def test_any_other_header_explains_nothing(traced, value):
    good = signed(traced)
    expires, code = good.split("-")
    value = value.format(now=int(time.time()) + 60, good=good, past=f"{int(time.time()) - 1}-{code}")
    answer = traced.fetch("http1", "GET", "/secret", [("Sluice-Trace", value)])
    assert answer.status == 403 and answer.header("sluice-trace-id") is None
    assert '"rule":' not in traced.text


def test_a_key_that_is_too_short_is_refused(tmp_path, certificates, origin):
    (tmp_path / "debug.key").write_text("short")
    (tmp_path / "rules.yaml").write_text(
        'sluice: 1\nlisteners: [{name: a, address: "127.0.0.1:0"}]\ndebug: {key_file: debug.key}\nsites: [{name: a, hosts: ["*"]}]\n')
    checked = subprocess.run([binary(), "check", "rules.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 1 and "fewer than 32 bytes" in checked.stdout + checked.stderr
