"""Messages that are almost well formed, and what other parsers read in what the gateway made of them."""
import contextlib
import json
import random
import re
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import h11

from .gateway import free_ports
from .waiting import wait_until

# What parsers have disagreed on, to be put anywhere.
TOKENS = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b"\x0b", b"\x0c", b":", b";", b",", b"=", b'"', b"\\", b"0", b"+", b"-", b"0x", b"\x7f", b"\x85", b"\xa0",
          b"\xff", b"chunked", b"identity", b"gzip, ", b"%0d%0a", b"#", b"*", b"HTTP/1.1", b"\r\n\r\n", b"\n\n", b"\r\r\n", b"0\r\n\r\n"]
REQUEST_LINES = [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding : chunked",
                 b"Transfer_Encoding: chunked", b"Transfer-Encoding:\tchunked", b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: 05", b"Content-Length: 5, 5",
                 b"Content-Length: +5", b"Content_Length: 5", b"Connection: Content-Length", b"Connection: Transfer-Encoding, Host", b"Connection: close",
                 b"Connection: X-Request-Id", b"Expect: 100-continue", b"TE: trailers", b"Trailer: Content-Length", b"Host: other", b"X-Request-Id: forged",
                 b"Keep-Alive: 5", b" folded: 1", b"\tfolded", b"X: \r", b"GET /smuggled HTTP/1.1", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]
