"""Who the client is: trusted proxies, the PROXY protocol in and out; and origins behind Unix sockets and client certificates."""
import asyncio
import json
import re
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from harness import http1
from harness.gateway import rule_file
from harness.origin import Origin, read_proxy_header
from harness.waiting import wait_until

SEEN = "- {name: seen, do: [{set_header: {X-Seen-Ip: \"${client.ip}\", X-Seen-Scheme: \"${scheme}\", X-Seen-Id: \"${request.id}\"}}]}"


def with_top(text: str):
    """A rule file with further sections at its top."""
    def make(certificates, origin, **parts):
        return lambda ports: rule_file(ports, certificates, origin.port, **parts) + text
    return make


def fields(answer) -> dict[str, str]:
    return {name.lower(): value for name, value in json.loads(answer.body)["headers"]}


TRUST = "forwarding: {trust: [127.0.0.0/8, 10.0.0.0/8, \"2001:db8:1::/48\"]}\n"


@pytest.fixture
def trusting(start, certificates, origin):
    return start(rules=with_top(TRUST)(certificates, origin, request=SEEN))


CLAIMS = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Port", "1"),
          ("Forwarded", "for=6.6.6.6"), ("X-Real-IP", "6.6.6.6"), ("X-Request-Id", "0123456789abcdef0123456789abcdef")]


def test_nobodys_word_is_taken_unless_trusted(start, origin, protocol):
    gateway = start(request=SEEN)
    got = fields(gateway.fetch(protocol, "GET", "/", CLAIMS))
    assert got["x-forwarded-for"] == "127.0.0.1" and got["x-seen-ip"] == "127.0.0.1"
    assert got["x-forwarded-proto"] == got["x-seen-scheme"] == ("http" if protocol == "http1" else "https")
    assert got["x-forwarded-host"] == "localhost"
    assert got["x-request-id"] != CLAIMS[-1][1] and re.fullmatch("[0-9a-f]{32}", got["x-request-id"])
    assert not {"forwarded", "x-real-ip", "x-forwarded-port"} & got.keys()
    assert b"6.6.6.6" not in origin.raw and b"evil" not in origin.raw


@pytest.mark.parametrize("told,ip", [
    (["203.0.113.7"], "203.0.113.7"), (["6.6.6.6, 203.0.113.7"], "203.0.113.7"), (["6.6.6.6, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
    (["6.6.6.6", "203.0.113.7,10.1.2.3"], "203.0.113.7"), (["203.0.113.7:1234"], "203.0.113.7"), (["[2001:db8::7]:1234"], "2001:db8::7"),
    (["2001:db8::7, 2001:db8:1::1"], "2001:db8::7"), (["10.9.9.9, 10.1.2.3"], "10.9.9.9"), (["6.6.6.6, nonsense"], "127.0.0.1"),
    (["6.6.6.6, nonsense, 10.1.2.3"], "10.1.2.3"), ([""], "127.0.0.1"), (["6.6.6.6,,203.0.113.7"], "203.0.113.7"), (["unknown"], "127.0.0.1"),
])
def test_the_first_untrusted_address_from_the_right_is_the_client(trusting, told, ip):
    got = fields(trusting.fetch("http1", "GET", "/", [("X-Forwarded-For", value) for value in told]))
    assert got["x-seen-ip"] == ip
    assert got["x-forwarded-for"] == ", ".join([*told, "127.0.0.1"]), "the whole way is passed on, with the peer"


def test_a_trusted_proxy_tells_scheme_host_and_id(trusting):
    got = fields(trusting.fetch("http1", "GET", "/", [
        ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example"),
        ("X-Request-Id", "01234567-89ab-cdef-0123-456789abcdef")]))
    assert got["x-seen-scheme"] == "https" and got["x-forwarded-proto"] == "https" and got["x-forwarded-host"] == "shop.example"
    assert got["x-seen-id"] == got["x-request-id"] == "0123456789abcdef0123456789abcdef"


def test_each_request_of_a_connection_has_its_own_client(trusting):
    with trusting.http1() as client:
        for told, ip in [("203.0.113.7", "203.0.113.7"), (None, "127.0.0.1"), ("203.0.113.8", "203.0.113.8")]:
            answer = client.request("GET", "/", [("X-Forwarded-For", told)] if told else [])
            assert fields(answer)["x-seen-ip"] == ip


def test_forwarded_by_rfc_7239_and_traceparent(start, certificates, origin):
    gateway = start(rules=with_top("forwarding: {fields: both, traceparent: make}\n")(certificates, origin))
    got = fields(gateway.fetch("http1-tls", "GET", "/", [("Forwarded", "for=6.6.6.6"), ("traceparent", "rubbish"), ("tracestate", "a=b")]))
    assert got["forwarded"] == 'for=127.0.0.1;host="localhost";proto=https'
    assert got["x-forwarded-for"] == "127.0.0.1"
    made = re.fullmatch("00-([0-9a-f]{32})-[0-9a-f]{16}-01", got["traceparent"])
    assert made and made[1] == got["x-request-id"] and "tracestate" not in got
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
    assert fields(gateway.fetch("http1", "GET", "/", [("traceparent", good)]))["traceparent"] == good


# PROXY protocol


def behind_balancer(certificates, origin, peers: str, **parts):
    def make(ports):
        text = rule_file(ports, certificates, origin.port, **parts)
        return text.replace(f'address: "127.0.0.1:{ports.plain}"', f'address: "127.0.0.1:{ports.plain}", proxy_protocol: [{peers}]') \
            .replace(f'  address: "127.0.0.1:{ports.secure}"', f'  address: "127.0.0.1:{ports.secure}"\n    proxy_protocol: [{peers}]')
    return make


def v2(source: bytes, port: int, command: int = 0x21, family: int = 0x11, tail: bytes = b"") -> bytes:
    body = source + b"\x7f\0\0\1" + struct.pack(">HH", port, 443) + tail
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, family]) + struct.pack(">H", len(body)) + body


