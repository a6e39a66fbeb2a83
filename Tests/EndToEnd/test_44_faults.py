"""Origins that break at every byte of what they say. A client gets the right answer or a clean error: never half an answer
as if it were whole, never another's bytes; and nothing is left behind. `--full` makes it 100,000 exchanges."""
import os
import random
import re
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from h2.exceptions import StreamClosedError

from harness import http1, http2
from harness.http2 import frame
from harness.origin import Exchange
from harness.origin2 import Origin2, Stream
from harness.waiting import wait_until

# Where nothing stalls no time limit may decide: the machine may be busy.
PATIENT = "timeouts: {connect: 20s, first_byte: 60s, idle: 60s}\nejection: {failures: 0}\n"
OPTIONS = "timeouts: {connect: 20s, first_byte: 300ms, idle: 300ms}\nejection: {failures: 0}\n"


def body_of(number: int) -> bytes:
    """Every request's answer can be told from every other's, at every place."""
    return b"".join(b"<%d:%d>" % (number, part) for part in range(1 + number % 7))


def plain(number: int) -> bytes:
    body = body_of(number)
    return b"HTTP/1.1 200 OK\r\nX-Number: %d\r\nContent-Length: %d\r\n\r\n%s" % (number, len(body), body)


def chunked(number: int) -> bytes:
    body = body_of(number)
    half = len(body) // 2
    return (b"HTTP/1.1 200 OK\r\nX-Number: %d\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x;a=b\r\n%s\r\n0\r\nX-End: %d\r\n\r\n"
            % (number, half, body[:half], len(body) - half, body[half:], number))


@dataclass
class Fault:
    """What an origin does with the request of this number."""

    number: int
    answer: bytes
    cut: int | None = None
    abrupt: bool = False
    stalls: bool = False
    early: bool = False
    right: bool = False  # the client must get the whole answer
    wrong: bool = False  # the client must not get a success
    changed: bool = False  # a byte was changed: who can tell

    async def carry_out(self, exchange: Exchange) -> None:
        data = self.answer if self.cut is None else self.answer[:self.cut]
        if data:
            await exchange.send(data)
        if self.stalls:
            await exchange.reader.read(1)
        elif self.cut is not None or self.early:
            exchange.reset() if self.abrupt else exchange.writer.close()


class Plan:
    """Faults by number; requests name theirs in the path."""

    def __init__(self) -> None:
        self.faults: dict[int, Fault] = {}

    def add(self, fault: Fault) -> Fault:
        self.faults[fault.number] = fault
        return fault

    async def script(self, exchange: Exchange) -> None:
        number = int(exchange.request.path.rsplit("/", 1)[1])
        await self.faults[number].carry_out(exchange)


def sweep() -> Iterator[Fault]:
    """Every byte position of a plain and of a chunked answer, closed and reset."""
    number = 0
    for make in (plain, chunked):
        for abrupt in (False, True):
            for cut in range(len(make(10_000)) + 1):
                number += 1
                answer = make(10_000 + number)
                yield Fault(10_000 + number, answer, min(cut, len(answer)), abrupt)


