"""A client, rules, hooks in both phases, an origin: the main road, over every protocol."""
import json
import socket
import subprocess

import pytest

from harness.waiting import accepts, free_ports, holding

FUNCTIONS = """\
mark_request: {file: hooks/request.js}
mark_response: {file: hooks/response.js}
"""
HOOKS = {
    "request.js": """\
        export default {
          onRequest(request, env, ctx) {
            request.headers.set("x-hook-request", "seen " + request.method);
            ctx.state.path = new URL(request.url).pathname;
          },
        };
        """,
    "response.js": """\
        export default {
          onResponse(response, env, ctx) {
            response.headers.set("x-hook-response", ctx.args.word + " " + ctx.state.path);
          },
        };
        """,
}
REQUEST = """\
- name: admin is closed
  when: path starts_with "/admin"
  do: [{deny: {status: 403}}]
- name: moved
  match: {path: /old}
  do: [{redirect: {to: "/new?from=${path}", status: 308}}]
- name: from here
  match: {path: /hello}
  do: [{respond: {status: 200, body: "hello", headers: {Content-Type: text/plain, X-From: gateway}}}]
- name: product
  when: path matches "^/p/(?<id>[0-9]+)$"
  do: [{rewrite: {path: "/product/${match.id}"}}]
- name: headers
  do:
    - set_header: {X-Set: one, X-Client-Ip: "${client.ip}"}
    - add_header: {X-Added: two}
    - remove_header: [X-Remove]
- name: nothing after this
  when: path == "/stop"
  do: [{stop: }]
- name: mark
  do: [{run: {function: mark_request}}]
"""
RESPONSE = """\
- name: plain headers
  do:
    - set_header: {X-Frame-Options: DENY}
    - remove_header: [X-Origin]
- name: mark
  when: status == 200 and path != "/stop"
  do: [{run: {function: mark_response, args: {word: back}}}]
"""


@pytest.fixture(scope="module")
def gateway(start_shared):
    return start_shared(request=REQUEST, response=RESPONSE, functions=FUNCTIONS, hooks=HOOKS)


def curl(gateway, *arguments):
    done = subprocess.run(["curl", "-sS", "-i", "--max-time", "20", "--cacert", gateway.authority, *arguments],
                          capture_output=True, text=True, check=True)
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    return head.lower(), body


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_sees_a_header_of_each_hook_phase(gateway, version):
    head, body = curl(gateway, version, f"https://localhost:{gateway.ports.secure}/a?b=c")
    assert head.startswith("http/2 200" if version == "--http2" else "http/1.1 200")
    assert "x-hook-response: back /a" in head
    seen = json.loads(body)
    assert seen["target"] == "/a?b=c"
    assert ["x-hook-request", "seen get"] in [[name.lower(), value.lower()] for name, value in seen["headers"]]


def test_echo_carries_hook_headers_over_every_protocol(gateway, protocol):
    answer = gateway.fetch(protocol, "POST", "/echo", body=b"some words")
    assert answer.status == 200
    assert answer.header("x-hook-response") == "back /echo"
    seen = json.loads(answer.body)
    assert (seen["method"], seen["body"]) == ("POST", "some words")
    assert dict((name.lower(), value) for name, value in seen["headers"])["x-hook-request"] == "seen POST"


def test_deny_answers_without_the_origin(gateway, shared_origin, protocol):
    before = len(shared_origin.requests)
    assert gateway.fetch(protocol, "GET", "/admin/users").status == 403
    assert len(shared_origin.requests) == before


def test_redirect_expands_fields(gateway, protocol):
    answer = gateway.fetch(protocol, "GET", "/old")
    assert (answer.status, answer.header("location")) == (308, "/new?from=/old")


def test_respond_gives_status_body_and_headers(gateway, protocol):
    answer = gateway.fetch(protocol, "GET", "/hello")
    assert (answer.status, answer.body, answer.header("x-from")) == (200, b"hello", "gateway")
    assert answer.header("content-type") == "text/plain"


def test_rewrite_uses_named_groups_and_keeps_the_query(gateway, protocol):
    seen = json.loads(gateway.fetch(protocol, "GET", "/p/42?x=1").body)
    assert seen["target"] == "/product/42?x=1"


def test_request_header_actions_reach_the_origin(gateway, protocol):
    answer = gateway.fetch(protocol, "GET", "/", [("X-Set", "client"), ("X-Added", "client"), ("X-Remove", "1")])
    fields = [(name.lower(), value) for name, value in json.loads(answer.body)["headers"]]
    assert [value for name, value in fields if name == "x-set"] == ["one"]
    assert [value for name, value in fields if name == "x-added"] == ["client", "two"]
    assert not [value for name, value in fields if name == "x-remove"]
    assert ("x-client-ip", "127.0.0.1") in fields


def test_response_header_actions_reach_the_client(gateway, protocol):
    answer = gateway.fetch(protocol, "GET", "/")
    assert answer.header("x-frame-options") == "DENY"
    assert answer.header("x-origin") is None


def test_stop_ends_the_request_phase_only(gateway, protocol):
    answer = gateway.fetch(protocol, "GET", "/stop")
    names = [name.lower() for name, _ in json.loads(answer.body)["headers"]]
    assert "x-hook-request" not in names and answer.header("x-frame-options") == "DENY"


def test_unknown_host_is_not_served(gateway, protocol):
    assert gateway.fetch(protocol, "GET", "/", host="other.example").status in (404, 421)


def test_forwarding_headers_tell_the_origin_who_asked(gateway, shared_origin, protocol):
    seen = json.loads(gateway.fetch(protocol, "GET", "/", [("X-Forwarded-For", "10.9.8.7")]).body)
    fields = {name.lower(): value for name, value in seen["headers"]}
    assert fields["x-forwarded-for"] == "127.0.0.1", "what an untrusted client claims is replaced"
    assert fields["x-forwarded-proto"] == ("http" if protocol == "http1" else "https")
    assert "via" in fields
    assert fields["host"] == "localhost"


# What the tests stand on

def test_a_port_is_kept_for_whom_it_is_meant():
    with holding():
        [port] = free_ports(1)
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", port))
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        with socket.create_server(("127.0.0.1", port)):
            assert accepts(port)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
