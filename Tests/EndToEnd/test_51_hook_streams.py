"""Bodies that flow through hooks: changed on the way in constant memory, and out of V8 when nobody looks at them."""
import hashlib
import json

import pytest

from harness.waiting import wait_until
from harness.origin import PATTERN, pattern_sha256
import test_50_hooks
from test_50_hooks import start_with
from test_55_cordons import cordons


@pytest.fixture(autouse=True, params=["inline", "cordon"])
def lane(request):
    """Bodies flow chunk by chunk in both."""
    test_50_hooks.lane = request.param
    return request.param


UPPER = """\
    const bump = () => new TransformStream({ transform(chunk, out) {
      for (let i = 0; i < chunk.length; i += 4096) chunk[i] ^= 1;
      out.enqueue(chunk);
    } });
    """
BANNER = """\
    export default {
      async onResponse(response, env, ctx) {
        const needle = ctx.args.before;
        const headers = new Headers(response.headers);
        headers.delete("content-length");
        headers.set("x-banner", "1");
        const text = env.motd ? await (await env.motd.fetch("/today")).text() : ctx.args.text;
        let tail = "";
        const body = response.body
          .pipeThrough(new TextDecoderStream())
          .pipeThrough(new TransformStream({
            transform(chunk, out) {
              let s = tail + chunk, at;
              while ((at = s.indexOf(needle)) >= 0) {
                out.enqueue(s.slice(0, at) + `<p class=banner>${text}</p>` + needle);
                s = s.slice(at + needle.length);
              }
              const keep = Math.min(s.length, needle.length - 1);
              tail = s.slice(s.length - keep);
              out.enqueue(s.slice(0, s.length - keep));
            },
            flush(out) { out.enqueue(tail); },
          }))
          .pipeThrough(new TextEncoderStream());
        return new Response(body, { status: response.status, headers });
      },
    };
    """
WORKER = """\
    export default {
      async fetch(request, env, ctx) {
        const url = new URL(request.url);
        if (url.pathname === "/health") return new Response("ok");
        const response = await fetch(request);
        const copy = new Response(response.body, response);
        copy.headers.set("x-edge", "sluice");
        return copy;
      },
    };
    """


def test_banner_example_changes_a_page(start, origin, protocol):
    gateway = start_with(start, BANNER, phase="response", arguments='{text: "hello", before: "</body>"}')
    answer = gateway.fetch(protocol, "POST", "/", body=b"<body>page</body>")
    assert answer.header("x-banner") == "1"
    assert b"<body>page<p class=banner>hello</p></body>" in answer.body


def test_unchanged_worker_keeps_bodies_out_of_v8(start, protocol):
    gateway = start_with(start, WORKER)
    assert gateway.fetch(protocol, "GET", "/health").body == b"ok"
    answer = gateway.fetch(protocol, "GET", "/bytes/3000000")
    assert answer.header("x-edge") == "sluice"
    assert hashlib.sha256(answer.body).hexdigest() == pattern_sha256(3000000)
    assert gateway.metric("sluice_copied_bytes_total", where="hook") <= len("ok")


def test_large_bodies_flow_both_ways_in_constant_memory(start, protocol):
    # The HTTP/2 client of these tests is slow with large bodies.
    size = (16 if protocol == "http2" else 100) * 1024 * 1024
    gateway = start_with(start, UPPER + """\
        export default { onResponse(response) {
          return new Response(response.body.pipeThrough(bump()).pipeThrough(bump()), response);
        } };
        """, phase="response")
    pids = [*gateway.worker_pids(), *cordons(gateway)]
    before = [gateway.resident_kib(pid) for pid in pids]
    answer = gateway.fetch(protocol, "GET", f"/bytes/{size}")
    assert hashlib.sha256(answer.body).hexdigest() == pattern_sha256(size)
    for pid, kib in zip(pids, before):
        assert gateway.resident_kib(pid, peak=True) - kib < 64 * 1024


READER = """\
    export default { onResponse(response) {
      const reader = response.body.getReader();
      return new Response(new ReadableStream({ async pull(to) {
        const { done, value } = await reader.read();
        if (done) to.close(); else to.enqueue(value);
      } }), response);
    } };
    """
PASS_ON = """\
    export default { onResponse(response) {
      return new Response(response.body.pipeThrough(new TransformStream({ transform(chunk, to) { to.enqueue(chunk); } })), response);
    } };
    """


@pytest.mark.parametrize("hook", [READER, PASS_ON], ids=["reader", "transform"])
def test_chunks_cross_without_a_copy(start, protocol, lane, hook):
    size = 10_000_000
    # A debug build on a busy machine comes near the usual limit of 50 ms.
    gateway = start_with(start, hook, phase="response", limits="{cpu: 500ms}")
    answer = gateway.fetch(protocol, "GET", f"/bytes/{size}")
    assert len(answer.body) == size
    assert hashlib.sha256(answer.body).hexdigest() == pattern_sha256(size)
    wait_until(lambda: gateway.metric("sluice_forwarded_bytes_total") >= size, "the numbers of the whole exchange are told")
    copied = gateway.metric("sluice_copied_bytes_total", where="hook")
    if lane == "inline":
        # What came before the hook's result is kept as it was, so the hook got a copy of that; and scraps are copied.
        assert copied <= 256 * 1024
    else:
        assert copied <= 256 * 1024
        assert size <= gateway.metric("sluice_copied_bytes_total", where="cordon") <= 2.2 * size


