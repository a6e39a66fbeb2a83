"""An HTTP/2 client over TLS: whole requests by the h2 library, and raw frames for what that library refuses to send."""
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import hpack

from .http1 import Response, tls_context
from .waiting import BOUND

# The library takes a GOAWAY for the end of everything; open streams go on after it (RFC 9113 section 6.8).
_machine = h2.connection.H2ConnectionStateMachine
_open, _goaway = h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY
_machine._transitions[(_open, _goaway)] = (None, _open)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 0x1, 0x1, 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, \
    REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM = range(12)


def connect(port: int, authority: Path | None, server_name: str = "localhost", timeout: float = BOUND,
            source: str = "", receive_buffer: int = 0, ciphers: str = "") -> socket.socket:
    """A connection that speaks HTTP/2: by ALPN, or without an authority in plaintext, because both know."""
    raw = socket.socket()
    raw.settimeout(timeout)
    if source:
        raw.bind((source, 0))
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.connect(("127.0.0.1", port))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if authority is None:
        return raw
    context = tls_context(authority, ["h2"])
    if ciphers:
        context.set_ciphers(ciphers)
    wrapped = context.wrap_socket(raw, server_hostname=server_name)
    assert wrapped.selected_alpn_protocol() == "h2", "the gateway offers h2 by ALPN"
    return wrapped


def client_hello(authority: Path, server_name: str = "localhost") -> bytes:
    """The first flight of a handshake, for whoever does not want the second."""
    outgoing = ssl.MemoryBIO()
    half = tls_context(authority, ["h2"]).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    try:
        half.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class RawConnection:
    """Frames in, frames out, no opinion about what is legal."""

    def __init__(self, port: int, authority: Path | None, preface: bytes = PREFACE, settings: bytes = b"", **options: str | int):
        self.socket = connect(port, authority, **options)  # type: ignore[arg-type]
        self.encoder = hpack.Encoder()
        self.unread = b""
        if preface:
            self.socket.sendall(preface + frame(SETTINGS, 0, 0, settings))

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *frames: bytes) -> None:
        """The gateway may close while we still write: that is an answer, not a failure."""
        try:
            self.socket.sendall(b"".join(frames))
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def fields(self, path: str = "/", method: str = "GET", extra: list[tuple[str, str]] | None = None) -> bytes:
        """An encoded field block of an ordinary request."""
        return self.encoder.encode([(":method", method), (":scheme", "https"), (":authority", "localhost"),
                                    (":path", path), *(extra or [])])

    def get(self, stream: int, path: str = "/", extra: list[tuple[str, str]] | None = None) -> bytes:
        return frame(HEADERS, END_STREAM | END_HEADERS, stream, self.fields(path, extra=extra))

    def next_frame(self) -> tuple[int, int, int, bytes] | None:
        """(kind, flags, stream, payload), or None when the gateway closed."""
        while True:
            if len(self.unread) >= 9:
                length = int.from_bytes(self.unread[:3], "big")
                if len(self.unread) >= 9 + length:
                    kind, flags = self.unread[3], self.unread[4]
                    stream = int.from_bytes(self.unread[5:9], "big") & 0x7FFFFFFF
                    payload, self.unread = self.unread[9:9 + length], self.unread[9 + length:]
                    return kind, flags, stream, payload
            try:
                chunk = self.socket.recv(65536)
            except (ConnectionResetError, ssl.SSLError):
                chunk = b""
            if not chunk:
                return None
            self.unread += chunk

    def until(self, kind: int, stream: int | None = None) -> tuple[int, int, int, bytes]:
        """The next frame of a kind (on a stream); fails when the connection ends before it."""
        seen = []
        while (got := self.next_frame()) is not None:
            if got[0] == kind and stream in (None, got[2]):
                return got
            seen.append(got[:3])
        raise AssertionError(f"closed without a frame of kind {kind}; came: {seen}")

    def verdict(self) -> tuple[str, int]:
        """How the gateway ended it: ("goaway" or "reset", error code), or ("closed", 0) without a word."""
        while (got := self.next_frame()) is not None:
            if got[0] == GOAWAY:
                return "goaway", int.from_bytes(got[3][4:8], "big")
            if got[0] == RST_STREAM:
                return "reset", int.from_bytes(got[3][:4], "big")
        return "closed", 0

    def is_alive(self) -> bool:
        """Whether a PING is answered: the connection outlived what the test did to a stream."""
        self.send(frame(PING, 0, 0, b"alive?!?"))
        while (got := self.next_frame()) is not None:
            if got[0] == PING and got[1] & ACK:
                return got[3] == b"alive?!?"
            if got[0] == GOAWAY:
                return False
        return False


class Client:
    """Requests over one connection, any number at a time."""

    def __init__(self, port: int, authority: Path | None, server_name: str = "localhost"):
        self.socket = connect(port, authority, server_name)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="latin-1"))
        self.h2.initiate_connection()
        self.responses: dict[int, Response] = {}
        self.finished: set[int] = set()
        self.resets: dict[int, int] = {}
        self.goaway: int | None = None
        self.hold: set[int] = set()
        self.flush()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def start(self, method: str, path: str, headers: list[tuple[str, str]] | None = None, end: bool = True,
              authority: str = "localhost") -> int:
        """Open a stream; its number."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", method), (":scheme", "https"), (":authority", authority),
                                      (":path", path), *(headers or [])], end_stream=end)
        self.flush()
        return stream

    def send_body(self, stream: int, body: bytes) -> None:
        """Send all of a body and end the stream, as fast as the windows allow."""
        view = memoryview(body)
        while view:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if room <= 0:
                if stream in self.finished:
                    return
                self.receive()
                continue
            self.h2.send_data(stream, bytes(view[:room]))
            view = view[room:]
            self.flush()
        self.h2.end_stream(stream)
        self.flush()

    def receive(self) -> bool:
        """Take in what the socket has; False at its end. Streams in `hold` get no new window."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            return False
        for event in self.h2.receive_data(data):
            self.handle(event)
        self.flush()
        return True

    def receive_until(self, event: Callable[[], bool], what: str) -> None:
        """Take in until `event` is true; the socket's own timeout bounds each wait."""
        while not event():
            if not self.receive():
                raise AssertionError(f"closed before: {what}")

    def handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            fields = [(name, value) for name, value in event.headers]
            status = int(next(value for name, value in fields if name == ":status"))
            self.responses[event.stream_id] = Response(status, [each for each in fields if each[0] != ":status"],
                                                       version="HTTP/2")
        elif isinstance(event, h2.events.DataReceived):
            self.responses[event.stream_id].body += event.data
            if event.stream_id in self.hold:  # the connection's window opens again, the stream's does not
                self.h2.increment_flow_control_window(event.flow_controlled_length)
            else:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self.responses[event.stream_id].trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.finished.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.resets[event.stream_id] = int(event.error_code)
            self.finished.add(event.stream_id)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code)

    def response(self, stream: int) -> Response:
        """Wait for the whole response of a stream."""
        while stream not in self.finished:
            if not self.receive():
                raise AssertionError(f"closed before stream {stream} ended (GOAWAY {self.goaway})")
        if stream in self.resets and stream not in self.responses:
            raise AssertionError(f"stream {stream} was reset with code {self.resets[stream]}")
        return self.responses[stream]

    def request(self, method: str, path: str, headers: list[tuple[str, str]] | None = None, body: bytes = b"",
                authority: str = "localhost") -> Response:
        stream = self.start(method, path, headers, end=not body, authority=authority)
        if body:
            self.send_body(stream, body)
        return self.response(stream)
