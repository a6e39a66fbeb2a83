"""The only place where a test waits."""
import contextlib
import errno
import functools
import socket
import time
from collections.abc import Callable, Iterator
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


# Sockets that keep the ports which free_ports gave.
held: list[socket.socket] = []


def free_ports(count: int) -> list[int]:
    """Ports that are free on 127.0.0.1 and ::1, all different, given by the kernel, and kept for whom they are meant.

    A socket that is bound and does not listen stays behind each: the kernel gives the port to nobody else who asks for
    any, be it a listener or the near end of a connection, in this suite or another one. A server that names the port gets
    it: both have SO_REUSEADDR. As long as none listens, a connection to the port is refused. `holding` lets them go.
    """
    return [ports_in_a_row(1) for _ in range(count)]


def ports_in_a_row(count: int) -> int:
    """The first of so many consecutive ports that `free_ports` could have given."""
    while True:
        taken: list[socket.socket] = []
        try:
            first = hold("127.0.0.1", 0, taken)
            for port in range(first + 1, first + count):
                hold("127.0.0.1", port, taken)
            for port in range(first, first + count) if has_ipv6() else ():
                hold("::1", port, taken)
        except OSError as error:
            for each in taken:
                each.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            held.extend(taken)
            return first


@functools.cache
def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def hold(address: str, port: int, taken: list[socket.socket]) -> int:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    taken.append(made)
    made.bind((address, port))
    # Only now: a port must not be one that another holds in the same way.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return int(made.getsockname()[1])


@contextlib.contextmanager
def holding() -> Iterator[None]:
    """Lets the ports go that were given inside."""
    before = len(held)
    yield
    while len(held) > before:
        held.pop().close()


def accepts(port: int) -> bool:
    """Whether something on loopback takes connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
