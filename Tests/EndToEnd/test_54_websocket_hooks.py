"""`onWebSocketMessage`: messages of proxied WebSockets pass hooks, over HTTP/1.1, TLS and HTTP/2, inline and in a cordon."""
import asyncio
import ssl
import threading

import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from harness.waiting import wait_until

RUN = "- name: run\n  do: [{run: {function: hook}}]\n"
MASK = """\
    export default {
      onWebSocketMessage(data, ctx) {
        if (ctx.from !== "origin" || typeof data !== "string") return;
        return data.replace(/\\b\\d{12}(\\d{4})\\b/g, "************$1");
      },
    };
    """


class EchoOrigin:
    """A WebSocket server in a thread of its own that sends every message back, and remembers it."""

    def __init__(self, handler=None, **options):
        self.seen, self.closed, self.requests = [], [], []
        self.handler, self.options = handler, options
        self.loop = asyncio.new_event_loop()
        self.started = threading.Event()
        threading.Thread(target=self.loop.run_until_complete, args=(self.main(),), daemon=True).start()
        assert self.started.wait(20)

    async def echo(self, socket):
        self.requests.append(socket.request)
        try:
            async for message in socket:
                self.seen.append(message)
                await socket.send(message)
        except ConnectionClosed:
            pass
        self.closed.append((socket.close_code, socket.close_reason))

    async def main(self):
        self.stopping = asyncio.Event()
        async with websockets.serve(self.handler or self.echo, "127.0.0.1", 0, max_size=None, **self.options) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.started.set()
            await self.stopping.wait()

    def stop(self):
        self.loop.call_soon_threadsafe(self.stopping.set)


@pytest.fixture
def echo():
    origin = EchoOrigin()
    yield origin
    origin.stop()


def serve(start, echo, source, options="lane: inline", **more):
    sites = f"- name: s\n  hosts: ['*']\n  upstream: ws\n  request:\n    - name: run\n      do: [{{run: {{function: hook}}}}]\n"
    return start(functions=f"hook: {{file: hooks/hook.js, {options}}}", hooks={"hook.js": source},
                 upstreams=f'ws: {{servers: ["http://127.0.0.1:{echo.port}"]}}\n', sites=sites, **more)


def talk(gateway, conversation, tls=False, path="/chat", **options):
    """Runs `conversation(socket)` over a WebSocket through the gateway."""
    async def main():
        scheme, port, context = "ws", gateway.ports.plain, None
        if tls:
            scheme, port, context = "wss", gateway.ports.secure, ssl.create_default_context(cafile=gateway.authority)
        async with websockets.connect(f"{scheme}://localhost:{port}{path}", ssl=context, proxy=None, max_size=None, **options) as socket:
            return await asyncio.wait_for(conversation(socket), 30)
    return asyncio.run(main())


async def ask(socket, *messages):
    answers = []
    for message in messages:
        await socket.send(message)
        answers.append(await socket.recv())
    return answers


