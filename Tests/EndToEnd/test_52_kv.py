"""Key-value namespaces and secrets: kept on disk, shared by workers, reached only by whom the rule file grants them."""
import json
import os
import signal
from pathlib import Path

import pytest

from harness.gateway import Gateway
from harness.waiting import wait_until

STORE = """
    export default { async onRequest(request, env) {
      const url = new URL(request.url), key = url.searchParams.get("key") ?? "";
      try {
        switch (url.pathname) {
          case "/get": return new Response(await env.KV.get(key) ?? "none");
          case "/put": await env.KV.put(key, url.searchParams.get("value") ?? "x".repeat(Number(url.searchParams.get("size"))),
            { expirationTtl: Number(url.searchParams.get("ttl")) || undefined, metadata: { by: "test" } }); return new Response("stored");
          case "/delete": await env.KV.delete(key); return new Response("deleted");
          case "/list": return Response.json(await env.KV.list({ prefix: key, limit: 100, cursor: url.searchParams.get("cursor") }));
          case "/env": return Response.json(Object.keys(env).sort());
        }
      } catch (error) { return new Response(`${error}`, { status: 507 }); }
    } };
"""
RULES = "- {name: a, when: 'not exists(header.x-other)', do: [{run: {function: a}}]}\n- {name: b, do: [{run: {function: b}}]}"


def rules(ports, certificates, folder, *, a="kv: {KV: one}", b="kv: {KV: two}", size="1MiB"):
    from harness.gateway import rule_file
    text = rule_file(ports, certificates, 1, functions=f"a: {{file: hooks/store.js, {a}}}\nb: {{file: hooks/store.js, {b}}}", request=RULES)
    return text + f"kv:\n  one: {{path: {folder}/one, size: {size}}}\n  two: {{path: {folder}/two}}\n"


@pytest.fixture
def run(start, certificates, tmp_path):
    def run(workers=1, folder=tmp_path, **more):
        return start(rules=lambda ports: rules(ports, certificates, folder, **more), hooks={"store.js": STORE}, workers=workers)
    return run


def ask(gateway, path: str, other: bool = False):
    answer = gateway.fetch("http1", "GET", path, [("x-other", "1")] if other else [])
    return answer.status, answer.body.decode()


def test_what_is_put_survives_a_restart(run):
    gateway = run()
    assert ask(gateway, "/get?key=a") == (200, "none")
    assert ask(gateway, "/put?key=a&value=kept") == (200, "stored")
    assert ask(gateway, "/get?key=a") == (200, "kept")
    assert gateway.stop() == 0
    again = run()
    assert ask(again, "/get?key=a") == (200, "kept")


def test_what_was_answered_is_on_disk_when_workers_are_killed(run):
    gateway = run(workers=2)
    for number in range(20):
        assert ask(gateway, f"/put?key=k{number}&value={number}") == (200, "stored")
        if number % 7 == 3:
            for pid in gateway.worker_pids():
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(gateway.worker_pids()) == 2, "workers are back")
    wait_until(lambda: ask(gateway, "/get?key=k0") == (200, "0"), "it serves")
    assert [ask(gateway, f"/get?key=k{number}")[1] for number in range(20)] == [str(number) for number in range(20)]


def test_workers_share_it(run):
    gateway = run(workers=4)
    assert ask(gateway, "/put?key=shared&value=1") == (200, "stored")
    answered = set()

    def all_answered():
        answer = gateway.fetch("http1", "GET", "/get?key=shared")
        assert answer.body == b"1"
        answered.add(len(answered))
        return len(answered) >= 40
    wait_until(all_answered, "many connections, spread over workers")
    wait_until(lambda: gateway.metric("sluice_kv_requests_total", operation="get") >= 40, "all of them are counted")


def test_a_function_reaches_only_what_it_was_granted(run):
    gateway = run()
    ask(gateway, "/put?key=a&value=of-one")
    assert ask(gateway, "/get?key=a", other=True) == (200, "none")
    ask(gateway, "/put?key=a&value=of-two", other=True)
    assert ask(gateway, "/get?key=a") == (200, "of-one")
    assert json.loads(ask(gateway, "/env")[1]) == ["KV"]