def at_random(number: int, chance: random.Random) -> Fault:
    make = chance.choice((plain, chunked))
    answer = make(number)
    kind = chance.randrange(12)
    if kind < 3:
        return Fault(number, answer, right=True)
    if kind < 6:
        return Fault(number, answer, chance.randrange(len(answer) + 1), chance.random() < 0.5)
    if kind == 6:
        return Fault(number, bytes(chance.randrange(256) for _ in range(chance.randrange(1, 300))), 300, wrong=True)
    if kind == 7:
        return Fault(number, plain(number).replace(b"Content-Length: ", b"Content-Length: 1"), 10_000, wrong=True)
    if kind == 8:
        return Fault(number, answer + plain(number + 1), right=True)
    if kind == 9:
        at = chance.randrange(len(answer))
        return Fault(number, answer[:at] + bytes([chance.randrange(256)]) + answer[at + 1:], 10_000, changed=True)
    if kind == 10:
        return Fault(number, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * chance.randrange(1, 15) + answer, right=True)
    return Fault(number, b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n", 100_000, wrong=True)


def judge(fault: Fault, outcome: http1.Response | bytes) -> None:
    """`outcome`: a whole response, or what came of a body before the end was cut."""
    if isinstance(outcome, bytes):
        assert not fault.right, f"{fault}: cut off"
    elif fault.changed:
        # Whatever the origin made of it: nothing of another's request.
        own = b"%d" % fault.number
        for number in re.findall(rb"<(\d+):", outcome.body):
            assert len(number) != len(own) or sum(a != b for a, b in zip(number, own)) <= 1, (fault, outcome)
    elif outcome.status >= 500:
        assert not fault.right and "sluice; error=" in (outcome.header("proxy-status") or ""), (fault, outcome)
    else:
        assert not fault.wrong and (fault.cut is None or fault.cut >= len(fault.answer)), (fault, outcome)
        assert outcome.status == 200 and outcome.body == body_of(fault.number), (fault, outcome)


class HTTP1Client:
    def __init__(self, gateway: object):
        self.gateway, self.client = gateway, None

    def ask(self, path: str, body: bytes) -> http1.Response | bytes:
        self.client = self.client or self.gateway.http1()
        try:
            method = "POST" if body else "GET"
            answer = self.client.request(method, path, [], body)
            if (answer.header("connection") or "").lower() == "close":
                self.close()
            return answer
        except (http1.EndOfStream, ConnectionError) as end:
            self.close()
            return getattr(end, "received", b"")

    def close(self) -> None:
        if self.client:
            self.client.close()
        self.client = None


class HTTP2Client:
    def __init__(self, gateway: object):
        self.gateway, self.client = gateway, None

    def ask(self, path: str, body: bytes) -> http1.Response | bytes:
        if self.client is None or self.client.goaway is not None or self.asked > 9_000:
            self.close()
            self.client, self.asked = self.gateway.http2(), 0
        self.asked += 1
        stream = self.client.start("POST" if body else "GET", path, end=not body)
        try:
            if body:
                self.client.send_body(stream, body)
        except StreamClosedError:
            pass  # the answer came first, and nobody wants the rest
        self.client.receive_until(lambda: stream in self.client.finished, "the stream ends")
        response = self.client.responses.get(stream)
        if stream in self.client.resets and self.client.resets[stream] != http2.NO_ERROR:
            return response.body if response else b""
        return response

    def close(self) -> None:
        if self.client:
            self.client.socket.close()
        self.client = None


CLIENTS = {"http1": HTTP1Client, "http2": HTTP2Client}


def run(gateway: object, kind: str, faults: list[Fault], body: bytes = b"", threads: int = 4) -> None:
    queue = iter(faults)
    lock = threading.Lock()

    def work() -> None:
        client = CLIENTS[kind](gateway)
        try:
            while True:
                with lock:
                    fault = next(queue, None)
                if fault is None:
                    return
                judge(fault, client.ask(f"/{fault.number}", body))
        finally:
            client.close()

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work) for _ in range(threads)]:
            done.result()


def descriptors(gateway: object) -> int:
    return len(os.listdir(f"/proc/{gateway.worker_pids()[0]}/fd"))


def all_is_back(gateway: object, before: int) -> None:
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "no exchange is left")
    wait_until(lambda: gateway.metric("sluice_connections_active") == 0, "no client connection is left")
    wait_until(lambda: gateway.metric("sluice_upstream_connections", state="active") == 0, "no origin connection is busy")
    wait_until(lambda: gateway.metric("sluice_slabs_live") == 0, "no slab is left")
    idle = gateway.metric("sluice_upstream_connections", state="idle")
    wait_until(lambda: descriptors(gateway) <= before + idle, "no descriptor is left")
    assert gateway.metric("sluice_bugs_total") == 0


@pytest.fixture
def plan(origin) -> Plan:
    plan = Plan()
    origin.script = plan.script
    return plan


@pytest.mark.parametrize("kind", CLIENTS)
def test_every_byte_position(start, origin, plan, kind):
    gateway = start(origin_options=PATIENT)
    before = descriptors(gateway)
    run(gateway, kind, [plan.add(fault) for fault in sweep()])
    all_is_back(gateway, before)


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_thousand_misbehaviours(start, origin, plan, kind, full):
    gateway = start(origin_options=PATIENT)
    before = descriptors(gateway)
    chance = random.Random(44)
    count = 50_000 if full else 1_000
    for first in range(0, count, 5_000):
        plan.faults.clear()
        run(gateway, kind, [plan.add(at_random(1_000_000 + number, chance)) for number in range(first, min(first + 5_000, count))])
        origin.requests.clear()
        origin.received.clear()
    all_is_back(gateway, before)


