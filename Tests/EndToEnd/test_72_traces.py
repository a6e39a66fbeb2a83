"""Traces: spans for a collector, W3C context, sampling; a collector that is away costs nothing."""
import http.server
import json
import re
import socket
import threading

import pytest

from harness.gateway import rule_file
from harness.origin2 import Origin2, Stream
from harness.waiting import free_ports, wait_until


class Collector:
    """Takes OTLP over HTTP and checks its shape."""

    def __init__(self, port: int = 0, status: int = 200):
        self.batches: list[dict] = []
        self.headers: list[dict[str, str]] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.headers.append({key.lower(): value for key, value in self.headers.items()} | {":path": self.path})
                collector.batches.append(json.loads(body))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def spans(self) -> list[dict]:
        return [span for batch in self.batches for resource in batch["resourceSpans"] for scope in resource["scopeSpans"]
                for span in scope["spans"]]

    def wait(self, name: str, count: int = 1) -> list[dict]:
        return wait_until(lambda: found if len(found := [each for each in self.spans if each["name"] == name]) >= count else None,
                          f"{count} spans {name}")


@pytest.fixture
def collector():
    made = Collector()
    yield made
    made.stop()


def attributes(span: dict) -> dict[str, str]:
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


def tracing(certificates, origin, port: int, more: str = "sample: 100%", **parts):
    upstreams = f'collector: {{servers: ["http://127.0.0.1:{port}"]}}\n' + parts.pop("upstreams", "")
    return lambda ports: rule_file(ports, certificates, origin.port, upstreams=upstreams, **parts) \
        + f"tracing: {{upstream: collector, {more}}}\n"


def test_the_span_of_a_call_of_grpc_tells_how_it_ended(start, certificates, origin, collector):
    async def unavailable(stream: Stream) -> None:
        await stream.head(200, [("content-type", "application/grpc")])
        await stream.finish([("grpc-status", "14")])

    origin2 = Origin2()
    origin2.script = unavailable
    try:
        gateway = start(rules=tracing(certificates, origin, collector.port, upstreams=f'grpc: {{servers: ["h2c://127.0.0.1:{origin2.port}"]}}\n',
                                      request="- {name: grpc, do: [{route: grpc}]}"))
        assert gateway.fetch("http2", "POST", "/t/Call", [("content-type", "application/grpc"), ("te", "trailers")], b"\0\0\0\0\0").status == 200
        span = collector.wait("POST test")[0]
        assert attributes(span)["rpc.grpc.status_code"] == "14" and attributes(span)["http.response.status_code"] == "200"
        assert span["status"]["code"] == 2
    finally:
        origin2.stop()


def test_a_request_has_spans_for_tls_rules_hooks_and_the_origin(start, certificates, origin, collector):
    gateway = start(rules=tracing(
        certificates, origin, collector.port, "sample: 100%, service: shop, path: /in, headers: {X-Key: k}",
        functions="f: {file: hooks/f.js}", request="- {name: run, do: [{run: {function: f}}]}"),
        hooks={"f.js": "export default { onRequest(r) { r.headers.set('x-a', '1'); } };"})
    assert gateway.fetch("http1-tls", "GET", "/a?b=secret").status == 200
    root, = collector.wait("GET test")
    spans = {span["name"]: span for span in collector.spans}
    assert set(spans) == {"GET test", "TLS handshake", "request rules", "hook f", "origin origin", "response rules"}
    for name, span in spans.items():
        assert span["traceId"] == root["traceId"] and re.fullmatch("[0-9a-f]{32}", span["traceId"])
        assert re.fullmatch("[0-9a-f]{16}", span["spanId"])
        assert name == "GET test" or span["parentSpanId"] == root["spanId"]
        assert 0 < int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"])
    assert len({span["spanId"] for span in collector.spans}) == 6
    assert "parentSpanId" not in root and root["kind"] == 2 and spans["origin origin"]["kind"] == 3
    facts = attributes(root)
    assert facts["http.response.status_code"] == "200" and facts["sluice.rules"] == "test/run" and facts["url.path"] == "/a"
    assert facts["sluice.request_id"] == origin.requests[-1].header("x-request-id")
    assert attributes(spans["hook f"])["sluice.outcome"] == "continue"
    assert attributes(spans["TLS handshake"])["tls.protocol.version"].startswith("TLSv1.")
    assert attributes(spans["origin origin"])["server.port"] == str(origin.port)
    # The origin sees the span that asks it.
    parent = origin.requests[-1].header("traceparent")
    assert parent == f"00-{root['traceId']}-{spans['origin origin']['spanId']}-01"
    assert "secret" not in json.dumps(collector.batches)
    assert collector.headers[0][":path"] == "/in" and collector.headers[0]["x-key"] == "k"
    resource = collector.batches[0]["resourceSpans"][0]["resource"]["attributes"]
    assert {"key": "service.name", "value": {"stringValue": "shop"}} in resource
    wait_until(lambda: gateway.metric("sluice_spans_total", result="sent") == 6, "they are counted")


