"""A well-behaved client as a process of its own: one keep-alive connection over TLS, a request every other millisecond. A connection
that was closed while it was idle is replaced, as browsers do, and the request takes as long as that.

    steady.py PORT SECONDS     prints its latencies in microseconds as JSON
"""
import contextlib
import json
import os
import socket
import ssl
import sys
import time

PAUSE = 0.002


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: steady\r\nAccept: */*\r\n\r\n"


def connect(port: int) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection(("127.0.0.1", port), 30)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(raw, server_hostname="localhost")


def ask(connection: ssl.SSLSocket) -> bytes:
    """The whole answer; empty when the connection had been closed."""
    answer = b""
    with contextlib.suppress(OSError):
        connection.sendall(REQUEST)
        while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < 100:
            part = connection.recv(65536)
            if not part:
                return b""
            answer += part
    return answer


def main() -> None:
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    # It shares its core with the gateway and comes before it.
    with contextlib.suppress(OSError):
        if os.sched_getscheduler(0) == os.SCHED_FIFO:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(30))
        else:
            os.nice(-10)
    connection, times, end = connect(port), [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter_ns()
        answer = ask(connection)
        if not answer:
            connection = connect(port)
            answer = ask(connection)
        times.append((time.perf_counter_ns() - began) // 1000)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"a well-behaved client got {answer[:40]!r}")
        time.sleep(PAUSE)
    print(json.dumps(times))


main()
