"""The examples do what their READMEs say, and scripts/run starts and stops."""
import json
import os
import signal
import subprocess

import pytest
import websockets.sync.client

from harness.gateway import ROOT, Gateway, Ports, binary
from harness.http1 import Connection, tls_context
from harness.redis import Redis
from harness.waiting import accepts, free_ports, wait_until


@pytest.fixture
def demo_origin():
    port = free_ports(1)[0]
    process = subprocess.Popen([binary(), "origin", "--port", str(port)], stdout=subprocess.DEVNULL)
    wait_until(lambda: accepts(port), "the demo origin listens")
    yield port
    process.terminate()
    process.wait(20)


@pytest.fixture
def example(tmp_path, certificates):
    """example(name, origin_port) starts a copy of an example on free ports."""
    running = []

    def start(name: str, origin_port: int) -> Gateway:
        def make(ports: Ports) -> str:
            pairs = [f"127.0.0.1:8080=127.0.0.1:{ports.plain}", f"localhost:8080=localhost:{ports.plain}",
                     f"127.0.0.1:9000=127.0.0.1:{origin_port}"]
            subprocess.run([ROOT / "scripts/lib/render-rules", ROOT / "Examples" / name, tmp_path / name, *pairs], check=True)
            return (tmp_path / name / "sluice.yaml").read_text()

        (tmp_path / name).mkdir()
        environment = {"STATE_DIRECTORY": str(tmp_path / "state"), "IDP_KEY": "a-key-for-the-service"}
        running.append(Gateway(tmp_path / name, certificates, make, environment=environment))
        return running[-1].wait_ready()

    yield start
    for gateway in running:
        assert gateway.stop() == 0


def echoed(answer, name: str, value: str) -> bool:
    """Whether the demo origin's echo shows a header line, however it is written."""
    body = answer.body.decode().lower().replace('"', "").replace(" ", "")
    return f"{name}:{value}".lower().replace(" ", "") in body


def test_every_example_is_listed_and_has_a_readme():
    folders = {path.name for path in (ROOT / "Examples").iterdir() if path.is_dir()}
    listed = (ROOT / "Examples/README.md").read_text()
    for name in folders:
        assert f"({name}/README.md)" in listed
        assert (ROOT / "Examples" / name / "README.md").exists()


def test_hello_hooks(example, demo_origin):
    gateway = example("hello-hooks", demo_origin)
    answer = gateway.fetch("http1", "GET", "/echo")
    assert answer.header("x-signed") == "with love, GET /echo"
    assert echoed(answer, "x-hello", "world")
    assert gateway.fetch("http1", "GET", "/early").body == b"answered by a hook\n"


def test_redirects_and_headers(example, demo_origin):
    gateway = example("redirects-and-headers", demo_origin)
    moved = gateway.fetch("http1", "GET", "/a?b=c", host="www.localhost")
    assert (moved.status, moved.header("location")) == (308, f"http://localhost:{gateway.ports.plain}/a?b=c")
    old = gateway.fetch("http1", "GET", "/old/page")
    assert (old.status, old.header("location")) == (301, "/new/page")
    assert b"/product/42" in gateway.fetch("http1", "GET", "/p/42").body
    assert gateway.fetch("http1", "GET", "/private").status == 403
    answer = gateway.fetch("http1", "GET", "/echo", [("X-Debug", "1")])
    assert answer.header("x-content-type-options") == "nosniff" and answer.header("server") is None
    assert b"x-debug" not in answer.body.lower() and echoed(answer, "x-client-ip", "127.0.0.1")


def test_websocket_masking(example, demo_origin):
    gateway = example("websocket-masking", demo_origin)
    with websockets.sync.client.connect(f"ws://localhost:{gateway.ports.plain}/ws", proxy=None) as socket:
        socket.send("my card is 1234567890123456")
        assert socket.recv(timeout=20) == "my card is ************3456"


def test_maintenance_page(example):
    gateway = example("maintenance-page", free_ports(1)[0])
    for path, cookies in (("/", []), ("/shop/", []), ("/shop/", [("Cookie", "preview=1")])):
        answer = gateway.fetch("http1", "GET", path, cookies)
        assert answer.status == 503 and b"Back soon" in answer.body
        assert answer.header("retry-after") == ("3600" if path == "/shop/" and not cookies else "30")