HEADERS = {
    "v1": (b"PROXY TCP4 203.0.113.9 127.0.0.1 5555 443\r\n", "203.0.113.9"),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "v1 IPv6": (b"PROXY TCP6 2001:db8::9 2001:db8::1 5555 443\r\n", "2001:db8::9"),
    "v2": (v2(b"\xcb\0\x71\x09", 5555), "203.0.113.9"),
    "v2 local": (v2(b"\xcb\0\x71\x09", 5555, command=0x20), "127.0.0.1"),
    "v2 with TLVs": (v2(b"\xcb\0\x71\x09", 5555, tail=b"\x04\0\x05abcde"), "203.0.113.9"),
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "bytes"])
def test_a_balancer_names_the_client(start, certificates, origin, name, tls, pieces):
    header, ip = HEADERS[name]
    gateway = start(rules=behind_balancer(certificates, origin, "127.0.0.1", request=SEEN))
    raw = socket.create_connection(("127.0.0.1", gateway.ports.secure if tls else gateway.ports.plain), timeout=20)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for part in ([header[i:i + 1] for i in range(len(header))] if pieces else [header]):
        raw.sendall(part)
    stream = http1.tls_context(gateway.authority, ["http/1.1"]).wrap_socket(raw, server_hostname="localhost") if tls else raw
    stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    data = b""
    while part := stream.recv(65536):
        data += part
    got = {name.lower(): value for name, value in json.loads(data.partition(b"\r\n\r\n")[2])["headers"]}
    assert got["x-seen-ip"] == ip and got["x-forwarded-for"] == ip
    stream.close()


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" + b"\0" * 12,
                                  b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13" + b"\x7f\0\0\x01" * 2 + b"\0\1\0\2" + b"\3\0\4sum?"])
def test_a_balancer_without_a_good_header_is_closed(start, certificates, origin, sent):
    gateway = start(rules=behind_balancer(certificates, origin, "127.0.0.1"))
    with socket.create_connection(("127.0.0.1", gateway.ports.plain), timeout=20) as raw:
        raw.sendall(sent)
        try:
            assert raw.recv(100) == b""
        except ConnectionResetError:
            pass
    wait_until(lambda: gateway.metric("sluice_proxy_headers_refused_total") == 1, "it is counted")
    wait_until(lambda: gateway.metric("sluice_connections_active") == 0, "nothing is left")
    assert not origin.requests


