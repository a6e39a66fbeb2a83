"""One attacker as a process of its own: a flood, again and again on new connections, until the time is up.

    attacker.py NAME PORT SECONDS ADDRESS    prints as JSON how many connections it made and how each was ended
"""
import collections
import json
import os
import socket
import ssl
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Tests/EndToEnd"))

from harness import floods, http2  # noqa: E402
from harness.conformance import window  # noqa: E402

ADDRESS = sys.argv[4]
# Seconds in which whoever ends a flood has done it.
PATIENCE = 0.3
CODES = ["NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"]


class Connection(http2.RawConnection):
    """Over TLS without a look at the certificate; the session is resumed, as an attacker would."""

    session: ssl.SSLSession | None = None
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])

    def __init__(self, port: int, end: float):
        # From an address of its own, and no longer than the attack lasts: an address that floods is made to wait.
        raw = socket.create_connection(("127.0.0.1", port), max(0.1, end - time.monotonic()), (ADDRESS, 0))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = Connection.context.wrap_socket(raw, server_hostname="localhost", session=Connection.session)
        self.encoder = http2.hpack.Encoder()
        self.unread = b""
        self.socket.sendall(http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0))


def flood(name: str, port: int, end: float) -> str:
    """Sends the frames of a flood, and more of the same, until it is stopped."""
    with Connection(port, end) as client:
        frames = floods.FLOODS[name](client)
        for at in range(0, len(frames), 25):
            client.send(*frames[at:at + 25])
        code, times = verdict(client, PATIENCE), 0
        while code is None and time.monotonic() < end:
            client.send(*floods.more(name, client, frames, times))
            code, times = verdict(client, 0.001), times + 1
        Connection.session = client.socket.session
    return code or "not yet"


def hold(name: str, port: int, end: float) -> str:
    """Asks for all that may be asked for, and takes nothing or next to nothing of it."""
    with Connection(port, end) as client:
        frames = {"zero_window": floods.zero_window, "dribble": floods.dribble}[name](client, "/10m")
        client.send(*frames)
        ended: collections.Counter[str] = collections.Counter()
        client.socket.settimeout(0.05)
        while time.monotonic() < end and sum(ended.values()) < 100:
            try:
                got = client.next_frame()
            except TimeoutError:
                if name == "dribble":
                    client.send(*(window(each, 1) for each in floods.streams(100)))
                continue
            if got is None:
                ended["closed"] += 1
                break
            if got[0] == http2.RST_STREAM:
                ended[f"RST_STREAM {CODES[int.from_bytes(got[3][:4], 'big')]}"] += 1
            if got[0] == http2.GOAWAY:
                ended[f"GOAWAY {CODES[int.from_bytes(got[3][4:8], 'big')]}"] += 1
        return ended.most_common(1)[0][0] if ended else "not yet"


def verdict(client: Connection, seconds: float) -> str | None:
    """How the connection was ended; None where nobody ends it in that time."""
    client.socket.settimeout(seconds)
    code = "closed"
    try:
        while (got := client.next_frame()) is not None:
            if got[0] == http2.GOAWAY:
                code = f"GOAWAY {CODES[int.from_bytes(got[3][4:8], 'big')]}"
        return code
    except TimeoutError:
        return None if code == "closed" else code


def main() -> None:
    name, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    # It shares its core with the client that is measured, and goes behind it; but before whatever else the machine does, where
    # that is wanted. Not in the client's class: the kernel stops all of that for a while when somebody spins in it.
    if os.sched_getscheduler(0) == os.SCHED_FIFO:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.nice(-15)
    else:
        os.nice(19)
    attack = flood if name in floods.FLOODS else hold
    ends: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            ends[attack(name, port, end)] += 1
        except TimeoutError:
            ends["made to wait"] += 1
        except (ConnectionError, ssl.SSLError):
            ends["refused"] += 1
    print(json.dumps(ends))


main()
