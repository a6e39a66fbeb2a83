"""What gRPC clients hear when the gateway itself answers, and that nobody works on for a call whose time is up."""
from collections.abc import Iterator

import grpc
import pytest

from harness.origin2 import Origin2, Stream
from harness.waiting import wait_until

HOOKS = {
    "refuse.js": 'export default { onRequest() { return new Response("who are you?", { status: 401, headers: { "x-why": "no token" } }); } };',
    "streamed.js": """export default { onRequest() {
        return new Response(new ReadableStream({ pull(to) { to.enqueue(new Uint8Array(1000)); } }), { status: 403 }); } };""",
    "own.js": """export default { onRequest() {
        return new Response(null, { headers: { "content-type": "application/grpc", "grpc-status": "8", "grpc-message": "too many" } }); } };""",
    "throws.js": 'export default { onRequest() { throw new Error("broken"); } };',
    "late.js": 'export default { onResponse(response) { return new Response("no", { status: 403 }); } };',
}
FUNCTIONS = "\n".join(f"{name[:-3]}: {{file: hooks/{name}, on_error: {{deny: 503}}}}" for name in HOOKS if name != "late.js")
REQUEST = """
- {name: ruled, when: 'path == "/t/Ruled"', do: [{deny: {status: 403}}]}
- {name: told, when: 'path == "/t/Told"', do: [{respond: {status: 404, body: "nothing here"}}]}
- {name: refuse, when: 'path == "/t/Refuse"', do: [{run: refuse}]}
- {name: streamed, when: 'path == "/t/Streamed"', do: [{run: streamed}]}
- {name: own, when: 'path == "/t/Own"', do: [{run: own}]}
- {name: throws, when: 'path == "/t/Throws"', do: [{run: throws}]}
- {name: limited, when: 'path == "/t/Limited"', do: [{rate_limit: {key: client.ip, rate: 1/h}}]}
- {name: grpc, do: [{route: grpc}]}
"""


@pytest.fixture
def server() -> Iterator[Origin2]:
    made = Origin2()
    yield made
    made.stop()


@pytest.fixture
def gateway(start, server):
    return start(upstreams=f'grpc: {{servers: ["h2c://127.0.0.1:{server.port}"]}}', functions=FUNCTIONS, hooks=HOOKS, request=REQUEST)


@pytest.fixture
def channel(gateway) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(gateway.authority.read_bytes())
    with grpc.secure_channel(f"localhost:{gateway.ports.secure}", credentials) as made:
        yield made