def test_from_elsewhere_no_header_is_read(start, certificates, origin):
    gateway = start(rules=behind_balancer(certificates, origin, "192.0.2.1", request=SEEN))
    assert fields(gateway.fetch("http1", "GET", "/"))["x-seen-ip"] == "127.0.0.1"
    with gateway.http1() as client:
        client.send(HEADERS["v1"][0] + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.response().status == 400


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_origin_is_told_by_proxy_header(start, origin, version):
    seen = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        seen.append(await read_proxy_header(reader, version))
        return True

    origin.on_connect = take
    gateway = start(origin_options=f"proxy_protocol: {version}")
    with gateway.http1() as client:
        port = client.socket.getsockname()[1]
        for _ in range(3):
            assert client.request("GET", "/").status == 200
    assert len(seen) == 3, "a connection belongs to one exchange"
    if version == "v1":
        assert set(seen) == {f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {gateway.ports.plain}\r\n".encode()}, seen
    else:
        assert {data[12:] for data in seen} == {b"\x21\x11\0\x0c" + b"\x7f\0\0\1" * 2 + struct.pack(">HH", port, gateway.ports.plain)}, seen


def taking_headers(origin: Origin) -> list[bytes]:
    """The PROXY headers of version 1 that an origin gets."""
    seen: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        seen.append(await read_proxy_header(reader, "v1"))
        return True

    origin.on_connect = take
    return seen


@pytest.mark.parametrize("kind", ["http1", "http1-tls", "http2"])
def test_the_header_names_the_address_that_the_client_connected_to(start, certificates, origin, kind):
    """Of a listener on all addresses, the one that was meant."""
    def make(ports):
        text = rule_file(ports, certificates, origin.port, origin_options="proxy_protocol: v1")
        return text.replace(f'"127.0.0.1:{ports.plain}"', f'"0.0.0.0:{ports.plain}"').replace(f'"127.0.0.1:{ports.secure}"', f'"0.0.0.0:{ports.secure}"')

    seen = taking_headers(origin)
    gateway = start(rules=make)
    for _ in range(2):
        assert gateway.fetch(kind, "GET", "/").status == 200
    port = gateway.ports.plain if kind == "http1" else gateway.ports.secure
    assert len(seen) == 2
    assert all(line.split()[2:4] == [b"127.0.0.1", b"127.0.0.1"] and line.split()[5] == str(port).encode() for line in seen), seen


@pytest.mark.parametrize("header, expected", [
    (b"PROXY TCP4 203.0.113.9 198.51.100.7 5555 443\r\n", b"PROXY TCP4 203.0.113.9 198.51.100.7 5555 443\r\n"),
    (b"PROXY TCP6 2001:db8::9 2001:db8::1 5555 8443\r\n", b"PROXY TCP6 2001:db8::9 2001:db8::1 5555 8443\r\n"),
    (v2(b"\xcb\0\x71\x09", 5555), b"PROXY TCP4 203.0.113.9 127.0.0.1 5555 443\r\n"),
])
def test_the_destination_that_a_balancer_named_goes_on(start, certificates, origin, header, expected):
    seen = taking_headers(origin)
    gateway = start(rules=behind_balancer(certificates, origin, "127.0.0.1", origin_options="proxy_protocol: v1"))
    with gateway.http1() as client:
        client.send(header)
        assert client.request("GET", "/").status == 200
    assert seen == [expected]


def test_a_balancer_that_speaks_for_itself_names_no_destination(start, certificates, origin):
    seen = taking_headers(origin)
    gateway = start(rules=behind_balancer(certificates, origin, "127.0.0.1", origin_options="proxy_protocol: v1"))
    with gateway.http1() as client:
        port = client.socket.getsockname()[1]
        client.send(b"PROXY UNKNOWN\r\n")
        assert client.request("GET", "/").status == 200
    assert seen == [f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {gateway.ports.plain}\r\n".encode()]


def test_a_client_and_a_destination_of_two_families_are_both_told(start, certificates, origin):
    """A trusted proxy that reached us over IPv4 names an IPv6 client: the protocol has one family for both."""
    seen = taking_headers(origin)
    gateway = start(rules=with_top(TRUST)(certificates, origin, origin_options="proxy_protocol: v1"))
    assert gateway.fetch("http1", "GET", "/", [("X-Forwarded-For", "2001:db8::9")]).status == 200
    assert seen == [f"PROXY TCP6 2001:db8::9 ::ffff:127.0.0.1 0 {gateway.ports.plain}\r\n".encode()]


# Unix sockets and client certificates


def test_an_origin_behind_a_unix_socket(start, tmp_path):
    path = str(tmp_path / "origin.sock")
    connections = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            connections.append(self.connection)
            while self.rfile.readline().startswith(b"GET"):
                while self.rfile.readline() != b"\r\n":
                    pass
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")

    server = socketserver.ThreadingUnixStreamServer(path, Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        gateway = start(upstreams=f'local: {{servers: ["unix:{path}"]}}', request="- {name: local, do: [{route: local}]}")
        for _ in range(3):
            assert gateway.fetch("http1", "GET", "/").body == b"fine"
        assert len(connections) == 1, "it is kept between requests"
        server.shutdown()
        Path(path).unlink()
        # The gateway keeps its connection for a minute, and closing the server waits for the thread that serves it.
        connections[0].shutdown(socket.SHUT_RDWR)
        server.server_close()
        answer = wait_until(lambda: (a := gateway.fetch("http1", "GET", "/")).status != 200 and a, "its end is seen")
        assert answer.status == 502
    finally:
        server.server_close()


def test_an_origin_that_wants_a_client_certificate(start, certificates, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=gateway",
                    "-addext", "extendedKeyUsage=clientAuth", "-keyout", tmp_path / "own.key", "-out", tmp_path / "own.crt"],
                   check=True, capture_output=True)
    context.load_verify_locations(tmp_path / "own.crt")
    names = []

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        names.append(writer.get_extra_info("peercert"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(answer, "127.0.0.1", 0, ssl=context), loop).result()
    port = server.sockets[0].getsockname()[1]
    try:
        base = f'servers: ["https://localhost:{port}"], tls: {{ca: "{certificates}/ca.crt"'
        gateway = start(upstreams=f'with: {{{base}, cert: "{tmp_path}/own.crt", key: "{tmp_path}/own.key"}}}}\n'
                                  f'without: {{{base}}}}}\n',
                        request="- {name: w, match: {path: /with}, do: [{route: with}]}\n- {name: o, match: {path: /without}, do: [{route: without}]}")
        assert gateway.fetch("http1", "GET", "/with").status == 200
        assert names and names[0]
        assert gateway.fetch("http1", "GET", "/without").status == 502
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
