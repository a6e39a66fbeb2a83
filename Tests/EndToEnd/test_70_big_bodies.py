"""Bodies far larger than memory, through TLS, with a peer that is slow: nothing is lost and nothing piles up."""
import hashlib
import json

import pytest

from harness.origin import PATTERN, pattern_sha256
from harness.waiting import wait_until

LIMIT_KIB = 64 * 1024
pytestmark = pytest.mark.slow


@pytest.fixture
def size(full):
    return (1024 if full else 256) * 1024 * 1024


class Memory:
    """Samples the resident memory of the worker; the largest seen must stay under the limit."""

    def __init__(self, gateway):
        self.gateway, self.most, self.count = gateway, 0, 0

    def look(self) -> None:
        self.count += 1
        if self.count % 64 == 0:
            self.most = max(self.most, self.gateway.resident_kib())

    def check(self) -> None:
        peak = max(self.most, self.gateway.resident_kib(peak=True))
        assert peak < LIMIT_KIB, f"the worker grew to {peak} KiB"


@pytest.mark.parametrize("kind", ["bytes", "chunked"])
def test_download_by_a_slow_reader_over_tls(start, size, kind):
    """A receive buffer of 8 KiB makes the reader the slowest part all the way."""
    gateway = start()
    memory, digest, count = Memory(gateway), hashlib.sha256(), 0
    small = size // 8 if kind == "chunked" else size
    with gateway.http1(tls=True, receive_buffer=8192) as client:
        client.send(b"GET /bytes/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % small)
        assert client.head().status == 200
        digest.update(client.unread)
        count = len(client.unread)
        while count < small:
            part = client.socket.recv(65536)
            assert part, "the body is whole"
            digest.update(part)
            count += len(part)
            memory.look()
    assert digest.hexdigest() == pattern_sha256(small)
    memory.check()


def test_where_the_kernel_encrypts_a_download_never_enters_user_space(start, size):
    gateway = start()
    if "not available" in gateway.wait_log("kernel TLS: "):
        pytest.skip("this kernel has no TLS (module `tls`)")
    each = size // 16
    with gateway.http1(tls=True) as client:
        for _ in range(2):
            client.send(b"GET /bytes/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % each)
            answer = client.response()
            assert answer.status == 200 and hashlib.sha256(answer.body).hexdigest() == pattern_sha256(each)
        assert client.request("GET", "/bytes/3").status == 200
    wait_until(lambda: gateway.metric("sluice_spliced_bytes_total", direction="response") > 2 * each * 0.9,
               "nearly all bytes went from socket to socket")


@pytest.mark.parametrize("slow", [False, True], ids=["fast", "slow"])
def test_plain_download_never_enters_user_space(start, size, slow):
    """Two in a row on one connection: the pipe between the sockets leaves nothing behind for the second."""
    gateway = start()
    each, digests = size // 8, []
    with gateway.http1(receive_buffer=8192 if slow else None) as client:
        for _ in range(2):
            client.send(b"GET /bytes/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % each)
            answer = client.response()
            assert answer.status == 200
            digests.append(hashlib.sha256(answer.body).hexdigest())
    assert digests == [pattern_sha256(each)] * 2
    wait_until(lambda: gateway.metric("sluice_spliced_bytes_total", direction="response") > 2 * each * 0.9,
               "nearly all bytes went through the pipe")
    assert gateway.metric("sluice_copied_bytes_total", where="body") == 0


def test_upload_over_tls(start, size):
    gateway = start()
    memory = Memory(gateway)
    with gateway.http1(tls=True) as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(PATTERN)):
            client.send(PATTERN)
            memory.look()
        seen = json.loads(client.response().body)
    assert (seen["body_length"], seen["body_sha256"]) == (size, pattern_sha256(size))
    memory.check()


def test_download_over_http2(start, size):
    gateway = start()
    memory, digest = Memory(gateway), hashlib.sha256()
    size //= 4  # the Python client is the slow part here
    with gateway.http2() as client:
        stream = client.start("GET", f"/bytes/{size}")
        count = 0
        while stream not in client.finished:
            assert client.receive(), "the connection stays"
            if stream in client.responses:
                digest.update(client.responses[stream].body)
                count += len(client.responses[stream].body)
                client.responses[stream].body = b""
            memory.look()
    assert (count, digest.hexdigest()) == (size, pattern_sha256(size))
    memory.check()


def test_upload_over_http2(start, size):
    gateway = start()
    size //= 4
    with gateway.http2() as client:
        stream = client.start("POST", "/up", end=False)
        for _ in range(size // (1 << 20)):
            send_part(client, stream, PATTERN * 16)
        client.h2.end_stream(stream)
        client.flush()
        seen = json.loads(client.response(stream).body)
    assert (seen["body_length"], seen["body_sha256"]) == (size, pattern_sha256(size))
    Memory(gateway).check()


def send_part(client, stream: int, part: bytes) -> None:
    view = memoryview(part)
    while view:
        room = min(client.h2.local_flow_control_window(stream), client.h2.max_outbound_frame_size)
        if room <= 0:
            assert client.receive()
            continue
        client.h2.send_data(stream, bytes(view[:room]))
        view = view[room:]
        client.flush()
