"""What is measured."""
from dataclasses import dataclass, replace

# What a browser sends: eight fields, about 700 bytes.
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.9,de;q=0.8,pt-BR;q=0.7",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "https://www.example.com/a/page/that/links/here?with=some&parameters=in&its=query",
    "Cookie": "session=7f3b2c9d8e1a4f6b9c0d2e3f4a5b6c7d; theme=dark; consent=necessary%2Cstatistics; _id=GA1.2.1234567890.1700000000",
    "Sec-Fetch-Site": "same-origin",
    "Cache-Control": "max-age=0",
}

PLAIN = ["nginx", "haproxy", "sluice"]
# Peers that take part when they are asked for (--peers).
FURTHER = ["nghttpx", "envoy"]
HOOKED = ("nginx-njs", "nginx-lua", "sluice-hook")


def hooked(phase: str) -> tuple[str, ...]:
    """The contenders of a case with hooks. One phase alone has configurations, and so contenders, of its own: `nginx-lua-request`."""
    suffix = "" if phase == "both" else f"-{phase}"
    njs, lua, ours = (name + suffix for name in HOOKED)
    # Neither peer can wait in the phase that asks the origin without an event of its own: nothing there is the same as one `await`.
    return ("nginx", "sluice", ours) if phase == "async" else ("nginx", njs, lua, "sluice", ours)


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    path: str
    size: int
    protocol: str  # http1, http1-tls, http2, handshakes
    connections: int
    streams: int = 1
    contenders: tuple[str, ...] = tuple(PLAIN)
    # The bar: at most this times the CPU of the best of `against`.
    bar: float | None = None
    against: tuple[str, ...] = ("nginx",)
    subject: str = "sluice"
    # A second bar: at most this times the system calls alone (floor.c).
    above_floor: float | None = None
    # Of handshakes: full or resumed, ecdsa or rsa.
    handshake: tuple[str, str] | None = None
    # Of hooks: both, request, response or async.
    hook: str | None = None
    # The bar of a hook: at most this many microseconds more than the same proxy without it.
    adds: float | None = None


CASES = {case.name: case for case in [
    Case("small", "100 bytes, HTTP/1.1", "/", 100, "http1", 64, contenders=(*PLAIN, "floor"), bar=0.85, above_floor=1.15),
    Case("64k", "64 KB, HTTP/1.1", "/64k", 65536, "http1", 32, bar=0.8),
    Case("10m", "10 MB, HTTP/1.1", "/10m", 10 << 20, "http1", 8, bar=0.5),
    Case("tls-small", "100 bytes, HTTP/1.1 over TLS", "/", 100, "http1-tls", 64, bar=0.8, against=("nginx", "haproxy")),
    Case("tls-64k", "64 KB, HTTP/1.1 over TLS", "/64k", 65536, "http1-tls", 32, bar=0.8, against=("nginx", "haproxy")),
    Case("h2-small", "100 bytes, HTTP/2 over TLS, 16 x 10 streams", "/", 100, "http2", 16, 10, bar=0.85, against=("nginx", "haproxy")),
    Case("h2-64k", "64 KB, HTTP/2 over TLS, 8 x 4 streams", "/64k", 65536, "http2", 8, 4, bar=0.85, against=("nginx", "haproxy")),
    *(Case(f"tls-{kind}{'-resumed' if how == 'resumed' else ''}", f"TLS 1.3 handshake, {title}, {how}, one request on each", "/", 100, "handshakes", 8,
           bar=1.0, against=("nginx", "haproxy"), handshake=(how, kind))
      for kind, title in (("ecdsa", "ECDSA P-256"), ("rsa", "RSA 2048")) for how in ("full", "resumed") if (how, kind) != ("resumed", "rsa")),
    Case("hook", "100 bytes, HTTP/1.1, a hook in both phases that reads a header and sets one", "/", 100, "http1", 64,
         contenders=hooked("both"), bar=1.0, subject="sluice-hook", hook="both"),
    *(Case(f"hook-{phase}", f"100 bytes, HTTP/1.1, {title} that reads a header and sets one", "/", 100, "http1", 64,
           contenders=hooked(phase), subject=f"sluice-hook-{phase}", hook=phase, adds=adds)
      for phase, title, adds in (("request", "a hook in the request phase", 1.0), ("response", "a hook in the response phase", 1.0),
                                 ("async", "an async hook with one await in the request phase", 1.5))),
]}


def with_peers(case: Case) -> Case:
    """The case with the further peers. The bar of HTTP/2 is the best of all four."""
    if case.hook or case.handshake:
        return case
    against = (*case.against, *FURTHER) if case.protocol == "http2" else case.against
    return replace(case, contenders=(*case.contenders, *FURTHER), against=against)