def test_lists_and_ends_of_life(run):
    gateway = run()
    for name in ["p/2", "p/1", "q"]:
        assert ask(gateway, f"/put?key={name}&value=v") == (200, "stored")
    assert ask(gateway, "/put?key=p/3&value=v&ttl=1") == (200, "stored")
    wait_until(lambda: ask(gateway, "/get?key=p/3") == (200, "none"), "its time is up")
    page = json.loads(ask(gateway, "/list?key=p/")[1])
    assert [key["name"] for key in page["keys"]] == ["p/1", "p/2"] and page["list_complete"] is True
    assert page["keys"][0]["metadata"] == {"by": "test"}
    wait_until(lambda: gateway.metric("sluice_kv_expired_total") >= 1, "it is taken out of the file", 30)


def test_a_full_namespace_is_an_error_that_is_counted_and_logged(run):
    gateway = run(size="256KiB")
    status, text = 200, ""
    for number in range(20):
        status, text = ask(gateway, f"/put?key=big{number}&size=40000")
        if status != 200:
            break
    assert (status, text) == (507, "Error: the namespace is full")
    wait_until(lambda: gateway.metric("sluice_kv_failures_total", reason="full") >= 1, "counted")
    gateway.wait_log("kv one: the namespace is full")
    assert ask(gateway, "/get?key=big0")[1] == "x" * 40000
    assert ask(gateway, "/put?key=a&value=other", other=True) == (200, "stored"), "the other namespace has room"
    assert ask(gateway, "/delete?key=big0") == (200, "deleted")
    assert ask(gateway, "/put?key=small&value=fits") == (200, "stored")


def test_cordons_ask_through_their_worker(run):
    gateway = run(a="untrusted: true, tenant: a, kv: {KV: one}", b="untrusted: true, tenant: b, kv: {KV: two}")
    assert ask(gateway, "/put?key=a&value=from-a-cordon") == (200, "stored")
    assert ask(gateway, "/get?key=a") == (200, "from-a-cordon")
    assert ask(gateway, "/get?key=a", other=True) == (200, "none")
    wait_until(lambda: gateway.metric("sluice_cordon_calls_total") >= 3, "they ran in cordons")


def test_a_reload_keeps_what_is_there_and_may_let_it_grow(run, certificates, tmp_path):
    gateway = run(size="256KiB")
    assert ask(gateway, "/put?key=a&value=1") == (200, "stored")
    assert ask(gateway, "/put?key=big&size=500000")[0] == 507
    gateway.reload(rules(gateway.ports, certificates, tmp_path, size="4MiB"))
    wait_until(lambda: ask(gateway, "/put?key=big&size=500000") == (200, "stored"), "the namespace has grown")
    assert ask(gateway, "/get?key=a") == (200, "1")


def test_a_folder_that_cannot_be_used_stops_the_start_and_is_named(certificates, tmp_path):
    gateway = Gateway(tmp_path, certificates, lambda ports: rules(ports, certificates, "/proc/nowhere"), {"store.js": STORE})
    assert gateway.process.wait(30) == 1
    gateway.reader.join(10)
    assert 'kv "one": "/proc/nowhere/one" cannot be used: No such file or directory' in gateway.text


def test_without_a_path_it_is_in_the_state_folder(start, certificates, tmp_path):
    def make(ports):
        return rules(ports, certificates, tmp_path).replace(f"{{path: {tmp_path}/one, size: 1MiB}}", "{}")
    gateway = Gateway(tmp_path, certificates, make, {"store.js": STORE}, environment={"STATE_DIRECTORY": str(tmp_path / "state")})
    try:
        gateway.wait_ready()
        assert ask(gateway, "/put?key=a&value=1") == (200, "stored")
        assert (tmp_path / "state/kv/one/data.mdb").stat().st_mode & 0o777 == 0o600
    finally:
        assert gateway.stop() == 0


