"""Bodies that hooks give as a whole and that slow clients do not take: bounded by tenant and in all, in the worker and in a cordon."""
import concurrent.futures
import socket

import pytest

from harness.waiting import wait_until

LANES = {"inline": "lane: inline", "untrusted": "untrusted: true"}
MIB = 1 << 20
BODY = 4 * MIB
HOOK = f"const whole = 'x'.repeat({BODY}); export default {{ onRequest(request) {{ return new Response(request.url.includes('small') ? 'small' : whole); }} }};"


@pytest.fixture(params=LANES)
def lane(request):
    return LANES[request.param]


def serve(start, lane, reads: str = HOOK, **rest):
    return start(functions=f"f: {{file: hooks/f.js, {lane}, limits: {{cpu: 2s, wall: 30s, memory: 32MiB}}, on_error: continue}}\n"
                           f"g: {{file: hooks/f.js, {lane}, limits: {{cpu: 2s, wall: 30s}}}}\n",
                 request="- {name: g, when: 'path starts_with \"/g\"', do: [{run: {function: g}}]}\n- {name: f, do: [{run: {function: f}}]}\n",
                 hooks={"f.js": reads}, **rest)


def slow_client(gateway, path: str = "/f", more: str = "") -> socket.socket:
    """Asks, and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", gateway.ports.plain))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode())
    return client


def waits(gateway) -> float:
    return gateway.metric("sluice_hook_body_bytes") / MIB


def shed(gateway) -> float:
    return sum(gateway.metric("sluice_hook_bodies_shed_total", what=what) for what in ("refused", "cut"))


@pytest.fixture
def clients():
    """Sockets that nobody has to wait for at the end."""
    held: list[socket.socket] = []
    yield held
    for client in held:
        client.close()


def test_what_waits_is_bounded_and_a_good_client_is_served(start, lane, clients):
    gateway = serve(start, lane)
    clients += [slow_client(gateway) for _ in range(20)]
    wait_until(lambda: shed(gateway) >= 12 and 24 < waits(gateway) <= 32, "as much waits as may")
    # Those who have not read for a second make room.
    wait_until(lambda: gateway.fetch("http1", "GET", "/f").body == b"x" * BODY, "a client that reads is served")
    wait_until(lambda: gateway.metric("sluice_hook_bodies_shed_total", what="cut") >= 1, "that is counted")
    # Nobody else has less of anything, and what is small is always given.
    assert len(gateway.fetch("http1", "GET", "/g").body) == BODY
    assert gateway.fetch("http1", "GET", "/f/small").body == b"small"
    assert gateway.metric("sluice_cordon_deaths_total") == 0
    for client in clients:
        client.close()
    wait_until(lambda: waits(gateway) == 0, "nothing waits any more")


def test_streams_of_http2_count_as_well(start, lane):
    """What was queued for a stream was nobody's, and its exchange over."""
    gateway = serve(start, lane)
    client = gateway.http2_raw()
    for stream in range(1, 41, 2):
        client.send(client.get(stream, "/f"))
    wait_until(lambda: shed(gateway) >= 12 and 24 < waits(gateway) <= 32, "as much waits as may")
    assert gateway.fetch("http2", "GET", "/g").body == b"x" * BODY
    client.socket.close()
    wait_until(lambda: waits(gateway) == 0, "nothing waits any more")


