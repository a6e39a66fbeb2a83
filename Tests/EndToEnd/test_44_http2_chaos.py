"""Two origins over HTTP/2 that do everything at once: refuse, leave, reset, fall silent, answer early, open and shut their streams. Whatever comes
of a request is its own answer, whole, or an error; and nothing is left."""
import collections
import random
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import h2.settings
import pytest

from harness import http2
from harness.http1 import EndOfStream, Response
from harness.http2 import frame
from harness.origin import running
from harness.origin2 import Origin2, Stream
from harness.waiting import wait_until

STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS


class Moody:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.seen = 0

    async def __call__(self, stream: Stream) -> None:
        self.seen += 1
        mood = self.chance.choice(MOODS)
        await mood(self, stream)

    async def fine(self, stream: Stream) -> None:
        await stream.complete.wait()
        body = stream.path.encode() + b" " + bytes(stream.body)
        await stream.head(200, [("x-path", stream.path)])
        await stream.data(body * 40)
        await stream.finish([("x-length", str(len(body) * 40))])

    async def early(self, stream: Stream) -> None:
        await stream.answer(413, stream.path.encode())

    async def busy(self, stream: Stream) -> None:
        await stream.answer(503, b"busy")

    async def refuse(self, stream: Stream) -> None:
        stream.cut(http2.REFUSED_STREAM)

    async def reset(self, stream: Stream) -> None:
        stream.cut(self.chance.choice([http2.NO_ERROR, http2.CANCEL, http2.INTERNAL_ERROR]))

    async def half(self, stream: Stream) -> None:
        await stream.head(200, [("x-path", stream.path)])
        await stream.data(b"half of it")
        await self.reset(stream)

    async def leave(self, stream: Stream) -> None:
        """Some of those under way are served, others told to go elsewhere."""
        last = self.chance.choice(sorted(stream.connection.streams))
        stream.connection.raw(frame(http2.GOAWAY, 0, 0, struct.pack(">II", last, 0)))
        if stream.number <= last:
            await self.fine(stream)

    async def close(self, stream: Stream) -> None:
        stream.connection.writer.close()

    async def silent(self, stream: Stream) -> None:
        stream.connection.flush = lambda: stream.connection.h2.data_to_send() and None

    async def hints(self, stream: Stream) -> None:
        for _ in range(self.chance.choice([1, 5, 40])):
            stream.connection.h2.send_headers(stream.number, [(":status", "103"), ("link", "</a.css>")])
        await self.fine(stream)

    async def settings(self, stream: Stream) -> None:
        stream.connection.h2.update_settings({STREAMS: self.chance.choice([0, 1, 3, 100])})
        stream.connection.flush()
        await self.fine(stream)
        stream.connection.h2.update_settings({STREAMS: 100})
        stream.connection.flush()


MOODS = [Moody.fine] * 12 + [Moody.early, Moody.busy, Moody.refuse, Moody.reset, Moody.half, Moody.leave, Moody.leave, Moody.close,
                            Moody.hints, Moody.settings]


@pytest.fixture
def pair() -> Iterator[list[Origin2]]:
    yield from running(Origin2, 2)


def over_http2(gateway, method: str, path: str, body: bytes) -> Response:
    with gateway.http2() as client:
        stream = client.start(method, path, end=not body)
        if body:
            client.send_body(stream, body)
        answer = client.response(stream)
        assert client.resets.get(stream, http2.NO_ERROR) == http2.NO_ERROR, "cut"
        return answer


def ask(gateway, name: str, number: int, outcomes: list[str], lock: threading.Lock) -> None:
    body = f"{name}-{number}".encode() * (number % 5 * 300)
    path = f"/{name}/{number}"
    method = "PUT" if body else "GET"
    try:
        answer = over_http2(gateway, method, path, body) if number % 2 else gateway.fetch("http1", method, path, body=body)
    except (AssertionError, EndOfStream, ConnectionError) as error:
        outcome = f"cut: {type(error).__name__}"
    else:
        outcome = str(answer.status)
        if answer.status == 200:
            assert answer.body == (path.encode() + b" " + body) * 40, "whole, and nobody else's"
        elif answer.status == 413:
            assert answer.body == path.encode()
        else:
            assert answer.status in (502, 503, 504), answer.status
    with lock:
        outcomes.append(outcome)


@pytest.mark.parametrize("seed, silence", [(1, False), (2, False), (3, True)])
def test_everything_at_once(start, pair, seed, silence):
    for number, server in enumerate(pair):
        mood = Moody(seed * 10 + number)
        if silence and number == 0:
            async def sometimes(stream: Stream, mood: Moody = mood) -> None:
                await (mood.silent(stream) if mood.chance.random() < 0.01 else mood(stream))
            server.script = sometimes
        else:
            server.script = mood
    urls = ", ".join(f'"h2c://127.0.0.1:{each.port}"' for each in pair)
    gateway = start(upstreams=f"moody:\n  servers: [{urls}]\n  retry: {{tries: 3, on: [connect, reset, timeout, 503], budget: 100%}}\n"
                              "  timeouts: {connect: 5s, first_byte: 3s, idle: 3s}\n  ejection: {failures: 5, time: 200ms}\n",
                    request="- {name: moody, do: [{route: moody}]}")
    outcomes: list[str] = []
    lock = threading.Lock()
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(ask, gateway, f"c{number % 8}", number, outcomes, lock) for number in range(600)]:
            done.result()
    assert outcomes.count("200") > 450, collections.Counter(outcomes)
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "no request is left")
    wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "no connection serves")
    wait_until(lambda: gateway.metric("sluice_slabs_live") == 0, "all memory is back")
    assert gateway.metric("sluice_bugs_total") == 0
