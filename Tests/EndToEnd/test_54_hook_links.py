"""WebSockets of hooks to upstreams (`fetch` with `Upgrade: websocket`), joined with the client's by the hook or as a whole."""
import json
import ssl
import urllib.parse

import pytest
from websockets.exceptions import InvalidStatus

from harness.authority import Authority
from harness.gateway import rule_file
from harness.waiting import wait_until
from test_34_http2_features import open_websocket
from test_54_hook_websockets import LANES, ends
from test_54_websocket_hooks import EchoOrigin, Flood, ask, talk

LINK = """\
    export default {
      async fetch(request, env) {
        const link = (await env.chat.fetch("/room", { headers: { upgrade: "websocket", "sec-websocket-protocol": "talk" } })).webSocket;
        const { socket, response } = upgradeWebSocket(request);
        link.accept();
        link.addEventListener("message", ({ data }) => socket.send(data));
        link.addEventListener("close", ({ code, reason }) => {
          console.log(`link closed ${code} ${reason}`);
          socket.close(code === 1006 ? 1011 : code, reason);
        });
        socket.addEventListener("message", ({ data }) => {
          if (data === "throw") throw new Error("broken");
          if (data === "leave") link.close(4007, "leaving");
          else link.send(data);
        });
        socket.addEventListener("close", ({ code }) => link.close(1000, `client ${code}`));
        return response;
      },
    };
    """


@pytest.fixture
def echo():
    origin = EchoOrigin(subprotocols=["talk"])
    yield origin
    origin.stop()


def serve_link(start, echo, source=LINK, options="lane: inline"):
    sites = "- name: s\n  hosts: ['*']\n  request:\n    - name: run\n      do: [{run: {function: hook}}]\n"
    return start(functions=f"hook: {{file: hooks/hook.js, upstreams: [chat], {options}}}", hooks={"hook.js": source}, sites=sites,
                 upstreams=f'chat: {{servers: ["http://127.0.0.1:{echo.port}"]}}\n')


@LANES
def test_a_hook_stands_between_its_client_and_an_upstream(start, echo, lane):
    gateway = serve_link(start, echo, options=f"lane: {lane}")
    messages = ["hello é€", bytes(range(256)), "", b"y" * 300_000]
    assert talk(gateway, lambda socket: ask(socket, *messages)) == messages
    assert echo.seen == messages
    wait_until(lambda: echo.closed == [(1000, "client 1000")], "the upstream is told")
    assert echo.requests[0].headers["Sec-WebSocket-Protocol"] == "talk"

    async def leaves(socket):
        await socket.send("leave")
        return await ends(socket), socket.close_reason
    assert talk(gateway, leaves) == (4007, "leaving")
    gateway.wait_log("link closed 4007 leaving")


@LANES
def test_an_upstreams_websocket_can_be_handed_to_the_client(start, echo, lane):
    gateway = serve_link(start, echo, "export default { fetch(request, env) { return env.chat.fetch('/room', request); } };", f"lane: {lane}")

    async def conversation(socket):
        return socket.subprotocol, await ask(socket, "a", b"b" * 70_000)
    assert talk(gateway, conversation, subprotocols=["talk"]) == ("talk", ["a", b"b" * 70_000])
    wait_until(lambda: echo.closed == [(1000, "")], "the close reaches the upstream")


def test_a_slow_client_holds_the_upstream_back(start):
    # More than the kernel's own buffers on the way hold: 32 MiB for one receiver is usual by now.
    count = 8000
    flood, during = Flood(count), []
    # The messages are one call's: more than the usual limit where everything is slow.
    gateway = serve_link(start, flood, "export default { fetch(request, env) { return env.chat.fetch('/', request); } };",
                         "lane: inline, limits: {cpu: 500ms}")
    before = gateway.resident_kib()
    assert talk(gateway, lambda socket: flood.receive_slowly(socket, lambda: during.append(gateway.resident_kib())), max_queue=1,
                ping_interval=None) == count
    flood.stop()
    assert during[0] - before < 30_000, "what waits is not taken into memory"


def test_a_link_ends_with_its_hook(start, echo):
    gateway = serve_link(start, echo)

    async def conversation(socket):
        await ask(socket, "x")
        await socket.send("throw")
        return await ends(socket)
    assert talk(gateway, conversation) == 1011
    wait_until(lambda: echo.closed and echo.closed[0][0] == 1001, "the upstream hears 1001")