def test_messages_of_websockets_count_as_well(start, lane, clients):
    """Each may have 4 MiB waiting for its client: of as many clients as there were, nobody counted them together."""
    gateway = start(functions=f"f: {{file: hooks/f.js, {lane}, limits: {{cpu: 2s, wall: 30s, memory: 16MiB}}}}\n",
                    request="- {name: f, do: [{run: {function: f}}]}\n", hooks={"f.js": """\
        const text = "x".repeat(1 << 20);
        export default { fetch(request) {
          if (request.headers.get("upgrade") !== "websocket") return new Response("plain");
          const { socket, response } = upgradeWebSocket(request);
          for (let i = 0; i < 3; i++) socket.send(text);
          return response;
        } };
        """})
    for _ in range(10):
        client = slow_client(gateway, "/", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
        clients.append(client)
    wait_until(lambda: shed(gateway) >= 5 and 9 < waits(gateway) <= 16, "as much waits as may")
    assert gateway.fetch("http1", "GET", "/").body == b"plain"
    for client in clients:
        client.close()
    wait_until(lambda: waits(gateway) == 0, "nothing waits any more")


def test_a_result_that_may_not_wait_is_a_failure_and_never_half_done(start, clients, origin):
    gateway = serve(start, "lane: inline")

    def one_had_no_room() -> bool:
        clients.extend(slow_client(gateway) for _ in range(5))
        return gateway.metric("sluice_hook_bodies_shed_total", what="refused") > 0

    wait_until(one_had_no_room, "one had no room")
    assert gateway.metric("sluice_hook_failures_total", kind="memory") > 0
    assert origin.requests == [], "its heads were those of its own answer, so it was not continued"


def test_many_large_answers_of_a_cordon_wait_their_turn(start, clients):
    """They were all made before the first was sent: all of them, and the process was killed because it did not answer meanwhile."""
    gateway = serve(start, "untrusted: true")
    clients += [slow_client(gateway) for _ in range(40)]
    wait_until(lambda: shed(gateway) >= 32, "all have been answered, or cut", 60)
    assert gateway.metric("sluice_cordon_deaths_total") == 0


def test_a_cordon_that_is_busy_for_long_is_not_stuck(start):
    """Each call kept to its limit, and the sign of life waited behind all of them."""
    gateway = start(functions="f: {file: hooks/f.js, untrusted: true, limits: {cpu: 1s, wall: 60s}}\n",
                    request="- {name: f, do: [{run: {function: f}}]}\n",
                    hooks={"f.js": "export default { onRequest() { let n = 0; for (let i = 0; i < 3e7; i++) n += i % 7; return new Response('x'); } };"})
    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(lambda _: gateway.fetch("http1", "GET", "/").status, range(60)))
    assert answers == [200] * 60, gateway.text
    assert gateway.metric("sluice_cordon_deaths_total") == 0


READS = "export default { async onRequest(request) { return new Response(`${(await request.text()).length}`); } };"
UPLOAD = 1_000_000


def slow_upload(gateway, path: str, sent: int = UPLOAD - 1) -> socket.socket:
    """Sends all of a body but its end."""
    client = socket.create_connection(("127.0.0.1", gateway.ports.plain))
    client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {UPLOAD}\r\n\r\n".encode() + b"x" * sent)
    return client


def upload(gateway, path: str) -> tuple[int, bytes]:
    answer = gateway.fetch("http1", "POST", path, body=b"y" * UPLOAD)
    return answer.status, answer.body


def test_what_is_collected_for_a_hook_is_bounded_and_a_good_client_is_served(start, lane, clients):
    """Clients that send all but the last byte kept whole bodies in the worker, as many as there were connections."""
    gateway = serve(start, lane, reads=READS)
    assert upload(gateway, "/f") == (200, b"%d" % UPLOAD)
    clients += [slow_upload(gateway, "/f") for _ in range(60)]
    wait_until(lambda: shed(gateway) >= 25 and 20 < waits(gateway) <= 32.1, "as much waits as may")
    wait_until(lambda: upload(gateway, "/f") == (200, b"%d" % UPLOAD), "a client that sends is served")
    wait_until(lambda: gateway.metric("sluice_hook_bodies_shed_total", what="cut") >= 1, "who sent for longest made room")
    assert upload(gateway, "/g") == (200, b"%d" % UPLOAD), "another tenant has its own"
    # What is small is not counted, and one whose turn came before others may still end.
    assert gateway.fetch("http1", "POST", "/f", body=b"small").body == b"5"
    last = slow_upload(gateway, "/f")
    clients.append(last)
    last.sendall(b"z")
    assert last.recv(4096).startswith(b"HTTP/1.1 200")
    for client in clients:
        client.close()
    wait_until(lambda: waits(gateway) == 0, "nothing waits any more")
    assert gateway.metric("sluice_cordon_deaths_total") == 0
