"""HTTP/2 conformance: every section of RFC 9113 and RFC 7541 that a server can be held to from outside."""
import pytest

from harness import conformance_generic, conformance_rfc9113, http2  # noqa: F401: they fill the table
from harness.conformance import CASES


@pytest.fixture(scope="module")
def gateway(start_shared):
    return start_shared()


@pytest.mark.parametrize("title", CASES)
def test_case(gateway, title):
    with gateway.http2_raw() as client:
        CASES[title](client)(client)


def test_an_invalid_preface_ends_the_connection(gateway):
    with gateway.http2_raw(preface=b"INVALID CONNECTION PREFACE\r\n\r\n") as client:
        assert client.verdict() in (("goaway", http2.PROTOCOL_ERROR), ("closed", 0))


def test_the_list_is_whole():
    assert len(CASES) >= 145


def test_all_cases_end_in_counted_connections_only(gateway):
    """A case that left a stream or a connection behind would show here."""
    assert gateway.fetch("http2", "GET", "/bytes/3").status == 200
