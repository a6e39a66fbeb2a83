"""The control socket and the commands that use it; the admin address and who may ask it for what."""
import json
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from harness import http1
from harness.gateway import binary, rule_file
from harness.waiting import wait_until


@pytest.fixture
def gateway(start):
    return start(request='- {name: mark, do: [{set_header: {x-mark: "one"}}]}')


def sluice(gateway, *arguments, environment=None):
    return subprocess.run([str(binary()), *arguments], capture_output=True, text=True, timeout=120, cwd=gateway.folder,
                          env={**os.environ, **gateway.environment, **(environment or {})})


def control(gateway) -> Path:
    return next(Path(gateway.environment["RUNTIME_DIRECTORY"]).glob("*.sock"))


def ask(gateway, method, path, headers=(), host="127.0.0.1"):
    with http1.Connection(gateway.ports.admin) as client:
        return client.request(method, path, list(headers), b"", host)


def test_reload_prints_what_changed_and_the_new_rules_serve(gateway):
    gateway.file.write_text(gateway.file.read_text().replace('x-mark: "one"', 'x-mark: "two"'))
    done = sluice(gateway, "reload", "--config", str(gateway.file))
    assert done.returncode == 0, done.stderr
    assert "generation 2 is in use" in done.stdout and "changed rule test/mark" in done.stdout
    assert json.loads(sluice(gateway, "status", "--json").stdout)["generation"] == 2


def test_a_broken_file_prints_every_mistake_and_changes_nothing(gateway):
    gateway.file.write_text(gateway.file.read_text().replace("set_header", "set_heder"))
    done = sluice(gateway, "reload")
    assert done.returncode == 1
    assert "set_heder" in done.stderr and "did you mean `set_header`" in done.stderr
    assert "generation 1) was not changed" in done.stderr
    assert gateway.fetch("http1", "GET", "/").status == 200


def test_reloads_asked_for_at_once_all_get_an_answer(gateway):
    runs = [subprocess.Popen([str(binary()), "reload", "--json"], cwd=gateway.folder, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, **gateway.environment}) for _ in range(4)]
    answers = [json.loads(run.communicate(timeout=120)[0]) for run in runs]
    assert [answer["result"] for answer in answers] == ["applied"] * 4
    assert all(answer["generation"] >= 2 for answer in answers)


def test_status_tells_people_the_same(gateway):
    text = sluice(gateway, "status").stdout
    assert f"admin          http://127.0.0.1:{gateway.ports.admin}" in text
    assert "listener       plain on 127.0.0.1:" in text and "worker 0       ready" in text and "generation 1" in text


def test_the_control_socket_is_private_and_gone_afterwards(gateway):
    path = control(gateway)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    gateway.stop()
    assert not path.exists()


def test_without_a_gateway_the_command_says_where_it_looked(gateway, tmp_path):
    done = sluice(gateway, "status", environment={"RUNTIME_DIRECTORY": str(tmp_path)})
    assert done.returncode == 1 and "no gateway of this user is running" in done.stderr and str(tmp_path) in done.stderr
    done = sluice(gateway, "status", "--config", str(tmp_path / "other.yaml"))
    assert done.returncode == 1 and "no gateway answers on" in done.stderr


def test_a_second_gateway_for_the_same_file_leaves_the_first_ones_socket(gateway):
    text = gateway.file.read_text()
    for port in (gateway.ports.plain, gateway.ports.secure, gateway.ports.admin):
        text = text.replace(f":{port}", ":0")
    gateway.file.write_text(text)
    second = subprocess.Popen([str(binary()), "run", "--config", str(gateway.file), "--workers", "1"], cwd=gateway.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, **gateway.environment})
    try:
        lines = []
        for line in second.stdout:
            lines.append(line)
            if " ready: " in line:
                break
        assert any("no control socket" in line for line in lines), lines
    finally:
        second.terminate()
        second.communicate(timeout=60)
    assert json.loads(sluice(gateway, "status", "--json").stdout)["pid"] == gateway.process.pid


# The admin address: everybody who reaches it is a stranger until a token says otherwise.

CHANGES = ["/v1/reload", "/v1/logs/reopen", "/v1/drain", "/v1/tokens"]


@pytest.mark.parametrize("path", CHANGES)
def test_changes_need_a_token(gateway, path):
    answer = ask(gateway, "POST", path)
    assert answer.status == 401 and answer.header("www-authenticate") == 'Bearer realm="sluice"'
    assert json.loads(answer.body)["title"] == "Unauthorized"
    assert ask(gateway, "POST", path, [("Authorization", "Bearer 0123456789abcdef")]).status == 401
    assert gateway.fetch("http1", "GET", "/").status == 200


@pytest.mark.parametrize("path", CHANGES)
def test_changes_are_posts(gateway, path):
    token = sluice(gateway, "token", "--role", "admin").stdout.strip()
    answer = ask(gateway, "GET", path, [("Authorization", f"Bearer {token}")])
    assert answer.status == 405 and answer.header("allow") == "POST"


@pytest.mark.parametrize("headers,host", [
    ([("Origin", "http://evil.example")], "127.0.0.1"), ([("Origin", "null")], "127.0.0.1"),
    ([("Sec-Fetch-Site", "cross-site")], "127.0.0.1"), ([("Sec-Fetch-Site", "same-site")], "127.0.0.1"),
    ([], "evil.example"),
], ids=["origin", "null-origin", "cross-site", "same-site", "rebound-name"])
@pytest.mark.parametrize("method,path", [("GET", "/metrics"), ("GET", "/status"), ("POST", "/v1/reload"), ("POST", "/v1/drain")])
def test_what_a_foreign_page_can_send_is_refused_even_with_a_token(gateway, method, path, headers, host):
    token = sluice(gateway, "token", "--role", "admin").stdout.strip()
    assert ask(gateway, method, path, [*headers, ("Authorization", f"Bearer {token}")], host).status == 403


