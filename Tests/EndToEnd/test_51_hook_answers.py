"""Sub-requests of hooks whose bodies flow: answers chunk by chunk to the hook and on to the client, request bodies as they come."""
import hashlib
import json

import pytest

from harness.origin import PATTERN, pattern_sha256
from harness.waiting import wait_until

LANES = ["inline", "cordon"]


@pytest.fixture(params=LANES)
def run(start, request):
    def run(source: str, options: str = ""):
        return start(functions=f"hook: {{file: hooks/hook.js, lane: {request.param}, upstreams: [origin]{options}}}", hooks={"hook.js": source},
                     request="- name: hook\n  do: [{run: {function: hook}}]\n")
    run.lane = request.param
    return run


PASS = """
    export default { async onRequest(request, env) {
      const url = new URL(request.url);
      const { body, method } = request;
      const answer = await env.origin.fetch(url.pathname, method === "GET" ? {} : { method, body, duplex: "half" });
      return new Response(answer.body, { status: answer.status, headers: { "x-length": answer.headers.get("content-length") ?? "none" } });
    } };
"""


def test_an_answer_of_any_size_is_handed_on_in_constant_memory(run, protocol):
    size = (8 if protocol == "http2" else 64) << 20
    gateway = run(PASS)
    before = gateway.resident_kib()
    answer = gateway.fetch(protocol, "GET", f"/bytes/{size}")
    assert answer.status == 200 and hashlib.sha256(answer.body).hexdigest() == pattern_sha256(size)
    assert gateway.resident_kib(peak=True) - before < 48 * 1024
    if run.lane == "inline":
        wait_until(lambda: gateway.metric("sluice_forwarded_bytes_total") >= size, "the numbers of the whole exchange are told")
        assert gateway.metric("sluice_copied_bytes_total", where="hook") < size / 100


def test_a_body_is_sent_on_as_it_comes_with_its_length(run, origin, protocol):
    size = 6 << 20
    body = (PATTERN * (size // len(PATTERN) + 1))[:size]
    gateway = run(PASS)
    answer = gateway.fetch(protocol, "POST", "/up", body=body)
    seen = json.loads(answer.body)
    assert (seen["body_length"], seen["body_sha256"]) == (size, hashlib.sha256(body).hexdigest())
    if protocol != "http2":
        assert origin.requests[-1].header("content-length") == str(size)


def test_a_stream_is_sent_in_chunks_to_the_origin(run, origin):
    gateway = run("""
        export default { async onRequest(request, env) {
          let n = 0;
          const body = new ReadableStream({ pull(to) { if (n++ === 50) to.close(); else to.enqueue(new Uint8Array(50000).fill(65)); } });
          return env.origin.fetch("/up", { method: "PUT", body, duplex: "half" });
        } };
        """)
    seen = json.loads(gateway.fetch("http1", "GET", "/").body)
    assert (seen["method"], seen["body_length"], seen["body_sha256"]) == ("PUT", 2_500_000, hashlib.sha256(b"A" * 2_500_000).hexdigest())
    assert origin.requests[-1].header("transfer-encoding") == "chunked"


def test_the_whole_of_an_answer_may_be_larger_than_one_mebibyte(run):
    gateway = run("""
        export default { async onRequest(request, env) {
          const bytes = await (await env.origin.fetch("/bytes/4000000")).bytes();
          const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
          return new Response(Array.from(hash, (one) => one.toString(16).padStart(2, "0")).join(""));
        } };
        """, ", limits: {cpu: 1s}")
    assert gateway.fetch("http1", "GET", "/").body.decode() == pattern_sha256(4_000_000)


def test_more_than_a_function_may_hold_is_a_rejection(run):
    gateway = run("""
        export default { async onRequest(request, env) {
          try {
            await (await env.origin.fetch("/bytes/60000000")).bytes();
            return new Response("all of it");
          } catch (error) { return new Response(error.name + ": " + error.message); }
        } };
        """, ", limits: {cpu: 1s}")
    assert b"Error: " in gateway.fetch("http1", "GET", "/").body
    assert gateway.fetch("http1", "GET", "/").status == 200


def test_the_head_is_there_before_the_body(run, origin):
    """An origin that sends nothing more until the client has seen the head."""
    seen = []

    async def script(exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Early: yes\r\n\r\n")
        await exchange.send(b"first")
        await origin.release.wait()
        seen.append("released")
        await exchange.send(b"last")

    origin.script = script
    gateway = run(PASS)
    with gateway.http1() as client:
        client.send(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.head().header("x-length") == "9"
        assert client.exactly(10).split(b"\r\n")[1] == b"first"
        assert seen == []
        origin.call(origin.release.set)
        assert client.until(b"0\r\n\r\n").split(b"\r\n")[-2] == b"last"


def test_a_client_that_does_not_read_holds_the_upstream_back(run):
    gateway = run(PASS)
    before = gateway.resident_kib()
    with gateway.http1(receive_buffer=8192) as client:
        client.send(b"GET /bytes/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % (64 << 20))
        assert client.head().status == 200
        for _ in range(20):
            assert gateway.fetch("http1", "GET", "/bytes/10").status == 200
    assert gateway.resident_kib(peak=True) - before < 32 * 1024


def test_half_an_answer_is_no_whole_one(run, origin):
    async def script(exchange):
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 500_000)
        exchange.reset()

    origin.script = script
    gateway = run(PASS)
    with gateway.http1() as client:
        client.send(b"GET /cut HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.head().status == 200
        assert not client.rest().endswith(b"0\r\n\r\n")
    origin.script = None
    assert gateway.fetch("http1", "GET", "/bytes/10").status == 200


def test_a_client_that_leaves_ends_the_sub_request(run, origin):
    gateway = run(PASS)
    with gateway.http1(receive_buffer=8192) as client:
        client.send(b"GET /bytes/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % (64 << 20))
        assert client.head().status == 200
        assert origin.at_once == 1
    wait_until(lambda: origin.at_once == 0 and origin.open_now == 0, "the connection to the origin is given up")
    assert gateway.fetch("http1", "GET", "/bytes/10").status == 200


def test_an_answer_that_is_not_read_does_not_outlive_its_call(run, origin):
    gateway = run("""
        export default { async onRequest(request, env) {
          const answer = await env.origin.fetch("/bytes/60000000");
          return new Response(String(answer.status));
        } };
        """)
    assert gateway.fetch("http1", "GET", "/").body == b"200"
    wait_until(lambda: origin.at_once == 0, "the rest is not waited for")


def test_an_origin_that_answers_early_ends_the_body(run, origin):
    async def early(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        await reader.read(100_000)
        return False

    origin.on_connect = early
    gateway = run("""
        export default { async onRequest(request, env) {
          let cancelled = "no";
          const body = new ReadableStream({ pull(to) { to.enqueue(new Uint8Array(1000)); }, cancel() { cancelled = "yes"; } });
          const answer = await env.origin.fetch("/", { method: "POST", body, duplex: "half" });
          return new Response(`${answer.status} ${cancelled}`);
        } };
        """)
    assert gateway.fetch("http1", "GET", "/").body == b"413 yes"