def test_a_slow_reader_holds_the_origin_back(start):
    size = 32 * 1024 * 1024
    gateway = start_with(start, """\
        export default { onResponse(response) {
          return new Response(response.body.pipeThrough(new TransformStream()), response);
        } };
        """, phase="response")
    before = gateway.resident_kib()
    with gateway.http1(receive_buffer=8192) as client:
        client.send(b"GET /bytes/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % size)
        assert client.head().status == 200
        # Nothing is read for as long as it takes the gateway to answer others: it does not pile the body up.
        for _ in range(20):
            gateway.fetch("http1", "GET", "/bytes/10")
        # What the sockets of this machine hold was let through.
        assert gateway.metric("sluice_copied_bytes_total", where="hook") < 16 * 1024 * 1024
    assert gateway.resident_kib(peak=True) - before < 48 * 1024


def test_request_body_flows_through_a_hook(start, origin, protocol):
    size = 8 * 1024 * 1024
    body = (PATTERN * (size // len(PATTERN) + 1))[:size]
    gateway = start_with(start, UPPER + """\
        export default { onRequest(request) {
          return new Request(request, { body: request.body.pipeThrough(bump()).pipeThrough(bump()) });
        } };
        """)
    answer = gateway.fetch(protocol, "POST", "/up", body=body)
    seen = json.loads(answer.body)
    assert (seen["body_length"], seen["body_sha256"]) == (size, hashlib.sha256(body).hexdigest())


def test_the_body_of_the_request_may_be_the_answer(start, protocol):
    gateway = start_with(start, "export default { onRequest(request) { return new Response(request.body); } };")
    body = PATTERN * 4
    answer = gateway.fetch(protocol, "POST", "/", body=body)
    assert answer.status == 200
    assert hashlib.sha256(answer.body).hexdigest() == hashlib.sha256(body).hexdigest()


def test_two_hooks_change_one_body(start, protocol):
    mark = "export default {{ onResponse(response) {{ return new Response(response.body.pipeThrough(new TransformStream({{" \
        " flush(out) {{ out.enqueue(new TextEncoder().encode('{0}')); }} }})), response); }} }};"
    gateway = start(
        functions="one: {file: hooks/one.js, limits: {cpu: 500ms}}\ntwo: {file: hooks/two.js, limits: {cpu: 500ms}}",
        hooks={"one.js": mark.format("1"), "two.js": mark.format("2")},
        response="- name: one\n  do: [{run: {function: one}}]\n- name: two\n  do: [{run: {function: two}}]\n")
    answer = gateway.fetch(protocol, "GET", "/bytes/100000")
    assert answer.body[-2:] == b"12" and len(answer.body) == 100002


def test_a_throw_in_the_middle_cuts_the_answer(start):
    gateway = start_with(start, """\
        export default { onResponse(response) {
          let n = 0;
          return new Response(response.body.pipeThrough(new TransformStream({
            transform(chunk, out) { if ((n += chunk.length) > 500000) throw new Error("enough"); out.enqueue(chunk); } })), response);
        } };
        """, phase="response")
    with gateway.http1() as client:
        client.send(b"GET /bytes/2000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.head().status == 200
        rest = client.rest()
    assert b"0\r\n\r\n" != rest[-5:]
    assert "hooks/hook.js:4:" in gateway.wait_log("enough")
    assert gateway.fetch("http1", "GET", "/bytes/10").status == 200


@pytest.mark.parametrize("chunk", [8, 8192], ids=["before a byte was sent", "in the middle"])
def test_a_body_that_is_stopped_at_its_limit_is_no_whole_answer(start, chunk):
    """Stopping a stream closes it for its reader; that must not look like the end of the body."""
    gateway = start_with(start, """\
        export default { fetch() {
          let count = 0;
          return new Response(new ReadableStream({ pull(out) {
            out.enqueue("x".repeat(%d));
            if (++count === 60) for (;;);
            if (count === 100) out.close();
          } }).pipeThrough(new TextEncoderStream()));
        } };
        """ % chunk, limits="{cpu: 30ms}")
    with gateway.http1() as client:
        client.send(b"GET /hook HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = client.rest()
    assert answer.startswith(b"HTTP/1.1 5") or not answer.endswith(b"0\r\n\r\n")
    gateway.wait_log("the CPU limit of 30.0 ms was reached")


def test_a_body_read_in_part_goes_on_when_the_hook_fails_and_may(start, protocol):
    gateway = start_with(start, """\
        export default { async onRequest(request) {
          const reader = request.body.getReader();
          await reader.read();
          throw new Error("after the first chunk");
        } };
        """, policy="continue")
    answer = gateway.fetch(protocol, "POST", "/", body=b"whole body")
    assert json.loads(answer.body)["body"] == "whole body"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_answer_without_a_body_ends_the_stream(start, protocol, method):
    gateway = start_with(start, """\
        export default { onRequest() {
          return new Response(new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(1000)); },
            cancel() { console.log("cancelled"); } }), { status: 200 });
        } };
        """)
    if method == "HEAD":
        assert gateway.fetch(protocol, "HEAD", "/").status == 200
        gateway.wait_log("cancelled")
    else:
        with gateway.http1() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.head().status == 200
        gateway.wait_log("cancelled")


def test_a_copy_of_the_answer_is_read_after_it(start):
    """What Workers write to keep or count answers: the clone is read in waitUntil, which goes on when the client has all."""
    gateway = start_with(start, """\
        export default { async fetch(request, env, ctx) {
          const response = new Response((await fetch(request)).body, { headers: { "x-copied": "1" } }), copy = response.clone();
          ctx.waitUntil(copy.bytes().then(async (bytes) => { await new Promise((go) => setTimeout(go, 50)); console.log(`copied ${bytes.length}`); }));
          return response;
        } };
        """)
    for size in (6, 300_000):
        assert len(gateway.fetch("http1", "GET", f"/bytes/{size}").body) == size
        gateway.wait_log(f"copied {size}")
