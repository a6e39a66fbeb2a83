"""`webassembly: true`: the functions that have it have all of it, in a process that bounds what V8 does not."""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess

import pytest

from harness.devtools import DevTools
from harness.gateway import Gateway, binary, rule_file
from harness.inspected import KEY, Asked, breakpoint_at, signed, target
from harness.waiting import BOUND, wait_until


def leb(number: int) -> bytes:
    out = b""
    while True:
        number, low = number >> 7, number & 127
        out += bytes([low | (128 if number else 0)])
        if not number:
            return out


def section(identity: int, *items: bytes) -> bytes:
    body = leb(len(items)) + b"".join(items)
    return bytes([identity]) + leb(len(body)) + body


def function_body(code: bytes) -> bytes:
    body = b"\0" + code + b"\x0b"
    return leb(len(body)) + body


HEAD = b"\0asm\1\0\0\0"
ADD = HEAD + section(1, b"\x60\x02\x7f\x7f\x01\x7f") + section(3, b"\0") + section(7, b"\x03add\0\0") + section(10, function_body(b"\x20\0\x20\1\x6a"))
LOOP = HEAD + section(1, b"\x60\0\0") + section(3, b"\0") + section(7, b"\x03run\0\0") + section(10, function_body(b"\x03\x40\x0c\0\x0b"))
# A memory of its own that nobody outside sees: one page, and run() grows it by a page and gives how many there were.
GROW = HEAD + section(1, b"\x60\0\x01\x7f") + section(3, b"\0") + section(5, b"\0\1") + section(7, b"\x03run\0\0") + \
    section(10, function_body(b"\x41\x01\x40\0"))
# A whole heap of code, all in one function.
BOMB = HEAD + section(1, b"\x60\0\0") + section(3, b"\0") + section(7, b"\x03run\0\0") + section(10, function_body(b"\x41\0\x1a" * 2_400_000))

HOOKS = {
    "wasm.js": """\
        import add from "./add.wasm";
        import loop from "./loop.wasm";
        import grow from "./grow.wasm";
        const kept = [];
        const bytes = (request) => request.arrayBuffer();
        const actions = {
          async add() { return (await WebAssembly.instantiate(add)).exports.add(2, 40); },
          async bytes(request) { return (await WebAssembly.instantiate(await bytes(request))).instance.exports.add(20, 22); },
          async names(request) { return (await request.json()).filter((name) => !(name in WebAssembly)).join(); },
          async validate(request) { return WebAssembly.validate(await bytes(request)); },
          async broken(request) { try { await WebAssembly.compile(await bytes(request)); } catch (error) { return `${error.name}: ${error.message}`; } },
          async streaming(request) {
            const data = await bytes(request);
            const response = (type) => new Response(data, type ? { headers: { "content-type": type } } : {});
            const { instance, module } = await WebAssembly.instantiateStreaming(Promise.resolve(response("application/wasm")));
            const compiled = await WebAssembly.compileStreaming(response("Application/WASM"));
            const failures = [];
            for (const source of [response(), response("application/wasm;a=b"), response("text/plain"), new Response(data, { status: 404, headers: { "content-type": "application/wasm" } }), 7]) {
              try { await WebAssembly.compileStreaming(source); failures.push("none"); } catch (error) { failures.push(error.name); }
            }
            return [instance.exports.add(1, 2), module instanceof WebAssembly.Module, compiled instanceof WebAssembly.Module, ...failures].join();
          },
          async exports() { return [add instanceof WebAssembly.Module, JSON.stringify(WebAssembly.Module.exports(add))].join(); },
          async global() { const one = new WebAssembly.Global({ value: "i32", mutable: true }, 5); one.value += 1; return one.value; },
          async loop() { (await WebAssembly.instantiate(loop)).exports.run(); },
          async pages() { const { run } = (await WebAssembly.instantiate(grow)).exports; let most = 0; for (let i = 0; i < 100000; i++) { const had = run(); if (had < 0) break; most = had + 1; } return most; },
          async memory() { const one = new WebAssembly.Memory({ initial: 1 }); try { one.grow(65000); return "grew"; } catch (error) { return error.name; } },
          async huge() { try { new WebAssembly.Memory({ initial: 65000 }); return "made"; } catch (error) { return error.name; } },
          async table() { try { new WebAssembly.Table({ initial: 10000000, element: "anyfunc" }); return "made"; } catch (error) { return error.name; } },
          async tables() { for (let i = 0; i < 100000; i++) kept.push(new WebAssembly.Table({ initial: 100000, element: "anyfunc" })); return "made"; },
          async keep() { for (let i = 0; i < 2000; i++) { const one = new WebAssembly.Memory({ initial: 256 }); new Uint8Array(one.buffer).fill(1, 0, 4096); kept.push(one); } return "made"; },
          async fill() { for (let i = 0; i < 2000; i++) { const one = new WebAssembly.Memory({ initial: 256 }); new Uint8Array(one.buffer).fill(1); kept.push(one); } return "made"; },
          async forget() { for (let i = 0; i < 200; i++) new WebAssembly.Memory({ initial: 16 }); return "made"; },
          async bomb(request) { const module = new WebAssembly.Module(await bytes(request)); (await WebAssembly.instantiate(module)).exports.run(); return "compiled"; },
        };
        export default {
          async fetch(request) {
            return new Response(String(await actions[new URL(request.url).pathname.slice(6)](request)));
          },
        };
        """,
    "plain.js": 'export default { onRequest() { return new Response(typeof WebAssembly); } };\n',
}
FUNCTIONS = """\
    wasm: {file: hooks/wasm.js, webassembly: true, limits: {cpu: 500ms, memory: 64MiB}}
    plain: {file: hooks/plain.js}
    confined: {file: hooks/plain.js, lane: cordon}
    """
