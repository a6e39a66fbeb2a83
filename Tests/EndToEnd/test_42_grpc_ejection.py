"""What a status of gRPC says of the server that sent it, and where else it is told: 200 on the outside, a failure within."""
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.gateway import rule_file
from harness.origin import running
from harness.origin2 import Origin2, Stream
from harness.waiting import wait_until

CALL = [("content-type", "application/grpc"), ("te", "trailers")]
MESSAGE = b"\0\0\0\0\1x"
OK, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE = 0, 4, 13, 14


@pytest.fixture
def pair() -> Iterator[list[Origin2]]:
    yield from running(Origin2, 2)


async def trailers_only(stream: Stream, status: int) -> None:
    await stream.head(200, [("content-type", "application/grpc"), ("grpc-status", str(status))], end=True)


async def behind_a_message(stream: Stream, status: int) -> None:
    await stream.head(200, [("content-type", "application/grpc")])
    await stream.data(MESSAGE)
    await stream.finish([("grpc-status", str(status))])


Manner = Callable[[Stream, int], object]


def says(server: Origin2, how: Manner, *statuses: int) -> None:
    """One after the other, again and again."""
    async def script(stream: Stream) -> None:
        await stream.complete.wait()
        await how(stream, statuses[(len(server.requests) - 1) % len(statuses)])

    server.script = script


def upstream(servers: list[Origin2], options: str) -> str:
    urls = ", ".join(f'"h2c://127.0.0.1:{each.port}"' for each in servers)
    return f"grpc:\n  servers: [{urls}]\n  {options}\n"


def opened(start, servers: list[Origin2], ejection: str):
    return start(upstreams=upstream(servers, f"ejection: {{failures: 3, time: 60s{ejection}}}"), request="- {name: grpc, do: [{route: grpc}]}")


def call(gateway, *more: tuple[str, str], count: int = 1) -> None:
    with gateway.http2() as client:
        for _ in range(count):
            assert client.request("POST", "/t/Call", [*CALL, *more], MESSAGE).status == 200


