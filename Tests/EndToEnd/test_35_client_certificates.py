"""Certificates of clients: who is let in, what rules see of them, and how long a session says so again."""
import json
import ssl

import pytest

from harness.authority import Authority
from harness.tls import TLS, TLS12, TLS13, pair, server
from harness.waiting import wait_until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("clients"), "clients")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger").issue("mallory")


@pytest.fixture
def serve(start, origin):
    return server(start, origin)


SHOW = """[{do: [{set_header: {X-Subject: "${tls.client.subject}", X-Verified: "${tls.client.verified}", X-Issuer: "${tls.client.issuer}",
 X-Serial: "${tls.client.serial}", X-Print: "${tls.client.fingerprint}"}}]},
 {when: 'tls.client.subject contains "CN=evil"', do: [{deny: {status: 403}}]}]"""


def seen(text: str) -> dict[str, str]:
    return {name.lower(): value for name, value in json.loads(text.split("\r\n\r\n", 1)[1])["headers"]}


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_required_client_certificates(serve, authority, clients, stranger, version):
    alice = clients.issue("alice", subject="/O=Example/CN=alice")
    gateway = serve(f'certificates: [{pair(authority.issue("one", ["one.test"]))}], client: {{ca: "{clients.file}"}}', SHOW)
    text, first = TLS(authority, alice, version).get(gateway, "one.test")
    fields = seen(text)
    assert fields["x-subject"] == "CN=alice,O=Example" and fields["x-verified"] == "true"
    assert fields["x-issuer"] == "CN=Test clients" and fields["x-serial"] == f"{clients.serial:02x}" and len(fields["x-print"]) == 64
    assert TLS(authority, clients.issue("evil"), version).get(gateway, "one.test")[0].startswith("HTTP/1.1 403")
    for certificate in (None, stranger):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            TLS(authority, certificate, version).get(gateway, "one.test")


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_optional_client_certificates_are_left_to_rules(serve, authority, clients, stranger, version):
    gateway = serve(f'certificates: [{pair(authority.issue("one", ["one.test"]))}], '
                    f'client: {{ca: "{clients.file}", verify: optional}}', SHOW)
    for certificate, verified in ((None, "false"), (stranger, "false"), (clients.issue("bob"), "true")):
        text, _ = TLS(authority, certificate, version).get(gateway, "one.test")
        assert seen(text)["x-verified"] == verified


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_a_ticket_of_an_open_name_does_not_open_one_that_demands_certificates(serve, authority, clients, version):
    open_, closed = authority.issue("open", ["open.test"]), authority.issue("closed", ["closed.test"])
    twin = authority.issue("twin", ["twin.test"])
    client = f'client: {{ca: "{clients.file}"}}'
    gateway = serve(f"certificates: [{pair(open_)}, {pair(closed, client)}, {pair(twin)}], other_hosts: serve", SHOW)
    tls = TLS(authority, None, version)
    _, first = tls.get(gateway, "open.test")
    assert tls.get(gateway, "open.test", first.session)[1].session_reused, "the ticket is good where it was given"
    assert tls.get(gateway, "twin.test", first.session)[1].session_reused, "and where the demands are the same"
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        tls.get(gateway, "closed.test", first.session)
    carol = TLS(authority, clients.issue("carol"), version)
    _, first = carol.get(gateway, "open.test")
    text, second = carol.get(gateway, "closed.test", first.session)
    assert not second.session_reused and seen(text)["x-subject"] == "CN=carol"
    text, third = carol.get(gateway, "closed.test", second.session)
    assert third.session_reused and seen(text)["x-subject"] == "CN=carol" and seen(text)["x-verified"] == "true"


class Brief:
    """A client whose certificate ends soon, beside one whose certificate lasts."""

    def __init__(self, gateway, authority, clients, version, verify):
        self.gateway, self.verify = gateway, verify
        self.lasting = TLS(authority, clients.issue("lasting"), version)
        _, self.other = self.lasting.get(gateway, "one.test")
        self.brief = TLS(authority, clients.sign_for(f"brief-{verify}-{version}", 15), version)
        text, self.first = self.brief.get(gateway, "one.test")
        assert seen(text)["x-verified"] == "true"
        assert self.brief.get(gateway, "one.test", self.first.session)[1].session_reused, "while it is valid"

    def has_ended(self) -> bool:
        try:
            text, again = self.brief.get(self.gateway, "one.test", self.first.session)
        except (ssl.SSLError, ConnectionResetError):
            return self.verify == "required"
        assert again.session_reused == (seen(text)["x-verified"] == "true"), "whoever does not resume is asked for its certificate"
        return not again.session_reused


