"""IPv6 everywhere: listeners, clients' addresses, origins by address and by name, and names whose first family does not work."""
import asyncio
import ipaddress
import json
import socket
import struct
from collections.abc import Iterator

import pytest

from harness import http1
from harness.gateway import rule_file
from harness.origin import Origin, read_proxy_header
from harness.waiting import wait_until

SEEN = """
- {name: seen, do: [{set_header: {x-seen-ip: "${client.ip}"}}]}
- {name: loopback, when: 'client.ip in {127.0.0.0/8 ::1}', do: [{set_header: {x-loopback: "yes"}}]}
"""


@pytest.fixture
def sixth(origin) -> Iterator[Origin]:
    """An origin at ::1 with the port that `origin` has at 127.0.0.1."""
    server = Origin("::1", origin.port)
    yield server
    server.stop()


def fields(response: http1.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in json.loads(response.body)["headers"]}


def listening(certificates, origin, listen: str, extra: str = "", **parts):
    def make(ports):
        return rule_file(ports, certificates, origin.port, **parts).replace(f'"127.0.0.1:{ports.plain}"', f'"{listen}:{ports.plain}"{extra}')
    return make


@pytest.mark.parametrize("listen, address, seen", [
    ("[::1]", "::1", "::1"), ("[::]", "::1", "::1"), ("[0:0:0:0:0:0:0:1]", "::1", "::1")])
def test_a_client_is_called_by_its_shortest_name(start, certificates, origin, listen, address, seen):
    gateway = start(rules=listening(certificates, origin, listen, request=SEEN))
    with gateway.http1(address=address) as client:
        got = fields(client.request("GET", "/", host="localhost"))
    assert (got["x-seen-ip"], got["x-forwarded-for"], got.get("x-loopback")) == (seen, seen, "yes")
    assert all(line["client"] == seen for line in gateway.access_log() if "client" in line)


@pytest.mark.parametrize("told, seen", [
    ("2001:DB8:0:0::9", "2001:db8::9"), ("[2001:db8::9]", "2001:db8::9"), ("[2001:db8::9]:4711", "2001:db8::9"), ("::ffff:192.0.2.7", "192.0.2.7"),
    ("fe80::1%eth0", "::1"), ("[2001:db8::9", "::1"), ("2001:db8::9, ::1", "2001:db8::9"), ("6.6.6.6, 2001:db8::9, [::1]:80", "2001:db8::9")])
def test_what_a_trusted_proxy_may_call_it(start, certificates, origin, told, seen):
    rules = listening(certificates, origin, "[::1]", request=SEEN)
    gateway = start(rules=lambda ports: rules(ports) + 'forwarding: {trust: ["::1/128"]}\n')
    with gateway.http1(address="::1") as client:
        assert fields(client.request("GET", "/", [("X-Forwarded-For", told)]))["x-seen-ip"] == seen


def test_forwarded_quotes_addresses_with_colons(start, certificates, origin):
    rules = listening(certificates, origin, "[::1]")
    gateway = start(rules=lambda ports: rules(ports) + "forwarding: {fields: forwarded}\n")
    with gateway.http1(address="::1") as client:
        assert fields(client.request("GET", "/"))["forwarded"] == 'for="[::1]";host="localhost";proto=http'


@pytest.mark.parametrize("url", ["http://[::1]:{port}", "http://six.test:{port}"])
def test_an_origin_at_an_ipv6_address(start, certificates, origin, sixth, dns, url):
    dns.aaaa["six.test"] = ["::1"]
    server = url.format(port=origin.port)
    gateway = start(rules=lambda ports: rule_file(ports, certificates, origin.port, upstreams=f'six: {{servers: ["{server}"], health: {{every: 50ms}}}}',
                                                  request="- {name: six, do: [{route: six}]}") + f'resolver: {{servers: ["127.0.0.1:{dns.port}"]}}\n')
    assert gateway.fetch("http1", "GET", "/asked").status == 200
    wait_until(lambda: gateway.metric("sluice_health_checks_total", result="pass") > 0, "it is asked")
    host = server.removeprefix("http://")
    assert {each.header("host") for each in sixth.requests if each.path != "/asked"} == {host}
    assert not origin.requests
    line = wait_until(lambda: next((each for each in gateway.access_log() if each.get("path") == "/asked"), None), "it is logged")
    assert "::1" in json.dumps(line)


