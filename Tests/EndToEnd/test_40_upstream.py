"""What goes wrong behind the gateway, and what the client is told."""
import contextlib
import json
import os
import signal
from pathlib import Path
import socket
import ssl
import threading

import pytest

from harness.origin import Exchange, Origin
from harness.waiting import wait_until

SHORT = "timeouts: {connect: 300ms, first_byte: 400ms, idle: 400ms}"


def proxy_status(answer) -> str:
    value = answer.header("proxy-status")
    assert value and value.startswith("sluice"), f"Proxy-Status names the gateway and the fault: {value}"
    return value


def test_refused_connection_is_502(start, origin, protocol):
    gateway = start(origin_options=SHORT)
    origin.refuse_new()
    answer = gateway.fetch(protocol, "GET", "/")
    assert answer.status == 502 and "connection_refused" in proxy_status(answer)


def test_unresolvable_name_is_502_and_no_reason_not_to_start(start, origin):
    gateway = start(upstreams='gone: {servers: ["http://no-such-host.invalid:80"]}',
                    request="- {name: gone, match: {path: /gone}, do: [{route: gone}]}")
    answer = gateway.fetch("http1", "GET", "/gone")
    assert answer.status in (502, 503) and "dns" in proxy_status(answer)
    assert gateway.fetch("http1", "GET", "/").status == 200


def test_silent_origin_is_504(start, origin, protocol):
    async def silent(exchange: Exchange):
        await origin.release.wait()

    origin.script = silent
    gateway = start(origin_options=SHORT)
    answer = gateway.fetch(protocol, "GET", "/")
    assert answer.status == 504 and "timeout" in proxy_status(answer)


