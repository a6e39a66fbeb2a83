"""Names of origins: answers hold as long as they say, the last good one serves on, and nothing waits for DNS to start."""
import socket

import pytest

from harness.gateway import rule_file
from harness.waiting import wait_until


def named(start, certificates, origin, dns, server: str, options: str = "", keep: int = 0):
    def make(ports):
        return rule_file(ports, certificates, origin.port, upstreams=f'named:\n  servers: ["{server}"]\n  keepalive: {keep}\n  {options}\n',
                         request="- {name: named, match: {path: /named}, do: [{route: named}]}") \
            + f'resolver: {{servers: ["127.0.0.1:{dns.port}"]}}\n'
    return start(rules=make)


@pytest.mark.parametrize("ttl", [0, 1])
def test_an_answer_holds_as_long_as_it_says(start, certificates, origin, dns, ttl):
    dns.a["one.test"], dns.ttl = ["127.0.0.1"], ttl
    gateway = named(start, certificates, origin, dns, f"http://one.test:{origin.port}")
    assert gateway.fetch("http1", "GET", "/named").status == 200
    dns.a["one.test"] = ["127.0.0.9"]
    wait_until(lambda: gateway.fetch("http1", "GET", "/named").status == 502, "the name leads elsewhere now")
    dns.a["one.test"] = ["127.0.0.1"]
    wait_until(lambda: gateway.fetch("http1", "GET", "/named").status == 200, "and back")


def test_a_long_answer_is_not_asked_for_again(start, certificates, origin, dns):
    dns.a["one.test"], dns.ttl = ["127.0.0.1"], 3600
    gateway = named(start, certificates, origin, dns, f"http://one.test:{origin.port}")
    for _ in range(20):
        assert gateway.fetch("http1", "GET", "/named").status == 200
    assert [name for name, kind in dns.asked if kind == 1] == ["one.test"]


def test_the_last_good_answer_serves_on_when_dns_dies(start, certificates, origin, dns):
    dns.a["one.test"], dns.ttl = ["127.0.0.1"], 1
    gateway = named(start, certificates, origin, dns, f"http://one.test:{origin.port}")
    assert gateway.fetch("http1", "GET", "/named").status == 200
    del dns.a["one.test"]
    asked = len(dns.asked)
    wait_until(lambda: gateway.fetch("http1", "GET", "/named").status == 200 and len(dns.asked) > asked + 2, "it is asked again, in vain")
    dns.silent = True
    assert gateway.fetch("http1", "GET", "/named").status == 200


def test_a_silent_dns_server_holds_up_neither_start_nor_others(start, certificates, origin, dns):
    dns.silent = True
    gateway = named(start, certificates, origin, dns, f"http://one.test:{origin.port}", "timeouts: {connect: 500ms}")
    assert gateway.fetch("http1", "GET", "/").status == 200
    answer = gateway.fetch("http1", "GET", "/named")
    assert answer.status == 502 and "dns_error" in (answer.header("proxy-status") or "")
    assert gateway.fetch("http1", "GET", "/").status == 200


def test_srv_records_tell_host_and_port(start, certificates, origin, second, dns):
    dns.srv["_http._tcp.shop.test"] = [(10, 1, origin.port, "a.test"), (10, 1, second.port, "b.test"), (20, 1, 1, "c.test")]
    dns.a.update({"a.test": ["127.0.0.1"], "b.test": ["127.0.0.1"], "c.test": ["127.0.0.1"]})
    gateway = named(start, certificates, origin, dns, "srv+http://_http._tcp.shop.test")
    for _ in range(12):
        gateway.fetch("http1", "GET", "/named")
    assert len(origin.requests) > 0 and len(second.requests) > 0


def test_a_name_is_asked_for_again_while_kept_connections_serve(start, certificates, origin, dns):
    """Nothing else would tell that the server has moved: no new connection is made."""
    dns.a["one.test"], dns.ttl = ["127.0.0.1"], 1
    gateway = named(start, certificates, origin, dns, f"http://one.test:{origin.port}", keep=4)

    def asked() -> int:
        assert gateway.fetch("http1", "GET", "/named").status == 200
        return len([name for name, kind in dns.asked if kind == 1])

    wait_until(lambda: asked() >= 3, "it is asked for")
    assert len(origin.received) == 1


def test_srv_targets_of_a_later_priority_serve_only_when_those_before_cannot(start, certificates, origin, second, dns):
    dns.srv["_http._tcp.shop.test"] = [(10, 1, origin.port, "a.test"), (20, 100, second.port, "b.test")]
    dns.a.update({"a.test": ["127.0.0.1"], "b.test": ["127.0.0.1"]})
    gateway = named(start, certificates, origin, dns, "srv+http://_http._tcp.shop.test")
    for _ in range(12):
        assert gateway.fetch("http1", "GET", "/named").status == 200
    assert (len(origin.requests), len(second.requests)) == (12, 0)
    origin.refuse_new()
    wait_until(lambda: gateway.fetch("http1", "GET", "/named").status == 200 and second.requests, "the later one steps in")


def test_srv_weights_are_shares_of_the_connections(start, certificates, origin, second, dns):
    dns.srv["_http._tcp.shop.test"] = [(10, 30, origin.port, "a.test"), (10, 0, second.port, "b.test")]
    dns.a.update({"a.test": ["127.0.0.1"], "b.test": ["127.0.0.1"]})
    gateway = named(start, certificates, origin, dns, "srv+http://_http._tcp.shop.test")
    for _ in range(30):
        assert gateway.fetch("http1", "GET", "/named").status == 200
    assert (len(origin.requests), len(second.requests)) == (30, 0), "who weighs nothing gets nothing while others can"


def test_srv_records_hold_as_long_as_they_say_themselves(start, certificates, origin, second, dns):
    dns.ttl, dns.ttl_of = 3600, {33: 1}
    dns.srv["_http._tcp.shop.test"] = [(10, 1, origin.port, "a.test")]
    dns.a.update({"a.test": ["127.0.0.1"], "b.test": ["127.0.0.1"]})
    gateway = named(start, certificates, origin, dns, "srv+http://_http._tcp.shop.test")
    assert gateway.fetch("http1", "GET", "/named").status == 200
    dns.srv["_http._tcp.shop.test"] = [(10, 1, second.port, "b.test")]
    wait_until(lambda: gateway.fetch("http1", "GET", "/named").status == 200 and second.requests, "the service has moved")


def test_an_address_that_does_not_answer_is_overtaken(start, certificates, origin, dns):
    """Happy eyeballs: 250 ms later the next address is tried, and whoever is first serves."""
    silent = socket.socket()
    silent.bind(("127.0.0.2", origin.port))
    silent.listen(0)
    fillers = []
    try:
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.2", origin.port))
            fillers.append(filler)
        dns.a["two.test"] = ["127.0.0.2", "127.0.0.1"]
        gateway = named(start, certificates, origin, dns, f"http://two.test:{origin.port}", "timeouts: {connect: 10s}")
        for _ in range(3):
            assert gateway.fetch("http1", "GET", "/named").status == 200
        assert len(origin.requests) == 3
    finally:
        for each in [silent, *fillers]:
            each.close()
