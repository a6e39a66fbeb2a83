"""TLS with clients: certificates by name and kind of key, tickets, staples, policies, reload."""
import hashlib
import json
import os
import socket
import ssl
import struct
import subprocess
from http.client import HTTPResponse

import pytest

from harness.authority import RSA, Authority
from harness.gateway import binary
from harness.origin import PATTERN
from harness.tls import TLS, TLS12, TLS13, pair, server
from harness.waiting import wait_until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serve(start, origin):
    return server(start, origin)


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


# Who makes records

@pytest.mark.parametrize("maker", ["gateway", "openssl"])
def test_who_makes_records_is_the_operators_choice(serve, authority, maker):
    gateway = serve(f"certificates: [{pair(authority.issue('one', ['one.test']))}], kernel: false, records: {maker}")
    body = os.urandom(3_000_000)
    for version, counted in ((TLS13, maker), (TLS12, "openssl")):
        before = gateway.metric("sluice_tls_connections_total", records=counted)
        connection = TLS(authority, version=version).connect(gateway, "one.test")
        assert ask(connection, b"GET /bytes/3000000 HTTP/1.1\r\nHost: one.test\r\n\r\n") == (PATTERN * 46)[:3_000_000]
        told = json.loads(ask(connection, b"POST / HTTP/1.1\r\nHost: one.test\r\nContent-Length: %d\r\n\r\n" % len(body) + body))
        assert told["body_sha256"] == hashlib.sha256(body).hexdigest()
        wait_until(lambda: gateway.metric("sluice_tls_connections_total", records=counted) == before + 1, "the connection is counted")


@pytest.mark.parametrize("maker", ["gateway", "openssl"])
def test_an_answer_and_the_end_of_its_connection_leave_in_one_segment(serve, authority, maker):
    gateway = serve(f"certificates: [{pair(authority.issue('one', ['one.test']))}], kernel: false, records: {maker}")
    connection = TLS(authority, version=TLS13).connect(gateway, "one.test")
    connection.sendall(b"HEAD / HTTP/1.1\r\nHost: one.test\r\nConnection: close\r\n\r\n")
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\n")
    # TCP_INFO's tcpi_data_segs_in: the server's flight, its tickets, and the answer with close_notify and FIN.
    assert struct.unpack_from("I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160), 152)[0] <= 3


def ask(connection, request: bytes) -> bytes:
    connection.sendall(request)
    answer = HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200
    return answer.read()


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


def test_a_certificate_that_ends_while_the_gateway_runs_is_told_then(serve, authority):
    gateway = serve(f"certificates: [{pair(authority.sign_for('brief', 15))}, {pair(authority.issue('long', ['long.test'], days=100))}]")
    file = str(authority.folder / "brief.crt")
    assert 0 < gateway.metric("sluice_certificate_seconds_left", file=file, use="listener") <= 15
    assert gateway.metric("sluice_certificate_seconds_left", file=str(authority.folder / "long.crt"), use="listener") > 98 * 86400
    words = "brief.crt: the certificate has ended: clients refuse it; renew it"
    wait_until(lambda: any(words in line for line in gateway.output), "its end is told", 60)
    assert gateway.metric("sluice_certificate_seconds_left", file=file, use="listener") <= 0
    assert len([line for line in gateway.output if words in line]) == 1


def test_a_staple_has_its_gauge(serve, authority):
    one = authority.issue("one", ["one.test"], days=100)
    gateway = serve(f'certificates: [{pair(one, f"ocsp: {chr(34)}{authority.staple(one[0])}{chr(34)}")}]')
    assert 4 * 86400 < gateway.metric("sluice_certificate_seconds_left", file=str(one[0].with_suffix(".ocsp")), use="ocsp") <= 5 * 86400


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
