"""`sluice types`: what hooks are given, as TypeScript sees it; `sluice profile` and `heap`: what they do and hold."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import textwrap

import pytest

from harness.gateway import ROOT, binary
from harness.waiting import free_ports, wait_until

RULES = """\
sluice: 1
listeners: [{name: l, address: "127.0.0.1:8080"}]
upstreams: {idp: {servers: ["http://127.0.0.1:9"]}}
functions:
  authz: {file: authz.js, upstreams: [idp]}
  banner: {file: authz.js}
sites:
  - name: s
    hosts: ["*"]
    request:
      - {name: a, do: [{run: {function: authz, args: {audience: app, scopes: {GET: read}, tries: 3}}}]}
"""
GOOD = """\
    /** @type {Sluice.Hook<"authz">} */
    const hook = {
      async onRequest(request, env, ctx) {
        if (!request.headers.get("authorization")) return new Response("no", { status: 401 });
        const reply = await env.idp.fetch("/introspect", { method: "POST", body: ctx.args.audience });
        ctx.state.ok = reply.ok && ctx.args.tries.toFixed(0) === "3" && ctx.args.scopes.GET.length > 0;
        ctx.waitUntil(Promise.resolve());
        if (!reply.ok) ctx.deny(403);
      },
      onResponse(response, env, ctx) { response.headers.set("x-id", ctx.requestId + ctx.client.ip + ctx.rule.line); },
      onWebSocketMessage(data, ctx) { return typeof data === "string" && ctx.from === "client" ? data.trim() : null; },
    };
    export default hook;
    """
# One mistake in each line, and what tsc says of it.
BAD = {
    "env.nobody.fetch('/')": "'nobody' does not exist",
    "ctx.args.audience.toFixed()": "'toFixed' does not exist on type 'string'",
    "ctx.args.scopes.PUT": "'PUT' does not exist",
    "ctx.denyAll()": "'denyAll' does not exist",
    "ctx.args.tries = 4": "read-only property",
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sluice.yaml").write_text(RULES)
    (tmp_path / "authz.js").write_text(textwrap.dedent(GOOD))
    result = subprocess.run([binary(), "types", "sluice.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (tmp_path / "sluice.d.ts").write_text(result.stdout)
    return tmp_path


def compile_hooks(folder, *files) -> str:
    command = ["tsc", "--noEmit", "--strict", "--checkJs", "--allowJs", "--target", "es2022", "--lib", "es2022,webworker", "sluice.d.ts", *files]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    return result.stdout + result.stderr


def test_types_have_the_environment_and_the_arguments_of_each_function(folder):
    text = (folder / "sluice.d.ts").read_text()
    assert '"authz": {\n      env: { readonly "idp": Fetcher; };\n      args: { readonly "audience": string; readonly "scopes": { readonly "GET": string }; ' \
        'readonly "tries": number };' in text
    assert '"banner": {\n      env: {};\n      args: {};' in text


@pytest.mark.skipif(not shutil.which("tsc"), reason="no tsc on this machine")
def test_a_good_hook_compiles_and_each_mistake_is_found(folder):
    assert compile_hooks(folder, "authz.js") == ""
    lines = "\n".join(f"    {each};" for each in BAD)
    (folder / "bad.ts").write_text(f"const hook: Sluice.Hook<'authz'> = {{\n  onRequest(request, env, ctx) {{\n{lines}\n  }},\n}};\nexport default hook;\n")
    found = compile_hooks(folder, "bad.ts")
    for number, complaint in enumerate(BAD.values(), start=3):
        assert any(f"bad.ts({number}," in line and complaint in line for line in found.splitlines()), f"line {number}: {complaint}\n{found}"


@pytest.mark.skipif(not shutil.which("tsc"), reason="no tsc on this machine")
def test_the_hooks_of_the_examples_compile_against_the_declarations(folder, tmp_path):
    for hook in sorted((ROOT / "Examples").glob("*/hooks/*.js")):
        copy = tmp_path / f"{hook.parent.parent.name}-{hook.name}"
        # A variable with a type gives the handlers' parameters theirs.
        text = hook.read_text().replace("export default {", "/** @type {Sluice.Handlers<any, any>} */\nconst hook = {", 1)
        copy.write_text(text + ("\nexport default hook;\n" if "const hook = {" in text else ""))
        found = [line for line in compile_hooks(folder, copy.name).splitlines() if "error TS2339" in line or "error TS2322" in line]
        # Debian's tsc (4.8) is older than these two.
        found = [line for line in found if "'json' does not exist on type '{ new" not in line and "'timeout' does not exist on type '{ new" not in line]
        assert not found, f"{hook}:\n" + "\n".join(found)


def test_types_of_a_file_with_mistakes_are_its_mistakes(tmp_path):
    (tmp_path / "sluice.yaml").write_text("sluice: 1\nfunctions: {a: {file: gone.js}}\n")
    result = subprocess.run([binary(), "types", "sluice.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1 and "gone.js" in result.stderr and result.stdout == ""


BUSY = """\
    const kept = [];
    function burnTheCandle(n) { let x = 0; for (let i = 0; i < n; i++) x += Math.sqrt(i); return x; }
    export default { onRequest() {
      kept.push({ marker: "kept-by-the-function" });
      return new Response(String(burnTheCandle(200_000)));
    } };
    """
RUN = "- name: run\n  do: [{run: {function: busy}}]\n"


def ask(gateway, *arguments):
    return subprocess.run([binary(), *arguments, "--config", str(gateway.file)], cwd=gateway.folder, capture_output=True, text=True,
                          env={**os.environ, **gateway.environment})


@pytest.fixture
def busy(start):
    return start(functions="busy: {file: hooks/busy.js, lane: inline}\n  other: {file: hooks/busy.js, untrusted: true}".replace("\n  ", "\n"),
                 hooks={"busy.js": BUSY}, request=RUN)


def test_a_profile_names_the_function_that_burns_the_time(busy):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        asked = pool.submit(ask, busy, "profile", "--function", "busy", "--seconds", "2", "-o", "p.cpuprofile")
        answers = 0
        with busy.http1() as client:
            while not asked.done():
                assert client.request("GET", "/").status == 200
                answers += 1
        result = asked.result()
    assert result.returncode == 0, result.stderr
    path = busy.folder / "p.cpuprofile"
    assert path.stat().st_mode & 0o777 == 0o600
    profile = json.loads(path.read_text())
    nodes = {node["id"]: node for node in profile["nodes"]}
    assert set(profile) == {"nodes", "startTime", "endTime", "samples", "timeDeltas"}
    assert len(profile["samples"]) == len(profile["timeDeltas"]) > 20 and set(profile["samples"]) <= set(nodes)
    assert all(child in nodes for node in nodes.values() for child in node.get("children", []))
    burner = next(node for node in nodes.values() if node["callFrame"]["functionName"] == "burnTheCandle")
    assert burner["callFrame"]["url"].endswith("hooks/busy.js") and burner["callFrame"]["lineNumber"] == 1
    assert sum(1 for sample in profile["samples"] if sample == burner["id"]) > 5 and answers > 10


def test_a_heap_snapshot_has_what_the_function_keeps(busy):
    busy.fetch("http1", "GET", "/")
    result = ask(busy, "heap", "--function", "busy")
    assert result.returncode == 0, result.stderr
    snapshot = json.loads((busy.folder / "busy.heapsnapshot").read_text())
    assert snapshot["snapshot"]["node_count"] > 1000 and "kept-by-the-function" in snapshot["strings"]
    assert busy.fetch("http1", "GET", "/").status == 200


def test_a_heap_that_would_hold_up_the_worker_for_seconds_is_refused(start):
    """A snapshot of 100 MB took it from all others for many seconds, and was too large to be handed out."""
    gateway = start(functions="large: {file: hooks/large.js, lane: inline, limits: {cpu: 30s, wall: 60s, memory: 256MiB}}",
                    request="- {name: large, do: [{run: {function: large}}]}",
                    hooks={"large.js": "const kept = []; export default { onRequest() { while (kept.length < 1_000_000) kept.push({ n: kept.length }); return new Response('full'); } };"})
    assert gateway.fetch("http1", "GET", "/").body == b"full"
    result = ask(gateway, "heap", "--function", "large")
    assert result.returncode == 1 and re.search(r"the heap of large has \d+ MiB, and all requests of the worker would wait", result.stderr)
    assert "--inspect" in result.stderr and gateway.fetch("http1", "GET", "/").body == b"full"


@pytest.mark.parametrize("arguments, complaint", [
    (["profile", "--function", "nobody", "--seconds", "1"], "there is no function nobody; there are busy, other"),
    (["profile", "--function", "busy", "--seconds", "99"], "--seconds must be from 1 to 50"),
    (["profile", "--function", "other", "--seconds", "1"], "runs in a process of its own"),
    (["heap", "--function", "busy", "--worker", "7"], "there is no worker 7"),
])
def test_what_cannot_be_looked_at_is_said(busy, arguments, complaint):
    result = ask(busy, *arguments)
    assert result.returncode != 0 and complaint in result.stderr


def test_two_cannot_look_at_the_same_time(busy):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda n: ask(busy, "profile", "--function", "busy", "--seconds", "2", "-o", f"{n}"), range(2)))
    assert sorted(result.returncode for result in results) == [0, 1]
    assert any("is looked at already" in result.stderr for result in results)


@pytest.fixture
def dev(tmp_path, origin):
    """dev(hook) runs `sluice dev` on a copy with that hook; gives its port, what it wrote so far, and its hook file."""
    running = []

    def begin(source: str):
        port = free_ports(1)[0]
        (tmp_path / "hook.js").write_text(textwrap.dedent(source))
        (tmp_path / "sluice.yaml").write_text(
            f'sluice: 1\nlisteners: [{{name: l, address: "127.0.0.1:{port}"}}]\nupstreams: {{o: {{servers: ["http://127.0.0.1:{origin.port}"]}}}}\n'
            "access_log: {path: 'off'}\nfunctions: {mine: {file: hook.js}}\n"
            "sites: [{name: s, hosts: ['*'], upstream: o, request: [{name: r, do: [{run: {function: mine}}]}]}]\n")
        log = (tmp_path / "out").open("w")
        process = subprocess.Popen([binary(), "dev", "sluice.yaml"], cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT,
                                   env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)})
        running.append(process)
        text = lambda: (tmp_path / "out").read_text()  # noqa: E731
        wait_until(lambda: " ready: " in text() or process.poll() is not None, "sluice dev serves")
        return port, text, tmp_path / "hook.js"

    yield begin
    for process in running:
        process.terminate()
        assert process.wait(30) == 0


def get(port, path="/"):
    from harness.http1 import Connection
    with Connection(port) as client:
        return client.request("GET", path)


def test_dev_shows_requests_console_and_failures_where_they_happened(dev):
    port, text, hook = dev("""\
        export default { onRequest(request) {
          console.log("hello", { from: "the hook" });
          if (request.url.includes("break")) {
            return request.nothing.there();
          }
        } };
        """)
    assert get(port, "/fine?a=1").status == 200
    wait_until(lambda: "GET /fine?a=1 -> 200 in " in text(), "a line for the request")
    assert "mine: hello { from: 'the hook' }" in text() or 'mine: hello {"from":"the hook"}' in text() or "mine: hello" in text()
    assert "; rules s/r; mine continue (" in text()
    answer = get(port, "/break")
    assert answer.status == 500
    for shown in (text(), answer.body.decode()):
        assert "hook.js:4:" in shown and "TypeError: Cannot read properties of undefined (reading 'there')" in shown
        assert "  4 |     return request.nothing.there();\n    |                            ^" in shown


def test_dev_serves_a_saved_file_at_once_and_tells_what_is_wrong_with_one(dev):
    port, text, hook = dev("export default { onRequest() { return new Response('one'); } };")
    assert get(port).body == b"one"
    hook.write_text("export default { onRequest() { return new Response('two'); } };")
    wait_until(lambda: get(port).body == b"two", "the saved file is served")
    hook.write_text("export default { onRequest() { return new Response('three') };")
    wait_until(lambda: "hook.js:1:" in text() and "SyntaxError" in text(), "the mistake is told with its place")
    assert get(port).body == b"two"


def test_without_dev_a_client_learns_nothing_of_a_failure(start):
    gateway = start(functions="hook: {file: hooks/hook.js}", hooks={"hook.js": "export default { onRequest() { throw new Error('secret'); } };"},
                    request=RUN.replace("busy", "hook"))
    answer = gateway.fetch("http1", "GET", "/")
    assert answer.status == 500 and b"secret" not in answer.body