def is_left_out(gateway, server: Origin2, calls: int = 20) -> bool:
    """Whether the second of two servers gets no more than the three calls that it takes."""
    before = len(server.requests)
    call(gateway, count=calls)
    got = len(server.requests) - before
    assert got in (3, calls // 2)
    return got == 3


@pytest.mark.parametrize("how", [trailers_only, behind_a_message])
@pytest.mark.parametrize("status, ejection, out", [
    (UNAVAILABLE, "", True), (DEADLINE_EXCEEDED, "", True), (INTERNAL, "", False), (5, "", False), (8, "", False),
    (INTERNAL, ", grpc_status: [internal, unknown]", True), (UNAVAILABLE, ", grpc_status: internal", False), (UNAVAILABLE, ", grpc_status: []", False),
])
def test_a_server_whose_calls_fail_is_left_out_as_one_that_says_503(start, pair, how, status, ejection, out):
    says(pair[0], how, OK)
    says(pair[1], how, status)
    gateway = opened(start, pair, ejection)
    assert is_left_out(gateway, pair[1]) is out
    wait_until(lambda: gateway.metric("sluice_upstream_ejections_total") == int(out), "it is counted")


@pytest.mark.parametrize("how", [trailers_only, behind_a_message])
def test_a_call_that_goes_well_ends_the_row(start, pair, how):
    says(pair[0], how, OK)
    says(pair[1], how, UNAVAILABLE, UNAVAILABLE, OK)
    assert not is_left_out(opened(start, pair, ""), pair[1], 60)


def test_a_deadline_of_the_client_is_no_fault_of_the_server(start, pair):
    """Who asks for an answer within a nanosecond cannot take servers out for everybody."""
    says(pair[0], trailers_only, OK)
    says(pair[1], trailers_only, DEADLINE_EXCEEDED)
    gateway = opened(start, pair, "")
    call(gateway, ("grpc-timeout", "1n"), count=20)
    assert len(pair[1].requests) > 3
    assert is_left_out(gateway, pair[1]), "while without a deadline of theirs it is"


def test_what_is_no_call_of_grpc_is_judged_by_its_status_alone(start, pair):
    for server in pair:
        says(server, trailers_only, UNAVAILABLE)
    gateway = opened(start, pair, "")
    with gateway.http2() as client:
        for _ in range(20):
            assert client.request("GET", "/").status == 200
    assert len(pair[1].requests) == 10


# The access log

def logged(start, certificates: Path, origin, server: Origin2, log: str):
    def rules(ports) -> str:
        text = rule_file(ports, certificates, origin.port, upstreams=upstream([server], "ejection: {failures: 0}"),
                         request="- {name: no, match: {path: /t/No}, do: [{deny: {status: 403}}]}\n- {name: grpc, do: [{route: grpc}]}")
        return text.replace("access_log: {path: access.log}", f"access_log: {log}")
    return start(rules=rules)


@pytest.mark.parametrize("how", [trailers_only, behind_a_message])
def test_the_access_log_tells_how_a_call_ended(start, certificates, origin, pair, how):
    gateway = logged(start, certificates, origin, pair[0], "{path: access.log}")
    says(pair[0], how, OK, UNAVAILABLE)
    with gateway.http2() as client:
        for path in ("/t/Call", "/t/Call", "/t/No"):
            client.request("POST", path, CALL, MESSAGE)
        client.request("GET", "/plain")
    lines = wait_until(lambda: len(found := gateway.access_log()) >= 4 and found, "all are logged")
    assert [(line["status"], line.get("grpc_status")) for line in lines] == [(200, 0), (200, 14), (200, 7), (200, None)]
    results = ("ok", "server", "client", "none")
    wait_until(lambda: [gateway.metric("sluice_grpc_calls_total", result=each) for each in results] == [1, 1, 1, 0], "they are counted by what went wrong")


def test_a_template_can_name_it(start, certificates, origin, pair):
    gateway = logged(start, certificates, origin, pair[0], "{path: a.log, template: '${status} ${grpc_status}'}")
    says(pair[0], trailers_only, UNAVAILABLE)
    with gateway.http2() as client:
        client.request("POST", "/t/Call", CALL, MESSAGE)
        client.request("GET", "/plain")
    assert wait_until(lambda: len(found := (gateway.folder / "a.log").read_text().splitlines()) >= 2 and found, "both are logged") == ["200 14", "200 -"]


def test_sampling_leaves_out_no_call_that_failed(start, certificates, origin, pair):
    gateway = logged(start, certificates, origin, pair[0], "{path: access.log, sample: 1%}")
    says(pair[0], behind_a_message, OK, UNAVAILABLE)
    call(gateway, count=60)
    wait_until(lambda: gateway.metric("sluice_log_lines_total") + gateway.metric("sluice_log_lines_sampled_out_total") == 60, "all are counted")
    statuses = wait_until(lambda: len(found := [line["grpc_status"] for line in gateway.access_log()]) >= 30 and found, "those that failed are there")
    assert statuses.count(14) == 30 and statuses.count(0) < 15


# gRFC A6: how often a call was tried before

def attempts(server: Origin2) -> list[str | None]:
    return [each.header("grpc-previous-rpc-attempts") for each in server.requests]


RETRY = "retry: {tries: 4, grpc_status: unavailable, on: [connect, reset, 503], methods: any}"


@pytest.mark.parametrize("own, told", [(None, [None, "1", "2"]), ("3", ["3", "4", "5"]), ("many", ["many", "1", "2"])])
def test_a_server_hears_how_often_a_call_was_tried(start, pair, own, told):
    """What a client that repeats calls itself says is added to."""
    says(pair[0], trailers_only, UNAVAILABLE, UNAVAILABLE, OK)
    gateway = start(upstreams=upstream(pair[:1], RETRY), request="- {name: grpc, do: [{route: grpc}]}")
    call(gateway, *([("grpc-previous-rpc-attempts", own)] if own else []))
    assert attempts(pair[0]) == told


@pytest.mark.parametrize("kind, told", [("refused", [None, None]), ("reset", [None, "1"]), ("503", [None, "1"])])
def test_attempts_that_no_server_looked_at_do_not_count(start, pair, kind, told):
    async def script(stream: Stream) -> None:
        await stream.complete.wait()
        if len(pair[0].requests) > 1:
            await trailers_only(stream, OK)
        elif kind == "503":
            await stream.head(503, [], end=True)
        else:
            stream.cut(7 if kind == "refused" else 2)

    pair[0].script = script
    gateway = start(upstreams=upstream(pair[:1], RETRY), request="- {name: grpc, do: [{route: grpc}]}")
    call(gateway)
    assert attempts(pair[0]) == told


def test_other_requests_hear_nothing_of_it(start, pair):
    async def script(stream: Stream) -> None:
        await stream.head(503 if len(pair[0].requests) == 1 else 200, [], end=True)

    pair[0].script = script
    gateway = start(upstreams=upstream(pair[:1], RETRY), request="- {name: grpc, do: [{route: grpc}]}")
    assert gateway.fetch("http2", "POST", "/form", body=b"x").status == 200
    assert attempts(pair[0]) == [None, None]
