"""The only place where a test waits."""
import socket
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

# Generous, because a loaded machine is slow; a test that passes never waits that long.
BOUND = 20.0


def wait_until(event: Callable[[], Value], what: str, seconds: float = BOUND) -> Value:
    """Poll `event` until it gives something true and return that, or fail naming what did not happen."""
    deadline = time.monotonic() + seconds
    while True:
        value = event()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for: {what}")
        time.sleep(0.005)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different, given by the kernel."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def accepts(port: int) -> bool:
    """Whether something on loopback takes connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
