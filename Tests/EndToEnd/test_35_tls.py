"""TLS with clients: certificates by name and kind of key, client certificates, tickets, staples, policies, reload."""
import json
import os
import socket
import ssl
import subprocess

import pytest

from harness.authority import RSA, Authority
from harness.gateway import binary
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
    """serve('certificates: [...]', ...) gives a gateway with this `tls` section; sites answer for every host."""
    def make(tls: str, request: str = "[]", limits: str = "", **options):
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


def test_a_name_may_have_an_ecdsa_and_an_rsa_certificate(serve, authority):
    ecdsa, rsa = authority.issue("e", ["a.test"]), authority.issue("r", ["a.test"], RSA)
    gateway = serve(f"certificates: [{pair(ecdsa)}, {pair(rsa)}]")
    for ciphers, wanted in (("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDSA"), ("ECDHE-RSA-AES128-GCM-SHA256", "RSA")):
        text, connection = TLS(authority, version=TLS12, ciphers=ciphers).get(gateway, "a.test")
        assert text.startswith("HTTP/1.1 200") and wanted in connection.cipher()[0]


def test_names_choose_their_certificates(serve, authority):
    one, wild = authority.issue("one", ["one.test"]), authority.issue("wild", ["*.wild.test"])
    gateway = serve(f"certificates: [{pair(one)}, {pair(wild)}]")
    for name, subject in (("one.test", "one"), ("x.wild.test", "wild")):
        _, connection = TLS(authority).get(gateway, name)
        assert connection.getpeercert()["subject"] == ((("commonName", subject),),)


def test_unknown_names_are_refused_where_that_is_wanted(serve, authority):
    one = authority.issue("one", ["one.test"])
    gateway = serve(f"certificates: [{pair(one)}], unknown_names: refuse")
    assert TLS(authority).get(gateway, "one.test")[0].startswith("HTTP/1.1 200")
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        TLS(authority).get(gateway, "two.test")


def test_other_hosts_may_be_served(serve, authority):
    gateway = serve(f"certificates: [{pair(authority.issue('one', ['one.test']))}], other_hosts: serve")
    connection = TLS(authority).connect(gateway, "one.test")
    connection.sendall(b"GET / HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")


# Client certificates

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


@pytest.mark.parametrize("verify", ["required", "optional"])
@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_a_session_ends_with_the_certificate_that_was_shown_for_it(serve, authority, clients, version, verify):
    gateway = serve(f'certificates: [{pair(authority.issue("one", ["one.test"]))}], client: {{ca: "{clients.file}", verify: {verify}}}', SHOW)
    lasting = TLS(authority, clients.issue("lasting"), version)
    _, other = lasting.get(gateway, "one.test")
    brief = TLS(authority, clients.sign_for(f"brief-{verify}", 15), version)
    text, first = brief.get(gateway, "one.test")
    assert seen(text)["x-verified"] == "true"
    assert brief.get(gateway, "one.test", first.session)[1].session_reused, "while it is valid"

    def has_ended() -> bool:
        try:
            text, again = brief.get(gateway, "one.test", first.session)
        except (ssl.SSLError, ConnectionResetError):
            return verify == "required"
        assert again.session_reused == (seen(text)["x-verified"] == "true"), "whoever does not resume is asked for its certificate"
        return not again.session_reused

    wait_until(has_ended, "the certificate ends, and the session with it", seconds=40)
    assert lasting.get(gateway, "one.test", other.session)[1].session_reused, "others go on"


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


def test_a_host_of_another_policy_is_misdirected(serve, authority, clients):
    """Also over HTTP/1.1: who came in by the open name does not ask for the closed one."""
    open_, closed = authority.issue("open", ["open.test"]), authority.issue("closed", ["closed.test"])
    client = f'client: {{ca: "{clients.file}"}}'
    gateway = serve(f"certificates: [{pair(open_)}, {pair(closed, client)}]")
    connection = TLS(authority).connect(gateway, "open.test")
    connection.sendall(b"GET / HTTP/1.1\r\nHost: closed.test\r\nConnection: close\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 421")


# Versions, ciphers, curves

def test_versions_by_name(serve, authority):
    old, new = authority.issue("old", ["old.test"]), authority.issue("new", ["new.test"])
    gateway = serve(f'certificates: [{pair(old)}, {pair(new, "min_version: " + chr(34) + "1.3" + chr(34))}]')
    assert TLS(authority, version=TLS12).get(gateway, "old.test")[1].version() == "TLSv1.2"
    assert TLS(authority).get(gateway, "new.test")[1].version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        TLS(authority, version=TLS12).get(gateway, "new.test")