def test_auth_subrequest(example, demo_origin):
    gateway = example("auth-subrequest", demo_origin)
    assert gateway.fetch("http1", "GET", "/private/echo").status == 401
    assert gateway.fetch("http1", "GET", "/private/echo", [("Authorization", "Bearer wrong")]).status == 403
    answer = gateway.fetch("http1", "GET", "/private/echo", [("Authorization", "Bearer open-sesame")])
    assert answer.status == 200 and echoed(answer, "x-user", "ada")
    assert b"open-sesame" not in answer.body


def test_authz(example, demo_origin):
    gateway = example("authz", demo_origin)

    def ask(token, method="GET"):
        return gateway.fetch("http1", method, "/private/echo", [("Authorization", f"Bearer {token}")] if token else [])
    assert [ask(None).status, ask("wrong").status, ask("open-sesame", "POST").status] == [401, 403, 403]
    answers = [ask("open-sesame") for _ in range(5)]
    assert all(answer.status == 200 and echoed(answer, "x-user", "ada") for answer in answers)
    assert b"open-sesame" not in answers[0].body
    asked = [line for line in gateway.access_log() if "/idp/introspect" in str(line)]
    assert len(asked) <= 3, "one for each of wrong, the first POST, and what was not written yet"
    assert "a-key-for-the-service" not in gateway.text


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path)
    yield server
    server.stop()


def test_several_gateways(certificates, tmp_path, demo_origin, redis):
    running = []

    def start(file: str) -> Gateway:
        def make(ports: Ports) -> str:
            pairs = [f"127.0.0.1:{number}=127.0.0.1:{port}" for number, port in
                     [(8080, ports.plain), (8081, ports.plain), (9901, ports.admin), (9902, ports.admin), (9000, demo_origin), (6379, redis.port)]]
            subprocess.run([ROOT / "scripts/lib/render-rules", ROOT / "Examples/several-gateways", tmp_path / file, *pairs], check=True)
            return (tmp_path / file / file).read_text()

        (tmp_path / file).mkdir()
        running.append(Gateway(tmp_path / file, certificates, make))
        running[-1].wait_ready()
        return running[-1]

    def visit(gateway: Gateway) -> list[str]:
        host = f"localhost:{gateway.ports.plain}"
        return json.loads(gateway.fetch("http1", "GET", "/visit?name=ada", host=host).body)["before"]

    def calls(count: int) -> list[int]:
        return [gateway.fetch("http1", "GET", "/echo", [("X-Api-Key", "k")]).status for _ in range(count) for gateway in running]
    try:
        first, second = start("sluice.yaml"), start("second.yaml")
        assert visit(first) == []
        assert visit(second) == [f"localhost:{first.ports.plain}"]
        assert visit(first) == sorted(f"localhost:{gateway.ports.plain}" for gateway in running)
        assert calls(6).count(200) == 10 and calls(1) == [429, 429]
        redis.stop()
        wait_until(lambda: first.fetch("http1", "GET", "/visit?name=ada").status != 502, "it goes on")
        wait_until(lambda: calls(1) == [200, 200], "each counts by itself")
        redis.start()
        wait_until(lambda: calls(1) == [429, 429], "both find it again")
    finally:
        statuses = [gateway.stop() for gateway in running]
    assert statuses == [0, 0]