@pytest.mark.parametrize("lane", ["inline", "cordon"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_card_numbers_are_hidden_on_their_way_to_the_client(start, echo, lane, tls):
    gateway = serve(start, echo, MASK, f"lane: {lane}")
    card, data = "card 1234567890123456 é€", bytes(range(256))
    answers = talk(gateway, lambda socket: ask(socket, card, data, "", b""), tls)
    assert answers == ["card ************3456 é€", data, "", b""]
    assert echo.seen == [card, data, "", b""]
    wait_until(lambda: gateway.metric("sluice_hook_calls_total", handler="onWebSocketMessage") == 8, "eight calls")
    assert [gateway.metric("sluice_websocket_messages_total", outcome=each) for each in ("changed", "passed")] == [1, 7]


def test_messages_are_never_compressed_where_a_hook_looks_at_them(start, echo):
    gateway = serve(start, echo, MASK)
    assert talk(gateway, lambda socket: ask(socket, "x" * 10_000), compression="deflate") == ["x" * 10_000]
    assert "Sec-WebSocket-Extensions" not in echo.requests[0].headers


def test_without_message_hooks_extensions_are_the_peers_own(start, echo):
    gateway = serve(start, echo, "export default { onRequest() {} };")
    assert talk(gateway, lambda socket: ask(socket, "x" * 10_000), compression="deflate") == ["x" * 10_000]
    assert "permessage-deflate" in echo.requests[0].headers["Sec-WebSocket-Extensions"]


def test_messages_may_be_dropped_and_the_connection_may_be_closed(start, echo):
    gateway = serve(start, echo, """\
        export default { onWebSocketMessage(data, ctx) {
          if (ctx.from === "client" && data === "noise") return null;
          if (data === "bye") ctx.deny();
        } };
        """)

    async def conversation(socket):
        await socket.send("noise")
        first = await ask(socket, "signal")
        await socket.send("bye")
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        return first, closed.value.rcvd.code, closed.value.rcvd.reason

    assert talk(gateway, conversation) == (["signal"], 1008, "closed by a hook")
    assert echo.seen == ["signal"]
    wait_until(lambda: echo.closed == [(1008, "closed by a hook")], "the origin is told")


def test_one_function_checks_the_handshake_and_the_messages(start, echo):
    gateway = serve(start, echo, """\
        export default {
          onRequest(request, env, ctx) {
            if (request.headers.get("authorization") !== "ok") return new Response("no", { status: 401 });
            ctx.state.user = "ann";
          },
          onWebSocketMessage(data, ctx) {
            ctx.state.count = (ctx.state.count ?? 0) + 1;
            if (ctx.from === "client") return `${ctx.state.user} ${ctx.state.count}: ${data} ${ctx.request.headers.get("authorization")}`;
          },
        };
        """)
    with pytest.raises(websockets.exceptions.InvalidStatus, match="401"):
        talk(gateway, lambda socket: ask(socket, "x"))
    answers = talk(gateway, lambda socket: ask(socket, "a", "b"), additional_headers={"Authorization": "ok"})
    assert answers == ["ann 1: a ok", "ann 3: b ok"]


def test_requests_that_are_no_websocket_pass_a_function_for_messages(start, origin):
    gateway = start(functions="hook: {file: hooks/hook.js}", hooks={"hook.js": MASK}, request=RUN)
    assert gateway.fetch("http1", "GET", "/").status == 200


def test_asynchronous_hooks_keep_the_order(start, echo):
    gateway = serve(start, echo, """\
        let n = 0;
        export default { async onWebSocketMessage(data, ctx) {
          if (ctx.from === "client") await new Promise((done) => setTimeout(done, n++ % 3 === 0 ? 20 : 1));
        } };
        """)

    async def conversation(socket):
        for n in range(30):
            await socket.send(str(n))
        return [await socket.recv() for _ in range(30)]

    assert talk(gateway, conversation) == [str(n) for n in range(30)]


def test_messages_larger_than_the_limit_close_with_1009(start, echo):
    gateway = serve(start, echo, MASK, limits="buffered_body: 64KiB")

    async def conversation(socket):
        assert await ask(socket, "x" * 65_536) == ["x" * 65_536]
        with pytest.raises(ConnectionClosed) as closed:
            await socket.send("x" * 65_537)
            await socket.recv()
        return closed.value.rcvd.code

    assert talk(gateway, conversation) == 1009
    wait_until(lambda: echo.closed, "the origin is told")
    assert echo.closed[0][0] == 1009


@pytest.mark.parametrize("policy, expected", [("continue", "passed"), ("respond", 1011), ("deny", 1011)])
def test_a_hook_that_throws_ends_in_its_policy(start, echo, policy, expected):
    gateway = serve(start, echo, "export default { onWebSocketMessage(data) { if (data === 'throw') throw new Error('broken'); } };",
                    f"lane: inline, on_error: {policy}")

    async def conversation(socket):
        assert await ask(socket, "fine") == ["fine"]
        await socket.send("throw")
        try:
            answer = await socket.recv()
            return "passed" if answer == "throw" else answer
        except ConnectionClosed as closed:
            return closed.rcvd.code

    assert talk(gateway, conversation) == expected
    gateway.wait_log("hooks/hook.js:1:.*broken")


@pytest.mark.parametrize("lane", ["inline", "cordon"])
def test_a_hook_that_does_not_stop_costs_its_connection_only(start, echo, lane):
    gateway = serve(start, echo, "export default { onWebSocketMessage(data) { while (data === 'loop') {} } };",
                    f"lane: {lane}, limits: {{cpu: 10ms}}")

    async def both(socket):
        async with websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None) as other:
            await other.send("loop")
            with pytest.raises(ConnectionClosed) as closed:
                await other.recv()
        return closed.value.rcvd.code, await ask(socket, "still here")

    assert talk(gateway, both) == (1011, ["still here"])


class Flood(EchoOrigin):
    """An origin that sends messages of 16 KiB as fast as they are taken, and a client that takes one and then waits."""

    def __init__(self, count):
        self.count, self.sent, self.polls = count, 0, []
        super().__init__(self.flood, ping_interval=None, write_limit=65_536)

    async def flood(self, socket):
        for _ in range(self.count):
            await socket.send(b"x" * 16_384)
            self.sent += 1
        await socket.close()

    def stands_still(self):
        self.polls.append(self.sent)
        return len(self.polls) > 10 and len(set(self.polls[-10:])) == 1

    async def receive_slowly(self, socket, meanwhile=lambda: None):
        """How many came in all; `meanwhile` is called while the sender is held back."""
        await socket.recv()
        await asyncio.to_thread(wait_until, self.stands_still, "the sender is held back")
        assert self.sent < self.count
        meanwhile()
        received = 1
        async for _ in socket:
            received += 1
        return received


def test_a_fast_sender_is_held_back_by_a_slow_receiver(start):
    flood = Flood(4000)
    gateway = serve(start, flood, "export default { onWebSocketMessage() {} };")
    before, during = gateway.resident_kib(), []
    assert talk(gateway, lambda socket: flood.receive_slowly(socket, lambda: during.append(gateway.resident_kib())), max_queue=1,
                ping_interval=None) == 4000
    flood.stop()
    assert during[0] - before < 30_000, "64 MB were not taken into memory"


def test_fragments_and_pings_pass(start, echo):
    gateway = serve(start, echo, MASK)

    async def conversation(socket):
        await socket.send(["card 12345678", "90123456", " end"])
        answer = await socket.recv()
        await (await socket.ping(b"are you there"))
        return answer

    assert talk(gateway, conversation) == "card ************3456 end"


def test_a_close_of_either_side_reaches_the_other_with_its_code(start, echo):
    gateway = serve(start, echo, MASK)

    async def conversation(socket):
        await ask(socket, "a")
        await socket.close(4001, "done here")

    talk(gateway, conversation)
    wait_until(lambda: echo.closed == [(4001, "done here")], "the origin sees the close")


def test_messages_go_on_after_a_reload(start, echo):
    gateway = serve(start, echo, MASK)

    async def conversation(socket):
        first = await ask(socket, "1234567890123456")
        await asyncio.to_thread(gateway.reload, None, {"hook.js": MASK.replace("*", "#")})
        return first + await ask(socket, "1234567890123456")

    assert talk(gateway, conversation) == ["************3456", "************3456"]
    assert talk(gateway, lambda socket: ask(socket, "1234567890123456")) == ["############3456"]
