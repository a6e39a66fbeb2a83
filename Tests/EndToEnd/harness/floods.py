"""Floods over HTTP/2, each as the frames of one connection. `test_33_http2_floods.py` proves that each is ended at its
limit; `Benchmarks/attacks` measures what they cost everybody else."""
from collections.abc import Callable

from .conformance import INITIAL_WINDOW_SIZE, Priority, post, priority, reset, settings, window
from .http2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, RawConnection, frame

WHOLE = END_STREAM | END_HEADERS
SLOW = "/slow/300"


def streams(count: int) -> range:
    return range(1, 1 + 2 * count, 2)


def bomb(client: RawConnection, stream: int, times: int) -> bytes:
    """A head that is small on the wire: one field of 4 KB in the table, named again and again."""
    if stream == 1:
        field = b"\x40\x01a\x7f\xa1\x1e" + b"v" * 4000  # with its name and 32 bytes it just fits the table
        return frame(HEADERS, WHOLE, 1, b"\x82\x87\x84\x01\x09localhost" + field)
    return frame(HEADERS, WHOLE, stream, b"\x82\x87\x84\x01\x09localhost" + b"\xbe" * times)


Frames = Callable[[RawConnection], list[bytes]]
# Those that take a stream each time.
STREAMED: dict[str, Callable[[RawConnection, int], bytes]] = {
    "resets": lambda client, each: client.get(each, SLOW) + reset(each),
    "provoked_resets": lambda client, each: post(client, each) + window(each, 0x7FFFFFFF),
    "malformed_heads": lambda client, each: client.get(each, extra=[("connection", "close")]),
    "large_heads": lambda client, each: bomb(client, each, 20),
}


def on_streams(kind: str, count: int) -> Frames:
    return lambda client: [STREAMED[kind](client, each) for each in streams(count)]


# kind in the metric: frames, at most as many as it may take (one more than the limit of docs/LIMITS.md)
FLOODS: dict[str, Frames] = {
    "resets": on_streams("resets", 201),
    "provoked_resets": on_streams("provoked_resets", 201),
    "malformed_heads": on_streams("malformed_heads", 201),
    "large_heads": on_streams("large_heads", 202),
    "settings": lambda client: [frame(SETTINGS, 0, 0)] * 1001,
    "ping": lambda client: [frame(PING, 0, 0, bytes(8))] * 1010,
    "priority": lambda client: [priority(1, Priority())] * 201,
    "window_update": lambda client: [window(0, 1)] * 1010,
    "empty_data": lambda client: [post(client)] + [frame(DATA, 0, 1)] * 11,
    "continuation": lambda client: [frame(HEADERS, END_STREAM, 1, b"\x82")] + [frame(CONTINUATION, 0, 1)] * 9,
    "frames": lambda client: [frame(0x77, 0, 0)] * 1010,
}


def more(kind: str, client: RawConnection, frames: list[bytes], times: int) -> list[bytes]:
    """A hundred more for whoever did not end it, for the so many-th time."""
    if kind not in STREAMED:
        return frames[-1:] * 100
    first = 2 * (len(frames) + 100 * times) + 1
    return [STREAMED[kind](client, each) for each in range(first, first + 200, 2)]


def zero_window(client: RawConnection, path: str) -> list[bytes]:
    """As many large answers as the gateway allows, of which not a byte is taken."""
    return [settings((INITIAL_WINDOW_SIZE, 0)), *(client.get(each, path) for each in streams(100))]


def dribble(client: RawConnection, path: str) -> list[bytes]:
    """The same, taken byte by byte."""
    return [settings((INITIAL_WINDOW_SIZE, 1)), *(client.get(each, path) for each in streams(100))]