@pytest.fixture
def scripts_run():
    """scripts/run on free ports with whatever build there is."""
    ports = free_ports(4)
    names = ["--https-port", "--http-port", "--admin-port", "--origin-port"]
    arguments = [text for name, port in zip(names, ports) for text in (name, str(port))]
    kind = ["--debug"] if binary().parent.name == "debug" else []
    process = subprocess.Popen([ROOT / "scripts/run", *arguments, *kind, "--workers", "1"], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, start_new_session=True,
                               # A suite that a script started in the background hands down an interrupt that is ignored.
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    yield process, ports
    if process.poll() is None:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_scripts_run_serves_and_stops_on_interrupt(scripts_run):
    process, ports = scripts_run
    wait_until(lambda: accepts(ports[0]) or process.poll() is not None, "scripts/run serves", 600)
    assert process.poll() is None, process.stdout.read()
    context = tls_context(ROOT / "Certs/dev/ca.crt", ["http/1.1"])
    with Connection(ports[0]) as client:
        client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
        answer = client.request("GET", "/echo", [("User-Agent", "tester")])
    assert answer.status == 200 and answer.header("x-served-by") == "sluice, 200 for /echo"
    assert echoed(answer, "x-greeting", "hello tester")
    with Connection(ports[1]) as client:
        moved = client.request("GET", "/a?b")
    assert (moved.status, moved.header("location")) == (308, f"https://localhost:{ports[0]}/a?b")
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert f"curl --cacert Certs/dev/ca.crt --http2   -i https://localhost:{ports[0]}/echo" in output
    assert not any(accepts(port) for port in ports), "both processes are gone"


def test_scripts_run_says_which_port_is_taken(shared_origin):
    done = subprocess.run([ROOT / "scripts/run", "--https-port", str(shared_origin.port)], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 1
    assert f"port {shared_origin.port} is taken" in done.stderr and "--https-port" in done.stderr


@pytest.mark.parametrize("script", ["run", "test", "setup", "fuzz", "dev-certs", "tidy"])
def test_every_script_has_help_and_refuses_what_it_does_not_know(script):
    done = subprocess.run([ROOT / "scripts" / script, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and f"scripts/{script}" in done.stdout
    done = subprocess.run([ROOT / "scripts" / script, "--no-such-option"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "no-such-option" in done.stderr


def test_stream_banner(example, demo_origin):
    answer = example("stream-banner", demo_origin).fetch("http1", "GET", "/page")
    assert answer.body.count(b"<p class=banner>Maintenance tonight at ten</p>") == 1
    assert answer.body.count(b"<p>line ") == 100 and answer.body.endswith(b"</body></html>\n")


def test_unchanged_worker(example, demo_origin):
    gateway = example("unchanged-worker", demo_origin)
    assert gateway.fetch("http1", "GET", "/health").body == b"ok"
    answer = gateway.fetch("http1", "GET", "/echo")
    assert (answer.status, answer.header("x-edge")) == (200, "sluice")


def test_unchanged_azion(example, demo_origin):
    gateway = example("unchanged-azion", demo_origin)
    passed = gateway.fetch("http1", "GET", "/echo")
    assert passed.status == 200 and echoed(passed, "x-checked", "1")
    assert gateway.fetch("http1", "GET", "/echo", [("X-Forwarded-For", "192.0.2.7")]).status == 403
    greeting = gateway.fetch("http1", "GET", "/greeting", [("X-Country", "BR")])
    assert greeting.body == b"Hello from BR, here, over HTTP/1.1\n"
    assert b"from nowhere" in gateway.fetch("http1", "GET", "/greeting").body


def test_websocket_counter(example):
    gateway = example("websocket-counter", free_ports(1)[0])
    assert gateway.fetch("http1", "GET", "/ws").status == 426
    with websockets.sync.client.connect(f"ws://localhost:{gateway.ports.plain}/ws", proxy=None) as socket:
        answers = []
        for word in ("CLICK", "CLICK", "RESET", "noise"):
            socket.send(word)
            answers.append(json.loads(socket.recv(timeout=20)))
    assert answers == [{"count": 1}, {"count": 2}, {"count": 0}, {"error": "Unknown message"}]
    gateway.wait_log("closed with 1000 after 0")


def test_ab_experiment(example, demo_origin):
    gateway = example("ab-experiment", demo_origin)
    first = gateway.fetch("http1", "GET", "/echo")
    variant = first.header("set-cookie").split(";")[0].split("=")[1]
    assert variant in ("a", "b") and echoed(first, "x-variant", variant)
    again = gateway.fetch("http1", "GET", "/echo", [("Cookie", f"variant={variant}")])
    assert again.header("set-cookie") is None and echoed(again, "x-variant", variant)