# Names with both families


def named(start, certificates, origin, dns, options: str = ""):
    dns.a["both.test"], dns.aaaa["both.test"] = ["127.0.0.1"], ["::1"]
    return start(rules=lambda ports: rule_file(
        ports, certificates, origin.port, request="- {name: both, do: [{route: both}]}",
        upstreams=f'both:\n  servers: ["http://both.test:{origin.port}"]\n  keepalive: 0\n  retry: {{tries: 1}}\n  {options}\n')
        + f'resolver: {{servers: ["127.0.0.1:{dns.port}"]}}\n')


class Hole:
    """A listener whose queue is full: connections to it are neither taken nor refused."""

    def __init__(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.sockets = [socket.socket(family)]
        self.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sockets[0].bind((address, port))
        self.sockets[0].listen(0)
        for _ in range(4):
            filler = socket.socket(family)
            filler.setblocking(False)
            filler.connect_ex((address, port))
            self.sockets.append(filler)

    def close(self) -> None:
        for each in self.sockets:
            each.close()


@pytest.mark.parametrize("works", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("other", ["refused", "hole"])
def test_one_family_is_enough(start, certificates, dns, works, other):
    """Whichever comes first in the answer."""
    server = Origin(works)
    hole = Hole("127.0.0.1" if works == "::1" else "::1", server.port) if other == "hole" else None
    try:
        gateway = named(start, certificates, server, dns, "timeouts: {connect: 10s}")
        for _ in range(3):
            assert gateway.fetch("http1", "GET", "/").status == 200
        assert len(server.requests) == 3
        assert gateway.metric("sluice_upstream_failures_total", kind="timeout") == 0
    finally:
        server.stop()
        if hole:
            hole.close()


@pytest.mark.parametrize("first, second, status", [("refused", "refused", 502), ("hole", "hole", 504), ("refused", "hole", 504), ("hole", "refused", 504)])
def test_with_neither_family_the_client_hears_why(start, certificates, dns, first, second, status):
    server = Origin()
    server.stop()  # only its port is wanted
    holes = [Hole(address, server.port) for address, state in (("::1", first), ("127.0.0.1", second)) if state == "hole"]
    try:
        gateway = named(start, certificates, server, dns, "timeouts: {connect: 1s}")
        assert gateway.fetch("http1", "GET", "/").status == status
        wait_until(lambda: gateway.metric("sluice_upstream_connections") == 0, "nothing is left")
    finally:
        for hole in holes:
            hole.close()


# PROXY protocol


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_origin_is_told_of_an_ipv6_client(start, certificates, origin, version):
    seen = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        seen.append(await read_proxy_header(reader, version))
        return True

    origin.on_connect = take
    gateway = start(rules=listening(certificates, origin, "[::1]", origin_options=f"proxy_protocol: {version}"))
    with gateway.http1(address="::1") as client:
        port = client.socket.getsockname()[1]
        assert client.request("GET", "/").status == 200
    if version == "v1":
        assert seen == [f"PROXY TCP6 ::1 ::1 {port} {gateway.ports.plain}\r\n".encode()]
    else:
        assert seen[0][12:] == b"\x21\x21\0\x24" + ipaddress.ip_address("::1").packed * 2 + struct.pack(">HH", port, gateway.ports.plain), seen


def test_a_balancer_over_ipv6_names_the_client(start, certificates, origin):
    gateway = start(rules=listening(certificates, origin, "[::1]", ', proxy_protocol: ["::1"]', request=SEEN))
    source = ipaddress.ip_address("2001:db8::9").packed
    body = source + ipaddress.ip_address("2001:db8::1").packed + struct.pack(">HH", 5555, 443)
    header = b"\r\n\r\n\0\r\nQUIT\n\x21\x21" + struct.pack(">H", len(body)) + body
    with gateway.http1(address="::1") as client:
        client.send(header)
        assert fields(client.request("GET", "/"))["x-seen-ip"] == "2001:db8::9"