REQUEST = """\
    - {name: wasm, when: path starts_with "/wasm/", do: [{run: {function: wasm}}]}
    - {name: plain, when: path == "/plain", do: [{run: {function: plain}}]}
    - {name: confined, when: path == "/confined", do: [{run: {function: confined}}]}
    """
CORES = ["Global", "Instance", "Memory", "Module", "Table", "Tag", "Exception", "CompileError", "LinkError", "RuntimeError",
         "compile", "compileStreaming", "instantiate", "instantiateStreaming", "JSTag", "validate"]


def write_binaries(folder):
    (folder / "hooks").mkdir(parents=True, exist_ok=True)
    for name, code in {"add": ADD, "loop": LOOP, "grow": GROW}.items():
        (folder / "hooks" / f"{name}.wasm").write_bytes(code)


@pytest.fixture
def gateway(tmp_path, certificates, origin):
    write_binaries(tmp_path)
    gateway = Gateway(
        tmp_path, certificates,
        lambda ports: rule_file(ports, certificates, origin.port, functions=FUNCTIONS, request=REQUEST, limits="buffered_body: 16MiB"), HOOKS).wait_ready()
    yield gateway
    assert gateway.stop() == 0


def ask(gateway, action: str, body: bytes = b""):
    return gateway.fetch("http1", "POST", f"/wasm/{action}", body=body)


def told(gateway, action: str, body: bytes = b"") -> str:
    answer = ask(gateway, action, body)
    assert answer.status == 200, gateway.text
    return answer.body.decode()


def plain(gateway) -> str:
    return gateway.fetch("http1", "GET", "/plain").body.decode()


def test_all_names_but_one_are_there(gateway):
    """16 of the 78 names of WinterTC's API are WebAssembly's; V8 10.2 lacks JSTag, which is the one documented deviation."""
    assert told(gateway, "names", json.dumps(CORES).encode()) == "JSTag"
    assert len(CORES) == 16


def test_nobody_else_has_it(gateway):
    assert plain(gateway) == "undefined"
    assert gateway.fetch("http1", "GET", "/confined").body == b"undefined"


def test_a_file_is_imported_as_a_module(gateway):
    assert told(gateway, "add") == "42"
    assert told(gateway, "exports") == 'true,[{"name":"add","kind":"function"}]'


def test_bytes_are_compiled_and_checked(gateway):
    assert told(gateway, "bytes", ADD) == "42"
    assert told(gateway, "validate", ADD) == "true" and told(gateway, "validate", ADD[:-1]) == "false"
    assert told(gateway, "broken", b"\0asm\2\0\0\0").startswith("CompileError: ")
    assert told(gateway, "global") == "6"


def test_streaming_compiles_responses_of_the_right_kind(gateway):
    assert told(gateway, "streaming", ADD) == "3,true,true" + ",TypeError" * 5


def test_an_endless_loop_ends_at_the_cpu_limit(gateway):
    assert ask(gateway, "loop").status == 500
    wait_until(lambda: "kind=cpu" in gateway.text, "the log tells of the CPU limit")
    assert plain(gateway) == "undefined" and told(gateway, "add") == "42"


def test_a_memory_ends_at_the_limit_of_the_function(gateway):
    # 64 MiB are 1,024 pages; the module's memory is its own and no script sees it.
    assert told(gateway, "pages") == "1024"
    assert told(gateway, "memory") == "RangeError" and told(gateway, "huge") in ("RangeError", "TypeError")
    assert told(gateway, "table") in ("RangeError", "TypeError")


# A build with a sanitizer has no limit of address space, and what is not written to costs nobody anything: `fill` writes to it.
UNSANITIZED = pytest.mark.skipif(os.environ.get("SLUICE_SANITIZER") in ("address", "thread"), reason="address space is not limited in a build with a sanitizer")


