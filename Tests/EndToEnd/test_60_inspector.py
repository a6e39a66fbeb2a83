"""`--inspect`: a real client of the DevTools protocol debugs functions, and nobody else notices."""
import json
import signal
import socket

import pytest
import websockets.exceptions

from harness.devtools import DevTools
from harness.inspected import HOOKS, Asked, breakpoint_at, make_gateway, plain, signed, target
from harness.waiting import BOUND, wait_until


@pytest.fixture
def gateway(tmp_path, certificates, origin):
    gateway = make_gateway(tmp_path, certificates, origin)
    yield gateway
    print(gateway.text)
    assert gateway.stop() == 0


@pytest.fixture
def tools(gateway):
    with DevTools(target(gateway, "greet")["webSocketDebuggerUrl"]) as tools:
        tools.ask("Runtime.enable")
        tools.ask("Debugger.enable")
        yield tools


def test_a_request_with_the_header_pauses_and_goes_on(gateway, tools):
    breakpoint_at(tools, "greet.js", 6)
    asked = Asked(gateway, "/greet?name=ada", signed(gateway))
    paused = tools.event("Debugger.paused")
    frame = paused["callFrames"][0]
    assert frame["functionName"] == "onRequest" and frame["location"]["lineNumber"] == 6
    assert tools.value("name + number", frame["callFrameId"]) == "ada2"
    # Much longer than the wall limit of others would be: requests without the header are served meanwhile.
    for _ in range(3):
        assert plain(gateway, "/greet?name=bob").startswith("hello bob")
        assert plain(gateway, "/other") == "other"
    assert not asked.is_over
    tools.ask("Debugger.stepOver")
    assert tools.event("Debugger.paused")["callFrames"][0]["location"]["lineNumber"] == 7
    tools.ask("Debugger.resume")
    assert asked.text() == "hello ada 2"


def test_stepping_goes_into_another_module(gateway, tools):
    breakpoint_at(tools, "greet.js", 5)
    asked = Asked(gateway, "/greet", signed(gateway))
    tools.event("Debugger.paused")
    tools.ask("Debugger.stepInto")
    frames = tools.event("Debugger.paused")["callFrames"]
    assert [frame["functionName"] for frame in frames[:2]] == ["twice", "onRequest"]
    assert tools.value("value", frames[0]["callFrameId"]) == 1
    tools.ask("Debugger.setVariableValue", scopeNumber=0, variableName="value", newValue={"value": 21}, callFrameId=frames[0]["callFrameId"])
    tools.ask("Debugger.resume")
    assert asked.text() == "hello nobody 42"


def test_the_wall_and_the_cpu_limit_spare_what_stands_at_a_breakpoint(gateway, tools):
    breakpoint_at(tools, "greet.js", 6)
    asked = Asked(gateway, "/greet", signed(gateway))
    frame = tools.event("Debugger.paused")["callFrames"][0]["callFrameId"]
    # 2.5 s of wall clock and 1 s of processor time, both beyond what the function may use.
    assert tools.value("(() => { const end = Date.now() + 1000; while (Date.now() < end); return 1; })()", frame) == 1
    answer = tools.ask("Runtime.evaluate", expression="new Promise(() => {})", awaitPromise=False)
    assert answer["result"]["className"] == "Promise"
    assert tools.value("(() => { const end = Date.now() + 1500; while (Date.now() < end); return 2; })()", frame) == 2
    tools.ask("Debugger.resume")
    assert asked.text() == "hello nobody 2"


def test_an_endless_evaluation_ends_and_the_session_goes_on(gateway, tools):
    answer = tools.answer(tools.post("Runtime.evaluate", expression="for (;;);"))
    assert answer["error"]["message"] == "Execution was terminated"
    assert tools.value("6 * 7") == 42
    assert Asked(gateway, "/greet", signed(gateway)).text() == "hello nobody 2"


