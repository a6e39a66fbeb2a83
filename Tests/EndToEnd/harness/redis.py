"""A Redis server of its own for a test, on a port that the kernel gives."""
from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from .gateway import free_ports
from .http1 import socket
from .waiting import wait_until


class Redis:
    def __init__(self, folder: Path, password: str = "", *options: str):
        self.folder, self.password, self.options = folder, password, options
        self.port = free_ports(1)[0]
        self.start()

    def start(self) -> None:
        arguments = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always",
                     "--dir", str(self.folder), "--daemonize", "no", *self.options]
        if self.password:
            arguments += ["--requirepass", self.password]
        self.process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: b"PONG" in self.ask("PING"), "Redis answers")

    def ask(self, *words: str) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                lines = [f"AUTH {self.password}"] if self.password else []
                for words_of in [*[line.split() for line in lines], list(words)]:
                    connection.sendall(f"*{len(words_of)}\r\n".encode() + b"".join(
                        f"${len(word.encode())}\r\n{word}\r\n".encode() for word in words_of))
                    answer = connection.recv(65536)
                return answer
        except OSError:
            return b""

    def pause(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)
