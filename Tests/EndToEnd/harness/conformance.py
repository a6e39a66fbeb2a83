"""HTTP/2 conformance cases, section by section: what is sent, and what the gateway must make of it.

The list follows the conformance suite h2spec (generic, RFC 9113 by the section numbers of RFC 7540, RFC 7541), which cannot
be had as a package here; the frames are our own. A case is a function of a raw connection that sends and returns a verdict
to wait for: `answered(1)`, `data(1, n)`, `ping()`, `settings_acknowledged()`, `stream_error(1, codes)`,
`connection_error(codes)`. Stricter than h2spec: a connection that closes without GOAWAY is no answer to an error.
"""
import struct
from collections.abc import Callable
from dataclasses import dataclass

from .http2 import (ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
                    FRAME_SIZE_ERROR, GOAWAY, HEADERS, NO_ERROR, PADDED, PING, PRIORITY, PRIORITY_FLAG, PROTOCOL_ERROR,
                    PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, RawConnection, frame)

Verdict = Callable[[RawConnection], None]
Case = Callable[[RawConnection], Verdict]
CASES: dict[str, Case] = {}
WHOLE = END_STREAM | END_HEADERS
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)


# What must come back

def answered(stream: int) -> Verdict:
    """A response head on the stream."""
    return lambda client: _expect(client, lambda got: got[0] == HEADERS and got[2] == stream, f"HEADERS on {stream}")


def data(stream: int, length: int) -> Verdict:
    """A DATA frame of this length on the stream."""
    def verdict(client: RawConnection) -> None:
        got = client.until(DATA, stream)
        assert len(got[3]) == length, f"DATA of {len(got[3])} bytes instead of {length}"
    return verdict


def ping() -> Verdict:
    """The connection lives: a PING is answered."""
    def verdict(client: RawConnection) -> None:
        client.send(frame(PING, 0, 0, b"h2 tests"))
        _expect(client, lambda got: got[0] == PING and got[1] & ACK and got[3] == b"h2 tests", "the acknowledged PING")
    return verdict


def settings_acknowledged(times: int = 2) -> Verdict:
    """SETTINGS are acknowledged: those of the preface, and the test's."""
    def verdict(client: RawConnection) -> None:
        for _ in range(times):
            _expect(client, lambda got: got[0] == SETTINGS and got[1] & ACK, "the acknowledged SETTINGS")
    return verdict


def stream_error(stream: int, *codes: int) -> Verdict:
    """RST_STREAM or GOAWAY with one of the codes, or a status of 400 and above, which refuses the request as well."""
    def verdict(client: RawConnection) -> None:
        while (got := client.next_frame()) is not None:
            if got[0] == RST_STREAM and got[2] == stream:
                assert int.from_bytes(got[3][:4], "big") in codes, f"RST_STREAM with {got[3].hex()}, wanted {codes}"
                return
            if got[0] == GOAWAY:
                assert int.from_bytes(got[3][4:8], "big") in codes, f"GOAWAY with {got[3].hex()}, wanted {codes}"
                return
            assert not (got[0] == HEADERS and got[2] == stream and got[3][:1] in b"\x88\x89\x8a\x8b"), "the request was served"
        raise AssertionError("closed without RST_STREAM or GOAWAY")
    return verdict


def connection_error(*codes: int) -> Verdict:
    """GOAWAY with one of the codes, then the end."""
    def verdict(client: RawConnection) -> None:
        while (got := client.next_frame()) is not None:
            if got[0] == GOAWAY:
                assert int.from_bytes(got[3][4:8], "big") in codes, f"GOAWAY with {got[3].hex()}, wanted {codes}"
                while client.next_frame() is not None:
                    pass
                return
        raise AssertionError("closed without GOAWAY")
    return verdict


def ping_or_end() -> Verdict:
    """A PING is answered, or the connection ends without an error."""
    def verdict(client: RawConnection) -> None:
        client.send(frame(PING, 0, 0, b"h2 tests"))
        while (got := client.next_frame()) is not None:
            if got[0] == PING and got[1] & ACK:
                return
            if got[0] == GOAWAY:
                assert int.from_bytes(got[3][4:8], "big") == NO_ERROR
    return verdict


def _expect(client: RawConnection, wanted: Callable[[tuple[int, int, int, bytes]], bool], what: str) -> None:
    seen = []
    while (got := client.next_frame()) is not None:
        if wanted(got):
            return
        assert got[0] not in (GOAWAY, RST_STREAM), f"{got} instead of {what}"
        seen.append(got[:3])
    raise AssertionError(f"closed without {what}; came: {seen}")


# What is sent

@dataclass
class Priority:
    depends_on: int = 0
    weight: int = 255
    exclusive: bool = False

    @property
    def payload(self) -> bytes:
        return struct.pack(">IB", self.depends_on | (self.exclusive << 31), self.weight)


def window(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def reset(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def priority(stream: int, value: Priority) -> bytes:
    return frame(PRIORITY, 0, stream, value.payload)


def post(client: RawConnection, stream: int = 1, extra: list[tuple[str, str]] | None = None) -> bytes:
    """The head of a request with a body."""
    return frame(HEADERS, END_HEADERS, stream, client.fields("/up", "POST", extra))


def get(client: RawConnection, stream: int = 1, path: str = "/bytes/100") -> bytes:
    return client.get(stream, path)


def end_of(client: RawConnection, stream: int) -> None:
    """Wait until the response of a stream is complete."""
    while (got := client.next_frame()) is not None:
        if got[0] in (DATA, HEADERS) and got[2] == stream and got[1] & END_STREAM:
            return
    raise AssertionError("closed before the response was complete")


def literal(client: RawConnection, count: int = 1, size: int = 10) -> bytes:
    """Fields that fill a field block."""
    return client.encoder.encode([(f"x-dummy{number}", "x" * size) for number in range(count)])


def case(section: str, name: str) -> Callable[[Case], Case]:
    def register(function: Case) -> Case:
        title = f"{section}: {name}"
        assert title not in CASES, title
        CASES[title] = function
        return function
    return register


def simple(section: str, name: str, frames: bytes | Callable[[RawConnection], bytes], verdict: Verdict) -> None:
    """A case that sends once."""
    def run(client: RawConnection) -> Verdict:
        client.send(frames if isinstance(frames, bytes) else frames(client))
        return verdict
    case(section, name)(run)


def block_case(section: str, name: str, representation: bytes, verdict: Verdict, before: bool = False) -> None:
    """A request whose field block carries an HPACK representation of the case's making, behind or before its fields."""
    def frames(client: RawConnection) -> bytes:
        block = client.fields("/bytes/100")
        return frame(HEADERS, WHOLE, 1, representation + block if before else block + representation)
    simple(section, name, frames, verdict)
