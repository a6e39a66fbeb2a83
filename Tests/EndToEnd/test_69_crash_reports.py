"""What a crash leaves behind."""
import json
import os
import signal
import stat
from pathlib import Path

from harness.waiting import wait_until
from test_69_upgrade import status


def test_a_crash_report_names_the_hook_the_request_and_where_it_was(start):
    gateway = start(functions="f: {file: hooks/f.js, lane: inline, limits: {cpu: 5s, wall: 20s}}\n",
                    request="- {name: spin, match: {path: /f}, do: [{run: {function: f}}]}",
                    hooks={"f.js": "export default { onRequest() { for (;;); } };"})
    victim = gateway.worker_pids()[0]
    with gateway.http1() as client:
        client.send(b"GET /f?secret=hunter2 HTTP/1.1\r\nHost: localhost\r\nAuthorization: hunter2\r\n\r\n")
        wait_until(lambda: any("running" in each for each in status(gateway)["workers"]), "the hook runs")
        os.kill(victim, signal.SIGSEGV)
        gateway.wait_log("crash report")
    folder = Path(gateway.environment["RUNTIME_DIRECTORY"]) / "crashes"
    file = next(folder.glob("crash-*.json"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and stat.S_IMODE(file.stat().st_mode) == 0o600
    report = json.loads(file.read_text())
    assert report["hook"]["function"] == "f" and report["hook"]["rule"] == "test/spin" and len(report["hook"]["request"]) == 32
    assert report["pid"] == victim and "SIGSEGV" in report["end"] and report["signal"].startswith("signal 11")
    assert any("sluice" in line for line in report["backtrace"])
    assert "hunter2" not in file.read_text()
    shown = gateway.command("status").stdout
    assert "1 of workers" in shown and "f: 1 of workers" in shown and str(folder) in shown


def test_crash_reports_are_bounded_and_can_be_switched_off(start, tmp_path):
    folder = tmp_path / "reports"
    gateway = start(arguments=["--crash-reports", str(folder)])
    folder.mkdir(mode=0o700)
    for number in range(60):
        (folder / f"crash-2000010100000000{number:02}-1.json").write_text("{}")
    os.kill(gateway.worker_pids()[0], signal.SIGABRT)
    gateway.wait_log("crash report")
    names = sorted(each.name for each in folder.iterdir())
    assert len(names) == 50 and not names[-1].startswith("crash-2000")
    report = json.loads((folder / names[-1]).read_text())
    assert "hook" not in report and len(report["backtrace"]) > 3 and any("epoll_wait" in line for line in report["backtrace"])
    gateway = start(arguments=["--crash-reports", "off"])
    os.kill(gateway.worker_pids()[0], signal.SIGABRT)
    gateway.wait_log("worker 0 .* died")
    wait_until(lambda: len(gateway.worker_pids()) == 1, "there is a new worker")
    assert "crash report" not in gateway.text