def test_every_route_refuses_strangers_and_foreign_pages_and_none_is_left_out(gateway):
    """The list is the gateway's own description of its API, so a route that comes later is on it."""
    admin = [("Authorization", f"Bearer {sluice(gateway, 'token', '--role', 'admin').stdout.strip()}")]
    described = json.loads(ask(gateway, "GET", "/v1/api", admin).body)["paths"]
    routes = [(method.upper(), path, what["x-role"]) for path, methods in described.items() for method, what in methods.items()]
    assert len(routes) >= 15 and {role for _, _, role in routes} >= {"read", "operate", "admin"}
    for method, path, role in routes:
        if role != "anyone":
            assert ask(gateway, method, path).status == 401, (method, path)
            assert ask(gateway, method, path, [("Authorization", "Bearer " + "0" * 64)]).status == 401, (method, path)
        for headers, host in (([("Origin", "http://evil.example")], "127.0.0.1"), ([("Sec-Fetch-Site", "cross-site")], "127.0.0.1"), ([], "evil.example")):
            assert ask(gateway, method, path, [*headers, *admin], host).status == 403, (method, path, headers, host)
        if method == "POST":
            assert ask(gateway, "GET", path, admin).status == 405, path
    assert gateway.fetch("http1", "GET", "/").status == 200


def test_a_token_allows_what_its_role_does(gateway):
    reader = sluice(gateway, "token", "--role", "read", "--name", "graphs").stdout.strip()
    operator = sluice(gateway, "token", "--role", "operate").stdout.strip()
    assert ask(gateway, "POST", "/v1/reload", [("Authorization", f"Bearer {reader}")]).status == 403
    assert json.loads(ask(gateway, "POST", "/v1/reload", [("Authorization", f"Bearer {operator}")]).body)["result"] == "applied"
    assert ask(gateway, "POST", "/v1/tokens", [("Authorization", f"Bearer {operator}")]).status == 403


def test_changes_are_written_to_the_log_with_who_asked(gateway):
    token = sluice(gateway, "token", "--role", "operate", "--name", "ci").stdout.strip()
    ask(gateway, "POST", "/v1/logs/reopen", [("Authorization", f"Bearer {token}")])
    gateway.wait_log("token ci asks for /v1/logs/reopen")
    assert token not in gateway.text


@pytest.mark.parametrize("minutes", ["0", "-1", "10081", "307445734561826", "18446744073709551615", "18446744073709551616"])
def test_a_token_that_lives_too_long_is_refused(gateway, minutes):
    admin = [("Authorization", f"Bearer {sluice(gateway, 'token', '--role', 'admin').stdout.strip()}")]
    assert ask(gateway, "POST", f"/v1/tokens?minutes={minutes}", admin).status == 400
    assert ask(gateway, "POST", "/v1/tokens?minutes=10080", admin).status == 200, "the supervisor is alive"


def test_alive_and_ready_are_two_things(gateway, origin):
    def status(path):
        return ask(gateway, "GET", path).status

    assert status("/healthz") == 200 and status("/readyz") == 200
    with gateway.http1() as client:
        client.send(b"GET /slow/4000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: gateway.metric("sluice_server_requests_active") == 1, "the request is with the origin")
        os.kill(gateway.pid, signal.SIGTERM)
        wait_until(lambda: status("/readyz") == 503, "who drains takes nothing new")
        assert status("/healthz") == 200, "but lives"
        assert client.response().status == 200


def test_drain_over_the_socket_stops_the_gateway(gateway):
    token = sluice(gateway, "token", "--role", "admin").stdout.strip()
    assert ask(gateway, "POST", "/v1/drain", [("Authorization", f"Bearer {token}")]).status == 200
    wait_until(lambda: gateway.process.poll() is not None, "the gateway ends")
    assert gateway.process.returncode == 0


def test_unknown_paths_say_what_there_is(gateway):
    answer = ask(gateway, "GET", "/nothing")
    assert answer.status == 404 and "/metrics" in json.loads(answer.body)["detail"]


# Tokens of the configuration

def test_a_token_file_gives_its_role_and_a_reload_replaces_it(start, certificates, origin, tmp_path):
    token = tmp_path / "token"
    token.write_text("a" * 40 + "\n")

    def rules(ports):
        return rule_file(ports, certificates, origin.port).replace(
            f'admin: {{address: "127.0.0.1:{ports.admin}"}}',
            f'admin: {{address: "127.0.0.1:{ports.admin}", tokens: [{{name: ci, role: operate, file: "{token}"}}]}}')

    gateway = start(rules=rules)

    def reopen(secret):
        return ask(gateway, "POST", "/v1/logs/reopen", [("Authorization", f"Bearer {secret}")]).status

    assert reopen("a" * 40) == 200
    assert ask(gateway, "POST", "/v1/drain", [("Authorization", "Bearer " + "a" * 40)]).status == 403
    gateway.wait_log("token ci asks for /v1/logs/reopen")
    token.write_text("b" * 40)
    assert "changed the tokens" in sluice(gateway, "reload").stdout
    assert reopen("a" * 40) == 401 and reopen("b" * 40) == 200
    token.write_text("short")
    done = sluice(gateway, "reload")
    assert done.returncode == 1 and "fewer than 32 bytes" in done.stderr and "short" not in done.stderr.replace("shorter", "")
    assert reopen("b" * 40) == 200
