"""Who gets to the inspector, and where it listens."""
import concurrent.futures
import os
import re
import socket
import subprocess
import urllib.error

import pytest
import websockets.exceptions

from harness.devtools import DevTools, look
from harness.gateway import Gateway, binary, rule_file
from harness.http1 import Connection
from harness.inspected import FUNCTIONS, HOOKS, KEY, REQUEST, address, addresses, breakpoint_at, make_gateway, signed, target
from harness.waiting import BOUND, free_ports, ports_in_a_row, wait_until


@pytest.fixture
def gateway(tmp_path, certificates, origin):
    gateway = make_gateway(tmp_path, certificates, origin)
    yield gateway
    print(gateway.text)
    assert gateway.stop() == 0


def test_discovery_names_each_function_once(gateway):
    where = address(gateway)
    assert look(where, "/json/version")["Protocol-Version"] == "1.1"
    listed = look(where, "/json")
    assert listed == look(where, "/json/list")
    assert [entry["title"] for entry in listed] == ["greet (worker 0)", "other (worker 0)"]
    first = listed[0]
    assert first["url"] == f"file://{gateway.folder}/hooks/greet.js" and first["type"] == "node"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first["id"])
    assert first["webSocketDebuggerUrl"] == f"ws://{where}/{first['id']}" and first["id"] != listed[1]["id"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9229", "127.0.0.1", "[::1]:9229", "10.1.2.3:80"])
def test_names_of_this_machine_are_answered(gateway, host):
    assert len(look(address(gateway), "/json/list", host)) == 2


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:9229", "127.0.0.1.evil.example", "[::1].evil", "127.0.0.1:x", "256.1.1.1"])
def test_a_name_of_somebody_else_is_refused(gateway, host):
    with pytest.raises(urllib.error.HTTPError) as refused:
        look(address(gateway), "/json/list", host)
    assert refused.value.code == 403


@pytest.mark.parametrize("request_text, status", [
    ("GET /json HTTP/1.1\r\n\r\n", 403),
    ("POST /json HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ("GET /json HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    ("GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    ("nonsense\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nX: " + "y" * 9000, 431),
])
def test_anything_else_over_http_is_refused(gateway, request_text, status):
    host, port = address(gateway).rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=BOUND) as connection:
        connection.sendall(request_text.encode())
        assert connection.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_page_of_the_web_and_a_guess_do_not_debug(gateway):
    url = target(gateway, "greet")["webSocketDebuggerUrl"]
    for where, options, status in [(url, {"origin": "http://evil.example"}, 403), (url, {"origin": "http://localhost:3000"}, 403), (url[:-1] + "x", {}, 404)]:
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            DevTools(where, **options)
        assert refused.value.response.status_code == status
    DevTools(url, origin="devtools://devtools").close()


def test_a_gateway_without_the_option_listens_nowhere(tmp_path, certificates, origin):
    (tmp_path / "debug.key").write_text(KEY)
    gateway = Gateway(
        tmp_path, certificates, lambda ports: rule_file(ports, certificates, origin.port, functions=FUNCTIONS, request=REQUEST), HOOKS).wait_ready()
    assert "inspected at" not in gateway.text
    assert gateway.stop() == 0


def test_each_worker_has_a_listener(tmp_path, certificates, origin):
    gateway = make_gateway(tmp_path, certificates, origin, workers=2)
    where = wait_until(lambda: (found := addresses(gateway)) if len(addresses(gateway)) == 2 else None, "both listen")
    titles = sorted(entry["title"] for each in where for entry in look(each, "/json/list"))
    assert titles == ["greet (worker 0)", "greet (worker 1)", "other (worker 0)", "other (worker 1)"]
    assert gateway.stop() == 0


def test_every_worker_lists_the_functions_of_all(tmp_path, certificates, origin):
    """Whoever asks one port finds each function of each worker, at its address; and is told when a request came elsewhere."""
    base = ports_in_a_row(2)
    gateway = make_gateway(tmp_path, certificates, origin, workers=2, endpoint=f"127.0.0.1:{base}")
    wait_until(lambda: len(addresses(gateway)) == 2, "both listen")
    lists = [look(f"127.0.0.1:{port}", "/json/list") for port in (base, base + 1)]
    assert lists[0] == lists[1]
    assert [entry["title"] for entry in lists[0]] == ["greet (worker 0)", "other (worker 0)", "greet (worker 1)", "other (worker 1)"]
    assert [entry["webSocketDebuggerUrl"].split("/")[2] for entry in lists[0]] == [f"127.0.0.1:{base + n}" for n in (0, 0, 1, 1)]
    for entry in lists[0]:
        with DevTools(entry["webSocketDebuggerUrl"]) as tools:
            tools.ask("Runtime.enable")
    with DevTools(lists[0][0]["webSocketDebuggerUrl"]) as tools:
        tools.ask("Runtime.enable")
        headers = [signed(gateway)]

        def missed() -> bool:
            gateway.fetch("http1", "GET", "/greet", headers)
            return any("came to worker 1, where nobody looks into function greet" in line for line in gateway.output)
        wait_until(missed, "a request comes to the other worker")
    assert gateway.stop() == 0


def test_an_address_that_is_not_loopback_is_warned_of(tmp_path):
    done = subprocess.run([binary(), "run", "--config", "none.yaml", "--inspect=0.0.0.0:9229"], cwd=tmp_path, capture_output=True, text=True)
    assert "not a loopback address" in done.stderr
    bad = subprocess.run([binary(), "run", "--config", "none.yaml", "--inspect=example.org:1"], cwd=tmp_path, capture_output=True, text=True)
    assert bad.returncode == 64 and "inspect" in bad.stderr


def test_dev_prints_a_header_of_its_own(tmp_path, origin):
    (tmp_path / "hook.js").write_text("export default {\n  onRequest() {\n    return new Response('in');\n  },\n};\n")
    port = free_ports(1)[0]
    (tmp_path / "sluice.yaml").write_text(
        f'sluice: 1\nlisteners: [{{name: l, address: "127.0.0.1:{port}"}}]\nfunctions: {{mine: {{file: hook.js}}}}\n'
        "sites: [{name: s, hosts: ['*'], request: [{name: r, do: [{run: {function: mine}}]}]}]\n")
    log = tmp_path / "out"
    with log.open("w") as out:
        process = subprocess.Popen([binary(), "dev", "--inspect=127.0.0.1:0", "sluice.yaml"], cwd=tmp_path, stdout=out, stderr=subprocess.STDOUT,
                                   env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)})
    try:
        wait_until(lambda: " ready: " in log.read_text() or process.poll() is not None, "sluice dev serves")
        name, value = re.search(r"with the header (\S+): (\S+)", log.read_text()).groups()
        where = re.search(r"inspected at http://(\S+)/json/list", log.read_text())[1]
        with DevTools(look(where, "/json")[0]["webSocketDebuggerUrl"]) as tools, concurrent.futures.ThreadPoolExecutor(1) as pool:
            tools.ask("Debugger.enable")
            breakpoint_at(tools, "hook.js", 2)

            def ask():
                with Connection(port) as client:
                    return client.request("GET", "/", [(name, value)])

            asked = pool.submit(ask)
            assert tools.event("Debugger.paused")["callFrames"][0]["location"]["lineNumber"] == 2
            assert tools.event("Debugger.scriptParsed", lambda script: script["url"] == f"file://{tmp_path}/hook.js")
            tools.ask("Debugger.resume")
            assert asked.result(BOUND).body == b"in"
    finally:
        process.terminate()
        assert process.wait(BOUND) == 0


def test_the_plain_word_is_the_usual_address(tmp_path):
    told = subprocess.run([binary(), "dev", "--inspect", "none.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert "none.yaml" in told.stderr and "Missing value" not in told.stderr and "Unknown option" not in told.stderr