def test_origin_that_stalls_in_the_body_cuts_the_response_off(start, origin, protocol):
    async def stall(exchange: Exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        await origin.release.wait()

    origin.script = stall
    gateway = start(origin_options=SHORT)
    if protocol == "http2":
        with gateway.http2() as client:
            stream = client.start("GET", "/")
            client.receive_until(lambda: stream in client.finished, "the stream ends")
            assert stream in client.resets and client.responses[stream].body == b"half"
    else:
        with gateway.http1(tls=protocol == "http1-tls") as client:
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.head().status == 200
            assert client.rest() == b"half", "a body that is cut off ends with the connection, not as if whole"


@contextlib.contextmanager
def asleep(pid: int):
    """Whatever happens meanwhile reaches the process at once."""
    os.kill(pid, signal.SIGSTOP)
    # The signal is only on its way: a process that runs on another core may still read what comes now.
    wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T", "the process is stopped")
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("framing", [b"Content-Length: 1000\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"], ids=["length", "chunked"])
def test_an_answer_that_is_cut_before_anybody_saw_it_is_502(start, origin, protocol, framing):
    workers = []

    async def cut(exchange: Exchange):
        with asleep(workers[0]):
            await exchange.send(b"HTTP/1.1 200 OK\r\n" + framing)
            exchange.writer.close()
            await exchange.writer.wait_closed()

    origin.script = cut
    gateway = start()
    workers += gateway.worker_pids()
    answer = gateway.fetch(protocol, "POST", "/", body=b"not to be sent twice")
    assert answer.status == 502 and b"half" not in answer.body
    assert "connection_terminated" in proxy_status(answer)


CUTS = {
    "before the response": b"", "within the status line": b"HTTP/1.1 20", "within the head": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n",
}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("abrupt", [False, True], ids=["closed", "reset"])
def test_origin_that_breaks_off_before_the_body_is_502(start, origin, cut, abrupt):
    async def broken(exchange: Exchange):
        if CUTS[cut]:
            await exchange.send(CUTS[cut])
        exchange.reset() if abrupt else exchange.writer.close()

    origin.script = broken
    gateway = start()
    answer = gateway.fetch("http1", "POST", "/", body=b"not to be sent twice")
    assert answer.status == 502
    assert "connection_terminated" in proxy_status(answer) or "http_response_incomplete" in proxy_status(answer)
    assert len(origin.requests) == 1, "what may have had an effect is not repeated"


MALFORMED = {
    "not HTTP": b"SSH-2.0-OpenSSH\r\n\r\n", "version 2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status of letters": b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
    "status 999 and more": b"HTTP/1.1 1000 OK\r\nContent-Length: 0\r\n\r\n",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "length with sign": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: cow\r\n\r\n",
    "folded line": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 0\r\n\r\n",
    "bare CR in a value": b"HTTP/1.1 200 OK\r\nX-A: a\rb\r\nContent-Length: 0\r\n\r\n",
    "head of 100 KB": b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "500 fields": b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 500 + b"Content-Length: 0\r\n\r\n",
    "unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_response_is_502(start, origin, name):
    async def malformed(exchange: Exchange):
        await exchange.send(MALFORMED[name] if exchange.request.path == "/bad"
                            else b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")

    origin.script = malformed
    gateway = start()
    answer = gateway.fetch("http1", "GET", "/bad")
    assert answer.status == 502, "no line of it reaches the client"
    assert "http" in proxy_status(answer)
    assert gateway.fetch("http1", "GET", "/good").body == b"fine", "its connection is not used again"


def test_bytes_after_a_response_never_become_the_next_response(start, origin):
    async def chatty(exchange: Exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal"
                            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")

    origin.script = chatty
    gateway = start()
    with gateway.http1() as client:
        assert [client.request("GET", "/").body for _ in range(5)] == [b"real"] * 5


def test_bad_chunk_in_a_response_cuts_it_off(start, origin):
    async def bad_chunk(exchange: Exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\nworld\r\n0\r\n\r\n")

    origin.script = bad_chunk
    gateway = start()
    with gateway.http1() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = client.rest()
        assert not received.endswith(b"0\r\n\r\n"), "the end of the body is not faked"


def test_response_without_length_ends_with_the_connection(start, origin, protocol):
    async def until_close(exchange: Exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_000)
        exchange.writer.close()

    origin.script = until_close
    gateway = start()
    assert gateway.fetch(protocol, "GET", "/").body == b"x" * 100_000


def test_interim_responses_pass_and_do_not_confuse(start, origin):
    async def early_hints(exchange: Exchange):
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    origin.script = early_hints
    gateway = start()
    with gateway.http1() as client:
        assert [client.request("GET", "/").body for _ in range(3)] == [b"ok"] * 3


def test_connections_to_the_origin_are_reused(start, origin):
    gateway = start()
    with gateway.http1() as client:
        connections = {json.loads(client.request("GET", "/").body)["connection"] for _ in range(20)}
    assert len(connections) == 1


def test_idle_connection_that_the_origin_closed_is_retried_once(start, origin):
    """The origin closes every connection after its first answer without saying so: no client may notice."""
    async def close_after(exchange: Exchange):
        await exchange.answer(200, b"fine")
        exchange.writer.close()

    origin.script = close_after
    gateway = start()
    with gateway.http1() as client:
        for _ in range(30):
            assert client.request("GET", "/").body == b"fine"


def test_request_on_a_stale_connection_is_repeated_only_when_nothing_was_answered(start, origin):
    async def second_dies(exchange: Exchange):
        mine = [each for each in origin.requests if each.connection == exchange.request.connection]
        if len(mine) == 1:
            await exchange.answer(200, b"fine")
        else:
            exchange.reset()

    origin.script = second_dies
    gateway = start()
    with gateway.http1() as client:
        for _ in range(5):
            assert client.request("GET", "/").body == b"fine"
    wait_until(lambda: gateway.metric("sluice_upstream_retries_total") >= 1, "the retries are counted")


def test_error_rule_answers_when_the_origin_is_down(start, origin, protocol):
    gateway = start(error="""\
        - name: origin down
          when: error.kind in {"connect" "timeout"}
          do: [{respond: {status: 503, body: "back soon", headers: {Retry-After: "30"}}}]
        """)
    origin.refuse_new()
    answer = gateway.fetch(protocol, "GET", "/")
    assert (answer.status, answer.body, answer.header("retry-after")) == (503, b"back soon", "30")


def test_round_robin_over_two_servers(start, origin):
    second = Origin()
    try:
        gateway = start(upstreams=f'both: {{servers: ["http://127.0.0.1:{origin.port}", "http://127.0.0.1:{second.port}"]}}',
                        request="- {name: both, do: [{route: both}]}")
        for _ in range(10):
            assert gateway.fetch("http1", "GET", "/").status == 200
        assert len(origin.requests) == len(second.requests) == 5
    finally:
        second.stop()


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
def test_https_origin_is_verified(start, certificates, tmp_path, trusted):
    """A second gateway with a certificate of the test authority plays the HTTPS origin."""
    origin_gateway = start()
    name = f"https://localhost:{origin_gateway.ports.secure}"
    tls = f'tls: {{ca: "{certificates}/ca.crt"}}' if trusted else ""
    gateway = start(upstreams=f'secure:\n  servers: ["{name}"]\n' + (f"  {tls}\n" if tls else ""),
                    request="- {name: secure, do: [{route: secure}]}")
    answer = gateway.fetch("http1", "GET", "/over-tls")
    if trusted:
        assert answer.status == 200 and json.loads(answer.body)["target"] == "/over-tls"
    else:
        assert answer.status == 502 and "tls" in proxy_status(answer)


@pytest.mark.parametrize("sni,asked,status", [(None, None, 200), ("localhost", "localhost", 200), ("other.test", "other.test", 502)])
def test_the_name_that_is_asked_for_and_checked_is_configured(start, certificates, sni, asked, status):
    names = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    context.sni_callback = lambda _, name, __: names.append(name)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    tls = f'tls: {{ca: "{certificates}/ca.crt"' + (f', sni: "{sni}"' if sni else "") + "}"
    gateway = start(upstreams=f'secure:\n  servers: ["https://127.0.0.1:{listener.getsockname()[1]}"]\n  {tls}\n',
                    request="- {name: secure, do: [{route: secure}]}")
    assert gateway.fetch("http1", "GET", "/").status == status
    thread.join(10)
    listener.close()
    assert names == [asked], "an address is no name to ask for"


LIMITED = {
    "fields": ("limits: {header_fields: 5}", b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 6 + b"Content-Length: 0\r\n\r\n"),
    "a field": ("limits: {header_field: 100B}", b"HTTP/1.1 200 OK\r\nX: " + b"1" * 200 + b"\r\nContent-Length: 0\r\n\r\n"),
    "a head": ("limits: {header_bytes: 1KiB}", b"HTTP/1.1 200 OK\r\n" + b"X: 123456789012345678901234567890\r\n" * 40 + b"Content-Length: 0\r\n\r\n"),
    "interim answers": ("limits: {interims: 1}", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("what", LIMITED)
def test_what_an_origin_may_send_is_configured(start, origin, what):
    options, answer = LIMITED[what]

    async def script(exchange: Exchange):
        await exchange.send(answer)

    origin.script = script
    assert start(origin_options=options).fetch("http1", "GET", "/").status == 502
    assert start().fetch("http1", "GET", "/").status == 200, "it is within what holds without being told"


def test_the_body_that_is_kept_for_another_attempt_is_configured(start, origin):
    async def script(exchange: Exchange):
        await exchange.answer(503 if len(origin.requests) % 2 else 200)

    origin.script = script
    gateway = start(origin_options="retry: {on: [503], methods: any, body: 1KiB}")
    assert gateway.fetch("http1", "POST", "/", body=b"x" * 1000).status == 200
    assert gateway.fetch("http1", "POST", "/", body=b"x" * 2000).status == 503
