"""The JSON Schema is good JSON Schema, says what the loader says, and the shipped file is what the command prints."""
import json
import subprocess

import jsonschema
import pytest
import yaml

from harness.gateway import ROOT, binary


class Loader(yaml.SafeLoader):
    """YAML 1.2's core schema, as editors read it: `on` and `yes` are text, 12:30 is no number."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":int", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
import re  # noqa: E402

Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), list("tf"))
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))


@pytest.fixture(scope="module")
def validator():
    text = subprocess.run([binary(), "schema"], capture_output=True, text=True, check=True).stdout
    assert text == (ROOT / "docs/rules-1.schema.json").read_text(), "sluice schema > docs/rules-1.schema.json"
    schema = json.loads(text)
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def problems(validator, text: str) -> list[str]:
    return [error.message for error in validator.iter_errors(yaml.load(text, Loader))]


def rule_files():
    files = [*ROOT.glob("Examples/*/*.yaml"), *ROOT.glob("Rules/*.yaml"), *ROOT.glob("Tests/Fixtures/Rules/*.yaml")]
    return sorted(str(path.relative_to(ROOT)) for path in files)


@pytest.mark.parametrize("file", rule_files())
def test_files_of_the_tree_are_valid(validator, file):
    assert problems(validator, (ROOT / file).read_text()) == []


SITE = "sluice: 1\nsites:\n  - name: a\n    hosts: ['*']\n"


@pytest.mark.parametrize("text", [
    "sluice: 2\n", "sluice: 1\nsitez: []\n", "sluice: 1\nlimits: {body: 64}\n", "sluice: 1\nlimits: {body: 64KiB, streams: 0}\n",
    "sluice: 1\nupstreams: {a: {server: x}}\n", "sluice: 1\nupstreams: {'a b': {servers: ['http://x:1']}}\n",
    "sluice: 1\nlisteners: [{name: a}]\n", "sluice: 1\naccess_log: {format: text}\n", "sluice: 1\nlimits: {head_timeout: 5}\n",
    SITE + "    request: [{when: 'true', do: [{set_heder: {A: b}}]}]\n", SITE + "    request: [{do: [{set_status: 404}]}]\n",
    SITE + "    request: [{do: [{deny: 200}]}]\n", SITE + "    request: [{do: [{stop: null, deny: 403}]}]\n",
    SITE + "    response: [{do: [{route: a}]}]\n", SITE + "    request: [{do: []}]\n", SITE + "    request: [{mode: dark, do: [stop]}]\n",
    "sluice: 1\ntests: [{name: a, send: {uri: 'http://a/'}}]\n", "config: a.yaml\n",
])
def test_what_the_loader_refuses_is_refused(validator, tmp_path, text):
    assert problems(validator, text) != []
    (tmp_path / "rules.yaml").write_text(text)
    (tmp_path / "a.yaml").write_text("sluice: 1\n")
    command = "test" if text.startswith("config") else "check"
    assert subprocess.run([binary(), command, tmp_path / "rules.yaml"], capture_output=True).returncode == 1


@pytest.mark.parametrize("text", [
    SITE + "    request: [{x-note: anything, do: [stop, deny]}]\n", "sluice: 1\nlists: {a: [1, true, x]}\n",
    SITE + "    request: [{do: [{set_header: {A: 1, B: true}}, {remove_header: X}, {respond: {json: {a: [1, {b: null}]}}}]}]\n",
    "sluice: 1\nlisteners: [{name: a, address: ':443', tls: {min_version: 1.2, certificates: [{cert: a.crt, key: a.key}]}}]\n",
])
def test_what_is_right_is_not_complained_about(validator, text):
    assert problems(validator, text) == []


def test_fmt_as_a_command(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("sluice:   1\nupstreams:\n    a: {servers: ['http://x:1']}   \n")
    before = file.read_text()
    checked = subprocess.run([binary(), "fmt", "--check", file], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout.strip(), file.read_text()) == (1, str(file), before)
    assert subprocess.run([binary(), "fmt", file]).returncode == 0
    assert file.read_text() == "sluice:   1\nupstreams:\n  a: {servers: ['http://x:1']}\n"
    assert subprocess.run([binary(), "fmt", "--check", file]).returncode == 0
    piped = subprocess.run([binary(), "fmt", "-"], input=before, capture_output=True, text=True)
    assert piped.stdout == file.read_text()
    assert subprocess.run([binary(), "fmt", "-"], input="a: [", capture_output=True, text=True).returncode == 1


def test_explain_as_a_command(tmp_path):
    config = str(ROOT / "Examples/shop/sluice.yaml")
    ran = subprocess.run([binary(), "explain", "-c", config, "--url", "http://shop.localhost/admin", "--client-ip", "203.0.113.9"],
                         capture_output=True, text=True)
    assert ran.returncode == 0 and "+ shop/admin from the office only" in ran.stdout and "answer: 403 Forbidden" in ran.stdout
    line = json.dumps({"host": "shop.localhost", "path": "/p/42", "method": "GET", "scheme": "http", "client": "192.0.2.1"})
    told = subprocess.run([binary(), "explain", "-c", config, "--log", "-", "--json", "--origin-status", "404"], input=line,
                          capture_output=True, text=True)
    told = json.loads(told.stdout)
    assert told["calls"][0]["target"] == "/product/42" and "shop/old product links" in told["rules"] and told["status"] == 404
    assert subprocess.run([binary(), "explain", "-c", config], capture_output=True).returncode != 0
    assert subprocess.run([binary(), "explain", "-c", config, "--url", "nonsense"], capture_output=True).returncode != 0
