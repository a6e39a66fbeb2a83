"""fetch(url) of hooks: granted hosts only, public addresses only, whatever names and redirects say."""
import pytest

from harness.gateway import rule_file
from harness.origin import Exchange
from harness.origin2 import Origin2
from harness.waiting import wait_until

FETCH = """
    export default { async onRequest(request) {
      const target = request.headers.get("x-target");
      if (target === null) return;
      try {
        const reply = await fetch(target, { headers: { "x-from": "hook" } });
        return new Response(`${reply.status} ${(await reply.bytes()).length}`);
      } catch (error) { return new Response(error.message, { status: 599 }); }
    } };
"""


@pytest.fixture
def run(start, certificates, origin, dns):
    def run(egress: str, settings: str = "{}", options: str = ""):
        def make(ports):
            return rule_file(ports, certificates, origin.port, functions=f"f: {{file: hooks/f.js, egress: [{egress}]{options}}}",
                             request="- {name: f, do: [{run: f}]}") + f'egress: {settings}\nresolver: {{servers: ["127.0.0.1:{dns.port}"]}}\n'
        return start(rules=make, hooks={"f.js": FETCH})
    return run


def ask(gateway, target: str):
    answer = gateway.fetch("http1", "GET", "/", [("x-target", target)])
    return answer.status, answer.body.decode()


REFUSED = (599, "the host's address is refused: it is not public")


@pytest.mark.parametrize("options", ["", ", untrusted: true"])
def test_a_granted_host_answers_and_no_other(run, dns, second, options):
    dns.a["api.test"] = dns.a["other.test"] = ["127.0.0.1"]
    gateway = run(f'"http://api.test:{second.port}"', "{private: [127.0.0.0/8]}", options)
    assert ask(gateway, f"http://api.test:{second.port}/bytes/5000") == (200, "200 5000")
    assert second.requests[0].header("x-from") == "hook" and second.requests[0].header("host") == f"api.test:{second.port}"
    connections = len(second.received)
    for target in [f"http://other.test:{second.port}/", f"http://api.test:{second.port + 1}/", f"https://api.test:{second.port}/",
                   f"http://127.0.0.1:{second.port}/", f"http://api.test.:{second.port}/", f"http://user@api.test:{second.port}@other.test/"]:
        status, text = ask(gateway, target)
        assert status == 599, (target, text)
    assert len(second.received) == connections
    wait_until(lambda: gateway.metric("sluice_egress_refused_total", reason="host") >= 5, "counted")
    assert gateway.metric("sluice_egress_requests_total") == 1


def test_a_granted_name_that_leads_inside_is_not_followed(run, dns, second):
    gateway = run(f'"http://in.test:{second.port}"')
    for address in ["127.0.0.1", "127.1.2.3", "0.0.0.0"]:
        dns.a["in.test"], dns.ttl = [address], 1
        assert ask(gateway, f"http://in.test:{second.port}/") == REFUSED
    assert second.received == []
    wait_until(lambda: gateway.metric("sluice_egress_refused_total", reason="address") >= 3, "counted")


SPELLINGS = ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1", "127.0.1", "127.0.0.1.", "0", "0.0.0.0", "[::1]", "[::]",
             "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "localhost", "LOCALHOST", "①②⑦.⓪.⓪.①", "127。0。0。1",
             "%31%32%37.0.0.1", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]"]


def test_no_spelling_of_an_inside_address_gets_a_connection(run, second):
    """The rule file grants even those names; the addresses behind them stay refused."""
    hosts = ["127.0.0.1", "0.0.0.0", "localhost", "[::1]", "[::]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]"]
    gateway = run(", ".join(f'"http://{host}:{second.port}"' for host in hosts))
    for spelling in SPELLINGS:
        status, text = ask(gateway, f"http://{spelling}:{second.port}/".encode().decode("latin-1"))
        assert status == 599, (spelling, text)
    assert second.received == []


def test_a_name_that_changes_its_mind_is_checked_again(run, dns, second):
    """DNS rebinding: the address that is connected to is the one that was checked."""
    dns.a["swing.test"], dns.ttl = ["127.0.0.2"], 1
    gateway = run(f'"http://swing.test:{second.port}"', "{private: [127.0.0.2/32]}")

    async def close_each(exchange: Exchange) -> None:
        await exchange.answer(200, b"ok", {"Connection": "close"})
    second.script = close_each
    # Nobody listens on 127.0.0.2: what matters is that it was tried, and that 127.0.0.1 is not.
    assert ask(gateway, f"http://swing.test:{second.port}/")[1].startswith("upstream failed")
    dns.a["swing.test"] = ["127.0.0.1"]
    wait_until(lambda: ask(gateway, f"http://swing.test:{second.port}/") == REFUSED, "the new answer is looked at")
    dns.a["swing.test"] = ["127.0.0.2", "127.0.0.1"]
    wait_until(lambda: ask(gateway, f"http://swing.test:{second.port}/")[0] == 599 and dns.asked.count(("swing.test", 1)) >= 3,
               "the name is looked up again")
    assert second.received == []


def test_redirects_are_checked_step_by_step(run, dns, second):
    dns.a["api.test"] = ["127.0.0.1"]
    gateway = run(f'"http://api.test:{second.port}"', "{private: [127.0.0.1/32]}")

    async def redirect(exchange: Exchange) -> None:
        if exchange.request.path == "/there":
            return await exchange.answer(200, b"there")
        await exchange.answer(302, b"", {"Location": exchange.request.target.split("?to=")[1]})
    second.script = redirect
    assert ask(gateway, f"http://api.test:{second.port}/?to=/there") == (200, "200 5")
    for target in ["http://169.254.169.254/latest/meta-data/", f"http://127.0.0.1:{second.port}/there", "https://api.test/", "file:///etc/passwd"]:
        status, text = ask(gateway, f"http://api.test:{second.port}/?to={target}")
        assert status == 599, (target, text)
    assert [request.path for request in second.requests].count("/there") == 1


def test_tls_is_verified(run, certificates):
    server = Origin2(tls=certificates)
    try:
        trusted = run(f'"https://localhost:{server.port}"', f'{{private: [127.0.0.0/8, "::1/128"], ca: "{certificates}/ca.crt"}}')
        assert ask(trusted, f"https://localhost:{server.port}/bytes/1000") == (200, "200 1000")
        strange = run(f'"https://localhost:{server.port}"', '{private: [127.0.0.0/8, "::1/128"]}')
        assert ask(strange, f"https://localhost:{server.port}/bytes/1000") == (599, "upstream failed: tls")
    finally:
        server.stop()


def test_without_a_grant_nothing_outside_is_reached(start, second):
    gateway = start(functions="f: {file: hooks/f.js}", request="- {name: f, do: [{run: f}]}", hooks={"f.js": FETCH})
    status, text = ask(gateway, f"http://127.0.0.1:{second.port}/")
    assert status == 599 and "is not granted to this function" in text
    assert second.received == []