def test_a_function_whose_origin_speaks_websocket_passes_it_on(start, echo):
    """What Workers write for a proxy: the origin's 101 is returned as it came."""
    sites = "- name: s\n  hosts: ['*']\n  upstream: ws\n  request:\n    - name: run\n      do: [{run: {function: hook}}]\n"
    gateway = start(functions="hook: {file: hooks/hook.js}", upstreams=f'ws: {{servers: ["http://127.0.0.1:{echo.port}"]}}\n', sites=sites,
                    hooks={"hook.js": "export default { async fetch(request) { return fetch(request); } };"})
    for tls in (False, True):
        assert talk(gateway, lambda socket: ask(socket, "a", b"b"), tls, subprotocols=["talk"]) == ["a", b"b"]
    with gateway.http2() as client:
        stream = open_websocket(client, **{"sec-websocket-protocol": "talk"})
        assert client.responses[stream].status == 200
        wait_until(lambda: [gateway.metric(f"sluice_tunnels_{each}") for each in ("total", "active")] == [3, 1], "they are tunnels")
    wait_until(lambda: gateway.metric("sluice_tunnels_active") == 0, "the last one is over")
    changed = "export default { async fetch(request) { return new Response(`${(await fetch(request)).status}`, { status: 403 }); } };"
    gateway.reload(None, {"hook.js": changed})
    with pytest.raises(InvalidStatus, match="403"):
        talk(gateway, lambda socket: ask(socket, "a"), subprotocols=["talk"])


@LANES
def test_a_host_outside_is_spoken_to_over_tls_and_only_where_it_is_granted(start, certificates, dns, tmp_path, lane):
    authority = Authority(tmp_path / "authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("chat", ["chat.test"]))
    outside = EchoOrigin(ssl=context)
    dns.a["chat.test"] = dns.a["other.test"] = ["127.0.0.1"]
    source = """\
        export default { async fetch(request) {
          const host = new URL(request.url).pathname.slice(1);
          try { return await fetch(`https://${host}:PORT/`, { headers: { upgrade: "websocket" } }); } catch (error) { return new Response(error.message, { status: 502 }); }
        } };
        """.replace("PORT", str(outside.port))
    gateway = start(hooks={"hook.js": source}, rules=lambda ports: rule_file(
        ports, certificates, 9, functions=f'hook: {{file: hooks/hook.js, lane: {lane}, egress: ["https://chat.test:{outside.port}"]}}',
        request="- name: run\n  do: [{run: {function: hook}}]\n")
        + f'egress: {{private: [127.0.0.0/8], ca: "{authority.file}"}}\nresolver: {{servers: ["127.0.0.1:{dns.port}"]}}\n')
    assert talk(gateway, lambda socket: ask(socket, "a", b"b"), path="/chat.test") == ["a", b"b"]
    with pytest.raises(InvalidStatus, match="502"):
        talk(gateway, lambda socket: ask(socket, "a"), path="/other.test")
    outside.stop()


CLIENT = """\
    export default { async fetch(request) {
      const { searchParams } = new URL(request.url), told = [];
      const socket = new WebSocket(searchParams.get("url"), searchParams.getAll("protocol"));
      told.push(socket.url, socket.readyState);
      try { socket.send("early"); } catch (error) { told.push(error.name); }
      socket.onopen = () => { told.push(`open ${socket.protocol}`); socket.send("hello"); socket.send(new Uint8Array([1, 2, 3])); };
      socket.onmessage = ({ data }) => {
        told.push(typeof data === "string" ? data : [...new Uint8Array(data)].join("-"));
        if (typeof data !== "string") socket.close(4001, "enough");
      };
      socket.onerror = ({ message }) => told.push(message);
      return new Promise((done) => { socket.onclose = ({ code, wasClean }) => done(Response.json([...told, code, wasClean, socket.readyState])); });
    } };
    """


@LANES
def test_new_websocket_speaks_with_a_granted_host_and_no_other(start, certificates, dns, echo, lane):
    """The interface of browsers, over the way of fetch(url): the function's egress, and the guard of addresses."""
    dns.a["chat.test"] = dns.a["other.test"] = ["127.0.0.1"]

    def serve(private: str):
        return start(hooks={"hook.js": CLIENT}, rules=lambda ports: rule_file(
            ports, certificates, 9, functions=f'hook: {{file: hooks/hook.js, lane: {lane}, egress: ["http://chat.test:{echo.port}"]}}',
            request="- name: run\n  do: [{run: {function: hook}}]\n")
            + f'egress: {{private: [{private}]}}\nresolver: {{servers: ["127.0.0.1:{dns.port}"]}}\n')

    def told(gateway, url: str, *protocols: str):
        query = urllib.parse.urlencode([("url", url), *(("protocol", each) for each in protocols)])
        return json.loads(gateway.fetch("http1", "GET", f"/?{query}").body)

    gateway = serve("127.0.0.0/8")
    url = f"ws://chat.test:{echo.port}/room?a=1"
    assert told(gateway, url, "talk") == [url, 0, "InvalidStateError", "open talk", "hello", "1-2-3", 4001, True, 3]
    wait_until(lambda: echo.closed == [(4001, "enough")], "the other side is told")
    assert told(gateway, url.replace("ws:", "http:"))[:2] == [url, 0], "as the standard has it since 2023"
    refused = told(gateway, f"ws://other.test:{echo.port}/")
    assert refused[3:] == [f"the WebSocket failed: other.test:{echo.port} is not granted to this function; its egress has to name it", 1006, False, 3]
    wait_until(lambda: gateway.metric("sluice_egress_refused_total", reason="host") == 1, "it is counted")
    refused = told(serve("192.0.2.0/24"), url)
    assert refused[3:] == ["the WebSocket failed: the host's address is refused: it is not public", 1006, False, 3]
