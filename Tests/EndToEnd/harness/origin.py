"""An origin that records every byte it gets, answers by path, and can misbehave in any way a test asks for."""
import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from .waiting import free_ports

PATTERN = bytes(range(256)) * 256  # 64 KiB
Server = TypeVar("Server")


@dataclass
class Request:
    """A request as the origin saw it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    connection: int
    body_length: int = 0
    body_sha256: str = ""
    body: bytes = b""  # the first 64 KiB
    trailers: list[tuple[str, str]] = field(default_factory=list)
    complete: bool = False

    def header(self, name: str) -> str | None:
        values = [value for other, value in self.headers if other.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


class Exchange:
    """What a script of a test works with: the request, and the two ends of the connection."""

    def __init__(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.request, self.reader, self.writer = request, reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        fields = {"Content-Length": str(len(body)), **(headers or {})}
        head = f"HTTP/1.1 {status} Whatever\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        await self.send(head.encode("latin-1") + b"\r\n" + (b"" if self.request.method == "HEAD" else body))

    def reset(self) -> None:
        """Close so that the peer gets RST instead of FIN."""
        self.writer.transport.abort()


Script = Callable[[Exchange], Awaitable[None]]


class Origin:
    """Serves on a port of `free_ports`, which stays its own when it listens no more, from a thread of its own. Default answers, by path:

    /bytes/N  N bytes of a known pattern       /chunked/N  the same, chunked        /status/N  that status, empty
    /slow/MS  echo after so many milliseconds  /trailers   chunked with a trailer   others     a JSON echo
    """

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.address, self.port = address, port or free_ports(1)[0]
        self.received: list[bytearray] = []  # raw bytes of each connection, in order of arrival
        self.requests: list[Request] = []
        # False: requests and raw bytes are forgotten, for loads that go on for long.
        self.keeps_requests = True
        self.open_now = 0
        self.most_at_once = 0
        self.at_once = 0
        self.script: Script | None = None
        # Called before anything is read: a test that wants to stall or cut at once.
        self.on_connect: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]] | None = None
        self.loop = asyncio.new_event_loop()
        self.release = asyncio.Event()  # what stalled scripts wait for; set when the origin stops
        self.tasks: set[asyncio.Task[None]] = set()
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    @property
    def raw(self) -> bytes:
        """Everything that reached the origin on all connections."""
        return b"".join(bytes(each) for each in self.received)

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)

        async def listen() -> None:
            self.server = await asyncio.start_server(self._serve, self.address, self.port, backlog=1024)
            started.set()

        self.loop.run_until_complete(listen())
        self.loop.run_forever()
        self.loop.close()

    def call(self, function: Callable[[], object]) -> None:
        """Run something on the origin's thread."""
        self.loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        async def end() -> None:
            self.server.close()
            self.release.set()
            # Again and again: what a script waits for with a limit may come in the very turn in which it is cancelled, and it goes on.
            while self.tasks:
                for task in self.tasks:
                    task.cancel()
                await asyncio.wait(set(self.tasks), timeout=0.1)
            self.loop.stop()

        asyncio.run_coroutine_threadsafe(end(), self.loop)
        self.thread.join(10)

    def refuse_new(self) -> None:
        """Stop listening: from now on a connect is refused."""
        done = threading.Event()
        self.call(lambda: (self.server.close(), done.set()))
        done.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.tasks.add(task)
        self.open_now += 1
        record = bytearray()
        self.received.append(record)
        try:
            if self.on_connect is None or await self.on_connect(reader, writer):
                await self._exchanges(_Recorder(reader, record), writer, len(self.received) - 1)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, asyncio.LimitOverrunError):
            pass
        finally:
            self.open_now -= 1
            self.tasks.discard(task)
            writer.close()

    async def _exchanges(self, reader: "_Recorder", writer: asyncio.StreamWriter, number: int) -> None:
        while not writer.is_closing():
            head = (await reader.until(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head[1:])]
            request = Request(method, target, fields, number)
            if self.keeps_requests:
                self.requests.append(request)
            exchange = Exchange(request, reader.reader, writer)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                if request.header("expect"):
                    await exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                await self._body(reader, request)
                await (self.script or answer_by_path)(exchange)
            finally:
                self.at_once -= 1

    async def _body(self, reader: "_Recorder", request: Request) -> None:
        digest = hashlib.sha256()

        def take(data: bytes) -> None:
            digest.update(data)
            request.body_length += len(data)
            request.body = (request.body + data)[:65536] if len(request.body) < 65536 else request.body

        if (request.header("transfer-encoding") or "").lower() == "chunked":
            while size := int((await reader.until(b"\r\n")).split(b";")[0], 16):
                await reader.body(size, take)
                await reader.until(b"\r\n")
            while (line := await reader.until(b"\r\n")) != b"\r\n":
                name, _, value = line.decode("latin-1").strip().partition(":")
                request.trailers.append((name, value.strip()))
        elif request.header("content-length"):
            await reader.body(int(request.header("content-length") or 0), take)
        request.body_sha256 = digest.hexdigest()
        request.complete = True