RESPONSE_LINES = [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Content-Length: 0", b"Content-Length: 4", b"Content-Length: 04", b"Content-Length: 4, 4",
                  b"Content-Length: 400", b"Connection: close", b"Connection: Content-Length", b"Trailer: X", b" folded: 1", b"X: \r", b"HTTP/1.1 200 OK",
                  b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Encoding: gzip", b"Content-Type: multipart/byteranges; boundary=a"]
INNER = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def requests(number: int) -> list[bytes]:
    """Streams of requests, well formed, with what looks like a request in their bodies."""
    get = b"GET /a%d HTTP/1.1\r\nHost: localhost\r\nX-A: 1\r\n\r\n" % number
    sized = b"POST /b%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (number, len(INNER)) + INNER
    chunks = (b"POST /c%d HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n%x;a=b\r\n" % (number, len(INNER)) + INNER
              + b"\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n")
    absolute = b"GET http://localhost/d%d?a=b HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, X-A\r\nX-A: 1\r\n\r\n" % number
    expecting = b"PUT /e%d HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello" % number
    return [get, sized, chunks, absolute, expecting, get + sized, sized + chunks, chunks + get]


def responses(number: int) -> list[bytes]:
    inner = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
    mark = b"r%d;" % number
    sized = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-A: 1\r\n\r\n" % len(mark + inner) + mark + inner
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x;a=b\r\n" % len(mark + inner) + mark + inner + b"\r\n0\r\nX-T: 1\r\n\r\n"
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + sized
    empty = b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"
    return [sized, chunks, interim, empty, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 400\r\n\r\n"]


def mutate(chance: random.Random, data: bytes, lines: list[bytes]) -> bytes:
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        places = [found.end() for found in re.finditer(rb"[:;, ]|\r\n|\r|\n|[0-9a-f]+", data)]
        place = chance.choice(places) if places and chance.random() < 0.8 else chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0: data = data[:place] + chance.choice(TOKENS) + data[place:]
            case 1: data = data[:max(0, place - chance.randint(1, 3))] + data[place:]
            case 2: data = data[:max(0, place - 1)] + bytes([chance.randrange(256)]) + data[place:]
            case 3 | 4:
                ends = [found.end() for found in re.finditer(rb"\r\n", data)] or [0]
                at = chance.choice(ends)
                data = data[:at] + chance.choice(lines) + b"\r\n" + data[at:]
            case 5:
                parts = data.split(b"\r\n")
                parts.insert(chance.randrange(len(parts)), chance.choice(parts))
                data = b"\r\n".join(parts)
            case 6:
                parts = data.split(b"\r\n")
                one, other = chance.randrange(len(parts)), chance.randrange(len(parts))
                parts[one], parts[other] = parts[other], parts[one]
                data = b"\r\n".join(parts)
    return data


@dataclass
class Seen:
    """What one parser read on one connection."""

    # Identity, method, target; then how many bytes of body, where the parser says so and the end came.
    heads: list[tuple[str, str, str]] = field(default_factory=list)
    bodies: list[int | None] = field(default_factory=list)
    trouble: str = ""


def by_h11(raw: bytes) -> Seen:
    parser, seen, count = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20), Seen(), 0
    parser.receive_data(raw)
    try:
        while (event := parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.Request):
                fields = dict(event.headers)
                seen.heads.append((fields.get(b"x-request-id", b"-").decode("latin-1"), event.method.decode(), event.target.decode("latin-1")))
                seen.bodies.append(None)
                count = 0
            elif isinstance(event, h11.Data):
                count += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                seen.bodies[-1] = count
                parser.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                parser.send(h11.EndOfMessage())
                if parser.our_state is h11.MUST_CLOSE:
                    break
                parser.start_next_cycle()
    except h11.RemoteProtocolError as error:
        seen.trouble = str(error)
    return seen


NODE = """
const http = require("http");
const sockets = new Map();
const list = (socket) => sockets.get(socket);
const server = http.createServer((request, answer) => {
  const one = { id: request.headers["x-request-id"] ?? "-", method: request.method, url: request.url, body: null };
  let count = 0;
  list(request.socket).heads.push(one);
  request.on("data", (data) => { count += data.length; });
  request.on("end", () => { one.body = count; });
  answer.end("ok");
});
server.keepAliveTimeout = 0;
server.httpAllowHalfOpen = true;
server.on("connection", (socket) => {
  const port = socket.remotePort;
  sockets.set(socket, { heads: [], trouble: "" });
  socket.on("close", () => console.log(JSON.stringify({ port, ...list(socket) })));
});
server.on("clientError", (error, socket) => { list(socket).trouble = String(error.code); socket.destroy(); });
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


def replay(port: int, raw: bytes) -> int:
    """The same bytes to another server. Returns the port they came from."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        own = client.getsockname()[1]
        with contextlib.suppress(OSError):
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        return own


def by_node(records: list[bytes]) -> list[Seen]:
    node = subprocess.Popen(["node", "-e", NODE], stdout=subprocess.PIPE, text=True)
    try:
        port = int(node.stdout.readline())
        own = [replay(port, raw) for raw in records]
        told = {line["port"]: line for line in (json.loads(node.stdout.readline()) for _ in records)}
    finally:
        node.kill()
        node.wait()
    return [Seen([(each["id"], each["method"], each["url"]) for each in told[port]["heads"]], [each["body"] for each in told[port]["heads"]],
                 told[port]["trouble"]) for port in own]


def by_nginx(records: list[bytes], folder: Path) -> list[Seen]:
    """Its requests as its log has them; what it refuses counts as trouble."""
    port = free_ports(1)[0]
    configuration = folder / "nginx.conf"
    configuration.write_text(f"""
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log; events {{}}
http {{
  log_format seen escape=json '{{"port": "$remote_port", "id": "$http_x_request_id", "method": "$request_method", "url": "$request_uri", "status": "$status"}}';
  access_log {folder}/seen.log seen; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder};
  scgi_temp_path {folder}; keepalive_requests 100000; large_client_header_buffers 8 128k;
  server {{ listen 127.0.0.1:{port}; return 200 ok; }}
}}
""")
    process = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(configuration)], stderr=subprocess.DEVNULL)

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens, "nginx listens")
        own = [replay(port, raw) for raw in records]
    finally:
        process.terminate()
        process.wait()
    seen = {str(port): Seen() for port in own}
    for line in (folder / "seen.log").read_text(errors="replace").splitlines():
        entry = json.loads(line)
        if one := seen.get(entry["port"]):
            if entry["status"] == "200":
                one.heads.append((entry["id"] or "-", entry["method"], entry["url"]))
            else:
                one.trouble = entry["status"]
    return [seen[str(port)] for port in own]