def test_each_attempt_has_its_span(start, certificates, origin, collector):
    dead = free_ports(1)[0]
    gateway = start(rules=tracing(
        certificates, origin, collector.port,
        upstreams=f'pair: {{servers: ["http://127.0.0.1:{dead}", "http://127.0.0.1:{origin.port}"], retry: {{tries: 2}}}}',
        request="- {name: pair, do: [{route: pair}]}"))
    for _ in range(2):
        assert gateway.fetch("http1", "GET", "/").status == 200
    collector.wait("GET test", 2)
    attempts = [span for span in collector.spans if span["name"] == "origin pair"]
    by_port = {attributes(span)["server.port"]: span for span in attempts}
    assert set(by_port) == {str(dead), str(origin.port)}
    assert by_port[str(dead)]["status"]["code"] == 2 and "status" not in by_port[str(origin.port)]


def test_the_callers_context_is_continued_and_only_a_trusted_one_decides(start, certificates, origin, collector):
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-%s"
    gateway = start(rules=tracing(certificates, origin, collector.port, "sample: 0%"))
    gateway.fetch("http1", "GET", "/", [("traceparent", parent % "01"), ("tracestate", "a=b")])
    assert origin.requests[-1].header("traceparent") == parent % "01", "an untraced request keeps what it came with"
    assert origin.requests[-1].header("tracestate") == "a=b"
    gateway.fetch("http1", "GET", "/none")
    assert origin.requests[-1].header("traceparent") is None
    gateway.reload(gateway.file.read_text() + 'forwarding: {trust: ["127.0.0.0/8"], traceparent: make}\n')
    gateway.fetch("http1", "GET", "/none")
    assert origin.requests[-1].header("traceparent").endswith("-00"), "nobody else need trace it either"
    gateway.fetch("http1", "GET", "/trusted", [("traceparent", parent % "01"), ("tracestate", "a=b")])
    root, = collector.wait("GET test")
    assert root["traceId"] == "0af7651916cd43dd8448eb211c80319c" and root["parentSpanId"] == "b7ad6b7169203331"
    assert origin.requests[-1].header("traceparent").startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert origin.requests[-1].header("tracestate") == "a=b"
    assert attributes(root)["url.path"] == "/trusted"


def test_failures_are_marked(start, certificates, origin, collector):
    dead = free_ports(1)[0]
    gateway = start(rules=tracing(certificates, origin, collector.port, upstreams=f'dead: {{servers: ["http://127.0.0.1:{dead}"]}}',
                                  request="- {name: dead, do: [{route: dead}]}"))
    assert gateway.fetch("http2", "GET", "/").status == 502
    root, = collector.wait("GET test")
    assert root["status"]["code"] == 2 and attributes(root)["error.type"] == "connect_refused" or attributes(root)["error.type"]
    assert attributes(root)["network.protocol.version"] == "2"


@pytest.mark.parametrize("how", ["refuses", "hangs", "errors"])
def test_a_dead_collector_costs_nothing_and_is_told_once(start, certificates, origin, how):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        failing = Collector(status=503) if how == "errors" else None
        if how == "hangs":
            silent.listen(8)
        port = failing.port if failing else silent.getsockname()[1] if how == "hangs" else free_ports(1)[0]
        upstream = f'collector: {{servers: ["http://127.0.0.1:{port}"], timeouts: {{connect: 200ms, first_byte: 300ms}}}}\n'
        gateway = start(rules=lambda ports: rule_file(
            ports, certificates, origin.port, upstreams=upstream, request="- {name: ok, do: [{respond: {status: 200}}]}")
            + "tracing: {upstream: collector, sample: 100%}\n")
        with gateway.http1() as client:
            for _ in range(3000):
                assert client.request("GET", "/").status == 200
        wait_until(lambda: gateway.metric("sluice_spans_total", result="dropped") > 512, "lost spans are counted")
        wait_until(lambda: gateway.metric("sluice_span_batches_failed_total") > 1, "lost batches are counted")
        assert sum("spans are lost" in line for line in gateway.output) == 1
        if failing:
            failing.stop()
    if how == "refuses":
        alive = Collector(port)
        try:
            def arrives():
                gateway.fetch("http1", "GET", "/")
                return alive.spans
            wait_until(arrives, "spans arrive")
            gateway.wait_log("takes spans again")
        finally:
            alive.stop()


def test_without_tracing_nothing_is_made(start, origin):
    gateway = start()
    gateway.fetch("http1", "GET", "/")
    assert origin.requests[-1].header("traceparent") is None
    assert gateway.metric("sluice_spans_total") == 0


def test_what_the_collector_has_not_taken_when_a_worker_leaves_is_counted(start, certificates, origin, collector):
    gateway = start(rules=tracing(certificates, origin, collector.port))
    for _ in range(3):
        gateway.fetch("http1", "GET", "/")
    gateway.upgrade()
    made = 3 * 4  # the request, rules of two phases, the origin
    wait_until(lambda: len(collector.spans) + gateway.metric("sluice_spans_total", result="dropped") >= made, "each span arrives or is counted as lost")
    assert gateway.metric("sluice_spans_total") >= made