class _Recorder:
    """A reader that keeps the heads it gave out (bodies are kept up to 1 MiB per connection)."""

    def __init__(self, reader: asyncio.StreamReader, record: bytearray):
        self.reader, self.record = reader, record

    async def until(self, mark: bytes) -> bytes:
        try:
            data = await self.reader.readuntil(mark)
        except asyncio.IncompleteReadError as end:
            self.record += end.partial
            raise
        self.record += data
        return data

    async def body(self, count: int, take: Callable[[bytes], None]) -> None:
        while count:
            data = await self.reader.read(min(count, 1 << 18))
            if not data:
                raise asyncio.IncompleteReadError(b"", count)
            if len(self.record) < 1 << 20:
                self.record += data
            take(data)
            count -= len(data)


async def answer_by_path(exchange: Exchange) -> None:
    request = exchange.request
    _, first, second, *_ = (*request.path.split("/"), "", "")
    if first == "bytes" and second.isdigit():
        await send_pattern(exchange, int(second), chunked=False)
    elif first == "chunked" and second.isdigit():
        await send_pattern(exchange, int(second), chunked=True)
    elif first == "status" and second.isdigit():
        length = {} if int(second) in (204, 304) else {"Content-Length": "0"}
        head = "".join(f"{name}: {value}\r\n" for name, value in length.items())
        await exchange.send(f"HTTP/1.1 {second} Whatever\r\n{head}X-Origin: yes\r\n\r\n".encode())
    elif first == "trailers":
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n"
                            b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Checksum: abc\r\n\r\n")
    else:
        if first == "slow":
            await asyncio.sleep(int(second) / 1000)
        await exchange.answer(200, echo(request), {"Content-Type": "application/json", "X-Origin": "yes"})


def running(kind: type[Server], count: int) -> Iterator[list[Server]]:
    """So many origins of a kind, stopped at the end: the body of a fixture."""
    servers = [kind() for _ in range(count)]
    yield servers
    for server in servers:
        server.stop()


def many(servers: list[Origin], options: str = "") -> str:
    """An upstream of all of them, for a rule file."""
    urls = ", ".join(f'"http://127.0.0.1:{each.port}"' for each in servers)
    return f"many:\n  servers: [{urls}]\n  {options}\n"


async def read_proxy_header(reader: asyncio.StreamReader, version: str) -> bytes:
    """What stands before all else on a connection with `proxy_protocol: v1` or `v2`."""
    if version == "v1":
        return await reader.readline()
    head = await reader.readexactly(16)
    return head + await reader.readexactly(int.from_bytes(head[14:], "big"))


def echo(request: Request) -> bytes:
    return json.dumps({
        "method": request.method, "target": request.target, "headers": request.headers,
        "trailers": request.trailers, "body_length": request.body_length, "body_sha256": request.body_sha256,
        "body": request.body.decode("latin-1"), "connection": request.connection,
    }).encode()


async def send_pattern(exchange: Exchange, count: int, chunked: bool) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {count}"
    await exchange.send(f"HTTP/1.1 200 OK\r\n{framing}\r\nContent-Type: application/octet-stream\r\n\r\n".encode())
    if exchange.request.method == "HEAD":
        return
    while count:
        part = PATTERN[:count]
        await exchange.send(b"%x\r\n" % len(part) + part + b"\r\n" if chunked else part)
        count -= len(part)
    if chunked:
        await exchange.send(b"0\r\n\r\n")


def pattern_sha256(count: int) -> str:
    digest = hashlib.sha256()
    while count > 0:
        digest.update(PATTERN[:count])
        count -= len(PATTERN)
    return digest.hexdigest()