def test_a_session_ends_with_the_certificate_that_was_shown_for_it(serve, authority, clients):
    """Each version, required or not: all certificates end while one wait goes on."""
    one = pair(authority.issue("one", ["one.test"]))
    gateways = {verify: serve(f'certificates: [{one}], client: {{ca: "{clients.file}", verify: {verify}}}', SHOW) for verify in ("required", "optional")}
    cases = [Brief(gateway, authority, clients, version, verify) for verify, gateway in gateways.items() for version in (TLS12, TLS13)]
    for case in cases:
        wait_until(case.has_ended, "the certificate ends, and the session with it", seconds=40)
        assert case.lasting.get(case.gateway, "one.test", case.other.session)[1].session_reused, "others go on"


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_a_session_ends_with_the_authority_that_is_taken_away(serve, authority, clients, tmp_path, version):
    """And with nothing else: as long as the same authorities are named, a reload leaves sessions alone."""
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(clients.file.read_bytes())
    gateway = serve(f'certificates: [{pair(authority.issue("one", ["one.test"]))}], client: {{ca: "{trusted}"}}', SHOW)
    alice = TLS(authority, clients.issue("alice"), version)
    _, first = alice.get(gateway, "one.test")
    gateway.reload(gateway.file.read_text() + "# changed\n")
    text, again = alice.get(gateway, "one.test", first.session)
    assert again.session_reused and seen(text)["x-verified"] == "true"
    trusted.write_bytes(Authority(tmp_path / "new", "new").file.read_bytes())
    gateway.reload(gateway.file.read_text() + "# changed again\n")
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        alice.get(gateway, "one.test", first.session)


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_a_certificate_that_was_taken_back_is_not_good(serve, authority, tmp_path, version):
    clients = Authority(tmp_path / "clients", "clients")
    good, bad = clients.issue("good"), clients.issue("bad")
    lists = clients.revocations()
    gateway = serve(f'certificates: [{pair(authority.issue("one", ["one.test"]))}], client: {{ca: "{clients.file}", crl: "{lists}"}}', SHOW)
    fine, gone = TLS(authority, good, version), TLS(authority, bad, version)
    sessions = [each.get(gateway, "one.test")[1].session for each in (fine, gone)]
    assert gone.get(gateway, "one.test", sessions[1])[1].session_reused
    clients.revocations(bad[0])
    gateway.reload(gateway.file.read_text() + "# changed\n")
    for session in (None, sessions[1]):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            gone.get(gateway, "one.test", session)
    text, again = fine.get(gateway, "one.test", sessions[0])
    assert seen(text)["x-verified"] == "true" and not again.session_reused, "a new list: everybody shows their certificate again"


def test_revocation_lists_that_are_too_old_damaged_or_none(serve, authority, tmp_path):
    clients = Authority(tmp_path / "clients", "clients")
    alice = clients.issue("alice")
    lists = clients.revocations(days_ago=10)
    tls = f'certificates: [{pair(authority.issue("one", ["one.test"]))}], client: {{ca: "{clients.file}", crl: "{lists}", verify: optional}}'
    gateway = serve(tls, SHOW)
    assert gateway.wait_log("crl.pem: a list in it is too old")
    assert seen(TLS(authority, alice).get(gateway, "one.test")[0])["x-verified"] == "false"
    for wrong in (b"rubbish", clients.file.read_bytes(), lists.read_bytes() + b"-----BEGIN X509 CRL-----\nrubbish\n-----END X509 CRL-----\n"):
        lists.write_bytes(wrong)
        with pytest.raises(AssertionError, match="holds no revocation list, or a damaged one"):
            serve(tls)


def test_a_host_of_another_policy_is_misdirected(serve, authority, clients):
    """Also over HTTP/1.1: who came in by the open name does not ask for the closed one."""
    open_, closed = authority.issue("open", ["open.test"]), authority.issue("closed", ["closed.test"])
    client = f'client: {{ca: "{clients.file}"}}'
    gateway = serve(f"certificates: [{pair(open_)}, {pair(closed, client)}]")
    connection = TLS(authority).connect(gateway, "open.test")
    connection.sendall(b"GET / HTTP/1.1\r\nHost: closed.test\r\nConnection: close\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 421")
