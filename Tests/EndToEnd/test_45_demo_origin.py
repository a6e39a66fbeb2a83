"""`sluice origin`: what its help says, on a port of the kernel's choice."""
import base64
import hashlib
import json
import subprocess

import pytest

from harness.gateway import ROOT, binary
from harness.http1 import Connection
from harness.origin import PATTERN


@pytest.fixture(scope="module")
def port():
    process = subprocess.Popen([binary(), "origin", "--port", "0", "--json"], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout
        listening = json.loads(process.stdout.readline())
        assert listening["url"] == f"http://127.0.0.1:{listening['port']}/"
        yield listening["port"]
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_help_names_the_paths(port):
    with Connection(port) as client:
        answer = client.request("GET", "/")
        assert answer.status == 200 and b"/echo-body" in answer.body


def test_echo_shows_method_target_fields_and_body(port):
    with Connection(port) as client:
        seen = json.loads(client.request("POST", "/echo?a=b", [("X-A", "b")], b"hello").body)
        assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/echo", "a=b")
        assert (seen["headers"]["x-a"], seen["body"], seen["body_length"]) == ("b", "hello", 5)


def test_sizes_with_a_length_and_in_chunks(port):
    with Connection(port) as client:
        for size in (0, 1, 16384, 70000, 3_000_000):
            assert len(client.request("GET", f"/bytes/{size}").body) == size
            assert len(client.request("GET", f"/chunked/{size}").body) == size
        assert client.request("GET", "/bytes/256").body == PATTERN[:256]
        assert client.request("HEAD", "/bytes/1000").header("content-length") == "1000"


def test_the_body_comes_back_in_its_framing(port):
    with Connection(port) as client:
        assert client.request("POST", "/echo-body", body=PATTERN).body == PATTERN
        chunked = client.request("POST", "/echo-body", [("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        assert chunked.body == b"hello world" and chunked.header("transfer-encoding") == "chunked"
        assert client.request("GET", "/echo-body").body == b""


def test_statuses_errors_trailers_and_waits(port):
    with Connection(port) as client:
        assert client.request("GET", "/status/503").status == 503
        assert client.request("GET", "/status/204").status == 204
        error = client.request("GET", "/error")
        assert error.status == 500 and error.body
        assert client.request("GET", "/trailers").trailer("x-checksum")
        assert client.request("GET", "/slow/10").status == 200
        assert client.request("GET", "/bytes/x").status == 404


def test_requests_in_a_pipeline_are_answered_in_order(port):
    with Connection(port) as client:
        client.send(b"".join(b"GET /echo?%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50)))
        assert [json.loads(client.response().body)["query"] for _ in range(50)] == [str(number) for number in range(50)]


def test_a_client_that_asks_for_much_and_reads_late_gets_it_all(port):
    with Connection(port, receive_buffer=4096) as client:
        client.send(b"GET /bytes/400000 HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
        for _ in range(20):
            assert len(client.response().body) == 400_000


@pytest.mark.parametrize("path", ["/close", "/cut"])
def test_connections_that_end_early(port, path):
    with Connection(port) as client:
        client.send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
        received = client.rest()
        assert received == b"" if path == "/close" else received.count(b"x") == 100


def test_malformed_requests_are_refused(port):
    with Connection(port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.response().status == 400
        assert client.is_closed()


def test_websocket_messages_come_back(port):
    key = base64.b64encode(b"0123456789abcdef")
    with Connection(port) as client:
        client.send(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    b"Sec-WebSocket-Key: " + key + b"\r\n\r\n")
        answer = client.response()
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        assert answer.status == 101 and answer.header("sec-websocket-accept") == accept
        mask = b"\x01\x02\x03\x04"
        client.send(b"\x81\x85" + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(b"hello")))
        assert client.exactly(7) == b"\x81\x05hello"
