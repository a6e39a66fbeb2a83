"""The tutorial as a newcomer follows it: every command of the page, and what an editor offers meanwhile."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
import yaml

from harness.gateway import ROOT, binary
from harness.waiting import BOUND, accepts, free_ports, wait_until

PAGE = (ROOT / "docs/TUTORIAL.md").read_text()


class Newcomer:
    """A folder with the page's file, on ports that are free, and the commands of the page."""

    def __init__(self, folder):
        self.folder = folder
        self.port, self.origin_port = free_ports(2)
        self.processes: list[subprocess.Popen] = []
        self.runtime = tempfile.mkdtemp(prefix="sluice-")
        (self.folder / "rules.yaml").write_text(self.text)

    @property
    def text(self) -> str:
        block = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)[0]
        return block.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}").replace("127.0.0.1:9000", f"127.0.0.1:{self.origin_port}")

    def edit(self, before: str, after: str) -> None:
        file = self.folder / "rules.yaml"
        assert before in file.read_text()
        file.write_text(file.read_text().replace(before, after, 1))

    def argv(self, command: str) -> list[str]:
        """A line of the page as this machine runs it. It has to stand on the page."""
        assert command in PAGE, f"the tutorial does not say `{command}`"
        words = command.replace("9000", str(self.origin_port)).replace("8080", str(self.port)).split()
        return [str(binary()) if word == "sluice" else word for word in words]

    def run(self, command: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, "RUNTIME_DIRECTORY": self.runtime}
        return subprocess.run(self.argv(command), cwd=self.folder, capture_output=True, text=True, timeout=BOUND * 3, env=environment)

    def start(self, command: str, port: int, extra: list[str]) -> None:
        log = open(self.folder / f"{len(self.processes)}.log", "w")
        environment = {**os.environ, "RUNTIME_DIRECTORY": self.runtime}
        self.processes.append(subprocess.Popen(self.argv(command) + extra, cwd=self.folder, stdout=log, stderr=log, env=environment))
        wait_until(lambda: accepts(port), f"`{command}` listens")

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            assert process.wait(BOUND) == 0
        shutil.rmtree(self.runtime, ignore_errors=True)


@pytest.fixture
def newcomer(tmp_path):
    someone = Newcomer(tmp_path)
    try:
        yield someone
    finally:
        someone.stop()


def test_the_tutorial_from_an_empty_file_to_a_served_rule(newcomer):
    schema = newcomer.run("sluice schema")
    assert json.loads(schema.stdout)["title"] == "Sluice rule file"
    checked = newcomer.run("sluice check rules.yaml")
    assert checked.returncode == 0, checked.stderr + checked.stdout
    tested = newcomer.run("sluice test rules.yaml --coverage")
    assert tested.returncode == 0 and "2 tests, 0 failed" in tested.stdout, tested.stdout + tested.stderr

    line = next(number for number, text in enumerate(newcomer.text.splitlines(), 1) if "expect: {status: 403" in text)
    newcomer.edit("deny: {status: 403}", "deny: {status: 404}")
    failed = newcomer.run("sluice test rules.yaml --coverage")
    assert failed.returncode != 0 and f"rules.yaml:{line}:" in failed.stdout and "got 404" in failed.stdout, failed.stdout
    newcomer.edit("deny: {status: 404}", "deny: {status: 403}")

    why = newcomer.run("sluice explain --config rules.yaml --url http://localhost/private/files")
    assert why.returncode == 0 and "no way in" in why.stdout and "/private" in why.stdout and "403" in why.stdout, why.stdout + why.stderr

    newcomer.start("sluice origin --port 9000", newcomer.origin_port, [])
    newcomer.start("sluice run --config rules.yaml", newcomer.port, ["--workers", "1"])
    assert " 403 " in newcomer.run("curl -i http://127.0.0.1:8080/private/files").stdout
    assert re.search(r"(?mi)^x-served-by: sluice\s*$", newcomer.run("curl -i http://127.0.0.1:8080/").stdout)


