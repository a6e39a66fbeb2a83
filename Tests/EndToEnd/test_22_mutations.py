"""Messages that are almost well formed, made at random: whatever the gateway lets through is read alike by other parsers.

Every request that an origin reads must be one that the gateway sent on purpose: it bears an id that the gateway gave it. What a client
writes itself is replaced, so a request that was smuggled has none. SLUICE_MUTATIONS=N tries more, SLUICE_SEED another row."""
import contextlib
import os
import random
import socket
from concurrent.futures import ThreadPoolExecutor

import h11
import pytest

from harness import mutations
from harness.waiting import wait_until

COUNT = int(os.environ.get("SLUICE_MUTATIONS", "400"))
SEED = int(os.environ.get("SLUICE_SEED", "1"))
METHODS = {"GET", "POST", "PUT"}
SHORT = "head_timeout: 500ms, body_rate_time: 500ms, keep_alive: 500ms"


def talk(port: int, data: bytes) -> bytes:
    """What comes back until the gateway closes."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client, contextlib.suppress(ConnectionError):
        client.sendall(data)
        while more := client.recv(65536):
            got += more
    return got


def test_what_the_gateway_forwards_is_read_alike_by_h11_node_and_nginx(start, origin, tmp_path):
    gateway = start(limits=f"{{{SHORT}}}")
    chance = random.Random(SEED)
    streams = []
    for number in range(COUNT):
        mutated = mutations.mutate(chance, chance.choice(mutations.requests(number)), mutations.REQUEST_LINES)
        streams.append(mutated + b"GET /canary%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number)
    with ThreadPoolExecutor(48) as pool:
        list(pool.map(lambda data: talk(gateway.ports.plain, data), streams))
    wait_until(lambda: gateway.metric("sluice_requests_active") == 0, "all is over")
    with gateway.http1() as last:
        assert last.request("GET", "/last").status == 200
    wait_until(lambda: any(line["path"] == "/last" for line in gateway.access_log()), "the log is written")
    known = {line["id"] for line in gateway.access_log()}

    records = [bytes(each) for each in origin.received if each]
    own = {number: [each for each in origin.requests if each.connection == number] for number in range(len(origin.received))}
    read = {"h11": [mutations.by_h11(raw) for raw in records], "node": mutations.by_node(records), "nginx": mutations.by_nginx(records, tmp_path)}
    numbers = [number for number, each in enumerate(origin.received) if each]
    problems = []
    for index, raw in enumerate(records):
        expected = [(each.header("x-request-id"), each.method, each.target) for each in own[numbers[index]]]
        lengths = [each.body_length if each.complete else None for each in own[numbers[index]]]
        for who, all_seen in read.items():
            seen = all_seen[index]
            # Whoever refuses a method that it does not know has read it, and reads no further.
            refuses = seen.trouble in ("HPE_INVALID_METHOD", "400") and expected[len(seen.heads)][1] not in METHODS
            length = len(seen.heads) if refuses else max(len(seen.heads), len(expected))
            if seen.heads[:length] != expected[:length] or seen.trouble and not refuses:
                at = next((place for place, pair in enumerate(zip(seen.heads, expected)) if pair[0] != pair[1]), len(seen.heads))
                problems.append((who, seen.trouble, seen.heads[at:at + 1], expected[at:at + 1], around(raw, expected[at:at + 1])))
            elif who != "nginx" and seen.bodies[:length] != lengths[:length]:
                problems.append((who, "bodies", [each for each in zip(expected, seen.bodies, lengths) if each[1] != each[2]]))
        if strange := [each for each in expected if each[0] not in known]:
            problems.append(("nobody asked for", strange, raw))
    assert not problems, f"{len(problems)} of {len(records)} connections, seed {SEED}: {problems[:6]}"
    assert sum(len(each) for each in own.values()) > COUNT // 3, "much of what is sent is forwarded"


def around(raw: bytes, expected) -> bytes:
    """What was sent for the first of these."""
    at = raw.find(b"X-Request-Id: " + expected[0][0].encode()) if expected else len(raw)
    return raw[max(0, at - 400):at + 400]


def client_reads(data: bytes) -> tuple[list[bytes], str]:
    """The bodies of the answers to three GET requests on one connection, as h11 reads them; how it ended."""
    parser, bodies = h11.Connection(h11.CLIENT), []
    fed = False
    for number in range(3):
        parser.send(h11.Request(method="GET", target=f"/{number}", headers=[("Host", "localhost")]))
        parser.send(h11.EndOfMessage())
        body = b""
        try:
            while True:
                event = parser.next_event()
                if event is h11.NEED_DATA:
                    parser.receive_data(b"" if fed else data)
                    fed = True
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    break
                elif isinstance(event, h11.ConnectionClosed):
                    return bodies, "closed"
        except h11.RemoteProtocolError as error:
            # An end of the connection is no wrong reading: the answer is known to be missing.
            return bodies, "closed" if fed and ("ConnectionClosed" in str(error) or "closed connection" in str(error)) else str(error)
        bodies.append(body)
        if parser.their_state is h11.DONE and parser.our_state is h11.DONE:
            parser.start_next_cycle()
        else:
            return bodies, "closed"
    return bodies, "more" if parser.trailing_data[0] else ""


def test_a_mutated_answer_reaches_nobody_but_who_asked(start, origin):
    """Whatever an origin answers, the next client on its connection gets its own answer, and each client one reading of what it gets."""
    answers = {}

    async def serve(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            target = head.split(b" ")[1]
            answer = answers.get(target) or b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target)
            writer.write(answer)
            await writer.drain()
        return False

    origin.on_connect = serve
    gateway = start(limits=f"{{{SHORT}}}", origin_options="timeouts: {idle: 500ms, first_byte: 500ms}\nejection: {failures: 0}\nmax_connections: 8")
    chance = random.Random(SEED)
    for number in range(COUNT):
        answers[b"/r%d" % number] = mutations.mutate(chance, chance.choice(mutations.responses(number)), mutations.RESPONSE_LINES)

    def ask(number: int):
        return talk(gateway.ports.plain, b"".join(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % each for each in
                                                  (b"/n%d" % number, b"/r%d" % number, b"/o%d" % number)))

    with ThreadPoolExecutor(24) as pool:
        got = list(pool.map(ask, range(COUNT)))
    problems = []
    for number, data in enumerate(got):
        bodies, end = client_reads(data)
        wrong = [body for place, body in zip((0, 2), bodies[:1] + bodies[2:]) if body != (b"/n%d" if place == 0 else b"/o%d") % number]
        foreign = b"/n" in b"".join(bodies[1:2]) or b"/o" in b"".join(bodies[1:2])
        if wrong or foreign or end not in ("", "closed"):
            problems.append((number, end, wrong, answers[b"/r%d" % number], data))
    assert not problems, f"{len(problems)}, seed {SEED}: {problems[:3]}"


@pytest.mark.parametrize("data,reading", [(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" * 3, ([b"a"] * 3, "")),
                                          (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", ([b"a"], "closed"))], ids=["whole", "rubbish"])
def test_the_reader_of_these_tests_reads(data, reading):
    bodies, end = client_reads(data)
    assert bodies == reading[0] and (end == reading[1] or bodies != [b"a"] * 3 and end)
