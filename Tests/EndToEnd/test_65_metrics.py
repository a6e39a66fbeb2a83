"""What docs/METRICS.md, the Grafana dashboard and the alert rules say is what /metrics has."""
import json
import os
import re
import subprocess

import pytest

from harness import http1
from harness.gateway import ROOT

PAGE = ROOT / "docs/METRICS.md"
MONITORING = ROOT / "docs/monitoring"


@pytest.fixture(scope="module")
def exposition(start_shared):
    gateway = start_shared(functions="mark: {file: hooks/mark.js}", hooks={"mark.js": "export default { onRequest() {} };"},
                           request='- {name: run, do: [{run: mark}]}')
    gateway.fetch("http1", "GET", "/")

    def text():
        with http1.Connection(gateway.ports.admin) as client:
            return client.request("GET", "/metrics").body.decode()

    while 'sluice_server_requests_total{' not in text():
        gateway.fetch("http1", "GET", "/")
    return text()


@pytest.fixture(scope="module")
def families(exposition):
    """Name: (kind, help, labels)."""
    found = {}
    for line in exposition.splitlines():
        if line.startswith("# HELP "):
            name, text = line[7:].split(" ", 1)
            found[name] = ["", text, set()]
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ", 1)
            found[name][0] = kind
        elif line:
            name = re.match(r"\w+", line)[0]
            base = name if name in found else re.sub(r"_(bucket|sum|count)$", "", name)
            found[base][2] |= set(re.findall(r'(\w+)="', line)) - {"le"}
    return found


def documented():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.*) \|$", PAGE.read_text(), re.M)
    return {name: (kind, text, set(labels.split(", ")) - {""}) for name, kind, labels, text in rows}


def test_every_metric_is_on_the_page_and_no_other(families):
    if os.environ.get("SLUICE_WRITE_DOCS"):
        rows = "\n".join(f"| `{name}` | {kind} | {', '.join(sorted(labels | documented().get(name, ('', '', set()))[2]))} | {text} |"
                         for name, (kind, text, labels) in sorted(families.items()))
        page = PAGE.read_text()
        begin, end = page.index("<!-- metrics: begin -->"), page.index("<!-- metrics: end -->")
        PAGE.write_text(page[:begin] + "<!-- metrics: begin -->\n\n| metric | kind | labels | what |\n|---|---|---|---|\n" + rows + "\n\n" + page[end:])
    page = documented()
    assert set(page) == set(families), "SLUICE_WRITE_DOCS=1 writes the table anew"
    for name, (kind, text, labels) in families.items():
        assert page[name][:2] == (kind, text), name
        assert labels <= page[name][2], name


def named_in(text):
    return {re.sub(r"_(bucket|sum|count)$", "", name) if name.endswith(("_bucket", "_seconds_sum", "_seconds_count")) else name
            for name in re.findall(r"sluice_\w+", text)}


@pytest.mark.parametrize("file", ["grafana.json", "alerts.yaml"])
def test_graphs_and_alerts_ask_for_metrics_and_labels_that_exist(families, file):
    text = (MONITORING / file).read_text()
    page = documented()
    for name in named_in(text):
        assert name in families, name
    for name, inside in re.findall(r"(sluice_\w+)\{([^}]*)\}", text.replace('\\"', '"')):
        for label in set(re.findall(r"(\w+)=", inside)) - {"instance", "job"}:
            assert label in page[name_of(name)][2] | {"le"}, f"{name} has no label {label}"


def name_of(name):
    return re.sub(r"_(bucket|sum|count)$", "", name) if name not in documented() else name


def test_the_dashboard_is_one_that_grafana_reads():
    board = json.loads((MONITORING / "grafana.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) >= 10
    assert all(panel["targets"] and panel["title"] for panel in board["panels"])


@pytest.mark.parametrize("command", [["check", "rules", "alerts.yaml"], ["test", "rules", "alerts-test.yaml"]], ids=["check", "test"])
def test_alerts_hold_with_promtool(command):
    done = subprocess.run(["promtool", *command], cwd=MONITORING, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr


def test_promtool_reads_the_metrics_without_an_error(exposition):
    done = subprocess.run(["promtool", "check", "metrics"], input=exposition, capture_output=True, text=True, timeout=60)
    # Style advice is printed as well; what cannot be parsed begins with "error".
    assert "error while linting" not in done.stderr and "error" not in done.stdout.lower(), done.stdout + done.stderr


def test_openmetrics_for_those_who_ask_for_it(start_shared, exposition):
    gateway = start_shared()
    with http1.Connection(gateway.ports.admin) as client:
        answer = client.request("GET", "/metrics", [("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")])
    text = answer.body.decode()
    assert answer.header("content-type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name not in kinds, f"{name} begins twice"
            kinds[name] = kind
        elif not line.startswith("#"):
            sample = re.match(r"(\w+)(\{.*\})? -?[0-9.e+]+$", line)
            assert sample, line
            endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}[kinds[name]]
            assert sample[1] in [name + ending for ending in endings], f"{line} under {name}"
    assert set(kinds.values()) == {"counter", "gauge", "histogram"}
    assert not exposition.endswith("# EOF\n")
