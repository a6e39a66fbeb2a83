"""A raw HTTP/1.1 client: what is sent is exactly what the test wrote, and what comes back is kept byte for byte."""
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from .waiting import BOUND


@dataclass
class Response:
    """One response; header names as they came, duplicates kept."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    reason: str = ""
    version: str = "HTTP/1.1"

    def header(self, name: str) -> str | None:
        """All values of a field, joined as RFC 9110 section 5.3 says; None when it is absent."""
        values = [value for other, value in self.headers if other.lower() == name.lower()]
        return ", ".join(values) if values else None

    def trailer(self, name: str) -> str | None:
        return next((value for other, value in self.trailers if other.lower() == name.lower()), None)


class EndOfStream(Exception):
    """The gateway closed where more was expected; `received` is what came before."""

    def __init__(self, received: bytes):
        super().__init__(f"connection closed after {len(received)} bytes: {received[-200:]!r}")
        self.received = received


def tls_context(authority: Path, protocols: list[str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    context.set_alpn_protocols(protocols)
    return context


class Connection:
    """One client connection, plain or TLS."""

    def __init__(self, port: int, authority: Path | None = None, server_name: str = "localhost",
                 receive_buffer: int | None = None, timeout: float = BOUND, source: str | None = None, address: str = "127.0.0.1"):
        raw = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        if source:
            raw.bind((source, 0))
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(timeout)
        raw.connect((address, port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = raw
        if authority:
            self.socket = tls_context(authority, ["http/1.1"]).wrap_socket(raw, server_hostname=server_name)
        self.unread = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def request(self, method: str, target: str, headers: list[tuple[str, str]] | None = None, body: bytes = b"",
                host: str = "localhost") -> Response:
        """Send one request with a length, and read its response."""
        fields = [("Host", host), *(headers or [])]
        names = {name.lower() for name, _ in fields}
        if (body or method in ("POST", "PUT", "PATCH")) and not names & {"content-length", "transfer-encoding"}:
            fields.append(("Content-Length", str(len(body))))
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields)
        self.send(head.encode("latin-1") + b"\r\n" + body)
        return self.response(method)

    # Reading

    def more(self) -> None:
        """Add what the socket has to `unread`; raises EndOfStream at the end."""
        try:
            chunk = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            chunk = b""
        if not chunk:
            raise EndOfStream(self.unread)
        self.unread += chunk

    def until(self, mark: bytes) -> bytes:
        while mark not in self.unread:
            self.more()
        taken, self.unread = self.unread.split(mark, 1)
        return taken

    def exactly(self, count: int) -> bytes:
        parts = [self.unread[:count]]
        self.unread = self.unread[count:]
        missing = count - len(parts[0])
        while missing:
            self.more()
            parts.append(self.unread[:missing])
            self.unread = self.unread[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def rest(self) -> bytes:
        """Everything until the gateway closes."""
        try:
            while True:
                self.more()
        except EndOfStream as end:
            self.unread = b""
            return end.received

    def head(self) -> Response:
        """Read one response head, leaving the body unread."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, *reason = lines[0].split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), lines[0]
        return Response(int(status), parse_fields(lines[1:]), reason=reason[0] if reason else "", version=version)

    def response(self, method: str = "GET") -> Response:
        """Read one final response with its body; interim 1xx ones are passed over."""
        answer = self.head()
        while 100 <= answer.status < 200 and answer.status != 101:
            answer = self.head()
        if method == "HEAD" or answer.status in (101, 204, 304):
            return answer
        if (answer.header("transfer-encoding") or "").lower() == "chunked":
            answer.body, answer.trailers = self.chunked()
        elif answer.header("content-length") is not None:
            answer.body = self.exactly(int(answer.header("content-length") or 0))
        else:
            answer.body = self.rest()
        return answer

    def chunked(self) -> tuple[bytes, list[tuple[str, str]]]:
        parts = []
        while size := int(self.until(b"\r\n").split(b";")[0], 16):
            parts.append(self.exactly(size))
            assert self.exactly(2) == b"\r\n", "a chunk ends with CRLF"
        trailers = []
        while line := self.until(b"\r\n"):
            trailers.append(line.decode("latin-1"))
        return b"".join(parts), parse_fields(trailers)

    def is_closed(self) -> bool:
        """Whether the gateway closes now (waits for it, up to the bound of the socket)."""
        try:
            self.more()
        except EndOfStream:
            return True
        except TimeoutError:
            return False
        return False


def parse_fields(lines: list[str]) -> list[tuple[str, str]]:
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        assert colon, f"no colon in the line {line!r}"
        fields.append((name, value.strip(" \t")))
    return fields
