"""Calls of gRPC that fail at once are tried again by their status, with a real client and a real server."""
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from harness.waiting import wait_until

Metadata = tuple[tuple[str, str], ...]
ONCE = [("grpc.enable_retries", 0)]


class Failing(grpc.GenericRpcHandler):
    """Each call takes one entry of `plan`: the status to fail with and the metadata behind it. Without one it is served."""

    def __init__(self) -> None:
        self.plan: list[tuple[grpc.StatusCode, Metadata]] = []
        self.calls: list[float] = []
        self.got: list[bytes] = []
        self.lock = threading.Lock()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return {
            "/t/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/t/Up": grpc.stream_unary_rpc_method_handler(self.up),
            "/t/Down": grpc.unary_stream_rpc_method_handler(self.down),
            "/t/Late": grpc.unary_stream_rpc_method_handler(self.late),
        }.get(details.method)

    def begin(self, context: grpc.ServicerContext) -> None:
        with self.lock:
            self.calls.append(time.monotonic())
            failure = self.plan.pop(0) if self.plan else None
        if failure:
            context.set_trailing_metadata(failure[1])
            context.abort(failure[0], "not now")

    def unary(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.got.append(request)
        self.begin(context)
        return request

    def up(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        whole = b"".join(requests)
        self.begin(context)
        return str(len(whole)).encode()

    def down(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self.begin(context)
        yield from (b"one", b"two")

    def late(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield b"one"
        self.begin(context)


@pytest.fixture
def service() -> Iterator[tuple[Failing, int]]:
    handler = Failing()
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, port
    server.stop(None).wait()


@pytest.fixture
def opened(start, service):
    channels = []

    def make(retry: str) -> grpc.Channel:
        gateway = start(upstreams=f'grpc:\n  servers: ["h2c://127.0.0.1:{service[1]}"]\n  retry: {{{retry}}}\n',
                        request="- {name: grpc, do: [{route: grpc}]}")
        channel = grpc.secure_channel(f"localhost:{gateway.ports.secure}", grpc.ssl_channel_credentials(gateway.authority.read_bytes()), options=ONCE)
        channel.gateway = gateway
        channels.append(channel)
        return channel

    yield make
    for channel in channels:
        channel.close()


NAMED = "tries: 3, grpc_status: [unavailable, resource_exhausted]"
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, ())


def test_a_call_that_fails_at_once_is_tried_again(opened, service):
    channel, server = opened(NAMED), service[0]
    server.plan = [UNAVAILABLE, (grpc.StatusCode.RESOURCE_EXHAUSTED, ())]
    assert channel.unary_unary("/t/Unary")(b"hello" * 1000, timeout=20) == b"hello" * 1000
    assert server.got == [b"hello" * 1000] * 3, "each attempt has the whole request"
    wait_until(lambda: channel.gateway.metric("sluice_upstream_retries_total") == 2, "they are counted")


def test_streams_are_tried_again_before_their_first_message(opened, service):
    channel, server = opened(NAMED), service[0]
    server.plan = [UNAVAILABLE]
    assert list(channel.unary_stream("/t/Down")(b"x", timeout=20)) == [b"one", b"two"]
    server.plan = [UNAVAILABLE]
    assert channel.stream_unary("/t/Up")(iter([b"x" * 10_000] * 3), timeout=20) == b"30000"
    assert len(server.calls) == 4


def test_a_call_that_has_brought_a_message_is_not(opened, service):
    channel, server = opened(NAMED), service[0]
    server.plan = [UNAVAILABLE]
    answers = channel.unary_stream("/t/Late")(b"x", timeout=20)
    assert next(answers) == b"one"
    with pytest.raises(grpc.RpcError) as error:
        next(answers)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert len(server.calls) == 1


@pytest.mark.parametrize("retry, code, calls", [
    (NAMED, grpc.StatusCode.FAILED_PRECONDITION, 1), ("tries: 3, on: [connect, 503], methods: any", grpc.StatusCode.UNAVAILABLE, 1),
    (NAMED, grpc.StatusCode.UNAVAILABLE, 3),
])
def test_the_last_status_reaches_the_client(opened, service, retry, code, calls):
    channel, server = opened(retry), service[0]
    server.plan = [(code, (("x-why", "busy"),))] * 5
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary("/t/Unary")(b"x", timeout=20)
    assert error.value.code() is code and error.value.details() == "not now"
    assert ("x-why", "busy") in [(each.key, each.value) for each in error.value.trailing_metadata()]
    assert len(server.calls) == calls


def test_a_request_larger_than_what_is_kept_is_sent_once(opened, service):
    channel, server = opened(NAMED + ", body: 1KiB"), service[0]
    server.plan = [UNAVAILABLE] * 5
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary("/t/Unary")(b"x" * 2000, timeout=20)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE and len(server.calls) == 1


def test_the_budget_holds(opened, service):
    channel, server = opened(NAMED + ", budget: 0%"), service[0]
    server.plan = [UNAVAILABLE] * 1000
    for _ in range(20):
        with pytest.raises(grpc.RpcError):
            channel.unary_unary("/t/Unary")(b"x", timeout=20)
    assert len(server.calls) == 20 + 10, "the reserve, and nothing more"
    wait_until(lambda: channel.gateway.metric("sluice_upstream_retries_over_budget_total") > 0, "it is counted")


@pytest.mark.parametrize("pushback, calls", [("80", 2), ("0", 2), ("-1", 1), ("600000", 1)])
def test_the_server_says_when(opened, service, pushback, calls):
    channel, server = opened(NAMED), service[0]
    server.plan = [(grpc.StatusCode.UNAVAILABLE, (("grpc-retry-pushback-ms", pushback),))]
    call = channel.unary_unary("/t/Unary")
    if calls == 1:
        with pytest.raises(grpc.RpcError) as error:
            call(b"x", timeout=20)
        assert ("grpc-retry-pushback-ms", pushback) in [(each.key, each.value) for each in error.value.trailing_metadata()]
    else:
        assert call(b"x", timeout=20) == b"x"
        assert server.calls[1] - server.calls[0] >= int(pushback) / 1000 * 0.9, "not before its time"
    assert len(server.calls) == calls
    wait_until(lambda: channel.gateway.metric("sluice_requests_active") == 0, "nothing is left")


def test_a_client_that_gives_up_during_the_pause(opened, service):
    channel, server = opened(NAMED), service[0]
    server.plan = [(grpc.StatusCode.UNAVAILABLE, (("grpc-retry-pushback-ms", "1000"),))]
    call = channel.unary_unary("/t/Unary").future(b"x", timeout=20)
    wait_until(lambda: len(server.calls) == 1, "the first attempt")
    call.cancel()
    wait_until(lambda: channel.gateway.metric("sluice_requests_active") == 0, "nothing is left")
    assert channel.unary_unary("/t/Unary")(b"y", timeout=20) == b"y", "and all goes on"
    assert b"".join(server.got) == b"xy", "nobody asked again"