def test_scripts_are_told_with_their_files_and_source_maps(gateway, tools):
    greet = tools.event("Debugger.scriptParsed", lambda script: script["url"].endswith("greet.js"))
    assert greet["url"] == f"file://{gateway.folder}/hooks/greet.js" and greet["isModule"]
    twice = tools.event("Debugger.scriptParsed", lambda script: script["url"].endswith("twice.js"))
    assert twice["sourceMapURL"].startswith("data:application/json;base64,")
    assert "value * 2" in tools.ask("Debugger.getScriptSource", scriptId=twice["scriptId"])["scriptSource"]


def test_the_console_shows_objects_and_the_log_has_the_line(gateway, tools):
    assert Asked(gateway, "/greet?name=eve", signed(gateway)).text() == "hello eve 2"
    said = tools.event("Runtime.consoleAPICalled")
    assert said["type"] == "log" and said["args"][0]["value"] == "greeting"
    properties = {entry["name"]: entry["value"] for entry in said["args"][1]["preview"]["properties"]}
    assert properties == {"name": "eve", "number": "2"}
    assert said["stackTrace"]["callFrames"][0]["functionName"] == "onRequest"
    wait_until(lambda: "greeting" in gateway.text and "eve" in gateway.text, "the log has the line too")


def test_evaluation_has_the_web_api_and_promises(gateway, tools):
    assert tools.value("new URL('http://a/b').pathname") == "/b"
    answer = tools.ask("Runtime.evaluate", expression="(async () => { await null; return 5; })()", awaitPromise=True, returnByValue=True)
    assert answer["result"]["value"] == 5
    failed = tools.ask("Runtime.evaluate", expression="nothing.here")
    assert "ReferenceError" in failed["exceptionDetails"]["exception"]["description"]


def test_a_debugger_statement_of_nobody_is_passed_over(gateway):
    """Without a client even the signed request runs where all do."""
    assert Asked(gateway, "/greet", signed(gateway)).text() == "hello nobody 2"
    assert plain(gateway, "/greet") == "hello nobody 4"


def test_the_inspected_isolate_is_another_one(gateway, tools):
    assert plain(gateway, "/greet") == "hello nobody 2"
    assert plain(gateway, "/greet") == "hello nobody 4"
    assert Asked(gateway, "/greet", signed(gateway)).text() == "hello nobody 2"


@pytest.mark.parametrize("value", ["", "1-00", "99999999999-" + "0" * 64])
def test_a_header_that_is_not_signed_is_not_paused(gateway, tools, value):
    breakpoint_at(tools, "greet.js", 6)
    assert Asked(gateway, "/greet", ("Sluice-Inspect", value)).text().startswith("hello")


def test_a_trace_header_is_no_inspect_header(gateway, tools):
    breakpoint_at(tools, "greet.js", 6)
    told = gateway.command("explain", "--config", str(gateway.file), "--sign", "10m")
    value = told.stdout.strip().split(": ")[1]
    assert Asked(gateway, "/greet", ("Sluice-Inspect", value)).text().startswith("hello")


def test_two_clients_see_the_same_pause(gateway, tools):
    with DevTools(target(gateway, "greet")["webSocketDebuggerUrl"]) as second:
        second.ask("Debugger.enable")
        breakpoint_at(tools, "greet.js", 6)
        asked = Asked(gateway, "/greet?name=two", signed(gateway))
        frame = second.event("Debugger.paused")["callFrames"][0]["callFrameId"]
        assert tools.event("Debugger.paused")["callFrames"][0]["location"]["lineNumber"] == 6
        assert second.value("name", frame) == "two"
        second.ask("Debugger.resume")
        assert tools.event("Debugger.resumed") == {}
        assert asked.text() == "hello two 2"


def test_one_of_two_clients_may_go_while_paused(gateway, tools):
    second = DevTools(target(gateway, "greet")["webSocketDebuggerUrl"])
    second.ask("Debugger.enable")
    breakpoint_at(tools, "greet.js", 6)
    asked = Asked(gateway, "/greet", signed(gateway))
    second.event("Debugger.paused")
    tools.event("Debugger.paused")
    second.close()
    assert tools.value("1 + 1") == 2 and not asked.is_over
    tools.ask("Debugger.resume")
    assert asked.text() == "hello nobody 2"


