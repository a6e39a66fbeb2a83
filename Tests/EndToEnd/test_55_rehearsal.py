"""sluice test as a command: exit status, formats, files."""
import json
import subprocess
import xml.etree.ElementTree as xml

import pytest

from harness.gateway import ROOT, binary

RULES = """sluice: 1
upstreams: {main: {servers: ["http://127.0.0.1:1"]}}
functions: {greet: {file: greet.js}}
sites:
  - name: test
    hosts: ["*"]
    upstream: main
    request:
      - name: greet
        do: [{run: greet}]
      - name: idle
        when: path == "/idle"
        do: [stop]
tests:
  - name: greets
    send: {url: "https://a.example/"}
    expect: {status: 200, request: {headers: {x-hello: world}}}
"""
HOOK = "export default { onRequest(request) { request.headers.set('x-hello', 'world'); } };\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rules.yaml").write_text(RULES)
    (tmp_path / "greet.js").write_text(HOOK)
    return tmp_path


def sluice_test(folder, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([binary(), "test", *arguments], cwd=folder, capture_output=True, text=True, timeout=120)


def test_good_tests_pass_and_bad_ones_fail(folder):
    good = sluice_test(folder, "rules.yaml", "--coverage")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "1 test, 0 failed" in good.stdout and "never matched: test/idle" in good.stdout
    (folder / "greet.js").write_text(HOOK.replace("world", "moon"))
    bad = sluice_test(folder, "rules.yaml")
    assert bad.returncode == 1 and "expected x-hello: world, got `moon`" in bad.stdout
    assert sluice_test(folder, "rules.yaml", "--filter", "none such").returncode == 1


def test_coverage_can_be_demanded(folder):
    assert sluice_test(folder, "rules.yaml", "--coverage-minimum", "50").returncode == 0
    short = sluice_test(folder, "rules.yaml", "--coverage-minimum", "51")
    assert short.returncode == 1 and "1 of 2 rules were matched" in short.stderr


def test_formats_are_what_their_readers_read(folder):
    junit = sluice_test(folder, "rules.yaml", "--format", "junit", "--output", "report.xml")
    assert junit.returncode == 0 and junit.stdout == ""
    root = xml.parse(folder / "report.xml").getroot()
    assert root.get("tests") == "1" and root.find("testsuite/testcase").get("name") == "greets"
    assert json.loads(sluice_test(folder, "rules.yaml", "--format", "json").stdout)["files"][0]["tests"][0]["passed"] is True
    assert sluice_test(folder, "rules.yaml", "--format", "tap").stdout.splitlines()[1:] == ["1..1", "ok 1 - greets"]


def test_watching_runs_again_after_a_change(folder):
    process = subprocess.Popen([binary(), "test", "--watch", "rules.yaml"], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert "0 failed" in process.stdout.readline()
        (folder / "greet.js").write_text(HOOK.replace("world", "moon"))
        assert process.stdout.readline().startswith("FAIL  greets")
    finally:
        process.terminate()
        process.wait(20)


def test_the_examples_pass_their_tests():
    files = sorted([*(ROOT / "Examples").glob("*/sluice.yaml"), *(ROOT / "Examples").glob("*/tests.yaml")])
    ran = subprocess.run([binary(), "test", "--format", "json", *map(str, files)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout
    tested = {file["file"].split("/")[-2] for file in json.loads(ran.stdout)["files"] if file["tests"]}
    assert {"shop", "api", "canary", "maintenance"} <= tested
