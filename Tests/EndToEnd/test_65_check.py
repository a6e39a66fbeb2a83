"""`sluice check` tells every mistake to people and programs, also those that only running shows; `sluice help` explains them."""
import json
import subprocess
from pathlib import Path

import pytest

from harness.gateway import Ports, binary, rule_file
from harness.waiting import free_ports

HOOK = """export default { onResponse(response) { response.headers.set("x-hook", "1"); } };\n"""


def run_once(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([binary(), *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture
def written(tmp_path, certificates):
    """A file that runs a hook in the phase it has no handler for."""
    text = rule_file(Ports(*free_ports(3)), certificates, 1, functions="late: {file: late.js}",
                     request="- {name: too early, do: [{run: late}]}")
    (tmp_path / "sluice.yaml").write_text(text)
    (tmp_path / "late.js").write_text(HOOK)
    return tmp_path


def test_a_missing_handler_is_told_where_the_rule_is(written):
    done = run_once(written, "check", "sluice.yaml")
    assert done.returncode == 1
    line = next(number for number, text in enumerate((written / "sluice.yaml").read_text().splitlines(), 1) if "too early" in text)
    assert "error[H001]" in done.stderr and f"sluice.yaml:{line}:" in done.stderr
    assert "does not export onRequest or fetch" in done.stderr and "^^^ it exports onResponse" in done.stderr


def test_findings_as_json_and_sarif(written):
    found = json.loads(run_once(written, "check", "sluice.yaml", "--format", "json").stdout)
    assert [each["code"] for each in found if each["severity"] == "error"] == ["H001"]
    log = json.loads(run_once(written, "check", "sluice.yaml", "--format", "sarif").stdout)
    assert log["version"] == "2.1.0"
    results = [each for each in log["runs"][0]["results"] if each["level"] == "error"]
    assert [each["ruleId"] for each in results] == ["H001"]
    region = results[0]["locations"][0]["physicalLocation"]
    assert region["artifactLocation"]["uri"] == "sluice.yaml" and region["region"]["startLine"] == found[0]["line"]


def test_a_module_that_does_not_load_is_told(written):
    (written / "late.js").write_text("export default {\n  onResponse( {}\n}")
    found = json.loads(run_once(written, "check", "sluice.yaml", "--format", "json").stdout)
    assert [each["code"] for each in found if each["severity"] == "error"] == ["H002"]
    assert "late.js:" in found[0]["message"]


def test_a_function_without_a_compatibility_day_is_a_hint(written):
    text = (written / "sluice.yaml").read_text().replace("request:", "response:")
    (written / "sluice.yaml").write_text(text)
    done = run_once(written, "check", "sluice.yaml")
    assert done.returncode == 0 and "hint[L009]" in done.stdout and "add `compat: " in done.stdout and "is good" in done.stdout
    log = json.loads(run_once(written, "check", "sluice.yaml", "--format", "sarif").stdout)
    assert [(each["ruleId"], each["level"]) for each in log["runs"][0]["results"]] == [("L009", "note")]
    (written / "sluice.yaml").write_text(text.replace("file: late.js", "file: late.js, compat: 2026-11-01"))
    assert "hint" not in run_once(written, "check", "sluice.yaml").stdout
    assert ", behaviour of 2026-11-01 */" in run_once(written, "types", "sluice.yaml").stdout
    explained = run_once(written, "explain", "-c", "sluice.yaml", "--url", "http://localhost/").stdout
    assert "compat 2026-11-01" in explained
    (written / "sluice.yaml").write_text(text.replace("file: late.js", "file: late.js, compat: 2027-01-01"))
    done = run_once(written, "check", "sluice.yaml")
    assert done.returncode == 1 and "error[V015]" in done.stderr and "in the future" in done.stderr


def test_help_explains_codes_and_commands(written):
    done = run_once(written, "help", "e007")
    assert done.returncode == 0 and done.stdout.startswith("E007 (error)\n")
    assert "no value yet in this phase" in done.stdout
    assert "--format" in run_once(written, "help", "check").stdout
    assert "check" in run_once(written, "help").stdout


def test_help_for_an_unknown_code_names_its_neighbours(written):
    done = run_once(written, "help", "E017")
    assert done.returncode != 0
    assert "did you mean" in done.stderr and "`E007`" in done.stderr
    assert "there is no command `chekc`" in run_once(written, "help", "chekc").stderr
