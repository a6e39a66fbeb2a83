"""Access logs: formats, sampling, redaction, targets; what happens when nobody takes the lines."""
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from harness.gateway import ROOT, binary, rule_file
from harness.waiting import BOUND, wait_until


def rules(certificates, origin, log: str, **parts):
    return lambda ports: rule_file(ports, certificates, origin.port, **parts).replace("access_log: {path: access.log}\n", log)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def ask(gateway, path="/", headers=(), method="GET", body=b""):
    return gateway.fetch("http1", method, path, list(headers), body)


def test_the_combined_format_is_the_one_every_tool_reads(start, certificates, origin):
    gateway = start(rules=rules(certificates, origin, "access_log: {path: a.log, format: combined}\n"))
    ask(gateway, "/x?a=1", [("User-Agent", 'evil" \\x "agent'), ("Referer", "https://example.org/é".encode().decode("latin-1"))])
    line = wait_until(lambda: next(iter(lines(gateway.folder / "a.log")), None), "a line")
    assert re.fullmatch(r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\] "GET /x\?a=1 HTTP/1\.1" 200 \d+ '
                        r'"https://example\.org/\\xC3\\xA9" "evil\\x22 \\x5Cx \\x22agent"', line), line


def test_a_template_names_fields_and_headers_and_never_breaks_a_line(start, certificates, origin):
    template = "${id} ${method} ${host} ${path} [${query}] ${status} ${site} ${rules} ${upstream} ${attempts} ${error} " \
               "${header:x-one} ${response_header:content-type} ${duration_ms} $${plain}"
    log = f"access_log:\n  path: a.log\n  template: '{template.replace('$${plain}', '')}'\n"
    gateway = start(rules=rules(certificates, origin, log, request="- {name: mark, do: [{set_header: {x-mark: '1'}}]}"))
    ask(gateway, "/p?q=1", [("X-One", "a\tb")])
    line = wait_until(lambda: next(iter(lines(gateway.folder / "a.log")), None), "a line")
    assert re.fullmatch(r"[0-9a-f]{32} GET localhost /p \[q=1\] 200 test test/mark origin 1 - a\\x09b \S+ \d+\.\d{3} ", line), line


@pytest.mark.parametrize("log, said", [
    ("{template: '${mehtod}'}", "did you mean `method`"),
    ("{template: '${id'}", "without"),
    ("{format: template}", "needs the key `template`"),
    ("{format: json, template: x}", "no effect"),
    ("{path: 'syslog+udp:nowhere'}", "not an address"),
    ("{sample: 200%}", "not a share"),
])
def test_mistakes_are_told_with_their_place(tmp_path, log, said):
    file = tmp_path / "sluice.yaml"
    file.write_text(f'sluice: 1\nlisteners: [{{name: a, address: "127.0.0.1:1"}}]\naccess_log: {log}\n'
                    'sites: [{name: s, hosts: ["*"], request: [{name: r, do: [{respond: {status: 204}}]}]}]\n')
    done = subprocess.run([binary(), "check", str(file)], capture_output=True, text=True, timeout=BOUND)
    assert done.returncode == 1 and said in done.stdout + done.stderr, done.stdout + done.stderr


def test_secrets_are_not_written(start, certificates, origin):
    log = "access_log: {path: a.log, headers: [authorization, x-key, x-seen], redact: {headers: [X-Key], query: [token, 'a b']}}\n"
    gateway = start(rules=rules(certificates, origin, log))
    ask(gateway, "/?x=1&token=hunter2&tok%65n=hunter2&a%20b=hunter2&a+b=hunter2&token&tokens=3",
        [("Authorization", "Bearer hunter2"), ("X-Key", "hunter2"), ("X-Seen", "yes")])
    text = wait_until(lambda: "\n".join(lines(gateway.folder / "a.log")), "a line")
    entry = json.loads(text)
    assert "hunter2" not in text
    assert entry["headers"] == {"authorization": "[redacted]", "x-key": "[redacted]", "x-seen": "yes"}
    assert entry["query"] == ("x=1&token=[redacted]&tok%65n=[redacted]&a%20b=[redacted]&a+b=[redacted]&token&tokens=3")
    ask(gateway, "/")
    gateway.reload(gateway.file.read_text().replace("path: a.log", "path: b.log, template: '${target} ${header:authorization}'"))
    ask(gateway, "/q?token=hunter2", [("Authorization", "hunter2")])
    assert wait_until(lambda: lines(gateway.folder / "b.log"), "a line") == ["/q?token=[redacted] [redacted]"]
    assert len(lines(gateway.folder / "a.log")) == 2


def test_sampling_keeps_its_share_and_every_failure(start, certificates, origin):
    log = "access_log: {path: a.log, sample: 20%}\n"
    request = "- {name: bad, match: {path: /bad}, do: [{respond: {status: 503}}]}\n- {name: ok, do: [{respond: {status: 200}}]}"
    gateway = start(rules=rules(certificates, origin, log, request=request))
    with gateway.http1() as client:
        for number in range(400):
            client.request("GET", "/bad" if number % 20 == 0 else "/ok")
    wait_until(lambda: gateway.metric("sluice_log_lines_total") + gateway.metric("sluice_log_lines_sampled_out_total") == 400, "all are counted")
    written = [json.loads(line)["status"] for line in lines(gateway.folder / "a.log")]
    assert written.count(503) == 20
    assert 30 <= written.count(200) <= 130  # 76 expected; seven standard deviations are 55


# Targets

@pytest.fixture
def datagrams(tmp_path):
    path = tmp_path / "log.sock"
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    receiver.settimeout(BOUND)
    yield path, receiver
    receiver.close()