def test_ciphers_suites_and_curves(serve, authority):
    gateway = serve(f"certificates: [{pair(authority.issue('one', ['one.test']))}], ciphers: ECDHE-ECDSA-CHACHA20-POLY1305, "
                    f"suites: TLS_CHACHA20_POLY1305_SHA256, curves: P-384")
    assert TLS(authority, version=TLS12).get(gateway, "one.test")[1].cipher()[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
    assert TLS(authority, version=TLS13).get(gateway, "one.test")[1].cipher()[0] == "TLS_CHACHA20_POLY1305_SHA256"
    shown = openssl(gateway, "one.test", authority)
    assert "secp384r1" in shown and "X25519" not in shown


def openssl(gateway, name: str, authority: Authority, *more: str) -> str:
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.ports.secure}", "-servername", name,
                           "-CAfile", str(authority.file), *more], input=b"", capture_output=True, timeout=30).stdout.decode()


@pytest.mark.parametrize("key,value", [("ciphers", "NO-SUCH-CIPHER"), ("suites", "TLS_NOTHING"), ("curves", "P-0")])
def test_lists_that_openssl_does_not_know_are_refused(serve, authority, key, value):
    with pytest.raises(AssertionError, match=f"does not accept the {key}"):
        serve(f"certificates: [{pair(authority.issue('one', ['one.test']))}], {key}: {value}")


# OCSP

def test_a_staple_is_sent_with_its_certificate(serve, authority):
    plain = authority.issue("plain", ["plain.test"])
    one = authority.issue("one", ["one.test"])
    staple = authority.staple(one[0])
    gateway = serve(f'certificates: [{pair(one, f"ocsp: {chr(34)}{staple}{chr(34)}")}, {pair(plain)}]')
    assert "OCSP Response Status: successful" in openssl(gateway, "one.test", authority, "-status")
    assert "no response sent" in openssl(gateway, "plain.test", authority, "-status")


@pytest.mark.parametrize("what,words", [("rubbish", "no OCSP response"), ("another", "another certificate"), ("revoked", "not good")])
def test_a_bad_staple_is_refused(serve, authority, what, words):
    other = authority.issue("other", ["other.test"])
    staple = authority.staple(other[0])
    one = authority.issue("one", ["one.test"])
    if what == "revoked":
        staple = authority.staple(one[0], revoked=True)
    if what == "rubbish":
        staple.write_bytes(b"rubbish")
    with pytest.raises(AssertionError, match=words):
        serve(f'certificates: [{pair(one, f"ocsp: {chr(34)}{staple}{chr(34)}")}]')


def test_a_staple_that_is_too_old_is_left_out_and_told(serve, authority):
    """Whoever fetches new ones is late: no reason not to start, and none to refuse a reload."""
    one = authority.issue("one", ["one.test"])
    staple = authority.staple(one[0], days_ago=10)
    gateway = serve(f'certificates: [{pair(one, f"ocsp: {chr(34)}{staple}{chr(34)}")}]')
    assert gateway.wait_log("one.ocsp: it is left out: it is too old")
    assert "no response sent" in openssl(gateway, "one.test", authority, "-status")
    authority.staple(one[0])
    gateway.reload(gateway.file.read_text() + "# changed\n")
    wait_until(lambda: "OCSP Response Status: successful" in openssl(gateway, "one.test", authority, "-status"), "the new one is stapled")
    authority.staple(one[0], days_ago=10)
    gateway.reload(gateway.file.read_text() + "# changed again\n")
    wait_until(lambda: "no response sent" in openssl(gateway, "one.test", authority, "-status"), "an old one is taken for what it is")
    assert gateway.metric("sluice_reloads_total", result="refused") == 0


