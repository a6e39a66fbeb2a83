"""gRPC through the gateway: a real client, a real server, all four kinds of call."""
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from harness.waiting import wait_until

LIMIT = [("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20)]
OPTIONS = "timeouts: {connect: 2s, first_byte: 20s, idle: 20s}"


class Service(grpc.GenericRpcHandler):
    """Messages are plain bytes."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.started = threading.Event()
        self.deadline: float | None = None

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        kinds = {
            "/t/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/t/Up": grpc.stream_unary_rpc_method_handler(self.up),
            "/t/Down": grpc.unary_stream_rpc_method_handler(self.down),
            "/t/Both": grpc.stream_stream_rpc_method_handler(self.both),
            "/t/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/t/Hang": grpc.unary_stream_rpc_method_handler(self.hang),
        }
        return kinds.get(details.method)

    def unary(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.deadline = context.time_remaining()
        context.set_trailing_metadata((("x-trailer", "here"),))
        return request

    def up(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        return str(sum(len(each) for each in requests)).encode()

    def down(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(request)):
            yield bytes([number % 256]) * 1000

    def both(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for each in requests:
            yield each[::-1]

    def fail(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: é")

    def hang(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(self.cancelled.set)
        yield b"first"
        self.started.set()
        self.cancelled.wait(20)


@pytest.fixture
def service() -> Iterator[tuple[Service, int]]:
    handler = Service()
    server = grpc.server(ThreadPoolExecutor(16), options=LIMIT)
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, port
    handler.cancelled.set()
    server.stop(None).wait()


@pytest.fixture
def channel(start, service) -> Iterator[grpc.Channel]:
    gateway = start(upstreams=f'grpc:\n  servers: ["h2c://127.0.0.1:{service[1]}"]\n  {OPTIONS}\n',
                    request="- {name: grpc, do: [{route: grpc}]}")
    credentials = grpc.ssl_channel_credentials(gateway.authority.read_bytes())
    with grpc.secure_channel(f"localhost:{gateway.ports.secure}", credentials, options=LIMIT) as made:
        made.gateway = gateway
        yield made


def test_unary_with_metadata_trailers_and_deadline(channel, service):
    answer, call = channel.unary_unary("/t/Unary").with_call(b"hello", timeout=15, metadata=(("x-meta", "1"),))
    assert answer == b"hello" and call.code() is grpc.StatusCode.OK
    assert ("x-trailer", "here") in [(each.key, each.value) for each in call.trailing_metadata()]
    assert service[0].deadline is not None and 0 < service[0].deadline <= 15, "the deadline reaches the server"


@pytest.mark.parametrize("size", [0, 1, 16_000, 65_536, 4 << 20])
def test_messages_of_all_sizes(channel, size):
    body = bytes(index % 251 for index in range(min(size, 251))) * (size // 251 + 1)
    assert channel.unary_unary("/t/Unary")(body[:size], timeout=60) == body[:size]


def test_client_streaming(channel):
    assert channel.stream_unary("/t/Up")(iter([b"x" * 10_000] * 100), timeout=30) == b"1000000"


def test_server_streaming(channel):
    got = list(channel.unary_stream("/t/Down")(b"500", timeout=30))
    assert got == [bytes([number % 256]) * 1000 for number in range(500)]


def test_both_sides_take_turns(channel):
    """Each message is sent only after the answer to the last one: nothing is held back on the way."""
    arrived = threading.Semaphore(1)

    def requests() -> Iterator[bytes]:
        for number in range(20):
            assert arrived.acquire(timeout=20)
            yield f"message {number}".encode()

    answers = []
    for answer in channel.stream_stream("/t/Both")(requests(), timeout=60):
        answers.append(answer)
        arrived.release()
    assert answers == [f"message {number}".encode()[::-1] for number in range(20)]


def test_status_and_message_of_a_failure(channel):
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary("/t/Fail")(b"", timeout=15)
    assert failure.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert failure.value.details() == "not now: é"


def test_unknown_method_is_unimplemented(channel):
    with pytest.raises(grpc.RpcError) as failure:
        channel.unary_unary("/t/None")(b"", timeout=15)
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_deadline_ends_the_call_on_both_sides(channel, service):
    with pytest.raises(grpc.RpcError) as failure:
        list(channel.unary_stream("/t/Hang")(b"", timeout=0.5))
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert service[0].cancelled.wait(20), "the server hears of it"


def test_cancellation_reaches_the_server(channel, service):
    call = channel.unary_stream("/t/Hang")(b"", timeout=30)
    assert next(iter(call)) == b"first"
    assert service[0].started.wait(20)
    call.cancel()
    assert service[0].cancelled.wait(20)
    gateway = channel.gateway
    wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "the stream is over")
    assert channel.unary_unary("/t/Unary")(b"again", timeout=15) == b"again"


def test_a_hundred_calls_at_once(channel):
    call = channel.unary_unary("/t/Unary")
    futures = [call.future(str(number).encode() * 100, timeout=60) for number in range(100)]
    assert [future.result() for future in futures] == [str(number).encode() * 100 for number in range(100)]