def test_syslog_gets_rfc_5424_and_is_found_again_after_it_was_away(start, certificates, origin, datagrams):
    path, receiver = datagrams
    gateway = start(rules=rules(certificates, origin, f"access_log: {{path: 'syslog:{path}'}}\n"))
    ask(gateway, "/one")
    header, message = receiver.recv(65536).split(b" access - ", 1)
    assert re.fullmatch(rb"<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ sluice \d+", header), header
    assert json.loads(message)["path"] == "/one" and not message.endswith(b"\n")
    receiver.close()
    path.unlink()
    for _ in range(3):
        assert ask(gateway, "/lost").status == 200
    gateway.wait_log("access log lines are lost")
    wait_until(lambda: gateway.metric("sluice_log_lines_dropped_total") >= 1, "what is lost is counted")
    again = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with again:
        again.bind(str(path))
        again.settimeout(0.2)

        def heard():
            ask(gateway, "/again")
            try:
                return b"/again" in again.recv(65536)
            except TimeoutError:
                return False

        wait_until(heard, "lines arrive again")
        gateway.wait_log("written again")


def test_syslog_over_udp(start, certificates, origin):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(BOUND)
        log = f"access_log: {{path: 'syslog+udp:127.0.0.1:{receiver.getsockname()[1]}', format: combined}}\n"
        gateway = start(rules=rules(certificates, origin, log))
        ask(gateway, "/udp")
        assert b'"GET /udp HTTP/1.1" 200' in receiver.recv(65536)


# Nobody takes the lines

def test_a_full_disk_stops_no_request_is_told_once_and_recovers(start, certificates, origin, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        gateway = start(rules=rules(certificates, origin, f"access_log: {{path: '{disk}/a.log'}}\n",
                                    request="- {name: ok, do: [{respond: {status: 200}}]}"))
        with gateway.http1() as client:
            for _ in range(600):
                assert client.request("GET", "/full").status == 200
        gateway.wait_log("access log lines are lost: no space left")
        wait_until(lambda: gateway.metric("sluice_log_lines_dropped_total") > 0, "what is lost is counted")
        assert gateway.text.count("access log lines are lost") == 1
        os.truncate(disk / "a.log", 0)

        def again():
            ask(gateway, "/again")
            return any("/again" in line for line in lines(disk / "a.log"))

        wait_until(again, "lines are written again")
        gateway.wait_log("written again")
        for line in lines(disk / "a.log"):
            if line.strip("\0") and not line.startswith("\0"):
                json.loads(line)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_reader_that_stalls_stops_no_request_and_is_told_once(start, certificates, origin, tmp_path):
    fifo = tmp_path / "log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, 1031, 4096)  # F_SETPIPE_SZ
    try:
        gateway = start(rules=rules(certificates, origin, f"access_log: {{path: '{fifo}'}}\n",
                                    request="- {name: ok, do: [{respond: {status: 200}}]}"))
        with gateway.http1() as client:
            for _ in range(2000):
                assert client.request("GET", "/stalled").status == 200
        gateway.wait_log("access log lines are lost: nobody reads them")
        assert gateway.metric("sluice_log_lines_dropped_total") > 0

        def again():
            ask(gateway, "/again")
            try:
                while data := os.read(reader, 1 << 20):
                    if b"/again" in data:
                        return True
            except BlockingIOError:
                pass
            return False

        wait_until(again, "lines arrive again")
        wait_until(lambda: (again(), "written again" in gateway.text)[1], "that is told")
        assert gateway.text.count("access log lines are lost") == 1
    finally:
        os.close(reader)


def test_lines_go_to_the_new_file_after_sigusr1(start, certificates, origin):
    gateway = start(rules=rules(certificates, origin, "access_log: {path: a.log, template: '${path}'}\n"))
    ask(gateway, "/before")
    wait_until(lambda: lines(gateway.folder / "a.log") == ["/before"], "a line")
    (gateway.folder / "a.log").rename(gateway.folder / "a.log.1")
    gateway.signal(signal.SIGUSR1)
    wait_until(lambda: (gateway.folder / "a.log").exists(), "the file is made anew")
    ask(gateway, "/after")
    wait_until(lambda: lines(gateway.folder / "a.log") == ["/after"], "the new file gets the line")
    assert lines(gateway.folder / "a.log.1") == ["/before"]


def test_the_tail_stays_json_whatever_the_log_looks_like(start, certificates, origin):
    gateway = start(rules=rules(certificates, origin, "access_log: {path: a.log, format: combined}\n"))
    output = gateway.folder / "tail"
    with open(output, "wb") as file, subprocess.Popen([binary(), "tail", "--json"], stdout=file, cwd=gateway.folder,
                                                      env={**os.environ, **gateway.environment}) as tail:
        try:
            def seen():
                ask(gateway, "/tailed")
                return '"path":"/tailed"' in output.read_text()
            wait_until(seen, "the tail shows the request")
        finally:
            tail.terminate()


def test_every_field_of_a_line_is_on_the_page(start, certificates, origin):
    gateway = start(functions="f: {file: hooks/f.js}", request="- {name: f, do: [{run: {function: f}}]}",
                    hooks={"f.js": "export default { onRequest() {} };"})
    gateway.fetch("http1-tls", "GET", "/?a=b", [("User-Agent", "x")])
    entry = wait_until(lambda: next(iter(gateway.access_log()), None), "a line")
    page = (ROOT / "docs/LOGS.md").read_text()
    inner = [key for name in ("upstream",) for key in entry[name]] + [key for call in entry["hooks"] for key in call]
    for name in [*entry, *inner]:
        assert f"`{name}`" in page, name