@pytest.mark.parametrize("kind", CLIENTS)
def test_stalls_at_every_tenth_byte(start, origin, plan, kind):
    gateway = start(origin_options=OPTIONS)
    before = descriptors(gateway)
    faults = [plan.add(Fault(number, make(number), cut, stalls=True))
              for number, (make, cut) in enumerate(((m, c) for m in (plain, chunked) for c in range(0, 60, 10)), 20_000)]
    run(gateway, kind, faults, threads=12)
    all_is_back(gateway, before)


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("ending", ["keeps", "closes", "resets"])
def test_answers_before_the_request_ended(start, origin, kind, ending):
    """The answer comes while the client still sends: it is delivered, or the exchange ends in an error."""
    async def early(reader, writer) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        number = int(head.split(b" ")[1].rsplit(b"/", 1)[1])
        writer.write(plain(number))
        await writer.drain()
        if ending == "keeps":
            while await reader.read(65536):
                pass
        elif ending == "resets":
            writer.transport.abort()
        return False

    origin.on_connect = early
    gateway = start(origin_options=OPTIONS)
    before = descriptors(gateway)
    run(gateway, kind, [Fault(number, plain(number), early=True) for number in range(30_000, 30_060)], body=b"x" * 400_000)
    all_is_back(gateway, before)


def http2_answer(number: int, stream: int) -> bytes:
    def field(name: bytes, value: bytes) -> bytes:
        return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value

    body = body_of(number)
    half = len(body) // 2
    block = field(b":status", b"200") + field(b"content-length", str(len(body)).encode())
    return (frame(http2.HEADERS, http2.END_HEADERS, stream, block) + frame(http2.DATA, 0, stream, body[:half])
            + frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 100)) + frame(http2.DATA, http2.END_STREAM, stream, body[half:]))


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("fault", ["cut", "changed"])
def test_http2_origins_that_break_at_every_byte(start, kind, fault):
    """Several at a time, each with its client: most of them end by a time limit."""
    origins = [Origin2() for _ in range(6)]
    chance = random.Random(45)

    async def broken(stream: Stream) -> None:
        number = int(stream.path.rsplit("/", 1)[1])
        answer = http2_answer(number, stream.number)
        at = number % (len(http2_answer(40_000, 1)) + 1)
        if fault == "cut":
            stream.connection.raw(answer[:at])
            stream.connection.writer.close()
        elif at < len(answer):
            stream.connection.raw(answer[:at] + bytes([answer[at] ^ (1 << chance.randrange(8))]) + answer[at + 1:])
        else:
            stream.connection.raw(answer)

    for each in origins:
        each.script = broken
    try:
        gateway = start(
            upstreams="".join(f'two{lane}:\n  servers: ["h2c://127.0.0.1:{each.port}"]\n  timeouts: {{connect: 2s, first_byte: 300ms, idle: 300ms}}\n'
                              "  ejection: {failures: 0}\n" for lane, each in enumerate(origins)),
            request="\n".join(f'- {{name: two{lane}, when: path starts_with "/{lane}/", do: [{{route: two{lane}}}]}}' for lane in range(len(origins))))
        before = descriptors(gateway)
        length = len(http2_answer(40_000, 1)) + 1
        faults = [Fault(40_000 + number, http2_answer(40_000 + number, 1), 10_000 if fault == "changed" else None) for number in range(2 * length)]

        def check(client: object, lane: int, each: Fault) -> None:
            outcome = client.ask(f"/{lane}/{each.number}", b"")
            if isinstance(outcome, bytes) or outcome.status >= 500:
                return
            assert outcome.body == body_of(each.number) or fault == "changed" and len(outcome.body) == len(body_of(each.number)), (each, outcome)

        def play(lane: int) -> None:
            client = CLIENTS[kind](gateway)
            for each in faults[lane::len(origins)]:
                check(client, lane, each)
            client.close()

        with ThreadPoolExecutor(len(origins)) as pool:
            list(pool.map(play, range(len(origins))))
        all_is_back(gateway, before)
    finally:
        for each in origins:
            each.stop()
