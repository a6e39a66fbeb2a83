"""Many WebSockets that a function of a stranger holds and that say nothing: what they cost, and what becomes of them."""
import asyncio
import os
import signal

import pytest
import websockets
from websockets.exceptions import ConnectionClosed

from harness.waiting import wait_until
from test_54_hook_websockets import ECHO
from test_54_websocket_hooks import EchoOrigin, ask
from test_55_cordons import cordons

MANY = 100
TAGGED = ECHO.replace("server.send(data);\n        });", "server.send(`VERSION ${data}`);\n        });")
FUNCTIONS = "held: {file: hooks/held.js, tenant: held, LANE}\nother: {file: hooks/other.js, tenant: other}\n"
SITES = "- name: s\n  hosts: ['*']\n  request:\n    - {name: other, when: path == \"/other\", do: [{run: other}]}\n    - {name: held, do: [{run: held}]}\n"


@pytest.fixture(params=["lane: inline", "untrusted: true"])
def lane(request):
    return request.param


def serve(start, lane):
    return start(functions=FUNCTIONS.replace("LANE", lane), sites=SITES, workers=1,
                 hooks={"held.js": TAGGED.replace("VERSION", "one"), "other.js": "export default { onRequest() { return new Response('other'); } };"})


def others_are_served(gateway) -> bool:
    return gateway.fetch("http1", "GET", "/other").body == b"other"


async def many(gateway, count: int = MANY):
    sockets = [await websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None) for _ in range(count)]
    for socket in sockets:
        await ask(socket, "x")
    return sockets


async def code(socket):
    try:
        async with asyncio.timeout(60):
            while True:
                await socket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def resident(gateway) -> int:
    """KiB of the gateway's workers and cordons."""
    return sum(gateway.resident_kib(pid) for pid in gateway.worker_pids() + cordons(gateway))


def test_they_stay_with_their_code_over_reloads_and_cost_little(start, lane):
    gateway = serve(start, lane)

    async def main():
        first = await many(gateway, 1)
        before = resident(gateway)
        sockets = first + await many(gateway, MANY - 1)
        cost = resident(gateway) - before
        for version in ["two", "three", "four"]:
            await asyncio.to_thread(gateway.reload, None, {"held.js": TAGGED.replace("VERSION", version)})
            async with websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None) as newer:
                assert await ask(newer, "y") == [f"{version} y"]
        assert await ask(sockets[0], "z") == ["one z"] and await ask(sockets[-1], "z") == ["one z"]
        open_calls = gateway.metric("sluice_hook_calls_open") if lane == "lane: inline" else MANY
        for socket in sockets:
            await socket.close()
        return cost, open_calls
    cost, open_calls = asyncio.run(main())
    assert cost < MANY * 200, f"{cost} KiB for {MANY} silent WebSockets"
    assert open_calls >= MANY
    wait_until(lambda: gateway.metric("sluice_hook_calls_open") == 0, "no call is left")
    wait_until(lambda: gateway.metric("sluice_hook_websockets_active") == 0, "no WebSocket is left")
    # Three generations of the function were held by their WebSockets only.
    wait_until(lambda: gateway.metric("sluice_isolates_live") <= 2, "only the functions in use have isolates", 60)
    assert others_are_served(gateway)


def test_a_cordon_that_is_killed_ends_them_at_once_and_nothing_else(start):
    gateway = serve(start, "untrusted: true")

    async def main():
        sockets = await many(gateway)
        waiting = [asyncio.create_task(code(socket)) for socket in sockets]
        for pid in cordons(gateway):
            os.kill(pid, signal.SIGKILL)
        codes = await asyncio.gather(*waiting)
        again = await many(gateway, 3)
        for socket in again:
            await socket.close()
        return codes
    assert set(asyncio.run(main())) == {1011}
    wait_until(lambda: gateway.metric("sluice_cordon_deaths_total") == 1, "the death is counted")
    assert others_are_served(gateway)
    wait_until(lambda: gateway.metric("sluice_hook_calls_open") == 0, "no call is left")


def test_one_that_loops_costs_its_own_and_no_other_tenant(start):
    gateway = serve(start, "untrusted: true, limits: {cpu: 50ms}")

    async def main():
        sockets = await many(gateway, 20)
        await sockets[7].send("loop")
        assert await code(sockets[7]) == 1011
        served = await asyncio.to_thread(others_are_served, gateway)
        answers = [await ask(socket, "still") for index, socket in enumerate(sockets) if index != 7]
        for socket in sockets:
            await socket.close()
        return served, answers
    served, answers = asyncio.run(main())
    assert served and answers == [["one still"]] * 19


async def begin_message(socket, size: int, rest: asyncio.Event):
    """All of a message but its last fragment; the rest once it is told."""
    async def fragments():
        for _ in range(size // 50_000):
            yield b"x" * 50_000
        await rest.wait()
        yield b"x"
    try:
        await socket.send(fragments())
    except ConnectionClosed:
        pass


@pytest.mark.parametrize("kind", ["ended by a hook", "passing a hook"])
def test_messages_that_never_end_are_bounded_by_tenant(start, lane, kind):
    """Each may be as large as limits.buffered_body, and there may be as many as connections."""
    echo = EchoOrigin()
    source = ECHO if kind == "ended by a hook" else "export default { onWebSocketMessage() {} };"
    gateway = start(functions=f"held: {{file: hooks/held.js, tenant: held, {lane}, limits: {{cpu: 2s, memory: 32MiB}}}}", hooks={"held.js": source},
                    sites="- {name: s, hosts: ['*'], upstream: echo, request: [{name: held, do: [{run: held}]}]}",
                    upstreams=f"echo: {{servers: [\"http://127.0.0.1:{echo.port}\"]}}")

    def shed() -> float:
        return sum(gateway.metric("sluice_hook_bodies_shed_total", what=what) for what in ("refused", "cut"))

    async def main():
        rest = asyncio.Event()
        sockets = [await websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None, max_size=None) for _ in range(50)]
        sending = [asyncio.create_task(begin_message(socket, 950_000, rest)) for socket in sockets]
        await asyncio.to_thread(wait_until, lambda: shed() >= 15 and 20 < gateway.metric("sluice_hook_body_bytes") / (1 << 20) <= 32.1, "as much waits as may")
        # One that sends all of its message is served as soon as the others have had a second: those that began first make room.
        async with asyncio.timeout(60):
            while await served() != 900_000:
                pass
        rest.set()
        await asyncio.gather(*sending)
        answers = await asyncio.gather(*[received(socket) for socket in sockets])
        for socket in sockets:
            await socket.close()
        return answers

    async def served():
        async with websockets.connect(f"ws://localhost:{gateway.ports.plain}/chat", proxy=None, max_size=None) as good:
            try:
                await good.send(b"y" * 900_000)
            except ConnectionClosed:
                pass
            return await received(good)

    async def received(socket):
        try:
            return len(await socket.recv())
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None
    try:
        answers = asyncio.run(main())
    finally:
        echo.stop()
    assert set(answers) == {1009, 950_001}, answers
    wait_until(lambda: gateway.metric("sluice_hook_body_bytes") == 0, "nothing waits any more")