def test_what_is_mapped_of_a_namespace_is_not_counted_as_memory(run):
    gateway = run(a="kv: {KV: one}, limits: {cpu: 500ms}", size="128MiB")
    wait_until(lambda: gateway.metric("sluice_memory_resident_bytes") > 0, "it is measured")
    before = gateway.metric("sluice_memory_resident_bytes")
    for number in range(90):
        assert ask(gateway, f"/put?key=big{number}&size=1000000") == (200, "stored")
    for number in range(90):
        assert ask(gateway, f"/get?key=big{number}")[0] == 200
    wait_until(lambda: gateway.metric("sluice_kv_stored_bytes") > 90_000_000, "the namespace is large")
    assert gateway.resident_kib(gateway.worker_pids()[0]) > 90_000, "and in memory"
    wait_until(lambda: gateway.metric("sluice_memory_resident_bytes") < before + 60_000_000, "but the worker is not", 30)


SECRET = "hunter2-hunter2-hunter2"
SPY = """
    export default { onRequest(request, env) {
      console.log("the key is", env.KEY);
      if (request.url.endsWith("/throw")) throw new Error("cannot use " + env.KEY);
      return new Response(`${env.KEY.length} ${env.FROM_ENV}`);
    } };
"""


def test_secrets_come_from_files_and_the_environment_and_are_shown_nowhere(certificates, tmp_path):
    from harness.gateway import rule_file
    (tmp_path / "key.txt").write_text(SECRET + "\n")

    def make(ports):
        return rule_file(ports, certificates, 1, functions="spy: {file: hooks/spy.js, secrets: [KEY, FROM_ENV], on_error: {respond: 500}}",
                         request="- {name: spy, do: [{run: {function: spy}}]}") + "secrets: {KEY: {file: key.txt}}\n"
    gateway = Gateway(tmp_path, certificates, make, {"spy.js": SPY}, environment={"FROM_ENV": "open-sesame"}, arguments=["--log-format", "json"])
    try:
        gateway.wait_ready()
        assert ask(gateway, "/") == (200, f"{len(SECRET)} open-sesame")
        assert ask(gateway, "/throw")[0] == 500
        gateway.wait_log(r"cannot use \[secret KEY\]")
        (tmp_path / "key.txt").write_text("another-secret-value")
        gateway.reload()
        wait_until(lambda: ask(gateway, "/") == (200, "20 open-sesame"), "a reload takes the new value")
        told = gateway.text + (tmp_path / "access.log").read_text()
        for path in ["/metrics", "/status", "/api/overview"]:
            from harness import http1
            with http1.Connection(gateway.ports.admin) as client:
                told += client.request("GET", path).body.decode(errors="replace")
    finally:
        assert gateway.stop() == 0
    for secret in [SECRET, "open-sesame", "another-secret-value"]:
        assert secret not in told + gateway.text


