"""An origin that speaks HTTP/2 without TLS, answers by path, and can break the protocol in any way a test asks for."""
import asyncio
import json
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from .origin import PATTERN


@dataclass
class Stream:
    """A request as the origin saw it, and the means to answer."""

    connection: "Connection"
    number: int
    headers: list[tuple[str, str]]
    body: bytearray = field(default_factory=bytearray)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    window: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    reset: int | None = None

    def header(self, name: str) -> str | None:
        return next((value for other, value in self.headers if other == name), None)

    @property
    def path(self) -> str:
        return (self.header(":path") or "").split("?")[0]

    async def head(self, status: int = 200, headers: list[tuple[str, str]] | None = None, end: bool = False) -> None:
        self.connection.h2.send_headers(self.number, [(":status", str(status)), *(headers or [])], end_stream=end)
        self.connection.flush()

    async def data(self, body: bytes, end: bool = False) -> None:
        """Sends as the windows open."""
        while body:
            room = min(self.connection.h2.local_flow_control_window(self.number), 16384, len(body))
            if room <= 0:
                self.window.clear()
                await self.window.wait()
                continue
            self.connection.h2.send_data(self.number, body[:room])
            body = body[room:]
            self.connection.flush()
            await self.connection.writer.drain()
        if end:
            self.connection.h2.end_stream(self.number)
            self.connection.flush()

    async def finish(self, trailers: list[tuple[str, str]]) -> None:
        self.connection.h2.send_headers(self.number, trailers, end_stream=True)
        self.connection.flush()

    async def answer(self, status: int = 200, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> None:
        await self.head(status, headers, end=not body)
        await self.data(body, end=bool(body))

    async def echo(self) -> None:
        """Sends every byte of the request back, as it comes, to its end."""
        await self.head()
        while not self.complete.is_set() or self.body:
            self.arrived.clear()
            taken, self.body = bytes(self.body), bytearray()
            if taken:
                await self.data(taken)
            elif not self.complete.is_set():
                await self.arrived.wait()
        if self.reset is None:
            self.connection.h2.end_stream(self.number)
            self.connection.flush()

    def cut(self, code: int) -> None:
        self.connection.h2.reset_stream(self.number, code)
        self.connection.flush()


Script = Callable[[Stream], Awaitable[None]]


class Connection:
    def __init__(self, origin: "Origin2", reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.origin, self.reader, self.writer = origin, reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        self.streams: dict[int, Stream] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        """Bytes that the library would not send."""
        self.flush()
        self.writer.write(data)

    async def serve(self) -> None:
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self.origin.streams,
            h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self.origin.window,
            **({h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: 1} if self.origin.connects else {})})
        self.h2.initiate_connection()
        self.flush()
        while data := await self.reader.read(65536):
            try:
                events = self.h2.receive_data(data)
            except h2.exceptions.ProtocolError as error:
                self.origin.faults.append(str(error))
                self.flush()
                return
            for event in events:
                self.handle(event)
            self.flush()

    def handle(self, event: h2.events.Event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.RequestReceived):
            stream = Stream(self, event.stream_id, [(str(name), str(value)) for name, value in event.headers])
            self.streams[event.stream_id] = stream
            self.origin.requests.append(stream)
            self.origin.most_at_once = max(self.origin.most_at_once, sum(not s.complete.is_set() or s.reset is None
                                                                        for s in self.streams.values()))
            task = asyncio.ensure_future(self.run(stream))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif isinstance(event, h2.events.DataReceived) and stream:
            stream.body += event.data
            stream.arrived.set()
            if self.origin.consumes:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived) and stream:
            stream.trailers = [(str(name), str(value)) for name, value in event.headers]
        elif isinstance(event, h2.events.StreamEnded) and stream:
            stream.complete.set()
            stream.arrived.set()
        elif isinstance(event, h2.events.StreamReset) and stream:
            stream.reset = event.error_code
            self.origin.resets.append(int(event.error_code))
            stream.complete.set()
            stream.arrived.set()
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for each in self.streams.values():
                each.window.set()

    async def run(self, stream: Stream) -> None:
        try:
            await (self.origin.script or answer_by_path)(stream)
            self.flush()
        except (h2.exceptions.ProtocolError, ConnectionError, KeyError) as error:
            self.origin.faults.append(repr(error))


class Origin2:
    """Serves on a port of the kernel's choice from a thread of its own. Default answers, by path:

    /bytes/N  N bytes of a known pattern    /trailers  a body with trailers    others  a JSON echo, when the request ended
    """

    def __init__(self, streams: int = 100, window: int = 65535, tls: Path | None = None, alpn: str = "h2", connects: bool = False) -> None:
        self.connects = connects
        self.tls = server_context(tls, alpn) if tls else None
        self.streams, self.window, self.consumes = streams, window, True
        self.requests: list[Stream] = []
        self.resets: list[int] = []
        self.faults: list[str] = []
        self.connections: list[Connection] = []
        self.most_at_once = 0
        self.script: Script | None = None
        self.loop = asyncio.new_event_loop()
        self.release = asyncio.Event()
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)

        async def listen() -> None:
            self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024, ssl=self.tls)
            self.port = self.server.sockets[0].getsockname()[1]
            started.set()

        self.loop.run_until_complete(listen())
        self.loop.run_forever()
        self.loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(self, reader, writer)
        self.connections.append(connection)
        try:
            await connection.serve()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            for task in connection.tasks:
                task.cancel()
            writer.close()

    def call(self, function: Callable[[], object]) -> None:
        self.loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        async def end() -> None:
            self.server.close()
            self.release.set()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.loop.stop()

        asyncio.run_coroutine_threadsafe(end(), self.loop)
        self.thread.join(10)


def server_context(certificates: Path, alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    context.set_alpn_protocols([alpn])
    return context


async def answer_by_path(stream: Stream) -> None:
    _, first, second, *_ = (*stream.path.split("/"), "", "")
    if first == "bytes":
        count = int(second)
        await stream.head(200, [("content-length", str(count))])
        await stream.data((PATTERN * (count // len(PATTERN) + 1))[:count], end=True)
    elif first == "trailers":
        await stream.head(200)
        await stream.data(b"hello")
        await stream.finish([("x-checksum", "abc")])
    else:
        await stream.complete.wait()
        text = json.dumps({"headers": stream.headers, "body_length": len(stream.body), "trailers": stream.trailers})
        await stream.answer(200, text.encode(), [("content-type", "application/json")])