def test_a_client_that_goes_while_paused_lets_the_request_go_on(gateway):
    tools = DevTools(target(gateway, "greet")["webSocketDebuggerUrl"])
    tools.ask("Debugger.enable")
    breakpoint_at(tools, "greet.js", 6)
    asked = Asked(gateway, "/greet?name=late", signed(gateway))
    tools.event("Debugger.paused")
    tools.cut()
    assert asked.text() == "hello late 2"
    # The breakpoint went with its client, and another may come.
    with DevTools(target(gateway, "greet")["webSocketDebuggerUrl"]) as again:
        assert again.value("2 + 2") == 4


def test_a_gateway_that_leaves_lets_what_is_paused_go_on(gateway, tools):
    breakpoint_at(tools, "greet.js", 6)
    asked = Asked(gateway, "/greet?name=last", signed(gateway))
    tools.event("Debugger.paused")
    gateway.signal(signal.SIGTERM)
    assert asked.text() == "hello last 2"


def test_a_client_that_goes_inside_its_own_evaluation(gateway):
    tools = DevTools(target(gateway, "greet")["webSocketDebuggerUrl"])
    tools.ask("Debugger.enable")
    tools.post("Runtime.evaluate", expression="debugger; 1")
    tools.event("Debugger.paused")
    tools.cut()
    with DevTools(target(gateway, "greet")["webSocketDebuggerUrl"]) as again:
        assert again.value("3 + 3") == 6
        assert Asked(gateway, "/greet", signed(gateway)).text() == "hello nobody 2"


def test_a_client_of_the_request_that_goes_away_leaves_the_debugger_be(gateway, tools):
    breakpoint_at(tools, "greet.js", 6)
    name, value = signed(gateway)
    connection = socket.create_connection(("127.0.0.1", gateway.ports.plain), timeout=BOUND)
    connection.sendall(f"GET /greet HTTP/1.1\r\nHost: localhost\r\n{name}: {value}\r\n\r\n".encode())
    frame = tools.event("Debugger.paused")["callFrames"][0]["callFrameId"]
    connection.close()
    assert tools.value("number", frame) == 2
    tools.ask("Debugger.resume")
    tools.event("Debugger.resumed")
    tools.ask("Debugger.setBreakpointsActive", active=False)
    assert Asked(gateway, "/greet", (name, value)).text() == "hello nobody 4"


def test_a_cpu_profile_and_a_heap_snapshot_can_be_taken(gateway, tools):
    tools.ask("Profiler.enable")
    tools.ask("Profiler.start")
    for _ in range(5):
        Asked(gateway, "/greet", signed(gateway)).text()
    tools.value("(() => { const end = Date.now() + 200; let x = 0; while (Date.now() < end) x += Math.sqrt(x + 1); return x > 0; })()")
    profile = tools.ask("Profiler.stop")["profile"]
    assert profile["nodes"] and len(profile["samples"]) > 5 and profile["endTime"] > profile["startTime"]
    tools.ask("HeapProfiler.takeHeapSnapshot", reportProgress=False)
    chunks = [event["params"]["chunk"] for event in tools.events if event["method"] == "HeapProfiler.addHeapSnapshotChunk"]
    snapshot = json.loads("".join(chunks))
    assert snapshot["snapshot"]["node_count"] > 1000 and len("".join(chunks)) > 500_000


def test_a_saved_function_ends_its_sessions_and_keeps_its_address(gateway, tools):
    url = target(gateway, "greet")["webSocketDebuggerUrl"]
    hooks = {"greet.js": HOOKS["greet.js"].replace("hello", "howdy")}
    gateway.reload(hooks=hooks)
    with pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
        while True:
            tools.socket.recv(timeout=BOUND)
    assert closed.value.rcvd.code == 1001 and "replaced" in closed.value.rcvd.reason
    with DevTools(url) as again:
        again.ask("Debugger.enable")
        assert Asked(gateway, "/greet", signed(gateway)).text() == "howdy nobody 2"