def test_a_secret_that_is_not_there_is_told_at_check_and_tests_run_without(certificates, tmp_path):
    import subprocess

    from harness.gateway import binary
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks/spy.js").write_text(SPY)
    file = Path(tmp_path / "rules.yaml")
    file.write_text("""
sluice: 1
listeners: [{name: a, address: "127.0.0.1:0"}]
secrets: {KEY: {credential: key, test: abc}}
functions: {spy: {file: hooks/spy.js, secrets: [KEY, FROM_ENV]}}
sites: [{name: s, hosts: ["*"], request: [{name: spy, do: [{run: spy}]}]}]
tests: [{name: t, send: {url: "http://a.example/"}, expect: {body: "3 test-FROM_ENV"}}]
""")
    environment = {key: value for key, value in os.environ.items() if key not in ("FROM_ENV", "CREDENTIALS_DIRECTORY")}
    check = subprocess.run([binary(), "check", file], capture_output=True, text=True, env=environment)
    assert check.returncode == 1
    assert 'secret "KEY": there are no systemd credentials' in check.stdout + check.stderr
    assert 'secret "FROM_ENV": there is no systemd credential and no variable' in check.stdout + check.stderr
    test = subprocess.run([binary(), "test", file], capture_output=True, text=True, env=environment)
    assert test.returncode == 0, test.stdout + test.stderr
    (tmp_path / "key").write_text("from-systemd")
    good = subprocess.run([binary(), "check", file], capture_output=True, text=True,
                          env={**environment, "FROM_ENV": "e-n-v", "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert good.returncode == 0 and "from-systemd" not in good.stdout + good.stderr, good.stdout + good.stderr


AZION = """
    addEventListener("firewall", (event) => {
      event.addResponseHeader("x-checked", "by the firewall");
      if (event.request.url.endsWith("/no")) event.deny();
      if (event.request.url.endsWith("/throw")) throw new Error("no");
    });
"""


@pytest.mark.parametrize("options", ["", ", untrusted: true"])
def test_an_azion_function_adds_fields_to_the_answer_whoever_makes_it(start, options):
    gateway = start(functions=f"f: {{file: hooks/f.js{options}}}", hooks={"f.js": AZION},
                    request="- {name: f, do: [{run: f}]}\n- {name: here, when: path == \"/here\", do: [{respond: {status: 200, body: here}}]}")
    for path, status in [("/", 200), ("/here", 200), ("/no", 403)]:
        answer = gateway.fetch("http1", "GET", path)
        assert (answer.status, answer.header("x-checked")) == (status, "by the firewall"), path
    assert gateway.fetch("http2", "GET", "/").header("x-checked") == "by the firewall"
    failed = gateway.fetch("http1", "GET", "/throw")
    assert (failed.status, failed.header("x-checked")) == (500, None), "a hook that failed has changed nothing"


SIGN = """
    export default { async onRequest(request, env) {
      const mark = new Uint8Array(await crypto.subtle.sign("HMAC", env.JWT, new TextEncoder().encode("text")));
      const raw = await crypto.subtle.exportKey("raw", env.JWT).catch((error) => error.name);
      return Response.json([Array.from(mark, (x) => x.toString(16).padStart(2, "0")).join(""), raw, JSON.stringify(env)]);
    } };
"""


@pytest.mark.parametrize("lane", ["lane: inline", "lane: cordon", "untrusted: true"])
def test_a_secret_is_used_as_a_key_that_the_function_never_sees(certificates, tmp_path, lane):
    import hashlib
    import hmac

    from harness.gateway import rule_file
    (tmp_path / "key.txt").write_text("a-long-secret-key\n")

    def make(ports):
        return rule_file(ports, certificates, 1, functions="sign: {file: hooks/sign.js, " + lane +
                         ", keys: {JWT: {secret: KEY, algorithm: HMAC, hash: SHA-256, usages: [sign]}}}",
                         request="- {name: sign, do: [{run: {function: sign}}]}") + "secrets: {KEY: {file: key.txt}}\n"

    def expected(key: bytes) -> list[str]:
        return [hmac.new(key, b"text", hashlib.sha256).hexdigest(), "InvalidAccessError", '{"JWT":{}}']
    gateway = Gateway(tmp_path, certificates, make, {"sign.js": SIGN})
    try:
        gateway.wait_ready()
        assert json.loads(ask(gateway, "/")[1]) == expected(b"a-long-secret-key")
        (tmp_path / "key.txt").write_text("another-key")
        gateway.reload()
        wait_until(lambda: json.loads(ask(gateway, "/")[1]) == expected(b"another-key"), "a reload takes the new value")
    finally:
        assert gateway.stop() == 0


def test_a_secret_that_is_no_such_key_is_told_at_check(certificates, tmp_path):
    import subprocess

    from harness.gateway import binary
    (tmp_path / "f.js").write_text("export default { onRequest(request, env) { if (new URL(request.url).pathname === '/use') return new Response(env.K.type); } };")
    (tmp_path / "key.txt").write_text("too short")
    file = tmp_path / "rules.yaml"
    file.write_text("""
sluice: 1
listeners: [{name: l, address: "127.0.0.1:0"}]
secrets: {KEY: {file: key.txt}}
functions:
  f: {file: f.js, keys: {K: {secret: KEY, algorithm: AES-GCM, usages: [encrypt]}}}
sites: [{name: s, hosts: ["*"], request: [{name: r, do: [{run: {function: f}}, {respond: {status: 204}}]}]}]
tests: [{name: t, send: {url: "http://a.example/"}, expect: {status: 204}}]
""")
    done = subprocess.run([binary(), "test", str(file)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = subprocess.run([binary(), "run", "--config", str(file)], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)}, timeout=60)
    assert done.returncode != 0 and "the key K cannot be made of its secret: AES-GCM: a key has 128, 192 or 256 bits" in done.stdout + done.stderr
    assert "too short" not in done.stdout + done.stderr
