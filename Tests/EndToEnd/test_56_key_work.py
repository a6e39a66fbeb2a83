"""RSA keys and PBKDF2 run beside the requests, in the worker and in a cordon: bounded, stopped with their call, and nobody waits for them."""
import concurrent.futures
import socket
import struct
import threading

import pytest

from harness.waiting import wait_until

LANES = {"inline": "lane: inline", "cordon": "lane: cordon", "untrusted": "untrusted: true"}
HOOK = """\
    const stretch = async (iterations) => {
      const text = new TextEncoder(), key = await crypto.subtle.importKey("raw", text.encode("password"), "PBKDF2", false, ["deriveBits"]);
      const bits = await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", iterations, salt: text.encode("salt") }, key, 64);
      return Array.from(new Uint8Array(bits), (x) => x.toString(16).padStart(2, "0")).join("");
    };
    const make = async (modulusLength) => {
      const how = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength, publicExponent: new Uint8Array([1, 0, 1]) };
      const { privateKey, publicKey } = await crypto.subtle.generateKey(how, true, ["sign", "verify"]);
      const data = new Uint8Array(5), mark = await crypto.subtle.sign(how, privateKey, data);
      return `${mark.byteLength * 8} ${await crypto.subtle.verify(how, publicKey, mark, data)}`;
    };
    export default { async onRequest(request, env, ctx) {
      const { pathname, searchParams } = new URL(request.url), n = Number(searchParams.get("n"));
      if (pathname === "/quick") return new Response("quick");
      try { return new Response(await (pathname === "/make" ? make(n) : stretch(n))); } catch (error) { return new Response(error.message); }
    } };
    """


@pytest.fixture(params=LANES)
def lane(request):
    return LANES[request.param]


def serve(start, lane: str, crypto: str = "60s"):
    return start(functions=f"f: {{file: hooks/f.js, {lane}, limits: {{cpu: 500ms, wall: 120s, crypto: {crypto}}}}}\n"
                           "g: {file: hooks/f.js}\n",
                 request="- {name: g, when: 'path starts_with \"/quick\"', do: [{run: {function: g}}]}\n- {name: f, do: [{run: {function: f}}]}\n",
                 hooks={"f.js": HOOK})


def ends(gateway, result: str) -> int:
    return int(gateway.metric("sluice_hook_crypto_total", result=result))


def test_keys_are_made_and_passwords_stretched(start, lane):
    gateway = serve(start, lane)
    assert gateway.fetch("http1", "GET", "/make?n=2048").body == b"2048 true"
    assert gateway.fetch("http1", "GET", "/stretch?n=600000").body == b"669cfe52482116fd"
    wait_until(lambda: ends(gateway, "done") == 2, "both are counted")
    assert int(gateway.metric("sluice_hook_crypto_microseconds_total")) > 1000


def test_the_largest_key_node_is_asked_for_is_made(start):
    assert serve(start, "lane: inline").fetch("http1", "GET", "/make?n=4096").body == b"4096 true"


@pytest.mark.parametrize("path", ["/stretch?n=4294967295", "/make?n=8192"])
def test_nobody_waits_for_what_is_endless(start, lane, path):
    """Two such calls at a time, of one function: the requests of others go on meanwhile, and the limit ends each."""
    gateway = serve(start, lane, crypto="300ms")
    bodies, threads = [], []
    for _ in range(2):
        threads.append(threading.Thread(target=lambda: bodies.append(gateway.fetch("http1", "GET", path).body)))
        threads[-1].start()
    quick = 0
    while any(thread.is_alive() for thread in threads):
        assert gateway.fetch("http1", "GET", "/quick").body == b"quick"
        quick += 1
    assert quick > 20
    assert all(b"the limit of 300 ms of processor time for one call (limits.crypto) was reached" in body for body in bodies)
    wait_until(lambda: ends(gateway, "spent") == 2, "both are counted")
    assert int(gateway.metric("sluice_cordon_deaths_total")) == 0


def test_a_client_that_leaves_ends_the_work(start, lane):
    gateway = serve(start, lane)
    with socket.create_connection(("127.0.0.1", gateway.ports.plain)) as client:
        client.sendall(b"GET /stretch?n=4294967295 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: gateway.metric("sluice_hook_calls_total") >= 1, "the call is under way")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: ends(gateway, "stopped") == 1, "the work was stopped")
    assert gateway.fetch("http1", "GET", "/stretch?n=10000").body == b"5ec02b91a4b59c6f", "the thread is free again"


def test_large_keys_are_used_beside_the_requests(start, lane):
    """A signature with a key of 8,192 bits takes 50 ms and more: many at once, and nobody else waits for them."""
    gateway = start(functions=f"f: {{file: hooks/f.js, {lane}, limits: {{cpu: 500ms, wall: 60s, crypto: 60s}}}}\n",
                    request="- {name: f, do: [{run: {function: f}}]}\n", hooks={"f.js": """\
        const how = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 4096, publicExponent: new Uint8Array([1, 0, 1]) };
        let key, made;
        export default { async onRequest(request) {
          if (new URL(request.url).pathname === "/key") { key = await crypto.subtle.generateKey(how, true, ["sign", "verify"]); return new Response("made"); }
          const data = new TextEncoder().encode(request.url), mark = await crypto.subtle.sign(how, key.privateKey, data);
          return new Response(String(await crypto.subtle.verify(how, key.publicKey, mark, data)));
        } };
        """})
    assert gateway.fetch("http1", "GET", "/key").body == b"made"
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: gateway.fetch("http1", "GET", f"/{n}").body, range(100)))
    assert answers == [b"true"] * 100
    wait_until(lambda: ends(gateway, "done") == 101, "the key and each signature were made beside the requests")
