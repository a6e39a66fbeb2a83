"""A well-behaved client as a process of its own: one keep-alive connection over TLS, a request every other millisecond.

    steady.py PORT SECONDS     prints its latencies in microseconds as JSON
"""
import json
import os
import socket
import ssl
import sys
import time

PAUSE = 0.002


def main() -> None:
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    try:
        os.nice(-10)  # it shares its core with the attacker, whose work is not what is measured
    except OSError:
        pass
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    raw = socket.create_connection(("127.0.0.1", port), 30)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = context.wrap_socket(raw, server_hostname="localhost")
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: steady\r\nAccept: */*\r\n\r\n"
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter_ns()
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < 100:
            part = connection.recv(65536)
            if not part:
                raise SystemExit(f"the connection of a well-behaved client was closed: {answer[:200]!r}")
            answer += part
        times.append((time.perf_counter_ns() - began) // 1000)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"a well-behaved client got {answer[:40]!r}")
        time.sleep(PAUSE)
    print(json.dumps(times))


main()
