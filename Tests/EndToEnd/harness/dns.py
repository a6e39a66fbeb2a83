"""A DNS server on loopback that says what a test tells it."""
import socket
import struct
import threading


def name_bytes(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part) + b"\0"


class Nameserver:
    """`a[name]`, `aaaa[name]`: addresses; `srv[name]`: (priority, weight, port, target). A name that is in neither does not exist."""

    def __init__(self) -> None:
        self.a: dict[str, list[str]] = {}
        self.aaaa: dict[str, list[str]] = {}
        self.srv: dict[str, list[tuple[int, int, int, str]]] = {}
        self.ttl = 60
        self.ttl_of: dict[int, int] = {}  # by type of record, where it is another
        self.silent = False
        self.asked: list[tuple[str, int]] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                query, peer = self.socket.recvfrom(2048)
            except OSError:
                return
            if len(query) < 17:
                continue
            parts, at = [], 12
            while query[at]:
                parts.append(query[at + 1:at + 1 + query[at]].decode())
                at += query[at] + 1
            name, kind = ".".join(parts).lower(), struct.unpack(">H", query[at + 1:at + 3])[0]
            self.asked.append((name, kind))
            if not self.silent:
                self.socket.sendto(self._answer(query[:2], query[12:at + 5], name, kind), peer)

    def _answer(self, number: bytes, question: bytes, name: str, kind: int) -> bytes:
        records = []
        if kind == 1:
            records = [socket.inet_aton(each) for each in self.a.get(name, [])]
        elif kind == 28:
            records = [socket.inet_pton(socket.AF_INET6, each) for each in self.aaaa.get(name, [])]
        elif kind == 33:
            records = [struct.pack(">HHH", *each[:3]) + name_bytes(each[3]) for each in self.srv.get(name, [])]
        known = name in self.a or name in self.aaaa or name in self.srv
        head = number + struct.pack(">HHHHH", 0x8180 | (0 if known else 3), 1, len(records), 0, 0)
        return head + question + b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, self.ttl_of.get(kind, self.ttl), len(data)) + data for data in records)

    def stop(self) -> None:
        self.socket.close()