@pytest.mark.parametrize("action", [pytest.param("keep", marks=UNSANITIZED), "fill", "tables"])
def test_many_of_them_cost_the_function_and_nobody_else(gateway, action):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, gateway, action)
        assert plain(gateway) == "undefined"
        assert asked.result(4 * BOUND).status == 500
    assert plain(gateway) == "undefined" and gateway.fetch("http1", "GET", "/confined").body == b"undefined"
    assert told(gateway, "add") == "42"


def test_what_nobody_holds_is_no_offence(gateway):
    for _ in range(20):
        assert told(gateway, "forget") == "made"


def test_a_bomb_is_compiled_or_ended(gateway):
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, gateway, "bomb", BOMB)
        assert plain(gateway) == "undefined"
        answer = asked.result(4 * BOUND)
    assert (answer.status, answer.body) == (200, b"compiled") or answer.status == 500
    assert plain(gateway) == "undefined" and told(gateway, "add") == "42"


def test_a_function_with_it_can_be_debugged(tmp_path, certificates, origin):
    write_binaries(tmp_path)
    (tmp_path / "debug.key").write_text(KEY)
    gateway = Gateway(
        tmp_path, certificates,
        lambda ports: rule_file(ports, certificates, origin.port, functions=FUNCTIONS, request=REQUEST) + "debug: {key_file: debug.key}\n", HOOKS,
        arguments=["--inspect=127.0.0.1:0"]).wait_ready()
    with DevTools(target(gateway, "wasm")["webSocketDebuggerUrl"]) as tools:
        tools.ask("Debugger.enable")
        assert tools.event("Debugger.scriptParsed", lambda script: script.get("scriptLanguage") == "WebAssembly")
        breakpoint_at(tools, "wasm.js", 6)
        asked = Asked(gateway, "/wasm/add", signed(gateway))
        frame = tools.event("Debugger.paused")["callFrames"][0]["callFrameId"]
        assert tools.value("WebAssembly.Module.exports(add)[0].name", frame) == "add"
        tools.ask("Debugger.resume")
        assert asked.text() == "42"
    assert gateway.stop() == 0


def check(folder, functions: str, module: str) -> subprocess.CompletedProcess:
    write_binaries(folder)
    (folder / "hooks" / "a.js").write_text(module)
    (folder / "rules.yaml").write_text(
        f'sluice: 1\nlisteners: [{{name: a, address: "127.0.0.1:0"}}]\nfunctions: {{a: {functions}}}\n'
        'sites: [{name: s, hosts: ["*"], request: [{name: r, do: [{run: {function: a}}]}]}]\n')
    return subprocess.run([binary(), "check", "rules.yaml"], cwd=folder, capture_output=True, text=True)


IMPORTER = 'import add from "./add.wasm";\nexport default { onRequest() { return new Response(String(new WebAssembly.Instance(add).exports.add(1, 2))); } };\n'


def test_a_check_loads_it_and_tells_mistakes(tmp_path):
    good = check(tmp_path, "{file: hooks/a.js, webassembly: true}", IMPORTER)
    assert good.returncode == 0, good.stdout + good.stderr
    for functions, complaint in {"{file: hooks/a.js}": "the function needs `webassembly: true`",
                                 "{file: hooks/a.js, webassembly: true, lane: inline}": "cannot run in the worker"}.items():
        bad = check(tmp_path, functions, IMPORTER)
        assert bad.returncode == 1 and complaint in bad.stdout + bad.stderr, bad.stdout
    (tmp_path / "hooks" / "add.wasm").write_bytes(b"\0asm")
    broken = subprocess.run([binary(), "check", "rules.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert broken.returncode == 1


@pytest.mark.skipif(not shutil.which("tsc"), reason="no tsc on this machine")
def test_the_declarations_know_files_of_webassembly(tmp_path):
    check(tmp_path, "{file: hooks/a.js, webassembly: true}", IMPORTER)
    types = subprocess.run([binary(), "types", "rules.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert types.returncode == 0, types.stderr
    (tmp_path / "sluice.d.ts").write_text(types.stdout)
    (tmp_path / "use.ts").write_text('import add from "./add.wasm";\nexport const names: string[] = WebAssembly.Module.exports(add).map((one) => one.name);\nadd.nothing;\n')
    done = subprocess.run(["tsc", "--noEmit", "--strict", "--target", "es2022", "--moduleResolution", "node", "--lib", "es2022,webworker", "sluice.d.ts", "use.ts"],
                          cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    errors = [line for line in done.stdout.splitlines() if "error" in line]
    assert len(errors) == 1 and "'nothing' does not exist on type 'Module'" in errors[0], done.stdout


def test_a_rehearsal_runs_it(tmp_path):
    assert check(tmp_path, "{file: hooks/a.js, webassembly: true}", IMPORTER).returncode == 0
    said = subprocess.run([binary(), "explain", "--config", "rules.yaml", "--url", "http://a/"], cwd=tmp_path, capture_output=True, text=True)
    assert said.returncode == 0 and re.search(r"\b200\b", said.stdout), said.stdout + said.stderr