def test_a_mistake_after_the_tutorial_changes_nothing_and_is_understood(newcomer):
    newcomer.start("sluice origin --port 9000", newcomer.origin_port, [])
    newcomer.start("sluice run --config rules.yaml", newcomer.port, ["--workers", "1"])
    newcomer.edit("set_header: {X-Served-By: sluice}", "set_heder: {X-Served-By: newer}")
    refused = newcomer.run("sluice check rules.yaml")
    assert refused.returncode == 1 and "did you mean `set_header`?" in refused.stdout + refused.stderr
    assert newcomer.run("sluice reload --config rules.yaml").returncode != 0
    assert re.search(r"(?mi)^x-served-by: sluice\s*$", newcomer.run("curl -i http://127.0.0.1:8080/").stdout)
    newcomer.edit("set_heder", "set_header")
    done = newcomer.run("sluice reload --config rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"(?mi)^x-served-by: newer\s*$", newcomer.run("curl -i http://127.0.0.1:8080/").stdout)


# What an editor offers: the YAML language server walks the schema along the path to the cursor and lists the properties
# there, each with its description. The same walk, over the same file.

@pytest.fixture(scope="module")
def schema():
    return json.loads(subprocess.run([binary(), "schema"], capture_output=True, text=True, check=True).stdout)


def branches(schema, node):
    """A schema and all that it refers to or chooses between."""
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        yield from branches(schema, schema["definitions"][node["$ref"].removeprefix("#/definitions/")])
    yield node
    for word in ("anyOf", "oneOf", "allOf"):
        for each in node.get(word, []):
            yield from branches(schema, each)
    for word in ("then", "else"):
        if word in node:
            yield from branches(schema, node[word])


def below(schema, nodes, step):
    for node in nodes:
        for branch in branches(schema, node):
            if isinstance(step, int):
                if "items" in branch:
                    yield branch["items"]
            elif step in branch.get("properties", {}):
                yield branch["properties"][step]
            elif isinstance(branch.get("additionalProperties"), dict):
                yield branch["additionalProperties"]
            else:
                for pattern, value in branch.get("patternProperties", {}).items():
                    if re.search(pattern, str(step)):
                        yield value


def offered(schema, path) -> dict[str, str]:
    """Keys that may stand at a path, with what they mean."""
    nodes = [schema]
    for step in path:
        nodes = list(below(schema, nodes, step))
    keys: dict[str, str] = {}
    for node in nodes:
        for branch in branches(schema, node):
            for key, value in branch.get("properties", {}).items():
                meaning = value.get("description") or next((each["description"] for each in branches(schema, value) if "description" in each), "")
                keys.setdefault(key, meaning)
    return keys


def maps(value, path=()):
    if isinstance(value, dict):
        yield path, value
        for key, each in value.items():
            yield from maps(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from maps(each, (*path, index))


# Maps whose keys are the author's own: names, and fields of a message.
OWN = {("upstreams",), ("sites", 0, "response", 0, "do", 0, "set_header"), ("tests", 1, "expect", "headers")}


def test_an_editor_offers_every_key_of_the_tutorial_with_its_meaning(schema, newcomer):
    seen = 0
    for path, value in maps(yaml.safe_load(newcomer.text)):
        if path in OWN:
            continue
        keys = offered(schema, path)
        for key in value:
            assert keys.get(key), f"nothing is offered, or nothing said, for `{key}` at {'/'.join(map(str, path)) or 'the top'}"
            seen += 1
    assert seen > 25


def test_an_editor_offers_actions_by_phase(schema):
    assert "route" in offered(schema, ("sites", 0, "request", 0, "do", 0))
    assert "route" not in offered(schema, ("sites", 0, "response", 0, "do", 0))
    assert "replace_body" in offered(schema, ("sites", 0, "response", 0, "do", 0))
