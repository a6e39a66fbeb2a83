"""Clients of TLS, and gateways that are all about it."""
import socket
import ssl
from collections.abc import Callable

from harness.authority import Authority
from harness.gateway import Gateway


def server(start: Callable[..., Gateway], origin) -> Callable[..., Gateway]:
    """serve('certificates: [...]', ...) gives a gateway with this `tls` section; sites answer for every host."""
    def make(tls: str, request: str = "[]", limits: str = "", **options) -> Gateway:
        def rules(ports):
            return f"""
sluice: 1
listeners: [{{name: secure, address: "127.0.0.1:{ports.secure}", tls: {{{tls}}}}}]
admin: {{address: "127.0.0.1:{ports.admin}"}}
access_log: {{path: access.log}}
limits: {{{limits}}}
upstreams: {{origin: {{servers: ["http://127.0.0.1:{origin.port}"]}}}}
sites: [{{name: all, hosts: ["*"], upstream: origin, request: {request}}}]
"""
        return start(rules=rules, **options)
    return make


def pair(files, more: str = "") -> str:
    return f'{{cert: "{files[0]}", key: "{files[1]}"{", " + more if more else ""}}}'


class TLS:
    """A client: one context, so that sessions can be used again."""

    def __init__(self, authority: Authority, certificate=None, version=None, ciphers: str | None = None):
        self.context = ssl.create_default_context(cafile=str(authority.file))
        if certificate:
            self.context.load_cert_chain(*map(str, certificate))
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        if ciphers:
            self.context.set_ciphers(ciphers)

    def connect(self, gateway, name: str, session=None) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", gateway.ports.secure), timeout=20)
        return self.context.wrap_socket(raw, server_hostname=name, session=session)

    def get(self, gateway, name: str, session=None, path: str = "/"):
        """(the response as text, the connection's socket): the socket knows session, cipher, certificate."""
        connection = self.connect(gateway, name, session)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        text = b""
        while chunk := connection.recv(65536):
            text += chunk
        return text.decode("latin-1"), connection


TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