def refusal(channel: grpc.Channel, method: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary(f"/t/{method}")(b"", timeout=30)
    return failure.value


@pytest.mark.parametrize("method, code, details", [
    ("Ruled", grpc.StatusCode.PERMISSION_DENIED, "403 Forbidden"), ("Told", grpc.StatusCode.UNIMPLEMENTED, "404 Not Found"),
    ("Refuse", grpc.StatusCode.UNAUTHENTICATED, "401 Unauthorized"), ("Streamed", grpc.StatusCode.PERMISSION_DENIED, "403 Forbidden"),
    ("Own", grpc.StatusCode.RESOURCE_EXHAUSTED, "too many"), ("Throws", grpc.StatusCode.UNAVAILABLE, "503 Service Unavailable")])
def test_a_refusal_has_a_status_of_grpc(channel, method, code, details):
    failure = refusal(channel, method)
    assert (failure.code(), failure.details()) == (code, details)


def test_a_rate_limit_has_one_too(channel, server):
    async def answer(stream: Stream) -> None:
        await stream.head(200, [("content-type", "application/grpc")])
        await stream.data(b"\0\0\0\0\0")
        await stream.finish([("grpc-status", "0")])

    server.script = answer
    assert channel.unary_unary("/t/Limited")(b"", timeout=30) == b""
    assert refusal(channel, "Limited").code() is grpc.StatusCode.UNAVAILABLE


def test_trailers_only_and_what_a_hook_added(gateway):
    with gateway.http2() as client:
        answer = client.request("POST", "/t/Refuse", [("content-type", "application/grpc+proto"), ("te", "trailers")], b"\0\0\0\0\0")
    assert (answer.status, answer.body, answer.header("grpc-status"), answer.header("content-type")) == (200, b"", "16", "application/grpc")
    assert answer.header("x-why") == "no token" and answer.header("content-length") is None


@pytest.mark.parametrize("kind", ["application/grpc-web+proto", "application/grpcfoo", "application/json"])
def test_others_hear_the_status_of_http(gateway, kind):
    with gateway.http2() as client:
        answer = client.request("POST", "/t/Refuse", [("content-type", kind)], b"\0\0\0\0\0")
    assert (answer.status, answer.body, answer.header("grpc-status")) == (401, b"who are you?", None)


@pytest.mark.parametrize("told", ["200m", "200000u", "1S"])
def test_the_deadline_ends_a_call_that_nobody_ended(gateway, server, told):
    """A client that is gone without a word, or does not cancel: its deadline is known all the same."""
    async def hang(stream: Stream) -> None:
        await server.release.wait()

    server.script = hang
    with gateway.http2() as client:
        answer = client.request("POST", "/t/Hang", [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", told)], b"\0\0\0\0\0")
        assert (answer.status, answer.header("grpc-status")) == (200, "4")
    wait_until(lambda: server.resets == [8], "the server hears that it may stop")
    assert server.requests[0].header("grpc-timeout") == told


def test_a_stream_that_outlives_its_deadline_is_cut_on_both_sides(gateway, server):
    async def begin(stream: Stream) -> None:
        await stream.head(200, [("content-type", "application/grpc")])
        await stream.data(b"\0\0\0\0\1x")
        await server.release.wait()

    server.script = begin
    with gateway.http2() as client:
        stream = client.start("POST", "/t/Begin", [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "300m")], end=False)
        client.send_body(stream, b"\0\0\0\0\0")
        client.receive_until(lambda: stream in client.finished, "it ends")
        answer = client.responses[stream]
        assert answer.body == b"\0\0\0\0\1x" and ("grpc-status", "4") in answer.trailers
    wait_until(lambda: server.resets, "the server hears of it")


def test_a_stream_that_its_server_cuts_off_before_its_deadline_is_reset(gateway, server):
    async def begin(stream: Stream) -> None:
        await stream.head(200, [("content-type", "application/grpc")])
        await stream.data(b"\0\0\0\0\1x")
        stream.cut(8)

    server.script = begin
    with gateway.http2() as client:
        stream = client.start("POST", "/t/Begin", [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "1H")])
        client.receive_until(lambda: stream in client.finished, "it is cut off")
        assert stream in client.resets


def test_a_shorter_limit_of_the_configuration_is_not_the_clients_deadline(start, server):
    async def hang(stream: Stream) -> None:
        await server.release.wait()

    server.script = hang
    gateway = start(upstreams=f'grpc:\n  servers: ["h2c://127.0.0.1:{server.port}"]\n  timeouts: {{total: 200ms}}\n', request="- {name: grpc, do: [{route: grpc}]}")
    with gateway.http2() as client:
        answer = client.request("POST", "/t/Hang", [("content-type", "application/grpc"), ("grpc-timeout", "1H")], b"\0\0\0\0\0")
    assert answer.header("grpc-status") == "14"


@pytest.mark.parametrize("odd", ["", "m", "5", "5x", "123456789m", "-5m", "0x5m", " 5m", "99999999H"])
def test_a_deadline_that_is_none_or_far_away_changes_nothing(gateway, server, odd):
    with gateway.http2() as client:
        answer = client.request("POST", "/t/Any", [("content-type", "application/grpc"), ("grpc-timeout", odd.strip())], b"\0\0\0\0\0")
    assert answer.status == 200
