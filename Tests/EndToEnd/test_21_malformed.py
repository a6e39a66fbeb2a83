"""One reading of every request or a refusal: nothing malformed reaches an origin, and the connection is closed."""
import pytest

from harness.http1 import parse_fields
from harness.malformed import BODIES, HEADS
from harness.waiting import wait_until

SECOND = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def gateway(start_shared):
    gateway = start_shared()
    gateway.first_workers = gateway.worker_pids()
    return gateway


def refusal(gateway, data: bytes) -> int:
    """Send the data with a good request behind it; the status of the only answer before the gateway closes."""
    with gateway.http1() as client:
        try:
            client.send(data + SECOND)
        except (BrokenPipeError, ConnectionResetError):
            pass
        received = client.rest()
    assert received.startswith(b"HTTP/1.1 "), f"no answer but {received[:100]!r}"
    assert received.count(b"HTTP/1.1 ") == 1, f"more than one answer: {received[:2000]!r}"
    head = received.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    assert ("connection", "close") in [(name.lower(), value.lower()) for name, value in parse_fields(head[1:])]
    return int(head[0].split(" ")[1])


def test_the_corpus_is_as_large_as_promised():
    assert len(HEADS) + len(BODIES) >= 300


@pytest.mark.parametrize("case", HEADS, ids=lambda case: case.name)
def test_malformed_head_is_refused_and_nothing_reaches_the_origin(gateway, shared_origin, case):
    before = shared_origin.raw
    assert refusal(gateway, case.data) in case.expected
    assert shared_origin.raw == before


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case.name)
def test_malformed_body_is_refused_and_the_origin_never_sees_it_whole(gateway, shared_origin, case):
    before = len(shared_origin.requests)
    assert refusal(gateway, case.data) in case.expected
    wait_until(lambda: shared_origin.at_once == 0, "the origin's exchange ends with the client's")
    seen = shared_origin.requests[before:]
    assert not any(request.complete for request in seen)
    assert not any(request.path == "/smuggled" for request in seen)


def test_after_all_of_them_the_same_worker_serves_on(gateway):
    assert gateway.fetch("http1", "GET", "/bytes/3").status == 200
    assert gateway.worker_pids() == gateway.first_workers