def test_a_certificate_that_ends_soon_is_told_at_the_start_at_a_reload_and_by_check(serve, authority):
    one = authority.issue("one", ["one.test"], days=5)
    gateway = serve(f"certificates: [{pair(one)}]")
    assert gateway.wait_log("listener secure: .*one.crt: expires in [45] days")
    before = len(gateway.output)
    gateway.reload(gateway.file.read_text() + "# changed\n")
    wait_until(lambda: any("warning[C003]" in line for line in gateway.output[before:]), "the reload says so")
    checked = subprocess.run([binary(), "check", str(gateway.file)], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0 and "warning[C003]" in checked.stdout + checked.stderr and "expires in" in checked.stdout + checked.stderr


# Tickets

@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["1.2", "1.3"])
def test_sessions_resume_on_every_worker(serve, authority, version):
    gateway = serve(f"certificates: [{pair(authority.issue('one', ['one.test']))}]", workers=2)
    tls = TLS(authority, version=version)
    _, first = tls.get(gateway, "one.test")
    resumed = [tls.get(gateway, "one.test", first.session)[1].session_reused for _ in range(40)]
    assert all(resumed)
    gateway.reload()
    assert tls.get(gateway, "one.test", first.session)[1].session_reused, "also after a reload"


def test_ticket_keys_rotate_and_old_tickets_end(serve, authority):
    gateway = serve(f"certificates: [{pair(authority.issue('one', ['one.test']))}]", arguments=["--ticket-rotation", "2s"])
    tls = TLS(authority, version=TLS12)
    _, first = tls.get(gateway, "one.test")
    assert tls.get(gateway, "one.test", first.session)[1].session_reused
    wait_until(lambda: gateway.metric("sluice_tls_ticket_rotations_total") >= 1, "a new key")
    _, renewed = tls.get(gateway, "one.test", first.session)
    assert renewed.session_reused, "the old key still opens"
    wait_until(lambda: gateway.metric("sluice_tls_ticket_rotations_total") >= 4, "the old key is gone")
    assert not tls.get(gateway, "one.test", first.session)[1].session_reused


# Certificates that change

def test_a_new_certificate_is_served_after_a_reload_and_a_broken_one_is_not(serve, authority):
    first = authority.issue("site", ["one.test"])
    gateway = serve(f"certificates: [{pair(first)}]")
    serial = lambda: TLS(authority).get(gateway, "one.test")[1].getpeercert()["serialNumber"]  # noqa: E731
    before = serial()
    authority.issue("site", ["one.test"])
    gateway.reload()
    wait_until(lambda: serial() != before, "the new certificate is served")
    good = serial()
    first[0].write_text("-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    gateway.reload()
    gateway.wait_log("site.crt.*damaged|refused")
    assert serial() == good, "the old one goes on"
    assert gateway.metric("sluice_certificate_stale") == 1, "there is an alarm"
    gateway.write(gateway.file.read_text().replace("sluice: 1", "sluice: 1\nsites: [", 1))
    gateway.reload()
    wait_until(lambda: gateway.metric("sluice_certificate_stale") == 0, "what is wrong now is no certificate")
    assert gateway.metric("sluice_config_stale") == 1
    assert gateway.metric("sluice_reloads_total", result="refused") + gateway.metric("sluice_supervisor_reloads_total", result="refused") >= 1


# Limits

def test_unfinished_handshakes_make_room_for_new_ones(serve, authority):
    gateway = serve(f"certificates: [{pair(authority.issue('one', ['one.test']))}]", limits="handshakes: 4")
    held = [socket.create_connection(("127.0.0.1", gateway.ports.secure)) for _ in range(4)]
    wait_until(lambda: gateway.metric("sluice_connections_active") == 4, "they are accepted")

    def served() -> bool:
        assert TLS(authority).get(gateway, "one.test")[0].startswith("HTTP/1.1 200")
        return gateway.metric("sluice_tls_handshakes_total", result="dropped") >= 1

    wait_until(served, "one of the old ones is given up")
    for each in held:
        each.close()


def test_kernel_tls_is_probed_and_logged(serve, authority):
    gateway = serve(f"certificates: [{pair(authority.issue('one', ['one.test']))}]")
    assert gateway.wait_log("kernel TLS: ")


def test_no_early_data_no_renegotiation_no_old_versions(serve, authority):
    gateway = serve(f"certificates: [{pair(authority.issue('one', ['one.test']))}]")
    shown = openssl(gateway, "one.test", authority, "-tls1_3")
    assert "Max Early Data: 0" in shown or "Early data was not sent" in shown
    for version in ("-tls1", "-tls1_1"):
        assert "BEGIN CERTIFICATE" not in openssl(gateway, "one.test", authority, version, "-cipher", "ALL@SECLEVEL=0")
    assert os.path.exists(authority.file)
